"""Whatever bytes come, the native plane and its twin make the same of them."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.twin import TwinPlane
from tests import strategies
from tests.datapath.planes import NativeMade, ReactorStandIn, TwinMade
from tests.datapath.shared import check
from turn.data_plane import ClientPath, PeerPermission
from turn.five_tuple import Address
from turn.stun.attributes import Attribute, pack_xor_address
from turn.stun.channel_data import pack
from turn.stun.errors import MalformedMessage
from turn.stun.message import Class, Integrity, Method, decode, encode

if TYPE_CHECKING:
    from tests.datapath.planes import Plane

HOST = "127.0.0.1"
CHANNEL = 0x4000
TID = b"i" * 12

_PEER, _OTHER_PORT, _OTHER_HOST = range(3)
_SOUP = st.lists(
    st.tuples(st.just(int(Attribute.XOR_PEER_ADDRESS)), st.integers(0, 2) | st.binary(max_size=24))
    | st.tuples(st.just(int(Attribute.DATA)), st.binary(max_size=40))
    | st.tuples(st.just(int(Attribute.DONT_FRAGMENT)), st.just(b""))
    | st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=12)),
    max_size=6,
)
"""Attributes of a Send indication; a number stands for an address."""
_ORDERLY = st.tuples(
    st.just((int(Attribute.XOR_PEER_ADDRESS), _PEER)),
    st.tuples(st.just(int(Attribute.DATA)), st.binary(max_size=40)),
).map(list)
_CHANGES = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=2)
_SENDS = st.tuples(_SOUP | _ORDERLY, st.booleans(), st.sampled_from((None, *Integrity)), _CHANGES)
_FRAMES = (
    strategies.malformed()
    | strategies.channel_frames()
    | st.binary(max_size=1500).map(lambda payload: pack(CHANNEL, payload, padded=False))
    | st.binary(max_size=30).map(lambda rest: CHANNEL.to_bytes(2, "big") + rest)
)
_NAMES = st.sampled_from(["alice", "bob", "", "a" * 300])
_CHECKS = st.tuples(_NAMES, _NAMES).map(lambda names: check(*names))
_STEPS = st.lists(
    st.tuples(st.just("client"), _FRAMES | _CHECKS.map(lambda c: pack(CHANNEL, c, padded=False)))
    | st.tuples(st.just("send"), _SENDS)
    | st.tuples(st.sampled_from(("peer", "stranger", "at the door")), _FRAMES | _CHECKS),
    max_size=8,
)


class Side:
    """One plane with one flow, and what came of each step there."""

    def __init__(self, plane: Plane, control: list[bytes], shared: bool) -> None:
        self.plane = plane
        self.control = control
        self.server = plane.listening_on(plane.listen((HOST, 0)))
        self.shared = shared
        self.relay: Address = (HOST, 0)
        self.flow = 0

    def bind(self) -> int:
        """A relay socket on a port that the system chooses."""
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind((HOST, 0))
            self.relay = sock.getsockname()
        bind = self.plane.bind_shared_relay if self.shared else self.plane.bind_relay
        return bind(*self.relay)

    def drain(self) -> None:
        """Let the plane read all there is."""
        while select.select([self.plane], [], [], 0)[0]:
            self.plane.doRead()


class TwinsAgreeTests(SynchronousTestCase):
    """One client, one peer and one stranger before both planes."""

    skip = NativeMade.skip
    shared = False

    def setUp(self) -> None:
        self.client, self.peer, self.stranger = (self.socket() for _ in range(3))
        self.sides = [self.side(TwinMade()), self.side(NativeMade())]

    def socket(self) -> socket.socket:
        made = socket.socket(type=socket.SOCK_DGRAM)
        made.bind((HOST, 0))
        made.settimeout(0)
        self.addCleanup(made.close)
        return made

    def side(self, maker: TwinMade) -> Side:
        maker.reactor = ReactorStandIn()
        control: list[bytes] = []
        paths: list[ClientPath] = []

        def take(data: bytes, path: ClientPath) -> None:
            control.append(data)
            paths.append(path)

        plane = maker.make_plane(take)
        self.addCleanup(plane.shut_down)
        side = Side(plane, control, self.shared)
        self.client.sendto(encode(Method.ALLOCATE, Class.REQUEST, TID, []), side.server)
        side.drain()
        side.flow = plane.open(paths[0], [side.bind()], 0)
        permission, peer = PeerPermission(HOST, HOST), self.peer.getsockname()
        plane.claim(side.flow, peer, permission)
        plane.permit(side.flow, permission, 1e9)
        plane.bind_channel(side.flow, CHANNEL, peer, permission, 1e9)
        return side

    def send_indication(self, soup: list[tuple[int, int | bytes]], how: object) -> bytes:
        """Make a Send indication of the attributes."""
        fingerprint, integrity, changes = how  # type: ignore[misc]
        host, port = self.peer.getsockname()
        places = {_PEER: (host, port), _OTHER_PORT: (host, 9), _OTHER_HOST: ("10.9.8.7", port)}
        data = bytearray(
            encode(
                Method.SEND,
                Class.INDICATION,
                TID,
                [
                    (kind, pack_xor_address(places[v], TID) if isinstance(v, int) else v)
                    for kind, v in soup
                ],
                fingerprint=fingerprint,
                key=None if integrity is None else b"key",
                integrity=integrity or Integrity.SHA1,
            )
        )
        for where, value in changes:
            data[int(where * len(data))] = value
        return bytes(data)

    def step(self, side: Side, actor: str, what: object) -> list[object]:
        """Let one of them send, and tell what came of it."""
        if actor == "send":
            data = self.send_indication(what[0], what[1:])  # type: ignore[index]
            self.client.sendto(data, side.server)
        elif actor == "client":
            self.client.sendto(what, side.server)  # type: ignore[arg-type]
        elif actor == "at the door":
            self.stranger.sendto(what, side.server)  # type: ignore[arg-type]
        else:
            sender = self.peer if actor == "peer" else self.stranger
            sender.sendto(what, side.relay)  # type: ignore[arg-type]
        side.drain()
        control = list(side.control)
        side.control.clear()
        return [
            control,
            [self.comparable(data) for data in self.taken(self.client)],
            self.taken(self.peer),
            self.taken(self.stranger),
            side.plane.counters(side.flow),
            side.plane.shared_totals(),
            side.plane.ignored,
            side.plane.unsent,
        ]

    def taken(self, sock: socket.socket) -> list[bytes]:
        """Everything that lies in a socket."""
        found = []
        while True:
            try:
                found.append(sock.recv(65535))
            except ConnectionRefusedError:
                continue
            except BlockingIOError:
                return found

    def comparable(self, data: bytes) -> object:
        """What a client got, without the transaction id that the plane chose."""
        if data[0] & 0xC0:
            return data
        try:
            message = decode(data)
        except MalformedMessage:
            return data
        unmasked = pack_xor_address(("0.0.0.0", 0), message.transaction_id)
        attributes = [
            (
                kind,
                bytes(a ^ b for a, b in zip(value, unmasked, strict=True))
                if kind == Attribute.XOR_PEER_ADDRESS
                else value,
            )
            for kind, value in message.attributes
        ]
        return message.method, message.message_class, attributes

    @settings(max_examples=150, deadline=None)
    @given(_STEPS)
    def test_any_bytes(self, steps: list[tuple[str, object]]) -> None:
        """Step by step: what leaves, what Python is told, and what is counted."""
        for actor, what in steps:
            twin, native = (self.step(side, actor, what) for side in self.sides)
            self.assertEqual(twin, native, (actor, what))

    def test_the_planes_differ(self) -> None:
        """This compares what it says."""
        self.assertIsInstance(self.sides[0].plane, TwinPlane)
        self.assertEqual([side.plane.kind for side in self.sides], ["pure Python", "native"])


class SharedTwinsAgreeTests(TwinsAgreeTests):
    """The same with a relay socket that could be shared."""

    shared = True

    @settings(max_examples=150, deadline=None)
    @given(_STEPS)
    def test_any_bytes(self, steps: list[tuple[str, object]]) -> None:
        """Step by step, names and strangers included."""
        for actor, what in steps:
            twin, native = (self.step(side, actor, what) for side in self.sides)
            self.assertEqual(twin, native, (actor, what))
