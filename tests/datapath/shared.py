"""Clients, peers and checks of ICE on shared relay sockets, whichever plane has them."""

from __future__ import annotations

import select
import socket
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.twin import TwinPlane
from tests.datapath.planes import ReactorStandIn, TwinMade
from tests.datapath.test_twin import send_indication
from turn.data_plane import ClientPath, PeerPermission, RelayPortBusy
from turn.five_tuple import Address
from turn.stun.attributes import Attribute, unpack_xor_address
from turn.stun.channel_data import pack, unpack
from turn.stun.message import Class, Method, decode, encode

FOREVER = 1e9
Heard = tuple[Address | int, bytes]
"""Who sent it (the number of the channel, or the peer of an indication), and what."""


def check(receiver: str, sender: str) -> bytes:
    """A check of ICE: a Binding request with both user name fragments."""
    username = f"{receiver}:{sender}".encode()
    return encode(
        Method.BINDING,
        Class.REQUEST,
        b"c" * 12,
        [(Attribute.PRIORITY, b"\0\0\0\1"), (Attribute.USERNAME, username)],
        key=b"known to both",
        fingerprint=True,
    )


class Client:
    """A client with a flow whose home is one of the shared sockets."""

    def __init__(self, test: SharedTestCase, home: int, max_bps: int, max_peers: int) -> None:
        self.test = test
        self.sock = test.socket()
        self.sock.sendto(encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, []), test.server)
        test.turn_the_reactor()
        path = test.controlled.pop()[1]
        self.flow = test.plane.open(path, [test.relays[home]], max_bps, max_peers)
        self.home = test.homes[home]
        """Its relayed address."""

    def permit(
        self, host: str = "", until: float = FOREVER, reached_at: str = "", port: int = 0
    ) -> None:
        """As CreatePermission does it."""
        host = host or self.test.host
        permission = PeerPermission(host, reached_at or host)
        self.test.plane.permit(self.flow, permission, until, port)

    def bind(self, number: int, peer: Address, until: float = FOREVER) -> None:
        """As ChannelBind does it, without the permission."""
        permission = PeerPermission(peer[0], peer[0])
        self.test.plane.claim(self.flow, peer, permission)
        self.test.plane.bind_channel(self.flow, number, peer, permission, until)

    def channel(self, number: int, peer: Address) -> None:
        """As ChannelBind does it."""
        self.test.plane.claim(self.flow, peer, PeerPermission(peer[0], peer[0]))
        self.permit(peer[0])
        self.bind(number, peer)

    def send(self, peer: Address, payload: bytes) -> None:
        """A Send indication."""
        self.sock.sendto(send_indication(peer, payload), self.test.server)
        self.test.drain()

    def send_on(self, number: int, payload: bytes) -> None:
        """ChannelData."""
        self.sock.sendto(pack(number, payload, padded=False), self.test.server)
        self.test.drain()

    def heard(self) -> list[Heard]:
        """Everything that came since the last call."""
        self.test.drain()
        self.sock.settimeout(0)
        found: list[Heard] = []
        while True:
            try:
                data = self.sock.recv(65535)
            except BlockingIOError:
                return found
            if data[0] & 0xC0 == 0x40:
                found.append(unpack(data))
                continue
            message = decode(data)
            peer = message.first(Attribute.XOR_PEER_ADDRESS) or b""
            payload = message.first(Attribute.DATA)
            found.append(
                (
                    unpack_xor_address(peer, message.transaction_id),
                    b"ICMP" if payload is None else payload,
                )
            )


class SharedTestCase(TwinMade, SynchronousTestCase):
    """Four shared sockets on one address; another plane comes in by ``make_plane``."""

    host = "127.0.0.1"
    size = 4
    """How many shared sockets there are."""

    def assert_nothing_held(self) -> None:
        """No pair, link, name or wish is left; what else a plane keeps it may look at here."""
        totals = self.plane.shared_totals()
        self.assertEqual((totals.pairs, totals.links), (0, 0))
        if not isinstance(self.plane, TwinPlane):
            # The listener, and each shared socket by number and by address.
            self.assertEqual(self.entries(self.plane), 1 + 2 * self.size)
            return
        shared = self.plane._shared
        self.assertEqual([relay.pairs for relay in shared.sockets.values()], [{}] * self.size)
        self.assertEqual((shared.names._flows, shared._links._seeking), ({}, {}))

    def setUp(self) -> None:
        self.reactor = ReactorStandIn()
        self.controlled: list[tuple[bytes, ClientPath]] = []
        self.plane = self.make_plane(lambda data, path: self.controlled.append((data, path)))
        self.addCleanup(self.plane.shut_down)
        self.server = self.plane.listening_on(self.plane.listen((self.host, 0)))
        self.ports = count(41000)
        self.relays: list[int] = []
        self.homes: list[Address] = []
        for _ in range(self.size):
            self.share(self.host)

    def share(self, host: str) -> None:
        """Bind one shared socket more."""
        for port in self.ports:
            try:
                self.relays.append(self.plane.bind_shared_relay(host, port))
            except RelayPortBusy:
                continue
            self.homes.append((host, port))
            return

    def client(self, home: int = 0, *, max_bps: int = 0, max_peers: int = 0) -> Client:
        """A client at home on the shared socket of this index."""
        return Client(self, home, max_bps, max_peers)

    def socket(self, host: str = "") -> socket.socket:
        """A UDP socket of a client or a peer."""
        host = host or self.host
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        made.settimeout(5)
        self.addCleanup(made.close)
        return made

    def address(self, sock: socket.socket) -> Address:
        """Where it is bound."""
        host, port = sock.getsockname()[:2]
        return host, port

    def turn_the_reactor(self) -> None:
        """Wake the plane as the reactor would, once there is something to read."""
        readable, _, _ = select.select([self.plane], [], [], 5)
        self.assertEqual(readable, [self.plane])
        self.plane.doRead()

    def drain(self) -> None:
        """Wake the plane as long as there is something to read now."""
        while select.select([self.plane], [], [], 0)[0]:
            self.plane.doRead()

    def received(self, sock: socket.socket) -> tuple[bytes, Address]:
        """What a peer got, and from where."""
        data, source = sock.recvfrom(65535)
        return data, (source[0], source[1])

    def assert_nothing_for(self, sock: socket.socket) -> None:
        """A peer has got nothing."""
        self.drain()
        sock.settimeout(0)
        self.assertRaises(BlockingIOError, sock.recv, 65535)
        sock.settimeout(5)
