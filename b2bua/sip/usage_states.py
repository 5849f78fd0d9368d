"""
The states of INVITE usages and of the sessions in them, and what can happen to a usage.

A usage is a table: in this state, on that input, then that state and this effect. Each pair of a
state and an input stands in the table or, with the reason, among those that change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from b2bua.sip.message import Message
from b2bua.sip.usage_events import Offer

if TYPE_CHECKING:
    from b2bua.sip.invite_usage import InviteUsage


class UsageState(IntEnum):
    """The states of both sides; each uses some of them."""

    __hash__ = int.__hash__

    CALLING = 0
    CANCELLING = 1
    """Our INVITE was given up; its final response is still to come."""
    RINGING = 2
    WITHHELD = 3
    """The user has answered, and the 2xx waits for the PRACK of a 1xx (RFC 3262, section 3)."""
    ANSWERED = 4
    """The 2xx went out and has no ACK yet."""
    LEAVING = 5
    """The same, and the user has hung up: BYE may not come before the ACK (section 15)."""
    ESTABLISHED = 6
    ENDING = 7
    """Our BYE is under way."""
    ENDED = 8
    """Only copies of what was are still answered."""


class UsageInput(IntEnum):
    """What can happen to a usage as a whole."""

    __hash__ = int.__hash__

    SUCCESS = 1
    FAILURE = 2
    """Our INVITE has a final response other than 2xx, or none at all."""
    HANG_UP = 3
    """The user wants it over: CANCEL, BYE, or a refusal."""
    BYE = 4
    LOST = 5
    """It is to end, by BYE, though nobody hung up; the cause says why."""
    BYE_DONE = 7
    ANSWER = 9
    ANSWER_LATER = 10
    """The user answers while a PRACK is due."""
    PRACKED = 11
    ACK = 12
    CANCEL = 13
    NO_ACK = 14


LIVE = frozenset(
    {
        UsageState.CALLING,
        UsageState.RINGING,
        UsageState.WITHHELD,
        UsageState.ANSWERED,
        UsageState.ESTABLISHED,
    }
)
"""Where the user may still ask for something else than the end."""

Effect = Callable[["InviteUsage", float, "Message | None"], None]
Rows = Mapping[UsageState, Mapping[UsageInput, tuple[Effect, UsageState]]]
Ignored = Mapping[UsageState, Mapping[UsageInput, str]]


def complete(rows: Rows, ignored: Ignored) -> Rows:
    """Give the rows back if no pair of a state and an input is left open, or decided twice."""
    inputs = {given for row in rows.values() for given in row}
    for state, row in rows.items():
        decided = [*row, *ignored.get(state, {})]
        if set(decided) != inputs or len(decided) != len(set(decided)):
            differing = inputs.symmetric_difference(decided)
            raise ValueError(f"{state.name}: {sorted(differing)} open, or decided twice")
    return rows


class SessionState(IntEnum):
    """Which request that may change the session is open."""

    __hash__ = int.__hash__

    IDLE = 0
    SENT = 1
    """Ours has no final response yet."""
    ANSWERING = 2
    """The peer's offer came in a response, and we owe the answer in ACK or PRACK."""
    BACKOFF = 3
    """Ours crossed with one of the peer and is to be sent again."""
    ASKED = 4
    """The peer's waits for ``accept`` or ``refuse``."""
    REPEATING = 5
    """The 2xx to the peer's re-INVITE waits for its ACK."""
    OVER = 6


class Exchange(IntEnum):
    """Whose offer is open."""

    __hash__ = int.__hash__

    NONE_YET = 0
    OURS = 1
    THEIRS = 2
    DONE = 3


@dataclass(slots=True)
class Change:
    """A change that is wanted here; a mere refresh has no offer, and so has a request for one."""

    offer: Offer | None
    is_refresh: bool = False
    tries: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    """What its request says besides."""
