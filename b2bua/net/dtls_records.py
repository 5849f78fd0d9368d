"""
Records of DTLS 1.2, and the messages of a handshake that come in the clear (RFC 6347, section 4).

Nothing here believes anybody: what is not well formed is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
DATA: Final = 23

CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
HELLO_VERIFY_REQUEST: Final = 3
CERTIFICATE: Final = 11
SERVER_KEY_EXCHANGE: Final = 12
CERTIFICATE_REQUEST: Final = 13
SERVER_HELLO_DONE: Final = 14
CERTIFICATE_VERIFY: Final = 15
CLIENT_KEY_EXCHANGE: Final = 16

_HEADER: Final = 13
_MAJOR: Final = 0xFE
_DTLS_1_2: Final = b"\xfe\xfd"
_LONGEST_RECORD: Final = 2**14 + 2048
_MESSAGE_HEADER: Final = 12


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it came."""

    data: bytes

    @property
    def kind(self) -> int:
        """Its content type."""
        return self.data[0]

    @property
    def epoch(self) -> int:
        """0 in the clear, 1 under the keys of the handshake."""
        return int.from_bytes(self.data[3:5], "big")

    @property
    def body(self) -> bytes:
        """What comes after the header."""
        return self.data[_HEADER:]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a message."""

    kind: int
    sequence: int
    length: int
    """Of the whole message."""
    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message."""

    kind: int
    sequence: int
    body: bytes

    @property
    def encoded(self) -> bytes:
        """As it counts in the hash of a handshake: in one piece."""
        length = len(self.body).to_bytes(3, "big")
        return (
            bytes((self.kind,))
            + length
            + self.sequence.to_bytes(2, "big")
            + bytes(3)
            + length
            + self.body
        )


def read_records(datagram: bytes) -> Iterator[Record]:
    """
    Give the records at the beginning of a datagram, up to the first that is none of DTLS 1.2.

    What OpenSSL reads from memory has no ends of datagrams: half a record would swallow the
    next datagram's first.
    """
    at = 0
    while at + _HEADER <= len(datagram):
        length = int.from_bytes(datagram[at + 11 : at + 13], "big")
        end = at + _HEADER + length
        is_record = CHANGE_CIPHER_SPEC <= datagram[at] <= DATA and datagram[at + 1] == _MAJOR
        if not is_record or length > _LONGEST_RECORD or end > len(datagram):
            return
        yield Record(datagram[at:end])
        at = end


def read_fragments(body: bytes) -> Iterator[Fragment]:
    """Give the pieces of messages in a record, up to the first whose lengths cannot be."""
    at = 0
    while at + _MESSAGE_HEADER <= len(body):
        length, offset, here = (
            int.from_bytes(body[at + begin : at + begin + 3], "big") for begin in (1, 6, 9)
        )
        end = at + _MESSAGE_HEADER + here
        # A piece of nothing says nothing, but where the whole message is that.
        is_piece = offset + here <= length and (here or not length)
        if not is_piece or end > len(body):
            return
        sequence = int.from_bytes(body[at + 4 : at + 6], "big")
        yield Fragment(body[at], sequence, length, offset, body[at + _MESSAGE_HEADER : end])
        at = end


def write_record(kind: int, number: int, body: bytes) -> bytes:
    """Make a record in the clear."""
    length = len(body).to_bytes(2, "big")
    return bytes((kind,)) + _DTLS_1_2 + number.to_bytes(8, "big") + length + body


def pack(flight: bytes, mtu: int, numbers: Iterator[int]) -> list[bytes]:
    """
    Cut what OpenSSL wrote at once into datagrams of whole records, as few as the MTU allows.

    Those in the clear get these numbers: a peer drops one that it has seen, whoever wrote it.
    """
    datagrams: list[bytes] = []
    for record in read_records(flight):
        data = record.data
        if not record.epoch:
            data = write_record(record.kind, next(numbers), record.body)
        if datagrams and len(datagrams[-1]) + len(data) <= mtu:
            datagrams[-1] += data
        else:
            datagrams.append(data)
    return datagrams


def fragments_in(datagrams: Iterable[bytes]) -> Iterator[Fragment]:
    """Give the pieces of messages that these datagrams have in the clear."""
    for datagram in datagrams:
        for record in read_records(datagram):
            if record.kind == HANDSHAKE and not record.epoch:
                yield from read_fragments(record.body)
