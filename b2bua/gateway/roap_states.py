"""
How far the exchange of offers and answers with a page is, and what may happen to it.

``call`` has the table of what follows; each pair without a row has its reason here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, TypeVar

_Row = TypeVar("_Row")


class RoapState(IntEnum):
    """Whose message is awaited."""

    NEW = 0
    OFFER_IN = 1
    """The page's offer has no answer yet."""
    ANSWERED = 2
    """It has one, which the page has not confirmed."""
    OFFER_OUT = 3
    CONFIRMING = 4
    """The page has answered; the B2BUA has not acknowledged it."""
    STABLE = 5
    SOLICITED = 6
    """The page has been asked for an offer."""
    OVER = 7


class RoapInput(IntEnum):
    """What happens to the exchange."""

    PAGE_OFFER = 0
    PAGE_ANSWER = 1
    PAGE_OK = 2
    PAGE_ERROR = 3
    OFFER = 4
    """The B2BUA offers."""
    ANSWER = 5
    """It answers."""
    ACK = 6
    """The page's answer is in force."""
    SOLICIT = 7
    FAILED = 8
    """The page's offer was refused."""
    RETRACTED = 9
    """The B2BUA has taken its own back, or has had our refusal of it."""
    LATE = 10
    """The deadline of the state is over."""


_S, _I = RoapState, RoapInput
IGNORED: Final[dict[RoapState, dict[RoapInput, str]]] = {
    _S.NEW: {
        _I.PAGE_OFFER: "the OFFER that begins a call is taken by begin",
        _I.PAGE_ANSWER: "nothing was offered",
        _I.PAGE_OK: "nothing was answered",
        _I.PAGE_ERROR: "nothing was sent",
        _I.ANSWER: "nothing was offered",
        _I.ACK: "nothing was answered",
        _I.FAILED: "nothing was offered",
        _I.RETRACTED: "nothing was offered",
        _I.LATE: "it has no deadline",
    },
    _S.OFFER_IN: {
        _I.PAGE_ANSWER: "late: its own offer took our offer's place",
        _I.PAGE_OK: "a copy",
        _I.PAGE_ERROR: "late: about what its own offer took the place of",
        _I.ACK: "of the exchange before",
        _I.RETRACTED: "our own refusal of it",
        _I.LATE: "it has no deadline: the B2BUA answers or refuses",
    },
    _S.ANSWERED: {
        _I.PAGE_ANSWER: "a copy, or late",
        _I.ANSWER: "it has been given: this one confirms it",
        _I.ACK: "it is the page's offer that is in force",
        _I.FAILED: "the page has no offer out",
    },
    _S.OFFER_OUT: {
        _I.PAGE_OK: "a copy",
        _I.OFFER: "the user agent lets one offer in at a time",
        _I.ANSWER: "the page has not offered",
        _I.ACK: "of the exchange before",
        _I.SOLICIT: "the user agent lets one offer in at a time",
        _I.FAILED: "the page has no offer out",
    },
    _S.CONFIRMING: {
        _I.PAGE_ANSWER: "a copy",
        _I.PAGE_OK: "a copy",
        _I.PAGE_ERROR: "it has answered; its BYE would end the call",
        _I.ANSWER: "the page has not offered",
        _I.FAILED: "the page has no offer out",
        _I.LATE: "it has no deadline: the user agent waits for the ACK",
    },
    _S.STABLE: {
        _I.PAGE_ANSWER: "a copy, or to what was taken back",
        _I.PAGE_OK: "a copy",
        _I.PAGE_ERROR: "about what is over",
        _I.ANSWER: "it has been given: this one confirms it",
        _I.ACK: "it is in force",
        _I.FAILED: "the page has no offer out",
        _I.RETRACTED: "our own refusal of it",
        _I.LATE: "it has no deadline",
    },
    _S.SOLICITED: {
        _I.PAGE_ANSWER: "nothing was offered to it",
        _I.PAGE_OK: "a copy",
        _I.OFFER: "the user agent lets one offer in at a time",
        _I.ANSWER: "nothing was offered to the B2BUA",
        _I.ACK: "of the exchange before",
        _I.SOLICIT: "the user agent lets one offer in at a time",
        _I.FAILED: "the page has no offer out",
    },
    _S.OVER: dict.fromkeys(RoapInput, "it is over"),
}
"""Why a pair has no row: nothing happens."""


def complete(
    rows: Mapping[RoapState, Mapping[RoapInput, _Row]],
) -> Mapping[RoapState, Mapping[RoapInput, _Row]]:
    """Give the rows back if they and ``IGNORED`` together say something of each pair, once."""
    for state in RoapState:
        both = [*rows.get(state, {}), *IGNORED[state]]
        if sorted(both) != sorted(RoapInput):
            raise ValueError(f"{state.name} is not complete")
    return rows
