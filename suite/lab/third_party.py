"""
A call that the lab makes between two others (RFC 3725): its legs, its state, who waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from b2bua.sip.dialog import Dialog
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.usage_events import Cause, Ended
from b2bua.sip.usage_states import LIVE
from suite.lab.calls import SeenCall
from suite.lab.third_party_sdp import Spoken


class Pending:
    """
    Somebody who waits for what a command brings about.

    ``done`` gets the sentence, once. ``soon`` says that no more than a moment should be waited.
    """

    def __init__(self, done: Callable[[str], None], soon: Callable[[], None]) -> None:
        self._done: Callable[[str], None] | None = done
        self.soon = soon

    @property
    def is_open(self) -> bool:
        """Whether the sentence is still to come."""
        return self._done is not None

    def done(self, sentence: str) -> None:
        """Say how it ended; what comes after the first time is not said."""
        tell, self._done = self._done, None
        if tell is not None:
            tell(sentence)


@dataclass(slots=True, eq=False)
class Leg:
    """One dialog of the controller."""

    party: str
    usage: InviteClientUsage
    call: ThirdPartyCall
    spoken: Spoken = field(default_factory=Spoken)
    early: Dialog | None = None
    """Where a NOTIFY goes before the leg is answered."""
    is_up: bool = False
    is_over: bool = False
    asks: bool = False
    """Whether an offer of the party, or its wish for one, waits for us."""
    holds: bool = False
    """Whether the party's own description says that it takes no media."""
    held: bool = False
    """Whether we have told it that it is on hold."""
    on_offer: Callable[[bytes], None] | None = None
    on_answer: Callable[[bytes], None] | None = None
    on_failure: Callable[[int], None] | None = None
    on_notified: list[Callable[[int], None]] = field(default_factory=list)
    """Who waits for the answers to NOTIFYs, in their order."""

    @property
    def is_live(self) -> bool:
        """Whether anything can still be said in it."""
        return not self.is_over and self.usage.state in LIVE

    @property
    def can_change(self) -> bool:
        """Whether a re-INVITE can be sent."""
        return self.is_up and self.usage.may_reinvite

    def notified(self, status: int) -> None:
        """The oldest NOTIFY that is open has been answered."""
        if self.on_notified:
            self.on_notified.pop(0)(status)

    def take_on_offer(self) -> Callable[[bytes], None] | None:
        """Give who waits for this leg's offer, once."""
        waiting, self.on_offer = self.on_offer, None
        return waiting

    def take_on_answer(self) -> Callable[[bytes], None] | None:
        """Give who waits for this leg's answer, once; a failure concerns nobody any more."""
        waiting, self.on_answer = self.on_answer, None
        self.on_failure = None
        return waiting

    def take_on_failure(self) -> Callable[[int], None] | None:
        """Give who wants to know that this leg did not change, once."""
        waiting, self.on_failure = self.on_failure, None
        self.on_answer = self.on_offer = None
        return waiting


@dataclass(slots=True, eq=False)
class ThirdPartyCall:
    """One call: two legs, and during a transfer a third."""

    seen: SeenCall
    uuid: str
    legs: list[Leg] = field(default_factory=list)
    target: Leg | None = None
    waiting: list[tuple[Pending, str]] = field(default_factory=list)
    """Who waits for which state; the end of the call is news for all of them."""

    @property
    def id(self) -> str:
        """As commands name it."""
        return self.seen.id

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.seen.is_over

    def peer(self, leg: Leg) -> Leg | None:
        """The other leg."""
        return next((other for other in self.legs if other is not leg), None)

    def all_legs(self) -> list[Leg]:
        """Every leg that there is."""
        return [*self.legs, self.target] if self.target is not None else list(self.legs)

    def describe(self) -> str:
        """One sentence about how things are."""
        who = f"{self.id}: {self.seen.caller} and {self.seen.callee}"
        state = self.seen.state
        if state == "talking":
            return f"{who} are talking"
        if state == "ringing":
            ringing = next((leg.party for leg in self.legs if leg.early and not leg.is_up), "")
            return f"{who}: {ringing} is ringing"
        return f"{who}: {state}"

    @property
    def is_settled(self) -> bool:
        """Whether no change is under way."""
        return not any(leg.asks for leg in self.legs)

    def tell(self) -> None:
        """Answer those who have waited for what is now."""
        state = self.seen.state
        for pending, wanted in list(self.waiting):
            if not pending.is_open:
                self.waiting.remove((pending, wanted))
            elif self.is_over or (wanted == state and self.is_settled):
                self.waiting.remove((pending, wanted))
                pending.done(self.describe())


def why(leg: Leg, ended: Ended) -> str:
    """Why a leg has ended, for people."""
    if ended.cause is Cause.REMOTE:
        return f"{leg.party} hung up"
    if ended.cause is Cause.REFUSED:
        reason = getattr(ended.message, "reason", "")
        return f"{leg.party} answered {ended.status} {reason}".rstrip()
    if ended.cause in (Cause.LOCAL, Cause.CANCELLED):
        return "by command"
    return f"{leg.party}: {ended.cause.value}"
