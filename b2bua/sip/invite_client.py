"""
The side of a session that sends the INVITE (RFC 3261, sections 9.1 and 13.2; RFC 3262).

One INVITE may make several dialogs. The first 2xx is the session; each other one gets its ACK and
a BYE, however late it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.dialog import Dialog, DialogTableFull, dialog_of_response
from b2bua.sip.headers import CSeq, RAck
from b2bua.sip.hop import Hop
from b2bua.sip.invite_usage import COMMON, InviteUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.session import Session
from b2bua.sip.transaction import Transaction
from b2bua.sip.transactions import TableFull
from b2bua.sip.usage_events import (
    AnswerReceived,
    Cause,
    Established,
    Invitation,
    OfferReceived,
    Progress,
    Unheard,
)
from b2bua.sip.usage_states import Exchange, Rows, UsageInput, UsageState, complete

if TYPE_CHECKING:
    from b2bua.sip.user_agent import UserAgent

MAX_ATTEMPTS = 6
"""How often one INVITE is sent, for challenges and for too short an interval together."""


class InviteClientUsage(InviteUsage):
    """A session that we ask for."""

    def __init__(self, agent: UserAgent, invitation: Invitation, hop: Hop, now: float) -> None:
        super().__init__(agent, hop, UsageState.CALLING)
        self.credentials = invitation.credentials
        self._sessions: dict[str, Session] = {}
        self._attempt = 0
        self._challenges = 0
        self._answered_early: set[str] = set()
        self._ended_early = Cause.CANCELLED
        request = self._first_request(invitation)
        if self.credentials is not None:
            self.credentials.authorize(request, hop)
        self._start(request, now)

    def _first_request(self, invitation: Invitation) -> Request:
        token = self.agent.token
        request = Request(
            "INVITE",
            invitation.uri,
            [
                ("Max-Forwards", invitation.max_forwards),
                ("From", invitation.from_.with_tag(token())),
                ("To", invitation.to),
                ("Call-ID", invitation.call_id or token()),
                ("CSeq", CSeq(1, "INVITE")),
                *self.capabilities("first INVITE"),
                *self.timer.request_headers(),
                *invitation.headers,
            ],
            invitation.body,
        )
        if invitation.body and not request.has("Content-Type"):
            request.add("Content-Type", self.content_type)
        return request

    def _start(self, request: Request, now: float) -> None:
        self._request = request
        self._attempt += 1
        self._invite = self.agent.start(self, request, self.hop, now)

    @property
    def branch(self) -> str:
        """The branch of our INVITE as it went out last."""
        return self._invite.request.via.branch

    def sessions(self) -> list[Session]:
        """Every dialog that may still become the session, or is it."""
        return list(self._sessions.values()) if self.session is None else [self.session]

    # Responses to the INVITE.

    def receive_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """Take a response to a request of ours."""
        if transaction is not self._invite:
            super().receive_response(transaction, response, now)
        elif response.status < 200:
            self._receive_provisional(response, now)
        elif response.is_success:
            self._receive_success(response, now)
        elif not self._try_again(response, now):
            self.take(UsageInput.FAILURE, now, response)

    def unheard(self, transaction: Transaction) -> None:
        """Note that the server has been silent for long."""
        if transaction is self._invite and self.state is UsageState.CALLING:
            self.emit(Unheard(self))

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        """Note that a request has had no answer."""
        if transaction is self._invite:
            self.take(UsageInput.FAILURE, now, self._request.response(status))
        else:
            super().transaction_failed(transaction, status, now)

    def _receive_provisional(self, response: Response, now: float) -> None:
        if self.state is not UsageState.CALLING or response.status == 100:
            return
        session = self._session_for(response) if response.to.tag else None
        if session is None:
            self.emit(Progress(self, None, response))
            return
        session.note_peer(response)
        rseq = response.rseq if "100rel" in response.tokens("Require") else None
        if rseq is not None and not session.received.take(rseq):
            return
        is_answer = bool(response.body) and session.exchange is Exchange.OURS
        is_offer = (
            bool(response.body) and session.exchange is Exchange.NONE_YET and rseq is not None
        )
        if is_answer:
            self._answered_early.add(response.to.tag)
        if rseq is not None:
            if is_answer:
                session.exchange = Exchange.DONE
            self._acknowledge_provisional(session, response, rseq, is_offer, now)
        self.emit(Progress(self, session.dialog, response, is_offer, is_answer, rseq is not None))
        session.go_on(now)

    def _acknowledge_provisional(
        self, session: Session, response: Response, rseq: int, is_offer: bool, now: float
    ) -> None:
        def send(body: bytes, then: float) -> None:
            rack = RAck(rseq, response.cseq.number, "INVITE")
            request = session.dialog.request("PRACK", [("RAck", str(rack))], body)
            self.ask(session, request, self._prack_done, then)

        if is_offer:
            session.owe(send)
        else:
            send(b"", now)

    def _prack_done(
        self, request: Request, status: int, response: Response | None, now: float
    ) -> None:
        """What becomes of the INVITE says all there is to say."""

    def _receive_success(self, response: Response, now: float) -> None:
        session = self._session_for(response)
        if session is None:
            # There is no room for the dialog; it still needs its end.
            session = self._new_session(dialog_of_response(self._request, response))
        if session.acknowledge_again(response.cseq.number):
            return
        if self.session is None and self.state in (UsageState.CALLING, UsageState.CANCELLING):
            self.session = session
            self.take(UsageInput.SUCCESS, now, response)
        elif session is not self.session:
            self._end_fork(session, response, now)

    def _end_fork(self, session: Session, response: Response, now: float) -> None:
        """A 2xx of a dialog that came too late is acknowledged, and ended (section 13.2.2.4)."""
        session.dialog.response_received(self._request, response)
        session.acknowledge(self._request, b"", now)
        self.send_bye_in(session, self._prack_done, now)

    def receive_stray_success(self, response: Response, dialog: Dialog) -> None:
        """Take a 2xx whose transaction is over."""
        session = self._sessions.get(dialog.remote_tag)
        if session is not None:
            session.acknowledge_again(response.cseq.number)

    def _session_for(self, response: Response) -> Session | None:
        session = self._sessions.get(response.to.tag)
        if session is not None:
            return session
        dialog = dialog_of_response(self._request, response)
        try:
            self.agent.add_dialog(self, dialog)
        except DialogTableFull:
            return None
        session = self._sessions[dialog.remote_tag] = self._new_session(dialog)
        return session

    def _new_session(self, dialog: Dialog) -> Session:
        body = self._request.body
        session = Session(self, dialog, Exchange.OURS if body else Exchange.NONE_YET)
        session.description = body
        return session

    def _try_again(self, response: Response, now: float) -> bool:
        """Whether a refusal asked for credentials or a longer interval, and the INVITE went out."""
        if self.state is not UsageState.CALLING or self._attempt >= MAX_ATTEMPTS:
            return False
        again: Request | None = None
        if response.status in (401, 407):
            again = self.answer_challenge(
                self._invite, response, self._next_sequence, self._challenges
            )
            self._challenges += 1
        elif response.status == 422 and self.timer.too_small(response):
            again = self._with_interval()
        if again is None:
            return False
        self._drop_sessions(now)
        self._sessions = {}
        try:
            self._start(again, now)
        except TableFull:
            return False
        return True

    def _next_sequence(self) -> int:
        """The number after the highest that any of the dialogs has used."""
        used = [session.dialog.local_sequence for session in self._sessions.values()]
        return max([self._request.cseq.number, *used]) + 1

    def _with_interval(self) -> Request:
        request = self._request
        again = Request("INVITE", request.uri, request.headers, request.body)
        again.replace("CSeq", CSeq(self._next_sequence(), "INVITE"))
        for name in ("Session-Expires", "Min-SE"):
            again.remove(name)
        for name, value in self.timer.request_headers():
            again.add(name, value)
        return again

    def _drop_sessions(self, now: float) -> None:
        """The early dialogs, all but the one that is the session, are over."""
        for session in self._sessions.values():
            if session is not self.session:
                session.end(now)
                self.agent.remove_dialog(session.dialog)

    def forget(self) -> None:
        """Let go of what refers back here."""
        super().forget()
        self._sessions = {}

    # BYE of a peer before its 2xx.

    def _receive_bye(self, session: Session, transaction: ServerTransaction, now: float) -> None:
        """
        Take a BYE. Before a 2xx it ends the one dialog only, and the INVITE if there is no other.

        The 2xx was lost, or is late: it still has its ACK when a copy comes (RFC 5407, 3.1.2).
        """
        if self.session is None and len(self._sessions) > 1:
            self.respond(transaction, 200, now)
            session.end(now)
        else:
            super()._receive_bye(session, transaction, now)

    # Effects.

    def _cancel(self, now: float, message: Message | None) -> None:
        self.agent.cancel(self._invite, now, self._bye_headers)

    def _cancel_after_bye(self, now: float, message: Message | None) -> None:
        self._ended_early = Cause.REMOTE
        self._cancel(now, message)

    def _refused(self, now: float, message: Message | None) -> None:
        self.tell_end(Cause.REFUSED, message)
        self._drop_sessions(now)
        self.finish(now, message)

    def _given_up(self, now: float, message: Message | None) -> None:
        self.tell_end(self._ended_early, message)
        self._drop_sessions(now)
        self.finish(now, message)

    def _undo(self, now: float, message: Message | None) -> None:
        """The 2xx crossed with our CANCEL."""
        response = cast(Response, message)
        self._cause = self._ended_early
        session = self._session_of(None)
        self._drop_sessions(now)
        session.dialog.response_received(self._request, response)
        session.acknowledge(self._request, b"", now)
        self.send_bye(now, None)

    def _establish(self, now: float, message: Message | None) -> None:
        response = cast(Response, message)
        session = self._session_of(None)
        self._drop_sessions(now)
        session.note_peer(response)
        session.dialog.response_received(self._request, response)
        self.timer.accepted(response, now)
        self.emit(Established(self, session.dialog, response))
        if session.exchange is Exchange.NONE_YET and response.body:
            invite = self._request
            session.owe(lambda body, then: session.acknowledge(invite, body, then))
            self.emit(OfferReceived(self, session.dialog, response))
            return
        session.acknowledge(self._request, b"", now)
        if session.exchange is Exchange.OURS:
            self._take_answer(session, response)
        if session.exchange is Exchange.DONE:
            session.go_on(now)
        elif session.exchange is not Exchange.THEIRS:
            self.lose(Cause.NO_ANSWER, now)

    def _take_answer(self, session: Session, response: Response) -> None:
        """The answer is in the 2xx; where it is not, it was in a 1xx (section 13.2.1)."""
        if response.body:
            session.exchange = Exchange.DONE
            self.emit(AnswerReceived(self, session.dialog, response))
        elif response.to.tag in self._answered_early:
            session.exchange = Exchange.DONE


_S, _I, _U = UsageState, UsageInput, InviteClientUsage
InviteClientUsage.rows = complete(
    cast(
        Rows,
        {
            _S.CALLING: {
                _I.SUCCESS: (_U._establish, _S.ESTABLISHED),
                _I.FAILURE: (_U._refused, _S.ENDED),
                _I.HANG_UP: (_U._cancel, _S.CANCELLING),
                _I.BYE: (_U._cancel_after_bye, _S.CANCELLING),
            },
            _S.CANCELLING: {
                _I.SUCCESS: (_U._undo, _S.ENDING),
                _I.FAILURE: (_U._given_up, _S.ENDED),
            },
            **COMMON,
        },
    ),
    ignored={
        _S.CALLING: {
            _I.LOST: "an early dialog has failed; the INVITE has its own end",
            _I.BYE_DONE: "there was no BYE of ours, but to a fork that came too late",
        },
        _S.CANCELLING: {
            _I.HANG_UP: "it is under way",
            _I.BYE: "it has its 200; what the INVITE still gets decides",
            _I.LOST: "it ends in any case",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.ESTABLISHED: {
            _I.SUCCESS: "it was answered once; other forks are ended by themselves",
            _I.FAILURE: "a 2xx is final",
            _I.BYE_DONE: "there was no BYE of ours",
        },
        _S.ENDING: {
            _I.SUCCESS: "a copy, which has its ACK again",
            _I.FAILURE: "a 2xx is final",
            _I.HANG_UP: "it is under way",
            _I.LOST: "BYE went out already",
        },
        _S.ENDED: dict.fromkeys(
            (_I.SUCCESS, _I.FAILURE, _I.HANG_UP, _I.BYE, _I.LOST, _I.BYE_DONE),
            "it is over",
        ),
    },
)
