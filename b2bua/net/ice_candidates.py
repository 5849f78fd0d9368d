"""
Candidates of ICE as SDP has them (RFC 8839, section 5.1): which of a peer's are any good, and ours.

Names are never looked up, so that nobody can make us ask the DNS or the local network; what leads
over TCP, or nowhere, is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from aioice.candidate import Candidate, candidate_foundation, candidate_priority

Address = tuple[str, int]
AllowsPeer = Callable[[str, int], bool]

COMPONENT: Final = 1
"""RTP and RTCP share one port, so there is no other component."""
HIGHEST_PREFERENCE: Final = 65535
"""Of the first local address; each one after it is preferred less (RFC 8445, section 5.1.2.1)."""
_KINDS: Final = frozenset({"host", "srflx", "relay", "prflx"})
_LONGEST: Final = 512
_MOST_PRIORITY: Final = (1 << 31) - 1


def read_candidates(lines: Iterable[str], allows: AllowsPeer, most: int) -> list[Candidate]:
    """Read the values of a=candidate that packets can be sent to, ``most`` of them at most."""
    found: list[Candidate] = []
    for line in lines:
        if len(found) >= most:
            break
        candidate = _read(line)
        if candidate is not None and allows(candidate.host, candidate.port):
            found.append(candidate)
    return found


def _read(line: str) -> Candidate | None:
    if len(line) > _LONGEST:
        return None
    try:
        candidate = Candidate.from_sdp(line.strip().removeprefix("a=").removeprefix("candidate:"))
    except ValueError:
        return None
    if candidate.transport.lower() != "udp" or candidate.component != COMPONENT:
        return None
    if candidate.type not in _KINDS or not 0 < candidate.priority <= _MOST_PRIORITY:
        return None
    if not is_peer((candidate.host, candidate.port)):
        return None
    # One that the peer learnt of from another one is as good as a reflexive one.
    candidate.type = "srflx" if candidate.type == "prflx" else candidate.type
    return candidate


def is_peer(address: Address) -> bool:
    """Whether it is a number that one peer alone can have."""
    try:
        host = ip_address(address[0])
    except ValueError:
        return False
    if host.is_multicast or host.is_unspecified or str(host) == "255.255.255.255":
        return False
    if isinstance(host, IPv6Address) and (host.ipv4_mapped is not None or host.scope_id):
        return False
    return 0 < address[1] < 0x10000


def make_candidate(
    kind: str, address: Address, preference: int, base: Address | None = None
) -> Candidate:
    """
    Return one of ours; ``base`` is the local address behind a reflexive one, or the address that
    a relay knows us by.
    """
    related = (None, None) if base is None else base
    return Candidate(
        foundation=candidate_foundation(kind, "udp", address[0] if base is None else base[0])[:8],
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, kind, preference),
        host=address[0],
        port=address[1],
        type=kind,
        related_address=related[0],
        related_port=related[1],
    )
