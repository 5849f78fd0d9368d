"""
Where SIP and its media are taken in, what peers are shown for it, and the certificates of TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings, SipAddress, SipTls
from suite.chosen import Chosen
from suite.config_tls import CERTIFICATE, check_pem, check_plain_key, named_file
from suite.diagnostics import Level
from suite.machine import Machine
from suite.option_kinds import BOOLEAN, HOST, LISTEN_HOST, LOCALHOST, PEM, PORT, PORT_OR_OFF
from suite.option_kinds_b2bua import SIP_HOST, SIP_TRANSPORT, is_address
from suite.option_kinds_gateway import CODECS
from suite.option_table_web import TRACE_LEVEL

RSMP = "rsmp"
B2BUA = "b2bua"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SipHosts:
    """Our addresses, and what peers are shown in their place."""

    bound: tuple[str, ...]
    """Addresses of this machine that SIP is taken in at."""
    shown: str = ""
    """An address or a name that is not bound; "": each address itself."""
    is_chosen: bool = False
    """Whether the operator named the one address that is bound."""

    def advertised(self, host: str) -> str:
        """What stands for a bound address; peers on this machine need its own."""
        if not self.shown or is_loopback(host):
            return ""
        other = is_address(self.shown) and is_six(self.shown) != is_six(host)
        return "" if other else self.shown


def is_six(host: str) -> bool:
    """Whether an address is one of IPv6."""
    return ip_address(host).version == 6


def is_loopback(host: str) -> bool:
    """Whether an address leads nowhere but to this machine."""
    return ip_address(host).is_loopback


def allows_six(chosen: Chosen) -> bool:
    """Whether IPv6 is used at all."""
    return chosen.one(RSMP, "allow-ipv6", BOOLEAN)


def sip_hosts(chosen: Chosen, machine: Machine, *, lab: bool) -> SipHosts:
    """What sip-address means on this machine; the lab's default is loopback."""
    given = chosen.maybe(RSMP, "sip-address", SIP_HOST)
    if given is None and lab:
        given = LOOPBACK
    hosts = _sip_hosts(chosen, machine, given)
    if not hosts.bound:
        accepted = f"one of: {', '.join(machine.addresses)}"
        chosen.complain(Level.ERROR, RSMP, "sip-address", "nothing to listen on", accepted)
    if lab and not all(is_loopback(host) for host in hosts.bound):
        problem = "SIP would listen beyond this machine, and the lab is on"
        accepted = "sip-address = 127.0.0.1, or [lab] enabled = false"
        chosen.complain(Level.ERROR, RSMP, "sip-address", problem, accepted, given or "")
    return hosts


def _sip_hosts(chosen: Chosen, machine: Machine, given: str | None) -> SipHosts:
    if given is None:
        return SipHosts(_usable(chosen, machine.addresses))
    if given == LOCALHOST:
        return SipHosts(_usable(chosen, machine.expand(LOCALHOST)))
    if not is_address(given):
        return SipHosts(_usable(chosen, machine.addresses), given)
    if is_six(given) and not allows_six(chosen):
        _complain_of_six(chosen, RSMP, "sip-address", given)
    if ip_address(given).is_unspecified:
        return SipHosts(_usable(chosen, machine.expand(given)))
    if _is_ours(machine, given):
        return SipHosts((given,), is_chosen=True)
    problem = "no address of this machine, so it is only shown to peers"
    accepted = f"what is right behind NAT; else one of: {', '.join(machine.addresses)}"
    chosen.complain(Level.NOTICE, RSMP, "sip-address", problem, accepted, given)
    return SipHosts(_usable(chosen, machine.addresses), given)


