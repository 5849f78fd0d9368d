"""
A STUN and TURN client for tests that sends whatever it is told to, right or wrong.

It blocks, it never retransmits, and it tells "no answer" from "connection closed".
"""

from __future__ import annotations

import secrets
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from tests.peers import PASSWORD, USER, RelayProcess
from turn.stun.attributes import (
    Attribute,
    pack_channel_number,
    pack_requested_transport,
    pack_uint32,
    pack_xor_address,
    unpack_error,
    unpack_xor_address,
)
from turn.stun.framing import FrameReader
from turn.stun.integrity import md5_key
from turn.stun.message import Class, Integrity, Message, Method, decode, encode

Attributes = Iterable[tuple[int, bytes]]
UDP_PROTOCOL = 17
QUIET = 0.25
"""How long a server may take to answer on this machine; silence is told after it."""


class Transport(StrEnum):
    """How a client reaches the relay."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Closed(Exception):
    """The server closed the connection."""


@dataclass(slots=True)
class Probe:
    """One client with one five-tuple. ``key`` and ``challenge`` come with the first 401."""

    relay: RelayProcess
    transport: Transport
    socket: socket.socket
    key: bytes | None = None
    challenge: list[tuple[int, bytes]] = field(default_factory=list)
    """REALM and NONCE."""
    _reader: FrameReader = field(default_factory=FrameReader)
    _frames: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Its own transport address."""
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def send(self, data: bytes) -> None:
        """One datagram, or bytes of the stream."""
        self.socket.sendall(data)

    def receive(self, timeout: float = 2) -> bytes | None:
        """The next datagram or frame; None if there is none in time. Raises Closed."""
        deadline = time.monotonic() + timeout
        while not self._frames:
            if not self._readable(deadline - time.monotonic()):
                return None
            try:
                data = self.socket.recv(65_536)
            except ssl.SSLWantReadError:
                continue
            except ConnectionError as error:
                raise Closed from error
            if self.transport is Transport.UDP:
                return data
            if not data:
                raise Closed
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def _readable(self, timeout: float) -> bool:
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return bool(select.select([self.socket], [], [], max(timeout, 0))[0])

    def exchange(self, data: bytes, timeout: float = 2) -> Message | None:
        """Send ``data``; the answer, or None for silence."""
        self.send(data)
        answer = self.receive(timeout)
        return None if answer is None else decode(answer)

    def request(
        self, method: int, attributes: Attributes = (), *, signed: bool = True, timeout: float = 2
    ) -> Message:
        """An answered request; ``signed`` proves who we are. Fails if nothing answers."""
        answer = self.exchange(self.encode(method, attributes, signed=signed), timeout)
        if answer is None:
            raise AssertionError(f"no answer to method {method}")
        return answer

    def encode(
        self,
        method: int,
        attributes: Attributes = (),
        *,
        signed: bool = True,
        message_class: Class = Class.REQUEST,
        integrity: Integrity = Integrity.SHA1,
    ) -> bytes:
        """A message with a new transaction id, and with our credentials if ``signed``."""
        proof = [(Attribute.USERNAME, USER.encode()), *self.challenge] if signed else []
        return encode(
            method,
            message_class,
            secrets.token_bytes(12),
            [*attributes, *proof],
            key=self.key if signed else None,
            integrity=integrity,
        )

    def learn_challenge(self, user: str = USER, password: str = PASSWORD) -> Message:
        """Ask for an allocation without credentials and keep the challenge that comes back."""
        answer = self.request(Method.ALLOCATE, [transport_attribute()], signed=False)
        realm, nonce = answer.first(Attribute.REALM), answer.first(Attribute.NONCE)
        if realm is None or nonce is None:
            raise AssertionError(f"no challenge in {answer}")
        self.challenge = [(Attribute.REALM, realm), (Attribute.NONCE, nonce)]
        self.key = md5_key(user, realm.decode(), password)
        return answer

    def allocate(self, attributes: Attributes = ()) -> Message:
        """A challenge, if there was none yet, and an Allocate with credentials."""
        if self.key is None:
            self.learn_challenge()
        return self.request(Method.ALLOCATE, [transport_attribute(), *attributes])

    def allocated(self, attributes: Attributes = ()) -> tuple[str, int]:
        """Allocate; the relayed address. Anything but success fails."""
        answer = self.allocate(attributes)
        value = answer.first(Attribute.XOR_RELAYED_ADDRESS)
        if value is None:
            raise AssertionError(f"no allocation but {describe(answer)}")
        return unpack_xor_address(value, answer.transaction_id)

    def peer(self, method: int, *peers: tuple[str, int], channel: int | None = None) -> bytes:
        """A signed request, not sent yet, that names peers and a channel."""
        transaction_id = secrets.token_bytes(12)
        named: list[tuple[int, bytes]] = [
            (Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, transaction_id)) for peer in peers
        ]
        if channel is not None:
            named.append((Attribute.CHANNEL_NUMBER, pack_channel_number(channel)))
        proof = [(Attribute.USERNAME, USER.encode()), *self.challenge]
        return encode(method, Class.REQUEST, transaction_id, [*named, *proof], key=self.key)

    def permit(self, *peers: tuple[str, int]) -> Message | None:
        """CreatePermission for these peers."""
        return self.exchange(self.peer(Method.CREATE_PERMISSION, *peers))

    def bind(self, channel: int, peer: tuple[str, int]) -> Message | None:
        """ChannelBind."""
        return self.exchange(self.peer(Method.CHANNEL_BIND, peer, channel=channel))

    def send_indication(self, peer: tuple[str, int], data: bytes) -> None:
        """Send, which is never answered."""
        transaction_id = secrets.token_bytes(12)
        attributes = [
            (Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, transaction_id)),
            (Attribute.DATA, data),
        ]
        self.send(encode(Method.SEND, Class.INDICATION, transaction_id, attributes))

    def refresh(self, lifetime: int) -> Message:
        """Refresh with this lifetime."""
        return self.request(Method.REFRESH, [(Attribute.LIFETIME, pack_uint32(lifetime))])


def transport_attribute(protocol: int = UDP_PROTOCOL) -> tuple[int, bytes]:
    """REQUESTED-TRANSPORT."""
    return Attribute.REQUESTED_TRANSPORT, pack_requested_transport(protocol)


def error_code(message: Message | None) -> int | None:
    """The code of an error response; None for anything else."""
    value = message.first(Attribute.ERROR_CODE) if message else None
    return None if value is None else unpack_error(value)[0]


def describe(message: Message | None) -> str:
    """For a failure's message."""
    if message is None:
        return "silence"
    code = error_code(message)
    name = message.message_class.name.lower()
    return f"{name} {code}" if code is not None else name


@contextmanager
def probing(
    relay: RelayProcess,
    transport: Transport = Transport.UDP,
    *,
    source: str | None = None,
    host: str | None = None,
) -> Iterator[Probe]:
    """A client of ``relay`` that sends from ``source``, any address of the relay's network."""
    host = host or relay.host
    port = relay.tls_port if transport is Transport.TLS else relay.port
    kind = socket.SOCK_DGRAM if transport is Transport.UDP else socket.SOCK_STREAM
    plain = relay.place.socket(kind, host)
    with plain:
        plain.settimeout(5)
        if source is not None:
            plain.bind((source, 0))
        plain.connect((host, port))
        if transport is not Transport.TLS:
            yield Probe(relay, transport, plain)
            return
        context = ssl.create_default_context(cafile=str(relay.ca_file))
        with context.wrap_socket(plain, server_hostname=host) as secure:
            yield Probe(relay, transport, secure)
