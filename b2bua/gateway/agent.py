"""
The user agent that stands for every signed-in page toward the B2BUA (RFC 3261).

Its messages never touch a wire: the hop of each is the session's. It registers a DN as a phone
does, makes INVITEs of OFFERs and OFFERs of INVITEs, and brings talk, hold and INFO both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from b2bua.attached_data import FORM_TYPE, from_headers
from b2bua.bodies import NotAcceptable, session_description
from b2bua.call_events import Fault, Subscriber
from b2bua.core import Randomness
from b2bua.faults import STATUS, contained, let_go
from b2bua.gateway import texts
from b2bua.gateway.call import Call, key_of
from b2bua.gateway.dialling import attached_headers, number_in
from b2bua.gateway.mailbox import Letter
from b2bua.gateway.registers import OF_GATEWAY, Registers, contact_of, uri_of
from b2bua.gateway.roap import HIGHEST_TIE_BREAKER, ErrorType, MessageType, RoapMessage
from b2bua.gateway.roap_states import RoapState
from b2bua.gateway.session import Session
from b2bua.gateway.sessions import Sessions
from b2bua.gateway.statistics import describe, have_ceased
from b2bua.gateway.texts import Bye, GetStats, Info, Posted
from b2bua.gateway.to_page import Gathered
from b2bua.media_plane import StreamCounters
from b2bua.parties import SELF, number_of
from b2bua.settings import B2buaSettings
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message
from b2bua.sip.outputs import RequestReceived, ResponseReceived, Send, Terminated
from b2bua.sip.reasons import REASONS
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.timers import Deadlines, Timers, earliest
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.transactions import TableFull, TransactionTable
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    Established,
    Faulted,
    InDialogRequest,
    Invitation,
    Invited,
    ModificationFailed,
    Modified,
    OfferReceived,
    OfferRequested,
    Profile,
    Progress,
    UsageEvent,
)
from b2bua.sip.usage_states import LIVE, UsageState
from b2bua.sip.user_agent import AgentOutput, UserAgent

OCTETS: Final = "application/octet-stream"
"""The type of an INFO that goes to the peer as it is."""
_MOST_CALLS: Final = 8

Counters = Callable[[Hop, str], Mapping[str, StreamCounters]]
"""What the media of the B2BUA's leg of a dialog have moved, by kind; the dialog's Call-ID."""

_SAID: Final[Mapping[int, ErrorType]] = {
    **dict.fromkeys((403, 404, 410, 433, 484, 604), ErrorType.REFUSED),
    **dict.fromkeys((415, 488, 606), ErrorType.FAILED),
    **dict.fromkeys((500, 501, 502, 503, 504), ErrorType.FAILED),
}
"""Refusals that a page can say something about; of others it hears only that it is over."""


class Agent:
    """The pages' side of all their calls."""

    def __init__(
        self,
        settings: B2buaSettings,
        sessions: Sessions,
        random: Randomness,
        *,
        emit: Subscriber,
        gathered: Gathered,
        counters: Counters,
        wall: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._random = random
        self._emit = emit
        self._gathered = gathered
        self._counters = counters
        self._wall = wall
        self._domain = settings.servers.domain
        table = TransactionTable(lambda hop: OF_GATEWAY, random.token, Timers(failover=None))
        self.user_agent = UserAgent(
            table,
            sent_by=lambda hop: OF_GATEWAY,
            token=random.token,
            contact=contact_of,
            route=lambda uri, hop: hop,
            random_below=random.below,
            profile=Profile(
                allow_events=("talk", "hold") if settings.talk_hold else (),
                supported=("timer",),
                session_expires=0,
            ),
            timers=Timers(failover=None),
            contains_faults=True,
        )
        self._calls: dict[InviteUsage, Call] = {}
        self.registers = Registers(self.user_agent, self._domain, random.token, emit)
        self._deadlines: Deadlines[Call] = Deadlines()
        self._outputs: list[Send] = []

    def __len__(self) -> int:
        return len(self._calls)

    # What a page posts.

    def post(self, session: Session, peer: str, posted: Posted, now: float) -> None:
        """Take a message of a page."""
        with self._kept_to(now, session.find(peer), partial(session.find, peer)):
            self._post(session, peer, posted, now)

    def _post(self, session: Session, peer: str, posted: Posted, now: float) -> None:
        call = session.find(peer)
        if isinstance(posted, RoapMessage):
            self._take_roap(session, peer, call, posted, now)
        elif call is None:
            # Of a call that is over; its page does not know that yet, or has said so itself.
            return
        elif isinstance(posted, Bye):
            self._hang_up(call, now)
        elif isinstance(posted, Info):
            self._send_info(call, posted, now)
        elif isinstance(posted, GetStats):
            self._send_stats(call, now)

    def _take_roap(
        self, session: Session, peer: str, call: Call | None, message: RoapMessage, now: float
    ) -> None:
        is_offer = message.type is MessageType.OFFER
        if call is None:
            if is_offer and not session.is_copy(peer, key_of(message)):
                self._call(session, peer, message, now)
            return
        if call.is_copy(message):
            return
        if message.type is MessageType.SHUTDOWN:
            call.confirm_shutdown(message)
            self._hang_up(call, now)
        elif is_offer and _is_rung(call) and call.state is RoapState.OFFER_OUT:
            # Each calls the other: a page that has one call only wants the one it makes.
            self._hang_up(call, now, 486)
            self._call(session, peer, message, now)
        else:
            call.take(message, now)
            self._settle(call)

    def _call(self, session: Session, peer: str, message: RoapMessage, now: float) -> None:
        """Call whom an OFFER is for."""
        number = SELF if peer in (SELF, session.sid) else number_in(peer)
        session.note(message)
        if not session.holds_several:
            # Its page has ended what it had, though its BYE may have been lost.
            for other in list(session.calls.values()):
                self._hang_up(other, now, 486)
        call = self._new_call(session, peer, number)
        body = call.begin(message)
        call.is_copy(message)
        refusal = self._refusal(session, number, now)
        if refusal is not None:
            self._over(call, refusal)
            return
        invitation = Invitation(
            uri_of(number, self._domain),
            NameAddr("", uri_of(session.caller, self._domain)),
            NameAddr("", uri_of(number, self._domain)),
            body,
            (*attached_headers(message.attached),),
        )
        try:
            usage = self.user_agent.invite(invitation, session.hop, now)
        except TableFull:
            self._over(call, 503)
            return
        self._adopt(call, usage)

    def _refusal(self, session: Session, number: str, now: float) -> int | None:
        if not number:
            return 484
        if len(session.calls) > _MOST_CALLS:
            return 486
        if not self._sessions.may_call(session, number, now):
            return 403
        return None

    def _hang_up(self, call: Call, now: float, status: int = 603) -> None:
        """End a call because its page wants to; 603 where it has not accepted it."""
        call.forget()
        call.session.remove(call, is_told=False)
        self._deadlines.set(call, None)
        usage = call.usage
        if isinstance(usage, InviteServerUsage) and usage.state is UsageState.RINGING:
            usage.reject(status, now)
        elif usage is not None:
            usage.bye(now)

    def register(self, session: Session, now: float) -> None:
        """Bind a session's DN to it, for as long as it lives."""
        self.registers.register(session, now)
        self.pump(now)

    def hang_up_all(self, session: Session, now: float) -> None:
        """End every call of a session whose page is gone, and its registration's refreshes."""
        self.registers.stop(session)
        for call in list(session.calls.values()):
            with self._kept_to(now, call):
                self._hang_up(call, now, 480)
        self.pump(now)

    def hang_up_silent(self, session: Session, left_at: float, now: float) -> int:
        """End the calls whose media ceased when the page left, at that time; how many there are."""
        silent = 0
        for call in list(session.calls.values()):
            with self._kept_to(now, call):
                if have_ceased(self._counters_of(call), left_at, now):
                    silent += 1
                    # Should the page be there after all, it finds that out with its next poll.
                    self._over(call, 480)
                    if call.usage is not None:
                        call.usage.bye(now)
        self.pump(now)
        return silent

    def _counters_of(self, call: Call) -> Mapping[str, StreamCounters]:
        if call.usage is None or not call.usage.dialogs:
            return {}
        return self._counters(call.session.hop, call.usage.dialogs[0].call_id)

    def _send_info(self, call: Call, info: Info, now: float) -> None:
        if call.usage is None:
            return
        content_type = OCTETS if info.is_for_peer else FORM_TYPE
        try:
            call.usage.info([("Content-Type", content_type)], info.body, now)
        except OutOfPlace:
            # Nobody has answered yet, or it is about to end: nobody is there to be told.
            return

    def _send_stats(self, call: Call, now: float) -> None:
        counters = self._counters_of(call)
        since = 0.0 if call.established_at is None else now - call.established_at
        found = describe(counters, since, self._wall(), call.round_trips)
        call.session.mailbox.put(Letter(call.peer, texts.stats(found)), may_drop=True)

    # What becomes of letters.

    def delivered(self, session: Session, letter: Letter, now: float) -> None:
        """A letter is on its way: a page that has heard of a call rings."""
        if letter.text == texts.BYE:
            session.knows_end(letter.peer)
        call = session.calls.get(letter.peer)
        if call is None or not call.delivered(letter):
            return
        usage = call.usage
        if isinstance(usage, InviteServerUsage) and usage.state is UsageState.RINGING:
            usage.ring(180, now)

    # What the B2BUA sends.

    def receive(self, message: Message, hop: Hop, now: float) -> None:
        """Take a message for the session of this hop."""
        self.user_agent.receive(message, hop, now)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Take what the user agent gives until it gives nothing."""
        while taken := self.user_agent.take_outputs():
            for output in taken:
                with contained(self._emit):
                    self._take(output, now)

    def _take(self, output: AgentOutput, now: float) -> None:
        if isinstance(output, Send):
            self._outputs.append(output)
        elif isinstance(output, UsageEvent):
            self._take_event(output, now)
        elif isinstance(output, RequestReceived):
            request = output.transaction.request
            status = 200 if request.method == "OPTIONS" else 481 if request.to.tag else 405
            self.user_agent.respond(output.transaction, output.transaction.response(status), now)
        elif isinstance(output, ResponseReceived):
            self.registers.take(output.transaction, output.response, now)
        elif isinstance(output, Terminated):
            self.registers.forget(output.transaction)

    def _take_event(self, event: UsageEvent, now: float) -> None:
        call = self._calls.get(event.usage)
        with self._kept_to(now, call, partial(self._calls.get, event.usage), event.usage):
            self._take_event_of(call, event, now)

    def _take_event_of(self, call: Call | None, event: UsageEvent, now: float) -> None:
        if isinstance(event, Faulted):
            raise event.error
        if isinstance(event, Invited):
            self._invited(event, now)
            return
        if call is None:
            return
        if isinstance(event, Ended):
            del self._calls[event.usage]
        if call.state is RoapState.OVER and not isinstance(event, InDialogRequest):
            return
        take = _TAKE.get(type(event))
        if take is not None:
            take(self, call, event, now)
            self._settle(call)

    def _settle(self, call: Call) -> None:
        self._deadlines.set(call, call.deadline)

    def _invited(self, event: Invited, now: float) -> None:
        """Ring a page, if it is free: the old client would take a second OFFER for the first's."""
        usage = event.usage
        if not isinstance(usage, InviteServerUsage):
            raise TypeError("an invitation to our own INVITE")
        session = self._sessions.numbered(usage.invite.hop.flow)
        if session is None:
            usage.reject(480, now)
            return
        if session.calls and not session.holds_several:
            usage.reject(486, now)
            return
        number = number_of(event.request.from_.uri)
        call = self._new_call(session, session.name_for(number), number)
        self._adopt(call, usage)
        call.attached = from_headers(event.request.headers).pairs
        try:
            body = session_description(event.request)
        except NotAcceptable as refused:
            self._over(call, 415)
            usage.reject(refused.status, now)
            return
        if body:
            call.offer(body, None, now)
        else:
            call.solicit(None, now)
        self._settle(call)

    def _progress(self, call: Call, event: Progress, now: float) -> None:
        if event.is_answer:
            call.answer(event.response.body, now)

    def _established(self, call: Call, event: Established, now: float) -> None:
        call.established(now)
        if isinstance(event.usage, InviteServerUsage):
            call.acknowledged(now)

    def _answered(self, call: Call, event: AnswerReceived, now: float) -> None:
        call.answer(event.message.body, now)

    def _offered(self, call: Call, event: OfferReceived, now: float) -> None:
        call.offer(event.message.body, event.dialog, now)

    def _asked(self, call: Call, event: OfferRequested, now: float) -> None:
        call.solicit(event.dialog, now)

    def _modified(self, call: Call, event: Modified, now: float) -> None:
        call.acknowledged(now)

    def _not_modified(self, call: Call, event: ModificationFailed, now: float) -> None:
        if event.is_ours:
            call.refused(event.status, now)
        else:
            call.retracted(now)

    def _in_dialog(self, call: Call, event: InDialogRequest, now: float) -> None:
        transaction = event.transaction
        usage = event.usage
        if call.state is RoapState.OVER:
            usage.respond(transaction, 481, now)
        elif transaction.request.method == "NOTIFY":
            usage.respond(transaction, 200, now)
            self._tell_event(call, transaction)
        else:
            self._take_info(call, usage, transaction, now)

    def _tell_event(self, call: Call, transaction: ServerTransaction) -> None:
        event = transaction.request.event
        text = None if event is None else texts.EVENTS.get(event.value.lower())
        if text is not None:
            call.to_page.tell(text)

    def _take_info(
        self, call: Call, usage: InviteUsage, transaction: ServerTransaction, now: float
    ) -> None:
        request = transaction.request
        content_type = request.content_type
        kind = "" if content_type is None else content_type.essence
        text = texts.info_from_peer(request.body) if kind in (OCTETS, FORM_TYPE) else None
        usage.respond(transaction, 200 if text is not None or not request.body else 415, now)
        if text is not None and request.body and call.is_known:
            call.session.mailbox.put(Letter(call.peer, text), may_drop=True)

    def _ended(self, call: Call, event: Ended, now: float) -> None:
        self._over(call, event.status)

    def _over(self, call: Call, status: int) -> None:
        """Tell a page that a call is over, and forget it."""
        call.session.remove(call, is_told=True)
        self._deadlines.set(call, None)
        error = None if call.established_at is not None else _SAID.get(status)
        call.end(error, f"{status} {REASONS.get(status, '')}" if error is not None else "")

    @contextmanager
    def _kept_to(
        self,
        now: float,
        call: Call | None,
        found: Callable[[], Call | None] = lambda: None,
        usage: InviteUsage | None = None,
    ) -> Iterator[None]:
        """Have a fault of ours end this call only, or that which is ``found`` by then."""
        try:
            yield
        except Exception as error:
            call = found() or call
            self._emit(Fault(_ended_by_fault(call, usage), error))
            with contained(self._emit):
                if call is not None:
                    self._over(call, STATUS)
            usage = usage if call is None or call.usage is None else call.usage
            with contained(self._emit):
                if usage is not None:
                    let_go(usage, now)

    # Calls.

    def _new_call(self, session: Session, peer: str, number: str) -> Call:
        call = Call(
            session,
            peer,
            number,
            1 + self._random.below(2**31),
            self._gathered,
            1 + self._random.below(HIGHEST_TIE_BREAKER),
        )
        session.add(call)
        return call

    def _adopt(self, call: Call, usage: InviteUsage) -> None:
        call.usage = usage
        self._calls[usage] = call

    # Time, and what comes out.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return earliest(
            self.user_agent.next_timeout(), self.registers.next_timeout(), self._deadlines.next()
        )

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        with contained(self._emit):
            self.user_agent.handle_timeout(now)
        self.registers.handle_timeout(now)
        for call in self._deadlines.take_due(now):
            with self._kept_to(now, call):
                call.handle_timeout(now)
                self._settle(call)
        self.pump(now)

    def take_outputs(self) -> list[Send]:
        """Give what is to be sent to the B2BUA, in order, once."""
        outputs, self._outputs = self._outputs, []
        return outputs


def _ended_by_fault(call: Call | None, usage: InviteUsage | None) -> str:
    """Whose call a fault is about to end, by the user of its Contact; "" where it ends none."""
    if call is not None:
        return f"of page w{call.session.hop.flow}"
    is_open = usage is not None and usage.state in LIVE
    return f"of page w{usage.hop.flow}" if usage is not None and is_open else ""


def _is_rung(call: Call) -> bool:
    usage = call.usage
    return isinstance(usage, InviteServerUsage) and usage.state is UsageState.RINGING


_TAKE: Final[dict[type[UsageEvent], Callable[..., None]]] = {
    Progress: Agent._progress,
    Established: Agent._established,
    AnswerReceived: Agent._answered,
    OfferReceived: Agent._offered,
    OfferRequested: Agent._asked,
    Modified: Agent._modified,
    ModificationFailed: Agent._not_modified,
    InDialogRequest: Agent._in_dialog,
    Ended: Agent._ended,
}
"""What is not here changes nothing: how an INFO of ours fared."""
