"""
Where the suite listens: relay and pages merged into one list of addresses.

One address and port is one listener, whatever options ask for it; what it serves is the union.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from suite.chosen import Chosen
from suite.config_turn import relay_port_range
from suite.diagnostics import Level
from suite.machine import Machine
from suite.option_kinds import (
    BOOLEAN,
    HOST,
    LISTEN_ENDPOINT,
    LISTEN_HOST,
    NETWORKS,
    PORT,
    PORT_OR_OFF,
    PORTS,
    URL_PATH,
)
from suite.settings import StatusSettings, TcpListen, UdpListen
from turn.five_tuple import Address
from turn.settings import Network

TURN = "turn"
SUITE = "suite"


def relay_endpoints(chosen: Chosen, machine: Machine) -> tuple[Address, ...]:
    """Every address that the relay's clients may use, over whichever transport."""
    ports = [chosen.one(TURN, "listening-port", PORT)]
    if not chosen.one(TURN, "no-tls", BOOLEAN):
        ports.append(chosen.one(TURN, "tls-listening-port", PORT))
    found = [(host, port) for port in ports for host in relay_hosts(chosen, machine)]
    for (host, port), _ in chosen.every(TURN, "aux-server", LISTEN_ENDPOINT):
        found += [(each, port) for each in machine.expand(host)]
    return tuple(dict.fromkeys(found))


