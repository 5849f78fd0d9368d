"""
A session description whose every line is kept (RFC 8866).

``parse`` reads text once, refuses what no reader could agree on and what is too large, and checks
each line that this package gives a meaning to. Lines without a meaning here stay where they are,
so ``render`` gives back the bytes that came. Descriptions are values: a change makes a new one.

The order of lines is held to where it carries meaning: v=, o= and s= come first and what follows
an m= line belongs to it. Within a section lines may come in any order, as they do from peers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Self, TypeVar

from b2bua.sdp.attributes import (
    Candidate,
    Crypto,
    Extmap,
    Fingerprint,
    Fmtp,
    Group,
    IceCredentials,
    Rtcp,
    RtcpFeedback,
    RtpMap,
    Setup,
)
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.grammar import number
from b2bua.sdp.lines import Connection, MediaLine, Origin, Timing
from b2bua.sdp.once import alike, once, remembering

MAX_BYTES: Final = 65_536
MAX_LINES: Final = 2_000
MAX_MEDIA: Final = 8
MAX_CANDIDATES: Final = 100
MIN_PTIME: Final = 10
MAX_PTIME: Final = 60

_ALIKE: Final = 512
_LONGEST_ALIKE: Final = 2048
"""Media whose readings are shared, and how long they may be: together they bound the memory."""

_SESSION_ORDER: Final = "vosiuepcbtrzka"
_MEDIA_ORDER: Final = "micbka"
_ONCE: Final = "vosiuczk"
_are_lines: Final = re.compile(r"(?:[a-z]=[^\r\n\0]*\n)*+").fullmatch
_DIRECTIONS: Final = {f"a={way}": way for way in Direction}
_has_broken_end: Final = re.compile(r"\r(?!\n)").search

ValueT = TypeVar("ValueT")

_connection: Final = remembering(Connection.parse)
_timing: Final = remembering(Timing.parse)
_rtpmap: Final = remembering(RtpMap.parse)
_fmtp: Final = remembering(Fmtp.parse)


@dataclass(frozen=True)
class Section:
    """Lines in order, each ``letter=value`` without its line end."""

    lines: tuple[str, ...]
    readings: dict[str, object] = field(init=False, repr=False, compare=False)
    """See ``alike``."""

    def __post_init__(self) -> None:
        _check_lines(self.lines)
        object.__setattr__(self, "readings", {})

    @alike
    def _values(self) -> Mapping[str, str]:
        """The value of the first line of each kind, but for that of ``m=``."""
        return {line[0]: line[2:] for line in reversed(self.lines) if line[0] != "m"}

    @alike
    def _attributes(self) -> Mapping[str, list[str]]:
        """The values of each attribute, in order."""
        found: dict[str, list[str]] = {}
        for line in self.lines:
            if line[0] == "a":
                name, _, value = line[2:].partition(":")
                found.setdefault(name, []).append(value)
        return found

    def value(self, kind: str) -> str | None:
        """Return the value of the first line of a kind, or None."""
        return self._values.get(kind)

    def attributes(self, name: str) -> list[str]:
        """Return the values of an attribute in order; that of a flag is ""."""
        return self._attributes.get(name, [])[:]

    def attribute(self, name: str) -> str | None:
        """Return the first value of an attribute, or None."""
        values = self._attributes.get(name)
        return values[0] if values else None

    def has(self, name: str) -> bool:
        """Tell whether an attribute is there, with or without a value."""
        return name in self._attributes

    def with_value(self, kind: str, value: str | None) -> Self:
        """Return the section with one line of a kind in its place, or with none."""
        kept = [line for line in self.lines if line[0] != kind]
        if value is None:
            return replace(self, lines=tuple(kept))
        order = self._order()
        rank = order.index(kind)
        place = next((at for at, line in enumerate(kept) if order.find(line[0]) > rank), len(kept))
        return replace(self, lines=(*kept[:place], f"{kind}={value}", *kept[place:]))

    def with_attributes(self, name: str, values: Iterable[str]) -> Self:
        """Return the section with these values of an attribute where it stood, else at the end."""
        found = [at for at, line in enumerate(self.lines) if _is_attribute(line, name)]
        place = found[0] if found else len(self.lines)
        added = [f"a={name}:{value}" if value else f"a={name}" for value in values]
        before = self.lines[:place]
        after = [line for line in self.lines[place:] if not _is_attribute(line, name)]
        return replace(self, lines=(*before, *added, *after))

    def without(self, *names: str) -> Self:
        """Return the section without some attributes."""
        kept = (line for line in self.lines if not any(_is_attribute(line, n) for n in names))
        return replace(self, lines=tuple(kept))

    def _order(self) -> str:
        return _SESSION_ORDER

    @alike
    def direction(self) -> Direction | None:
        """The direction that stands in this section, or None."""
        found = {line for line in self.lines if line in _DIRECTIONS}
        if len(found) > 1:
            raise SdpError("duplicate", "direction")
        return _DIRECTIONS[found.pop()] if found else None

    @alike
    def connection(self) -> Connection | None:
        """The ``c=`` line of this section."""
        return _optional(_connection, self.value("c"))

    @alike
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Every ``a=fingerprint`` of this section."""
        return tuple(map(Fingerprint.parse, self.attributes("fingerprint")))

    @alike
    def setup(self) -> Setup | None:
        """``a=setup`` of this section."""
        return _optional(Setup.parse, self.attribute("setup"))

    @alike
    def extmaps(self) -> tuple[Extmap, ...]:
        """Every ``a=extmap`` of this section."""
        return tuple(map(Extmap.parse, self.attributes("extmap")))

    @alike
    def ice(self) -> IceCredentials | None:
        """The ICE credentials of this section; SdpError where one stands without the other."""
        ufrag, pwd = self.attribute("ice-ufrag"), self.attribute("ice-pwd")
        if ufrag is None and pwd is None:
            return None
        return IceCredentials.parse(ufrag or "", pwd or "")


