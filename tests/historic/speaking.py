"""
What a client sends: a tone, a picture that changes, digits between.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc.codecs import get_encoder
from av import VideoFrame

from tests.historic.listening import parameters
from tests.historic.rtp import Packet, telephone_event
from tests.historic.tones import tone_frame

Send = Callable[[Packet], None]
_STEP = {"opus/48000": 960, "g722/8000": 160, "pcmu/8000": 160, "pcma/8000": 160}
WIDTH, HEIGHT, FRAMES = 160, 120, 10


class Mouth:
    """One m-line's sending side: it paces itself, and keeps one SSRC and one count."""

    def __init__(
        self, kind: str, ssrc: int, send: Send, tone: int, is_ready: Callable[[], bool]
    ) -> None:
        self._is_ready = is_ready
        self.kind = kind
        self.ssrc = ssrc
        self.tone = tone
        self.packets = 0
        self.octets = 0
        self.stamp = random.getrandbits(32)
        self.wants_picture = False
        self.is_muted = False
        self._sequence = random.getrandbits(15)
        self._send = send
        self._task: asyncio.Task[None] | None = None
        self._codec: tuple[int, str] | None = None
        self._digits: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._event_type: tuple[int, int] | None = None

    def speak(self, number: int, key: str, event: tuple[int, int] | None = None) -> None:
        """Send from now on; ``event`` is the payload type and clock of digits."""
        self._event_type = event
        if self._codec == (number, key) and self._task is not None:
            return
        self.stop()
        self._codec = (number, key)
        self._task = asyncio.get_running_loop().create_task(self._run(number, key))

    def stop(self) -> None:
        """Fall silent."""
        task, self._task, self._codec = self._task, None, None
        if task is not None:
            task.cancel()

    @property
    def speaks(self) -> bool:
        """Whether it sends."""
        return self._task is not None

    def dial(self, digits: str, milliseconds: int = 100) -> None:
        """Send digits instead of sound, as sendDTMF does."""
        if self._event_type is None:
            raise AssertionError("telephone-event was not agreed")
        for digit in digits:
            self._digits.put_nowait((digit, milliseconds))

    def send(self, number: int, payload: bytes, stamp: int, *, marker: bool = False) -> Packet:
        """Send one packet of our own making."""
        packet = Packet(number, self._sequence & 0xFFFF, stamp, self.ssrc, payload, marker)
        self._sequence += 1
        self.packets += 1
        self.octets += len(payload)
        self.stamp = stamp
        self._send(packet)
        return packet

    async def _run(self, number: int, key: str) -> None:
        while not self._is_ready():
            await asyncio.sleep(0.005)
        await (self._sound if self.kind == "audio" else self._pictures)(number, key)

    async def _sound(self, number: int, key: str) -> None:
        encoder = get_encoder(parameters(key, number))
        step, frame, due = _STEP[key], 0, time.monotonic()
        while True:
            if self._digits.empty():
                payloads, _ = encoder.encode(tone_frame(frame, self.tone))
                frame += 1
                for payload in payloads if not self.is_muted else []:
                    self.send(number, payload, self.stamp + step, marker=frame == 1)
                due += 0.02
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            else:
                await self._dial(*self._digits.get_nowait())
                due = time.monotonic()

    async def _dial(self, digit: str, milliseconds: int) -> None:
        if self._event_type is None:
            return
        number, clock = self._event_type
        start, steps = self.stamp + clock // 50, milliseconds // 20
        for step in range(1, steps + 3):
            duration = min(step, steps) * clock // 50
            payload = telephone_event(digit, duration, ends=step >= steps)
            self.send(number, payload, start, marker=step == 1)
            await asyncio.sleep(0.02 if step < steps else 0.001)
        self.stamp = start + milliseconds * clock // 1000
        await asyncio.sleep(0.05)

    async def _pictures(self, number: int, key: str) -> None:
        encoder: Any = get_encoder(parameters(key, number))
        origin, count, due = self.stamp, 0, time.monotonic()
        while True:
            frame = _picture(count)
            payloads, stamp = encoder.encode(frame, force_keyframe=self.wants_picture)
            self.wants_picture = False
            for index, payload in enumerate(payloads):
                self.send(number, payload, origin + stamp, marker=index == len(payloads) - 1)
            count += 1
            due += 1 / FRAMES
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def _picture(count: int) -> VideoFrame:
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([(count * 8 + 64 * index) & 0xFF]) * plane.buffer_size)
    frame.pts = count * 90000 // FRAMES
    frame.time_base = Fraction(1, 90000)
    return frame
