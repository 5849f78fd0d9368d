"""
One try at a handshake: an OpenSSL connection over memory, and what it has said.

It gets whole messages, each in a record of its own that is numbered here: a number far ahead in a
forged one would have it drop all that comes after. What it gets has been looked at
(``dtls_flights``), so an error of it is the peer's or, at worst, a very good forgery's.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Inbox
from b2bua.net.dtls_records import (
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    HANDSHAKE,
    Message,
    fragments_in,
    pack,
    write_record,
)

_READ: Final = 65536
_SIGNED: Final = ("ECDHE-", "TLS_")
"""Ciphers whose ServerKeyExchange is signed, and of a form read here; and TLS 1.3's, unused."""


class Attempt:
    """
    A connection in its handshake, or after it.

    What OpenSSL finds wrong raises SSL.Error; SSL.WantReadError never leaves here.
    """

    __slots__ = ("_mtu", "_number", "connection", "first", "hello", "is_done", "is_ended", "said")

    connection: SSL.Connection
    """For what is asked of it when the handshake is done."""
    is_done: bool
    """Whether both have said what there is to say."""
    is_ended: bool
    """Whether the peer has said, encrypted, that this is the end."""
    first: int
    """Of a client: which number the ServerHello has."""
    hello: bytes
    """The ClientHello that this is about."""
    said: bytes
    """Of a server: what was said up to ServerHelloDone, as it is signed."""

    def __init__(self, identity: DtlsIdentity, mtu: int) -> None:
        self.first = 0
        self.hello = b""
        self.said = b""
        self._mtu = mtu
        self._number = 0
        self.is_done = False
        self.is_ended = False
        self.connection = SSL.Connection(identity.context, None)
        self.connection.set_ciphertext_mtu(mtu)

    def call(self) -> list[bytes]:
        """Say hello; returns the flight."""
        self.connection.set_connect_state()
        self._step()
        flight = self.drain()
        self.hello = _body_of(flight, CLIENT_HELLO, 0)
        return flight

    def answer(self, hello: Message) -> list[bytes]:
        """Take the peer's hello; returns our flight."""
        self.connection.set_accept_state()
        self.hello = hello.body
        self.take([hello])
        flight = self.drain()
        self.said = hello.encoded + _told(flight)
        return flight

    def take(self, messages: Iterable[Message]) -> None:
        """Take a flight of the peer, but for what comes encrypted."""
        for message in messages:
            self._give(HANDSHAKE, message.encoded)

    def turn(self) -> None:
        """Expect what is encrypted from now on: the peer has nothing else to say before it."""
        self._give(CHANGE_CIPHER_SPEC, b"\x01")

    def verify(self, request: Message) -> None:
        """Take a HelloVerifyRequest: a hello that has its cookie goes out, and counts."""
        self.take([request])
        self.first = 1

    def receive(self, record: bytes) -> None:
        """Take a record that is encrypted; OpenSSL drops it if it is not authentic."""
        # One at a time: OpenSSL takes what one read gives for one datagram.
        self.connection.bio_write(record)
        self._step()

    @property
    def random(self) -> bytes:
        """The client's."""
        return self.hello[2:34]

    @property
    def is_signed(self) -> bool:
        """Whether a server that takes what we offer signs for it."""
        return all(name.startswith(_SIGNED) for name in self.connection.get_cipher_list())

    def drain(self) -> list[bytes]:
        """Take what OpenSSL wrote, as datagrams."""
        written: list[bytes] = []
        with suppress(SSL.WantReadError):
            while True:
                written.append(self.connection.bio_read(_READ))
        return pack(b"".join(written), self._mtu)

    def timeout(self) -> float | None:
        """Seconds until a flight is to be sent again, by OpenSSL's clock."""
        left: float | None = self.connection.DTLSv1_get_timeout()
        return left

    def handle_timeout(self) -> None:
        """Send it again if that is due."""
        self.connection.DTLSv1_handle_timeout()

    def say_end(self) -> None:
        """Write close_notify, if the handshake is done; there is no other way to say so."""
        with suppress(SSL.Error):
            self.connection.shutdown()

    def _give(self, kind: int, body: bytes) -> None:
        self.connection.bio_write(write_record(kind, self._number, body))
        self._number += 1
        self._step()

    def _step(self) -> None:
        try:
            if not self.is_done:
                self.connection.do_handshake()
                self.is_done = True
            while True:
                # Flights that came again, alerts, and data that nobody here is waiting for.
                self.connection.recv(_READ)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.is_ended = True


def _told(flight: list[bytes]) -> bytes:
    """What a server's flight counts as in the hash: its messages, each in one piece."""
    inbox = Inbox()
    kinds: dict[int, int] = {}
    for fragment in fragments_in(flight):
        inbox.add(fragment, 0)
        kinds[fragment.sequence] = fragment.kind
    return b"".join(
        choice.message.encoded
        for sequence, kind in sorted(kinds.items())
        for choice in inbox.choices(kind, sequence)
    )


def _body_of(flight: list[bytes], kind: int, sequence: int) -> bytes:
    inbox = Inbox()
    for fragment in fragments_in(flight):
        inbox.add(fragment, 0)
    found = inbox.choices(kind, sequence)
    return found[0].message.body if found else b""
