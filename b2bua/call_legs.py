"""
What two legs of a call say to their peers about media, and what moves between them.

What a peer does on one leg is answered there, at once, from what is known of the other; what
changes by it on the other leg is offered there afterwards. An answer waits for the other leg only
where the two would have no codec in common any more, or where a medium comes in that the other
leg has not. Hold is one of these changes: the leg across from the one whose peer holds is put on
hold, and let go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from b2bua import causes
from b2bua.agreed_media import Formats
from b2bua.bodies import NotAcceptable, session_description
from b2bua.call_events import CallHeld, Event
from b2bua.header_policy import IDENTITY, Trust, carry
from b2bua.leg import Leg
from b2bua.media_plane import MediaPlane, MediaPortsExhausted
from b2bua.sdp.errors import SdpError
from b2bua.sip.message import Message
from b2bua.sip.usage_events import (
    ModificationFailed,
    Modified,
    NotOffered,
    OfferReceived,
    OfferRequested,
)
from b2bua.web_leg_media import WebLegMedia

if TYPE_CHECKING:
    from b2bua.calls import Calls

Headers = tuple[tuple[str, str], ...]


class CallState(IntEnum):
    """How far a call is."""

    RINGING = 0
    UP = 1
    OVER = 2


class BridgedLegs:
    """A caller's leg and the one across from it, or those that are rung until one answers."""

    def __init__(self, calls: Calls, call_id: str, caller: Leg) -> None:
        self.id = call_id
        self.caller = caller
        self.callee: Leg | None = None
        self.rung: list[Leg] = []
        self.state = CallState.RINGING
        self._calls = calls
        self._plane: MediaPlane = calls.plane
        self._waiting: Leg | None = None
        """A leg whose peer's offer waits for what the other leg's peer says."""
        self._wanted: Formats = {}
        """What is offered there for it."""
        self._is_worked = False
        """Whether a server has put the call on hold by NOTIFY."""
        self._joined: set[tuple[int, int]] = set()

    @property
    def is_worked(self) -> bool:
        """Whether a server has put the call on hold by NOTIFY."""
        return self._is_worked

    def legs(self) -> list[Leg]:
        """The legs of the call as it is."""
        return [self.caller, *([self.callee] if self.callee else self.rung)]

    def other(self, leg: Leg) -> Leg | None:
        """The leg across from this one, once it is known."""
        return self.callee if leg is self.caller else self.caller

    def named_for(self, leg: Leg) -> Formats | None:
        """Which codecs may be said on a leg: those agreed across from it; None for all."""
        across = self.other(leg)
        return across.media.agreed if across is not None and across.media.agreed else None

    def offer_received(self, leg: Leg, event: OfferReceived, now: float) -> None:
        """Take an offer of a leg's peer, and answer it or refuse it."""
        assert leg.usage is not None
        self._note_party(leg, event.message, now)
        try:
            body = session_description(event.message)
            leg.media.take_offer(body)
        except NotAcceptable as refused:
            leg.usage.refuse(refused.status, now, event.dialog)
        except SdpError as error:
            leg.usage.refuse(error.status, now, event.dialog)
        else:
            self._answer_offer(leg, now)

    def _answer_offer(self, leg: Leg, now: float) -> None:
        assert leg.usage is not None
        named = self.named_for(leg)
        if self._brings_medium(leg) and self._ask_across(leg, now):
            return
        try:
            body = leg.media.answer(leg.media.offered if named is None else named)
        except SdpError as error:
            if not self._ask_across(leg, now):
                leg.usage.refuse(error.status, now)
        except MediaPortsExhausted:
            leg.usage.refuse(500, now)
        else:
            leg.usage.accept(body, now)
            self.changed(leg, now)

    def _brings_medium(self, leg: Leg) -> bool:
        """Whether a leg's peer offers a medium that it did not have, and the other leg has not."""
        across = self.other(leg)
        return across is not None and bool(leg.media.added.keys() - across.media.agreed.keys())

    def _ask_across(self, leg: Leg, now: float) -> bool:
        """Ask the other leg's peer whether it would take what this one's offers now."""
        across = self.other(leg)
        if across is None or not across.is_up or across.usage is None or not leg.media.offered:
            return False
        self._waiting = leg
        self._wanted = leg.media.wanted(across.media.agreed)
        across.usage.modify(self._offer_for(across), now)
        return True

    def answer_waiting(self, across: Leg, now: float) -> None:
        """Answer the offer that has waited for the other leg, if one has."""
        leg, self._waiting = self._waiting, None
        if leg is None or leg is across or leg.usage is None:
            self._waiting = leg if leg is across else None
            return
        self._answer_late(leg, across.media.agreed, 488, now)

    def _answer_late(self, leg: Leg, named: Formats, status: int, now: float) -> None:
        assert leg.usage is not None
        try:
            body = leg.media.answer(named)
        except (SdpError, MediaPortsExhausted):
            leg.usage.refuse(status, now)
        else:
            leg.usage.accept(body, now)
            self.changed(leg, now)

    def offer_requested(self, leg: Leg, event: OfferRequested, now: float) -> None:
        """Give the offer that a leg's peer asks for."""
        assert leg.usage is not None
        self._note_party(leg, event.message, now)
        try:
            body = leg.media.solicited_offer(self.named_for(leg))
        except (SdpError, MediaPortsExhausted):
            leg.usage.refuse(488, now, event.dialog)
        else:
            leg.usage.accept(body, now, event.dialog)

    def _note_party(self, leg: Leg, message: Message, now: float) -> None:
        """Tell the other leg's peer whom it talks to from now on, as after a transfer."""
        before = leg.asserted
        leg.note(message)
        across = self.other(leg)
        if leg.asserted == before or across is None or across.usage is None or not across.is_up:
            return
        carried = self.carried(message, leg, across)
        said = [pair for pair in carried if pair[0] in IDENTITY]
        if any(name == "P-Asserted-Identity" for name, _ in said):
            across.usage.tell(said, now)

    def modified(self, leg: Leg, event: Modified, now: float) -> None:
        """Take it that an offer and its answer are in force."""
        self.bridge()

    def modification_failed(self, leg: Leg, event: ModificationFailed, now: float) -> None:
        """Take it that an offer came to nothing, and what was agreed before holds."""
        leg.media.roll_back()
        if event.is_ours:
            self._hold_refused(leg, now)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting is not leg and waiting.usage is not None:
            # A medium more was refused; what both had before they may still have.
            status = causes.status_for_change(event.status)
            self._answer_late(waiting, leg.media.agreed, status, now)
        self.bridge()

    def _hold_refused(self, leg: Leg, now: float) -> None:
        """Note that a leg's peer did not take what would have put it on hold, or off it."""
        held = leg.media.session.hold.by_us
        across = self.other(leg)
        if leg.media.by_us == held:
            return
        leg.media.by_us = held
        if leg.kind == "server" and not (across is not None and across.was_held):
            # It asked for that itself, by NOTIFY, so the other leg is not to follow.
            self.work(leg, held, now)

    def bridge(self) -> None:
        """Let the ends do what both legs have agreed on."""
        if self.callee is not None:
            self._bridge(self.callee)

    def _bridge(self, callee: Leg) -> None:
        caller = self.caller
        caller.media.apply(callee.media)
        callee.media.apply(caller.media)
        for kind, end in caller.media.ends.items():
            across = callee.media.ends.get(kind)
            if across is not None and (end, across) not in self._joined:
                self._plane.join(end, across)
                self._joined.add((end, across))

    def changed(self, leg: Leg, now: float) -> None:
        """A leg's peer has said something new: move media by it, and let the other leg follow."""
        self.bridge()
        across = self.other(leg)
        if self.state is not CallState.UP or across is None:
            return
        held = leg.media.session.hold.by_them
        is_told = False
        if held != leg.was_held:
            leg.was_held = held
            self.emit(CallHeld(self.id, leg.kind, held))
            is_told = self.put_on_hold(across, held or self._is_worked, now)
        if not is_told:
            self._follow(across, leg, now)

    def _follow(self, leg: Leg, across: Leg, now: float) -> None:
        """Offer anew what a peer could send in vain, now that the other leg is as it is."""
        if leg.is_up and not leg.media.follows(across.media):
            assert leg.usage is not None
            leg.usage.modify(self._offer_for(leg), now)

    def work(self, leg: Leg, held: bool, now: float) -> None:
        """Hold the call, or retrieve it, as a leg's peer wants us to; its own hold is its own."""
        self._is_worked = held
        self.emit(CallHeld(self.id, leg.kind, held))
        self.put_on_hold(leg, held, now)
        across = self.other(leg)
        if across is not None:
            self.put_on_hold(across, held or leg.was_held, now)

    def put_on_hold(self, leg: Leg, held: bool, now: float) -> bool:
        """Have a leg's peer be on hold, or not any more; whether it is told."""
        if leg.media.by_us == held:
            return False
        leg.media.by_us = held
        if leg.usage is None or not leg.is_up:
            return False
        leg.usage.modify(self._offer_for(leg), now)
        return True

    def revive(self, leg: Leg, now: float) -> None:
        """Offer a browser to restart ICE, as its media are lost."""
        media = leg.media
        if isinstance(media, WebLegMedia) and leg.usage is not None and leg.is_up:
            offer = self._offer_for(leg)

            def restarting() -> bytes:
                # Sent later than it was wanted, it may not be needed any more.
                media.restart_lost()
                return offer()

            leg.usage.modify(restarting, now)

    def _offer_for(self, leg: Leg) -> Callable[[], bytes]:
        def offer() -> bytes:
            is_asked = self._waiting is not None and self._waiting is not leg
            try:
                return leg.media.offer(self._wanted if is_asked else self.named_for(leg))
            except SdpError as error:
                raise NotOffered(error.status) from error
            except MediaPortsExhausted as error:
                raise NotOffered(500) from error

        return offer

    def carried(self, message: Message, source: Leg, target: Leg) -> Headers:
        """Return what goes on from a message of one leg to the other leg."""
        trust = Trust(source.kind == "server", target.kind == "server")
        return carry(message, trust).headers

    def emit(self, event: Event) -> None:
        """Tell whoever is interested."""
        self._calls.emit(event)
