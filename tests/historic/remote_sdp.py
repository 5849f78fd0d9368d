"""
Reading the gateway's SDP as strictly as a browser does (RFC 9429).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.historic.transports import Remote

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
STATIC = {0: "pcmu/8000", 3: "gsm/8000", 8: "pcma/8000", 9: "g722/8000", 13: "cn/8000"}


class Refused(Exception):
    """A browser would not set this description."""


@dataclass
class Section:
    """An m-line and what follows it."""

    kind: str
    port: int
    profile: str
    types: list[int]
    lines: list[str] = field(default_factory=list)
    session: list[str] = field(default_factory=list, repr=False)

    def all(self, name: str) -> list[str]:
        """Values of an attribute of this section."""
        return _values(self.lines, name)

    def one(self, name: str) -> str | None:
        """The value of an attribute, of the section or else of the session."""
        found = self.all(name) or _values(self.session, name)
        return found[0] if found else None

    def has(self, name: str) -> bool:
        """Whether a flag is there."""
        return f"a={name}" in self.lines

    @property
    def mid(self) -> str | None:
        """Its name."""
        return self.one("mid")

    @property
    def direction(self) -> str:
        """As it is said, sendrecv by default."""
        for lines in (self.lines, self.session):
            found = [d for d in DIRECTIONS if f"a={d}" in lines]
            if len(found) > 1:
                raise Refused(f"{found} of one m-line")
            if found:
                return found[0]
        return "sendrecv"

    @property
    def is_rejected(self) -> bool:
        """Port 0, and not because of the bundle."""
        return self.port == 0 and not self.has("bundle-only")

    def codec(self, number: int) -> str:
        """``name/clock`` in lower case; "" where nothing says it."""
        for value in self.all("rtpmap"):
            found, _, name = value.partition(" ")
            if int(found) == number:
                return "/".join(name.lower().split("/")[:2])
        return STATIC.get(number, "")

    def extension(self, uri: str) -> int | None:
        """The number of a header extension."""
        for value in self.all("extmap"):
            number, _, rest = value.partition(" ")
            if rest.split(" ")[0] == uri:
                return int(number.split("/")[0])
        return None


def _values(lines: list[str], name: str) -> list[str]:
    start = f"a={name}:"
    return [line[len(start) :] for line in lines if line.startswith(start)]


@dataclass
class Description:
    """One SDP."""

    session: list[str]
    sections: list[Section]
    text: str

    @property
    def bundled(self) -> list[str]:
        """The mids of the group."""
        for value in _values(self.session, "group"):
            if value.startswith("BUNDLE"):
                return value.split(" ")[1:]
        return []

    def origin(self) -> tuple[str, int]:
        """Session id and version."""
        line = next(line for line in self.session if line.startswith("o="))
        parts = line.split(" ")
        return parts[1], int(parts[2])


def read_sdp(text: str) -> Description:
    """Take it apart; raises Refused."""
    if not text.endswith("\r\n"):
        raise Refused("the last line of SDP has no end")
    session: list[str] = []
    sections: list[Section] = []
    for line in text.split("\r\n")[:-1]:
        if "\n" in line or len(line) < 2 or line[1] != "=":
            raise Refused(f"no line of SDP: {line!r}")
        if line.startswith("m="):
            kind, port, profile, *types = line[2:].split(" ")
            numbers = [int(number) for number in types]
            sections.append(Section(kind, int(port), profile, numbers, session=session))
        else:
            (sections[-1].lines if sections else session).append(line)
    for wanted in ("v=0", "o=", "s=", "t="):
        if not any(line.startswith(wanted) for line in session):
            raise Refused(f"no {wanted} line")
    return Description(session, sections, text)


def check(description: Description, *, is_answer: bool, needs_dtls: bool = True) -> None:
    """Refuse what Chromium refuses in either kind; raises Refused."""
    mids = [section.mid for section in description.sections]
    named = [mid for mid in mids if mid is not None]
    if len(set(named)) != len(named):
        raise Refused(f"mids {named}")
    for mid in description.bundled:
        if mid not in named:
            raise Refused(f"BUNDLE has {mid}, which is no mid of {named}")
    for section in description.sections:
        if not section.is_rejected:
            _check(section, is_answer=is_answer, needs_dtls=needs_dtls)


def _check(section: Section, *, is_answer: bool, needs_dtls: bool) -> None:
    for name in ("ice-ufrag", "ice-pwd"):
        if section.one(name) is None:
            raise Refused(f"no {name} in {section.kind}")
    if len(section.one("ice-ufrag") or "") < 4 or len(section.one("ice-pwd") or "") < 22:
        raise Refused("ICE credentials are too short")
    if not section.has("rtcp-mux"):
        raise Refused(f"no rtcp-mux in {section.kind}")
    if needs_dtls:
        if section.one("fingerprint") is None:
            raise Refused(f"no fingerprint in {section.kind}")
        setup = section.one("setup")
        wanted = ("active", "passive") if is_answer else ("actpass", "active", "passive")
        if setup not in wanted:
            raise Refused(f"setup:{setup}")
    if len(set(section.types)) != len(section.types):
        raise Refused(f"payload types {section.types}")
    _check_formats(section)


def _check_formats(section: Section) -> None:
    for number in section.types:
        if not 0 <= number <= 127 or 64 <= number <= 95:
            raise Refused(f"payload type {number} is for RTCP where both share a port")
    for value in [*section.all("rtpmap"), *section.all("fmtp")]:
        if int(value.split(" ")[0]) not in section.types:
            raise Refused(f"{value}: no such payload type in m={section.kind}")


def check_answer(offer: Description, answer: Description) -> None:
    """Refuse an answer that does not fit the offer; raises Refused."""
    if len(offer.sections) != len(answer.sections):
        raise Refused(f"{len(answer.sections)} m-lines for {len(offer.sections)}")
    for ours, theirs in zip(offer.sections, answer.sections, strict=True):
        if ours.kind != theirs.kind:
            raise Refused(f"m={theirs.kind} for m={ours.kind}")
        if theirs.is_rejected:
            continue
        if theirs.mid is not None and theirs.mid != ours.mid:
            raise Refused(f"mid {theirs.mid} for {ours.mid}")
        strange = set(theirs.types) - set(ours.types)
        if strange:
            raise Refused(f"payload types {strange} were not offered")
        _check_direction(ours, theirs)
        for value in theirs.all("extmap"):
            number, _, uri = value.partition(" ")
            if ours.extension(uri.split(" ")[0]) != int(number.split("/")[0]):
                raise Refused(f"extmap:{value} was not offered")
    if not set(answer.bundled) <= set(offer.bundled):
        raise Refused(f"BUNDLE {answer.bundled} of {offer.bundled}")


def _check_direction(ours: Section, theirs: Section) -> None:
    receives = ours.direction in ("sendrecv", "recvonly")
    sends = ours.direction in ("sendrecv", "sendonly")
    if theirs.direction in ("sendrecv", "sendonly") and not receives:
        raise Refused(f"a={theirs.direction} answers a={ours.direction}")
    if theirs.direction in ("sendrecv", "recvonly") and not sends:
        raise Refused(f"a={theirs.direction} answers a={ours.direction}")


def remote_of(section: Section, extra: list[str], crypto_tag: str = "1") -> Remote:
    """What its transport says, with the candidates that came beside it."""
    prints = []
    for value in section.all("fingerprint") or _values(section.session, "fingerprint"):
        kind, _, digest = value.partition(" ")
        prints.append((kind, digest))
    inside = [f"candidate:{value}" for value in section.all("candidate")]
    crypto = next((v for v in section.all("crypto") if v.split(" ")[0] == crypto_tag), "")
    return Remote(
        ufrag=section.one("ice-ufrag") or "",
        password=section.one("ice-pwd") or "",
        candidates=[*inside, *extra],
        fingerprints=prints,
        setup=section.one("setup") or "",
        crypto=crypto,
        is_lite="a=ice-lite" in section.session,
    )
