"""
What reaches a call by requests inside its dialogs: talk and hold, and attached data.

A NOTIFY is answered first and acted on afterwards. A page that takes these events itself is told
instead, so that it shows what happens; if it does not follow in time, we do it over its head.
Attached data go on to the other leg, written anew; digits that come as INFO, and what one page
sends another, go on as they are. A request for a whole picture (RFC 5168) becomes one by RTCP on
the other leg, if that takes RTCP feedback, and has its 200 in any case. Any other body is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from b2bua.attached_data import FORM_TYPE, AttachedDataError, from_form, is_form, to_form
from b2bua.sip.errors import ParseError
from b2bua.sip.hop import BROWSER
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.message import Request
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.timers import Deadlines
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_states import UsageState
from b2bua.talk_hold import Decision, Intent, LegState, due, kept_event, receive_notify

if TYPE_CHECKING:
    from b2bua.call import Call
    from b2bua.leg import Leg

DIGITS: Final = frozenset({"application/dtmf-relay", "application/dtmf"})
MEDIA_CONTROL: Final = "application/media_control+xml"
OCTETS: Final = "application/octet-stream"
"""What one user agent says to another, and is nobody else's business."""
LONGEST: Final = 8192
"""The most bytes of that."""
FOLLOWS_WITHIN: Final = 2.0
"""Seconds that a page has to hold or retrieve as it is told."""
_ACCEPT: Final = (("Accept", ", ".join([FORM_TYPE, *sorted(DIGITS), MEDIA_CONTROL, OCTETS])),)
_NOBODY: Final = Decision(480)
_wants_picture: Final = re.compile(rb"<(?:\w+:)?picture_fast_update\s*/?>").search
"""Whatever stands around it: of all that this XML can say, it alone asks for something."""


