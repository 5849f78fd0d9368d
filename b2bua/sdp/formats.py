"""
Formats of an m= line: what a payload type means, and when two of them are one codec.

Encoding, clock rate and channels decide (RFC 3264, section 8.3.2); for H.264 the profile and the
packetization mode as well (RFC 6184, section 8.2.2). A level is no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from b2bua.sdp.description import MediaDescription
from b2bua.sdp.once import Memory, once

STATIC: Final[dict[int, tuple[str, int]]] = {
    0: ("PCMU", 8000),
    3: ("GSM", 8000),
    4: ("G723", 8000),
    8: ("PCMA", 8000),
    9: ("G722", 8000),
    13: ("CN", 8000),
    15: ("G728", 8000),
    18: ("G729", 8000),
    26: ("JPEG", 90000),
    31: ("H261", 90000),
    32: ("MPV", 90000),
    34: ("H263", 90000),
}
"""Payload types whose meaning needs no rtpmap (RFC 3551, section 6), as far as they are met."""

_COMPANIONS: Final = frozenset({"telephone-event", "cn", "red", "rtx", "ulpfec", "flexfec-03"})
_SHORT: Final = 200
_FEW: Final = 24
_DEFAULT_PROFILE: Final = "420010"

# RFC 6184, table 5: profile_idc, the bits of profile_iop that count, their value, the profile.
_PROFILES: Final = (
    (0x42, 0x4F, 0x40, "constrained-baseline"),
    (0x4D, 0x8F, 0x80, "constrained-baseline"),
    (0x58, 0xCF, 0xC0, "constrained-baseline"),
    (0x42, 0x4F, 0x00, "baseline"),
    (0x58, 0xCF, 0x80, "baseline"),
    (0x4D, 0xAF, 0x00, "main"),
    (0x58, 0xCF, 0x00, "extended"),
    (0x64, 0xFF, 0x00, "high"),
    (0x64, 0xFF, 0x0C, "constrained-high"),
)


@dataclass(frozen=True)
class Format:
    """One payload type of an m= line with all that is said of it."""

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""
    feedback: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @once
    def _hash(self) -> int:
        return hash((self.payload_type, self.encoding, self.fmtp))

    @once
    def name(self) -> str:
        """The encoding in lower case, for comparing."""
        return self.encoding.lower()

    @once
    def is_companion(self) -> bool:
        """The format rides beside a codec and carries no call alone: digits, noise, repairs."""
        return self.name in _COMPANIONS

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of ``a=fmtp``; names in lower case, "" for one without a value."""
        found: dict[str, str] = {}
        for part in self.fmtp.split(";"):
            name, _, value = part.partition("=")
            if name.strip():
                found.setdefault(name.strip().lower(), value.strip())
        return found

    @once
    def codec(self) -> tuple[str, ...]:
        """What a payload type must keep meaning for as long as a session lasts."""
        key = (self.name, str(self.clock_rate), str(self.channels))
        if self.name == "h264":
            return (*key, h264_profile(self), _packetization_mode(self))
        return (*key, self.parameters.get("apt", "")) if self.name == "rtx" else key

    def with_payload_type(self, payload_type: int) -> Format:
        """Return the format under another number."""
        return replace(self, payload_type=payload_type)

    def saying(
        self,
        *,
        fmtp: str,
        payload_type: int | None = None,
        feedback: tuple[str, ...] | None = None,
    ) -> Format:
        """Return the format with other parameters, and perhaps another number and feedback."""
        number = self.payload_type if payload_type is None else payload_type
        said = self.feedback if feedback is None else feedback
        if (number, fmtp, said) == (self.payload_type, self.fmtp, self.feedback):
            return self
        return replace(self, payload_type=number, fmtp=fmtp, feedback=said)


def h264_profile(h264: Format) -> str:
    """Return the name of the profile of ``profile-level-id``, or its hexadecimal digits."""
    text = h264.parameters.get("profile-level-id", _DEFAULT_PROFILE).lower()
    try:
        idc, iop = bytes.fromhex(text)[:2]
    except ValueError:
        return text
    for known, mask, value, name in _PROFILES:
        if idc == known and iop & mask == value:
            return name
    return text[:4]


