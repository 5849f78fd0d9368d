"""
What reaches a call by requests inside its dialogs: talk and hold, and attached data.

A NOTIFY is answered first and acted on afterwards. Attached data go on to the other leg, written
anew; digits that come as INFO go on as they are, and any other body is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from b2bua.attached_data import FORM_TYPE, AttachedDataError, from_form, is_form, to_form
from b2bua.sip.errors import ParseError
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.message import Request
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_states import UsageState
from b2bua.talk_hold import Decision, Intent, due, kept_event, receive_notify

if TYPE_CHECKING:
    from b2bua.call import Call
    from b2bua.leg import Leg

DIGITS: Final = frozenset({"application/dtmf-relay", "application/dtmf"})
_ACCEPT: Final = (("Accept", ", ".join([FORM_TYPE, *sorted(DIGITS)])),)
_NOBODY: Final = Decision(480)


class CallControl:
    """``is_server`` tells whether a host is one of the SIP Servers'."""

    def __init__(self, advertised: tuple[str, ...], is_server: Callable[[str], bool]) -> None:
        self._advertised = advertised
        self._is_server = is_server

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
        intent = due(leg.talk_state(), leg.kept)
        if intent is not Intent.QUEUE:
            leg.kept = None
            self._act(call, leg, intent, now)

    # Talk and hold.

    def _take_notify(
        self, call: Call, leg: Leg, transaction: ServerTransaction, now: float
    ) -> None:
        assert leg.usage is not None
        event = transaction.request.event
        decision = receive_notify(
            leg.talk_state(),
            event,
            advertised=self._advertised,
            from_server=self._is_server(transaction.hop.host),
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
            call.work(leg, intent is Intent.HOLD, now)

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


def _passed_on(request: Request) -> tuple[str, bytes]:
    """Content-Type and body for the other leg; ParseError for what goes nowhere."""
    if is_form(request.get("Content-Type")):
        return FORM_TYPE, to_form(from_form(request.body))
    content_type = request.content_type
    if content_type is None or content_type.essence not in DIGITS:
        raise ParseError("value", "Content-Type")
    return content_type.essence, request.body
