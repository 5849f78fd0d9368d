"""
The bindings of a registrar: which contacts a DN has, over which way, and until when.

Found by DN, by the way they came, and by when they end. What may be bound is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import DATAGRAM, Hop
from b2bua.sip.timers import Deadlines
from b2bua.sip.uri import SipUri, Uri

Flow = tuple[str, str, int, int]
"""What tells one way back from another."""

_Key = TypeVar("_Key")


def flow_of(hop: Hop) -> Flow:
    """
    The way back that a hop stands for: a connection, or the address that datagrams come from.

    The socket of ours that a datagram came to does not count: it is the same phone on all.
    """
    return (hop.transport, hop.host, hop.port, 0 if hop.transport == DATAGRAM else hop.flow)


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """
    One contact of a DN.

    Calls for it go to ``uri`` over ``hop``, the way that its REGISTER came: behind a NAT there is
    no other.
    """

    dn: str
    contact: NameAddr
    """As the phone gave it, but for its name and its expiry."""
    hop: Hop
    path: tuple[str, ...]
    """What the Route of a request to it begins with (RFC 3327), next hop first."""
    q: float
    """The preference among the contacts of a DN, from 0.0 to 1.0."""
    expires_at: float
    call_id: str
    sequence: int

    @property
    def uri(self) -> Uri:
        """The Request-URI of a request to it."""
        return self.contact.uri

    @property
    def instance(self) -> str:
        """What stays the same over reboots of a phone (RFC 5626), or ""."""
        return self.contact.parameters.text("+sip.instance") or ""

    @property
    def place(self) -> tuple[str, int | None]:
        """Host and port of the contact."""
        uri = self.uri
        return (uri.host, uri.port) if isinstance(uri, SipUri) else ("", None)


class Bindings:
    """Every binding of a registrar. Those of one DN are in the order in which they were made."""

    def __init__(self) -> None:
        self._by_dn: dict[str, dict[Binding, None]] = {}
        self._by_flow: dict[Flow, dict[Binding, None]] = {}
        self._deadlines: Deadlines[Binding] = Deadlines()

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, binding: Binding) -> None:
        """Keep a binding."""
        self._by_dn.setdefault(binding.dn, {})[binding] = None
        self._by_flow.setdefault(flow_of(binding.hop), {})[binding] = None
        self._deadlines.set(binding, binding.expires_at)

    def remove(self, binding: Binding) -> None:
        """Forget a binding that is there."""
        _discard(self._by_dn, binding.dn, binding)
        _discard(self._by_flow, flow_of(binding.hop), binding)
        self._deadlines.set(binding, None)

    def of_dn(self, dn: str) -> list[Binding]:
        """The bindings of a DN, those registered last at the end."""
        return list(self._by_dn.get(dn, ()))

    def of_hop(self, hop: Hop) -> list[Binding]:
        """The bindings that were made over this way."""
        return list(self._by_flow.get(flow_of(hop), ()))

    def next_end(self) -> float | None:
        """When the first of all ends."""
        return self._deadlines.next()

    def take_ended(self, now: float) -> Iterable[Binding]:
        """Forget those that have ended by now, and give them."""
        ended = self._deadlines.take_due(now)
        for binding in ended:
            self.remove(binding)
        return ended


def _discard(index: dict[_Key, dict[Binding, None]], key: _Key, binding: Binding) -> None:
    kept = index[key]
    del kept[binding]
    if not kept:
        del index[key]
