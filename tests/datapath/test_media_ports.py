"""Tests of suite.datapath.media: ends that come and go."""

from __future__ import annotations

from typing import Any

from b2bua.media_plane import MediaPortsExhausted, StreamTerms
from suite.datapath.media_end import MediaEnd
from suite.datapath.sockets import udp_socket
from tests.datapath.media import (
    LONGEST_FIRST_INTERVAL,
    LOOPBACK,
    MediaTestCase,
)


class PortsTests(MediaTestCase):
    """Opening and closing."""

    last_port = 22003

    def test_a_pair(self) -> None:
        """RTP on an even port, RTCP on the next, and SDP is told the address to advertise."""
        plane = self.make_plane(advertised="198.51.100.7", first_port=22010, last_port=22011)
        self.assertEqual(plane.local(plane.open()), ("198.51.100.7", 22010))
        self.assertRaises(OSError, udp_socket, (LOOPBACK, 22010))
        self.assertRaises(OSError, udp_socket, (LOOPBACK, 22011))

    def test_exhausted(self) -> None:
        """The range is named; a closed end gives its pair back."""
        ends = [self.plane.open(), self.plane.open()]
        self.assertEqual(self.plane.free_pairs, 0)
        error = self.assertRaises(MediaPortsExhausted, self.plane.open)
        self.assertIn("22000-22003", str(error))
        self.plane.close(ends[0])
        self.assertEqual(self.plane.free_pairs, 1)
        self.assertNotIn(self.plane.open(), ends)

    def test_a_port_of_another_program(self) -> None:
        """A pair of which one port is taken is passed over."""
        for port in (22000, 22001):
            busy = udp_socket((LOOPBACK, port))
            plane = self.make_plane()
            end = plane.open()
            self.assertEqual(plane.local(end), (LOOPBACK, 22002))
            self.assertRaises(MediaPortsExhausted, plane.open)
            plane.close(end)
            busy.close()

    def test_an_address_of_another_machine(self) -> None:
        """The reason is named, and no pair is lost."""
        plane = self.make_plane(host="192.0.2.1")
        error = self.assertRaises(MediaPortsExhausted, plane.open)
        self.assertIn("192.0.2.1", str(error))
        self.assertEqual(plane.free_pairs, 2)

    def test_closing(self) -> None:
        """Counters come back, the joined end is joined to nothing, late packets harm nobody."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        late = self.plane.local(one)
        self.near.rtp.sendto(self.near.packet(), late)
        self.far.rtp.sendto(self.far.packet(), self.plane.local(other))
        self.assertEqual(self.plane.close(one).received_packets, 1)
        self.turn()
        self.assertEqual(self.dropped(other), {"nowhere": 1})
        self.assertRaises(KeyError, self.plane.close, one)
        self.assertRaises(KeyError, self.plane.set_terms, one, StreamTerms())

    def test_closing_between_poll_and_read(self) -> None:
        """An end that is closed while packets of it wait is never read again."""
        one, other = self.bridge()
        self.send(self.far, other, self.far.packet())
        closing = self.plane
        read = MediaEnd.read_control

        def close_both(*of: Any) -> bool:
            for end in (one, other):
                if end in closing._ends:
                    closing.close(end)
            return read(*of)

        self.patch(MediaEnd, "read_control", close_both)
        for phone, end in ((self.near, one), (self.far, other)):
            host, port = self.plane.local(end)
            phone.rtcp.sendto(phone.packet(), (host, port + 1))
            phone.rtp.sendto(phone.packet(), (host, port))
            phone.rtcp.sendto(phone.packet(), (host, port + 1))
        self.turn()
        self.assertEqual(self.plane.free_pairs, 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_shutting_down(self) -> None:
        """Every socket is closed, the reactor is let go, and no call is pending."""
        before = list(self.reactor.readers)
        plane = self.make_plane(first_port=22010, last_port=22011)
        plane.set_terms(plane.open(), self.terms(self.near, silence=0))
        self.assertNotEqual(self.reactor.readers, before)
        plane.shut_down()
        self.planes.remove(plane)
        self.assertEqual(self.reactor.readers, before)
        udp_socket((LOOPBACK, 22010)).close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_grows(self) -> None:
        """Ends that came and went leave nothing behind but rest."""
        for _ in range(50):
            end = self.plane.open()
            self.plane.set_terms(end, self.terms(self.near, silence=0))
            self.plane.close(end)
        self.clock.pump([LONGEST_FIRST_INTERVAL] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((len(self.plane._reports), len(self.plane._silence)), (0, 0))
        self.assertEqual((self.plane._ends, self.plane._held), ({}, {}))
        own = self.plane._by_handle if self.native else self.plane._sockets
        self.assertEqual(own, {})
