"""Two machines that offer, hold, cross, refuse and refresh in any order still agree."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.compose import Medium, compose_answer, compose_offer, compose_refresh
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import Format
from b2bua.sdp.hold import Hold, effective_direction
from b2bua.sdp.lines import Connection, Origin
from b2bua.sdp.offer_answer import OfferAnswer, Turn

_FORMATS = {"audio": (Format(0, "PCMU", 8000),), "video": (Format(96, "VP8", 90000),)}
_KINDS = ("audio", "video")
sides = st.integers(0, 1)
holdings = st.sampled_from([None, True, False])
# What a side wants of its video while nobody holds; None is no video.
pictures = st.none() | st.sampled_from(list(Direction))


@dataclass
class End:
    """One end of the leg: its machine, what is on its way to it, and all it has said."""

    machine: OfferAnswer
    inbox: deque[tuple[str, bytes]] = field(default_factory=deque)
    said: dict[int, bytes] = field(default_factory=dict)

    def record(self, sent: SessionDescription) -> bytes:
        """Note a description under its version, which must be new or mean the same."""
        version, text = sent.origin.session_version, sent.render()
        if version not in self.said:
            assert version == max(self.said, default=0) + 1, "a version was left out"
        assert self.said.setdefault(version, text) == text, "a version means two things"
        return text


class TwoEnds(RuleBasedStateMachine):
    """The rules: what either end may do at any moment, and the wire between them."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = [End(OfferAnswer(Origin("-", side, 1, "IP4", "h"))) for side in (10, 20)]

    def send(self, side: int, what: str, text: bytes = b"") -> None:
        """Put a message on its way to the other end."""
        self.ends[1 - side].inbox.append((what, text))

    def one_of(self, side: int, able: list[int]) -> int:
        """Return the side that was drawn, or the other one where only that is able."""
        return side if side in able else able[0]

    def in_turn(self, *turns: Turn) -> list[int]:
        """Return the sides whose machines are in one of these turns."""
        return [side for side in (0, 1) if self.ends[side].machine.turn in turns]

    @precondition(lambda self: self.in_turn(Turn.IDLE, Turn.AGREED))
    @rule(side=sides, holding=holdings, picture=pictures, old=st.booleans(), asked=st.booleans())
    def offer(
        self, side: int, holding: bool | None, picture: Direction | None, old: bool, asked: bool
    ) -> None:
        """An end offers, and may hold or let go by it; also in the old form, also when asked."""
        side = self.one_of(side, self.in_turn(Turn.IDLE, Turn.AGREED))
        machine = self.ends[side].machine
        hold = machine.hold if holding is None else replace(machine.hold, by_us=holding)
        offered = hold.solicited if asked else hold.offered
        wanted = (Direction.SENDRECV, picture)
        media = [
            None if way is None else _medium(kind, offered(way), hold, old=old)
            for kind, way in zip(_KINDS, wanted, strict=True)
        ]
        if picture is None and not (machine.local and len(machine.local.media) > 1):
            media.pop()
        sent = machine.send_offer(compose_offer("192.0.2.1", media, machine.local), holding=holding)
        self.send(side, "offer", self.ends[side].record(sent))

    @precondition(lambda self: self.in_turn(Turn.AGREED))
    @rule(side=sides)
    def refresh(self, side: int) -> None:
        """An end says again what it said last."""
        side = self.one_of(side, self.in_turn(Turn.AGREED))
        machine = self.ends[side].machine
        assert machine.local is not None
        sent = machine.send_offer(machine.local)
        assert sent == machine.local
        self.send(side, "offer", self.ends[side].record(sent))

    @precondition(lambda self: self.in_turn(Turn.ASKED))
    @rule(side=sides, holding=holdings, picture=pictures)
    def answer(self, side: int, holding: bool | None, picture: Direction | None) -> None:
        """An end answers, and may hold or let go by it where the other can see that."""
        side = self.one_of(side, self.in_turn(Turn.ASKED))
        machine = self.ends[side].machine
        offer = machine.offer
        assert offer is not None
        ways = [effective_direction(offer, medium) for medium in offer.media]
        if machine.refresh and machine.local is not None:
            sent = machine.send_answer(compose_refresh(machine.local, offer))
        else:
            holding = holding if ways[0].sends else None
            hold = machine.asked_hold
            hold = hold if holding is None else replace(hold, by_us=holding)
            wanted = (Direction.SENDRECV, picture)
            media = [
                None if want is None else _medium(kind, hold.answered(way, want), hold)
                for kind, way, want in zip(_KINDS, ways, wanted, strict=False)
            ]
            answer = compose_answer("192.0.2.1", offer, media)
            sent = machine.send_answer(answer, holding=holding)
        self.send(side, "answer", self.ends[side].record(sent))

    @precondition(lambda self: self.in_turn(Turn.ASKED))
    @rule(side=sides)
    def refuse(self, side: int) -> None:
        """An end refuses the offer it has."""
        side = self.one_of(side, self.in_turn(Turn.ASKED))
        self.ends[side].machine.roll_back()
        self.send(side, "refusal")

    @precondition(lambda self: any(end.inbox for end in self.ends))
    @rule(side=sides)
    def deliver(self, side: int) -> None:
        """What is on its way arrives, in order."""
        side = self.one_of(side, [at for at in (0, 1) if self.ends[at].inbox])
        end = self.ends[side]
        what, text = end.inbox.popleft()
        if what == "refusal":
            end.machine.roll_back()
        elif what == "answer":
            end.machine.receive_answer(parse(text))
        else:
            try:
                end.machine.receive_offer(parse(text))
            except SdpError as glare:
                assert glare.status == 491
                self.send(side, "refusal")

    @invariant()
    def ends_agree(self) -> None:
        """With nothing open both ends have the same picture, each from its side."""
        one, two = (end.machine for end in self.ends)
        if any(end.inbox for end in self.ends) or one.offer or two.offer:
            return
        assert one.turn == two.turn
        assert (one.local, one.remote) == (two.remote, two.local)
        assert one.directions == tuple(way.reversed for way in two.directions)
        assert (one.hold.by_us, one.hold.by_them) == (two.hold.by_them, two.hold.by_us)

    @invariant()
    def who_holds_takes_nothing(self) -> None:
        """No slot carries media to an end that holds."""
        for end in self.ends:
            if end.machine.hold.by_us:
                assert not any(way.receives for way in end.machine.directions)


def _medium(kind: str, direction: Direction, hold: Hold, *, old: bool = False) -> Medium:
    # The old form of hold: an address where nobody listens, and no word of direction.
    bare = old and hold.by_us and direction.sends
    return Medium(
        kind=kind,
        port=9000,
        formats=_FORMATS[kind],
        direction=Direction.SENDRECV if bare else direction,
        connection=Connection.to("0.0.0.0") if bare else None,
    )


class TwoEndsTests(SynchronousTestCase):
    """Hypothesis drives both ends."""

    def test_both_ends_see_the_same_session(self) -> None:
        """After any row of offers, answers, refusals and crossings both ends agree."""
        bounded = settings(max_examples=100, stateful_step_count=50, deadline=None)
        run_state_machine_as_test(TwoEnds, settings=bounded)
