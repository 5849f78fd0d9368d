"""
What the lab's page shows of the B2BUA: its own view of servers, DNs and calls.

The lab knows only what its servers see. Beside it stands what the B2BUA thinks, and where the two
differ there is something to learn. Plain values, fit for JSON; no secrets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

MOST_DNS = 50
MOST_CALLS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayServer:
    """One of the SIP Servers, as the B2BUA sees it."""

    address: str
    """``host:port transport``."""
    state: str
    """A word or two: in use, spare, down for 3 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCall:
    """One call that is up."""

    id: str
    caller: str
    callee: str
    state: str
    """calling, ringing, talking, held."""
    since: float
    """Seconds in this state."""
    held_by: str = ""
    """The leg whose side wants the hold; empty while nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySnapshot:
    """The B2BUA at one moment."""

    active: str
    """``host:port transport`` of the server in use; empty while none is."""
    state: str
    """A word or two on the pair as a whole: in use, all down, name unknown."""
    generation: int
    """How often the server in use has changed."""
    servers: tuple[GatewayServer, ...] = ()
    registered: int = 0
    """How many DNs are registered upstream."""
    dns: tuple[str, ...] = ()
    """The first ``MOST_DNS`` of them."""
    calls: tuple[GatewayCall, ...] = ()
    """At most ``MOST_CALLS``."""
    call_count: int = 0
    """How many there are in all."""
    addresses: tuple[str, ...] = ()
    """``host:port`` of its SIP sockets, by which a ladder knows it."""

    def plain(self) -> dict[str, object]:
        """The same as dictionaries, lists, text, numbers and booleans."""
        return asdict(self)


class Gateway(Protocol):
    """Whoever can tell how the B2BUA is."""

    def snapshot(self) -> GatewaySnapshot | None:
        """Tell it as of now; None while it does not run."""
