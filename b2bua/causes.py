"""
What one leg's end means to the other: statuses, and Reason header fields.

A response tells about the request it answers, and the other leg's request was another one. So
what the callee says of the call goes on as it came, and what is only between us and the next
server becomes a failure of ours: credentials that were refused are not the caller's, a 503 would
have our peer avoid us, and a redirection would give away where the next server sends us
(RFC 3261, sections 8.1.3, 16.7 and 21).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import parse_number, quote
from b2bua.sip.headers import Word
from b2bua.sip.reasons import REASONS
from b2bua.sip.usage_events import Cause


class Failure(Enum):
    """Why a leg failed without a response of its peer."""

    TIMEOUT = "timeout"
    """Nothing came back, from any server."""
    TRANSPORT = "transport"
    """No server could be reached."""
    NO_ANSWER = "no-answer"
    """It rang for as long as we let it."""
    DECLINED = "declined"
    """The user at the browser said no."""
    BUSY = "busy"
    NOT_SIGNED_IN = "not-signed-in"
    BROWSER_LOST = "browser-lost"
    MEDIA = "media"
    """The two sides have no media in common, or none could be set up."""
    INTERNAL = "internal"


OF_FAILURE: Final[Mapping[Failure, int]] = {
    Failure.TIMEOUT: 408,
    Failure.TRANSPORT: 500,
    Failure.NO_ANSWER: 480,
    Failure.DECLINED: 603,
    Failure.BUSY: 486,
    Failure.NOT_SIGNED_IN: 480,
    Failure.BROWSER_LOST: 480,
    Failure.MEDIA: 488,
    Failure.INTERNAL: 500,
}
"""The status for the caller where the callee's leg gave none."""

PASSED: Final = frozenset(
    [
        *(403, 404, 408, 410, 433, 480, 482, 483, 484, 485, 486, 488),
        *(500, 504, 600, 603, 604, 606),
    ]
)
"""Statuses that tell about the call, whoever asks."""

CHANGED: Final[Mapping[int, int]] = {
    402: 403,
    # What an offer of ours was refused for is what the call was refused for.
    406: 488,
    415: 488,
    580: 488,
    # Nobody here cancelled, so the callee's side gave up; to the caller nothing was terminated.
    487: 480,
}
"""Statuses that tell about the call, in other words."""

_REDIRECTED: Final = 480
_NOT_THERE: Final = frozenset({408, 480, 481, 487})
_OURS: Final = 500


def status_for_caller(failed: int | Failure, *, cancelled: bool = False) -> int:
    """
    Return the status that ends the caller's INVITE, after a final failure of the callee's leg.

    ``cancelled``: the caller had given up before, which explains any failure: 487.
    """
    if cancelled:
        return 487
    if isinstance(failed, Failure):
        return OF_FAILURE[failed]
    if not 300 <= failed <= 699:
        raise ValueError(f"{failed} is no failure")
    if failed in PASSED:
        return failed
    if failed < 400:
        return _REDIRECTED
    # An unknown status means what the first of its class means (RFC 3261, section 8.1.3.2).
    return CHANGED.get(failed, 600 if failed >= 600 else _OURS)


def better_refusal(one: int, other: int) -> int:
    """
    Return which of two refusals of one call its caller is to hear (RFC 3261, section 16.7).

    6xx speaks for the user wherever they are; else the lowest class wins, and within it the
    first. What is no refusal is none, and a phone that was not there says less than one that was.
    """
    return min((one, other), key=_rank)


def _rank(status: int) -> tuple[int, bool]:
    if not 300 <= status <= 699:
        return (9, False)
    return (0 if status >= 600 else status // 100, status in _NOT_THERE)


def status_for_change(failed: int | Failure) -> int:
    """
    Return the status that refuses a re-INVITE or UPDATE, after the other leg refused its own.

    The call goes on as before. So no status may pass that ends a dialog (RFC 5057, section 5.1),
    and 491 does, because then trying again makes sense.
    """
    return 491 if failed == 491 else 488


# RFC 3398, section 8.2.6.1. It has none for 487, and leaves 488 and 606 to their Warning.
_Q850: Final = {
    403: 21,
    404: 1,
    408: 102,
    410: 22,
    433: 21,
    480: 18,
    482: 25,
    483: 25,
    484: 28,
    485: 1,
    486: 17,
    487: 31,
    488: 88,
    500: 41,
    504: 102,
    600: 17,
    603: 21,
    604: 1,
    606: 88,
}
_Q850_TEXT: Final = {
    1: "Unallocated number",
    17: "User busy",
    18: "No user responding",
    21: "Call rejected",
    22: "Number changed",
    25: "Exchange routing error",
    28: "Invalid number format",
    31: "Normal, unspecified",
    41: "Temporary failure",
    88: "Incompatible destination",
    102: "Recovery on timer expiry",
}


def response_reason(status: int) -> str:
    """
    Return the Reason of a final response that ``status_for_caller`` gave.

    In responses a Reason has the causes of Q.850 only (RFC 6432).
    """
    cause = _Q850[status]
    return f"Q.850;cause={cause};text={quote(_Q850_TEXT[cause])}"


def request_reason(status: int, text: str = "") -> str:
    """Return a Reason for BYE or CANCEL that says what status would have been answered."""
    return f"SIP;cause={status};text={quote(text or REASONS[status])}"


OF_END: Final[Mapping[Cause, tuple[int, str] | None]] = {
    Cause.REFUSED: None,
    # These are the normal ends. A Reason of the peer's own goes on by the header policy.
    Cause.CANCELLED: None,
    Cause.LOCAL: None,
    Cause.REMOTE: None,
    Cause.NO_ACK: (408, "No ACK"),
    Cause.NO_PRACK: (408, "No PRACK"),
    Cause.NO_ANSWER: (488, "Offer without an answer"),
    Cause.GONE: (481, ""),
    Cause.SILENT: (408, ""),
    Cause.EXPIRED: (408, "Session expired"),
}
"""What ended a leg, as a status and its text; None where there is nothing to explain."""


def end_reason(cause: Cause, status: int = 0) -> str | None:
    """
    Return the Reason for the BYE or CANCEL that ends a leg because the other has ended.

    ``status`` is that of the response which refused the other leg, if one did.
    """
    if cause is Cause.REFUSED and status >= 300:
        return request_reason(status_for_caller(status))
    explained = OF_END[cause]
    return None if explained is None else request_reason(*explained)


def answered_elsewhere(reasons: Iterable[Word]) -> bool:
    """Return whether the Reasons of a CANCEL or BYE say that another took the call (RFC 3326)."""
    return any(_cause(word) == 200 for word in reasons if word.value.upper() == "SIP")


def _cause(word: Word) -> int | None:
    try:
        return parse_number(word.parameters.text("cause") or "", 699)
    except ParseError:
        # A Reason without a cause that can be read gives none.
        return None
