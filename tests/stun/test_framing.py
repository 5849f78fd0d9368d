"""Tests of frames in a stream."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import strategies
from turn.stun import channel_data
from turn.stun.errors import FramingError
from turn.stun.framing import MAX_FRAME, FrameReader, padded_frames
from turn.stun.message import Class, Method, encode, is_message

REQUEST = encode(Method.BINDING, Class.REQUEST, bytes(12), [(0x8022, b"abc")])
CHANNEL = channel_data.pack(0x4000, b"hello", padded=True)
LONG_CHANNEL = channel_data.pack(0x4000, bytes(1000), padded=True)

frames = strategies.messages().filter(is_message) | strategies.channel_frames()


def padded(frame: bytes) -> bytes:
    """The frame as a stream carries it."""
    return frame + bytes(-len(frame) % 4)


def read(chunks: list[bytes]) -> tuple[list[bytes], str, bool]:
    """Feed the chunks: the frames, the reason of the fault or nothing, and what waits."""
    reader = FrameReader()
    got: list[bytes] = []
    for chunk in chunks:
        try:
            got += reader.feed(chunk)
        except FramingError as error:
            return got + error.frames, error.reason, reader.pending
    return got, "", reader.pending


class FrameReaderTests(SynchronousTestCase):
    """Cutting streams into frames."""

    @given(st.lists(frames, max_size=4))
    def test_whole_stream(self, sent: list[bytes]) -> None:
        """What was sent comes out, without padding, and nothing waits."""
        self.assertEqual(read([b"".join(map(padded, sent))]), (sent, "", False))

    @given(st.lists(frames, max_size=3), st.binary(max_size=12))
    def test_split_at_every_byte(self, sent: list[bytes], tail: bytes) -> None:
        """Where the stream is cut, once or after each byte, changes nothing, junk or not."""
        stream = b"".join(map(padded, sent)) + tail
        whole = read([stream])
        for at in range(len(stream) + 1):
            self.assertEqual(read([stream[:at], stream[at:]]), whole)
        self.assertEqual(read([stream[i : i + 1] for i in range(len(stream))]), whole)

    @given(st.lists(st.one_of(strategies.malformed(), frames.map(padded)), max_size=8))
    def test_never_more_than_one_frame_is_kept(self, chunks: list[bytes]) -> None:
        """Whatever comes, the reader gives frames or a fault, and keeps less than one frame."""
        reader = FrameReader()
        fed = given_back = 0
        for chunk in chunks:
            fed += len(chunk)
            try:
                given_back += sum(map(len, reader.feed(chunk)))
            except FramingError:
                self.assertFalse(reader.pending)
                return
            self.assertLess(len(reader._buffer), MAX_FRAME)
            self.assertLessEqual(given_back + len(reader._buffer), fed)

    def test_longest_frames(self) -> None:
        """The longest message and the longest ChannelData pass, and leave nothing behind."""
        message = b"\x00\x01\xff\xfc\x21\x12\xa4\x42" + bytes(MAX_FRAME - 8)
        channel = b"\x40\x00\xff\xff" + bytes(0xFFFF)
        stream = message + channel + b"\0"
        chunks = [stream[i : i + 1000] for i in range(0, len(stream), 1000)]
        self.assertEqual(read(chunks), ([message, channel], "", False))

    def test_little_pieces(self) -> None:
        """A frame in little pieces is looked at when it is whole, not with every piece."""
        reader = FrameReader()
        with mock.patch.object(reader, "_cut", wraps=reader._cut) as cut:
            got = [frame for i in range(1004) for frame in reader.feed(LONG_CHANNEL[i : i + 1])]
        self.assertEqual(got, [LONG_CHANNEL])
        self.assertLess(cut.call_count, 12)

    def test_pending(self) -> None:
        """A frame is pending from its first byte to its last, padding included."""
        reader = FrameReader()
        self.assertFalse(reader.pending)
        for at in range(len(CHANNEL) - 1):
            self.assertEqual(reader.feed(CHANNEL[at : at + 1]), [])
            self.assertTrue(reader.pending)
        self.assertEqual(reader.feed(CHANNEL[-1:]), [CHANNEL[:9]])
        self.assertFalse(reader.pending)

    def test_nothing(self) -> None:
        """No bytes make no frames."""
        self.assertEqual(read([b"", REQUEST[:5], b"", REQUEST[5:], b""]), ([REQUEST], "", False))

    def test_faults(self) -> None:
        """A stream ends at the first byte by which it cannot be a frame."""
        for stream, reason in (
            (b"\x80", "bits"),
            (b"\xc0", "bits"),
            (b"\x00\x01\x00\x01", "length"),
            (b"\x00\x01\x00\x02", "length"),
            (b"\x00\x01\x00\x00\x21\x13", "cookie"),
            (b"\x16\x03\x01\x02", "length"),
        ):
            self.assertEqual(read([stream])[:2], ([], reason), stream)
            self.assertEqual(read([stream[:-1]]), ([], "", len(stream) > 1), stream)

    def test_frames_before_the_fault(self) -> None:
        """The frames that stood before junk are not lost with it."""
        self.assertEqual(
            read([REQUEST + CHANNEL + b"\xff"]), ([REQUEST, CHANNEL[:9]], "bits", False)
        )

    def test_fault_lasts(self) -> None:
        """After a fault nothing is read any more, however right it is."""
        reader = FrameReader()
        with self.assertRaises(FramingError):
            reader.feed(b"\xff")
        with self.assertRaises(FramingError) as caught:
            reader.feed(REQUEST)
        self.assertEqual((caught.exception.reason, caught.exception.frames), ("bits", []))

    @given(st.lists(strategies.channel_frames() | strategies.messages()))
    def test_joined_frames_are_parted(self, frames: list[bytes]) -> None:
        """What was joined comes apart, each frame with its padding."""
        padded = [frame + bytes(-len(frame) % 4) for frame in frames]
        self.assertEqual(list(padded_frames(b"".join(padded))), padded)