def _check_lines(lines: tuple[str, ...]) -> None:
    text = "".join([f"{line}\n" for line in lines])
    if not _are_lines(text) or text.count("\n") != len(lines):
        raise SdpError("line")


@lru_cache(_ALIKE)
def _readings(lines: tuple[str, ...]) -> dict[str, object]:
    """
    What was read of a medium that says this after its ``m=`` line.

    Phones say the same in each call, but for the port.
    """
    _check_lines(lines)
    return {}


def _is_attribute(line: str, name: str) -> bool:
    return line.startswith(f"a={name}") and line[2 + len(name) :][:1] in ("", ":")


def _optional(parse: Callable[[str], ValueT], value: str | None) -> ValueT | None:
    return None if value is None else parse(value)


@dataclass(frozen=True)
class MediaDescription(Section):
    """An ``m=`` line and what belongs to it."""

    line: MediaLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_lines(self.lines[:1])
        if not self.lines or not self.lines[0].startswith("m="):
            raise SdpError("order", "m=")
        rest = self.lines[1:]
        is_short = sum(map(len, rest)) <= _LONGEST_ALIKE
        readings = _readings(rest) if is_short else _readings.__wrapped__(rest)
        object.__setattr__(self, "readings", readings)
        object.__setattr__(self, "line", MediaLine.parse(self.lines[0][2:]))

    def _order(self) -> str:
        return _MEDIA_ORDER

    @alike
    def is_readable(self) -> bool:
        """True; SdpError where a line has no place in a medium, or a value not its form."""
        _check_letters(self, _MEDIA_ORDER)
        _check_shared(self)
        _read_all(self.rtpmaps, self.fmtps, self.feedback, self.rtcp, self.cryptos)
        _read_all(self.ptime, self.maxptime)
        return True

    def with_line(self, line: MediaLine) -> Self:
        """Return the medium with another ``m=`` line."""
        return replace(self, lines=(f"m={line}", *self.lines[1:]))

    @property
    def kind(self) -> str:
        """``audio``, ``video`` or whatever else the ``m=`` line begins with."""
        return self.line.kind

    @property
    def port(self) -> int:
        """The port of the ``m=`` line."""
        return self.line.port

    @once
    def rejected(self) -> bool:
        """The slot carries nothing: port 0, unless the port is that of its bundle (RFC 9143)."""
        return self.line.port == 0 and not self.has("bundle-only")

    @alike
    def mid(self) -> str | None:
        """``a=mid``."""
        return self.attribute("mid")

    @alike
    def rtpmaps(self) -> Mapping[int, RtpMap]:
        """``a=rtpmap`` by payload type; SdpError where one type means two things."""
        found: dict[int, RtpMap] = {}
        for value in self.attributes("rtpmap"):
            mapping = _rtpmap(value)
            if found.setdefault(mapping.payload_type, mapping) != mapping:
                raise SdpError("duplicate", "rtpmap")
        return found

    @alike
    def fmtps(self) -> Mapping[str, str]:
        """Parameters by format; of two lines for one format the first counts."""
        found: dict[str, str] = {}
        for value in self.attributes("fmtp"):
            fmtp = _fmtp(value)
            found.setdefault(fmtp.format, fmtp.parameters)
        return found

    @alike
    def feedback(self) -> tuple[RtcpFeedback, ...]:
        """Every ``a=rtcp-fb``."""
        return tuple(map(RtcpFeedback.parse, self.attributes("rtcp-fb")))

    @alike
    def rtcp(self) -> Rtcp | None:
        """``a=rtcp``."""
        return _optional(Rtcp.parse, self.attribute("rtcp"))

    @alike
    def candidates(self) -> tuple[Candidate, ...]:
        """Every ``a=candidate``."""
        return tuple(map(Candidate.parse, self.attributes("candidate")))

    @alike
    def cryptos(self) -> tuple[Crypto, ...]:
        """Every ``a=crypto``; SdpError where a tag is there twice."""
        found = tuple(map(Crypto.parse, self.attributes("crypto")))
        if len({crypto.tag for crypto in found}) < len(found):
            raise SdpError("duplicate", "crypto")
        return found

    @alike
    def ptime(self) -> int | None:
        """The milliseconds of a packet that the writer would like to get."""
        value = self.attribute("ptime")
        return None if value is None else number(value.strip(" "), MIN_PTIME, MAX_PTIME, "ptime")

    @alike
    def maxptime(self) -> int | None:
        """The most milliseconds of a packet that the writer takes."""
        value = self.attribute("maxptime")
        return None if value is None else number(value.strip(" "), MIN_PTIME, 65_535, "maxptime")


