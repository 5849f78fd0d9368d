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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Self

from b2bua.sdp.attributes import (
    Candidate,
    Crypto,
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
from b2bua.sdp.once import Shape, alike, once, remembering
from b2bua.sdp.section import (
    LONGEST_ALIKE,
    SESSION_ORDER,
    Section,
    check_lines,
    optional,
    read_connection,
    shared_readings,
)

MAX_BYTES: Final = 65_536
MAX_LINES: Final = 2_000
MAX_MEDIA: Final = 8
MAX_CANDIDATES: Final = 100
MIN_PTIME: Final = 10
MAX_PTIME: Final = 60

_MEDIA_ORDER: Final = "micbka"
_ONCE: Final = "vosiuczk"
_has_broken_end: Final = re.compile(r"\r(?!\n)").search

_KNOWN: Final = 256
"""Descriptions that others are likely to be like."""
_SOME_HOST: Final = "192.0.2.1"
_SOME_ORIGIN: Final = f"- 0 0 IN IP4 {_SOME_HOST}"
_SOME_PORT: Final = "9"
_SECRETS: Final = ("a=crypto:", "a=ice-pwd:")
# Whatever these let stand in the o= line, for a port and for the address of the session is valid.
_usual_head: Final = re.compile(
    r"v=0\r\no=([!-~]+ [0-9]{1,19} [0-9]{1,19} IN IP[46] [A-Za-z0-9.:_\-]{1,255})\r\n"
    r"(s=[^\r\n]*\r\n)(?:c=IN IP4 ([1-9][0-9.]{6,14})\r\n)?(.*)",
    re.DOTALL,
).fullmatch
_usual_medium: Final = re.compile(r"([^ \r\n]+ )(0|[1-9][0-9]{0,4})( .*)", re.DOTALL).fullmatch

_timing: Final = remembering(Timing.parse)
_rtpmap: Final = remembering(RtpMap.parse)
_fmtp: Final = remembering(Fmtp.parse)


@dataclass(frozen=True)
class MediaDescription(Section):
    """An ``m=`` line and what belongs to it."""

    line: MediaLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_lines(self.lines[:1])
        if not self.lines or not self.lines[0].startswith("m="):
            raise SdpError("order", "m=")
        line = MediaLine.parse(self.lines[0][2:])
        heading, rest = (line.kind, line.protocol, line.formats), self.lines[1:]
        is_alike = sum(map(len, self.lines)) <= LONGEST_ALIKE and not _has_secret(self.lines)
        share = shared_readings if is_alike else shared_readings.__wrapped__
        object.__setattr__(self, "readings", share(heading, rest))
        object.__setattr__(self, "line", line)

    def at_port(self, port: int) -> MediaDescription:
        """Return a medium that is in use at another port, unchecked: all else was checked here."""
        before = self.line
        line = MediaLine(before.kind, port, before.protocol, before.formats, before.ports)
        said = self.lines[0].replace(f" {before.port}", f" {port}", 1)
        made = object.__new__(MediaDescription)
        made.__dict__.update(
            lines=(said, *self.lines[1:]), readings=self.readings, line=line, rejected=False
        )
        return made

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
        return optional(Rtcp.parse, self.attribute("rtcp"))

    @alike
    def candidates(self) -> tuple[Candidate, ...]:
        """Every ``a=candidate`` that can be read; ICE does without the others (RFC 8839, 5.1)."""
        return tuple(filter(None, map(Candidate.read, self.attributes("candidate"))))

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
    shape: Shape = field(init=False, repr=False, compare=False)
    """The same object in descriptions that differ in ``o=``, ports and address at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shape", Shape())

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
        return optional(_timing, self.value("t"))

    @once
    def groups(self) -> tuple[Group, ...]:
        """Every ``a=group``."""
        return tuple(map(Group.parse, self.attributes("group")))

    def with_origin(self, origin: Origin) -> SessionDescription:
        """Return the description with another ``o=`` line."""
        if not any(line.startswith("o=") for line in self.lines[1:2]):
            return self.with_value("o", str(origin))
        lines = (self.lines[0], f"o={origin}", *self.lines[2:])
        made = self._alike(lines, self.media)
        made.__dict__["origin"] = origin
        return made

    def is_alike(self, other: SessionDescription) -> bool:
        """Whether both say the same, but for the ``o=`` line in second place."""
        if self.media != other.media:
            return False
        return self.lines[:1] + self.lines[2:] == other.lines[:1] + other.lines[2:]

    def at_ports(self, ports: Iterable[int]) -> SessionDescription:
        """Return the description with the ports of its media in use replaced, in order."""
        left = iter(ports)
        media = [medium.at_port(next(left)) if medium.port else medium for medium in self.media]
        return self._alike(self.lines, tuple(media))

    def like(self, origin: str, host: str | None, ports: Iterable[int]) -> SessionDescription:
        """Return one with another ``o=`` line and other ports, and another address after it."""
        lines = [*self.lines]
        lines[1] = f"o={origin}"
        if host:
            lines[3] = f"c=IN IP4 {host}"
        made = self._alike(tuple(lines), self.at_ports(ports).media)
        if host:
            made.__dict__["connection"] = read_connection(lines[3][2:])
        return made

    def _alike(
        self, lines: tuple[str, ...], media: tuple[MediaDescription, ...]
    ) -> SessionDescription:
        """Return one that needs no check: it differs in what has been checked before."""
        made = object.__new__(SessionDescription)
        made.__dict__.update(lines=lines, media=media, readings=self.readings, shape=self.shape)
        if "connection" in self.__dict__:
            made.__dict__["connection"] = self.__dict__["connection"]
        return made

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
    text = _text(data)
    return _read_like(text) or _read(text)


def _read_like(text: str) -> SessionDescription | None:
    """
    Read what says the same as another one did, but for ``o=``, ports and the session's address.

    None where that is not easy to see; what is wrong is always left to ``_read``.
    """
    if len(text) > LONGEST_ALIKE or any(secret in text for secret in _SECRETS):
        return None
    session, *media = text.split("\r\nm=")
    head = _usual_head(session)
    found = [match for medium in media if (match := _usual_medium(medium))]
    if head is None or len(found) < len(media):
        return None
    origin, name, host, after = head.groups()
    ports: list[int] = []
    address = f"c=IN IP4 {_SOME_HOST}\r\n" if host else ""
    key = f"v=0\r\no={_SOME_ORIGIN}\r\n{name}{address}{after}"
    for match in found:
        kind, port, rest = match.groups()
        if port != "0":
            ports.append(int(port))
            port = _SOME_PORT
        key += f"\r\nm={kind}{port}{rest}"
    return _known(key).like(origin, host, ports) if max(ports, default=0) < 65_536 else None


def _read(text: str) -> SessionDescription:
    sections = _sections(_lines(text))
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


@lru_cache(_KNOWN)
def _known(text: str) -> SessionDescription:
    description = _read(text)
    description.shape.is_known = True
    return description


def _has_secret(lines: tuple[str, ...]) -> bool:
    """Whether there are keys, or ICE's: no two calls have the same, and none is to be kept."""
    return any(line.startswith(_SECRETS) for line in lines)


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
    _check_letters(description, SESSION_ORDER)
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
    mids = [medium.mid for medium in description.media if medium.mid is not None]
    if len(set(mids)) < len(mids):
        raise SdpError("duplicate", "mid")
