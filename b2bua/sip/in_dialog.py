"""
What becomes of a request inside a dialog, by its method (RFC 3261, sections 8.2 and 12.2.2).

Requests that change the session go to it, those for whoever runs the call are handed up, all
others have their answer here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.session import Session
from b2bua.sip.usage_events import SDP, InDialogRequest

if TYPE_CHECKING:
    from b2bua.sip.invite_usage import InviteUsage

KNOWN_METHODS = frozenset(
    [
        *("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS"),
        *("PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"),
    ]
)
"""What gets 405 where it is not allowed; of anything else nobody here has heard: 501."""

_Answer = Callable[["InviteUsage", Session, ServerTransaction, float], None]


def answer_request(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    """Answer a request other than BYE, or hand it on."""
    request = transaction.request
    unknown = request.tokens("Require") - {option.lower() for option in _supported(usage)}
    if unknown:
        listed = ", ".join(sorted(unknown))
        usage.respond(transaction, 420, now, [("Unsupported", listed)])
        return
    answer = _BY_METHOD.get(request.method, _answer_other)
    answer(usage, session, transaction, now)


def _supported(usage: InviteUsage) -> tuple[str, ...]:
    return usage.agent.profile.supported


def _change(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    if transaction.request.method in usage.agent.profile.allow:
        session.receive_change(transaction, now)
    else:
        _answer_other(usage, session, transaction, now)


def _acknowledge(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    usage.receive_prack(session, transaction, now)


def _answer_options(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    headers = [("Accept", SDP), *usage.capabilities("200")]
    usage.respond(transaction, 200, now, headers)


def _decline_refer(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    usage.respond(transaction, 603, now)


def _refuse_event(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    listed = ", ".join(usage.agent.profile.allow_events)
    usage.respond(transaction, 489, now, [("Allow-Events", listed)] if listed else [])


def _take_notify(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    event = transaction.request.event
    allowed = usage.agent.profile.allow_events
    if event is None or event.value.lower() not in [name.lower() for name in allowed]:
        _refuse_event(usage, session, transaction, now)
    else:
        usage.emit(InDialogRequest(usage, transaction))


def _take_info(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    """An INFO of before RFC 6086 has no package, and its body says what it is for."""
    package = transaction.request.get("Info-Package")
    ours = usage.agent.profile.recv_info
    if package is not None and package.partition(";")[0].strip() not in ours:
        usage.respond(transaction, 469, now, [("Recv-Info", ", ".join(ours))])
    else:
        usage.emit(InDialogRequest(usage, transaction))


def _answer_other(
    usage: InviteUsage, session: Session, transaction: ServerTransaction, now: float
) -> None:
    method = transaction.request.method
    if method in usage.agent.profile.allow and method in _HANDED_UP:
        usage.emit(InDialogRequest(usage, transaction))
    else:
        status = 405 if method in KNOWN_METHODS else 501
        allow = ", ".join(usage.agent.profile.allow)
        usage.respond(transaction, status, now, [("Allow", allow)])


_HANDED_UP = KNOWN_METHODS - {"REGISTER", "PUBLISH", "INVITE", "UPDATE"}
_BY_METHOD: dict[str, _Answer] = {
    "INVITE": _change,
    "UPDATE": _change,
    "PRACK": _acknowledge,
    "OPTIONS": _answer_options,
    "REFER": _decline_refer,
    "SUBSCRIBE": _refuse_event,
    "NOTIFY": _take_notify,
    "INFO": _take_info,
}