@dataclass(frozen=True)
class SessionDescription(Section):
    """The lines of the session, then the media in the order of their slots."""

    media: tuple[MediaDescription, ...] = ()

    @once
    def origin(self) -> Origin:
        """The ``o=`` line."""
        value = self.value("o")
        if value is None:
            raise SdpError("missing", "o=")
        return Origin.parse(value)

    @once
    def timing(self) -> Timing | None:
        """The first ``t=`` line."""
        return _optional(_timing, self.value("t"))

    @once
    def groups(self) -> tuple[Group, ...]:
        """Every ``a=group``."""
        return tuple(map(Group.parse, self.attributes("group")))

    def with_origin(self, origin: Origin) -> SessionDescription:
        """Return the description with another ``o=`` line."""
        return self.with_value("o", str(origin))

    def with_media(self, media: Iterable[MediaDescription]) -> SessionDescription:
        """Return the description with other media."""
        return replace(self, media=tuple(media))

    def direction_of(self, medium: MediaDescription) -> Direction:
        """Return the direction of a medium: its own, else the session's, else sendrecv."""
        return medium.direction or self.direction or Direction.SENDRECV

    def connection_of(self, medium: MediaDescription) -> Connection | None:
        """Return the ``c=`` line that holds for a medium; a slot with port 0 may have none."""
        return medium.connection or self.connection

    def fingerprints_of(self, medium: MediaDescription) -> tuple[Fingerprint, ...]:
        """Return the fingerprints that hold for a medium."""
        return medium.fingerprints or self.fingerprints

    def setup_of(self, medium: MediaDescription) -> Setup | None:
        """Return the DTLS role that holds for a medium."""
        return medium.setup or self.setup

    def ice_of(self, medium: MediaDescription) -> IceCredentials | None:
        """Return the ICE credentials that hold for a medium."""
        return medium.ice or self.ice

    def render(self) -> bytes:
        """Return the description as it goes on the wire."""
        lines = [*self.lines, *(line for medium in self.media for line in medium.lines)]
        return ("\r\n".join(lines) + "\r\n").encode()

    def __str__(self) -> str:
        return self.render().decode()


