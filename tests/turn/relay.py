"""
A relay without sockets for tests: a data plane that takes notes, and clients that can sign.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import count

from turn.access import PeerRules
from turn.authentication import Authenticator
from turn.credentials import Credentials, from_settings
from turn.data_plane import (
    ClientPath,
    Counters,
    PeerPermission,
    PeerTaken,
    RelayPortBusy,
    SharedTotals,
)
from turn.events import Event
from turn.five_tuple import Address, FiveTuple, Transport
from turn.nonce import NonceSource
from turn.quota import Quota
from turn.relay_addresses import RelayAddresses, public_faces
from turn.relaying import Relaying
from turn.server import TurnServer
from turn.settings import (
    CredentialSettings,
    PasswordAlgorithm,
    PeerSettings,
    StaticUser,
    TurnSettings,
)
from turn.shared_relay_addresses import SharedRelayAddresses
from turn.stun.attributes import (
    Attribute,
    pack_password_algorithm,
    pack_xor_address,
    unpack_error,
)
from turn.stun.integrity import md5_key, sha256_key
from turn.stun.message import Class, Integrity, Message, Method, decode, encode

SERVER: Address = ("198.51.100.1", 3478)
RELAY = "198.51.100.1"
RELAY6 = "2001:db8::1"
REALM = "example.org"
UDP_TRANSPORT = (Attribute.REQUESTED_TRANSPORT, b"\x11\0\0\0")
PEER: Address = ("8.8.8.8", 4000)


class Path:
    """The way back to a client of a test."""

    def __init__(self, client: Address, transport: Transport = Transport.UDP) -> None:
        self.five_tuple = FiveTuple(transport, client, SERVER)

    def send_control(self, message: bytes) -> None:
        raise AssertionError("the server returns its responses")

    def send_media(self, frame: bytes) -> None:
        raise AssertionError("no media moves on this plane")


class NotingPlane:
    """A data plane that keeps books of what is open and moves nothing."""

    def __init__(self) -> None:
        self.bound: dict[int, Address] = {}
        self.shared: set[int] = set()
        self.taken: set[Address] = set()
        """Peers that cannot be claimed."""
        self.max_peers = 0
        self.flows: dict[int, list[int]] = {}
        self.permitted: list[tuple[int, PeerPermission, float]] = []
        self.channels: list[tuple[int, int, Address, float]] = []
        self.busy: set[int] = set()
        self.refuse: Exception | None = None
        self.granted: dict[int, int] = {}
        self._handles = count(1)

    def bind_relay(self, host: str, port: int) -> int:
        if self.refuse is not None:
            raise self.refuse
        if port in self.busy:
            raise RelayPortBusy
        handle = next(self._handles)
        assert (host, port) not in self.bound.values()
        self.bound[handle] = (host, port)
        return handle

    def release_relay(self, relay: int) -> None:
        del self.bound[relay]
        if relay in self.shared:
            assert not any(relay in relays for relays in self.flows.values())
            self.shared.remove(relay)
        for relays in self.flows.values():
            if relay in relays:
                relays.remove(relay)

    def bind_shared_relay(self, host: str, port: int) -> int:
        handle = self.bind_relay(host, port)
        self.shared.add(handle)
        return handle

    def drop_relay(self, flow: int, relay: int) -> None:
        assert relay in self.flows[flow]
        if relay in self.shared:
            self.flows[flow].remove(relay)
        else:
            self.release_relay(relay)

    def open(
        self, path: ClientPath, relays: Sequence[int], max_bps: int, max_peers: int = 0
    ) -> int:
        handle = next(self._handles)
        self.flows[handle] = list(relays)
        self.granted[handle] = max_bps
        self.max_peers = max_peers
        return handle

    def close(self, flow: int) -> Counters:
        for relay in self.flows.pop(flow):
            if relay not in self.shared:
                del self.bound[relay]
        return Counters()

    def permit(self, flow: int, permission: PeerPermission, until: float, port: int = 0) -> None:
        assert flow in self.flows
        self.permitted.append((flow, permission, until))

    def claim(self, flow: int, peer: Address, permission: PeerPermission) -> None:
        assert flow in self.flows
        if peer in self.taken:
            raise PeerTaken

    def bind_channel(
        self, flow: int, number: int, peer: Address, permission: PeerPermission, until: float
    ) -> None:
        assert flow in self.flows
        self.channels.append((flow, number, peer, until))

    def from_stream(self, path: ClientPath, frame: bytes) -> None:
        raise AssertionError("no media moves on this plane")

    def counters(self, flow: int) -> Counters:
        return Counters()

    def shared_totals(self) -> SharedTotals:
        return SharedTotals()

    def expire(self, now: float) -> None:
        """Nothing here ages."""


class Relay:
    """A server under test with its clock, its plane and its events."""

    def __init__(
        self,
        settings: TurnSettings | None = None,
        *,
        hosts: Sequence[str] = (RELAY,),
        credentials: Credentials | None = None,
    ) -> None:
        self.settings = default_settings() if settings is None else settings
        self.now = 1000.0
        self.plane = NotingPlane()
        self.events: list[Event] = []
        emit = self.events.append
        s = self.settings
        public = public_faces(hosts, s.external_addresses)
        chance = random.Random(7)
        self.addresses: RelayAddresses | SharedRelayAddresses
        if s.shared_ports is None:
            self.addresses = RelayAddresses(
                self.plane, hosts, public, (s.min_port, s.max_port), chance.randrange
            )
        else:
            self.addresses = SharedRelayAddresses(
                self.plane, hosts, public, s.shared_ports, chance.randrange
            )
        self.addresses.open()
        rules = PeerRules(
            s.peers,
            relay_addresses=hosts,
            external={face: local for local, face in public.items()},
            min_port=s.relay_ports[0],
            max_port=s.relay_ports[1],
        )
        self.quota = Quota(s.user_quota, s.total_quota, s.bps_capacity, s.max_bps)
        self.relaying = Relaying(
            s, self.plane, self.addresses, rules, self.quota, chance.randbytes, emit
        )
        self.asked: list[str] = []
        if credentials is None:
            credentials = from_settings(s.credentials, s.realm, self.asked.append)
        self.credentials = credentials
        nonces = NonceSource(
            b"k" * 32, s.nonce_lifetime, password_algorithms=True, username_anonymity=True
        )
        self.authenticator = Authenticator(s, credentials, nonces)
        self.server = TurnServer(s, self.authenticator, self.relaying, b"b" * 16, emit)

    @property
    def wall(self) -> float:
        return self.now + 1_700_000_000

    def send(self, data: bytes, path: Path) -> Message | None:
        """Hand a message in; return the response, decoded."""
        response = self.server.receive(data, path, self.now, self.wall)
        return None if response is None else decode(response)

    def client(self, host: str = "203.0.113.9", port: int = 5000, **keywords: object) -> Client:
        return Client(self, Path((host, port)), **keywords)  # type: ignore[arg-type]

    def events_of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Client:
    """A client with a user name and a password that does as RFC 8489 section 9.2 says."""

    def __init__(
        self,
        relay: Relay,
        path: Path,
        *,
        username: str = "alice",
        password: str = "wonderland",
        integrity: Integrity = Integrity.SHA1,
        algorithm: PasswordAlgorithm | None = None,
    ) -> None:
        self.relay = relay
        self.path = path
        self.username = username
        self.password = password
        self.integrity = integrity
        self.algorithm = algorithm
        self.nonce = b""
        self.offered = b""
        self.realm = REALM
        self._ids = count(1)

    def next_id(self) -> bytes:
        return f"{self.path.five_tuple.client[1]:05d}{next(self._ids):07d}".encode()

    @property
    def key(self) -> bytes:
        make = sha256_key if self.algorithm is PasswordAlgorithm.SHA256 else md5_key
        return make(self.username, self.realm, self.password)

    def build(
        self,
        method: Method,
        attributes: Iterable[tuple[int, bytes]] = (),
        transaction_id: bytes | None = None,
    ) -> bytes:
        """A signed request."""
        signed = [
            *attributes,
            (Attribute.USERNAME, self.username.encode()),
            (Attribute.REALM, self.realm.encode()),
            (Attribute.NONCE, self.nonce),
        ]
        if self.algorithm is not None:
            signed.append((Attribute.PASSWORD_ALGORITHMS, self.offered))
            choice = pack_password_algorithm(self.algorithm.value)
            signed.append((Attribute.PASSWORD_ALGORITHM, choice))
        return encode(
            method,
            Class.REQUEST,
            transaction_id or self.next_id(),
            signed,
            key=self.key,
            integrity=self.integrity,
        )

    def challenge(self) -> Message:
        """Send an Allocate without credentials and remember what the challenge says."""
        request = encode(Method.ALLOCATE, Class.REQUEST, self.next_id(), [UDP_TRANSPORT])
        response = self.relay.send(request, self.path)
        assert response is not None
        self.learn(response)
        return response

    def learn(self, response: Message) -> None:
        """Take the nonce and the algorithms of a 401 or 438."""
        self.nonce = response.first(Attribute.NONCE) or b""
        self.offered = response.first(Attribute.PASSWORD_ALGORITHMS) or b""

    def request(
        self,
        method: Method,
        attributes: Iterable[tuple[int, bytes]] = (),
        transaction_id: bytes | None = None,
    ) -> Message:
        """Send a signed request, first for a nonce where there is none; return the response."""
        if not self.nonce:
            self.challenge()
        data = self.build(method, attributes, transaction_id)
        response = self.relay.send(data, self.path)
        assert response is not None
        return response

    def allocate(self, *attributes: tuple[int, bytes], tid: bytes | None = None) -> Message:
        return self.request(Method.ALLOCATE, [UDP_TRANSPORT, *attributes], tid)

    def refresh(self, lifetime: int | None = None, *more: tuple[int, bytes]) -> Message:
        value = [] if lifetime is None else [(Attribute.LIFETIME, lifetime.to_bytes(4, "big"))]
        return self.request(Method.REFRESH, [*value, *more])

    def permit(self, *peers: Address) -> Message:
        tid = self.next_id()
        values = [(Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, tid)) for peer in peers]
        return self.request(Method.CREATE_PERMISSION, values, tid)

    def bind(self, number: int, peer: Address) -> Message:
        tid = self.next_id()
        return self.request(
            Method.CHANNEL_BIND,
            [
                (Attribute.CHANNEL_NUMBER, number.to_bytes(2, "big") + b"\0\0"),
                (Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, tid)),
            ],
            tid,
        )


def code(response: Message | None) -> int:
    """0 for a success response, else the error code."""
    assert response is not None
    if response.message_class is Class.SUCCESS:
        return 0
    assert response.message_class is Class.ERROR
    return unpack_error(response.first(Attribute.ERROR_CODE) or b"")[0]


def default_settings(**changes: object) -> TurnSettings:
    """Alice and Bob, a small port range, and peers anywhere on the Internet."""
    values: dict[str, object] = {
        "realm": REALM,
        "min_port": 50000,
        "max_port": 50099,
        "credentials": CredentialSettings(
            users=(StaticUser("alice", "wonderland"), StaticUser("bob", "builder"))
        ),
        "peers": PeerSettings(),
    }
    return TurnSettings(**(values | changes))  # type: ignore[arg-type]
