"""
RTP and RTCP as far as a client needs them to send, to listen and to report (RFC 3550, RFC 4733).
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field

_HEADER = struct.Struct("!BBHII")
_NTP_EPOCH = 2_208_988_800


@dataclass(frozen=True)
class Packet:
    """One packet of RTP, in the clear."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def render(self, extension: bytes = b"") -> bytes:
        """As bytes; ``extension`` is a whole header extension, if any."""
        first = 0x90 if extension else 0x80
        second = self.payload_type | (0x80 if self.marker else 0)
        head = _HEADER.pack(
            first, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        )
        return head + extension + self.payload


def parse(data: bytes) -> Packet:
    """Read one; raises ValueError or struct.error."""
    first, second, sequence, stamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise ValueError("no RTP")
    start = _HEADER.size + 4 * (first & 15)
    if first & 0x10:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - (data[-1] if first & 0x20 else 0)
    payload = data[start:end]
    return Packet(second & 0x7F, sequence, stamp, ssrc, payload, bool(second & 0x80))


def mid_extension(number: int, mid: str) -> bytes:
    """A one-byte header extension that tells the m-line (RFC 8285, RFC 9143)."""
    element = bytes([number << 4 | len(mid) - 1]) + mid.encode()
    element += bytes(-len(element) % 4)
    return b"\xbe\xde" + (len(element) // 4).to_bytes(2, "big") + element


def telephone_event(digit: str, duration: int, *, ends: bool) -> bytes:
    """The payload of an event."""
    number = "0123456789*#ABCD".index(digit)
    return struct.pack("!BBH", number, (0x80 if ends else 0) | 10, duration)


@dataclass
class Received:
    """What has been received of one source."""

    ssrc: int
    clock: int
    highest: int = -1
    """Extended by the wraps."""
    first: int = -1
    packets: int = 0
    jitter: float = 0.0
    last_report: tuple[int, float] = (0, 0.0)
    """Middle of the NTP time of the peer's last SR, and when it came."""
    _transit: float | None = field(default=None, repr=False)

    def take(self, packet: Packet, now: float) -> None:
        """Count one."""
        if self.highest < 0:
            self.highest = self.first = packet.sequence
        else:
            step = (packet.sequence - self.highest) & 0xFFFF
            if step < 0x8000:
                self.highest += step
        self.packets += 1
        transit = now * self.clock - packet.timestamp
        if self._transit is not None:
            change = abs(transit - self._transit)
            self.jitter += (min(change, self.clock) - self.jitter) / 16
        self._transit = transit

    @property
    def lost(self) -> int:
        """How many are missing."""
        return max(0, self.highest - self.first + 1 - self.packets) if self.packets else 0

    def block(self, now: float) -> bytes:
        """A report block about it."""
        middle, came = self.last_report
        delay = round((now - came) * 65536) if middle else 0
        lost = min(self.lost, 0x7FFFFF)
        return struct.pack(
            "!IIIIII",
            *(self.ssrc, lost, self.highest & 0xFFFFFFFF, round(self.jitter), middle, delay),
        )


def sender_report(
    ssrc: int, stamp: int, counts: tuple[int, int], heard: list[Received], name: str
) -> bytes:
    """SR and SDES of one of our streams; ``counts`` are packets and octets."""
    wall = time.time() + _NTP_EPOCH
    seconds, fraction = int(wall), int((wall % 1) * (1 << 32))
    now = time.monotonic()
    blocks = b"".join(one.block(now) for one in heard)
    body = struct.pack("!IIIIII", ssrc, seconds, fraction, stamp & 0xFFFFFFFF, *counts) + blocks
    report = _rtcp(200, len(heard), body)
    item = b"\x01" + bytes([len(name)]) + name.encode() + b"\x00"
    chunk = struct.pack("!I", ssrc) + item
    return report + _rtcp(202, 1, chunk + bytes(-len(chunk) % 4))


def picture_loss(ours: int, theirs: int) -> bytes:
    """PLI (RFC 4585) behind an empty RR."""
    return _rtcp(201, 0, struct.pack("!I", ours)) + _rtcp(206, 1, struct.pack("!II", ours, theirs))


def rtcp_parts(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, count or format, and body of each packet of a compound."""
    parts = []
    while len(data) >= 4:
        end = 4 * (1 + int.from_bytes(data[2:4], "big"))
        parts.append((data[1], data[0] & 31, data[4:end]))
        data = data[end:]
    return parts


def _rtcp(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body
