"""
NOTIFY "talk" and "hold" inside a dialog: the server works the telephone for its user.

The two event packages have no RFC; phones and call servers agree on them since BroadSoft's
access extensions. They carry no parameters and no body, and nobody subscribes: whoever lists
them in Allow-Events takes them, from the first 18x on. The first ``talk`` answers a ringing
call, later ones end a hold.

Here stands which answer each NOTIFY gets and what the leg then has to do. Copies of a NOTIFY are
the transaction's to answer; a NOTIFY that wants what is already so has a 200 and no effect. It is
answered first and acted on afterwards: the 200 to NOTIFY precedes the 200 to INVITE.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from b2bua.sdp.hold import Hold
from b2bua.sip.headers import Word
from b2bua.sip.usage_states import SessionState, UsageState


class LegState(IntEnum):
    """Where a leg stands, as far as talk and hold are concerned."""

    GONE = 0
    """No such dialog, or one that is ending."""
    RINGING = 1
    """Their INVITE is not answered."""
    ANSWERING = 2
    """It is being answered, by the user or by ``talk``; the 2xx has not gone out."""
    CALLING = 3
    """Our own INVITE has no final response."""
    ANSWERED = 4
    """Our 2xx has no ACK yet."""
    ACTIVE = 5
    HELD_BY_US = 6
    HELD_BY_THEM = 7
    HELD_BY_BOTH = 8
    PENDING = 9
    """A re-INVITE or an offer is open, ours or theirs."""
    LOST = 10
    """The user's browser has lost its session, and may or may not come back."""


class TalkHold(IntEnum):
    """The event packages."""

    TALK = 0
    HOLD = 1


class Intent(IntEnum):
    """What the leg does once the NOTIFY is answered."""

    NONE = 0
    ANSWER = 1
    """Make the browser accept the call, and answer the INVITE with what it says."""
    HOLD = 2
    """Offer what holds the call: sendonly, or inactive where they hold too."""
    RETRIEVE = 3
    """Offer what ends our hold: sendrecv, or recvonly where they hold."""
    QUEUE = 4
    """Keep this event in place of any kept before, and ask ``due`` when the way is free."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The status that answers a NOTIFY, and what follows from it."""

    status: int
    intent: Intent = Intent.NONE


_MET: Final = Decision(200)
_LATER: Final = Decision(200, Intent.QUEUE)
_HOLD: Final = Decision(200, Intent.HOLD)
_RETRIEVE: Final = Decision(200, Intent.RETRIEVE)
_NO_DIALOG: Final = Decision(481)
# A 200 would tell the server that somebody heard it.
_NOBODY: Final = Decision(480)
BAD_EVENT: Final = Decision(489)
"""Not ours to do; the response lists Allow-Events (RFC 6665, section 4.1.3)."""

TABLE: Final[Mapping[LegState, Mapping[TalkHold, Decision]]] = {
    LegState.GONE: {TalkHold.TALK: _NO_DIALOG, TalkHold.HOLD: _NO_DIALOG},
    LegState.RINGING: {TalkHold.TALK: Decision(200, Intent.ANSWER), TalkHold.HOLD: _MET},
    # Queued though it is met already: it takes the place of a hold that may be waiting.
    LegState.ANSWERING: {TalkHold.TALK: _LATER, TalkHold.HOLD: _LATER},
    LegState.CALLING: {TalkHold.TALK: _MET, TalkHold.HOLD: _MET},
    LegState.ANSWERED: {TalkHold.TALK: _LATER, TalkHold.HOLD: _LATER},
    LegState.ACTIVE: {TalkHold.TALK: _MET, TalkHold.HOLD: _HOLD},
    LegState.HELD_BY_US: {TalkHold.TALK: _RETRIEVE, TalkHold.HOLD: _MET},
    # Their hold is never ended from here.
    LegState.HELD_BY_THEM: {TalkHold.TALK: _MET, TalkHold.HOLD: _HOLD},
    LegState.HELD_BY_BOTH: {TalkHold.TALK: _RETRIEVE, TalkHold.HOLD: _MET},
    LegState.PENDING: {TalkHold.TALK: _LATER, TalkHold.HOLD: _LATER},
    LegState.LOST: {TalkHold.TALK: _NOBODY, TalkHold.HOLD: _NOBODY},
}
"""The whole of it: in this state, on that event, this answer and that intent."""

_PACKAGES: Final = {event.name.lower(): event for event in TalkHold}

_BEFORE_ESTABLISHED: Final = {
    UsageState.CALLING: LegState.CALLING,
    UsageState.CANCELLING: LegState.GONE,
    UsageState.RINGING: LegState.RINGING,
    UsageState.WITHHELD: LegState.ANSWERING,
    UsageState.ANSWERED: LegState.ANSWERED,
    UsageState.LEAVING: LegState.GONE,
    UsageState.ENDING: LegState.GONE,
    UsageState.ENDED: LegState.GONE,
}
_HELD: Final = {
    Hold(by_us=False, by_them=False): LegState.ACTIVE,
    Hold(by_us=True, by_them=False): LegState.HELD_BY_US,
    Hold(by_us=False, by_them=True): LegState.HELD_BY_THEM,
    Hold(by_us=True, by_them=True): LegState.HELD_BY_BOTH,
}


def leg_state(
    usage: UsageState,
    session: SessionState,
    hold: Hold,
    *,
    picked_up: bool = False,
    browser_lost: bool = False,
) -> LegState:
    """
    Return the state of a leg from that of its INVITE usage and its session.

    ``picked_up``: the browser has been told to answer a call that rings, or does so by itself.
    """
    state = _BEFORE_ESTABLISHED.get(usage)
    if state is LegState.GONE or session is SessionState.OVER:
        return LegState.GONE
    if browser_lost:
        return LegState.LOST
    if state is LegState.RINGING and picked_up:
        return LegState.ANSWERING
    if state is not None:
        return state
    return _HELD[hold] if session is SessionState.IDLE else LegState.PENDING


def receive_notify(
    state: LegState, event: Word | None, *, advertised: Collection[str], from_server: bool
) -> Decision:
    """
    Decide on a NOTIFY with this Event.

    ``advertised`` is what our Allow-Events lists, nothing where the feature is off.
    ``from_server``: the NOTIFY came from an address, or over a connection, of a configured
    server. Of anybody else a forged one would open a microphone.
    """
    # The dialog is looked for before the request's own header fields count.
    if state is LegState.GONE:
        return _NO_DIALOG
    package = event.value.lower() if event is not None else ""
    listed = package in {name.lower() for name in advertised}
    if package not in _PACKAGES or not listed or not from_server:
        return BAD_EVENT
    return TABLE[state][_PACKAGES[package]]


def kept_event(event: Word) -> TalkHold:
    """Return the event to keep where the decision was QUEUE."""
    return _PACKAGES[event.value.lower()]


def due(state: LegState, kept: TalkHold) -> Intent:
    """
    Return what a kept event asks for now; QUEUE where it has to wait on.

    With any other intent the event is used up.
    """
    return TABLE[state][kept].intent


def hold_wanted(hold: Hold, intent: Intent) -> Hold:
    """Return the facts to offer for an intent; theirs is not for us to change."""
    if intent is Intent.HOLD:
        return replace(hold, by_us=True)
    if intent is Intent.RETRIEVE:
        return replace(hold, by_us=False)
    return hold