def _packetization_mode(h264: Format) -> str:
    return h264.parameters.get("packetization-mode", "0")


def formats_of(medium: MediaDescription) -> tuple[Format, ...]:
    """
    Return the formats of an RTP medium in its order, each number once.

    A dynamic number without an rtpmap means nothing and is left out: some clients cut such lines
    away and leave the number. So is a number whose rtpmap has no clock rate.
    """
    readings = medium.readings
    if "formats" not in readings:
        readings["formats"] = _formats_of(medium)
    return cast(tuple[Format, ...], readings["formats"])


def _formats_of(medium: MediaDescription) -> tuple[Format, ...]:
    if not medium.line.is_rtp:
        return ()
    rtpmaps, fmtps, feedback = medium.rtpmaps, medium.fmtps, medium.feedback
    found: dict[int, Format] = {}
    for text in medium.line.formats:
        number = int(text)
        mapping = rtpmaps.get(number)
        if mapping:
            encoding, clock, channels = mapping.encoding, mapping.clock_rate, mapping.channels
        elif number in STATIC:
            (encoding, clock), channels = STATIC[number], 1
        else:
            continue
        if not clock:
            continue
        clock, channels = _as_registered(encoding.lower(), clock, channels)
        said = tuple(item.feedback for item in feedback if item.payload_type in (None, number))
        fmtp = fmtps.get(text, "")
        found.setdefault(number, Format(number, encoding, clock, channels, fmtp, said))
    return tuple(found.values())


def _as_registered(name: str, clock: int, channels: int) -> tuple[int, int]:
    # G.722 samples at 16 kHz and its clock is 8000 all the same; some phones write 16000.
    if name == "g722":
        return 8000, 1
    # Opus is always written with two channels (RFC 7587, section 7); some leave them out.
    return (clock, 2) if name == "opus" else (clock, channels)


def are_short(formats: Sequence[Format]) -> bool:
    """Tell whether formats may be remembered, whoever chose their words."""
    return len(formats) <= _FEW and all(
        len(each.encoding) + len(each.fmtp) + sum(map(len, each.feedback)) <= _SHORT
        for each in formats
    )


def find(wanted: Format, formats: Iterable[Format]) -> Format | None:
    """
    Return the format that is the same codec as ``wanted``, or None.

    H.264 baseline stands in for constrained baseline and the reverse where nothing is closer:
    what baseline has beyond it no encoder in use makes.
    """
    candidates = [item for item in formats if item.name == wanted.name]
    exact = next((item for item in candidates if item.codec == wanted.codec), None)
    if exact or wanted.name != "h264":
        return exact
    loose = _loose(wanted)
    return next((item for item in candidates if _loose(item) == loose), None)


def _loose(h264: Format) -> tuple[str, ...]:
    return tuple(word.removeprefix("constrained-") for word in h264.codec)


@dataclass(frozen=True, slots=True)
class AgreedFormat:
    """A codec that both sides named, and the number that each of them wants to get it under."""

    format: Format
    send_type: int
    receive_type: int


def agreed(local: Iterable[Format], remote: Iterable[Format]) -> tuple[AgreedFormat, ...]:
    """Return the codecs of both descriptions in the remote's order (RFC 3264, section 6.1)."""
    ours, theirs = tuple(local), tuple(remote)
    known = _agreements.get((ours, theirs))
    if known is None:
        pairs = ((each, find(each, ours)) for each in theirs)
        known = tuple(
            AgreedFormat(each, each.payload_type, mine.payload_type) for each, mine in pairs if mine
        )
        if are_short(ours) and are_short(theirs):
            _agreements.keep((ours, theirs), known)
    return known


_agreements: Final[
    Memory[tuple[tuple[Format, ...], tuple[Format, ...]], tuple[AgreedFormat, ...]]
] = Memory()
