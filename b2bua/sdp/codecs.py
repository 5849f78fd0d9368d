"""
The list of codecs in the configuration: ``(g722,pcmu,vp8=100,h264=(pt=108,fmtp="[...]"))``.

An entry is a name, a clock rate after "/" where it matters, and a payload type: ``name=100`` or
``name=(pt=100)``. The second form also takes ``fmtp="..."`` (``fntp`` is read as well). What
stands in square brackets within it is a default: an offer has it without the brackets, an answer
has the offer's own parameters in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from b2bua.sdp.errors import CodecListError
from b2bua.sdp.formats import Format

_KNOWN: Final[dict[str, tuple[str, str, int, int, int | None]]] = {
    # name: kind of media, encoding, clock rate, channels, static payload type
    "pcmu": ("audio", "PCMU", 8000, 1, 0),
    "pcma": ("audio", "PCMA", 8000, 1, 8),
    "g722": ("audio", "G722", 8000, 1, 9),
    "g729": ("audio", "G729", 8000, 1, 18),
    "opus": ("audio", "opus", 48000, 2, None),
    "isac": ("audio", "ISAC", 16000, 1, None),
    "telephone-event": ("audio", "telephone-event", 8000, 1, None),
    "vp8": ("video", "VP8", 90000, 1, None),
    "h264": ("video", "H264", 90000, 1, None),
}
_FIXED_CLOCK: Final = frozenset(_KNOWN) - {"isac", "telephone-event"}

_entry: Final = re.compile(
    r"""\s*(?P<name>[A-Za-z0-9.-]+)(?:/(?P<clock>[0-9]+))?\s*
        (?:=\s*(?:(?P<pt>[0-9]+)|\((?P<inner>(?:[^()"]|"[^"]*")*)\))\s*)?""",
    re.VERBOSE,
).fullmatch
_setting: Final = re.compile(
    r"""\s*(?:pt\s*=\s*(?P<pt>[0-9]+)|(?:fmtp|fntp)\s*=\s*"(?P<fmtp>[^"]*)")\s*""", re.VERBOSE
).fullmatch
# An entry or a setting up to the next comma outside brackets and quotes.
_element: Final = re.compile(r'(?:[^,()"]|"[^"]*"|\((?:[^()"]|"[^"]*")*\))*')
_settings: Final = re.compile(r'(?:[^,"]|"[^"]*")*')
_bracketed: Final = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Codec:
    """One entry: ``name`` in lower case; None and "" stand for what was left out."""

    name: str
    clock_rate: int | None = None
    payload_type: int | None = None
    fmtp: str = ""

    @property
    def kind(self) -> str:
        """``audio`` or ``video``."""
        return _KNOWN[self.name][0]

    @property
    def static_type(self) -> int | None:
        """The payload type that RFC 3551 gives the codec, or None."""
        return _KNOWN[self.name][4]

    @property
    def preferred_types(self) -> tuple[int, ...]:
        """The configured payload type, then the static one; either may be missing."""
        return tuple(n for n in (self.payload_type, self.static_type) if n is not None)

    def covers(self, format: Format) -> bool:
        """The entry means this format; without a clock rate it means all of them."""
        return self.name == format.name and self.clock_rate in (None, format.clock_rate)

    def offered_fmtp(self) -> str:
        """Return the parameters for an offer: all of them, without the brackets."""
        return _bracketed.sub(r"\1", self.fmtp)

    def answered_fmtp(self, offered: str) -> str:
        """Return the parameters for an answer: the offer's own instead of what is in brackets."""
        return _bracketed.sub(lambda _: offered, self.fmtp).strip("; ")

    def format(self, payload_type: int, fmtp: str, clock_rate: int | None = None) -> Format:
        """Return the format that this entry is in a description."""
        _, encoding, clock, channels, _ = _KNOWN[self.name]
        return Format(
            payload_type, encoding, clock_rate or self.clock_rate or clock, channels, fmtp
        )