def relay_hosts(chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    """The addresses of listening-ip; every IPv4 address if there is none."""
    given = chosen.every(TURN, "listening-ip", LISTEN_HOST)
    if not given:
        return machine.expand("0.0.0.0")
    found: list[str] = []
    for host, _ in given:
        expanded = machine.expand(host)
        _check_present(chosen, machine, "listening-ip", host, expanded)
        found += expanded
    if not found:
        accepted = "an address of this machine"
        chosen.complain(Level.ERROR, TURN, "listening-ip", "nothing to listen on", accepted)
    return tuple(dict.fromkeys(found))


def udp_listeners(chosen: Chosen, machine: Machine) -> tuple[UdpListen, ...]:
    """One for each relay endpoint, unless UDP is off."""
    if chosen.one(TURN, "no-udp", BOOLEAN):
        return ()
    return tuple(UdpListen(address=each) for each in relay_endpoints(chosen, machine))


def tcp_listeners(
    chosen: Chosen,
    machine: Machine,
    *,
    turn: bool,
    web: bool,
    more: Iterable[TcpListen] = (),
) -> tuple[TcpListen, ...]:
    """The relay's, the pages', those behind a load balancer and ``more``, merged by address."""
    found: dict[Address, TcpListen] = {}
    asked = list(_relay_tcp(chosen, machine)) if turn else []
    asked_more = tuple(more)
    for each in (*asked, *(_web_tcp(chosen, machine) if web else ()), *asked_more):
        before = found.get(each.address)
        if before and _both_ways(before, each, closely=each in asked_more):
            _complain_of_proxy_clash(chosen, each.address)
        if before and bool(before.redirect_to) != bool(each.redirect_to):
            problem = f"port {each.address[1]} serves something else already"
            accepted = "a port of its own (example: 80)"
            chosen.complain(Level.ERROR, SUITE, "web-redirect-port", problem, accepted)
        found[each.address] = merged(before, each) if before else each
    return tuple(found.values())


def merged(one: TcpListen, other: TcpListen) -> TcpListen:
    """A listener that serves what either does."""
    return TcpListen(
        address=one.address,
        tls=one.tls or other.tls,
        plain=one.plain or other.plain,
        turn=one.turn or other.turn,
        turn_over_tls=one.secures_turn or other.secures_turn,
        web=one.web or other.web,
        proxy_from=one.proxy_from or other.proxy_from,
        http_port=one.http_port or other.http_port,
        plain_http=one.plain_http or other.plain_http,
        https_certificate=one.https_certificate or other.https_certificate,
        redirect_to=one.redirect_to or other.redirect_to,
    )


def _relay_tcp(chosen: Chosen, machine: Machine) -> Iterable[TcpListen]:
    plain = not chosen.one(TURN, "no-tcp", BOOLEAN)
    tls = not chosen.one(TURN, "no-tls", BOOLEAN)
    hosts = relay_hosts(chosen, machine)
    if plain or tls:
        for address in relay_endpoints(chosen, machine):
            yield TcpListen(address=address, tls=tls, plain=plain)
    sources = _proxy_sources(chosen)
    plain_port = chosen.maybe(TURN, "tcp-proxy-port", PORT)
    if plain_port is not None:
        for host in hosts:
            yield TcpListen(address=(host, plain_port), tls=False, proxy_from=sources)
    for port in chosen.maybe(TURN, "proxy-port", PORTS) or ():
        for host in hosts:
            yield TcpListen(address=(host, port), tls=tls, plain=plain, proxy_from=sources)


def _web_tcp(chosen: Chosen, machine: Machine) -> Iterable[TcpListen]:
    for port in chosen.one(SUITE, "web-ports", PORTS):
        for host in web_hosts(chosen, machine):
            yield TcpListen(address=(host, port), plain=False, turn=False, web=True)


def web_hosts(chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    """The addresses of web-address; the relay's if there is none."""
    given = chosen.every(SUITE, "web-address", LISTEN_HOST)
    if not given:
        return relay_hosts(chosen, machine)
    return tuple(dict.fromkeys(each for host, _ in given for each in machine.expand(host)))


def _proxy_sources(chosen: Chosen) -> tuple[Network, ...]:
    given = [each for some, _ in chosen.every(TURN, "proxy-from", NETWORKS) for each in some]
    if given:
        return tuple(given)
    for name in ("tcp-proxy-port", "proxy-port"):
        if chosen.is_set(TURN, name):
            problem = "proxy-from is not set: only a load balancer on this machine is believed"
            accepted = "its address (example: proxy-from = 10.1.0.5/32)"
            chosen.complain(Level.WARNING, TURN, name, problem, accepted)
    return NETWORKS.parse("127.0.0.0/8, ::1/128")


def _both_ways(one: TcpListen, other: TcpListen, *, closely: bool) -> bool:
    # The pages alone, on a port of the relay's proxies, are for those who come by them.
    serve_alike = closely or (one.turn and other.turn)
    return serve_alike and bool(one.proxy_from) != bool(other.proxy_from)


def _complain_of_proxy_clash(chosen: Chosen, address: Address) -> None:
    ports = chosen.maybe(TURN, "proxy-port", PORTS) or ()
    name = "proxy-port" if address[1] in ports else "tcp-proxy-port"
    section = TURN
    if not (address[1] in ports or address[1] == chosen.maybe(TURN, "tcp-proxy-port", PORT)):
        section, name = "gateway", "proxy-port"
    problem = f"port {address[1]} is also one without a PROXY header"
    chosen.complain(Level.ERROR, section, name, problem, "a port that nothing else uses")


def _check_present(
    chosen: Chosen, machine: Machine, name: str, host: str, expanded: tuple[str, ...]
) -> None:
    if not expanded:
        problem = "this machine has no address of that kind"
    elif expanded == (host,) and host not in machine.addresses and not _is_zoned(host):
        problem = "no address of this machine at present"
    else:
        return
    accepted = f"one of: {', '.join(machine.addresses)}"
    chosen.complain(Level.WARNING, TURN, name, problem, accepted, host)


def _is_zoned(host: str) -> bool:
    return ip_address(host).is_link_local


def status_settings(chosen: Chosen, *, coturn_file: bool) -> StatusSettings | None:
    """Where health and metrics are read; with a turnserver.conf alone, only if it asks."""
    if chosen.one(TURN, "prometheus", BOOLEAN):
        host = chosen.maybe(TURN, "prometheus-address", HOST)
        if host is None:
            problem = "whoever reaches the port reads the metrics"
            accepted = "name an address (example: prometheus-address = 127.0.0.1)"
            chosen.complain(Level.WARNING, TURN, "prometheus", problem, accepted)
        return StatusSettings(
            address=(host or "0.0.0.0", chosen.one(TURN, "prometheus-port", PORT)),
            metrics_path=chosen.one(TURN, "prometheus-path", URL_PATH),
        )
    port = chosen.one(SUITE, "status-port", PORT_OR_OFF)
    if not port or (coturn_file and not chosen.is_set(SUITE, "status-port")):
        return None
    host = chosen.one(SUITE, "status-address", LISTEN_HOST)
    return StatusSettings(
        address=("127.0.0.1" if host == "localhost" else host, port),
        metrics_path=chosen.one(TURN, "prometheus-path", URL_PATH),
    )


def check_ports(
    chosen: Chosen,
    tcp: tuple[TcpListen, ...],
    udp: tuple[UdpListen, ...],
    status: StatusSettings | None,
) -> None:
    """Refuse two services on one port, and say where relay ports meet listening ones."""
    if status is not None:
        _check_status(chosen, tcp, status)
    shared = chosen.one(TURN, "multiplex-peer", BOOLEAN)
    first, last = relay_port_range(chosen)
    inside = sorted({each.address[1] for each in udp if first <= each.address[1] <= last})
    if inside:
        shown = ", ".join(str(port) for port in inside)
        problem = f"the relay's ports {first} to {last} contain listening port {shown}"
        accepted = "ports that do not meet"
        if shared:
            chosen.complain(Level.ERROR, TURN, "multiplex-peer-port", problem, accepted)
        else:
            chosen.complain(Level.WARNING, TURN, "min-port", problem, accepted)


def _check_status(chosen: Chosen, tcp: tuple[TcpListen, ...], status: StatusSettings) -> None:
    host, port = status.address
    everywhere = ip_address(host).is_unspecified
    if any(each.address[1] == port and (everywhere or each.address[0] == host) for each in tcp):
        section, name = SUITE, "status-port"
        if chosen.one(TURN, "prometheus", BOOLEAN):
            section, name = TURN, "prometheus-port"
        problem = f"port {port} is taken by the relay or the pages already"
        chosen.complain(Level.ERROR, section, name, problem, "another port (example: 9641)")
