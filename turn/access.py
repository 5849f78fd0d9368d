"""
Which addresses may be peers, and on which ports.

A relay that forwards to any address is a way into the network it stands in. Every address is
compared as an integer, after an IPv4 address hidden in an IPv6 one has been taken out, against:
what is never an address to send to; the operator's allowed and then denied ranges; this machine's
own addresses; the table of the profile. The classifications of ``ipaddress`` are not used: they
take ``::127.0.0.1``, 6to4 and NAT64 spellings of loopback for global addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from turn.data_plane import PeerPermission
from turn.five_tuple import Address
from turn.settings import AddressRange, PeerProfile, PeerSettings

_Ports = tuple[tuple[int, int], ...]
_Table = tuple[tuple[AddressRange, str], ...]

_ALL_PORTS: _Ports = ((1, 65535),)
_CACHED_HOSTS = 2048
_LOW_32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Whether an address may be a peer.

    ``permission`` is None if it may not. ``rule`` says in words which rule decided.
    """

    permission: PeerPermission | None
    rule: str


def _block(network: str, words: str) -> tuple[AddressRange, str]:
    parsed = ipaddress.ip_network(network)
    first, last = int(parsed.network_address), int(parsed.broadcast_address)
    return AddressRange(parsed.version, first, last, network), f"{words} ({network})"


def _between(first: str, last: str, words: str) -> tuple[AddressRange, str]:
    low, high = ipaddress.IPv6Address(first), ipaddress.IPv6Address(last)
    return AddressRange(6, int(low), int(high), f"{first}-{last}"), words


_NEVER: _Table = (
    _block("0.0.0.0/8", "this host"),
    _block("::/128", "unspecified address"),
)
_LOOPBACK: _Table = (
    _block("127.0.0.0/8", "loopback"),
    _block("::1/128", "loopback"),
)
_MULTICAST: _Table = (
    _block("224.0.0.0/4", "multicast"),
    _block("ff00::/8", "multicast"),
)
_LOCAL: _Table = (
    _block("169.254.0.0/16", "link-local"),
    _block("fe80::/10", "link-local"),
    _block("fc00::/7", "unique local"),
    _block("fec0::/10", "site-local"),
)
_NOT_ROUTABLE: _Table = (
    _block("10.0.0.0/8", "private"),
    _block("172.16.0.0/12", "private"),
    _block("192.168.0.0/16", "private"),
    _block("100.64.0.0/10", "shared by a carrier's customers"),
    _block("192.0.0.0/24", "IETF protocol assignments"),
    _block("192.0.2.0/24", "documentation"),
    _block("198.51.100.0/24", "documentation"),
    _block("203.0.113.0/24", "documentation"),
    _block("192.88.99.0/24", "6to4 relay"),
    _block("198.18.0.0/15", "benchmarking"),
    _block("255.255.255.255/32", "broadcast"),
    _block("240.0.0.0/4", "reserved"),
    _block("64:ff9b:1::/48", "local NAT64"),
    _block("100::/64", "discard"),
    _block("2001::/23", "IETF protocol assignments"),
    _block("2001:db8::/32", "documentation"),
    _block("3fff::/20", "documentation"),
    # Global unicast is 2000::/3. Of the rest only the NAT64 prefix 64:ff9b::/96 leads outside.
    _between("::", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"),
    _between("64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"),
    _between("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"),
)


def _table(settings: PeerSettings) -> _Table:
    """What the profile denies, the most telling name of an address first."""
    if settings.profile is PeerProfile.SAFE:
        return _LOOPBACK + _LOCAL + _MULTICAST + _NOT_ROUTABLE
    return _LOOPBACK + _LOCAL + (_MULTICAST if settings.deny_multicast else ())


def _parse(host: str) -> tuple[int, int]:
    """Give family and value. Raises ValueError."""
    if "%" in host:
        raise ValueError("an address with a zone")
    address = ipaddress.ip_address(host)
    return address.version, int(address)


def _text(version: int, value: int) -> str:
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))


@dataclass(frozen=True, slots=True)
class _Hidden:
    """The IPv4 address that an IPv6 address stands for."""

    spelling: str
    value: int
    usable: bool = True
    """Whether the IPv6 address may be a peer if the IPv4 address may."""


