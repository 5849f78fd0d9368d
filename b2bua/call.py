"""
A call: two legs that share nothing but this.

The caller's leg is there from the beginning; the callee's is one of those that are rung, or none
where the caller hears an echo. Here is how it begins and ends; what the legs say of media in
between is the business of ``call_legs``.

::

    RINGING ── a callee answers ──▶ UP ── either leg ends ──▶ OVER
       └────── the caller gives up, nobody is left to ring ─────▲
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from b2bua import causes
from b2bua.bodies import NotAcceptable, session_description
from b2bua.call_events import (
    CallAnswered,
    CallEnded,
    CallMedia,
    CallRinging,
    LegKind,
)
from b2bua.call_legs import BridgedLegs, CallState, Headers
from b2bua.faults import STATUS, contained, let_go
from b2bua.leg import Leg
from b2bua.media_plane import MediaPortsExhausted, TransportEvent
from b2bua.sdp.errors import SdpError
from b2bua.sip.message import Message
from b2bua.sip.usage_events import (
    AnswerReceived,
    Cause,
    Ended,
    Established,
    InDialogRequest,
    ModificationFailed,
    Modified,
    OfferReceived,
    OfferRequested,
    Progress,
    RequestAnswered,
    Unheard,
    UsageEvent,
)

if TYPE_CHECKING:
    from b2bua.calls import Calls


class Call(BridgedLegs):
    """One call between a caller and whoever answers first of those that are rung."""

    def __init__(
        self, calls: Calls, call_id: str, caller: Leg, number: str, max_forwards: int, now: float
    ) -> None:
        super().__init__(calls, call_id, caller)
        self.number = number
        """Who was called."""
        self.max_forwards = max_forwards
        self.started_at = now
        self.answered_at: float | None = None
        self._has_offer = False
        self._failed = 0
        """The best of the refusals so far (RFC 3261, section 16.7), 0 before the first."""
        self._rang = 0

    @property
    def has_rung(self) -> bool:
        """Whether the callee's side has said anything but that it tries."""
        return bool(self._rang)

    @property
    def can_be_answered(self) -> bool:
        """Whether ``answer`` would: nobody else has to be told."""
        return False

    def answer(self, now: float) -> None:
        """Answer on our own, where that is for us to do."""

    def start(self, now: float) -> None:
        """Take the caller's offer, if there is one, and ring. Refuses by itself what fails."""
        request = self.caller.caller_usage.invite.request
        try:
            body = session_description(request)
            if body:
                self.caller.media.take_offer(body)
                self._has_offer = True
            self._begin(now)
        except NotAcceptable as refused:
            self.refuse(refused.status, "body", now, (("Accept", "application/sdp"),))
        except SdpError as error:
            self.refuse(error.status, "sdp", now, warning(error))
        except MediaPortsExhausted:
            self.refuse(503, "media-ports", now, (("Retry-After", "10"),))

    def _begin(self, now: float) -> None:
        named = self.caller.media.offered if self._has_offer else None
        if self._has_offer and not named:
            raise SdpError("media")
        failed: SdpError | MediaPortsExhausted | None = None
        for leg in list(self.rung):
            try:
                is_placed = self._calls.place(self, leg, leg.media.offer(named), now)
            except (SdpError, MediaPortsExhausted) as error:
                is_placed, failed = False, failed or error
            if not is_placed:
                self.rung.remove(leg)
                leg.media.close()
                self._calls.left(leg)
        if not self.rung and failed is not None:
            raise failed
        if not self.rung:
            self.refuse(503, "no-server", now, (("Retry-After", "5"),))

    def refuse(self, status: int, reason: str, now: float, headers: Headers = ()) -> None:
        """End a call that nobody has answered, with this status for the caller."""
        if self.state is not CallState.OVER:
            self.caller.caller_usage.reject(status, now, headers)
            self._finish(status, reason, self.caller.kind, now)

    # What happens to a leg.
    def take(self, leg: Leg, event: UsageEvent, now: float) -> None:
        """Take what the user agent tells of one of the legs."""
        _TAKE[type(event)](self, leg, event, now)
        if leg.kept is not None and self.state is not CallState.OVER:
            self._calls.control.run_kept(self, leg, now)

    def _progress(self, leg: Leg, event: Progress, now: float) -> None:
        leg.note(event.response)
        was_unheard, leg.is_unheard = leg.is_unheard, False
        if self.state is not CallState.RINGING or leg is self.caller:
            return
        if was_unheard:
            self._calls.rings_on(self, now)
        early = event.is_answer and len(self.rung) == 1 and self._take_early(leg, event)
        body = self._early_answer(leg) if early else b""
        status = event.response.status
        if status == self._rang and not body:
            return
        if not self._rang:
            self.emit(CallRinging(self.id, status))
        self._rang = status
        self.caller.ring(status, body, self.carried(event.response, leg, self.caller), now)
        if early:
            self._bridge(leg)

    def _take_early(self, leg: Leg, event: Progress) -> bool:
        try:
            body = session_description(event.response)
            if event.is_reliable:
                leg.media.take_branch_answer(body, event.response.to.tag)
            else:
                leg.media.take_early_answer(body)
        except (SdpError, NotAcceptable):
            # Of early media only; what the final response says counts.
            return False
        return True

    def _early_answer(self, leg: Leg) -> bytes:
        if self._has_offer and not self.caller.answer_body:
            try:
                self.caller.answer_body = self.caller.media.answer(leg.media.agreed)
            except (SdpError, MediaPortsExhausted):
                # The final answer meets the same, and is refused for it.
                return b""
        return self.caller.answer_body

    def _established(self, leg: Leg, event: Established, now: float) -> None:
        leg.note(event.message)
        leg.media.is_confirmed = True
        if leg is self.caller or self.state is not CallState.RINGING:
            self.bridge()
            return
        if leg.media.is_answered_by(event.dialog.remote_tag) or (
            not event.message.body and leg.media.take_promised_answer()
        ):
            self._answered(leg, event.message, now)

    def _answer_received(self, leg: Leg, event: AnswerReceived, now: float) -> None:
        try:
            leg.media.take_answer(session_description(event.message))
        except (SdpError, NotAcceptable):
            # Nothing can be refused any more: the exchange is over for the peer.
            self._give_up(leg, now)
            return
        if self.state is CallState.RINGING and leg is not self.caller:
            self._answered(leg, event.message, now)
        else:
            self.changed(leg, now)
            self.answer_waiting(leg, now)

    def _answered(self, leg: Leg, message: Message, now: float) -> None:
        """A callee's side has answered: so does ours."""
        self.callee = leg
        if leg in self.rung:
            self.rung.remove(leg)
        self._stop_ringing(causes.request_reason(200, "Call completed elsewhere"), now)
        try:
            if not self._has_offer:
                body = self.caller.media.offer(leg.media.agreed)
            else:
                body = self.caller.answer_body or self.caller.media.answer(leg.media.agreed)
        except SdpError:
            self._undo(488, "media", (), now)
        except MediaPortsExhausted:
            self._undo(503, "media-ports", (("Retry-After", "10"),), now)
        else:
            self.pick_up(body, self.carried(message, leg, self.caller), now)

    def _undo(self, status: int, cause: str, headers: Headers, now: float) -> None:
        """Refuse the caller although a callee has answered, who is let go."""
        self.caller.caller_usage.reject(status, now, headers)
        self._end(self.caller, status, cause, now)

    def pick_up(self, body: bytes, headers: Headers, now: float) -> None:
        """Answer the caller."""
        self.state = CallState.UP
        self.answered_at = now
        self._calls.answered(self)
        self.caller.answer(body, headers, now)
        self.emit(CallAnswered(self.id, now - self.started_at))
        self.bridge()

    def _unheard(self, leg: Leg, event: Unheard, now: float) -> None:
        leg.is_unheard = leg.kind == "server" and leg is not self.caller
        self.try_other_server(now)

    def try_other_server(self, now: float) -> None:
        """
        Send what nothing has come back for to the server in use.

        Where there is none, one may answer its probe in a moment: the call waits so long.
        """
        for leg in self.rung:
            if leg.is_unheard and self._calls.place_again(self, leg, now):
                leg.is_unheard = False
        if not any(leg.is_unheard for leg in self.rung):
            return
        if self._calls.are_servers_down(now):
            self._calls.wait_for_server(self, now)
        else:
            # The server that it went to is the one that has come back.
            self._calls.rings_on(self, now)

    def _in_dialog(self, leg: Leg, event: InDialogRequest, now: float) -> None:
        self._calls.control.take(self, leg, event.transaction, now)

    def _nothing(self, leg: Leg, event: UsageEvent, now: float) -> None:
        """What became of an INFO or NOTIFY of ours changes nothing."""

    # The end.
    def _ended(self, leg: Leg, event: Ended, now: float) -> None:
        if self.state is CallState.RINGING and leg is not self.caller:
            self._callee_failed(leg, event, now)
        elif leg is self.caller or leg is self.callee:
            self._end(leg, event.status, event.cause.value, now, event)

    def _callee_failed(self, leg: Leg, event: Ended, now: float) -> None:
        unserved = leg.kind == "server" and event.status in (408, 503)
        if unserved and event.cause is Cause.REFUSED and self._calls.place_again(self, leg, now):
            return
        if leg in self.rung:
            self.rung.remove(leg)
        leg.media.close()
        self._failed = causes.better_refusal(self._failed, event.status)
        if event.status >= 600:
            # That speaks for the user wherever they are (RFC 3261, section 16.7, step 5).
            status = causes.status_for_caller(event.status)
            self._stop_ringing(causes.request_reason(status), now)
        if not self.rung and unserved and self._calls.are_servers_down(now):
            self.refuse(503, "no-server", now, (("Retry-After", "5"),))
        elif not self.rung:
            status = causes.status_for_caller(self._failed or causes.Failure.INTERNAL)
            reason = (("Reason", causes.response_reason(status)),)
            carried = self.carried(event.message, leg, self.caller) if event.message else ()
            self.caller.caller_usage.reject(status, now, (*reason, *carried))
            self._finish(status, event.cause.value, leg.kind, now)

    def _stop_ringing(self, reason: str, now: float) -> None:
        """Give up every leg that rings still."""
        rung, self.rung = self.rung, []
        for leg in rung:
            leg.hang_up((("Reason", reason),), now)
            leg.media.close()

    def no_answer(self, now: float) -> None:
        """It has rung for long enough, or has waited for a server for long enough."""
        if self.state is not CallState.RINGING:
            return
        unserved = any(leg.is_unheard for leg in self.rung)
        for leg in self.rung:
            leg.hang_up((), now)
        if unserved and self._calls.are_servers_down(now):
            self.refuse(503, "no-server", now, (("Retry-After", "5"),))
        else:
            self.refuse(causes.OF_FAILURE[causes.Failure.NO_ANSWER], "no-answer", now)

    def _give_up(self, leg: Leg, now: float) -> None:
        """The peer of a leg gave what cannot be used where nothing can be refused."""
        reason = (("Reason", causes.request_reason(488)),)
        leg.hang_up(reason, now)
        if self.state is CallState.RINGING and leg is not self.caller:
            if leg in self.rung:
                self.rung.remove(leg)
            leg.media.close()
            if not self.rung:
                self.refuse(488, "media", now)
        else:
            self._end(leg, 488, "media", now)

    def hang_up(self, cause: str, now: float) -> None:
        """End the call on both legs, by our own will."""
        if self.state is CallState.RINGING:
            for leg in self.rung:
                leg.hang_up((), now)
            self.refuse(480, cause, now)
        elif self.state is CallState.UP:
            self.caller.hang_up((), now)
            self._end(self.caller, 0, cause, now)

    def media_changed(self, leg: Leg, event: TransportEvent, now: float) -> None:
        """Take what became of a browser's transport."""
        if event is TransportEvent.FAILED:
            self.media_ended(leg, "media-failed", now)
        elif event is TransportEvent.LOST:
            self.revive(leg, now)

    def media_ended(self, leg: Leg, cause: str, now: float) -> None:
        """Media of a leg are gone for good: so is the call, unless somebody else may answer."""
        if leg is self.caller or leg is self.callee:
            self.hang_up(cause, now)

    def _end(
        self, leg: Leg, status: int, cause: str, now: float, event: Ended | None = None
    ) -> None:
        headers: list[tuple[str, str]] = []
        if event is not None:
            reason = causes.end_reason(event.cause, status)
            headers += [("Reason", reason)] if reason else []
        for across in self.legs():
            if across is not leg and not across.has_ended:
                message = event.message if event else None
                carried = self.carried(message, leg, across) if message else ()
                across.hang_up((*carried, *headers), now)
        answered = self.state is CallState.UP
        self._finish(0 if answered and cause != "media" else status or 487, cause, leg.kind, now)

    def _finish(self, status: int, cause: str, by: LegKind, now: float) -> None:
        self.state = CallState.OVER
        for leg in self.legs():
            for kind, counters in leg.media.close().items():
                if self.answered_at is not None:
                    self.emit(CallMedia(self.id, leg.kind, kind, counters))
        lasted = 0.0 if self.answered_at is None else now - self.answered_at
        self.emit(CallEnded(self.id, status, cause, by, lasted))
        self._calls.over(self)

    def fail(self, legs: Iterable[Leg], now: float) -> None:
        """
        End it for a fault of ours, with all ``legs`` that it ever had and has still.

        It may be anywhere in between: what cannot be done any more keeps nothing else from it.
        """
        every = dict.fromkeys((*self.legs(), *self.rung, *legs))
        for leg in every:
            with contained(self.emit, self.id):
                if leg.usage is not None:
                    let_go(leg.usage, now)
        with contained(self.emit, self.id):
            if self in self._calls:
                self._finish(STATUS, "fault", self.caller.kind, now)
        for leg in every:
            with contained(self.emit, self.id):
                leg.media.close()
            self._calls.left(leg)
        self._calls.over(self)

    def take_over(self, old: Leg, new: Leg, now: float) -> None:
        """Let a leg that was called by Replaces take the place of another (RFC 3891)."""
        across = self.other(old)
        usage = new.caller_usage
        try:
            body = session_description(usage.invite.request)
            named = None if across is None else across.media.agreed
            if body:
                new.media.take_offer(body)
                answer = new.media.answer(new.media.offered if named is None else named)
            else:
                answer = new.media.offer(named)
        except (SdpError, NotAcceptable, MediaPortsExhausted) as error:
            new.media.close()
            usage.reject(getattr(error, "status", 503), now)
            return
        if old is self.caller:
            self.caller = new
        else:
            self.callee = new
        new.answer(answer, (), now)
        self.bridge()
        old.hang_up((), now)
        old.media.close()


def warning(error: SdpError) -> Headers:
    """The Warning beside a 488, which says what is not common."""
    if error.status != 488:
        return ()
    return (("Warning", f'{error.warning} webrtc-suite "{error.reason}"'),)


_TAKE: dict[type[UsageEvent], Callable[..., None]] = {
    Progress: Call._progress,
    Unheard: Call._unheard,
    Established: Call._established,
    OfferReceived: Call.offer_received,
    OfferRequested: Call.offer_requested,
    AnswerReceived: Call._answer_received,
    Modified: Call.modified,
    ModificationFailed: Call.modification_failed,
    RequestAnswered: Call._nothing,
    InDialogRequest: Call._in_dialog,
    Ended: Call._ended,
}
