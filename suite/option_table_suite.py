"""Options of section [suite]: the process, its pages and its limits."""

from __future__ import annotations

from suite.option_kinds import (
    BOOLEAN,
    COUNT,
    LISTEN_HOST,
    PATH,
    PORT_OR_OFF,
    PORTS,
    SECONDS,
    TEXT,
    Kind,
)
from suite.options import NO_MARK, Mark, Option


def _row(
    name: str, kind: Kind[object], default: str, meaning: str, marks: Mark = NO_MARK
) -> Option:
    bare = "true" if kind is BOOLEAN else None
    return Option(
        section="suite",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        marks=marks,
        bare=bare,
    )


SUITE = (
    _row("name", TEXT, "webrtc-suite", "How this server calls itself in its log."),
    _row(
        "state-directory",
        PATH,
        "",
        "For what the server makes itself, such as its certificate. Unset: "
        "$STATE_DIRECTORY, else /var/lib/webrtc-suite for root, else webrtc-suite in "
        "$XDG_STATE_HOME or ~/.local/state.",
    ),
    _row("turn", BOOLEAN, "true", "Run the STUN and TURN relay of section [turn]."),
    _row("web", BOOLEAN, "true", "Serve the pages, the connection check among them."),
    _row(
        "web-address",
        LISTEN_HOST,
        "",
        "An address that serves the pages; repeat for more. Unset: those of [turn] listening-ip.",
        Mark.REPEAT,
    ),
    _row(
        "web-ports",
        PORTS,
        "8443",
        "Ports of the pages: HTTPS, and plain HTTP to this machine only. A port that the relay "
        "also listens on serves both.",
        Mark.SECURITY,
    ),
    _row(
        "web-redirect-port",
        PORT_OR_OFF,
        "0",
        "A port, such as 80, that sends browsers to HTTPS on the first of web-ports, or on 443 "
        "where that is one of them; 0: none.",
        Mark.SECURITY,
    ),
    _row(
        "status-address",
        LISTEN_HOST,
        "127.0.0.1",
        "Where health and metrics are read, over plain HTTP.",
        Mark.SECURITY,
    ),
    _row("status-port", PORT_OR_OFF, "9641", "Its port; 0 switches it off.", Mark.SECURITY),
    _row("stop-timeout", SECONDS, "8", "Seconds that a stop may take before it is forced."),
    _row("handshake-timeout", SECONDS, "10", "Seconds that a TLS handshake may take."),
    _row(
        "frame-timeout", SECONDS, "10", "Seconds that an incomplete message may wait for its end."
    ),
    _row(
        "unauthenticated-timeout",
        SECONDS,
        "30",
        "Seconds that a connection may live before its client has authenticated.",
    ),
    _row(
        "max-connections",
        COUNT,
        "5000",
        "Connections whose clients have not authenticated yet; one source gets half of them.",
        Mark.SECURITY,
    ),
)