def _usable(chosen: Chosen, hosts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(host for host in hosts if allows_six(chosen) or not is_six(host))


def _is_ours(machine: Machine, host: str) -> bool:
    # All of 127.0.0.0/8 is this machine, though its interface names one address.
    return host in machine.addresses or (is_loopback(host) and not is_six(host))


def _complain_of_six(chosen: Chosen, section: str, name: str, value: str) -> None:
    accepted = "allow-ipv6 = true too, or an IPv4 address"
    chosen.complain(Level.ERROR, section, name, "IPv6 is not allowed", accepted, value)


def check_six(chosen: Chosen, name: str, host: str) -> None:
    """Refuse an IPv6 address among the SIP Servers where IPv6 is not used."""
    if is_address(host) and is_six(host) and not allows_six(chosen):
        _complain_of_six(chosen, RSMP, name, host)


def listens(chosen: Chosen, hosts: SipHosts) -> tuple[SipAddress, ...]:
    """One for each address and transport."""
    return tuple(
        SipAddress(transport=transport, host=host, port=port, advertised=hosts.advertised(host))
        for transport, port in _ports(chosen)
        for host in hosts.bound
    )


def _ports(chosen: Chosen) -> list[tuple[str, int]]:
    plain = chosen.one(RSMP, "sip-port", PORT)
    secure = chosen.one(RSMP, "sip-tls-port", PORT_OR_OFF)
    web = chosen.one(B2BUA, "ws-port", PORT_OR_OFF)
    if secure == plain:
        problem = f"sip-port is {plain} too"
        chosen.complain(Level.ERROR, RSMP, "sip-tls-port", problem, "another port (example: 5061)")
    if web and web in (plain, secure):
        problem = f"port {web} is one of SIP without WebSocket too"
        chosen.complain(Level.ERROR, B2BUA, "ws-port", problem, "another port (example: 5080)")
    found = [("UDP", plain), ("TCP", plain)]
    found += [("TLS", secure)] if secure else []
    certified = chosen.maybe(RSMP, "sip-tls-cert", PEM) is not None
    return found + ([("WSS" if certified else "WS", web)] if web else [])


def local_host(chosen: Chosen, machine: Machine, hosts: SipHosts) -> str:
    """The address that connections of ours come from."""
    given = chosen.maybe(B2BUA, "local-address", LISTEN_HOST)
    if given is None:
        return hosts.bound[0] if hosts.is_chosen else ""
    given = LOOPBACK if given == LOCALHOST else given
    if not _is_ours(machine, given):
        accepted = f"one of: {', '.join(machine.addresses)}"
        problem = "no address of this machine"
        chosen.complain(Level.ERROR, B2BUA, "local-address", problem, accepted, given)
    elif is_six(given) and not allows_six(chosen):
        _complain_of_six(chosen, B2BUA, "local-address", given)
    return given


def media_settings(
    chosen: Chosen, machine: Machine, hosts: SipHosts, servers: tuple[str, ...]
) -> MediaSettings:
    """RTP: where it is taken in, what SDP says, and which codecs may be used."""
    given = chosen.maybe(RSMP, "rtp-address", HOST)
    host = given
    if given is None:
        host = _media_host(chosen, machine, hosts.bound, servers)
    elif not _fits_media(chosen, given) or not _is_ours(machine, given):
        alike = [each for each in machine.addresses if is_six(each) == is_six(given)]
        host = _media_host(chosen, machine, tuple(alike), servers)
    if given is None and hosts.shown:
        problem = f"SDP names {host}, though sip-address is not of this machine"
        accepted = "rtp-address = the address that reaches this machine from outside"
        chosen.complain(Level.WARNING, RSMP, "rtp-address", problem, accepted)
    return MediaSettings(
        host=host or LOOPBACK,
        advertised=given if given and given != host else "",
        first_port=chosen.one(RSMP, "sip-rtp-min-port", PORT),
        last_port=chosen.one(RSMP, "sip-rtp-max-port", PORT),
        trace_level=chosen.one(RSMP, "rtp-trace-level", TRACE_LEVEL),
        rules=CodecRules(
            codecs=chosen.one(RSMP, "codecs", CODECS),
            disallowed=chosen.maybe(RSMP, "sip-disallowed-codecs", CODECS) or (),
            transcoding=False,
        ),
    )


def _fits_media(chosen: Chosen, given: str) -> bool:
    if ip_address(given).is_unspecified:
        problem = "nobody can send there"
        chosen.complain(Level.ERROR, RSMP, "rtp-address", problem, "one address", given)
        return False
    if is_six(given) and not allows_six(chosen):
        _complain_of_six(chosen, RSMP, "rtp-address", given)
        return False
    return True


def _media_host(
    chosen: Chosen, machine: Machine, hosts: tuple[str, ...], servers: tuple[str, ...]
) -> str:
    for server in servers:
        leading = machine.toward(server) if is_address(server) else ""
        if leading in hosts:
            return leading
    outer = [host for host in hosts if not is_loopback(host)]
    if len(outer) > 1:
        problem = f"this machine has several addresses; RTP goes by {outer[0]}"
        accepted = f"one of: {', '.join(outer)}"
        chosen.complain(Level.NOTICE, RSMP, "rtp-address", problem, accepted)
    return next(iter((*outer, *hosts)), "")


def media_pairs(first: int, last: int) -> int:
    """How many pairs of an even port and the next one lie within a range."""
    return max(0, (last - first - first % 2 + 1) // 2)


def sip_tls(chosen: Chosen, machine: Machine, folder: Path) -> SipTls:
    """The certificates, checked; what TLS needs and is not there is reported."""
    certificate, key, trusted = (
        named_file(chosen, machine, RSMP, name, folder)
        for name in ("sip-tls-cert", "sip-tls-cert-key", "sip-tls-trusted-ca")
    )
    if certificate:
        check_pem(chosen, RSMP, "sip-tls-cert", certificate, CERTIFICATE)
    if key:
        check_plain_key(chosen, RSMP, "sip-tls-cert-key", key)
    if trusted:
        check_pem(chosen, RSMP, "sip-tls-trusted-ca", trusted, CERTIFICATE)
    ask = chosen.one(B2BUA, "ask-client-certificates", BOOLEAN)
    tls = SipTls(certificate=certificate, key=key, trusted=trusted, ask_clients=ask)
    _check_tls(chosen, tls)
    return tls


def _check_tls(chosen: Chosen, tls: SipTls) -> None:
    port = chosen.one(RSMP, "sip-tls-port", PORT_OR_OFF)
    if tls.key and not tls.certificate:
        problem, accepted = "sip-tls-cert is missing", "set both"
        chosen.complain(Level.ERROR, RSMP, "sip-tls-cert-key", problem, accepted)
    if port and not tls.certificate:
        problem, accepted = "there is no certificate to show", "sip-tls-cert and sip-tls-cert-key"
        chosen.complain(Level.ERROR, RSMP, "sip-tls-port", problem, accepted)
    if tls.ask_clients and not tls.trusted:
        problem, accepted = "sip-tls-trusted-ca is missing", "the CAs that certify clients"
        chosen.complain(Level.ERROR, B2BUA, "ask-client-certificates", problem, accepted)
    if chosen.one(B2BUA, "transport", SIP_TRANSPORT) != "tls":
        return
    if not port:
        problem, accepted = "sip-tls-port is 0: no TLS", "sip-tls-port = 5061, or another transport"
        chosen.complain(Level.ERROR, B2BUA, "transport", problem, accepted)
    if not tls.trusted:
        problem = "whoever answers is believed to be the SIP Server, and is given credentials"
        accepted = "sip-tls-trusted-ca = the CAs that certify it"
        chosen.complain(Level.WARNING, B2BUA, "transport", problem, accepted)
