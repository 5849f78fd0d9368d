from __future__ import annotations

import select
import socket
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.polled import PACKETS_PER_WAKE_UP
from tests.datapath.planes import NativeMade, ReactorStandIn, TwinMade
from turn.data_plane import ClientPath, PeerPermission, RelayPortBusy
from turn.five_tuple import Address, FiveTuple, Transport
from turn.stun.attributes import Attribute, pack_xor_address, unpack_icmp, unpack_xor_address
from turn.stun.channel_data import pack
from turn.stun.framing import padded_frames
from turn.stun.message import Class, Message, Method, decode, encode
from turn.stun.relayed import MAX_PAYLOAD

LOOPBACK = "127.0.0.1"
FOREVER = 1e9


class StreamPath:
    """The way back to a stream client: a list."""

    five_tuple = FiveTuple(Transport.TCP, (LOOPBACK, 1), (LOOPBACK, 2))

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_control(self, message: bytes) -> None:
        self.frames.append(message)

    def send_media(self, frame: bytes) -> None:
        self.frames.extend(padded_frames(frame))


def send_indication(peer: Address, payload: bytes | None, *more: tuple[int, bytes]) -> bytes:
    tid = b"i" * 12
    attributes = [(Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, tid)), *more]
    if payload is not None:
        attributes.append((Attribute.DATA, payload))
    return encode(Method.SEND, Class.INDICATION, tid, attributes)


