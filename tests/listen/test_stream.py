"""One client of the relay over a stream: frames, deadlines, and a reader that is too slow."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.listen.streams import BINDING, CLIENT, SERVER, Wire
from turn.data_plane import ClientPath
from turn.five_tuple import FiveTuple, Transport
from turn.net.stream import StreamClient, StreamLimits
from turn.stun.channel_data import pack

SEND = bytes.fromhex("001600042112a442") + b"transaction!" + b"\x80\x22\x00\x00"


def channel_data(payload: bytes, number: int = 0x4000, *, padded: bool = True) -> bytes:
    """A ChannelData message as a stream carries it."""
    padding = bytes(-len(payload) % 4) if padded else b""
    return struct.pack("!HH", number, len(payload)) + payload + padding


class Service:
    """A relay that records."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.ends: list[str] = []

    def control(self, message: bytes, path: ClientPath) -> None:
        """Keep a message."""
        self.heard.append(("control", message))

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Keep a frame."""
        self.heard.append(("media", frame))

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """Keep the reason."""
        self.ends.append(reason)


class StreamTestCase(SynchronousTestCase):
    """A stream in memory."""

    def setUp(self) -> None:
        """Connect one."""
        self.connect()

    def connect(self) -> None:
        """Make a stream with its clock and service."""
        self.clock = Clock()
        self.service = Service()
        five_tuple = FiveTuple(Transport.TCP, CLIENT, SERVER)
        self.client = StreamClient(five_tuple, self.service, self.clock, StreamLimits())
        self.wire = Wire(self.client, CLIENT, self.clock)
        self.client.makeConnection(self.wire)


class ReceiveTests(StreamTestCase):
    """What the client sends."""

    def test_kinds(self) -> None:
        """ChannelData and Send indications are media, all other STUN is control."""
        data = channel_data(b"voice") + SEND + BINDING + channel_data(b"", 0x4FFF)
        self.client.dataReceived(data)
        self.assertEqual(
            self.service.heard,
            [
                ("media", channel_data(b"voice", padded=False)),
                ("media", SEND),
                ("control", BINDING),
                ("media", channel_data(b"", 0x4FFF)),
            ],
        )

    @given(cuts=st.lists(st.integers(0, 100), max_size=8))
    def test_any_cut(self, cuts: list[int]) -> None:
        """The same frames come out however the stream is cut."""
        self.connect()
        data = BINDING + channel_data(b"abc") + SEND + channel_data(b"defg")
        edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        for start, end in pairwise(edges):
            self.client.dataReceived(data[start:end])
        self.assertEqual(
            [kind for kind, _ in self.service.heard], ["control", "media", "media", "media"]
        )
        self.assertEqual(self.service.heard[3][1], channel_data(b"defg"))

    def test_bad_frame_closes(self) -> None:
        """Frames before the fault count, nothing after it, and the stream closes."""
        self.client.dataReceived(BINDING + b"\xff" + BINDING)
        self.client.dataReceived(BINDING)
        self.assertEqual(self.service.heard, [("control", BINDING)])
        self.assertTrue(self.wire.disconnecting)
        self.clock.advance(0)
        self.assertEqual(self.service.ends, ["framing error"])
        self.assertEqual(self.client.totals.closed, {"framing error": 1})

    def test_a_stranger_has_few_frames(self) -> None:
        """Without an allocation a stream is closed for what holds the reactor; with one not."""
        self.client.dataReceived(BINDING * 200)
        self.assertEqual(len(self.service.heard), 200)
        self.client.dataReceived(channel_data(b"") * 16_000)
        self.assertEqual(len(self.service.heard), 200)
        self.assertTrue(self.wire.disconnecting)
        self.connect()
        self.client.set_authenticated()
        self.client.dataReceived(channel_data(b"") * 16_000)
        self.assertEqual(len(self.service.heard), 16_000)

    def test_frames_after_a_close_by_the_service(self) -> None:
        """Once the service has closed the stream, the rest of a read is not delivered."""
        heard = self.service.heard

        def control(message: bytes, path: ClientPath) -> None:
            heard.append(("control", message))
            self.client.close("server stopped")

        self.service.control = control  # type: ignore[method-assign]
        self.client.dataReceived(BINDING + BINDING)
        self.assertEqual(len(heard), 1)


class DeadlineTests(StreamTestCase):
    """How long a stream may dawdle."""

    def test_unfinished_frame(self) -> None:
        """Ten seconds after it began a frame that is not whole ends the stream, drip or no drip."""
        self.client.set_authenticated()
        self.clock.advance(3)
        for byte in BINDING[:9]:
            self.client.dataReceived(bytes([byte]))
            self.clock.advance(1)
        self.assertFalse(self.wire.is_closed)
        self.clock.advance(1.01)
        self.assertTrue(self.wire.is_closed)
        self.clock.advance(0)
        self.assertEqual(self.service.ends, ["frame not finished in time"])

    def test_each_frame_has_its_own_time(self) -> None:
        """A busy stream whose every read ends inside a frame lives on."""
        self.client.set_authenticated()
        frame = channel_data(b"0123")
        self.client.dataReceived(frame[:2])
        for _ in range(30):
            self.clock.advance(1)
            self.client.dataReceived(frame[2:] + frame[:2])
        self.assertFalse(self.wire.is_closed)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.client.dataReceived(frame[2:])
        self.clock.advance(60)
        self.assertFalse(self.wire.is_closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unauthenticated(self) -> None:
        """Without an allocation a stream ends after thirty seconds, whatever it says."""
        for _ in range(29):
            self.client.dataReceived(BINDING)
            self.clock.advance(1)
        self.assertFalse(self.wire.is_closed)
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.service.ends, ["not authenticated in time"])

    def test_allocation(self) -> None:
        """An allocation keeps the stream; thirty seconds after its end it closes."""
        changes: list[bool] = []
        self.client.authentication_changed = changes.append
        for _ in range(2):
            self.client.set_authenticated()
            self.clock.advance(3600)
        self.client.allocation_ended()
        self.client.allocation_ended()
        self.clock.advance(29)
        self.assertFalse(self.wire.is_closed)
        self.assertEqual(changes, [True, False])
        self.client.set_authenticated()
        self.clock.advance(60)
        self.assertFalse(self.wire.is_closed)
        self.client.allocation_ended()
        self.clock.advance(30)
        self.assertTrue(self.wire.is_closed)

    def test_close_that_does_not_end(self) -> None:
        """A transport that cannot flush is aborted five seconds after ``close``."""
        self.wire.end = lambda reason=None: None  # type: ignore[method-assign,assignment]
        self.client.close("server stopped")
        self.clock.advance(4.9)
        self.assertFalse(self.wire.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.aborted)


class SendTests(StreamTestCase):
    """What the relay sends."""

    def test_straight_through(self) -> None:
        """While the transport takes it, everything is written in order."""
        self.client.send_media(b"1")
        self.client.send_control(b"2")
        self.client.send_media(b"3")
        self.assertEqual(self.wire.value(), b"123")

    def test_replies_first(self) -> None:
        """What waited is written when the transport is free, replies before media."""
        self.client.pauseProducing()
        self.client.send_media(b"1")
        self.client.send_control(b"2")
        self.client.send_media(b"3")
        self.assertEqual(self.wire.value(), b"")
        self.client.resumeProducing()
        self.client.send_media(b"4")
        self.assertEqual(self.wire.value(), b"2134")
        self.assertEqual(self.client.media_dropped, 0)

    def test_transport_full_again(self) -> None:
        """Writing stops as soon as the transport is full again, and nothing is lost by that."""
        self.client.pauseProducing()
        frames = [pack(0x4000, bytes([number]) * 9996, padded=True) for number in range(5)]
        for frame in frames:
            self.client.send_media(frame)
        written: list[bytes] = []

        def write(data: bytes) -> None:
            written.append(data)
            self.client.pauseProducing()

        self.wire.write = write  # type: ignore[method-assign]
        self.client.resumeProducing()
        self.assertEqual(b"".join(written), frames[0] + frames[1])
        while len(b"".join(written)) < 50_000:
            self.client.resumeProducing()
        self.assertEqual(b"".join(written), b"".join(frames))

    def test_old_media_is_dropped(self) -> None:
        """Media that waited longer than half a second is not sent any more."""
        self.client.pauseProducing()
        self.client.send_media(b"old")
        self.clock.advance(0.3)
        self.client.send_media(b"new")
        self.clock.advance(0.3)
        self.client.resumeProducing()
        self.assertEqual(self.wire.value(), b"new")
        self.assertEqual((self.client.media_dropped, self.client.totals.media_dropped), (1, 1))

    def test_joined_frames_wait_one_by_one(self) -> None:
        """A peer's packets may come joined; for a slow reader the oldest of them are dropped."""
        frames = [pack(0x4000, bytes([number]) * 59_997, padded=True) for number in range(5)]
        self.client.send_media(b"".join(frames))
        self.assertEqual(self.wire.value(), b"".join(frames))
        self.client.pauseProducing()
        self.client.send_media(b"".join(frames))
        self.assertEqual(self.client.media_dropped, 1)
        self.client.resumeProducing()
        self.assertEqual(self.wire.value(), b"".join(frames + frames[1:]))

    def test_stalled_reader_costs_bounded_memory(self) -> None:
        """A reader that stops keeps at most 256 KiB of the newest media waiting."""
        self.client.pauseProducing()
        for number in range(3000):
            payload = struct.pack("!I", number) + bytes(992)
            self.client.send_media(pack(0x4000, payload, padded=True))
        self.client.resumeProducing()
        value = self.wire.value()
        self.assertLessEqual(len(value), 256 * 1024)
        self.assertGreater(len(value), 255 * 1024)
        self.assertEqual(struct.unpack("!I", value[-996:-992]), (2999,))
        self.assertEqual(self.client.media_dropped, 3000 - len(value) // 1000)

    def test_replies_are_never_dropped(self) -> None:
        """However much media comes, replies stay; more than 64 KiB of them end the stream."""
        self.client.pauseProducing()
        reply = bytes(1024)
        for _ in range(64):
            self.client.send_control(reply)
            self.client.send_media(pack(0x4000, bytes(8188), padded=True))
        self.assertFalse(self.wire.is_closed)
        self.client.send_control(reply)
        self.assertTrue(self.wire.aborted)
        self.clock.advance(0)
        self.assertEqual(self.service.ends, ["too many replies unread"])

    def test_after_the_end(self) -> None:
        """Sending to a stream that is gone does nothing, and its end is told once."""
        self.client.set_authenticated()
        self.client.pauseProducing()
        self.client.send_media(b"waiting")
        self.wire.end(Failure(ConnectionLost()))
        self.client.send_media(b"x")
        self.client.send_control(b"x")
        self.client.resumeProducing()
        self.client.allocation_ended()
        self.client.close("server stopped")
        self.assertEqual(self.wire.value(), b"")
        self.assertEqual(self.service.ends, ["connection lost"])
        self.assertEqual(self.client.media_dropped, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_client_that_says_goodbye(self) -> None:
        """An orderly close is told as what it is."""
        self.wire.end(Failure(ConnectionDone()))
        self.assertEqual(self.service.ends, ["client disconnected"])
