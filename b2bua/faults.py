"""
Faults of our own, kept to the call that they happen in.

What a peer does wrong has an exception of its own, and an answer. Whatever else is raised is our
doing: it is told once, as an event, and ends the one call that it happened in. What has been taken
for other calls, their messages and their timers, goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from b2bua import causes
from b2bua.call_events import Fault, Subscriber
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.usage_states import LIVE, UsageState

STATUS = 500
"""What whoever waits for an answer hears of a fault."""


@contextmanager
def contained(emit: Subscriber, call: str = "") -> Iterator[None]:
    """Tell of what goes wrong in here, and go on after it."""
    try:
        yield
    except Exception as error:
        emit(Fault(call, error))


def let_go(usage: InviteUsage, now: float) -> None:
    """End a session that cannot go on, in the way that its state asks for."""
    if isinstance(usage, InviteServerUsage) and usage.state in (
        UsageState.RINGING,
        UsageState.WITHHELD,
    ):
        usage.reject(STATUS, now)
    elif usage.state in LIVE:
        usage.bye(now, (("Reason", causes.request_reason(STATUS)),))
