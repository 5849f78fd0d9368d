"""Tests of telephone-events that are longer than one duration can say (RFC 4733)."""

from __future__ import annotations

from tests.datapath.media import MediaTestCase

DIGITS = 101
LONGEST = 0xFFFF
EVENT, END = b"\x05\x0a", b"\x05\x8a"


class EventTests(MediaTestCase):
    """Keys that are held, between clocks."""

    def join(self, here: int, there: int) -> None:
        self.one, self.other = self.plane.open(), self.plane.open()
        terms = self.terms(
            self.near,
            payload_types={0: 0, DIGITS: DIGITS},
            clock_rates={0: 8000, DIGITS: here},
            event_rates={DIGITS: (here, there)},
        )
        self.plane.set_terms(self.one, terms)
        self.plane.set_terms(self.other, self.terms(self.far))
        self.plane.join(self.one, self.other)

    def say(self, said: bytes, timestamp: int, duration: int, *, first: bool = False) -> None:
        payload = said + duration.to_bytes(2, "big")
        packet = self.near.packet(payload, DIGITS, timestamp=timestamp, marker=first)
        self.send(self.near, self.one, packet)

    def heard(self) -> list[tuple[bool, int, bytes, int]]:
        """Marker, ticks since the first packet, what was said, duration."""
        packets = self.packets(self.far)
        return [
            (
                packet.marker,
                packet.timestamp - packets[0].timestamp & 0xFFFFFFFF,
                packet.payload[:2],
                int.from_bytes(packet.payload[2:], "big"),
            )
            for packet in packets
        ]

    def test_held_two_seconds(self) -> None:
        """By a faster clock it is two segments, and ends when it ended."""
        self.join(8000, 48000)
        for duration in range(400, 16000, 400):
            self.say(EVENT, 800, duration, first=duration == 400)
        for _ in range(3):
            self.say(END, 800, 16000)
        heard = self.heard()
        self.assertEqual([marker for marker, *_ in heard], [True] + [False] * 41)
        whole = [(ahead, duration) for _, ahead, said, duration in heard if said == EVENT]
        self.assertEqual(whole[:27], [(0, 2400 * count) for count in range(1, 28)])
        self.assertEqual(whole[27], (0, LONGEST))
        self.assertEqual(whole[28:], [(LONGEST, 2400 * count - LONGEST) for count in range(29, 40)])
        self.assertEqual(heard[-3:], [(False, LONGEST, END, 96000 - LONGEST)] * 3)

    def test_the_next_sound(self) -> None:
        """What comes after the digit has the times that it would have without it."""
        self.join(8000, 48000)
        self.send(self.near, self.one, self.near.packet(timestamp=800))
        self.say(END, 800, 16000)
        self.send(self.near, self.one, self.near.packet(timestamp=16800))
        first, _, last = self.packets(self.far)
        self.assertEqual(last.timestamp - first.timestamp & 0xFFFFFFFF, 16000)

    def test_two_segments_become_one(self) -> None:
        """By a slower clock the source's segments are one event of one timestamp."""
        self.join(48000, 8000)
        self.say(EVENT, 800, 960, first=True)
        self.say(EVENT, 800, LONGEST)
        self.say(EVENT, 800 + LONGEST, 960)
        self.say(END, 800 + LONGEST, 96000 - LONGEST)
        heard = self.heard()
        self.assertEqual(
            [(ahead, duration) for _, ahead, _, duration in heard],
            [(0, 160), (0, 10922), (0, 11082), (0, 16000)],
        )

    def test_padding(self) -> None:
        """It is no part of the event."""
        self.join(8000, 48000)
        for said in (EVENT, END):
            payload = said + (12000).to_bytes(2, "big")
            packet = self.near.packet(payload, DIGITS, timestamp=800, padding=4)
            self.send(self.near, self.one, packet)
        heard, last = self.packets(self.far)
        self.assertEqual((heard.payload, heard.padding), (EVENT + b"\xff\xff", 4))
        self.assertEqual(last.payload, END + (72000 - LONGEST).to_bytes(2, "big"))