def _hidden(value: int) -> _Hidden | None:
    """Find the IPv4 address inside an IPv6 address."""
    high, low = value >> 32, value & _LOW_32
    if high == 0xFFFF:
        return _Hidden("IPv4-mapped", low, usable=False)
    if high == 0xFFFF0000:
        return _Hidden("IPv4-translated", low, usable=False)
    if high == 0 and low > 1:
        return _Hidden("IPv4-compatible", low, usable=False)
    if high == 0x64FF9B << 64:
        return _Hidden("NAT64", low)
    if value >> 80 == 0x64FF9B0001:
        # Only the network knows how long its prefix is, and so where the IPv4 address is
        # (RFC 6052, section 2.2); what cannot be judged is refused.
        return _Hidden("local NAT64", low, usable=False)
    if value >> 112 == 0x2002:
        return _Hidden("6to4", value >> 80 & _LOW_32)
    if value >> 96 == 0x20010000:
        return _Hidden("Teredo", low ^ _LOW_32)
    return None


def canonical(host: str) -> str:
    """
    Give the address that ``host`` stands for: IPv4 where one is inside, else as ``inet_ntop`` does.

    Raises ValueError for what is no address.
    """
    version, value = _parse(host)
    hidden = _hidden(value) if version == 6 else None
    return _text(4, hidden.value) if hidden else _text(version, value)


def allow_line(host: str) -> str:
    """Give the line of ``turnserver.conf`` that allows ``host``; empty if none can."""
    try:
        version, value = _parse(canonical(host))
    except ValueError:
        return ""
    if _find(_NEVER, version, value):
        return ""
    return f"allowed-peer-ip={_text(version, value)}"


