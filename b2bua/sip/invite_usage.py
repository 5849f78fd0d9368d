"""
One session made by INVITE, from its first message to its last (RFC 3261, sections 13 to 15; RFC
5057). What both sides have in common; ``invite_client`` and ``invite_server`` hold their starts::

      Calling -- cancel --> Cancelling         Ringing -- answer --> Withheld
         |                   |    |               |    PRACK is open    |
         | 2xx: send ACK     |    |               +-----+  +------------+
         |                   |    |          send 2xx   v  v PRACK
         |    2xx: send ACK, |    |                   Answered -- bye --> Leaving
         |              BYE  |    | refused              | ACK              |
         v                   |    |                      v                  | ACK, or none
      Established -----------+----+-----------------> Established           | in time
         | bye, lost: send BYE    |                                         |
         v                        v                                         |
       Ending <---------------------------------------- send BYE -----------+
         | answered, silent
         v
       Ended <-- BYE from the peer, in any state

What is offered within the session is ``session``'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from b2bua.sip import in_turn
from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.dialog import Dialog, DialogRefusal
from b2bua.sip.digest import DigestClient, Unanswerable
from b2bua.sip.hop import Hop
from b2bua.sip.in_dialog import answer_request
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.session import Session
from b2bua.sip.session_timer import SessionTimer
from b2bua.sip.timers import earliest
from b2bua.sip.transaction import OutOfPlace, State, Transaction
from b2bua.sip.transactions import TableFull
from b2bua.sip.usage_events import (
    SDP,
    Cause,
    Ended,
    Offer,
    UsageEvent,
)
from b2bua.sip.usage_states import LIVE, Change, Rows, UsageInput, UsageState

if TYPE_CHECKING:
    from b2bua.sip.user_agent import UserAgent


Done = Callable[[Request, int, Response | None, float], None]
_UNHEARD = frozenset({State.CALLING, State.TRYING, State.WITHDRAWN})
"""Of client transactions that nothing has come back for."""


@dataclass(slots=True)
class _Asked:
    """A request of ours inside the dialog that has no final response yet."""

    session: Session
    done: Done
    attempt: int = 0


class InviteUsage:
    """
    One session, as one of its two ends has it.

    Commands are methods with ``now``; what happens comes as ``UsageEvent``. A command that has no
    place in the state it meets raises OutOfPlace.
    """

    rows: ClassVar[Rows] = {}
    content_type = SDP

    def __init__(self, agent: UserAgent, hop: Hop, state: UsageState) -> None:
        self.agent = agent
        self.hop = hop
        """Where the peer's latest request came from, or our INVITE went to."""
        self.state = state
        self.session: Session | None = None
        """The dialog that is answered, or that can be only one."""
        self.timer = SessionTimer(agent.profile)
        self.credentials: DigestClient | None = None
        self.is_abandoned = False
        """Given up for another one elsewhere: its end goes to the server that it was sent to."""
        self.transactions: set[Transaction] = set()
        """Everything open that belongs here; when it is over too the usage is forgotten."""
        self.dialogs: list[Dialog] = []
        """Those in which requests may come; the agent's to change."""
        self.waiting: list[in_turn.Waiting] = []
        """INFO and NOTIFY whose turn has not come."""
        self._asked: dict[ClientTransaction, _Asked] = {}
        self._left: dict[ClientTransaction, Session] = {}
        """Re-INVITEs that were sent another way as well; a late 2xx still has its ACK."""
        self._is_told = False
        self._cause = Cause.LOCAL
        self._bye_headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.name}>"

    # Commands.

    def modify(self, offer: Offer | None, now: float, dialog: Dialog | None = None) -> None:
        """
        Offer a change, or with None ask the peer to offer; when it may be sent, not before.

        ``offer`` is called each time the change is sent.
        """
        self._needs_life()
        self._session_of(dialog).modify(Change(offer), now)

    def tell(self, headers: Iterable[tuple[str, str]], now: float) -> None:
        """
        Refresh the session with these header fields too, where the peer knows UPDATE (RFC 4916).

        Nobody is asked by re-INVITE for the sake of what is only shown.
        """
        session = self._session_of(None)
        if self.may_reinvite and "update" in session.peer_allows:
            session.modify(Change(None, is_refresh=True, headers=tuple(headers)), now)

    def accept(self, body: bytes, now: float, dialog: Dialog | None = None) -> None:
        """Answer the peer's offer, or give the one it asks for, wherever that has to stand."""
        self._session_of(dialog).accept(body, now)

    def refuse(self, status: int, now: float, dialog: Dialog | None = None) -> None:
        """Refuse a change of the peer."""
        self._session_of(dialog).refuse(status, now)

    def bye(self, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """End the session, in the way that its state asks for. Once it has ended, do nothing."""
        self._bye_headers = tuple(headers)
        self.take(UsageInput.HANG_UP, now)

    def cancel(self, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Give up an INVITE of ours; where it is answered already this is ``bye``."""
        self.bye(now, headers)

    def info(self, headers: Iterable[tuple[str, str]], body: bytes, now: float) -> None:
        """Send an INFO in its turn; its Content-Type or Info-Package come with ``headers``."""
        self._tell("INFO", headers, body, now)

    def notify(
        self,
        event: str,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        dialog: Dialog | None = None,
    ) -> None:
        """Send a NOTIFY, in its turn, of an event that needs no SUBSCRIBE, such as talk."""
        state = ("Subscription-State", "active")
        self._tell("NOTIFY", [("Event", event), state, *headers], body, now, dialog)

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer a request that came as ``InDialogRequest``."""
        self.agent.respond(transaction, transaction.response(status, None, headers, body), now)

    def _tell(
        self,
        method: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        now: float,
        dialog: Dialog | None = None,
    ) -> None:
        self._needs_life()
        in_turn.send(self, self._session_of(dialog), method, headers, body, now)

    # What sessions ask of their usage.

    @property
    def may_reinvite(self) -> bool:
        """Whether a re-INVITE of ours may be sent: the first INVITE is over for both sides."""
        return self.state is UsageState.ESTABLISHED

    @property
    def may_update(self) -> bool:
        """Whether an UPDATE with an offer may be sent before the first INVITE is over."""
        return self.state is UsageState.CALLING

    @property
    def takes_reinvite(self) -> bool:
        """Whether the peer may send a re-INVITE: it has seen our 2xx, or sent its own."""
        return self.state in (UsageState.ESTABLISHED, UsageState.ANSWERED, UsageState.LEAVING)

    def may_be_overtaken(self, session: Session) -> bool:
        """Whether a request of ours in this dialog may be on its way still: UDP keeps no order."""
        return any(
            asked.session is session
            and transaction.state in _UNHEARD
            and not transaction.hop.is_reliable
            for transaction, asked in self._asked.items()
        )

    def peer_goes_on(self, now: float) -> None:
        """Note that the peer changes what we have answered. Its first INVITE is over for it."""

    def owes_ack(self, session: Session) -> bool:
        """Whether the answer that a session owes stands in an ACK, which BYE needs first."""
        return session is self.session and self.state >= UsageState.ESTABLISHED

    def emit(self, event: UsageEvent) -> None:
        """Tell the user something, unless the end has been told."""
        if not self._is_told:
            self.agent.emit(event)

    def lose(self, cause: Cause, now: float) -> None:
        """
        End what cannot go on, by BYE even where the peer says that it knows no such dialog: that
        may have been said by one half of a pair while the other still has the call.
        """
        if self.state in LIVE:
            self._cause = cause
        self.take(UsageInput.LOST, now)

    def give_up(self, session: Session, now: float) -> None:
        """Cancel what a session still asks by re-INVITE."""
        for transaction, asked in list(self._asked.items()):
            if asked.session is session and transaction.request.method == "INVITE":
                self.agent.cancel(transaction, now)

    def hop_of(self, dialog: Dialog) -> Hop:
        """Where requests inside a dialog go."""
        if self.is_abandoned:
            return self.hop
        return self.agent.route(dialog.next_hop, self.hop)

    def ask(
        self, session: Session, request: Request, done: Done, now: float, attempt: int = 0
    ) -> None:
        """Send a request inside a dialog; ``done`` gets its final response, or 408 or 503."""
        if request.body and not request.has("Content-Type"):
            request.add("Content-Type", self.content_type)
        hop = self.hop_of(session.dialog)
        if attempt == 0 and self.credentials is not None:
            self.credentials.authorize(request, hop)
        try:
            transaction = self.agent.start(self, request, hop, now)
        except TableFull:
            # To whoever asked it is all the same why nothing could be sent.
            done(request, 503, None, now)
        else:
            self._asked[transaction] = _Asked(session, done, attempt)

    def capabilities(self, method: str) -> list[tuple[str, str]]:
        """What a request of this method, or a 2xx ("200"), says of us: Contact, Allow and more."""
        return self.agent.profile.headers(self.agent.contact(self.hop), method)

    def response(
        self,
        transaction: ServerTransaction,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> Response:
        """A response with the type of its body."""
        typed = [("Content-Type", self.content_type)] if body else []
        return transaction.response(status, None, [*headers, *typed], body)

    def ask_again(self, transaction: ClientTransaction, now: float) -> bool:
        """
        Send a request of ours anew, if its way is another one by now; tell whether it was.

        It takes a number of its own: where the first copy arrived and the server shares what it
        knows, the same number would be refused. What still comes of the first copy is undone.
        """
        asked = self._asked.get(transaction)
        if asked is None or self.hop_of(asked.session.dialog).is_along(transaction.hop):
            return False
        del self._asked[transaction]
        old = transaction.request
        again = Request(old.method, old.uri, old.headers, old.body)
        again.remove("Via")
        again.replace("CSeq", f"{asked.session.dialog.next_sequence()} {old.method}")
        if old.method == "INVITE":
            self._left[transaction] = asked.session
            self.agent.cancel(transaction, now)
        self.ask(asked.session, again, asked.done, now, asked.attempt)
        return True

    # What the network does.

    def receive_request(self, dialog: Dialog, transaction: ServerTransaction, now: float) -> None:
        """Take a request inside a dialog of this usage."""
        request = transaction.request
        session = self.find_session(dialog)
        if session is None or self.state is UsageState.ENDED:
            self.respond(transaction, 481, now)
            return
        try:
            dialog.take_request(request, lenient=self.agent.profile.lenient_sequence)
        except DialogRefusal as refusal:
            self.respond(transaction, refusal.status, now)
            return
        self.hop = transaction.hop
        if request.method == "BYE":
            self._receive_bye(session, transaction, now)
        elif self.state not in LIVE:
            # The user has been told the end, and is not asked for anything after it.
            self.respond(transaction, 481, now)
        else:
            answer_request(self, session, transaction, now)

    def _receive_bye(self, session: Session, transaction: ServerTransaction, now: float) -> None:
        self.respond(transaction, 200, now)
        self.take(UsageInput.BYE, now, transaction.request)

    def receive_prack(self, session: Session, transaction: ServerTransaction, now: float) -> None:
        """Take a PRACK; only who sends reliable responses knows one."""
        self.respond(transaction, 481, now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx."""
        if self.session is not None:
            self.session.receive_ack(ack, now)

    def receive_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """Take a response to a request of ours."""
        self._take_response(transaction, response, now)
        in_turn.go_on(self, now)

    def _take_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        if response.status < 200:
            return
        if response.status == 503 and self.ask_again(transaction, now):
            return
        asked = self._asked.pop(transaction, None)
        left = self._left.pop(transaction, None)
        if left is not None and response.is_success:
            left.acknowledge(transaction.request, b"", now)
        elif asked is None:
            self._receive_copy(response)
        elif response.status in (401, 407) and self._authorize(transaction, asked, response, now):
            return
        else:
            asked.done(transaction.request, response.status, response, now)

    def _authorize(
        self, transaction: ClientTransaction, asked: _Asked, response: Response, now: float
    ) -> bool:
        """Whether a challenge is answered: the request goes out again."""
        sequence = asked.session.dialog.next_sequence
        again = self.answer_challenge(transaction, response, sequence, asked.attempt)
        if again is None or self.state is UsageState.ENDED:
            return False
        self.ask(asked.session, again, asked.done, now, asked.attempt + 1)
        return True

    def answer_challenge(
        self,
        transaction: ClientTransaction,
        response: Response,
        next_sequence: Callable[[], int],
        attempt: int,
    ) -> Request | None:
        """The request again with credentials, or None where there are none that would help."""
        if self.credentials is None:
            return None
        request, hop = transaction.request, transaction.hop
        number = request.cseq.number
        try:
            # The number is taken when there is an answer for sure, so that none is skipped.
            again = self.credentials.answer(request, response, hop, number, attempt)
        except Unanswerable:
            return None
        again.replace("CSeq", f"{next_sequence()} {again.method}")
        return again

    def _receive_copy(self, response: Response) -> None:
        """A 2xx that came again asks for its ACK again."""
        session = self.session
        if session is not None and response.cseq.method == "INVITE" and response.is_success:
            session.acknowledge_again(response.cseq.number)

    def receive_stray_success(self, response: Response, dialog: Dialog) -> None:
        """Take a 2xx whose transaction is over."""
        self._receive_copy(response)

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        """Note that a request of ours had no answer, or one of the peer's none of the user's."""
        if isinstance(transaction, ClientTransaction):
            if self.ask_again(transaction, now):
                return
            self._left.pop(transaction, None)
            asked = self._asked.pop(transaction, None)
            if asked is not None:
                asked.done(transaction.request, status, None, now)
            in_turn.go_on(self, now)
        elif self.session is not None and isinstance(transaction, ServerTransaction):
            self.session.withdrawn(transaction, status, now)

    def cancelled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """Take the CANCEL of an INVITE of the peer that has no final response yet."""
        self.respond(transaction, 487, now)
        if self.session is not None:
            self.session.withdrawn(transaction, 487, now)

    # What the clock does.

    def sessions(self) -> list[Session]:
        """Every dialog of this usage."""
        return [self.session] if self.session is not None else []

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        first = earliest(*[session.next_timeout() for session in self.sessions()])
        if self.state is UsageState.ESTABLISHED:
            return earliest(first, self.timer.next_timeout())
        return first

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for session in self.sessions():
            session.handle_timeout(now)
        timer = self.timer
        if self.state is not UsageState.ESTABLISHED or self.session is None:
            return
        if timer.expires_at is not None and timer.expires_at <= now:
            self.lose(Cause.EXPIRED, now)
        elif timer.refresh_at is not None and timer.refresh_at <= now:
            timer.refresh_at = None
            self.session.modify(Change(None, is_refresh=True), now)
        elif timer.probe_at is not None and timer.probe_at <= now:
            timer.watch(now)
            self.ask(self.session, self.session.dialog.request("OPTIONS"), self._probed, now)

    def _probed(self, request: Request, status: int, response: Response | None, now: float) -> None:
        """Any answer but that there is no such dialog shows that the peer is there."""
        if status in (408, 481):
            self.lose(Cause.GONE if status == 481 else Cause.SILENT, now)

    # Inputs and effects.

    def take(self, given: UsageInput, now: float, message: Message | None = None) -> None:
        """Take one input: be in the next state, then have its effect."""
        row = self.rows[self.state].get(given)
        if row is not None:
            effect, self.state = row
            effect(self, now, message)

    def nothing(self, now: float, message: Message | None) -> None:
        """Only the state changes."""

    def send_bye(self, now: float, message: Message | None) -> None:
        """End by BYE."""
        self.tell_end(self._cause)
        session = self._session_of(None)
        session.end(now)
        self.timer.stop()
        self.send_bye_in(session, self._bye_done, now)

    def send_bye_in(self, session: Session, done: Done, now: float) -> None:
        """Send BYE in one dialog."""
        self.ask(session, session.dialog.request("BYE", self._bye_headers), done, now)

    def _bye_done(
        self, request: Request, status: int, response: Response | None, now: float
    ) -> None:
        self.take(UsageInput.BYE_DONE, now)

    def end_by_bye(self, now: float, message: Message | None) -> None:
        """The peer hung up."""
        self.tell_end(Cause.REMOTE, message)
        self.finish(now, message)

    def finish(self, now: float, message: Message | None) -> None:
        """Leave nothing open that could wait for ever."""
        self.timer.stop()
        for session in self.sessions():
            session.end(now)
            self.give_up(session, now)

    def tell_end(self, cause: Cause, message: Message | None = None, status: int = 0) -> None:
        """Tell the user that it is over, once."""
        if isinstance(message, Response):
            status = message.status
        self.emit(Ended(self, cause, status, message))
        self._is_told = True

    def forget(self) -> None:
        """
        Let go of what refers back here: it is over for good, and its transactions too.

        So its memory is free at once. The collector would find it in the end, but looking through
        the state of thousands of calls takes longer than the calls themselves.
        """
        self.session = None
        self.waiting.clear()

    def find_session(self, dialog: Dialog) -> Session | None:
        """The session of one dialog."""
        return next((s for s in self.sessions() if s.dialog is dialog), None)

    def _session_of(self, dialog: Dialog | None) -> Session:
        session = self.session if dialog is None else self.find_session(dialog)
        if session is None:
            raise OutOfPlace("there is no such dialog")
        return session

    def _needs_life(self) -> None:
        if self.state not in LIVE:
            raise OutOfPlace(f"in state {self.state.name}")


_S, _I = UsageState, UsageInput
COMMON: Rows = {
    _S.ESTABLISHED: {
        _I.HANG_UP: (InviteUsage.send_bye, _S.ENDING),
        _I.LOST: (InviteUsage.send_bye, _S.ENDING),
        _I.BYE: (InviteUsage.end_by_bye, _S.ENDED),
    },
    _S.ENDING: {
        # Two BYEs that cross: each side answers the other's with 200 (RFC 5407, section 3.2.1).
        _I.BYE: (InviteUsage.nothing, _S.ENDING),
        _I.BYE_DONE: (InviteUsage.finish, _S.ENDED),
    },
    _S.ENDED: {},
}
"""What both sides do once the session stands."""
