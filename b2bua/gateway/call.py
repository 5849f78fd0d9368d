"""
One call of a browser: ROAP with its page on one side, a SIP session with the B2BUA on the other.

::

      page: OFFER                          B2BUA: offer
      +--------> OFFER_IN ---- answer -------> ANSWERED --- OK ---+
      |            ^  ^                                           v
     NEW           |  +------- page: OFFER (glare: its wins) --- STABLE <--- ACK --- CONFIRMING
      |            |                              |               |                     ^
      +------------+----------------------------> OFFER_OUT <-----+                     |
                   |                                   +-------- page: ANSWER ----------+
                   +--- page: OFFER --- SOLICITED <--- the B2BUA wants an offer

An answer in a provisional response is given to the page at once, so that announcements are heard
before the call is answered; the B2BUA says the very same in its 2xx, which then only confirms.
OK goes to the page when the B2BUA has acknowledged the page's answer. The old client ignores an
OFFER while its own is out and never says so: the page's OFFER wins over ours, and the B2BUA,
which has 491, offers again. Pages that spell ``tieBreaker`` as the draft has it settle that by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from b2bua.gateway import texts
from b2bua.gateway.candidates import origin_of
from b2bua.gateway.mailbox import Letter
from b2bua.gateway.roap import (
    ErrorType,
    MessageType,
    Pair,
    RoapMessage,
    SessionId,
    write,
)
from b2bua.gateway.roap_states import RoapInput, RoapState, complete
from b2bua.gateway.to_page import Gathered, ToPage
from b2bua.sip.dialog import Dialog
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_states import UsageState

if TYPE_CHECKING:
    from b2bua.gateway.session import Session

ANSWER_WITHIN: Final = 10.0
"""Seconds: a page that does not answer a new OFFER in a call for so long has not noticed it."""
OK_WITHIN: Final = 5.0
"""Seconds after which an ANSWER counts as taken although no OK has come."""
_KEPT: Final = 32

Key = tuple[MessageType, int, SessionId, str]


class Call:
    """
    One call. ``peer`` is its name toward the page, safe in a query; ``number`` the peer's own.

    Messages to the page leave in the order in which they came up, each when its candidates are
    known; when the call ends, those that have not left stay.
    """

    def __init__(
        self,
        session: Session,
        peer: str,
        number: str,
        own_id: int,
        gathered: Gathered,
        tie_breaker: int,
    ) -> None:
        self.session = session
        self.peer = peer
        self.number = number
        self.state = RoapState.NEW
        self.usage: InviteUsage | None = None
        self.attached: tuple[Pair, ...] = ()
        """What goes with our first OFFER."""
        self.is_known = False
        """Whether the page knows of it, so has to be told of its end."""
        self.established_at: float | None = None
        self.deadline: float | None = None
        self.round_trips: dict[str, list[float]] = {}
        self.seen: dict[Key, None] = {}
        self._own_id = own_id
        self._page_id: SessionId = None
        self._page_offers_first = False
        self._tie_breaker = tie_breaker
        self.to_page = ToPage(session.mailbox, peer, gathered)
        self._seq = 0
        self._latest: RoapMessage | None = None
        """The page's latest offer."""
        self._on_wire: RoapMessage | None = None
        """That of its offers which the B2BUA has."""
        self._answered: RoapMessage | None = None
        self._ours: tuple[SessionId, SessionId, int] = (None, None, 0)
        """Both ids and the number of our offer that is out."""
        self._kept_offer: tuple[bytes, Dialog | None] | None = None
        """An offer of the B2BUA that waits for the page's OK."""
        self._change_kept: Callable[[], bytes] | None = None
        """A newer offer of the page's than that of our INVITE, which nobody has answered."""
        self._dialog: Dialog | None = None

    # What the page says.

    def is_copy(self, message: RoapMessage) -> bool:
        """Whether a message is here already; if not, it is from now on."""
        key = key_of(message)
        if key in self.seen:
            return True
        self.seen[key] = None
        if len(self.seen) > _KEPT:
            del self.seen[next(iter(self.seen))]
        return False

    def take(self, message: RoapMessage, now: float) -> None:
        """Take a message of the page, other than the OFFER that began the call."""
        self._seq = max(self._seq, message.seq)
        given = _OF_PAGE.get(message.type)
        if given is None or (given is RoapInput.PAGE_ANSWER and self._is_stale(message)):
            return
        self._take(given, now, message)

    def _is_stale(self, message: RoapMessage) -> bool:
        """Whether an ANSWER is to an offer of ours that was given up since."""
        return bool(message.seq) and message.seq != self._ours[2]

    def begin(self, message: RoapMessage) -> bytes:
        """Take the OFFER that begins a call of the page; give the offer of the INVITE."""
        self._seq = max(self._seq, message.seq)
        self.is_known = True
        self.state = RoapState.OFFER_IN
        self._note_offer(message)
        self._on_wire = message
        return message.sdp

    # What the B2BUA says.

    def offer(self, body: bytes, dialog: Dialog | None, now: float) -> None:
        """Have the page answer an offer."""
        self._dialog = dialog
        self._take(RoapInput.OFFER, now, body)

    def solicit(self, dialog: Dialog | None, now: float) -> None:
        """Have the page make an offer."""
        self._dialog = dialog
        self._take(RoapInput.SOLICIT, now)

    def answer(self, body: bytes, now: float) -> None:
        """Give the page the answer to its offer, unless it has one or has offered anew since."""
        if self._on_wire is not self._latest or self._answered is self._on_wire:
            return
        self._take(RoapInput.ANSWER, now, body)

    def established(self, now: float) -> None:
        """Note that the session stands."""
        self.established_at = now
        give, self._change_kept = self._change_kept, None
        if give is not None and self.usage is not None:
            self.usage.modify(give, now)

    def acknowledged(self, now: float) -> None:
        """Note that the page's answer is in force."""
        self._take(RoapInput.ACK, now)

    def refused(self, status: int, now: float) -> None:
        """Note that an offer came to nothing; the session is as it was."""
        self._take(RoapInput.FAILED, now, status)

    def retracted(self, now: float) -> None:
        """Note that an offer of the B2BUA is no more."""
        self._take(RoapInput.RETRACTED, now)

    # Time.

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self.deadline is not None and self.deadline <= now:
            self.deadline = None
            self._take(RoapInput.LATE, now)

    # The end.

    def end(self, error: ErrorType | None = None, reason: str = "") -> None:
        """
        Tell the page that it is over: in the old client BYE ends everything, ERROR nothing.

        A page that has not heard of the call yet is told nothing: a BYE would end another one.
        """
        if self.state is RoapState.OVER:
            return
        self.state = RoapState.OVER
        self.deadline = None
        was_out = self.to_page.take_back()
        if not self.is_known and not was_out:
            return
        if error is not None:
            self.to_page.tell(self._error(error, reason, self._latest))
        self.to_page.tell(texts.BYE)

    def forget(self) -> None:
        """
        End it because the page wants to, or is gone: it is told nothing.

        Unless it may have an offer of ours that crossed its BYE, which the old client, idle by
        then, would take for a new call.
        """
        crossed = self.state is RoapState.OFFER_OUT and self.established_at is not None
        self.state = RoapState.OVER
        self.deadline = None
        if crossed and not self.to_page.is_offer_unseen:
            self.to_page.take_back()
            self.to_page.tell(texts.BYE)
        self.to_page.take_back()

    def delivered(self, letter: Letter) -> bool:
        """Note that a letter is on its way; whether it was the OFFER that rings the page."""
        if not self.to_page.delivered(letter):
            return False
        was_known, self.is_known = self.is_known, True
        return not was_known

    # Effects.

    def _take(self, given: RoapInput, now: float, argument: object = None) -> None:
        row = TABLE[self.state].get(given)
        if row is None:
            return
        effect, state = row
        if state is not self.state:
            self.deadline = None
            self.state = state
        effect(self, now, argument)

    def nothing(self, now: float, argument: object) -> None:
        """Nothing follows."""

    def _note_offer(self, message: RoapMessage) -> None:
        self._page_id = message.offerer
        self._latest = message
        self.session.note(message)

    def _change(self, now: float, argument: object) -> None:
        """Offer to the B2BUA what the page offers, as soon as it may be."""
        message = _message(argument)
        self._note_offer(message)

        def give() -> bytes:
            self._on_wire = message
            return message.sdp

        try:
            if self.usage is not None:
                self.usage.modify(give, now)
        except OutOfPlace:
            # Nobody has answered yet, so nothing can be changed; or it is about to end.
            self._change_kept = give

    def _change_later(self, now: float, argument: object) -> None:
        """A newer offer of the page's: the one before gets no answer any more."""
        self._change(now, argument)

    def _win(self, now: float, argument: object) -> None:
        """Both have offered at once."""
        message = _message(argument)
        if message.follows_draft and self._tie(message, now):
            return
        self._take_back(now)
        self._change(now, argument)

    def _tie(self, message: RoapMessage, now: float) -> bool:
        """Settle glare as the draft has it; whether the page's offer has lost."""
        theirs = message.tie_breaker or 0
        if theirs > self._tie_breaker:
            return False
        equal = theirs == self._tie_breaker
        self._tie_breaker = 1 + self._tie_breaker // 2
        if equal:
            # Neither has won: ours is taken back too, and the B2BUA offers again.
            self.to_page.tell(self._error(ErrorType.DOUBLECONFLICT, "", message))
            self._take_back(now)
            self.state = RoapState.STABLE
        else:
            self.to_page.tell(self._error(ErrorType.CONFLICT, "", message))
            self.deadline = now + ANSWER_WITHIN
            self.state = RoapState.OFFER_OUT
        return True

    def _take_back(self, now: float) -> None:
        """Our offer is out no more: the page does not see it, or ignores it."""
        self.to_page.take_back()
        self._refuse_theirs(491, now)

    def _refuse_theirs(self, status: int, now: float) -> None:
        usage = self.usage
        if usage is None:
            return
        if _is_ringing(usage):
            self._reject(status, now)
            return
        try:
            usage.refuse(status, now, self._dialog)
        except OutOfPlace:
            # It was withdrawn in the meantime.
            return

    def _reject(self, status: int, now: float) -> None:
        usage = self.usage
        if isinstance(usage, InviteServerUsage):
            usage.reject(status, now)

    def _accept(self, now: float, argument: object) -> None:
        """The page answers: so does the user agent."""
        message = _message(argument)
        self._page_id = self._page_id if message.answerer is None else message.answerer
        self.session.note(message)
        self._give(message.sdp, now)

    def _give(self, body: bytes, now: float) -> None:
        usage = self.usage
        if usage is None:
            return
        try:
            if isinstance(usage, InviteServerUsage) and _is_ringing(usage):
                usage.answer(now, body)
            else:
                usage.accept(body, now, self._dialog)
        except OutOfPlace:
            # What was offered has been taken back; its end is told by itself.
            return

    def _give_offer(self, now: float, argument: object) -> None:
        """The page offers, as it was asked to."""
        message = _message(argument)
        self._note_offer(message)
        self._on_wire = message
        self._give(message.sdp, now)

    def _refused_by_page(self, now: float, argument: object) -> None:
        """The page does not take our offer."""
        message = _message(argument)
        conflict = message.error in (ErrorType.CONFLICT, ErrorType.DOUBLECONFLICT)
        self._refuse_theirs(491 if conflict else 488, now)

    def _answer_refused(self, now: float, argument: object) -> None:
        """The page cannot use our answer, and nothing can be refused any more."""
        if self.usage is not None:
            self.usage.bye(now)

    def _send_offer(self, now: float, argument: object) -> None:
        body = argument if isinstance(argument, bytes) else b""
        self._seq += 1
        self._ours = (self._own_id, self._page_id, self._seq)
        attached = () if self.is_known else self.attached
        if self.is_known:
            self.deadline = now + ANSWER_WITHIN
        self.to_page.send(
            RoapMessage(
                type=MessageType.OFFER,
                seq=self._seq,
                offerer=self._own_id,
                answerer=self._page_id,
                sdp=body,
                tie_breaker=self._tie_breaker,
                attached=attached,
            )
        )

    def _keep_offer(self, now: float, argument: object) -> None:
        """The page is about to say OK: our offer goes out then."""
        self._kept_offer = (argument if isinstance(argument, bytes) else b"", self._dialog)

    def _go_on(self, now: float, argument: object) -> None:
        """The page has our answer."""
        kept, self._kept_offer = self._kept_offer, None
        if kept is not None:
            body, self._dialog = kept
            self._take(RoapInput.OFFER, now, body)

    def _drop_kept(self, now: float, argument: object) -> None:
        """What was to be offered has been taken back."""
        self._kept_offer = None

    def _go_on_with(self, now: float, argument: object) -> None:
        """The page offers already, so it has our answer; its offer wins over the one we keep."""
        if self._kept_offer is not None:
            _, self._dialog = self._kept_offer
            self._kept_offer = None
            self._refuse_theirs(491, now)
        self._change(now, argument)

    def _refuse_now(self, now: float, argument: object) -> None:
        """The page would not see our offer: its own is out."""
        self._refuse_theirs(491, now)

    def _send_answer(self, now: float, argument: object) -> None:
        body = argument if isinstance(argument, bytes) else b""
        offer = self._latest
        self._answered = offer
        self.deadline = now + OK_WITHIN
        self.to_page.send(self._reply(MessageType.ANSWER, offer, body))

    def _send_ok(self, now: float, argument: object) -> None:
        offerer, answerer, seq = self._ours
        self.to_page.tell(
            write(
                RoapMessage(
                    type=MessageType.OK,
                    seq=seq,
                    offerer=offerer,
                    answerer=self._page_id if answerer is None else answerer,
                )
            )
        )

    def _send_invite(self, now: float, argument: object) -> None:
        if self.is_known:
            self.deadline = now + ANSWER_WITHIN
        self.to_page.invite()

    def _tell_failure(self, now: float, argument: object) -> None:
        """The page's offer was refused; what was agreed before goes on."""
        self.to_page.tell(self._error(ErrorType.FAILED, f"refused: {argument}", self._latest))

    def _take_offer_back(self, now: float, argument: object) -> None:
        """The B2BUA does not want its offer answered any more."""
        self.to_page.take_back()

    def _give_up_offer(self, now: float, argument: object) -> None:
        """The page has not noticed our offer: the B2BUA is to try again."""
        self._take_back(now)

    def confirm_shutdown(self, message: RoapMessage) -> None:
        """Answer a SHUTDOWN."""
        self.to_page.tell(write(self._reply(MessageType.OK, message)))

    def _reply(
        self, kind: MessageType, offer: RoapMessage | None, body: bytes = b""
    ) -> RoapMessage:
        return RoapMessage(
            type=kind,
            seq=0 if offer is None else offer.seq,
            offerer=None if offer is None else offer.offerer,
            answerer=self._own_id,
            sdp=body,
        )

    def _error(self, error: ErrorType, reason: str, about: RoapMessage | None) -> str:
        return write(
            RoapMessage(
                type=MessageType.ERROR,
                seq=self._seq if about is None else about.seq,
                offerer=self._page_id if about is None else about.offerer,
                answerer=self._own_id,
                error=error,
                reason=reason,
            )
        )


