"""
The numbers of a call's media: those that a page asks for with GET-STATS, under the names that old
pages read, and what they say of whether it is there.

Times are in milliseconds. ``rx`` is what we receive of the page, ``tx`` what it receives of us.
"""

from __future__ import annotations

from collections.abc import Mapping

from b2bua.media_plane import StreamCounters

_KEPT = 1000
_JUST_BEFORE = 3.0
_SILENT_FOR = 10.0
"""Seconds: a page that is there sends some media, also where its microphone is off."""


def describe(
    counters: Mapping[str, StreamCounters],
    duration: float,
    wall: float,
    round_trips: dict[str, list[float]],
) -> dict[str, object]:
    """What PUT-STATS says; ``round_trips`` keeps what was seen so far, by kind."""
    found: dict[str, object] = {"timestamp": round(wall * 1000), "duration": round(duration * 1000)}
    for kind, of_kind in counters.items():
        seen = round_trips.setdefault(kind, [])
        if of_kind.round_trip is not None and len(seen) < _KEPT:
            seen.append(of_kind.round_trip)
        found[kind] = _medium(of_kind, seen)
    return found


def _medium(counters: StreamCounters, seen: list[float]) -> dict[str, object]:
    average = sum(seen) / len(seen) if seen else 0.0
    return {
        "rtt": _milliseconds(counters.round_trip),
        "rtt_max": _milliseconds(max(seen, default=0.0)),
        "rtt_average": _milliseconds(average),
        "rx": {
            "packets": counters.received_packets,
            "bytes": counters.received_bytes,
            "lost": counters.lost,
            "jitter": _milliseconds(counters.jitter),
        },
        "tx": {
            "packets": counters.sent_packets,
            "bytes": counters.sent_bytes,
            "lost": counters.reported_lost or 0,
            "jitter": _milliseconds(counters.reported_jitter),
        },
    }


def _milliseconds(seconds: float | None) -> float:
    return 0.0 if seconds is None else round(seconds * 1000, 3)


def have_ceased(counters: Mapping[str, StreamCounters], left_at: float, now: float) -> bool:
    """Whether media of a page came until it left, at that time, and none since."""
    came = [each.last_received for each in counters.values() if each.last_received is not None]
    return bool(came) and left_at - _JUST_BEFORE <= max(came) <= now - _SILENT_FOR