def parse_codec(text: str) -> Codec:
    """Read one entry of a list; CodecListError with a sentence for the operator otherwise."""
    found = _entry(text)
    if not found:
        raise CodecListError(f"{text.strip()!r} is not of the form name, name=pt or name=(...)")
    name = found["name"].lower()
    if name not in _KNOWN:
        raise CodecListError(f"unknown codec {found['name']!r}; known are {', '.join(_KNOWN)}")
    payload_type, fmtp = _settings_of(found["inner"]) if found["inner"] is not None else (None, "")
    return Codec(
        name,
        _clock_rate(name, found["clock"]),
        _payload_type(name, found["pt"] or payload_type),
        _checked_fmtp(name, fmtp),
    )


def _settings_of(inner: str) -> tuple[str | None, str]:
    payload_type: str | None = None
    fmtp: str | None = None
    for part in _parts(inner, _settings):
        found = _setting(part)
        if not found:
            raise CodecListError(f'{part.strip()!r} is neither pt=number nor fmtp="..."')
        if found["pt"] is not None and payload_type is None:
            payload_type = found["pt"]
        elif found["fmtp"] is not None and fmtp is None:
            fmtp = found["fmtp"]
        else:
            raise CodecListError(f"{part.strip()!r} is there twice")
    return payload_type, fmtp or ""


def _clock_rate(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    clock = int(text[:7])
    usual = _KNOWN[name][2]
    # The sampling rate of G.722 is a common slip for its clock rate.
    if name == "g722" and clock == 16000:
        return usual
    if clock != usual and (name in _FIXED_CLOCK or not 1000 <= clock <= 192_000):
        raise CodecListError(f"{name} has no clock rate {text}; it is {usual}")
    return clock


def _payload_type(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if int(text[:4]) > 127:
        raise CodecListError(f"payload type {text} of {name} is above 127")
    return int(text)


def _checked_fmtp(name: str, fmtp: str) -> str:
    left = _bracketed.sub("", fmtp)
    if "[" in left or "]" in left:
        raise CodecListError(f"the brackets in the fmtp of {name} do not pair")
    if any(not " " <= character <= "~" for character in fmtp):
        raise CodecListError(f"the fmtp of {name} has characters that SDP does not take there")
    return fmtp


def parse_codec_list(text: str) -> tuple[Codec, ...]:
    """
    Read a whole list; nothing and ``()`` are empty ones.

    Raises CodecListError that names the entry and what is wrong with it.
    """
    stripped = text.strip()
    if not stripped:
        return ()
    if not (stripped.startswith("(") and stripped.endswith(")")):
        raise CodecListError("the list of codecs is not within ( and )")
    inner = stripped[1:-1]
    return parse_codecs(_parts(inner, _element)) if inner.strip() else ()


def parse_codecs(entries: Iterable[str]) -> tuple[Codec, ...]:
    """Read entries that have been parted already; no codec may be there twice."""
    codecs: list[Codec] = []
    for position, entry in enumerate(entries, start=1):
        try:
            codec = parse_codec(entry)
        except CodecListError as problem:
            raise CodecListError(f"codec {position}: {problem}") from None
        if any(codec.name == c.name and codec.clock_rate == c.clock_rate for c in codecs):
            raise CodecListError(f"codec {position}: {codec.name} is there twice")
        if any(codec.payload_type == c.payload_type is not None for c in codecs):
            raise CodecListError(f"codec {position}: payload type {codec.payload_type} is taken")
        codecs.append(codec)
    return tuple(codecs)


def _parts(text: str, pattern: re.Pattern[str]) -> list[str]:
    parts: list[str] = []
    at = 0
    while True:
        found = pattern.match(text, at)
        end = found.end() if found else at
        parts.append(text[at:end])
        if end == len(text):
            return parts
        if text[end] != ",":
            raise CodecListError(f"a bracket or quote is not closed at {text[end : end + 20]!r}")
        at = end + 1
