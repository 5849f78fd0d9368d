"""
A packet log of media: how much of it ``rtp-trace-level`` asks for, and never the payload.

====  =====================================================================
0     the first RTP and the first RTCP of each end and way, and the last RTCP
1     and at most one packet a second of each end
2     and up to five a second, and every packet that is dropped
3     and every RTCP packet
4     every packet
====  =====================================================================

Whatever the level, no more than 200 records are written in a second; what is left out is counted
and told. Nothing is looked at while nobody reads records of that kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from b2bua.rtp.packet import HEADER, HEADER_SIZE

KEY_PACKETS, PERIODIC, MORE, ALL_CONTROL, EVERYTHING = range(5)
MOST_PER_SECOND: Final = 200
_PAUSES: Final = {KEY_PACKETS: float("inf"), PERIODIC: 1.0, MORE: 0.2, ALL_CONTROL: 0.2}
_CONTROL_HEAD: Final = 4
_CONTROL_NAMES: Final = {
    200: "SR",
    201: "RR",
    202: "SDES",
    203: "BYE",
    204: "APP",
    205: "RTPFB",
    206: "PSFB",
    207: "XR",
}


class MediaTrace:
    """
    What all ends share: the level, the budget of a second and who writes.

    ``is_read`` says whether anybody reads what ``write`` is given.
    """

    def __init__(
        self,
        level: int,
        write: Callable[[str], None],
        is_read: Callable[[], bool],
        seconds: Callable[[], float],
    ) -> None:
        self.level = level
        self._write = write
        self._is_read = is_read
        self._seconds = seconds
        self._second = 0.0
        self._written = 0
        self._left_out = 0

    def of(self, end: int) -> EndTrace | None:
        """The trace of a new end; None if nobody would read it."""
        return EndTrace(end, self) if self._is_read() else None

    def now(self) -> float:
        """The time, which only grows."""
        return self._seconds()

    def write(self, text: str) -> None:
        """Write one record, if this second has room for it."""
        now = self._seconds()
        if now >= self._second:
            left_out, self._left_out = self._left_out, 0
            self._second, self._written = now + 1.0, 0
            if left_out:
                self._write(f"media trace: {left_out} records were left out")
        if self._written >= MOST_PER_SECOND:
            self._left_out += 1
            return
        self._written += 1
        self._write(text)


class EndTrace:
    """What is written of one end; ``way`` is ``in`` or ``out``."""

    __slots__ = ("_end", "_last_control", "_next", "_seen", "_shared")

    def __init__(self, end: int, shared: MediaTrace) -> None:
        self._end = end
        self._shared = shared
        self._next: dict[str, float] = {}
        """By way: when the next packet may be written."""
        self._seen: set[str] = set()
        """Kinds of packets, with their way, of which one was written."""
        self._last_control = ""

    @property
    def level(self) -> int:
        """How much is asked for."""
        return self._shared.level

    def due(self, way: str) -> float:
        """When the next RTP packet of a way may be written."""
        if self.level == EVERYTHING or f"rtp {way}" not in self._seen:
            return 0.0
        return self._next.get(way, 0.0)

    def rtp(self, way: str, packet: bytes | memoryview, size: int | None = None) -> None:
        """An RTP packet came, or goes out; ``size`` is all of it where only its head is here."""
        if self._is_due(f"rtp {way}", way):
            self._write(f"RTP {way} {_rtp_words(packet, len(packet) if size is None else size)}")

    def rtcp(self, way: str, packet: bytes | memoryview) -> None:
        """A datagram of RTCP came, or goes out."""
        text = f"RTCP {way} {_control_words(bytes(packet))}"
        if self._shared.level >= ALL_CONTROL or self._is_due(f"rtcp {way}", way):
            self._write(text)
            self._last_control = ""
        else:
            self._last_control = text

    def dropped(self, reason: str) -> None:
        """A packet that came went nowhere."""
        if self._shared.level >= MORE:
            self._write(f"dropped {reason}")

    def ended(self) -> None:
        """The end is closed; its last RTCP is written if it has not been."""
        if self._last_control:
            self._write(f"last {self._last_control}")

    def _is_due(self, kind: str, way: str) -> bool:
        level, now = self._shared.level, self._shared.now()
        first = kind not in self._seen
        if level < EVERYTHING and not first and now < self._next.get(way, 0.0):
            return False
        self._seen.add(kind)
        self._next[way] = now + _PAUSES.get(level, 0.0)
        return True

    def _write(self, text: str) -> None:
        self._shared.write(f"media end={self._end} {text}")


def _rtp_words(packet: bytes | memoryview, size: int) -> str:
    if len(packet) < HEADER_SIZE:
        return f"size={size}"
    _, second, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
    marker = " marker" if second & 0x80 else ""
    return f"pt={second & 0x7F} seq={sequence} ts={timestamp} ssrc={ssrc:08x} size={size}{marker}"


def _control_words(packet: bytes) -> str:
    """The kinds of packets in a compound one; names and reasons in them stay untold."""
    kinds, position = [], 0
    while position + _CONTROL_HEAD <= len(packet) and packet[position] >> 6 == 2:
        number = packet[position + 1]
        kinds.append(_CONTROL_NAMES.get(number, str(number)))
        position += 4 * (int.from_bytes(packet[position + 2 : position + 4], "big") + 1)
    return f"{'+'.join(kinds) or 'unreadable'} size={len(packet)}"
