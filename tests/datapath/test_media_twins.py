"""Both media planes make the same of the same packets: streams, counters, reports."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import StreamCounters, StreamTerms
from b2bua.rtp.packet import Packet, build
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from suite.datapath.choice import missing_reason
from suite.datapath.media import TwinMediaPlane
from tests import fewer
from tests.datapath.media import LOOPBACK, native_plane
from tests.datapath.test_twin import ReactorStandIn

_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF
_NUMBERS = (0, 8, 97, 101, 102, 111)
_TERMS = StreamTerms(
    payload_types={0: 0, 8: 8, 97: 98, 101: 96, 102: 97},
    clock_rates={0: 8000, 8: 8000, 97: 90000, 101: 48000, 102: 8000},
    event_rates={101: (48000, 8000), 102: (8000, 48000)},
    nack_interval=0.1,
)

Step = tuple[Any, ...]


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """An RTP header of one of three sources, near where sources are, or anywhere."""
    first = draw(st.sampled_from([0x80] * 6 + [0x90, 0xA0, 0xB0, 0x81, 0x8F, 0xBF, 0, 0x40]))
    number = draw(st.sampled_from(_NUMBERS)) | draw(st.sampled_from([0, 0, 0x80]))
    near = st.integers(0, 12) | st.integers(_MOST_16 - 6, _MOST_16) | st.integers(2990, 3020)
    sequence = draw(near | st.integers(0, _MOST_16))
    timestamp = draw(st.integers(0, 2000) | st.integers(0, _MOST_32))
    ssrc = draw(st.sampled_from([1, 2, _MOST_32]))
    return (
        bytes([first, number])
        + sequence.to_bytes(2, "big")
        + timestamp.to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
    )


PACKETS = st.builds(bytes.__add__, headers(), st.binary(max_size=53)) | st.binary(max_size=65)
TALKS = st.tuples(
    st.just("talk"),
    st.sampled_from(["near"] * 4 + ["far", "moved"]),
    st.sampled_from([1] * 4 + [2]),
    st.sampled_from([1] * 6 + [0, 2, 5, -1, -2, -3, -99, -101, 2999, 3001, 999, 1001]),
    st.sampled_from([160] * 4 + [0, 960, 1 << 31]),
    st.sampled_from([0, 0, 0, 97, 101, 111]),
    st.binary(min_size=4, max_size=12),
)
"""A source goes on: whose, which, by how many numbers and ticks, payload type and payload."""
PRESSES = st.tuples(
    st.just("talk"),
    st.just("near"),
    st.just(1),
    st.sampled_from([1] * 6 + [2, -1]),
    st.sampled_from([0] * 6 + [0xFFFF, 0xFFFF, 0x10400, 160]),
    st.sampled_from([101, 102]),
    st.builds(
        lambda key, duration: key + duration.to_bytes(2, "big"),
        st.sampled_from([b"\x05\x0a"] * 6 + [b"\x05\x8a", b"\x06\x0a"]),
        st.sampled_from([0, 160, 10922, 10923, 22000, 60000, 0xFFFF]),
    ),
)
"""A key is held, or pressed again."""
OTHERS = st.one_of(
    st.tuples(st.just("near"), PACKETS),
    st.tuples(st.just("far"), PACKETS),
    st.tuples(st.just("moved"), PACKETS),
    st.tuples(st.just("control"), st.binary(max_size=65)),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.02, 0.3, 2.0, 7.0])),
    st.tuples(
        st.just("terms"),
        st.fixed_dictionaries(
            {},
            optional={
                "sends": st.just(False),
                "receives": st.just(False),
                "silence": st.sampled_from([0, 13]),
                "remote": st.sampled_from(["near", "moved", None]),
                "rtcp_mux": st.just(True),
            },
        ),
    ),
    st.tuples(st.just("join")),
)
STEPS = st.integers(0, 9).flatmap(
    lambda among: OTHERS if among < 3 else PRESSES if among < 5 else TALKS
)
"""Most of them are a source that goes on; equal strategies in one_of count once."""


class Bench:
    """A plane, three sockets around its two ends, and what came of everything."""

    def __init__(self, *, native: bool) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        reactor: Any = ReactorStandIn()
        # One pair of ports, so that both planes have the same numbers; they live one by one.
        settings = MediaSettings(
            host=LOOPBACK, first_port=22400, last_port=22403, rules=CodecRules(codecs=()), rest=0
        )
        below = Random(7).randrange
        self.plane: Any = (
            native_plane(reactor, self.clock, settings, below)
            if native
            else TwinMediaPlane(reactor, self.clock, settings, below)
        )
        self.reader = self.plane.core if native else self.plane
        self.sockets = {name: self._socket() for name in ("near", "far", "moved")}
        self.ends = {name: self.plane.open() for name in ("near", "far")}
        self.plane.set_terms(self.ends["near"], self._terms("near"))
        self.plane.set_terms(self.ends["far"], self._terms("far"))
        self.plane.join(self.ends["near"], self.ends["far"])
        self.seen: list[object] = []
        self.numbers: dict[int, tuple[int, int]] = {}

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((LOOPBACK, 0))
        made.setblocking(False)
        return made

    def _terms(self, whose: str | None, **more: Any) -> StreamTerms:
        remote = None if whose is None else self.sockets[whose].getsockname()
        return replace(_TERMS, remote=remote, remote_rtcp=remote, **more)

    def run(self, steps: Sequence[Step]) -> None:
        for name, *values in steps:
            getattr(self, f"do_{name}")(*values)
            while select.select([self.reader], [], [], 0)[0]:
                self.reader.doRead()
            self.note()

    def do_near(self, packet: bytes, by: str = "near") -> None:
        end = self.ends["far" if by == "far" else "near"]
        self.sockets[by].sendto(packet, self.plane.local(end))

    def do_talk(self, by: str, ssrc: int, step: int, ticks: int, number: int, data: bytes) -> None:
        sequence, timestamp = self.numbers.get(ssrc, (_MOST_16 - 8 * ssrc, _MOST_32 - 900))
        sequence, timestamp = sequence + step & _MOST_16, timestamp + ticks & _MOST_32
        if step > 0:
            self.numbers[ssrc] = sequence, timestamp
        packet = Packet(
            payload_type=number, sequence=sequence, timestamp=timestamp, ssrc=ssrc, payload=data
        )
        self.do_near(build(packet), by)
        self.clock.advance(0.019)

    def do_far(self, packet: bytes) -> None:
        self.do_near(packet, "far")

    def do_moved(self, packet: bytes) -> None:
        self.do_near(packet, "moved")

    def do_control(self, packet: bytes) -> None:
        host, port = self.plane.local(self.ends["near"])
        self.sockets["near"].sendto(packet, (host, port + 1))

    def do_wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def do_terms(self, more: dict[str, Any]) -> None:
        whose = more.get("remote", "near")
        rest = {name: value for name, value in more.items() if name != "remote"}
        self.plane.set_terms(self.ends["near"], self._terms(whose, **rest))

    def do_join(self) -> None:
        near, far = self.ends["near"], self.ends["far"]
        self.plane.join(near, near)
        self.plane.join(near, far)

    def note(self) -> None:
        """What came out, and what was counted."""
        for name, sock in self.sockets.items():
            try:
                while True:
                    self.seen.append((name, sock.recv(65535)))
            except BlockingIOError:
                pass
        self.seen += [self._counted(self.plane.counters(end)) for end in self.ends.values()]

    def _counted(self, counters: StreamCounters) -> StreamCounters:
        names = {sock.getsockname()[1]: name for name, sock in self.sockets.items()}
        source = None if counters.source is None else (names[counters.source[1]], 0)
        return replace(counters, source=source)

    def close(self) -> list[object]:
        for end in self.ends.values():
            self.plane.close(end)
        self.note_last()
        self.plane.shut_down()
        for sock in self.sockets.values():
            sock.close()
        return self.seen

    def note_last(self) -> None:
        self.ends = {}
        self.note()


class EqualPlanesTests(SynchronousTestCase):
    """The native plane and its twin."""

    skip = missing_reason() or None

    @given(st.lists(STEPS, min_size=20, max_size=50))
    @fewer(2)
    def test_any_sequence(self, steps: list[Step]) -> None:
        """Bytes that go out and numbers that are counted are the same, step by step."""
        outcomes = []
        for native in (False, True):
            bench = Bench(native=native)
            try:
                bench.run(steps)
            finally:
                outcomes.append(bench.close())
        self.assertEqual(*outcomes)
