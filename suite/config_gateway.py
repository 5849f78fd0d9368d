"""
What the gateway's options must not say together, whether something serves them yet or not.
"""

from __future__ import annotations

from suite.chosen import Chosen
from suite.diagnostics import Level
from suite.option_kinds import BOOLEAN, PEM, PORT

RSMP = "rsmp"


def check_gateway(chosen: Chosen) -> None:
    """Report contradictions within [rsmp]."""
    for side in ("sip", "web"):
        _check_range(chosen, f"{side}-rtp-min-port", f"{side}-rtp-max-port")
    for certificate, key in (
        ("https-cert", "https-cert-key"),
        ("sip-tls-cert", "sip-tls-cert-key"),
    ):
        if chosen.maybe(RSMP, certificate, PEM) and not chosen.maybe(RSMP, key, PEM):
            chosen.complain(Level.ERROR, RSMP, certificate, f"{key} is missing", "set both")
    bundle = chosen.one(RSMP, "web-media-bundle", BOOLEAN)
    if bundle and not chosen.one(RSMP, "web-rtcp-mux", BOOLEAN):
        problem = "without RTCP multiplexing there is no bundle"
        accepted = "web-media-bundle = false too"
        chosen.complain(Level.ERROR, RSMP, "web-rtcp-mux", problem, accepted)


def _check_range(chosen: Chosen, lower: str, upper: str) -> None:
    first, last = chosen.one(RSMP, lower, PORT), chosen.one(RSMP, upper, PORT)
    if first > last:
        name = lower if chosen.is_set(RSMP, lower) else upper
        problem = f"{lower} {first} is above {upper} {last}"
        chosen.complain(Level.ERROR, RSMP, name, problem, f"{lower} is at most {upper}")
