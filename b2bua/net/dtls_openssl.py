"""
One try at a handshake: an OpenSSL connection over memory, and what it has said.

It gets whole messages, each in a record of its own that is numbered here: a number far ahead in a
forged one would have it drop all that comes after. What it gets has been looked at, since it ends
for whatever is wrong, and cannot go back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_records import (
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Message,
    fragments_in,
    pack,
    write_record,
)

_READ: Final = 65536


class Attempt:
    """
    A connection in its handshake, or after it.

    What OpenSSL finds wrong raises SSL.Error; SSL.WantReadError never leaves here.
    """

    __slots__ = (
        "_mtu",
        "_number",
        "_numbers",
        "_written",
        "connection",
        "first",
        "is_done",
        "is_ended",
        "random",
        "said",
    )

    connection: SSL.Connection
    """For what is asked of it when the handshake is done."""
    is_done: bool
    """Whether both have said what there is to say."""
    is_ended: bool
    """Whether the peer has said, encrypted, that this is the end."""
    first: int
    """Of a client: the number of the ServerHello, 1 where our hello had to come twice."""
    random: bytes
    """Of a client: its own."""
    said: bytes
    """What was said up to ServerHelloDone, as a client signs it; of a client its hello."""

    def __init__(self, identity: DtlsIdentity, mtu: int, numbers: Iterator[int]) -> None:
        """``numbers``: of records in the clear; attempts for one peer have them in common."""
        self.first = 0
        self.random = b""
        self.said = b""
        self.is_done = False
        self.is_ended = False
        self._mtu = mtu
        self._number = 0
        self._numbers = numbers
        self._written = b""
        self.connection = SSL.Connection(identity.context, None)
        self.connection.set_ciphertext_mtu(mtu)

    def call(self) -> list[bytes]:
        """Say hello; returns the flight."""
        self.connection.set_connect_state()
        self._step()
        flight = self.drain()
        self.said = _told(flight)
        self.random = self.said[14:46]
        return flight

    def answer(self, hello: Message) -> list[bytes]:
        """Take the peer's second hello, whose cookie is good; returns our flight."""
        self.connection.set_accept_state()
        self._write(HANDSHAKE, hello.encoded)
        # Otherwise OpenSSL expects a first one. It finds the cookie where that was found before, so
        # it does not drop the hello, which would raise SSL.WantReadError.
        self.connection.DTLSv1_listen()
        self._step()
        flight = self.drain()
        self.said = hello.encoded + _told(flight)
        return flight

    def take(self, messages: Iterable[Message]) -> None:
        """Take a flight of the peer, but for what comes encrypted."""
        for message in messages:
            self._write(HANDSHAKE, message.encoded)
            self._step()

    def turn(self) -> None:
        """Expect what is encrypted from now on: the peer has nothing else to say before it."""
        self._write(CHANGE_CIPHER_SPEC, b"\x01")
        self._step()

    def verify(self, request: Message) -> None:
        """Take a HelloVerifyRequest: a hello that has its cookie goes out, and counts."""
        self.take([request])
        self.first = 1

    def receive(self, record: bytes) -> None:
        """Take a record that is encrypted; OpenSSL drops it if it is not authentic."""
        # One at a time: OpenSSL takes what one read gives for one datagram.
        self.connection.bio_write(record)
        self._step()

    def drain(self) -> list[bytes]:
        """Take what OpenSSL wrote, as datagrams."""
        written: list[bytes] = []
        with suppress(SSL.WantReadError):
            while True:
                written.append(self.connection.bio_read(_READ))
        if written:
            self._written = b"".join(written)
        return pack(self._written, self._mtu, self._numbers) if written else []

    def repeat(self) -> list[bytes]:
        """Give once more what was drained last."""
        return pack(self._written, self._mtu, self._numbers)

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

    def _write(self, kind: int, body: bytes) -> None:
        self.connection.bio_write(write_record(kind, self._number, body))
        self._number += 1

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
    """What a flight of OpenSSL counts as in the hash: its messages, each in one piece."""
    told = b""
    for piece in fragments_in(flight):
        if not piece.offset:
            told += Message(piece.kind, piece.sequence, bytes(piece.length)).encoded[:12]
        told += piece.body
    return told
