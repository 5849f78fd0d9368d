"""
What can be seen of the lab at one moment: plain values, fit for JSON and for a page.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One SIP Server."""

    name: str
    """A or B, as commands name it."""
    address: str
    """Host and port."""
    state: str
    """up, killed, frozen, slow 5 s, 503 or reset."""
    registered: int
    """How many bindings came to this server; both servers know all of them."""
    transactions: int
    """Requests that it has taken since it was started."""
    active: bool
    """Whether the latest REGISTER or INVITE from outside the lab came to this one."""


@dataclass(frozen=True, slots=True)
class DnsStatus:
    """The name server."""

    name: str
    """The domain whose SRV records it has."""
    address: str
    """Host and port."""
    on: bool
    """Whether it answers."""
    queries: int
    """How many it has seen, answered or not."""


@dataclass(frozen=True, slots=True)
class RegistrationStatus:
    """One Contact of one DN."""

    dn: str
    contact: str
    server: str
    """The name of the server that took the latest REGISTER."""
    expires_in: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class CallStatus:
    """One call that goes through the lab, or that the lab has made."""

    id: str
    """c1, c2, ...: as commands name it. The trace has it under the same name."""
    caller: str
    """DN or phone."""
    callee: str
    """DN or phone."""
    state: str
    """calling, ringing, talking, held, or ended: and why."""
    since: float
    """Seconds in this state."""
    server: str
    """The name of the server that its latest message went through."""
    third_party: bool
    """Whether the lab has made it, so that it obeys hold, transfer and the like."""


@dataclass(frozen=True, slots=True)
class PhoneStatus:
    """One phone."""

    name: str
    """echo or music."""
    dn: str
    address: str
    """Host and port."""
    state: str
    """idle, or how many calls it has."""


@dataclass(frozen=True, slots=True)
class LabStatus:
    """The whole lab."""

    servers: tuple[ServerStatus, ...]
    dns: DnsStatus
    registrations: tuple[RegistrationStatus, ...]
    calls: tuple[CallStatus, ...]
    """Those that are up and the last that have ended, oldest first."""
    phones: tuple[PhoneStatus, ...]

    def plain(self) -> dict[str, object]:
        """The same as dictionaries, lists, text, numbers and booleans."""
        return asdict(self)
