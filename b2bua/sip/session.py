"""
Offers and answers after, or beside, the first INVITE, within one dialog (RFC 3261, section 14;
RFC 3311; RFC 6141)::

              modify: send                          INVITE, UPDATE: tell
      +------------------------- Idle ---------------------------+
      |                          ^  ^                            |
      v      refused, answered   |  |   refuse, UPDATE accepted  v
     Sent -----------------------+  +------------------------- Asked --+ INVITE, UPDATE:
      |  ^                       |  |                            |  <--+ 500, Retry-After
      |  | time: send            |  | ACK                        | INVITE accepted
      |  +-----------+           |  |                            v
      | 491          |           |  +------------------------ Repeating
      +----------> Backoff       |                              2xx until ACK
      | 2xx with an offer        | accept: send ACK
      +----------> Answering ----+

Beside the state there is the exchange: whose offer is open. Each offer has its answer or is taken
back, and only then comes the next. What one side wants while the other is at it waits for Idle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.sip.dialog import Dialog
from b2bua.sip.glare import LONGEST_RETRY_AFTER, MAX_TRIES, backoff, retry_after
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.reliable import ReliableReceiver, Repetition
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import (
    AnswerReceived,
    Cause,
    ModificationFailed,
    Modified,
    NotOffered,
    OfferReceived,
    OfferRequested,
)
from b2bua.sip.usage_states import Change, Exchange, SessionState

if TYPE_CHECKING:
    from b2bua.sip.invite_usage import InviteUsage

LONGEST_CHANGE = 180.0
"""
Seconds that a re-INVITE of ours may stay open. Once there has been a 1xx its transaction waits for
ever, and where the final response was lost nothing else could be changed any more.
"""
ACKS_KEPT = 4
"""How many ACKs are kept for copies of the 2xx that they belong to."""


class Session:
    """One dialog of a usage, and the offers and answers in it."""

    __slots__ = (
        *("_acks", "_asked", "_before", "_change", "_owed", "_repetition", "_retry_at", "_wanted"),
        *("description", "dialog", "exchange", "peer_allows", "received", "state", "usage"),
    )

    def __init__(self, usage: InviteUsage, dialog: Dialog, exchange: Exchange) -> None:
        self.usage = usage
        self.dialog = dialog
        self.exchange = exchange
        self.state = SessionState.IDLE
        self.description = b""
        """What we last offered or answered; a refresh by re-INVITE says it again."""
        self.peer_allows: frozenset[str] = frozenset()
        """Methods in lower case; empty as long as the peer has not said."""
        self.received = ReliableReceiver()
        self._before = exchange
        self._change: Change | None = None
        self._wanted: Change | None = None
        self._owed: Callable[[bytes, float], None] | None = None
        self._asked: ServerTransaction | None = None
        self._repetition: Repetition | None = None
        self._retry_at: float | None = None
        self._acks: dict[int, tuple[Request, Hop]] = {}

    def note_peer(self, message: Message) -> None:
        """Take what a message of the peer says about what it can do."""
        if message.has("Allow"):
            self.peer_allows = message.tokens("Allow")

    # Changes of ours.

    def modify(self, change: Change, now: float) -> None:
        """Send a change as soon as nothing else is open; a later one takes its place until then."""
        if self.state is SessionState.OVER:
            raise OutOfPlace("the session is over")
        if self._wanted is None or not change.is_refresh:
            self._wanted = change
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """
        Send what is wanted, if it may be sent now.

        Its offer is made after the user has heard how the exchange before it ended.
        """
        change = self._wanted
        if change is None or self.state is not SessionState.IDLE:
            return
        if self.usage.agent.waits_for_user(self):
            return
        method = self._method_for(change)
        if method:
            self._wanted = None
            self._send(change, method, now)

    def _method_for(self, change: Change) -> str:
        """
        How a change can go out now, or "".

        An UPDATE has to be answered at once, without asking a user; so a session that stands is
        changed by re-INVITE and refreshed by UPDATE. Before it stands there is UPDATE only.
        """
        if self.exchange is not Exchange.DONE:
            return ""
        updates = "update" in self.peer_allows
        if self.usage.may_reinvite:
            return "UPDATE" if change.is_refresh and updates else "INVITE"
        may_update = updates and self.usage.may_update and change.offer is not None
        return "UPDATE" if may_update else ""

    def _send(self, change: Change, method: str, now: float) -> None:
        try:
            body = self._body_of(change, method)
        except NotOffered as none:
            self.usage.emit(ModificationFailed(self.usage, self.dialog, none.status))
            return
        change.tries += 1
        self._change = change
        self._before = self.exchange
        if body or method == "INVITE":
            # What an INVITE without an offer asks for fills the place of an offer all the same.
            self.exchange = Exchange.OURS
        self.state = SessionState.SENT
        headers = [*self.usage.capabilities(method), *self.usage.timer.request_headers()]
        request = self.dialog.request(method, [*headers, *change.headers], body)
        if method == "INVITE":
            self._retry_at = now + LONGEST_CHANGE
        self.usage.ask(self, request, self._change_done, now)

    def _body_of(self, change: Change, method: str) -> bytes:
        if change.is_refresh:
            return self.description if method == "INVITE" else b""
        return change.offer() if change.offer is not None else b""

    def _change_done(
        self, request: Request, status: int, response: Response | None, now: float
    ) -> None:
        is_success = response is not None and response.is_success
        if response is not None and is_success and request.method == "INVITE":
            self.dialog.response_received(request, response)
        if self.state is not SessionState.SENT:
            if is_success and request.method == "INVITE":
                self.acknowledge(request, b"", now)
            return
        if response is not None and is_success:
            self._change_accepted(request, response, now)
        else:
            self._change_refused(request, status, response, now)

    def _change_accepted(self, request: Request, response: Response, now: float) -> None:
        self.note_peer(response)
        self.usage.timer.accepted(response, now)
        if request.method == "UPDATE":
            self.dialog.response_received(request, response)
        if request.method == "INVITE" and not request.body:
            self._offer_in_success(request, response, now)
            return
        if request.method == "INVITE":
            self.acknowledge(request, b"", now)
        self._become_idle(Exchange.DONE)
        if request.body:
            if not response.body:
                self.usage.lose(Cause.NO_ANSWER, now)
                return
            self.description = request.body
            self.usage.emit(AnswerReceived(self.usage, self.dialog, response))
            self.usage.emit(Modified(self.usage, self.dialog))
        self.go_on(now)

    def _offer_in_success(self, request: Request, response: Response, now: float) -> None:
        if not response.body:
            self.acknowledge(request, b"", now)
            self._fail(response.status, now)
            return
        self.owe(lambda body, then: self._answer_in_ack(request, body, then))
        self.usage.emit(OfferReceived(self.usage, self.dialog, response))

    def _answer_in_ack(self, request: Request, body: bytes, now: float) -> None:
        self.acknowledge(request, body, now)
        self.usage.emit(Modified(self.usage, self.dialog))

    def _change_refused(
        self, request: Request, status: int, response: Response | None, now: float
    ) -> None:
        change = self._change
        if change is None:
            raise RuntimeError("an answer to a change that was never sent")
        wait = response.retry_after if response is not None and status == 500 else None
        if status in (408, 481) and self.usage.may_reinvite:
            self._become_idle(self._before)
            self.usage.lose(Cause.GONE if status == 481 else Cause.SILENT, now)
        elif (status == 491 or wait is not None) and change.tries < MAX_TRIES:
            self.exchange = self._before
            self.state = SessionState.BACKOFF
            self._wanted = self._wanted or change
            self._wanted.tries = max(change.tries, self._wanted.tries)
            owner = self.dialog.is_caller
            pause = backoff(self.usage.agent.random_below, owns_call_id=owner)
            self._retry_at = now + max(retry_after(wait), pause)
        elif change.tries < MAX_TRIES and self._try_otherwise(request, status, response):
            self._become_idle(self._before)
            self._wanted = self._wanted or change
            self.go_on(now)
        else:
            self._fail(status, now, is_ours=not change.is_refresh)

    def _try_otherwise(self, request: Request, status: int, response: Response | None) -> bool:
        """Whether a refusal says how the change could be had (422), or that UPDATE is unknown."""
        if response is not None and status == 422:
            return self.usage.timer.too_small(response)
        if request.method == "UPDATE" and status in (405, 501):
            self.peer_allows -= {"update"}
            return self.usage.may_reinvite
        return False

    def _fail(self, status: int, now: float, *, is_ours: bool = True) -> None:
        self._become_idle(self._before)
        self.usage.emit(ModificationFailed(self.usage, self.dialog, status, is_ours))
        self.go_on(now)

    # Changes of the peer.

    def receive_change(self, transaction: ServerTransaction, now: float) -> None:
        """Take a re-INVITE or an UPDATE of the peer."""
        request = transaction.request
        self.note_peer(request)
        too_small = self.usage.timer.refusal(request)
        if too_small is not None:
            self._refuse(transaction, 422, now, too_small)
        elif request.method == "UPDATE" and not request.body:
            self._accept_at_once(transaction, now)
        else:
            _RECEIVE[self.state](self, transaction, now)

    def _accept_at_once(self, transaction: ServerTransaction, now: float) -> None:
        """An UPDATE without an offer only refreshes; nothing that is open stands in its way."""
        self.dialog.request_accepted(transaction.request)
        self._respond(transaction, self._success(transaction, b"", now), now)

    def _ask(self, transaction: ServerTransaction, now: float) -> None:
        request = transaction.request
        if request.method == "INVITE" and not self.usage.takes_reinvite:
            self._overlap(transaction, now)
        elif self.exchange is Exchange.OURS:
            self._glare(transaction, now)
        elif self.exchange is not Exchange.DONE:
            self._overlap(transaction, now)
        else:
            if request.method == "INVITE":
                self.usage.peer_goes_on(now)
            self.ask_about(transaction)

    def ask_about(self, transaction: ServerTransaction) -> None:
        """Have the user accept or refuse an offer, or give one."""
        request = transaction.request
        self._before = self.exchange
        self._asked = transaction
        self._retry_at = None
        self.state = SessionState.ASKED
        self.exchange = Exchange.THEIRS
        kind = OfferReceived if request.body else OfferRequested
        self.usage.emit(kind(self.usage, self.dialog, request))

    def _ask_again(self, transaction: ServerTransaction, now: float) -> None:
        """
        A change while the 2xx to the one before waits for its ACK.

        The peer has seen that 2xx, or it would not have gone on, so the ACK was lost or comes
        late. Only where it was to bring the answer is it waited for (RFC 5407, section 3.1.4).
        """
        if self.exchange is Exchange.OURS:
            self._glare(transaction, now)
        else:
            self._repetition = None
            self._become_idle(Exchange.DONE)
            self.usage.emit(Modified(self.usage, self.dialog))
            self._ask(transaction, now)

    def _glare(self, transaction: ServerTransaction, now: float) -> None:
        self._refuse(transaction, 491, now)

    def _overlap(self, transaction: ServerTransaction, now: float) -> None:
        wait = self.usage.agent.random_below(LONGEST_RETRY_AFTER + 1)
        self._refuse(transaction, 500, now, [("Retry-After", str(wait))])

    def _gone(self, transaction: ServerTransaction, now: float) -> None:
        self._refuse(transaction, 481, now)

    def accept(self, body: bytes, now: float) -> None:
        """Answer the offer that is open, or give the one that is asked for."""
        if self._owed is not None:
            owed, self._owed = self._owed, None
            self.description = body
            self._become_idle(Exchange.DONE)
            owed(body, now)
            self.go_on(now)
        elif self._asked is not None:
            self._accept(self._asked, body, now)
        else:
            raise OutOfPlace("there is nothing to accept")

    def _accept(self, transaction: ServerTransaction, body: bytes, now: float) -> None:
        request = transaction.request
        self._asked = None
        self.description = body
        self.dialog.request_accepted(request)
        response = self._success(transaction, body, now)
        self._respond(transaction, response, now)
        if request.method == "INVITE":
            agent = self.usage.agent
            self._repetition = Repetition(transaction, response, agent.timers, now, agent.timers.t2)
            self.state = SessionState.REPEATING
            self.exchange = Exchange.DONE if request.body else Exchange.OURS
            return
        self._become_idle(Exchange.DONE)
        self.usage.emit(Modified(self.usage, self.dialog))
        self.go_on(now)

    def refuse(self, status: int, now: float) -> None:
        """Refuse the change that the peer asks for; the session stays as it is (RFC 6141)."""
        if self._asked is None:
            raise OutOfPlace("there is nothing to refuse")
        self._refuse(self._asked, status, now)
        self._withdraw(status, now)

    def withdrawn(self, transaction: ServerTransaction, status: int, now: float) -> None:
        """Note that a change of the peer was cancelled, or waited too long for its answer."""
        if self._asked is transaction:
            self._withdraw(status, now)

    def _withdraw(self, status: int, now: float) -> None:
        self._asked = None
        self._fail(status, now, is_ours=False)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx; one that belongs to an older INVITE does nothing."""
        repetition = self._repetition
        if repetition is None or repetition.transaction.request.cseq.number != ack.cseq.number:
            return
        self._repetition = None
        is_answered = self.exchange is not Exchange.OURS or bool(ack.body)
        if is_answered and self.exchange is Exchange.OURS:
            self.usage.emit(AnswerReceived(self.usage, self.dialog, ack))
        self._become_idle(Exchange.DONE)
        if not is_answered:
            self.usage.lose(Cause.NO_ANSWER, now)
            return
        self.usage.emit(Modified(self.usage, self.dialog))
        self.go_on(now)

    # ACK, and what else both directions share.

    def owe(self, answer: Callable[[bytes, float], None]) -> None:
        """An offer came in a response: ``accept`` is to send the answer in this way."""
        self._owed = answer
        self._retry_at = None
        self.state = SessionState.ANSWERING
        self.exchange = Exchange.THEIRS

    def acknowledge(self, invite: Request, body: bytes, now: float) -> None:
        """Send the ACK of a 2xx, and keep it for copies of that 2xx."""
        headers = [("Content-Type", self.usage.content_type)] if body else []
        hop = self.usage.hop_of(self.dialog)
        ack = self.usage.agent.with_via(self.dialog.ack(invite, headers, body), hop)
        if self.usage.credentials is not None:
            self.usage.credentials.withhold(ack, hop)
        self._acks[invite.cseq.number] = (ack, hop)
        if len(self._acks) > ACKS_KEPT:
            del self._acks[next(iter(self._acks))]
        self.usage.agent.send(ack, hop)

    def acknowledge_again(self, number: int) -> bool:
        """Send the ACK again that a copy of a 2xx asks for, if it was sent before."""
        kept = self._acks.get(number)
        if kept is None:
            return False
        ack, hop = kept
        way = self.usage.hop_of(self.dialog)
        if not way.is_along(hop):
            # The other server of a pair goes on with what the one that is gone has begun.
            ack = Request(ack.method, ack.uri, ack.headers, ack.body)
            ack.remove("Via")
            self._acks[number] = (self.usage.agent.with_via(ack, way), way)
        self.usage.agent.send(*self._acks[number])
        return True

    def end(self, now: float) -> None:
        """
        Nothing more is offered here. What the peer asked gets 487, and what it offered in a 2xx
        has its ACK, so that BYE may follow.
        """
        asked, owed = self._asked, self._owed
        self._asked = self._owed = self._repetition = self._retry_at = self._wanted = None
        self.state = SessionState.OVER
        if asked is not None:
            self._refuse(asked, 487, now)
        if owed is not None and self.usage.owes_ack(self):
            owed(b"", now)

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        if self._repetition is not None:
            return self._repetition.next_timeout()
        return self._retry_at

    def handle_timeout(self, now: float) -> None:
        """Send a 2xx or a change again, or end what has no ACK."""
        repetition = self._repetition
        if repetition is not None and repetition.next_timeout() <= now:
            if repetition.is_over(now):
                self._repetition = None
                self.usage.lose(Cause.NO_ACK, now)
            else:
                self.usage.agent.respond(repetition.transaction, repetition.response, now)
        elif self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            if self.state is SessionState.SENT:
                self.usage.give_up(self, now)
            else:
                self._become_idle(self.exchange)
                self.go_on(now)

    def _become_idle(self, exchange: Exchange) -> None:
        self._retry_at = None
        self.exchange = exchange
        self.state = SessionState.IDLE

    def _success(self, transaction: ServerTransaction, body: bytes, now: float) -> Response:
        headers = self.usage.capabilities("200")
        if transaction.request.method in ("INVITE", "UPDATE"):
            headers += self.usage.timer.accept(transaction.request, now)
        return self.usage.response(transaction, 200, headers, body)

    def _refuse(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        self._respond(transaction, transaction.response(status, None, headers or []), now)

    def _respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        self.usage.agent.respond(transaction, response, now)


_RECEIVE: dict[SessionState, Callable[[Session, ServerTransaction, float], None]] = {
    SessionState.IDLE: Session._ask,
    SessionState.SENT: Session._glare,
    SessionState.ANSWERING: Session._glare,
    SessionState.BACKOFF: Session._ask,
    SessionState.ASKED: Session._overlap,
    SessionState.REPEATING: Session._ask_again,
    SessionState.OVER: Session._gone,
}
"""What becomes of an INVITE, or an UPDATE with an offer, that the peer sends in each state."""
