"""
What every run of a harness begins with: inputs that a fuzzer has found, and real messages.

``corpus/NAME.txt`` has one input a line, in base64; what stands behind it says what it guards.
``python -m tests.native.inputs NAME FOLDER`` replaces those of a fuzzer's folder.
"""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from tests.stun import test_vectors as vectors
from turn.five_tuple import Address
from turn.stun.channel_data import pack
from turn.stun.relayed import pack_data

CORPUS = Path(__file__).parent / "corpus"
PEER: Address = ("10.0.0.1", 6000)

_RFC_5769 = (
    vectors.SAMPLE_REQUEST,
    vectors.SAMPLE_IPV4_RESPONSE,
    vectors.SAMPLE_IPV6_RESPONSE,
    vectors.SAMPLE_LONG_TERM_REQUEST,
    vectors.SAMPLE_SHA256_REQUEST,
)
_RTP = bytes.fromhex("80600001000000a000005000") + bytes(40)
_RTCP = bytes.fromhex("80c8000600005000e0000000000000000000000000000000") + bytes(4)
_DTLS = bytes.fromhex("16fefd0000000000000000002c0100002000000000000000") + bytes(28)


def inputs(name: str) -> list[bytes]:
    """All of a harness."""
    return [*kept(name), *_SEEDS.get(name, tuple)()]


def kept(name: str) -> list[bytes]:
    """Those that are kept in a file."""
    lines = (CORPUS / f"{name}.txt").read_text().splitlines()
    return [b64decode(line.partition(" ")[0]) for line in lines if line]


def keep(name: str, found: Iterable[bytes]) -> None:
    """Replace those that guard nothing in particular."""
    path = CORPUS / f"{name}.txt"
    before = path.read_text().splitlines() if path.exists() else []
    guards = [line for line in before if " " in line]
    lines = guards + sorted(b64encode(data).decode() for data in found)
    path.write_text("".join(f"{line}\n" for line in lines))


def _messages() -> list[bytes]:
    """Real ones: of the RFC, and of our encoders."""
    ours = [
        pack(0x4000, b"payload", padded=True),
        pack_data(PEER, b"payload", bytes(12)),
    ]
    return [*_RFC_5769, *ours]


def _raw(operation: int, message: bytes, head: int = 0) -> bytes:
    """An operation that lets bytes arrive as they are."""
    return bytes([operation, *(() if not head else (head,)), len(message)]) + message


def _relay() -> list[bytes]:
    begin = bytes([0x00, 0x00, 0x01, 0x00, 0x02, 0x02, 0x00, 0x03, 0x02, 0xFC])
    return [begin + _raw(0x06, message) + b"\x0d" for message in _messages()]


def _stream() -> list[bytes]:
    plain, tls = bytes([0x04, 0x00, 0x00]), bytes([0x04, 0x00, 0x01])
    after = bytes([40, 8, 0x0D])
    messages = [message for message in _messages() if len(message) < 256]
    return [begin + _raw(0x04, each) + after for begin in (plain, tls) for each in messages]


def _media() -> list[bytes]:
    begin = bytes([0x00, 0x00, 0x02, 0x09, 0x10, 0x00, 0x12, 0x09, 0x04, 0x01])
    # The length of what arrives stands above two bits of where from.
    return [
        begin + bytes([0x09, min(len(message), 63) << 2]) + message[:63] + b"\x0f"
        for message in (_RTP, _RTCP, _DTLS, *_RFC_5769)
    ]


_SEEDS = {"relay": _relay, "stream": _stream, "media": _media}


if __name__ == "__main__":
    keep(sys.argv[1], (path.read_bytes() for path in Path(sys.argv[2]).iterdir()))
