"""
What the gateway's options must not say together, whether something serves them yet or not.
"""

from __future__ import annotations

from b2bua.settings import B2buaSettings
from suite.chosen import Chosen
from suite.diagnostics import Level
from suite.option_kinds import BOOLEAN, PEM, PORT
from turn.five_tuple import Address

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


def check_ice_ports(chosen: Chosen, settings: B2buaSettings, taken_udp: set[Address]) -> None:
    """Refuse ports of browsers' media that phones' media or a listener have."""
    web, media = settings.web, settings.media
    if web is None:
        return
    option = "web-rtp-max-port" if chosen.is_set(RSMP, "web-rtp-max-port") else "web-rtp-min-port"
    range_ = f"the ports {web.first_port} to {web.last_port}"
    phones = web.first_port <= media.last_port and media.first_port <= web.last_port
    if phones and media.host in web.addresses:
        problem = f"{range_} meet those of the SIP side, {media.first_port} to {media.last_port}"
        chosen.complain(Level.ERROR, RSMP, option, problem, "ranges that do not meet")
    inside = sorted(
        port
        for host, port in taken_udp | {(each.host, each.port) for each in settings.listens}
        if host in web.addresses and web.first_port <= port <= web.last_port
    )
    if inside:
        shown = ", ".join(str(port) for port in dict.fromkeys(inside))
        problem = f"{range_} contain port {shown}"
        chosen.complain(Level.ERROR, RSMP, option, problem, "ports that nothing else uses")


def _check_range(chosen: Chosen, lower: str, upper: str) -> None:
    first, last = chosen.one(RSMP, lower, PORT), chosen.one(RSMP, upper, PORT)
    if first > last:
        name = lower if chosen.is_set(RSMP, lower) else upper
        problem = f"{lower} {first} is above {upper} {last}"
        chosen.complain(Level.ERROR, RSMP, name, problem, f"{lower} is at most {upper}")
