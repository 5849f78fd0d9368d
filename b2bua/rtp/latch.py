"""
Whom an end believes, and where it sends: symmetric RTP (RFC 4961) behind address translation.

The first packet must come from the host that the peer's SDP names; from then on only its source,
host and port, is believed and sent to. Only another address in SDP undoes that.

Where that is another port of the same host, as after a transfer between two phones of one machine,
the former stream often goes on a little. It does not count as the first packet, unless for some
seconds nothing else comes: peers behind address translation may name a new port in SDP, and send
from where they always did. Even then whatever comes from the right place has precedence.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

Address = tuple[str, int]
Source = tuple[str, int] | tuple[str, int, int, int]
"""What a socket says: host and port, for IPv6 with flow label and scope."""
FORMER_FOR: Final = 3.0
"""
Seconds for which a former source is not believed. Even a BYE that was lost twice has ended its
stream by then; a peer that goes on sending from there would hear and say nothing for longer.
"""
_MOST_FORMER: Final = 4


def usable(address: Address | None, own: str) -> Address | None:
    """
    Return an address that packets can be sent to from ``own``, in the form in which sockets name
    it.

    None where it is none: no number, of the other family, port 0, 0.0.0.0 or ::, multicast; and
    the loopback interface, which only peers on this machine have, with all that listens there.
    """
    if address is None or not 0 < address[1] < 0x10000:
        return None
    host = _usable_host(address[0], own.partition("%")[0])
    return (host, address[1]) if host else None


@lru_cache(1024)
def _usable_host(text: str, own: str) -> str:
    try:
        host = ip_address(text)
    except ValueError:
        return ""
    ours = ip_address(own)
    if host.version != ours.version or host.is_multicast or host.is_unspecified:
        return ""
    if host.is_loopback and not ours.is_loopback:
        return ""
    return str(host)


class Latch:
    """One direction's source; ``source`` and ``target`` are read per packet."""

    __slots__ = ("_former", "_is_in_doubt", "_refused_until", "_remote", "source", "target")

    def __init__(self) -> None:
        self.source: Source | None = None
        """The only source that is believed; None while unlocked."""
        self.target: Source | None = None
        """Where to send; None while nothing is known."""
        self._remote: Address | None = None
        self._former: dict[Address, Address] = {}
        """By what SDP named then, where packets came from, or were to come from."""
        self._refused_until = 0.0
        self._is_in_doubt = False
        """Whether the source is a former one."""

    def aim(self, remote: Address | None, now: float) -> None:
        """Take the address of the peer's SDP, see ``usable``; another one than before unlocks."""
        if remote == self._remote:
            return
        if self._remote is not None and not self._is_in_doubt:
            self._remember(self._remote, self.source or self._remote)
        if remote is not None:
            # Who is named again may come from where it came before.
            self._former.pop(remote, None)
        self._remote = self.target = remote
        self.source = None
        self._is_in_doubt = False
        self._refused_until = now + FORMER_FOR

    def hears(self, source: Source, now: float) -> bool:
        """Whether a packet from there may be the peer's."""
        if self.source is not None and not self._is_in_doubt:
            return source == self.source
        place = _place(source)
        if self._remote is None or place[0] != self._remote[0]:
            return False
        if not self._is_former(place) or source == self.source:
            return True
        return self.source is None and now >= self._refused_until

    def lock(self, source: Source, now: float) -> bool:
        """Believe only this source from now on, if it may be the peer's; tell whether it may."""
        if not self.hears(source, now):
            return False
        self.source = self.target = source
        self._is_in_doubt = self._is_former(_place(source))
        return True

    def _remember(self, remote: Address, source: Source) -> None:
        self._former[remote] = _place(source)
        if len(self._former) > _MOST_FORMER:
            del self._former[next(iter(self._former))]

    def _is_former(self, place: Address) -> bool:
        return place != self._remote and place in self._former.values()


def _place(source: Source) -> Address:
    # A socket adds the scope to a link-local address, SDP does not.
    return source[0].partition("%")[0], source[1]
