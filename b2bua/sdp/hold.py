"""
Hold as two facts: held by us, held by them (RFC 3264, section 8.4; RFC 6337, section 5.3).

Who holds takes no media from the other side and may still send some, music for example. Each
side can only change its own fact, so neither ever ends the other's hold. The directions on the
wire follow from the two facts and from what a medium is for; they are never stored as a state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from b2bua.sdp.description import MediaDescription, SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.once import of_shape, of_shapes


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds the call on one leg."""

    by_us: bool = False
    by_them: bool = False

    def offered(self, wanted: Direction = Direction.SENDRECV) -> Direction:
        """
        Return what we offer for a medium of which we want ``wanted`` while nobody holds.

        That is sendonly while we hold, recvonly while they do and inactive while both do.
        """
        return Direction.of(
            sends=wanted.sends and not self.by_them, receives=wanted.receives and not self.by_us
        )

    def solicited(self, wanted: Direction = Direction.SENDRECV) -> Direction:
        """
        Return what we offer when they ask for an offer.

        Asking is how some end their hold, so theirs is not held against them: if it still
        stands, their answer says so.
        """
        return Direction.of(sends=wanted.sends, receives=wanted.receives and not self.by_us)

    def answered(self, offered: Direction, wanted: Direction = Direction.SENDRECV) -> Direction:
        """
        Return our answer to a direction of theirs: its mirror, without what we do not take.

        sendonly is answered with recvonly, or with inactive while we hold; inactive with
        inactive.
        """
        return offered.reversed.within(self.solicited(wanted))

    def after_offer(self, offer: SessionDescription) -> Hold:
        """Return the facts after an offer of theirs: it always tells whether they hold."""
        return self._told(_takes(offer))

    def after_answer(self, offer: SessionDescription, answer: SessionDescription) -> Hold:
        """
        Return the facts after their answer to our offer.

        An answer tells nothing of a medium on which we did not offer to send; where all are so,
        what was known of their hold stays.
        """
        return self._told(_takes_ours(offer, answer))

    def _told(self, takes: bool | None) -> Hold:
        by_them = self.by_them if takes is None else not takes
        return self if by_them == self.by_them else replace(self, by_them=by_them)


@of_shape
def _takes(offer: SessionDescription) -> bool | None:
    """Whether an offer takes media at all; None where it has none."""
    live = [medium for medium in offer.media if not medium.rejected]
    return any(effective_direction(offer, medium).receives for medium in live) if live else None


@of_shapes
def _takes_ours(offer: SessionDescription, answer: SessionDescription) -> bool | None:
    """Whether an answer takes any media that we offered to send; None where we did not."""
    told = [
        effective_direction(answer, theirs)
        for ours, theirs in zip(offer.media, answer.media, strict=True)
        if not theirs.rejected and effective_direction(offer, ours).sends
    ]
    return any(way.receives for way in told) if told else None


def effective_direction(description: SessionDescription, medium: MediaDescription) -> Direction:
    """
    Return what a medium's writer does, however it says so.

    A slot with port 0 is inactive. The address 0.0.0.0 or ``::`` is the old way to say "send me
    nothing" (RFC 2543): it takes receiving away and leaves the mirror of the rest to be answered.
    With ICE that address says only that candidates come apart from it (RFC 8840).
    """
    if medium.rejected:
        return Direction.INACTIVE
    direction = description.direction_of(medium)
    connection = description.connection_of(medium)
    if connection is None or not connection.unspecified or description.ice_of(medium):
        return direction
    return Direction.of(sends=direction.sends, receives=False)
