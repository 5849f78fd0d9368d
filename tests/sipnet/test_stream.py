"""One connection: keep-alives, deadlines, slow readers, and every way to cut its bytes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.limits import TransportLimits
from b2bua.net.liveness import Due, Liveness
from b2bua.net.transport import Access
from b2bua.sip.hop import Hop
from tests.sipnet.wires import SERVER, Setting, Wire, request

LIMITS = TransportLimits()
KNOWN = Access(is_known=lambda host: True)


def ours() -> tuple[Setting, Wire]:
    """A connection that we opened."""
    setting = Setting()
    setting.transports.send(request("TCP"), Hop("TCP", *SERVER))
    wire = setting.connect()
    wire.take()
    return setting, wire


class StreamTests(SynchronousTestCase):
    """What a connection does with its bytes."""

    def test_message_cut_anywhere_arrives_once(self) -> None:
        """At every byte, in two pieces."""
        data = request("TCP", body=b"v=0\r\n").render()
        for cut in range(len(data) + 1):
            setting = Setting()
            stream, _ = setting.accept()
            stream.dataReceived(data[:cut])
            stream.dataReceived(data[cut:])
            self.assertEqual(1, len(setting.core.messages), cut)

    @given(st.lists(st.integers(0, 1500), max_size=12))
    def test_messages_in_any_pieces_arrive_in_order(self, cuts: list[int]) -> None:
        """Several messages and keep-alives, cut at random."""
        data = b"".join(
            request("TCP", branch=f"z9hG4bK{i}", body=b"x" * i).render() + b"\r\n\r\n" * (i % 2)
            for i in range(4)
        )
        setting = Setting()
        stream, wire = setting.accept()
        edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
        for begin, end in itertools.pairwise(edges):
            stream.dataReceived(data[begin:end])
        branches = [message.via.branch for message, _ in setting.core.messages]
        self.assertEqual([f"z9hG4bK{i}" for i in range(4)], branches)
        self.assertEqual(b"\r\n" * 2, wire.take())

    def test_ping_is_answered_with_pong(self) -> None:
        """Two line ends are answered with one (RFC 5626)."""
        stream, wire = Setting().accept()
        stream.dataReceived(b"\r\n\r\n")
        self.assertEqual(b"\r\n", wire.take())

    def test_no_byte_after_the_end_is_read(self) -> None:
        """What follows a framing error could be anything."""
        setting = Setting()
        stream, _ = setting.accept()
        stream.dataReceived(b"\rX")
        stream.dataReceived(request("TCP").render())
        self.assertEqual([], setting.core.messages)

    def test_message_must_end_in_time(self) -> None:
        """A byte now and then does not keep a connection."""
        setting = Setting(access=KNOWN)
        stream, wire = setting.accept()
        data = request("TCP").render()
        for at in range(9):
            stream.dataReceived(data[at : at + 1])
            setting.clock.advance(1)
        self.assertFalse(wire.disconnecting)
        setting.clock.advance(1)
        self.assertTrue(wire.disconnecting)
        setting.turn()
        self.assertEqual(1, setting.transports.totals.closed[Due.MESSAGE.value])

    def test_idle_connection_is_closed(self) -> None:
        """Also that of a configured peer, in the end; messages keep it."""
        setting = Setting(access=KNOWN)
        stream, wire = setting.accept()
        setting.clock.advance(899)
        stream.dataReceived(request("TCP").render())
        setting.clock.advance(899)
        self.assertFalse(wire.disconnecting)
        setting.clock.advance(1)
        self.assertTrue(wire.disconnecting)

    def test_peer_that_does_not_take_the_end_is_cut(self) -> None:
        """A close waits a few seconds for what was written, and no longer."""
        setting = Setting()
        stream, wire = setting.accept()
        self.patch(wire, "loseConnection", lambda: None)
        stream.close("of the test")
        setting.clock.advance(5)
        self.assertTrue(wire.aborted)

    def test_peer_that_does_not_read_is_cut(self) -> None:
        """What waits for it is bounded."""
        setting = Setting(limits=TransportLimits(unsent_bytes=1000))
        stream, wire = setting.accept()
        stream.pauseProducing()
        stream.send(b"x" * 600)
        stream.resumeProducing()
        stream.pauseProducing()
        stream.send(b"x" * 600)
        self.assertFalse(wire.aborted)
        stream.send(b"x" * 600)
        self.assertTrue(wire.aborted)

    def test_we_ping_what_we_opened(self) -> None:
        """So that neither a firewall nor the peer forgets the connection."""
        setting, wire = ours()
        setting.clock.advance(100)
        self.assertEqual(b"\r\n\r\n", wire.take())

    def test_peer_that_knows_no_pings_is_left_alone(self) -> None:
        """Silence is no failure where nobody ever answered."""
        setting, wire = ours()
        setting.clock.advance(100)
        setting.clock.advance(50)
        self.assertFalse(wire.disconnecting)

    def test_lost_pong_ends_the_connection(self) -> None:
        """Of a peer that has answered before: the way is broken, and the core hears of it."""
        setting, wire = ours()
        setting.clock.advance(100)
        assert wire._protocol is not None
        wire._protocol.dataReceived(b"\r\n")
        setting.clock.advance(100)
        setting.clock.advance(10)
        self.assertTrue(wire.disconnecting)
        setting.turn()
        setting.turn()
        self.assertEqual([Due.NO_PONG.value], [reason for _, reason in setting.core.failures])


class HandshakeTests(SynchronousTestCase):
    """Connections that never become one."""

    def test_silent_tls_client_is_cut(self) -> None:
        """Ten seconds after the accept, whatever it sends until then."""
        setting = Setting(access=KNOWN)
        _, wire = setting.accept("TLS")
        setting.clock.advance(9.9)
        self.assertFalse(wire.aborted)
        setting.clock.advance(0.1)
        self.assertTrue(wire.aborted)

    def test_web_socket_that_never_begins_is_cut(self) -> None:
        """The HTTP request has the same time."""
        setting = Setting(access=KNOWN)
        stream, wire = setting.accept("WS")
        stream.dataReceived(b"GET / HTTP/1.1\r\n")
        setting.clock.advance(10)
        self.assertTrue(wire.aborted)


class LivenessTests(SynchronousTestCase):
    """The deadlines alone."""

    def test_pipelined_messages_are_not_one_slow_message(self) -> None:
        """Each whole message gives the next one its full time."""
        liveness = Liveness(LIMITS, 0, is_ours=False, is_vouched_for=True)
        liveness.opened(0)
        for now in range(1, 30):
            liveness.heard(now, pending=True, whole=True)
            self.assertIs(Due.NOTHING, liveness.handle_timeout(now))
        self.assertEqual(39, liveness.next_timeout())

    def test_handshake_of_ours_has_the_time_of_a_connection(self) -> None:
        """Another server is tried after four seconds."""
        self.assertEqual(4.0, Liveness(LIMITS, 0, is_ours=True, is_vouched_for=True).next_timeout())
