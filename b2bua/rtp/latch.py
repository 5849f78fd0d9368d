"""
Whom an end believes, and where it sends: symmetric RTP (RFC 4961) behind address translation.

The first packet must come from the host that the peer's SDP names; from then on only its source,
host and port, is believed and sent to. Only another address in SDP undoes that.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

Address = tuple[str, int]
Source = tuple[str, int] | tuple[str, int, int, int]
"""What a socket says: host and port, for IPv6 with flow label and scope."""


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

    __slots__ = ("_remote", "source", "target")

    def __init__(self) -> None:
        self.source: Source | None = None
        """The only source that is believed; None while unlocked."""
        self.target: Source | None = None
        """Where to send; None while nothing is known."""
        self._remote: Address | None = None

    def aim(self, remote: Address | None) -> None:
        """Take the address of the peer's SDP, see ``usable``; another one than before unlocks."""
        if remote != self._remote:
            self._remote = self.target = remote
            self.source = None

    def hears(self, source: Source) -> bool:
        """Whether a packet from there may be the peer's."""
        if self.source is not None:
            return source == self.source
        # A socket adds the scope to a link-local address, SDP does not.
        return self._remote is not None and source[0].partition("%")[0] == self._remote[0]

    def lock(self, source: Source) -> bool:
        """Believe only this source from now on, if it may be the peer's; tell whether it may."""
        if not self.hears(source):
            return False
        self.source = self.target = source
        return True
