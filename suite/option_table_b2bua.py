"""
What the gateway's guide has no options for: [b2bua], the passwords of [users], and the lab.
"""

from __future__ import annotations

from suite.option_kinds import (
    BOOLEAN,
    LISTEN_HOST,
    NETWORKS,
    PORT_OR_OFF,
    REALM,
    SECRET,
    URL_PATH,
    Kind,
)
from suite.option_kinds_b2bua import (
    AUTO,
    CALLS,
    ECHO_ANSWER,
    FAIL_BACK,
    FAILOVER_TIME,
    NAME_SERVERS,
    PASSWORD,
    PORT_RANGE,
    REGISTER_EXPIRES,
    REGISTER_RATE,
    RING_TIME,
    SIP_TRANSPORT,
    SWITCH,
    is_dial_number,
)
from suite.option_kinds_gateway import DIAL_NUMBERS
from suite.options import NO_MARK, Mark, Option

SECURITY = Mark.SECURITY


def _row(
    name: str, kind: Kind[object], default: str, meaning: str, marks: Mark = NO_MARK
) -> Option:
    return Option(
        section="b2bua",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        marks=marks,
        bare="true" if kind is BOOLEAN or kind is SWITCH else None,
    )


B2BUA = (
    _row(
        "enabled",
        SWITCH,
        AUTO,
        "Run the B2BUA between SIP phones and the SIP Servers. auto: where sip-proxy or "
        "sip-proxy-srv is set, or the lab is on.",
        SECURITY,
    ),
    _row(
        "transport",
        SIP_TRANSPORT,
        "udp",
        "How the SIP Servers are reached: udp, tcp or tls. tls needs sip-tls-port.",
        SECURITY,
    ),
    _row(
        "failover-time",
        FAILOVER_TIME,
        "4",
        "Seconds that a SIP Server may be silent before the next one is used.",
    ),
    _row(
        "fail-back",
        FAIL_BACK,
        "0",
        "Seconds that an earlier SIP Server must have answered without a gap to be returned to; "
        "0: the one in use stays until it fails.",
    ),
    _row(
        "register-expires",
        REGISTER_EXPIRES,
        "140",
        "Seconds that a registration of a DN is asked for.",
    ),
    _row("register-rate", REGISTER_RATE, "50", "REGISTER requests per second, at most."),
    _row("register-burst", REGISTER_RATE, "20", "How many of them may go at once."),
    _row(
        "register-password",
        SECRET,
        "",
        "With its own number and this password a DN answers the SIP Server's challenge, unless "
        "[users] has a password for it.",
        Mark.SECURITY | Mark.SECRET,
    ),
    _row(
        "dns-server",
        NAME_SERVERS,
        "",
        "Who is asked for the names of SIP Servers. Unset: whom this machine asks.",
        SECURITY,
    ),
    _row(
        "ws-port",
        PORT_OR_OFF,
        "0",
        "A port of its own for SIP over WebSocket (RFC 7118), secured by sip-tls-cert where that "
        "is set; 0: only the ports of the pages have it.",
        SECURITY,
    ),
    _row(
        "ws-path",
        URL_PATH,
        "/sip",
        "The path that a WebSocket for SIP is opened at: on ws-port, where others get 404, and on "
        "the ports of the pages.",
    ),
    _row(
        "local-address",
        LISTEN_HOST,
        "",
        "The address of this machine that connections to others come from. Unset: sip-address if "
        "it is one of this machine, else the system's choice.",
    ),
    _row(
        "local-ports",
        PORT_RANGE,
        "",
        "The ports that they come from. Unset: the system's choice.",
    ),
    _row(
        "talk-hold",
        BOOLEAN,
        "true",
        "Obey NOTIFY talk and NOTIFY hold of the SIP Servers; off: 489.",
    ),
    _row(
        "echo",
        DIAL_NUMBERS,
        "",
        "DNs of our own that answer and send a caller's media back.",
    ),
    _row(
        "echo-answer",
        ECHO_ANSWER,
        "at-once",
        "When they answer: at-once, or on-talk, when the SIP Server says so.",
    ),
    _row(
        "phone-networks",
        NETWORKS,
        "",
        "Where phones may register without a password; repeat for more. Others need one of "
        "[users].",
        Mark.SECURITY | Mark.REPEAT,
    ),
    _row("realm", REALM, "webrtc-suite", "The realm that phones are asked for a password in."),
    _row("max-calls", CALLS, "2000", "Calls at a time.", SECURITY),
    _row("calls-per-dn", CALLS, "8", "Calls of one DN at a time.", SECURITY),
    _row("ring-time", RING_TIME, "180", "Seconds after which an unanswered call is given up."),
    _row(
        "ask-client-certificates",
        BOOLEAN,
        "false",
        "Take SIP over TLS only from who shows a certificate of sip-tls-trusted-ca.",
        SECURITY,
    ),
)

USERS = (
    Option(
        section="users",
        name="1020",
        kind=PASSWORD,
        meaning="The password that a phone registers this DN with; a line for each DN.",
        marks=Mark.SECURITY | Mark.SECRET,
        named=is_dial_number,
    ),
)

LAB = (
    Option(
        section="lab",
        name="enabled",
        kind=BOOLEAN,
        default="false",
        meaning="Bring SIP Servers, a name server and phones of our own, on loopback addresses, "
        "in place of real ones. Phones of this machine then register without a password.",
        marks=SECURITY,
        bare="true",
    ),
)
