"""
The states of a registration, what can happen to it, and what is kept of it.
"""

from __future__ import annotations

from enum import IntEnum

from b2bua.registration_schedule import Scheduled
from b2bua.registration_terms import Register


class State(IntEnum):
    """Where the registration of a DN stands."""

    UNREGISTERED = 0
    QUEUED = 1
    """Signed in; nothing was sent yet."""
    REGISTERING = 2
    REGISTER_DUE = 3
    """Without a binding, and waiting for its turn once more."""
    BACKOFF = 4
    REGISTERED = 5
    REFRESH_DUE = 6
    REFRESHING = 7
    UNREGISTER_DUE = 8
    UNREGISTERING = 9
    WITHDRAWING = 10
    """Signed out while a REGISTER is out."""
    RETURNING = 11
    """Signed in again while an un-REGISTER is out."""


class Input(IntEnum):
    """What can happen to one."""

    SIGN_IN = 0
    SIGN_OUT = 1
    TURN = 2
    ALARM = 3
    EXPIRED = 4
    """The binding has ended, or what is waited for is not worth it any more."""
    SERVER_CHANGED = 5
    """There is a server that has not failed this DN yet."""
    GRANTED = 6
    LATE = 7
    """2xx to an earlier REGISTER, which was taken for lost."""
    AGAIN = 8
    """Challenged, or the interval was too brief."""
    RETRY = 9
    """A server failed, and another attempt may go out at once."""
    FAILED = 10
    REFUSED = 11


OUT = frozenset(
    {
        State.REGISTERING,
        State.REFRESHING,
        State.UNREGISTERING,
        State.WITHDRAWING,
        State.RETURNING,
    }
)
BOUND = frozenset({State.REGISTERED, State.REFRESH_DUE, State.REFRESHING})


class Registration(Scheduled):
    """One DN. 5,000 of them are a normal load, so it has what is needed and no more."""

    __slots__ = (
        "call_id",
        "cseq",
        "dn",
        "expires",
        "expires_at",
        "failures",
        "resumes_at",
        "rounds",
        "since",
        "state",
    )

    def __init__(self, dn: str, call_id: str, expires: int) -> None:
        super().__init__()
        self.dn = dn
        self.call_id = call_id
        self.cseq = 0
        self.since = 1
        """The first CSeq of this sign-in: older answers say nothing about it."""
        self.state = State.UNREGISTERED
        self.expires = expires
        """What is asked for; more than at first after a 423."""
        self.expires_at = 0.0
        """The end of the binding, also when it is past; 0 before the first."""
        self.resumes_at = 0.0
        """When the next attempt is due."""
        self.failures = 0
        self.rounds = 0


def is_out(registration: Registration, register: Register) -> bool:
    """Whether this REGISTER is the one whose answer the registration waits for."""
    same_call = register.call_id == registration.call_id
    return same_call and register.cseq == registration.cseq and registration.state in OUT


def is_late(registration: Registration, register: Register) -> bool:
    """Whether an answer to it is worth something: nothing has succeeded since."""
    current = registration.since <= register.cseq
    return current and register.expires > 0 and registration.failures > 0
