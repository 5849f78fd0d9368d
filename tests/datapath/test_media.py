"""Tests of suite.datapath.media, on real sockets of the loopback interface."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import Address, MediaPlane, MediaPortsExhausted, StreamTerms
from b2bua.rtp.packet import Packet, build, parse
from b2bua.rtp.rtcp import (
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from suite.datapath.media import TwinMediaPlane
from suite.datapath.media_end import CONTROL_COST, PACKETS_PER_SOCKET
from suite.datapath.polled import PACKETS_PER_WAKE_UP
from suite.datapath.sockets import udp_socket
from tests import fewer
from tests.datapath.test_twin import ReactorStandIn

LOOPBACK = "127.0.0.1"
OTHER_HOST = "127.0.0.2"
PCMU = {0: 0}
RATES = {0: 8000}
LONGEST_FIRST_INTERVAL = 3.1
LONGEST_INTERVAL = 6.2


class Phone:
    """The peer of one end: an RTP socket and the RTCP socket of the port after it."""

    def __init__(self, host: str, ssrc: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.rtp = socket.socket(family, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(family, socket.SOCK_DGRAM)
        for sock in (self.rtp, self.rtcp):
            sock.bind((host, 0))
            sock.settimeout(5)
        self.ssrc = ssrc
        self.sequence = 0

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    def packet(self, payload: bytes = b"sound", number: int = 0, **more: object) -> bytes:
        """The next packet, 20 ms after the one before."""
        self.sequence += 1
        values: dict[str, object] = {
            "payload_type": number,
            "sequence": self.sequence & 0xFFFF,
            "timestamp": 160 * self.sequence,
            "ssrc": self.ssrc,
            "payload": payload,
        }
        return build(Packet(**(values | more)))  # type: ignore[arg-type]


def address(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return (host, port)


class MediaTestCase(SynchronousTestCase):
    """A plane between two phones on the loopback interface."""

    host = LOOPBACK
    first_port, last_port = 22000, 22399

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.reactor = ReactorStandIn()
        self.planes: list[TwinMediaPlane] = []
        self.addCleanup(self.shut_down)
        self.plane = self.make_plane()
        self.near, self.far = self.phone(0xAAAA), self.phone(0xBBBB)

    def make_plane(self, **settings: object) -> TwinMediaPlane:
        values: dict[str, object] = {
            "host": self.host,
            "first_port": self.first_port,
            "last_port": self.last_port,
            "rules": CodecRules(codecs=()),
        }
        made = TwinMediaPlane(
            self.reactor,  # type: ignore[arg-type]
            self.clock,
            MediaSettings(**(values | settings)),  # type: ignore[arg-type]
            Random(4).randrange,
        )
        self.planes.append(made)
        return made

    def shut_down(self) -> None:
        for plane in self.planes:
            plane.shut_down()

    def phone(self, ssrc: int, host: str = "") -> Phone:
        made = Phone(host or self.host, ssrc)
        self.addCleanup(made.close)
        return made

    def terms(self, phone: Phone, **more: object) -> StreamTerms:
        values: dict[str, object] = {
            "remote": address(phone.rtp),
            "remote_rtcp": address(phone.rtcp),
            "payload_types": PCMU,
            "clock_rates": RATES,
        }
        return StreamTerms(**(values | more))  # type: ignore[arg-type]

    def bridge(self) -> tuple[int, int]:
        one, other = self.plane.open(), self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.set_terms(other, self.terms(self.far))
        self.plane.join(one, other)
        return one, other

    def turn(self) -> None:
        """Wake the plane as long as there is something to read now."""
        while select.select([self.plane], [], [], 0)[0]:
            self.plane.doRead()

    def send(self, phone: Phone, end: int, *packets: bytes) -> None:
        for packet in packets:
            phone.rtp.sendto(packet, self.plane.local(end))
        self.turn()

    def send_control(self, phone: Phone, end: int, *packets: RtcpPacket) -> None:
        host, port = self.plane.local(end)
        phone.rtcp.sendto(build_compound(packets), (host, port + 1))
        self.turn()

    def received(self, phone: Phone) -> Packet:
        return parse(phone.rtp.recv(65535))

    def all_received(self, sock: socket.socket) -> list[bytes]:
        found = []
        sock.settimeout(0)
        try:
            while True:
                found.append(sock.recv(65535))
        except BlockingIOError:
            return found
        finally:
            sock.settimeout(5)

    def packets(self, phone: Phone) -> list[Packet]:
        return [parse(data) for data in self.all_received(phone.rtp)]

    def reports(self, phone: Phone) -> list[list[RtcpPacket]]:
        return [parse_compound(data) for data in self.all_received(phone.rtcp)]

    def dropped(self, end: int) -> dict[str, int]:
        return dict(self.plane.counters(end).dropped)


class MediaPlaneTests(MediaTestCase):
    """Packets between two ends."""

    def test_forwards(self) -> None:
        """Both ways, as streams of our own that nothing of the other leg is seen in."""
        one, other = self.bridge()
        for _ in range(3):
            self.send(self.near, one, self.near.packet(b"to far"))
            self.send(self.far, other, self.far.packet(b"to near"))
            self.clock.advance(0.02)
        heard, back = self.packets(self.far), self.packets(self.near)
        self.assertEqual([packet.payload for packet in heard], [b"to far"] * 3)
        self.assertEqual([packet.payload for packet in back], [b"to near"] * 3)
        self.assertEqual([packet.marker for packet in heard], [True, False, False])
        self.assertEqual(len({packet.ssrc for packet in heard + back}), 2)
        self.assertFalse({0xAAAA, 0xBBBB} & {packet.ssrc for packet in heard + back})
        for before, after in pairwise(heard):
            self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
            self.assertEqual((after.timestamp - before.timestamp) & 0xFFFFFFFF, 160)

    def test_counts(self) -> None:
        """Packets and bytes both ways, when the last came, and from where."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet(b"12345678"), self.near.packet(b"12345678"))
        counters = self.plane.counters(one)
        self.assertEqual((counters.received_packets, counters.received_bytes), (2, 40))
        self.assertEqual(counters.last_received, 1000.0)
        self.assertEqual(counters.source, address(self.near.rtp))
        self.assertEqual((counters.lost, counters.dropped), (0, {}))
        counters = self.plane.counters(other)
        self.assertEqual((counters.sent_packets, counters.sent_bytes), (2, 40))
        self.assertEqual((counters.received_packets, counters.last_received), (0, None))
        self.assertIsNone(counters.source)

    def test_loss_and_jitter(self) -> None:
        """They are measured where packets come in, and losses stay visible behind us."""
        one, _ = self.bridge()
        for pause in (0.0, 0.02, 0.06):
            self.clock.advance(pause)
            self.send(self.near, one, self.near.packet())
        self.near.sequence += 1
        self.send(self.near, one, self.near.packet())
        counters = self.plane.counters(one)
        self.assertEqual(counters.lost, 1)
        self.assertGreater(counters.jitter, 0.0)
        heard = self.packets(self.far)
        self.assertEqual((heard[3].sequence - heard[2].sequence) & 0xFFFF, 2)

    def test_payload_types(self) -> None:
        """Numbers are mapped, what is not listed is dropped and leaves no gap."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, payload_types={0: 0, 101: 97}))
        self.send(self.near, one, self.near.packet(), self.near.packet(b"?", 111))
        self.send(self.near, one, self.near.packet(b"\x05\x0a\x00\xa0", 101, marker=True))
        heard = self.packets(self.far)
        self.assertEqual([(p.payload_type, p.marker) for p in heard], [(0, True), (97, True)])
        self.assertEqual(heard[1].sequence - heard[0].sequence & 0xFFFF, 1)
        self.assertEqual(self.dropped(one), {"payload-type": 1})

    def test_extensions_and_padding(self) -> None:
        """Extensions and contributing sources stay on their leg, padding goes on."""
        one, _ = self.bridge()
        packet = self.near.packet(
            contributors=(1, 2), extension=(0xBEDE, b"\x10\x01\0\0"), padding=4
        )
        self.send(self.near, one, packet)
        heard = self.received(self.far)
        self.assertEqual((heard.contributors, heard.extension), ((), None))
        self.assertEqual((heard.payload, heard.padding), (b"sound", 4))

    def test_largest(self) -> None:
        """A datagram as long as there can be goes through."""
        one, _ = self.bridge()
        payload = b"v" * 65000
        self.send(self.near, one, self.near.packet(payload))
        self.assertEqual(self.received(self.far).payload, payload)

    def test_strangers(self) -> None:
        """Only the host of the SDP is believed at first, and then only one port of it."""
        one, other = self.bridge()
        moved = self.phone(0xAAAA)
        self.send(moved, one, moved.packet(b"moved"))
        self.send(self.near, one, self.near.packet(b"late"))
        self.assertEqual([p.payload for p in self.packets(self.far)], [b"moved"])
        self.assertEqual(self.dropped(one), {"source": 1})
        self.send(self.far, other, self.far.packet(b"back"))
        self.assertEqual([p.payload for p in self.packets(moved)], [b"back"])
        self.assertEqual(self.packets(self.near), [])

    def test_a_new_remote(self) -> None:
        """It is sent to at once, believed alone, and hears the same stream go on."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.send(self.far, other, self.far.packet())
        before = self.received(self.near)
        moved = self.phone(0xCCCC)
        self.plane.set_terms(one, self.terms(moved))
        self.send(self.far, other, self.far.packet())
        after = self.received(moved)
        self.assertEqual(after.ssrc, before.ssrc)
        self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
        first = self.received(self.far)
        self.send(moved, one, moved.packet())
        self.send(self.near, one, self.near.packet())
        (second,) = self.packets(self.far)
        self.assertEqual(second.ssrc, first.ssrc)
        self.assertEqual((second.sequence - first.sequence) & 0xFFFF, 1)
        self.assertEqual(self.dropped(one), {"source": 1})

    def test_held(self) -> None:
        """What may not be received, or not be sent there, is dropped; then it goes on."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(one, self.terms(self.near, receives=False))
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.set_terms(other, self.terms(self.far, sends=False))
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(other, self.terms(self.far))
        self.send(self.near, one, self.near.packet())
        heard = self.packets(self.far)
        self.assertEqual((heard[1].sequence - heard[0].sequence) & 0xFFFF, 1)
        self.assertEqual((heard[1].timestamp - heard[0].timestamp) & 0xFFFFFFFF, 480)
        self.assertEqual(self.dropped(one), {"held": 2})
        self.assertEqual(self.plane.counters(one).received_packets, 4)

    def test_nowhere(self) -> None:
        """Without a joined end, or without its address, packets are counted and dropped."""
        one, other = self.plane.open(), self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.send(self.near, one, self.near.packet())
        self.plane.join(one, other)
        self.send(self.near, one, self.near.packet())
        for nothing in ("0.0.0.0", "phone.example", "::" if ":" in self.host else "::1"):
            self.plane.set_terms(other, StreamTerms(remote=(nothing, 4000), payload_types=PCMU))
            self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"nowhere": 5})

    def test_a_peer_that_is_unknown_is_not_heard(self) -> None:
        """Before the SDP came nobody can be its sender."""
        one = self.plane.open()
        self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"source": 1})

    def test_malformed(self) -> None:
        """Junk is counted, locks nothing and reaches nobody."""
        one, _ = self.bridge()
        good = self.near.packet()
        junk = [b"", b"\x80", good[:11], b"\0" + good[1:], b"\x9f" + good[1:], b"\xa0" + good[1:12]]
        stranger = self.phone(1)
        self.send(stranger, one, *junk)
        self.assertEqual(self.dropped(one), {"malformed": len(junk)})
        self.send(self.near, one, good)
        self.assertEqual(len(self.packets(self.far)), 1)

    def test_late(self) -> None:
        """A packet from before the source took over has no number left."""
        one, _ = self.bridge()
        early, first = self.near.packet(), self.near.packet()
        self.send(self.near, one, first, early)
        self.assertEqual(len(self.packets(self.far)), 1)
        self.assertEqual(self.dropped(one), {"late": 1})

    def test_what_the_kernel_refuses(self) -> None:
        """It is counted and harms nobody: no route, no buffer, an address that is forbidden."""
        one, other = self.bridge()

        def refuse(packet: object, target: object) -> int:
            raise PermissionError

        self.plane._ends[other]._send = refuse
        self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"refused": 1})
        self.assertEqual(self.plane.counters(other).sent_packets, 0)

    def test_a_peer_that_is_gone(self) -> None:
        """Port unreachable is no news: packets go on being sent and received."""
        one, other = self.bridge()
        target = self.phone(3)
        self.plane.set_terms(other, self.terms(target))
        target.close()
        for _ in range(3):
            self.send(self.near, one, self.near.packet())
        self.assertEqual(self.plane.counters(other).sent_packets, 3)
        self.assertEqual(self.dropped(one), {})

    def test_echo(self) -> None:
        """An end joined with itself sends back what it gets, as a stream of its own."""
        one = self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.join(one, one)
        self.send(self.near, one, self.near.packet(b"hello"))
        heard = self.received(self.near)
        self.assertEqual(heard.payload, b"hello")
        self.assertNotEqual(heard.ssrc, 0xAAAA)
        # A phone that sends our own packets back, SSRC and all, is heard like any other.
        self.send(self.near, one, build(heard))
        self.assertEqual(self.received(self.near).payload, b"hello")

    def test_joining_anew(self) -> None:
        """A transfer: the old end is joined to nothing, the stream goes on without a jump."""
        one, other = self.bridge()
        third, target = self.plane.open(), self.phone(0xBBBB)
        self.plane.set_terms(third, self.terms(target))
        self.send(self.far, other, self.far.packet())
        self.plane.join(one, third)
        self.plane.join(third, one)
        self.clock.advance(1.0)
        target.sequence = 40000
        self.send(target, third, target.packet())
        first, second = self.packets(self.near)
        self.assertEqual((second.sequence - first.sequence) & 0xFFFF, 1)
        self.assertEqual((second.timestamp - first.timestamp) & 0xFFFFFFFF, 8000)
        self.assertTrue(second.marker)
        self.send(self.far, other, self.far.packet())
        self.assertEqual(self.dropped(other), {"nowhere": 1})

    def test_wrong_numbers(self) -> None:
        """A payload type that does not fit its seven bits is a fault of the caller."""
        one = self.plane.open()
        for wrong in ({128: 0}, {0: -1}):
            terms = StreamTerms(payload_types=wrong)
            self.assertRaises(ValueError, self.plane.set_terms, one, terms)

    def test_terms_of_a_plane(self) -> None:
        """The twin is a media plane."""
        plane: MediaPlane = self.plane
        self.assertEqual(plane.free_pairs, 200)

    def test_a_flood_does_not_hold_the_reactor(self) -> None:
        """A wake-up reads no more than its budget, and other sockets have their turn in it."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        flooded = self.plane.local(one)
        for _ in range(PACKETS_PER_WAKE_UP):
            self.near.rtp.sendto(self.near.packet(b""), flooded)
        self.far.rtp.sendto(self.far.packet(), self.plane.local(other))
        self.plane.doRead()
        self.assertEqual(self.plane.counters(other).received_packets, 1)
        taken = self.plane.counters(one).received_packets
        self.assertLessEqual(taken, PACKETS_PER_WAKE_UP + 1)
        self.assertEqual(self.plane.budget_exhausted, 1)
        self.turn()
        self.assertGreater(self.plane.counters(one).received_packets, taken)

    def test_many_flooded_sockets_share_the_budget(self) -> None:
        """However many sockets are full, one wake-up stays within the budget, and all are read."""
        ends = [self.plane.open() for _ in range(16)]
        for end in ends:
            self.plane.set_terms(end, self.terms(self.near))
            for _ in range(2 * PACKETS_PER_SOCKET):
                self.near.rtp.sendto(self.near.packet(b""), self.plane.local(end))
        self.plane.doRead()
        taken = [self.plane.counters(end).received_packets for end in ends]
        self.assertEqual(taken, [PACKETS_PER_WAKE_UP // 16] * 16)
        self.turn()

    def test_a_flood_of_rtcp(self) -> None:
        """It takes more of the budget, on a port of its own and on a shared one."""
        one, _ = self.bridge()
        junk = b"\x80\xc9" + bytes(30)
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True))
        host, port = self.plane.local(one)
        for _ in range(PACKETS_PER_WAKE_UP // CONTROL_COST):
            self.near.rtp.sendto(junk, (host, port))
            self.near.rtcp.sendto(junk, (host, port + 1))
        self.plane.doRead()
        self.assertLess(self.dropped(one)["malformed"], PACKETS_PER_WAKE_UP // CONTROL_COST + 8)
        self.assertEqual(self.plane.budget_exhausted, 1)


class MediaPlaneIPv6Tests(MediaPlaneTests):
    """The same over IPv6."""

    host = "::1"


class AnyBytesTests(MediaTestCase):
    """Packets that nobody thought of."""

    @given(st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(b"\x80".__add__)))
    @fewer(4)
    def test_any_bytes(self, junk: Iterable[bytes]) -> None:
        """Whatever comes on either port, the plane lives and forwards."""
        one, other = self.bridge()
        host, port = self.plane.local(one)
        for data in junk:
            self.near.rtp.sendto(data, (host, port))
            self.near.rtcp.sendto(data, (host, port + 1))
        self.turn()
        self.send(self.near, one, self.near.packet(b"still here", ssrc=0x12345))
        self.assertIn(b"still here", [packet.payload for packet in self.packets(self.far)])
        self.plane.close(one)
        self.plane.close(other)


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
        seconds = self.clock.seconds

        def close_both() -> float:
            for end in (one, other):
                if end in closing._ends:
                    closing.close(end)
            return seconds()

        for phone, end in ((self.near, one), (self.far, other)):
            phone.rtp.sendto(phone.packet(), self.plane.local(end))
        self.plane.seconds = close_both
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
        self.assertEqual((self.plane._ends, self.plane._held, self.plane._sockets), ({}, {}, {}))


class SilenceTests(MediaTestCase):
    """Being heard before anybody talks."""

    def quiet(self, seconds: float) -> None:
        # A little more than the time, which is made of fractions that do not add up.
        self.clock.pump([0.001, *[0.02] * round(seconds / 0.02)])

    def test_at_once_and_on(self) -> None:
        """The first packet goes out with the terms, then one every 20 ms, as one stream."""
        one, other = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=8))
        self.assertEqual(len(self.packets(self.near)), 1)
        self.quiet(0.1)
        heard = self.packets(self.near)
        self.assertEqual([p.payload for p in heard], [b"\xd5" * 160] * 5)
        self.assertEqual({p.payload_type for p in heard}, {8})
        self.send(self.far, other, self.far.packet(b"hello"))
        self.quiet(0.1)
        (media,) = self.packets(self.near)
        self.assertEqual(media.payload, b"hello")
        stream = [*heard, media]
        for before, after in pairwise(stream):
            self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
            self.assertEqual((after.timestamp - before.timestamp) & 0xFFFFFFFF, 160)
            self.assertEqual(after.ssrc, before.ssrc)
        self.assertFalse(self.plane._silence._loop.running)

    def test_comfort_noise(self) -> None:
        """Five small packets a second say that it is quiet."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=13))
        self.quiet(1.0)
        heard = self.packets(self.near)
        self.assertEqual([p.payload for p in heard], [b"\x7f"] * 6)
        self.assertEqual(
            (heard[5].timestamp - heard[0].timestamp) & 0xFFFFFFFF, 1600 * 4 + 160 * 10
        )

    def test_media_that_flow_are_not_interrupted(self) -> None:
        """New terms with silence while packets come leave the stream alone."""
        one, other = self.bridge()
        self.send(self.far, other, self.far.packet())
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.send(self.far, other, self.far.packet())
        self.quiet(0.2)
        self.assertEqual([p.payload for p in self.packets(self.near)], [b"sound"] * 2)

    def test_media_that_stopped(self) -> None:
        """New terms after a pause are heard at once, and as a new talkspurt."""
        one, other = self.bridge()
        self.send(self.far, other, self.far.packet())
        self.clock.advance(1.0)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        first, second = self.packets(self.near)
        self.assertTrue(second.marker)
        self.assertEqual((second.timestamp - first.timestamp) & 0xFFFFFFFF, 8000)

    def test_waits_for_an_address(self) -> None:
        """Nothing is sent to nobody; with the address it begins."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote=None, silence=0))
        self.quiet(0.1)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.assertEqual(len(self.packets(self.near)), 1)

    def test_may_not_send(self) -> None:
        """An end that is held is silent in earnest."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, sends=False, silence=0))
        self.quiet(0.1)
        self.assertEqual(self.packets(self.near), [])

    def test_ends(self) -> None:
        """With terms without silence, and after ten minutes at the latest."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.plane.set_terms(one, self.terms(self.near))
        self.quiet(0.1)
        self.assertEqual(len(self.packets(self.near)), 1)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.clock.advance(599.0)
        self.assertTrue(self.packets(self.near))
        self.clock.advance(2.0)
        self.packets(self.near)
        self.quiet(0.1)
        self.assertEqual(self.packets(self.near), [])

    def test_one_timer_for_all(self) -> None:
        """However many ends are silent, one call is pending for them."""
        self.addCleanup(self.quiet, 0.1)
        before = len(self.clock.getDelayedCalls())
        for _ in range(20):
            self.plane.set_terms(self.plane.open(), self.terms(self.near, silence=0))
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 2)

    def test_a_fault_is_told(self) -> None:
        """A fault of ours ends the silence that it met, and silence begins again when asked."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        found = self.plane._ends[one]
        outgoing, found.outgoing = found.outgoing, None  # type: ignore[assignment]
        self.quiet(0.1)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        found.outgoing = outgoing
        self.packets(self.near)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.quiet(0.1)
        self.assertTrue(self.packets(self.near))


class RtcpTests(MediaTestCase):
    """Every end says and hears its own RTCP."""

    def test_reports(self) -> None:
        """Soon after the beginning, then every five seconds or so, under one random name."""
        one, _ = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        ((report, name),) = self.reports(self.near)
        assert isinstance(report, ReceiverReport)
        assert isinstance(name, SourceDescription)
        self.assertEqual([block.ssrc for block in report.blocks], [0xAAAA])
        ((report, other_name),) = self.reports(self.far)
        assert isinstance(report, SenderReport)
        assert isinstance(other_name, SourceDescription)
        self.assertEqual((report.packets, report.octets, report.blocks), (1, 5, ()))
        self.assertEqual((len(name.name), name.name == other_name.name), (16, False))
        self.clock.pump([LONGEST_INTERVAL] * 10)
        self.assertIn(len(self.reports(self.near)), range(10, 31))

    def test_goodbye(self) -> None:
        """Said when an end is closed, unless nobody ever heard of it."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.plane.close(one)
        self.plane.close(other)
        self.assertEqual(self.reports(self.near), [])
        ssrc = self.received(self.far).ssrc
        ((*_, goodbye),) = self.reports(self.far)
        self.assertEqual(goodbye, Goodbye(sources=(ssrc,)))

    def test_what_the_peer_reports(self) -> None:
        """Its loss, jitter and distance are in the counters."""
        one, _ = self.bridge()
        ssrc = self.our_ssrc(one, self.near)
        middle = 1000 << 16
        block = ReportBlock(ssrc=ssrc, lost=5, jitter=16, last_report=middle, delay=1 << 15)
        self.clock.advance(1.0)
        self.send_control(self.near, one, ReceiverReport(ssrc=0xAAAA, blocks=(block,)))
        counters = self.plane.counters(one)
        self.assertEqual((counters.reported_lost, counters.reported_jitter), (5, 0.002))
        self.assertEqual(counters.round_trip, 0.5)

    def our_ssrc(self, end: int, phone: Phone) -> int:
        self.plane.set_terms(end, self.terms(phone, silence=0))
        self.plane.set_terms(end, self.terms(phone))
        return self.received(phone).ssrc

    def test_not_forwarded(self) -> None:
        """A report is about one leg and stays there."""
        one, _ = self.bridge()
        self.send_control(self.near, one, ReceiverReport(ssrc=0xAAAA))
        self.assertEqual((self.reports(self.far), self.reports(self.near)), ([], []))

    def test_strangers_and_junk(self) -> None:
        """They are counted, lock nothing, and are not answered."""
        one, _ = self.bridge()
        stranger = self.phone(1, OTHER_HOST)
        self.send_control(stranger, one, ReceiverReport(ssrc=1))
        host, port = self.plane.local(one)
        moved = self.phone(2)
        moved.rtcp.sendto(b"junk", (host, port + 1))
        self.turn()
        self.assertEqual(self.dropped(one), {"source": 1, "malformed": 1})
        self.send_control(self.near, one, ReceiverReport(ssrc=1))
        self.send_control(moved, one, ReceiverReport(ssrc=1))
        self.assertEqual(self.dropped(one), {"source": 2, "malformed": 1})

    def test_symmetric(self) -> None:
        """Reports go where the peer's come from."""
        one, _ = self.bridge()
        moved = self.phone(1)
        self.send_control(moved, one, ReceiverReport(ssrc=1))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual((len(self.reports(moved)), self.reports(self.near)), (1, []))

    def test_nowhere(self) -> None:
        """Without an address for them there are none."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote_rtcp=None))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual((self.reports(self.near), self.packets(self.near)), ([], []))

    def test_an_address_that_is_forbidden(self) -> None:
        """What the kernel refuses is not sent, and nobody heard of us."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote_rtcp=("255.255.255.255", 9)))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual(self.plane._ends[one].control.sent, 0)

    def test_one_port(self) -> None:
        """With rtcp-mux both kinds share the RTP port, told apart by their type."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True, remote_rtcp=None))
        report = SenderReport(ssrc=0xAAAA, time=77 << 16, timestamp=0, packets=1, octets=1)
        self.send(self.near, one, self.near.packet(), build_compound([report]))
        self.assertEqual(self.plane.counters(one).received_packets, 1)
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        (data,) = self.all_received(self.near.rtp)
        ours = parse_compound(data)[0]
        assert isinstance(ours, ReceiverReport)
        self.assertEqual(ours.blocks[0].last_report, 77)
        self.assertEqual(self.dropped(one), {})

    def test_two_ports(self) -> None:
        """Without rtcp-mux RTCP on the RTP port is a payload type that nobody listed."""
        one, _ = self.bridge()
        report = SenderReport(ssrc=0xAAAA, time=0, timestamp=0, packets=1, octets=1)
        self.send(self.near, one, build_compound([report]))
        self.assertEqual(self.dropped(one), {"payload-type": 1})

    def test_picture_loss(self) -> None:
        """It reaches the source of the picture under its own name, after a report of ours."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        ssrc = self.received(self.far).ssrc
        request = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=0xBBBB, media=ssrc)
        self.send_control(self.far, other, ReceiverReport(ssrc=0xBBBB), request)
        ((report, _, passed),) = self.reports(self.near)
        assert isinstance(report, ReceiverReport)
        expected = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=report.ssrc, media=0xAAAA)
        self.assertEqual(passed, expected)

    def test_lost_packets(self) -> None:
        """Their numbers become those of the source; many requests are one datagram."""
        one, other = self.bridge()
        self.near.sequence = 500
        self.send(self.near, one, self.near.packet(), self.near.packet())
        first, second = self.packets(self.far)
        requests = [
            Feedback(
                kind=RTPFB,
                format=GENERIC_NACK,
                sender=0xBBBB,
                media=packet.ssrc,
                control=packet.sequence.to_bytes(2, "big") + b"\0\0",
            )
            for packet in (first, second)
        ]
        self.send_control(self.far, other, *requests)
        ((_, _, *passed),) = self.reports(self.near)
        numbers = [p.control[:2] for p in passed if isinstance(p, Feedback)]
        self.assertEqual(numbers, [(501).to_bytes(2, "big"), (502).to_bytes(2, "big")])

    def test_feedback_for_nobody(self) -> None:
        """On silence of ours, or without a joined end, it ends here."""
        one, other = self.bridge()
        ssrc = self.our_ssrc(other, self.far)
        request = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=0xBBBB, media=ssrc)
        self.send_control(self.far, other, request)
        self.plane.close(one)
        self.send_control(self.far, other, request)
        self.assertEqual(self.reports(self.near), [])

    def test_a_fault_leaves_the_others(self) -> None:
        """A report that cannot be made is logged, and the others are said."""
        one, _ = self.bridge()
        found = self.plane._ends[one]
        reports, found.reports = found.reports, None  # type: ignore[assignment]
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(len(self.reports(self.far)), 1)
        found.reports = reports
        self.clock.pump([LONGEST_INTERVAL])
        self.assertTrue(self.reports(self.near))
