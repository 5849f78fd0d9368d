"""
Offers and answers on one leg of a call (RFC 3264; RFC 6337; RFC 6141 for what a failure leaves).

One offer is open at a time, and what was agreed before holds until it is answered. Slots of media
are never taken away and never change their order. Our ``o=`` line counts what we say: the version
is one higher when a description differs from the one before, and the same when it does not.

    IDLE ──offer──▶ OFFERED or ASKED ──answer──▶ AGREED ──offer──▶ OFFERED or ASKED ...
      ▲                    │                       ▲                     │
      └────── failed ──────┘                       └─────── failed ──────┘

The machine checks and remembers; composing is done elsewhere.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from enum import IntEnum, auto
from typing import Final, TypeAlias

from b2bua.sdp.description import MediaDescription, SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError, SdpFault
from b2bua.sdp.formats import agreed, formats_of
from b2bua.sdp.hold import Hold, effective_direction
from b2bua.sdp.lines import Origin
from b2bua.sdp.once import of_shapes


class Turn(IntEnum):
    """Whose turn it is."""

    IDLE = auto()
    """Nothing agreed, nothing open."""
    AGREED = auto()
    """A session stands and nothing is open."""
    OFFERED = auto()
    """Our offer is open."""
    ASKED = auto()
    """Their offer is open."""


class Step(IntEnum):
    """What may come next."""

    SEND_OFFER = auto()
    RECEIVE_OFFER = auto()
    SEND_ANSWER = auto()
    RECEIVE_ANSWER = auto()


class WrongTurn(RuntimeError):
    """We wanted to offer or to answer when we may not: a fault of ours, and nothing changed."""


_Next: TypeAlias = Turn | SdpFault | None

# A turn is where the step leads, a word why a peer may not take it, None that we may not.
_TABLE: Final[dict[Turn, dict[Step, _Next]]] = {
    Turn.IDLE: {
        Step.SEND_OFFER: Turn.OFFERED,
        Step.RECEIVE_OFFER: Turn.ASKED,
        Step.SEND_ANSWER: None,
        Step.RECEIVE_ANSWER: "unasked",
    },
    Turn.AGREED: {
        Step.SEND_OFFER: Turn.OFFERED,
        Step.RECEIVE_OFFER: Turn.ASKED,
        Step.SEND_ANSWER: None,
        Step.RECEIVE_ANSWER: "unasked",
    },
    Turn.OFFERED: {
        Step.SEND_OFFER: None,
        Step.RECEIVE_OFFER: "pending",
        Step.SEND_ANSWER: None,
        Step.RECEIVE_ANSWER: Turn.AGREED,
    },
    Turn.ASKED: {
        Step.SEND_OFFER: None,
        Step.RECEIVE_OFFER: "unanswered",
        Step.SEND_ANSWER: Turn.AGREED,
        Step.RECEIVE_ANSWER: "unasked",
    },
}


class OfferAnswer:
    """
    One leg's session. ``origin`` is the ``o=`` line of the first description that we send.

    Every verb either does what it says or raises and leaves all as it was: SdpError for a fault
    of the peer, with the status to answer; WrongTurn or ValueError for one of ours.
    """

    __slots__ = ("_agreed_hold", "_last_sent", "_open", "_origin", "_turn", "local", "remote")

    local: SessionDescription | None
    """Our side of what was agreed last."""
    remote: SessionDescription | None
    """Their side of what was agreed last."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._turn = Turn.IDLE
        self._agreed_hold = Hold()
        self._last_sent: SessionDescription | None = None
        self._open: tuple[SessionDescription, Hold] | None = None
        self.local = None
        self.remote = None

    @property
    def turn(self) -> Turn:
        """Whose turn it is."""
        return self._turn

    @property
    def hold(self) -> Hold:
        """Who holds, after the exchange that was agreed last."""
        return self._agreed_hold

    @property
    def offer(self) -> SessionDescription | None:
        """The offer that is open, ours or theirs."""
        return self._open[0] if self._open else None

    @property
    def asked_hold(self) -> Hold:
        """Who would hold if we agreed to their open offer: the facts an answer is made from."""
        return self._open[1] if self._open else self._agreed_hold

    @property
    def refresh(self) -> bool:
        """Their open offer repeats what they said last, ``o=`` line and all: nothing changes."""
        return self._turn is Turn.ASKED and self.offer == self.remote

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way media flow in each slot as we see it: what both sides agreed to."""
        if self.local is None or self.remote is None:
            return ()
        return tuple(
            effective_direction(self.local, ours).within(
                effective_direction(self.remote, theirs).reversed
            )
            for ours, theirs in zip(self.local.media, self.remote.media, strict=True)
        )

    def send_offer(
        self, offer: SessionDescription, *, holding: bool | None = None
    ) -> SessionDescription:
        """
        Open an offer and return it with its ``o=`` line, ready to be sent.

        ``holding`` says whether the offer puts them on hold or ends that; None leaves it. The
        fact changes when the offer is answered. An offer that they asked for is no different.
        """
        turn = self._next(Step.SEND_OFFER)
        if not self._keeps_slots(offer):
            raise ValueError("an offer drops or reuses a slot of the session")
        stamped = self._stamp(offer)
        self._open = (stamped, self._with_ours(self._agreed_hold, holding))
        self._turn = turn
        return stamped

    def receive_offer(self, offer: SessionDescription) -> None:
        """
        Take an offer of theirs; ``refresh`` and ``asked_hold`` then tell what it is about.

        A description under another ``o=`` name is another party behind the same dialog, as
        third-party call control brings it, and starts with slots of its own.
        """
        turn = self._next(Step.RECEIVE_OFFER)
        if self._is_same_party(offer) and not self._keeps_slots(offer):
            raise SdpError("mismatch", "slots")
        self._open = (offer, self._agreed_hold.after_offer(offer))
        self._turn = turn

    def send_answer(
        self, answer: SessionDescription, *, holding: bool | None = None
    ) -> SessionDescription:
        """
        Answer their offer and return the answer with its ``o=`` line, ready to be sent.

        ValueError if the answer is not within the offer.
        """
        turn = self._next(Step.SEND_ANSWER)
        assert self._open is not None
        offer, hold = self._open
        _check_within(offer, answer)
        stamped = self._stamp(answer)
        self._agree(stamped, offer, self._with_ours(hold, holding), turn)
        return stamped

    def receive_answer(self, answer: SessionDescription) -> None:
        """
        Take the answer to our offer; one that was taken before is welcome to come again.

        After an SdpError the offer is still open: roll back, and end the session where the
        request cannot be refused any more.
        """
        if self._turn is Turn.AGREED and answer == self.remote:
            return
        turn = self._next(Step.RECEIVE_ANSWER)
        assert self._open is not None
        offer, hold = self._open
        _check_answer(offer, answer)
        self._agree(offer, answer, hold.after_answer(offer, answer), turn)

    def check_answer(self, answer: SessionDescription) -> None:
        """
        Look at what an unreliable provisional response brought, and leave the offer open.

        It may be used for early media; what counts comes with the final response.
        """
        self._next(Step.RECEIVE_ANSWER)
        assert self._open is not None
        _check_answer(self._open[0], answer)

    def roll_back(self) -> None:
        """
        Forget the open offer, ours or theirs: the request that carried it failed.

        What was agreed before holds. With nothing open, nothing changes.
        """
        self._open = None
        self._turn = Turn.IDLE if self.local is None else Turn.AGREED

    def fork(self) -> OfferAnswer:
        """Return a machine for another early dialog that answers the same offer (forking)."""
        return copy.copy(self)

    def _next(self, step: Step) -> Turn:
        following = _TABLE[self._turn][step]
        if following is None:
            raise WrongTurn(f"{step.name} while {self._turn.name}")
        if isinstance(following, Turn):
            return following
        raise SdpError(following)

    def _is_same_party(self, offer: SessionDescription) -> bool:
        if self.remote is None:
            return False
        before, now = self.remote.origin, offer.origin
        return replace(before, session_version=0) == replace(now, session_version=0)

    def _keeps_slots(self, offer: SessionDescription) -> bool:
        """Tell whether every slot is still there and those in use keep their kind."""
        if self.local is None or self.remote is None:
            return True
        slots = list(zip(self.local.media, self.remote.media, strict=True))
        return len(offer.media) >= len(slots) and all(
            ours.rejected or theirs.rejected or new.kind == ours.kind
            for (ours, theirs), new in zip(slots, offer.media, strict=False)
        )

    def _agree(
        self, local: SessionDescription, remote: SessionDescription, hold: Hold, turn: Turn
    ) -> None:
        self.local, self.remote = local, remote
        self._agreed_hold = hold
        self._open = None
        self._turn = turn

    @staticmethod
    def _with_ours(hold: Hold, holding: bool | None) -> Hold:
        return hold if holding in (None, hold.by_us) else Hold(bool(holding), hold.by_them)

    def _stamp(self, description: SessionDescription) -> SessionDescription:
        # After a failure the peer is back at what was agreed, so that version means it again.
        for said in (self.local, self._last_sent):
            if said is not None and description.is_alike(said):
                return said
        if self._last_sent is not None:
            version = self._origin.session_version + 1
            self._origin = replace(self._origin, session_version=version)
        self._last_sent = description.with_origin(self._origin)
        return self._last_sent


@of_shapes
def _check_answer(offer: SessionDescription, answer: SessionDescription) -> None:
    """Raise SdpError unless an answer of theirs is one to our offer."""
    if len(answer.media) != len(offer.media):
        raise SdpError("mismatch", "number of media")
    for ours, theirs in zip(offer.media, answer.media, strict=True):
        if ours.kind != theirs.kind or (ours.rejected and not theirs.rejected):
            raise SdpError("mismatch", "slot")
        if theirs.rejected:
            continue
        if _encrypted(ours) != _encrypted(theirs) or ours.line.is_rtp != theirs.line.is_rtp:
            raise SdpError("mismatch", "protocol")
        if ours.line.is_rtp and not agreed(formats_of(ours), formats_of(theirs)):
            raise SdpError("media")


def _encrypted(medium: MediaDescription) -> bool:
    # AVP for AVPF is a slip that harms nobody; plain RTP for encrypted RTP is not.
    return "SAVP" in medium.line.protocol.upper()


@of_shapes
def _check_within(offer: SessionDescription, answer: SessionDescription) -> None:
    """Raise ValueError unless an answer of ours is within their offer."""
    if len(answer.media) != len(offer.media):
        raise ValueError("an answer has as many slots as its offer")
    for theirs, ours in zip(offer.media, answer.media, strict=True):
        if ours.kind != theirs.kind or ours.line.protocol != theirs.line.protocol:
            raise ValueError("a slot of the answer is not that of the offer")
        if ours.rejected:
            continue
        if theirs.rejected:
            raise ValueError("an answer uses a slot that the offer does not")
        if not set(ours.line.formats) <= set(theirs.line.formats):
            raise ValueError("an answer has a format that the offer has not")
        allowed = effective_direction(offer, theirs).reversed
        direction = effective_direction(answer, ours)
        if direction.within(allowed) is not direction:
            raise ValueError("an answer's direction is not within the offer's")