class TwinTests(TwinMade, SynchronousTestCase):
    """The pure-Python data plane between a client and a peer on the loopback interface."""

    host = LOOPBACK
    failed = False

    def setUp(self) -> None:
        self.reactor = ReactorStandIn()
        self.controlled: list[tuple[bytes, ClientPath]] = []
        self.plane = self.make_plane(lambda data, path: self.controlled.append((data, path)))
        self.addCleanup(self.plane.shut_down)
        self.listener = self.plane.listen((self.host, 0))
        self.server = self.plane.listening_on(self.listener)
        self.client = self.socket()
        self.peer = self.socket()
        self.ports = count(40000)

    def socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((self.host, 0))
        made.settimeout(5)
        self.addCleanup(made.close)
        return made

    def turn_the_reactor(self) -> None:
        """Wake the plane as the reactor would, once there is something to read."""
        readable, _, _ = select.select([self.plane], [], [], 5)
        self.assertEqual(readable, [self.plane])
        self.plane.doRead()

    def drain(self) -> None:
        """Wake the plane as long as there is something to read now."""
        while select.select([self.plane], [], [], 0)[0]:
            self.plane.doRead()

    def bind(self) -> tuple[int, Address]:
        for port in self.ports:
            try:
                return self.plane.bind_relay(self.host, port), (self.host, port)
            except RelayPortBusy:
                continue
        raise AssertionError

    def address(self, sock: socket.socket) -> Address:
        host, port = sock.getsockname()[:2]
        return (host, port)

    def introduce(self) -> ClientPath:
        """Let the client send a request, and return its path."""
        self.client.sendto(encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, []), self.server)
        self.turn_the_reactor()
        return self.controlled.pop()[1]

    def open(self, max_bps: int = 0) -> tuple[int, Address]:
        relay, address = self.bind()
        return self.plane.open(self.introduce(), [relay], max_bps), address

    def permission(self, *ports: tuple[int, int]) -> PeerPermission:
        return PeerPermission(self.host, self.host, ports)

    def permit(self, flow: int, until: float = FOREVER) -> None:
        self.plane.permit(flow, self.permission(), until)

    def bind_channel(self, flow: int, until: float = FOREVER) -> None:
        self.permit(flow)
        self.plane.bind_channel(flow, 0x4000, self.address(self.peer), self.permission(), until)

    def received(self, sock: socket.socket) -> bytes:
        return sock.recvfrom(65535)[0]

    def assert_nothing_for(self, sock: socket.socket) -> None:
        self.drain()
        sock.settimeout(0)
        self.assertRaises(BlockingIOError, sock.recv, 65535)
        sock.settimeout(5)

    def data_indication(self) -> Message:
        message = decode(self.received(self.client))
        self.assertEqual((message.method, message.message_class), (Method.DATA, Class.INDICATION))
        return message

    def test_a_newer_flow_of_one_client(self) -> None:
        """The end of the older one takes nothing from it."""
        path = self.introduce()
        older = self.plane.open(path, [self.bind()[0]], 0)
        newer = self.plane.open(path, [self.bind()[0]], 0)
        self.plane.close(older)
        self.bind_channel(newer)
        self.client.sendto(pack(0x4000, b"still here", padded=False), self.server)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.peer), b"still here")

    def test_hands_requests_over_with_the_way_back(self) -> None:
        """The path names both ends and reaches the client."""
        path = self.introduce()
        expected = FiveTuple(Transport.UDP, self.address(self.client), self.server)
        self.assertEqual(path.five_tuple, expected)
        path.send_control(b"hello")
        self.assertEqual(self.received(self.client), b"hello")

    def test_forwards_channel_data_both_ways(self) -> None:
        """The header goes and comes, the payload is untouched, empty ones included."""
        flow, relay = self.open()
        self.bind_channel(flow)
        for payload in (b"", b"x", b"four", b"p" * 1400, b"P" * 60000):
            self.client.sendto(pack(0x4000, payload, padded=False), self.server)
            self.turn_the_reactor()
            self.assertEqual(self.received(self.peer), payload)
            self.peer.sendto(payload, relay)
            self.turn_the_reactor()
            self.assertEqual(self.received(self.client), pack(0x4000, payload, padded=False))
        counters = self.plane.counters(flow)
        self.assertEqual(counters.received_packets, 5)
        self.assertEqual(counters.sent_bytes, 61405)
        self.assertEqual(counters.peer_sent_bytes, counters.peer_received_bytes)

    def test_padding_and_lies_about_the_length(self) -> None:
        """Bytes beyond the length are not relayed; a length beyond the datagram drops it."""
        flow, _ = self.open()
        self.bind_channel(flow)
        self.client.sendto(pack(0x4000, b"abcde", padded=True) + b"more", self.server)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.peer), b"abcde")
        self.client.sendto(b"\x40\x00\x00\x09short", self.server)
        self.client.sendto(b"\x40\x01\x00\x01x", self.server)
        self.client.sendto(b"\x40\x00\x00", self.server)
        self.turn_the_reactor()
        self.assert_nothing_for(self.peer)
        self.assertEqual(self.plane.counters(flow).dropped_packets, 2)

    def test_forwards_send_and_data_indications(self) -> None:
        """A permission is enough; the peer is named in what comes back."""
        flow, relay = self.open()
        self.permit(flow)
        for payload in (b"ping", b""):
            self.client.sendto(send_indication(self.address(self.peer), payload), self.server)
            self.turn_the_reactor()
            self.assertEqual(self.received(self.peer), payload)
        self.peer.sendto(b"pong", relay)
        self.turn_the_reactor()
        message = self.data_indication()
        self.assertEqual(message.first(Attribute.DATA), b"pong")
        peer = message.first(Attribute.XOR_PEER_ADDRESS) or b""
        self.assertEqual(unpack_xor_address(peer, message.transaction_id), self.address(self.peer))

    def test_dont_fragment_is_for_one_datagram(self) -> None:
        """The one that asks is sent, and so is the next without it."""
        flow, _ = self.open()
        self.permit(flow)
        fragile = send_indication(self.address(self.peer), b"df", (Attribute.DONT_FRAGMENT, b""))
        self.client.sendto(fragile, self.server)
        self.client.sendto(send_indication(self.address(self.peer), b"any"), self.server)
        self.turn_the_reactor()
        self.assertEqual([self.received(self.peer) for _ in range(2)], [b"df", b"any"])

    def test_drops_what_is_not_permitted(self) -> None:
        """Both directions, with and without DATA, and for clients that have nothing."""
        flow, relay = self.open()
        peer = self.address(self.peer)
        self.client.sendto(send_indication(peer, b"early"), self.server)
        self.peer.sendto(b"early", relay)
        self.turn_the_reactor()
        self.permit(flow)
        self.client.sendto(send_indication(peer, None), self.server)
        self.client.sendto(send_indication(peer, b"odd", (0x7FFE, b"")), self.server)
        stranger = self.socket()
        stranger.sendto(send_indication(peer, b"stranger"), self.server)
        stranger.sendto(pack(0x4000, b"stranger", padded=False), self.server)
        self.turn_the_reactor()
        self.assert_nothing_for(self.peer)
        self.assert_nothing_for(self.client)

    def test_a_permission_may_be_for_some_ports_only(self) -> None:
        """Packets to and from other ports of the same host are dropped."""
        flow, relay = self.open()
        host, port = self.address(self.peer)
        self.plane.permit(flow, self.permission((port + 1, port + 9)), FOREVER)
        self.client.sendto(send_indication((host, port), b"no"), self.server)
        self.peer.sendto(b"no", relay)
        self.assert_nothing_for(self.peer)
        self.assert_nothing_for(self.client)

    def test_a_refreshed_permission_is_for_the_ports_of_today(self) -> None:
        """Rules that became narrower count from the next refresh on."""
        flow, relay = self.open()
        self.permit(flow)
        port = self.address(self.peer)[1]
        self.plane.permit(flow, self.permission((port + 1, port + 9)), FOREVER)
        self.client.sendto(send_indication((self.host, port), b"no"), self.server)
        self.peer.sendto(b"no", relay)
        self.assert_nothing_for(self.peer)
        self.assert_nothing_for(self.client)

    def test_translates_a_public_address_of_this_machine(self) -> None:
        """The client knows the peer by its public face and hears from that face."""
        flow, relay = self.open()
        public = "2001:4860::1" if ":" in self.host else "9.9.9.9"
        permission = PeerPermission(public, self.host)
        port = self.address(self.peer)[1]
        self.plane.permit(flow, permission, FOREVER)
        self.client.sendto(send_indication((public, port), b"in"), self.server)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.peer), b"in")
        self.peer.sendto(b"out", relay)
        self.turn_the_reactor()
        message = self.data_indication()
        shown = message.first(Attribute.XOR_PEER_ADDRESS) or b""
        self.assertEqual(unpack_xor_address(shown, message.transaction_id), (public, port))
        self.plane.bind_channel(flow, 0x4000, (public, port), permission, FOREVER)
        self.peer.sendto(b"out", relay)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.client), pack(0x4000, b"out", padded=False))

    def test_permissions_and_channels_expire(self) -> None:
        """An expired permission silences its channel's peer; renewed, the channel works on."""
        flow, relay = self.open()
        self.bind_channel(flow, until=200)
        self.permit(flow, until=100)
        self.plane.expire(101)
        self.peer.sendto(b"late", relay)
        self.assert_nothing_for(self.client)
        self.permit(flow, until=300)
        self.peer.sendto(b"again", relay)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.client), pack(0x4000, b"again", padded=False))
        self.plane.expire(201)
        self.peer.sendto(b"no channel", relay)
        self.turn_the_reactor()
        self.assertEqual(self.data_indication().first(Attribute.DATA), b"no channel")
        self.client.sendto(pack(0x4000, b"gone", padded=False), self.server)
        self.assert_nothing_for(self.peer)

    def test_a_closed_flow_is_gone(self) -> None:
        """Nothing is relayed, the port is free, and the client may open another."""
        flow, relay = self.open()
        self.bind_channel(flow)
        self.plane.close(flow)
        self.client.sendto(pack(0x4000, b"gone", padded=False), self.server)
        self.assert_nothing_for(self.peer)
        again = self.plane.bind_relay(*relay)
        self.plane.open(self.introduce(), [again], 0)

    def test_one_family_may_be_released(self) -> None:
        """Its channels end with it; the flow can still be closed."""
        flow, _ = self.open()
        self.bind_channel(flow)
        handle = self.plane.open(self.introduce(), [self.bind()[0]], 0)
        self.plane.close(handle)
        self.plane.close(flow)

    def test_a_busy_port_is_told(self) -> None:
        """A relay socket on a taken port is refused by name."""
        _, relay = self.bind()
        self.assertRaises(RelayPortBusy, self.plane.bind_relay, *relay)

    def test_a_limit_holds_bytes_back(self) -> None:
        """What exceeds a second's bytes is dropped, until time gives more."""
        flow, _ = self.open(max_bps=1000)
        self.bind_channel(flow)
        self.plane.expire(10.0)
        for _ in range(3):
            self.client.sendto(pack(0x4000, b"x" * 400, padded=False), self.server)
        self.drain()
        self.assertEqual([len(self.received(self.peer)) for _ in range(2)], [400, 400])
        self.assert_nothing_for(self.peer)
        self.plane.expire(10.5)
        self.client.sendto(pack(0x4000, b"x" * 400, padded=False), self.server)
        self.turn_the_reactor()
        self.assertEqual(len(self.received(self.peer)), 400)

    def test_an_icmp_error_reaches_the_client(self) -> None:
        """Port unreachable comes as a Data indication with ICMP and without DATA."""
        flow, _ = self.open()
        self.permit(flow)
        closed = self.socket()
        target = self.address(closed)
        closed.close()
        self.client.sendto(send_indication(target, b"anyone?"), self.server)
        self.turn_the_reactor()
        message = self.data_indication()
        self.assertFalse(message.has(Attribute.DATA))
        kind, code, _ = unpack_icmp(message.first(Attribute.ICMP) or b"")
        self.assertEqual((kind, code), (1, 4) if ":" in self.host else (3, 3))
        self.client.sendto(send_indication(self.address(self.peer), b"you"), self.server)
        self.turn_the_reactor()
        self.assertEqual(self.received(self.peer), b"you")

    def test_a_stream_gets_padded_frames(self) -> None:
        """Over a stream ChannelData is a multiple of four; both kinds of frame go up."""
        path = StreamPath()
        relay, address = self.bind()
        flow = self.plane.open(path, [relay], 0)
        self.bind_channel(flow)
        self.plane.from_stream(path, pack(0x4000, b"abcde", padded=False))
        self.plane.from_stream(path, send_indication(self.address(self.peer), b"f"))
        self.assertEqual([self.received(self.peer) for _ in range(2)], [b"abcde", b"f"])
        self.peer.sendto(b"abcde", address)
        self.turn_the_reactor()
        self.assertEqual(path.frames, [pack(0x4000, b"abcde", padded=True)])
        self.plane.close(flow)
        self.plane.from_stream(path, pack(0x4000, b"late", padded=False))
        self.assert_nothing_for(self.peer)

    def test_garbage_is_counted_and_dropped(self) -> None:
        """Neither an answer nor a request for the server comes of it."""
        for junk in (b"", b"\0", b"\xff" * 30, b"\x80" * 200, b"\0" * 20, b"\0\x01\0\x10" * 3):
            self.client.sendto(junk, self.server)
        self.drain()
        self.assertEqual(self.controlled, [])
        self.assertGreater(self.plane.ignored, 0)
        self.assert_nothing_for(self.client)

    def test_a_flood_does_not_hold_the_reactor(self) -> None:
        """One wake-up reads no more than its budget; the rest waits for the next."""
        flow, _ = self.open()
        self.bind_channel(flow)
        for _ in range(PACKETS_PER_WAKE_UP + 10):
            self.client.sendto(pack(0x4000, b"x", padded=False), self.server)
        self.turn_the_reactor()
        taken = self.plane.counters(flow).received_packets
        self.assertLess(taken, PACKETS_PER_WAKE_UP + 64)
        self.assertEqual(self.plane.budget_exhausted, 1)
        self.drain()
        self.assertGreater(self.plane.counters(flow).received_packets, taken)

    def test_a_fault_costs_one_packet_only(self) -> None:
        """An exception in what takes a packet is logged, and the packets after it are served."""
        plane = self.make_plane(self.fail_on_first)
        self.addCleanup(plane.shut_down)
        server = plane.listening_on(plane.listen((self.host, 0)))
        request = encode(Method.BINDING, Class.REQUEST, b"t" * 12, [])
        for _ in range(2):
            self.client.sendto(request, server)
        plane.doRead()
        self.assertEqual([data for data, _ in self.controlled], [request])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def fail_on_first(self, data: bytes, path: ClientPath) -> None:
        failed, self.failed = self.failed, True
        if not failed:
            raise ZeroDivisionError
        self.controlled.append((data, path))

    def test_shutting_down_lets_go_of_everything(self) -> None:
        """The reactor's reader is gone and every socket closed."""
        self.open()
        before = list(self.reactor.readers)
        plane = self.make_plane(lambda data, path: None)
        plane.listen((self.host, 0))
        self.assertEqual(len(self.reactor.readers), len(before) + 1)
        plane.shut_down()
        self.assertEqual(self.reactor.readers, before)


class TwinIPv6Tests(TwinTests):
    """The same over IPv6."""

    host = "::1"

    def test_a_datagram_too_long_for_an_indication_is_dropped(self) -> None:
        """IPv6 carries more than DATA can hold; the longest that fits still arrives."""
        path = StreamPath()
        relay, address = self.bind()
        flow = self.plane.open(path, [relay], 0)
        self.permit(flow)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for size in (MAX_PAYLOAD + 1, 65527, MAX_PAYLOAD):
            self.peer.sendto(bytes(size), address)
        self.drain()
        self.assertEqual(self.plane.counters(flow).dropped_packets, 2)
        (frame,) = path.frames
        # A stream's frames are padded as ChannelData is, and an indication is padded already.
        self.assertEqual(decode(frame).first(Attribute.DATA), bytes(MAX_PAYLOAD))


class NativeTests(NativeMade, TwinTests):
    """The native data plane does the same."""


class NativeIPv6Tests(NativeMade, TwinIPv6Tests):
    """The native data plane does the same over IPv6."""
