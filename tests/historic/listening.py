"""
What a client hears and sees: tones, gaps, pictures, digits.
"""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import av
from aiortc.codecs import get_decoder
from aiortc.codecs.vpx import vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from tests.historic.rtp import Packet, Received
from tests.historic.tones import share

_RATES = {"opus/48000": 48000, "g722/8000": 16000, "pcmu/8000": 8000, "pcma/8000": 8000}
_TYPES = {
    "opus/48000": ("audio/opus", 48000, 2),
    "g722/8000": ("audio/G722", 8000, 1),
    "pcmu/8000": ("audio/PCMU", 8000, 1),
    "pcma/8000": ("audio/PCMA", 8000, 1),
    "vp8/90000": ("video/VP8", 90000, None),
}
AUDIBLE = tuple(_RATES)
PATIENT = 0.4
"""Seconds of sound in which a tone is looked for."""


def parameters(key: str, number: int) -> RTCRtpCodecParameters:
    """aiortc's name for a codec."""
    kind, clock, channels = _TYPES[key]
    return RTCRtpCodecParameters(
        mimeType=kind, clockRate=clock, channels=channels, payloadType=number
    )


@dataclass
class Ear:
    """One m-line's receiving side."""

    kind: str
    packets: int = 0
    octets: int = 0
    last: float | None = None
    longest_gap: float = 0.0
    """Seconds between two packets, since the last ``forget``."""
    sources: dict[int, Received] = field(default_factory=dict)
    types: dict[int, int] = field(default_factory=dict)
    """Packets by payload type."""
    digits: list[tuple[int, int]] = field(default_factory=list)
    """Events that ended: number and duration."""
    pictures: int = 0
    """Frames that could be decoded."""
    broken: int = 0
    """Audio or video that no decoder took."""
    needs_picture: bool = False
    """Whether nothing can be shown before a whole picture comes."""
    seen: deque[Packet] = field(default_factory=lambda: deque(maxlen=500))
    _samples: deque[tuple[float, int, array[int]]] = field(
        default_factory=lambda: deque(maxlen=100), repr=False
    )
    _decoders: dict[str, Any] = field(default_factory=dict, repr=False)
    _picture: list[bytes] = field(default_factory=list, repr=False)
    _last_event: tuple[int, int] | None = None

    def take(self, packet: Packet, key: str) -> None:
        """One packet whose payload type means ``key``."""
        now = time.monotonic()
        if self.last is not None:
            self.longest_gap = max(self.longest_gap, now - self.last)
        self.last = now
        self.packets += 1
        self.octets += len(packet.payload)
        self.types[packet.payload_type] = self.types.get(packet.payload_type, 0) + 1
        self.seen.append(packet)
        clock = int(key.split("/")[1])
        source = self.sources.setdefault(packet.ssrc, Received(packet.ssrc, clock))
        source.take(packet, now)
        if key.startswith("telephone-event"):
            self._take_event(packet)
        elif key in _RATES:
            self._take_audio(packet, key, now)
        elif key == "vp8/90000":
            self._take_picture(packet)

    def forget(self) -> None:
        """Begin to listen anew."""
        self._samples.clear()
        self.longest_gap = 0.0
        self.last = None

    def tone(self, frequency: int) -> float:
        """How much of what was heard last is a tone, 0 to 1; 0 where there is too little."""
        recent, rate = self._recent()
        return share(recent, rate, frequency) if recent else 0.0

    def loudness(self) -> float:
        """The effective value of what was heard last, of 32768."""
        recent, _ = self._recent()
        return math.sqrt(sum(one * one for one in recent) / len(recent)) if recent else 0.0

    def _recent(self) -> tuple[array[int], int]:
        """The last moment's sound and its rate; nothing where there is too little."""
        now, recent, rate = time.monotonic(), array("h"), 0
        for came, its_rate, samples in reversed(self._samples):
            if now - came > 2 * PATIENT or (rate and its_rate != rate):
                break
            rate = its_rate
            recent = samples + recent
            if len(recent) >= PATIENT * rate:
                return recent, rate
        return array("h"), 0

    def quiet_for(self) -> float:
        """Seconds since the last packet."""
        return 1e9 if self.last is None else time.monotonic() - self.last

    def _take_event(self, packet: Packet) -> None:
        number, flags, duration = packet.payload[0], packet.payload[1], packet.payload[2:4]
        identity = (packet.timestamp, number)
        if flags & 0x80 and identity != self._last_event:
            self._last_event = identity
            self.digits.append((number, int.from_bytes(duration, "big")))

    def _take_audio(self, packet: Packet, key: str, now: float) -> None:
        try:
            frames = self._decode(key, packet.payload, packet.timestamp)
        except (av.FFmpegError, ValueError):
            self.broken += 1
            return
        for frame in frames:
            samples = array("h", bytes(frame.planes[0])[: 2 * frame.samples * _channels(frame)])
            mono = samples[:: _channels(frame)]
            self._samples.append((now, _RATES[key], mono))

    def _take_picture(self, packet: Packet) -> None:
        try:
            self._picture.append(vp8_depayload(packet.payload))
            if packet.marker:
                data, self._picture = b"".join(self._picture), []
                self.pictures += len(self._decode("vp8/90000", data, packet.timestamp))
                self.needs_picture = False
        except (av.FFmpegError, ValueError):
            self._picture.clear()
            self.broken += 1
            self.needs_picture = True

    def _decode(self, key: str, data: bytes, stamp: int) -> list[Any]:
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = get_decoder(parameters(key, 0))
        frames: list[Any] = decoder.decode(JitterFrame(data, stamp))
        return frames


def _channels(frame: Any) -> int:
    return len(frame.layout.channels)
