"""tcpdump on the loopback interface of the data centre: the RTP that a telephone gets."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import require_program, running

_FILE_HEADER, _RECORD = 24, struct.Struct("<IIII")
_ETHERNET, _UDP, _RTP = 14, 8, 12
_DIGITS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class Rtp:
    """One packet."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True)
class Capture:
    """What has been captured so far."""

    path: Path

    def packets(self) -> list[Rtp]:
        """Every packet of RTP, in order."""
        data, at = self.path.read_bytes(), _FILE_HEADER
        found = []
        while at + _RECORD.size <= len(data):
            _, _, length, _ = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            frame = data[at : at + length]
            at += length
            if len(frame) == length:
                found.append(_rtp(frame))
        return [packet for packet in found if packet is not None]

    def digits(self, payload_type: int) -> str:
        """The digits of its telephone events (RFC 4733), each event once."""
        events = {p.timestamp: p for p in self.packets() if p.payload_type == payload_type}
        return "".join(_DIGITS[event.payload[0]] for event in events.values())

    def ends(self, payload_type: int) -> int:
        """How many packets say that an event is over."""
        events = (p for p in self.packets() if p.payload_type == payload_type)
        return sum(bool(p.payload[1] & 0x80) for p in events)


def _rtp(frame: bytes) -> Rtp | None:
    """The RTP in an Ethernet frame; None for RTCP and what is neither."""
    datagram = frame[_ETHERNET + (frame[_ETHERNET] & 0x0F) * 4 + _UDP :]
    if len(datagram) < _RTP or datagram[0] >> 6 != 2 or 192 <= datagram[1] <= 223:
        return None
    first, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
    return Rtp(kind & 0x7F, sequence, timestamp, ssrc, datagram[_RTP + (first & 0x0F) * 4 :])


@contextmanager
def captured(host: str) -> Iterator[Capture]:
    """Capture the UDP that goes to a host of the loopback interface."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        path = folder / "rtp.pcap"
        options = ["-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", str(path)]
        rule = ["udp", "and", "dst", "host", host, "and", "dst", "port", "not", "5060"]
        command = [require_program("tcpdump"), *options, *rule]
        with running(command, folder / "log") as program:
            program.wait_for(lambda: "listening on" in program.log(), "listening")
            yield Capture(path)