def key_of(message: RoapMessage) -> Key:
    """What copies of a message have in common; numbers begin anew with each new connection."""
    origin = origin_of(message.sdp.decode(errors="replace"))
    return (message.type, message.seq, message.offerer, origin)


def _message(argument: object) -> RoapMessage:
    if not isinstance(argument, RoapMessage):
        raise TypeError("no message of the page")
    return argument


def _is_ringing(usage: InviteUsage) -> bool:
    return isinstance(usage, InviteServerUsage) and usage.state is UsageState.RINGING


_OF_PAGE: Final[Mapping[MessageType, RoapInput]] = {
    MessageType.OFFER: RoapInput.PAGE_OFFER,
    MessageType.ANSWER: RoapInput.PAGE_ANSWER,
    MessageType.OK: RoapInput.PAGE_OK,
    MessageType.ERROR: RoapInput.PAGE_ERROR,
}

Effect = Callable[[Call, float, object], None]
_S, _I, _C = RoapState, RoapInput, Call
_ROWS: Final[Mapping[RoapState, Mapping[RoapInput, tuple[Effect, RoapState]]]] = {
    _S.NEW: {
        _I.OFFER: (_C._send_offer, _S.OFFER_OUT),
        _I.SOLICIT: (_C._send_invite, _S.SOLICITED),
    },
    _S.OFFER_IN: {
        _I.PAGE_OFFER: (_C._change_later, _S.OFFER_IN),
        _I.OFFER: (_C._refuse_now, _S.OFFER_IN),
        _I.ANSWER: (_C._send_answer, _S.ANSWERED),
        _I.SOLICIT: (_C._refuse_now, _S.OFFER_IN),
        _I.FAILED: (_C._tell_failure, _S.STABLE),
    },
    _S.ANSWERED: {
        _I.PAGE_OFFER: (_C._go_on_with, _S.OFFER_IN),
        _I.PAGE_OK: (_C._go_on, _S.STABLE),
        _I.PAGE_ERROR: (_C._answer_refused, _S.ANSWERED),
        _I.OFFER: (_C._keep_offer, _S.ANSWERED),
        _I.SOLICIT: (_C._send_invite, _S.SOLICITED),
        _I.RETRACTED: (_C._drop_kept, _S.ANSWERED),
        _I.LATE: (_C._go_on, _S.STABLE),
    },
    _S.OFFER_OUT: {
        _I.PAGE_OFFER: (_C._win, _S.OFFER_IN),
        _I.PAGE_ANSWER: (_C._accept, _S.CONFIRMING),
        _I.PAGE_ERROR: (_C._refused_by_page, _S.STABLE),
        _I.RETRACTED: (_C._take_offer_back, _S.STABLE),
        _I.LATE: (_C._give_up_offer, _S.STABLE),
    },
    _S.CONFIRMING: {
        _I.PAGE_OFFER: (_C._change, _S.OFFER_IN),
        _I.OFFER: (_C._send_offer, _S.OFFER_OUT),
        _I.ACK: (_C._send_ok, _S.STABLE),
        _I.SOLICIT: (_C._send_invite, _S.SOLICITED),
        _I.RETRACTED: (_C.nothing, _S.STABLE),
    },
    _S.STABLE: {
        _I.PAGE_OFFER: (_C._change, _S.OFFER_IN),
        _I.OFFER: (_C._send_offer, _S.OFFER_OUT),
        _I.SOLICIT: (_C._send_invite, _S.SOLICITED),
    },
    _S.SOLICITED: {
        _I.PAGE_OFFER: (_C._give_offer, _S.OFFER_IN),
        _I.PAGE_ERROR: (_C._refused_by_page, _S.STABLE),
        _I.RETRACTED: (_C.nothing, _S.STABLE),
        _I.LATE: (_C._give_up_offer, _S.STABLE),
    },
    _S.OVER: {},
}
TABLE: Final = complete(_ROWS)
"""In this state, on that input: the effect, and the state that the call then is in."""