def _find(table: _Table, version: int, value: int) -> str | None:
    for block, words in table:
        if block.version == version and block.first <= value <= block.last:
            return words
    return None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The decision about a host, and the one about those of its ports that are not permitted."""

    decision: Decision
    elsewhere: Decision


def _denied(rule: str) -> _Verdict:
    decision = Decision(None, rule)
    return _Verdict(decision, decision)


class PeerRules:
    """
    Decides who may be a peer.

    An address of this machine (``relay_addresses``, and both sides of ``external``, which gives
    the local address of each public one) is open on the relay ports ``min_port`` to ``max_port``
    and on ``settings.open_ports``, so that relays can reach each other; its other ports are not,
    except as far as coTURN's profile has them open. ``machine_addresses`` are its addresses that
    carry no relay: closed in the same way. ``own_endpoints`` are where this machine
    listens; they stay closed unless their address was explicitly allowed.
    """

    def __init__(
        self,
        settings: PeerSettings,
        *,
        relay_addresses: Sequence[str],
        external: Mapping[str, str],
        min_port: int,
        max_port: int,
        own_endpoints: Collection[Address] = (),
        machine_addresses: Iterable[str] = (),
    ) -> None:
        self._allowed = _explicit(settings.allowed, "allowed")
        self._denied = _explicit(settings.denied, "denied")
        self._allow_loopback = settings.allow_loopback
        self._table = _table(settings)
        faces = dict(settings.local_faces) | dict(external)
        self._local_face = {_plain(public): _plain(local) for public, local in faces.items()}
        self._own = {_plain(host) for host in (*relay_addresses, *external, *external.values())}
        self._machine = self._own | {_plain(host) for host in machine_addresses}
        # Under coTURN's profile an own address is judged like any other.
        self._guard_own = settings.profile is PeerProfile.SAFE
        self._open = _openings(settings.open_ports)
        for host in self._own:
            self._open[host] = _merged((*self._open.get(host, ()), (min_port, max_port)))
        self._listening = _listening(own_endpoints)
        self._judged = lru_cache(_CACHED_HOSTS)(self._judge)

    def decide(self, host: str, port: int) -> Decision:
        """
        Decide about one transport address; port 0 asks about the host alone.

        CreatePermission names a host (RFC 8656, section 10), and its permission says which ports
        count; a channel is bound to a port.
        """
        verdict = self._judged(host)
        permission = verdict.decision.permission
        if not port or permission is None or not permission.ports:
            return verdict.decision
        for first, last in permission.ports:
            if first <= port <= last:
                return verdict.decision
        return verdict.elsewhere

    def decide_confined(self, host: str, port: int) -> Decision:
        """Decide for a user who may reach what is opened on this machine and nobody else."""
        decision = self.decide(host, port)
        if decision.permission is None:
            return decision
        ports = self._open.get(host, ())
        if not ports or (port and not any(first <= port <= last for first, last in ports)):
            return Decision(None, "not a relay of this server")
        return Decision(replace(decision.permission, ports=ports), decision.rule)

    def _judge(self, host: str) -> _Verdict:
        try:
            version, value = _parse(host)
        except ValueError:
            return _denied("not an IP address")
        hidden = _hidden(value) if version == 6 else None
        if hidden:
            refused = self._refuse_hidden(hidden)
            if refused:
                return _denied(f"{refused}, as {hidden.spelling} IPv6 address")
        return self._judge_address(version, value)

    def _refuse_hidden(self, hidden: _Hidden) -> str | None:
        inner = self._judge_address(4, hidden.value).decision
        if inner.permission is None:
            return inner.rule
        if inner.permission.ports:
            return "own address"
        return None if hidden.usable else "IPv4 address"

    def _judge_address(self, version: int, value: int) -> _Verdict:
        host = _text(version, value)
        rule = _find(_NEVER, version, value)
        if rule:
            return _denied(rule)
        rule = _find(self._allowed, version, value)
        if rule:
            return self._granted(host, rule)
        rule = _find(self._denied, version, value)
        if rule:
            return _denied(rule)
        listening = self._listening_ports(version, value, host)
        if self._allow_loopback and _find(_LOOPBACK, version, value):
            return self._granted(host, "loopback allowed", _without(_ALL_PORTS, listening))
        rule = _find(self._table, version, value)
        own = host in self._machine
        if rule is None and not (own and self._guard_own):
            return self._granted(host, "allowed by the profile", _without(_ALL_PORTS, listening))
        opened = _without(self._open.get(host, ()), listening)
        if opened:
            outside = "own address outside the relay ports" if own else f"{rule}, port not open"
            return self._granted(host, "open port", opened, outside)
        return _denied(rule or "own address outside the relay ports")

    def _granted(
        self,
        host: str,
        rule: str,
        ports: _Ports = _ALL_PORTS,
        elsewhere: str = "this server listens there",
    ) -> _Verdict:
        limits = () if ports == _ALL_PORTS else ports
        permission = PeerPermission(host, self._local_face.get(host, host), limits)
        return _Verdict(Decision(permission, rule), Decision(None, elsewhere))

    def _listening_ports(self, version: int, value: int, host: str) -> frozenset[int]:
        faces = [host, self._local_face.get(host, host)]
        if host in self._own or _find(_LOOPBACK, version, value):
            # Who listens on a wildcard listens on these too; on "::" often in both families.
            faces += ["::", "0.0.0.0"] if version == 4 else ["::"]
        return frozenset().union(*(self._listening.get(face, frozenset()) for face in faces))


def _plain(host: str) -> str:
    """Give the canonical text of a configured address, without looking inside IPv6."""
    return _text(*_parse(host))


def _explicit(ranges: Iterable[AddressRange], word: str) -> _Table:
    return tuple((block, f"{word} {block.text}") for block in ranges)


def _openings(opened: Iterable[tuple[str, int, int]]) -> dict[str, _Ports]:
    ports: dict[str, _Ports] = {}
    for host, first, last in opened:
        name = _plain(host)
        ports[name] = _merged((*ports.get(name, ()), (first, last)))
    return ports


def _listening(endpoints: Iterable[Address]) -> dict[str, frozenset[int]]:
    ports: dict[str, frozenset[int]] = {}
    for host, port in endpoints:
        name = _plain(host)
        ports[name] = ports.get(name, frozenset()) | {port}
    return ports


def _merged(ranges: Iterable[tuple[int, int]]) -> _Ports:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(ranges: _Ports, ports: Iterable[int]) -> _Ports:
    """Take single ports out of ranges."""
    left = list(ranges)
    for port in ports:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, port - 1)), (max(first, port + 1), last))
            if part[0] <= part[1]
        ]
    return tuple(left)
