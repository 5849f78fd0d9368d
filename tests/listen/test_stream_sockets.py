"""
One client of the relay over real sockets, TCP and TLS: the same for Twisted's transport and for
the native core.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.choice import missing_reason
from tests.listen.over_sockets import Connected, Loop, Make, Service, by_core, by_twisted
from tests.listen.streams import BINDING, CLIENT, SERVER
from tests.listen.test_stream import SEND, channel_data
from turn.data_plane import ClientPath
from turn.five_tuple import FiveTuple, Transport
from turn.net.stream import StreamClient, StreamTotals
from turn.stun.errors import FramingError
from turn.stun.framing import FrameReader

ANSWER = bytes.fromhex("010100002112a442") + b"transaction!"


class TwistedTests(SynchronousTestCase):
    """Twisted moves the bytes of TCP."""

    make: ClassVar[Callable[[Loop], Make]] = staticmethod(by_twisted)
    tls: ClassVar[int | None] = None

    def connect(self) -> Connected:
        """A stream that lives until the end of the test."""
        connected = Connected(type(self).make, self.tls)
        self.addCleanup(connected.end)
        return connected

    # What the client sends

    def test_kinds(self) -> None:
        """ChannelData and Send indications are media, all other STUN is control."""
        one = self.connect()
        one.send(channel_data(b"voice") + SEND + BINDING + channel_data(b"", 0x4FFF))
        self.assertEqual(
            one.service.heard,
            [
                ("media", channel_data(b"voice", padded=False)),
                ("media", SEND),
                ("control", BINDING),
                ("media", channel_data(b"", 0x4FFF)),
            ],
        )

    def test_in_pieces(self) -> None:
        """A frame may come byte by byte, and a large one in many reads."""
        one = self.connect()
        one.stream.set_authenticated()
        large = channel_data(bytes(range(256)) * 250)
        stream = BINDING + channel_data(b"abc") + large + BINDING
        for at in range(60):
            one.send(stream[at : at + 1])
        for at in range(60, len(stream), 4000):
            one.send(stream[at : at + 4000])
        self.assertEqual(
            one.service.heard,
            [
                ("control", BINDING),
                ("media", channel_data(b"abc", padded=False)),
                ("media", large),
                ("control", BINDING),
            ],
        )

    def test_many_reads_at_once(self) -> None:
        """A burst of more than one read comes whole and in its order."""
        one = self.connect()
        one.stream.set_authenticated()
        frames = [channel_data(struct.pack("!I", at) * 40) for at in range(150)]
        one.send(b"".join(frames[:75]))
        one.send(b"".join(frames[75:]))
        one.loop.turn()
        self.assertEqual([frame for _, frame in one.service.heard], frames)

    def test_bad_frame_closes(self) -> None:
        """Frames before the fault count, nothing after it, and the stream closes."""
        one = self.connect()
        one.send(BINDING + b"\xff" + BINDING)
        self.assertEqual(one.service.heard, [("control", BINDING)])
        self.assertEqual(one.ended(), ["framing error"])
        self.assertEqual(one.totals.closed, {"framing error": 1})
        self.assertEqual(len(one.outer.lost), 1)

    def test_a_stranger_has_few_frames(self) -> None:
        """Without an allocation a stream is closed for what holds the reactor; with one not."""
        one = self.connect()
        one.send(BINDING * 200)
        self.assertEqual(len(one.service.heard), 200)
        one.send(channel_data(b"") * 500)
        self.assertEqual(len(one.service.heard), 200)
        self.assertEqual(one.ended(), ["too many frames without an allocation"])
        other = self.connect()
        other.stream.set_authenticated()
        other.send(channel_data(b"") * 2000)
        self.assertEqual(len(other.service.heard), 2000)
        other.stream.allocation_ended()
        other.send(BINDING * 201)
        self.assertEqual(len(other.service.heard), 2000)
        self.assertEqual(other.ended(), ["too many frames without an allocation"])

    def test_frames_after_a_close_by_the_service(self) -> None:
        """Once the service has closed the stream, the rest of a read is not delivered."""
        one = self.connect()
        one.service.answer = lambda message, path: one.stream.close("server stopped")
        one.send(BINDING + BINDING)
        self.assertEqual(len(one.service.heard), 1)
        self.assertEqual(one.ended(), ["server stopped"])

    # How it ends

    def test_client_that_says_goodbye(self) -> None:
        """An orderly close is told as what it is, once, after what came before it."""
        one = self.connect()
        one.stream.set_authenticated()
        one.send(channel_data(b"last"))
        one.hang_up()
        self.assertEqual(one.service.ends, ["client disconnected"])
        self.assertEqual(len(one.service.heard), 1)
        self.assertEqual(len(one.outer.lost), 1)

    def test_half_closed(self) -> None:
        """A client that only stops sending is gone as well."""
        one = self.connect()
        one.peer.shutdown(1)
        one.loop.turn()
        self.assertEqual(
            one.service.ends, ["client disconnected" if self.tls is None else "connection lost"]
        )

    def test_reset(self) -> None:
        """A reset is an error, and what is sent after it does no harm."""
        one = self.connect()
        one.send(BINDING[:7])
        one.reset()
        one.stream.send_media(channel_data(b"x"))
        one.stream.send_control(ANSWER)
        one.stream.close("server stopped")
        one.loop.turn()
        self.assertEqual(one.service.ends, ["connection lost"])
        self.assertEqual(one.loop.getDelayedCalls(), [])

    def test_reset_while_writing(self) -> None:
        """Writing to a connection that was reset ends it at the next turn, not at once."""
        one = self.connect()
        one.peer.close()
        for _ in range(20):
            one.stream.send_media(channel_data(bytes(1000)))
        self.assertEqual(one.service.ends, [])
        one.loop.turn()
        self.assertEqual(len(one.service.ends), 1)

    def test_close_of_the_server(self) -> None:
        """What was written before a close arrives, and then the end."""
        one = self.connect()
        one.stream.send_control(ANSWER)
        one.stream.close("server stopped")
        self.assertEqual(one.service.ends, [])
        self.assertEqual(one.read(), ANSWER)
        self.assertTrue(one.is_at_end)
        self.assertEqual(one.ended(), ["server stopped"])

    def test_close_that_does_not_end(self) -> None:
        """A client that does not read is aborted five seconds after ``close``."""
        one = self.connect()
        one.stream.set_authenticated()
        self.stall(one)
        one.stream.close("server stopped")
        one.advance(4.9)
        self.assertEqual(one.service.ends, [])
        one.advance(0.2)
        one.advance(0)
        self.assertEqual(one.service.ends, ["server stopped"])

    def test_disconnected_by_the_listener(self) -> None:
        """The listener ends a connection by its own transport, whoever moves its bytes."""
        one = self.connect()
        one.send(BINDING)
        one.server.abortConnection()
        one.loop.turn()
        self.assertEqual(one.service.ends, ["connection lost"])
        one.read()
        self.assertTrue(one.is_at_end)
        self.assertEqual(one.loop.getDelayedCalls(), [])

    # Deadlines

    def test_unfinished_frame(self) -> None:
        """A frame that is not whole in ten seconds ends the stream, drip or no drip."""
        one = self.connect()
        one.stream.set_authenticated()
        one.advance(3)
        for byte in BINDING[:9]:
            one.send(bytes([byte]))
            one.advance(1)
        self.assertEqual(one.service.ends, [])
        one.advance(1.6)
        one.advance(0.5)
        self.assertEqual(one.ended(), ["frame not finished in time"])

    def test_each_frame_has_its_own_time(self) -> None:
        """A busy stream whose every read ends inside a frame lives on."""
        one = self.connect()
        one.stream.set_authenticated()
        frame = channel_data(b"0123")
        one.send(frame[:2])
        for _ in range(30):
            one.advance(1)
            one.send(frame[2:] + frame[:2])
        self.assertEqual(one.service.ends, [])
        one.send(frame[2:])
        for _ in range(60):
            one.advance(1)
        self.assertEqual(one.service.ends, [])

    def test_unauthenticated(self) -> None:
        """Without an allocation a stream ends after thirty seconds, whatever it says."""
        one = self.connect()
        for _ in range(29):
            one.send(BINDING)
            one.advance(1)
        self.assertEqual(one.service.ends, [])
        one.advance(1)
        one.advance(0)
        self.assertEqual(one.ended(), ["not authenticated in time"])

    # What the relay sends

    def test_straight_through(self) -> None:
        """While the network takes it, everything is written in order."""
        one = self.connect()
        frames = [channel_data(b"1"), ANSWER, channel_data(bytes(3000))]
        one.stream.send_media(frames[0])
        one.stream.send_control(frames[1])
        one.stream.send_media(frames[2])
        self.assertEqual(one.read(), b"".join(frames))

    def stall(self, one: Connected) -> int:
        """Send media until the stream takes no more; how many frames that were."""
        for number in range(2000):
            one.stream.send_media(channel_data(struct.pack("!I", number) + bytes(996)))
            if number % 10 == 0:
                one.loop.turn()
            if one.stream.media_dropped:
                return number + 1
        raise AssertionError("there is no end to what the kernel takes")

    def test_stalled_reader_loses_the_oldest(self) -> None:
        """Of more than 256 KiB the oldest media goes, by whole frames, and the newest arrives."""
        one = self.connect()
        one.stream.set_authenticated()
        sent = self.stall(one)
        for number in range(sent, sent + 50):
            one.stream.send_media(channel_data(struct.pack("!I", number) + bytes(996)))
        frames = FrameReader().feed(one.read())
        numbers = [struct.unpack("!I", frame[4:8])[0] for frame in frames]
        dropped = one.stream.media_dropped
        self.assertEqual(len(numbers), sent + 50 - dropped)
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(numbers[-1], sent + 49)
        one.advance(0.6)
        self.assertEqual(one.totals.media_dropped, dropped)

    def test_old_media_is_dropped(self) -> None:
        """Media that waited longer than half a second is not sent any more; replies are."""
        one = self.connect()
        one.stream.set_authenticated()
        self.stall(one)
        one.stream.send_control(ANSWER)
        one.advance(0.6)
        one.stream.send_media(channel_data(b"new!"))
        kinds = [frame for frame in FrameReader().feed(one.read())]
        self.assertEqual(kinds[-2:], [ANSWER, channel_data(b"new!")])

    def test_replies_are_never_dropped(self) -> None:
        """More than 64 KiB of replies that nobody reads end the stream, and no media does."""
        one = self.connect()
        one.stream.set_authenticated()
        self.stall(one)
        reply = bytes(1024)
        for _ in range(64):
            one.stream.send_control(reply)
        one.loop.turn()
        self.assertEqual(one.service.ends, [])
        for _ in range(20):
            one.stream.send_control(reply)
        one.loop.turn()
        self.assertEqual(one.service.ends, ["too many replies unread"])

    def test_a_large_frame(self) -> None:
        """The largest frame there is goes through whole."""
        one = self.connect()
        one.stream.set_authenticated()
        frame = channel_data(bytes(range(256)) * 255)
        one.stream.send_media(frame)
        one.stream.send_control(ANSWER)
        self.assertEqual(one.read(), frame + ANSWER)


class TwistedTls12Tests(TwistedTests):
    """Twisted moves the bytes of TLS 1.2."""

    tls = SSL.TLS1_2_VERSION


class TwistedTls13Tests(TwistedTests):
    """Twisted moves the bytes of TLS 1.3."""

    tls = SSL.TLS1_3_VERSION


class NativeTests(TwistedTests):
    """The core moves the bytes of TCP."""

    skip = missing_reason() or None
    make = staticmethod(by_core)

    def test_no_memory_is_kept(self) -> None:
        """Streams that have ended leave nothing behind, in the core or in the reactor."""
        loops = []
        for _ in range(3):
            one = Connected(by_core, self.tls)
            one.send(BINDING[:5])
            one.hang_up()
            loops.append(one.loop)
        for loop in loops:
            self.assertEqual(loop.readers | loop.writers, set())
            self.assertEqual(loop.getDelayedCalls(), [])

    def test_answer_within_an_event(self) -> None:
        """The service may answer, and end the stream, while it is given a message."""
        one = self.connect()

        def answer(message: bytes, path: ClientPath) -> None:
            path.send_control(ANSWER)

        one.service.answer = answer
        one.send(BINDING * 3)
        self.assertEqual(one.read(), ANSWER * 3)


class NativeTls12Tests(NativeTests):
    """The core moves the bytes of TLS 1.2."""

    tls = SSL.TLS1_2_VERSION


class NativeTls13Tests(NativeTests):
    """The core moves the bytes of TLS 1.3."""

    tls = SSL.TLS1_3_VERSION


class NativeTlsTests(SynchronousTestCase):
    """What only TLS has."""

    skip = missing_reason() or None

    def connect(self, version: int = SSL.TLS1_3_VERSION) -> Connected:
        """A stream that lives until the end of the test."""
        connected = Connected(by_core, version)
        self.addCleanup(connected.end)
        return connected

    def test_garbage_instead_of_records(self) -> None:
        """Bytes that are no record end the stream with an alert and nothing else."""
        one = self.connect()
        one.send_raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(one.service.ends, ["connection lost"])

    def test_record_in_pieces(self) -> None:
        """A record that comes byte by byte is read when it is whole."""
        one = self.connect()
        one.tls.send(BINDING)
        record = one.tls.bio_read(2**16)
        for at in range(len(record)):
            self.assertEqual(one.service.heard, [])
            one.send_raw(record[at : at + 1])
        self.assertEqual(one.service.heard, [("control", BINDING)])

    def test_end_without_goodbye(self) -> None:
        """TLS that ends without close_notify is a lost connection, as anybody could do that."""
        one = self.connect()
        one.peer.close()
        one.loop.turn()
        self.assertEqual(one.service.ends, ["connection lost"])

    def test_one_record_for_many_frames(self) -> None:
        """Frames that wait for a slow reader leave in records of 16 KiB."""
        one = self.connect()
        one.stream.send_media(channel_data(bytes(40_000)))
        one.read()
        self.assertEqual(len(one.received), 40_004)


class FramingTests(SynchronousTestCase):
    """How the core cuts a stream."""

    skip = missing_reason() or None

    @settings(max_examples=200, deadline=None)
    @given(
        tls=st.sampled_from([None, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]),
        pieces=st.lists(
            st.one_of(
                st.binary(max_size=40).map(channel_data),
                st.just(BINDING),
                st.just(SEND),
                st.integers(0, 3000).map(lambda size: channel_data(bytes(size))),
            ),
            max_size=8,
        ),
        end=st.binary(max_size=12),
        cuts=st.lists(st.integers(0, 10_000), max_size=10),
    )
    def test_equal_to_the_frame_reader(
        self, tls: int | None, pieces: list[bytes], end: bytes, cuts: list[int]
    ) -> None:
        """Any bytes in any cut give the frames, and the fault, that FrameReader gives."""
        one = Connected(by_core, tls)
        data = b"".join(pieces) + end
        edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        reader, frames, is_bad = FrameReader(), [], False
        for start, stop in pairwise(edges):
            one.send(data[start:stop])
            if not is_bad:
                try:
                    frames += reader.feed(data[start:stop])
                except FramingError as error:
                    frames += error.frames
                    is_bad = True
            if is_bad:
                break
        self.assertEqual([frame for _, frame in one.service.heard], frames)
        self.assertEqual(one.ended(), ["framing error"] if is_bad else [])
        one.end()


class FallbackTests(SynchronousTestCase):
    """Where OpenSSL cannot be called from C."""

    skip = missing_reason() or None

    def test_twisted_serves_tls(self) -> None:
        """TLS stays with Twisted, TCP does not, and the log can say why."""
        from suite.datapath import native_stream, openssl_calls
        from suite.datapath.native_core import NativeCore

        self.patch(openssl_calls, "OPENSSL_FUNCTIONS", ("SSL_that_never_was",))
        self.patch(native_stream, "openssl_calls", openssl_calls.openssl_calls.__wrapped__)
        loop = Loop()
        core = NativeCore(loop, loop.seconds)  # type: ignore[arg-type]
        streams = native_stream.NativeStreams(core, loop)
        self.assertIn("Twisted (cryptography has other insides", streams.tls_words)
        for transport, kind in (
            (Transport.TLS, StreamClient),
            (Transport.TCP, native_stream.NativeStream),
        ):
            five_tuple = FiveTuple(transport, CLIENT, SERVER)
            made = streams.client(five_tuple, Service(), StreamTotals())
            self.assertIsInstance(made, kind)