class CallControl:
    """``is_server`` tells whether a host is one of the SIP Servers'."""

    def __init__(self, advertised: tuple[str, ...], is_server: Callable[[str], bool]) -> None:
        self._advertised = advertised
        self._is_server = is_server
        self._told: dict[Call, tuple[Leg, bool]] = {}
        """Calls whose page has been told to hold, or to retrieve, for this leg's peer."""
        self._deadlines: Deadlines[Call] = Deadlines()

    def __len__(self) -> int:
        return len(self._told)

    def take(self, call: Call, leg: Leg, transaction: ServerTransaction, now: float) -> None:
        """Answer a NOTIFY or INFO, and do what it asks for."""
        if transaction.request.method == "NOTIFY":
            self._take_notify(call, leg, transaction, now)
        else:
            self._take_info(call, leg, transaction, now)

    def run_kept(self, call: Call, leg: Leg, now: float) -> None:
        """Do what a talk or hold asked for while it could not be done, if it can be now."""
        if leg.kept is None:
            return
        intent = due(self._state(call, leg), leg.kept)
        if intent is not Intent.QUEUE:
            leg.kept = None
            self._act(call, leg, intent, now)

    def forget(self, call: Call) -> None:
        """A call is over."""
        self._told.pop(call, None)
        self._deadlines.set(call, None)

    def next_timeout(self) -> float | None:
        """When to call ``take_due``, if ever."""
        return self._deadlines.next()

    def take_due(self, now: float) -> list[Call]:
        """The calls whose page has not done in time what it was told to: ``insist`` on it."""
        return self._deadlines.take_due(now)

    def insist(self, call: Call, now: float) -> None:
        """Do what a page was told to and has not done."""
        leg, held = self._told.pop(call)
        across = call.other(leg)
        if across is not None and across.was_held != held and across.is_up:
            call.work(leg, held, now)
        self.run_kept(call, leg, now)

    # Talk and hold.

    def _state(self, call: Call, leg: Leg) -> LegState:
        """Where a leg stands; what a page is about to do is as good as under way."""
        told = self._told.get(call)
        if told is not None and told[0] is leg:
            across = call.other(leg)
            if across is not None and across.was_held != told[1]:
                return LegState.PENDING
        return leg.talk_state()

    def _take_notify(
        self, call: Call, leg: Leg, transaction: ServerTransaction, now: float
    ) -> None:
        assert leg.usage is not None
        event = transaction.request.event
        decision = receive_notify(
            self._state(call, leg),
            event,
            advertised=self._advertised,
            from_server=transaction.hop.transport != BROWSER
            and self._is_server(transaction.hop.host),
        )
        if decision.intent is Intent.ANSWER and not self._can_pick_up(call):
            decision = _NOBODY
        listed = ", ".join(self._advertised)
        headers = [("Allow-Events", listed)] if decision.status == 489 and listed else []
        leg.usage.respond(transaction, decision.status, now, headers)
        if decision.intent is Intent.QUEUE and event is not None:
            leg.kept = kept_event(event)
        else:
            self._act(call, leg, decision.intent, now)

    def _can_pick_up(self, call: Call) -> bool:
        return call.can_be_answered or any(_may_be_told(leg) for leg in call.rung)

    def _act(self, call: Call, leg: Leg, intent: Intent, now: float) -> None:
        if intent is Intent.ANSWER:
            leg.is_picked_up = True
            self._pick_up(call, now)
        elif intent in (Intent.HOLD, Intent.RETRIEVE):
            held = intent is Intent.HOLD
            if not self._tell_page(call, leg, held, now):
                call.work(leg, held, now)

    def _tell_page(self, call: Call, leg: Leg, held: bool, now: float) -> bool:
        """
        Have the page across hold or retrieve, if it can; whether it is told.

        It can end only a hold of its own: what we have done over its head we undo ourselves.
        """
        across = call.other(leg)
        event = "hold" if held else "talk"
        if across is None or across.usage is None or not across.is_up or call.is_worked:
            return False
        is_page = across.usage.hop.transport == BROWSER
        if not is_page or event not in across.peer_events or across.was_held == held:
            return False
        across.usage.notify(event, now)
        self._told[call] = (leg, held)
        self._deadlines.set(call, now + FOLLOWS_WITHIN)
        return True

    def _pick_up(self, call: Call, now: float) -> None:
        call.answer(now)
        for rung in call.rung:
            usage = rung.usage
            if isinstance(usage, InviteClientUsage) and _may_be_told(rung):
                usage.notify("talk", now, dialog=usage.sessions()[0].dialog)

    # INFO.

    def _take_info(self, call: Call, leg: Leg, transaction: ServerTransaction, now: float) -> None:
        assert leg.usage is not None
        request = transaction.request
        if not request.body:
            leg.usage.respond(transaction, 200, now)
            return
        if _is_media_control(request):
            leg.usage.respond(transaction, 200, now)
            across = call.other(leg)
            if across is not None and _wants_picture(request.body):
                across.media.ask_for_picture()
            return
        try:
            content_type, body = _passed_on(request)
        except AttachedDataError as error:
            leg.usage.respond(transaction, error.status, now)
        except ParseError:
            leg.usage.respond(transaction, 415, now, _ACCEPT)
        else:
            leg.usage.respond(transaction, 200, now)
            self._pass_on(call.other(leg), content_type, body, now)

    def _pass_on(self, across: Leg | None, content_type: str, body: bytes, now: float) -> None:
        usage = across.usage if across is not None else None
        if usage is None or usage.session is None or usage.state is UsageState.ENDED:
            return
        try:
            usage.info([("Content-Type", content_type)], body, now)
        except OutOfPlace:
            # The other leg is on its way out: nobody is left to be told.
            return


def _may_be_told(leg: Leg) -> bool:
    usage = leg.usage
    return leg.takes_talk and usage is not None and bool(usage.sessions())


def _is_media_control(request: Request) -> bool:
    try:
        content_type = request.content_type
    except ParseError:
        return False
    return content_type is not None and content_type.essence == MEDIA_CONTROL


def _passed_on(request: Request) -> tuple[str, bytes]:
    """Content-Type and body for the other leg; ParseError for what goes nowhere."""
    if is_form(request.get("Content-Type")):
        return FORM_TYPE, to_form(from_form(request.body))
    content_type = request.content_type
    essence = "" if content_type is None else content_type.essence
    if essence == OCTETS and len(request.body) > LONGEST:
        raise AttachedDataError("size")
    if essence not in (*DIGITS, OCTETS):
        raise ParseError("value", "Content-Type")
    return essence, request.body
