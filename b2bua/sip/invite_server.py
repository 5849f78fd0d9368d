"""
The side of a session that an INVITE comes to (RFC 3261, sections 13.3 and 15; RFC 3262).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from b2bua.sip.dialog import dialog_of_request
from b2bua.sip.invite_usage import COMMON, InviteUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.reliable import RSEQ_RANGE, ReliableSender, Repetition
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.session import Session
from b2bua.sip.timers import earliest
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import AnswerReceived, Cause, Established
from b2bua.sip.usage_states import (
    Exchange,
    Rows,
    SessionState,
    UsageInput,
    UsageState,
    complete,
)

if TYPE_CHECKING:
    from b2bua.sip.user_agent import UserAgent

RELIABLE = "100rel"
RING_AGAIN = 60.0
"""Seconds after which a proxy hears again that it still rings (RFC 3261, section 13.3.1.1)."""


class InviteServerUsage(InviteUsage):
    """A session that we are asked for."""

    def __init__(self, agent: UserAgent, transaction: ServerTransaction) -> None:
        """Take an INVITE outside any dialog. DialogRefusal where it cannot make one."""
        super().__init__(agent, transaction.hop, UsageState.RINGING)
        self.invite = transaction
        request = transaction.request
        dialog = dialog_of_request(request, transaction.tag)
        session = Session(self, dialog, Exchange.THEIRS if request.body else Exchange.NONE_YET)
        session.note_peer(request)
        self.session = session
        self.dialog = dialog
        self._reliable = ReliableSender(1 + agent.random_below(RSEQ_RANGE))
        self._repetition: Repetition | None = None
        self._ring_at: float | None = None
        self._refusal: Response | None = None
        self._answer: tuple[bytes, tuple[tuple[str, str], ...]] = (b"", ())

    # Commands.

    @property
    def can_be_reliable(self) -> bool:
        """Whether provisional responses may be reliable: both sides know how."""
        request = self.invite.request
        offered = request.tokens("Supported") | request.tokens("Require")
        return RELIABLE in offered and RELIABLE in self.agent.profile.supported

    @property
    def must_be_reliable(self) -> bool:
        """Whether the peer takes no provisional response but reliable ones."""
        return RELIABLE in self.invite.request.tokens("Require")

    def ring(
        self,
        status: int,
        now: float,
        body: bytes = b"",
        *,
        reliable: bool = False,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """
        Send a provisional response from 101 to 199, reliable where that is asked for.

        Its body is the answer, or, where the INVITE had no offer, the offer: that one has to be
        reliable. An answer in a response that is not has to be given again with ``answer``.
        """
        if self.state is not UsageState.RINGING:
            raise OutOfPlace(f"{status} in state {self.state.name}")
        reliable = reliable or self.must_be_reliable
        if reliable and not self.can_be_reliable:
            raise OutOfPlace("the peer does not know reliable responses")
        self._note_early_body(body, reliable)
        required = [("Require", RELIABLE)] if reliable else []
        made = self._dialog_response(status, [*required, *headers], body)
        self._ring_at = now + RING_AGAIN
        if reliable:
            self._reliable.add(self.invite, made)
            self._send_reliable(now)
        else:
            self.agent.respond(self.invite, made, now)

    def _note_early_body(self, body: bytes, reliable: bool) -> None:
        session = self._session_of(None)
        if not body:
            return
        if session.exchange is Exchange.NONE_YET and reliable:
            session.exchange = Exchange.OURS
        elif session.exchange is Exchange.THEIRS and session.state is SessionState.IDLE:
            session.exchange = Exchange.DONE if reliable else Exchange.THEIRS
        else:
            raise OutOfPlace("a body that is neither an answer nor an offer that may stand here")
        session.description = body

    def answer(
        self, now: float, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """
        Accept the INVITE. The 2xx goes out as soon as it may.

        The body is the answer, or the offer where there was none; it is empty exactly if offer
        and answer stood in reliable responses already.
        """
        session = self._session_of(None)
        is_open = session.exchange in (Exchange.NONE_YET, Exchange.THEIRS)
        if bool(body) is not (is_open and session.state is SessionState.IDLE):
            raise OutOfPlace("a body too many, or one too few")
        if self.state is not UsageState.RINGING:
            raise OutOfPlace(f"an answer in state {self.state.name}")
        self._answer = (body, tuple(headers))
        later = self._reliable.holds_success or session.exchange is Exchange.OURS
        self.take(UsageInput.ANSWER_LATER if later else UsageInput.ANSWER, now)

    def reject(self, status: int, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Refuse the INVITE. Once it has been answered, or has ended, this does nothing."""
        if self.state in (UsageState.RINGING, UsageState.WITHHELD):
            self._refusal = self.invite.response(status, None, headers)
            self.take(UsageInput.HANG_UP, now)

    # What the network does.

    def receive_prack(self, session: Session, transaction: ServerTransaction, now: float) -> None:
        """Take a PRACK; it may bring the answer to an offer of ours, or an offer."""
        request = transaction.request
        if self._reliable.acknowledge(request.rack) is None:
            self.respond(transaction, 481, now)
            return
        if session.exchange is Exchange.OURS and session.state is SessionState.IDLE:
            self.respond(transaction, 200, now)
            self._take_early_answer(session, request, now)
        elif request.body and session.state is SessionState.IDLE:
            session.ask_about(transaction)
        else:
            self.respond(transaction, 491 if request.body else 200, now)
        self._send_reliable(now)
        if not self._reliable.holds_success:
            self.take(UsageInput.PRACKED, now)
        session.go_on(now)

    def _take_early_answer(self, session: Session, request: Request, now: float) -> None:
        if not request.body:
            self.lose(Cause.NO_ANSWER, now)
            return
        session.exchange = Exchange.DONE
        self.emit(AnswerReceived(self, session.dialog, request))
        session.go_on(now)

    def _send_reliable(self, now: float) -> None:
        repetition = self._reliable.take_next(self.agent.timers, now)
        if repetition is not None:
            self.agent.respond(self.invite, repetition.response, now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx."""
        if ack.cseq.number == self.invite.request.cseq.number:
            self.take(UsageInput.ACK, now, ack)
        else:
            super().receive_ack(ack, now)

    @property
    def may_update(self) -> bool:
        """Not while an answer in a provisional response has no PRACK (RFC 3311, section 5.1)."""
        return self.state is UsageState.RINGING and self._reliable.open is None

    def peer_goes_on(self, now: float) -> None:
        """A re-INVITE shows that the peer has our 2xx, so its ACK was lost or comes late."""
        self.take(UsageInput.ACK, now, self.invite.request)

    def cancelled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """Take the CANCEL of an INVITE of the peer that has no final response yet."""
        if transaction is self.invite:
            self.take(UsageInput.CANCEL, now, cancel)
        else:
            super().cancelled(transaction, cancel, now)

    # What the clock does.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        first = earliest(super().next_timeout(), self._ring_at)
        for repetition in (self._repetition, self._reliable.open):
            if repetition is not None:
                first = earliest(first, repetition.next_timeout())
        return first

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self._repetition is not None:
            self._repeat(self._repetition, UsageInput.NO_ACK, Cause.NO_ACK, now)
        if self._reliable.open is not None:
            self._repeat(self._reliable.open, UsageInput.LOST, Cause.NO_PRACK, now)
        if self._ring_at is not None and self._ring_at <= now:
            self._ring_again(now)
        super().handle_timeout(now)

    def _repeat(self, repetition: Repetition, given: UsageInput, cause: Cause, now: float) -> None:
        if repetition.next_timeout() > now:
            return
        if not repetition.is_over(now):
            self.agent.respond(self.invite, repetition.response, now)
            return
        if self.state is not UsageState.LEAVING:
            self._cause = cause
        self._repetition = None
        self._reliable.stop()
        self.take(given, now)

    def _ring_again(self, now: float) -> None:
        self._ring_at = now + RING_AGAIN
        last = self.invite.last_response
        if last is not None and not last.has("RSeq"):
            self.agent.respond(self.invite, last, now)

    # Effects.

    def _dialog_response(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Response:
        routes = [("Record-Route", row) for row in self.invite.request.get_rows("Record-Route")]
        listed = [*routes, *self.capabilities("200"), *headers]
        return self.response(self.invite, status, listed, body)

    def _stop_ringing(self) -> None:
        self._ring_at = None
        self._reliable.stop()

    def _send_success(self, now: float, message: Message | None) -> None:
        self._stop_ringing()
        session = self._session_of(None)
        body, headers = self._answer
        if body:
            session.description = body
            theirs = session.exchange is Exchange.THEIRS
            session.exchange = Exchange.DONE if theirs else Exchange.OURS
        session.dialog.request_accepted(self.invite.request)
        timer = self.timer.accept(self.invite.request, now)
        made = self._dialog_response(200, [*timer, *headers], body)
        self.agent.respond(self.invite, made, now)
        timers = self.agent.timers
        self._repetition = Repetition(self.invite, made, timers, now, timers.t2)

    def _establish(self, now: float, message: Message | None) -> None:
        ack = cast(Request, message)
        self._repetition = None
        session = self._session_of(None)
        self.emit(Established(self, session.dialog, ack))
        if session.exchange is Exchange.OURS and session.state is SessionState.IDLE:
            if not ack.body:
                self.lose(Cause.NO_ANSWER, now)
                return
            session.exchange = Exchange.DONE
            self.emit(AnswerReceived(self, session.dialog, ack))
        session.go_on(now)

    def _leave(self, now: float, message: Message | None) -> None:
        self.tell_end(self._cause)

    def _bye_at_last(self, now: float, message: Message | None) -> None:
        self._repetition = None
        self.send_bye(now, message)

    def _refuse(self, now: float, message: Message | None) -> None:
        self._refuse_with(self._refusal or self.invite.response(480), Cause.LOCAL, now)

    def _refuse_lost(self, now: float, message: Message | None) -> None:
        status = 504 if self._cause is Cause.NO_PRACK else 500
        self._refuse_with(self.invite.response(status), self._cause, now)

    def _refuse_cancelled(self, now: float, message: Message | None) -> None:
        self._refuse_with(self.invite.response(487), Cause.CANCELLED, now, message)

    def _refuse_ended(self, now: float, message: Message | None) -> None:
        self._refuse_with(self.invite.response(487), Cause.REMOTE, now, message)

    def _refuse_with(
        self, response: Response, cause: Cause, now: float, message: Message | None = None
    ) -> None:
        """Refuse the INVITE; ``message`` is the peer's that made us, and may say why."""
        self._stop_ringing()
        self.agent.respond(self.invite, response, now)
        self.tell_end(cause, message or response, response.status)
        self.finish(now, None)

    def _end_answered(self, now: float, message: Message | None) -> None:
        self._repetition = None
        self.end_by_bye(now, message)


_S, _I, _U = UsageState, UsageInput, InviteServerUsage
_REFUSALS = {
    _I.HANG_UP: (_U._refuse, _S.ENDED),
    _I.LOST: (_U._refuse_lost, _S.ENDED),
    _I.CANCEL: (_U._refuse_cancelled, _S.ENDED),
    _I.BYE: (_U._refuse_ended, _S.ENDED),
}
_ANSWERED_ONCE = dict.fromkeys((_I.ANSWER, _I.ANSWER_LATER, _I.PRACKED), "the 2xx went out already")
InviteServerUsage.rows = complete(
    cast(
        Rows,
        {
            _S.RINGING: {
                _I.ANSWER: (_U._send_success, _S.ANSWERED),
                _I.ANSWER_LATER: (_U.nothing, _S.WITHHELD),
                **_REFUSALS,
            },
            _S.WITHHELD: {
                _I.PRACKED: (_U._send_success, _S.ANSWERED),
                **_REFUSALS,
            },
            _S.ANSWERED: {
                _I.ACK: (_U._establish, _S.ESTABLISHED),
                _I.NO_ACK: (_U._bye_at_last, _S.ENDING),
                _I.HANG_UP: (_U._leave, _S.LEAVING),
                _I.LOST: (_U._leave, _S.LEAVING),
                _I.BYE: (_U._end_answered, _S.ENDED),
            },
            _S.LEAVING: {
                _I.ACK: (_U._bye_at_last, _S.ENDING),
                _I.NO_ACK: (_U._bye_at_last, _S.ENDING),
                _I.BYE: (_U._end_answered, _S.ENDED),
            },
            **COMMON,
        },
    ),
    ignored={
        _S.RINGING: {
            _I.PRACKED: "the user has not answered yet",
            _I.ACK: "there is no 2xx that it could acknowledge",
            _I.NO_ACK: "there is no 2xx",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.WITHHELD: {
            _I.ANSWER: "it is answered once",
            _I.ANSWER_LATER: "it is answered once",
            _I.ACK: "there is no 2xx that it could acknowledge",
            _I.NO_ACK: "there is no 2xx",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.ANSWERED: {
            **_ANSWERED_ONCE,
            _I.CANCEL: "it was too late, and has its 200",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.LEAVING: {
            **_ANSWERED_ONCE,
            _I.CANCEL: "it was too late, and has its 200",
            _I.HANG_UP: "it is under way",
            _I.LOST: "BYE follows in any case",
            _I.BYE_DONE: "there was no BYE of ours yet",
        },
        _S.ESTABLISHED: {
            **_ANSWERED_ONCE,
            _I.ACK: "a copy",
            _I.NO_ACK: "it has come",
            _I.CANCEL: "it was too late, and has its 200",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.ENDING: {
            **_ANSWERED_ONCE,
            _I.ACK: "a copy, or too late",
            _I.NO_ACK: "nothing is repeated any more",
            _I.CANCEL: "it was too late, and has its 200",
            _I.HANG_UP: "it is under way",
            _I.LOST: "BYE went out already",
        },
        _S.ENDED: dict.fromkeys(
            (
                *(_I.ANSWER, _I.ANSWER_LATER, _I.PRACKED, _I.ACK, _I.NO_ACK, _I.CANCEL),
                *(_I.HANG_UP, _I.LOST, _I.BYE, _I.BYE_DONE),
            ),
            "it is over",
        ),
    },
)