def parse(data: bytes | str) -> SessionDescription:
    """
    Read a description; SdpError, and nothing else, for what is none or cannot be served.

    Lines end in CRLF, or all of them in LF. The last one may lack its end, and empty lines after
    it are dropped.
    """
    sections = _sections(_lines(_text(data)))
    if len(sections) > MAX_MEDIA + 1:
        raise SdpError("count", "media")
    _check_session_lines(sections[0])
    media = tuple(MediaDescription(tuple(lines)) for lines in sections[1:])
    description = SessionDescription(tuple(sections[0]), media)
    _check_session(description)
    for medium in media:
        _check_medium(description, medium)
    _check_whole(description)
    return description


def _text(data: bytes | str) -> str:
    # Every character is at least a byte: what is far too long is not even encoded.
    if len(data) > MAX_BYTES:
        raise SdpError("size")
    try:
        octets = data.encode() if isinstance(data, str) else data
        text = octets.decode()
    except UnicodeError:
        raise SdpError("encoding") from None
    if len(octets) > MAX_BYTES:
        raise SdpError("size")
    if "\0" in text:
        raise SdpError("encoding", "NUL")
    return text


def _lines(text: str) -> list[str]:
    if _has_broken_end(text):
        raise SdpError("line-end")
    whole, half = text.count("\r\n"), text.count("\n")
    if whole and whole != half:
        raise SdpError("line-end")
    end = "\r\n" if whole else "\n"
    lines = text.split(end)
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise SdpError("line-end", "empty line")
    if len(lines) > MAX_LINES:
        raise SdpError("count", "lines")
    return lines


def _sections(lines: list[str]) -> list[list[str]]:
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _check_session_lines(lines: list[str]) -> None:
    if [line[:2] for line in lines[:3]] != ["v=", "o=", "s="]:
        raise SdpError("order" if lines else "missing", "v=, o=, s=")
    if lines[0] != "v=0":
        raise SdpError("value", "v=")


def _check_letters(section: Section, allowed: str) -> None:
    letters = [line[0] for line in section.lines]
    for letter in set(letters):
        if letter not in allowed:
            raise SdpError("order", f"{letter}=")
        if letter in _ONCE and letters.count(letter) > 1:
            raise SdpError("duplicate", f"{letter}=")


def _check_session(description: SessionDescription) -> None:
    _check_letters(description, _SESSION_ORDER)
    if description.timing is None:
        raise SdpError("missing", "t=")
    for value in (line[2:] for line in description.lines if line[0] == "t"):
        _timing(value)
    _read_all(description.origin, description.groups)
    _check_shared(description)


def _check_shared(section: Section) -> None:
    _read_all(section.direction, section.connection, section.fingerprints)
    _read_all(section.setup, section.extmaps, section.ice)


def _check_medium(description: SessionDescription, medium: MediaDescription) -> None:
    _read_all(medium.is_readable)
    if medium.port and description.connection_of(medium) is None:
        raise SdpError("missing", "c=")


def _read_all(*_: object) -> None:
    """Take values whose reading is the check."""


def _check_whole(description: SessionDescription) -> None:
    count = sum(len(medium.attributes("candidate")) for medium in description.media)
    if count > MAX_CANDIDATES:
        raise SdpError("count", "candidates")
    _read_all([medium.candidates for medium in description.media])
    mids = [medium.mid for medium in description.media if medium.mid is not None]
    if len(set(mids)) < len(mids):
        raise SdpError("duplicate", "mid")
