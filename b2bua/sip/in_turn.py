"""
INFO and NOTIFY of one usage, each sent when it can overtake nothing (RFC 3261, section 12.2.2).

Over UDP a request whose first copy is lost comes after one that was sent later, and a peer that
counts refuses it with 500: what it says is lost, and digits would change places. So one of these
waits until the peer has shown that it has what was sent before it in the dialog. What changes or
ends the session waits for nothing; where that overtook one of these it is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from b2bua.sip.message import Request, Response
from b2bua.sip.session import Session
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import Cause, RequestAnswered
from b2bua.sip.usage_states import LIVE

if TYPE_CHECKING:
    from b2bua.sip.invite_usage import InviteUsage

MOST: Final = 64
"""How many may wait; a command with one more has no place."""
_MOST_TRIES: Final = 3
_OVERTAKEN: Final = 500


@dataclass(slots=True)
class Waiting:
    """One that is to be sent, or has no answer yet."""

    session: Session
    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    tries: int = 0


def send(
    usage: InviteUsage,
    session: Session,
    method: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    now: float,
) -> None:
    """Send a request when its turn comes. Raises OutOfPlace."""
    if len(usage.waiting) >= MOST:
        raise OutOfPlace("too many requests wait for their turn")
    usage.waiting.append(Waiting(session, method, tuple(headers), body))
    go_on(usage, now)


def go_on(usage: InviteUsage, now: float) -> None:
    """Send what waits, as far as its turn has come; none after the usage's end."""
    while usage.waiting and usage.state in LIVE:
        first = usage.waiting[0]
        if usage.may_be_overtaken(first.session):
            return
        del usage.waiting[0]
        _send(usage, first, now)
    if usage.state not in LIVE:
        usage.waiting.clear()


def _send(usage: InviteUsage, waiting: Waiting, now: float) -> None:
    waiting.tries += 1
    headers = list(waiting.headers)
    if waiting.method == "NOTIFY":
        headers.insert(0, ("Contact", str(usage.agent.contact(usage.hop))))
    dialog = waiting.session.dialog
    request = dialog.request(waiting.method, headers, waiting.body)
    # Before the session stands the peer may not have heard of the dialog yet: 481 is no end.
    is_early = not usage.may_reinvite

    def done(request: Request, status: int, response: Response | None, now: float) -> None:
        is_overtaken = status == _OVERTAKEN and dialog.local_sequence > request.cseq.number
        if is_overtaken and waiting.tries < _MOST_TRIES:
            usage.waiting.insert(0, waiting)
            return
        usage.emit(RequestAnswered(usage, request, status))
        if not is_early and status in (408, 481):
            usage.lose(Cause.GONE if status == 481 else Cause.SILENT, now)

    usage.ask(waiting.session, request, done, now)
