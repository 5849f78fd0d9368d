"""
Between a ROAP message and SDP: candidates beside the description, and in it (RFC 8839).

Browsers' SDP comes with candidates in it, beside it, or both; ``a=`` before them or not. Nothing
else of the description is looked at here but its sections, their ``mid`` and their ``ice-ufrag``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from b2bua.gateway.errors import Malformed

MOST: Final = 100
"""How many candidates of a browser are looked at; those behind them are passed over."""
_MOST_SECTIONS: Final = 64
_LONGEST: Final = 512
_PREFIX: Final = "candidate:"
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_unfit: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_is_value: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+){5,}").fullmatch


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry of ``Candidates``. ``index`` counts m-lines from 0; it comes before ``mid``."""

    value: str
    """Of a=candidate, without the name; "" is the end of candidates."""
    index: int | None = None
    mid: str | None = None


def read_value(text: str) -> str:
    """The value of a candidate as browsers write it, or "" where there is none to use."""
    value = text.strip().removeprefix("a=").removeprefix(_PREFIX).strip()
    return value if len(value) <= _LONGEST and _is_value(value) else ""


class Sections:
    """The lines of a description: those of the session first, then those of each m-line."""

    def __init__(self, sdp: str) -> None:
        if _unfit(sdp):
            raise Malformed("control characters in sdp")
        self.session: list[str] = []
        self.media: list[list[str]] = []
        for line in _LINE_END.split(sdp):
            if line.startswith("m="):
                self.media.append([])
                if len(self.media) > _MOST_SECTIONS:
                    raise Malformed("too many m-lines in sdp")
            if line:
                (self.media[-1] if self.media else self.session).append(line)

    def render(self) -> str:
        """The description, with the line ends that SDP has."""
        lines = [*self.session, *(line for section in self.media for line in section)]
        return "".join(f"{line}\r\n" for line in lines)

    def value(self, section: list[str], name: str) -> str:
        """The value of an attribute of a section, or else the session's, or ""."""
        return _value(section, name) or _value(self.session, name)

    def mid(self, section: list[str]) -> str | None:
        """The ``mid`` of a section."""
        return _value(section, "mid") or None

    def places(self) -> Places:
        """What finds the section of a candidate."""
        return Places(self)


class Places:
    """
    Where candidates go, worked out once: a message may have many sections and many of them.

    Old clients call the first audio "audio" whatever its mid is.
    """

    def __init__(self, sections: Sections) -> None:
        self._media = sections.media
        self._by_mid: dict[str, list[str]] = {}
        kinds: dict[str, list[str]] = {}
        for section in sections.media:
            mid = sections.mid(section)
            if mid is not None:
                self._by_mid.setdefault(mid, section)
            kinds.setdefault(section[0][2:].partition(" ")[0], section)
        self._by_mid = {**kinds, **self._by_mid}

    def find(self, candidate: Candidate) -> list[str] | None:
        """The section that a candidate is for."""
        if candidate.index is not None:
            fits = 0 <= candidate.index < len(self._media)
            return self._media[candidate.index] if fits else None
        if candidate.mid is not None:
            return self._by_mid.get(candidate.mid)
        return self._media[0] if self._media else None


def _value(lines: list[str], name: str) -> str:
    prefix = f"a={name}:"
    return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), "")


def into_sdp(sdp: str, candidates: Iterable[Candidate]) -> bytes:
    """The description with those candidates in it that are not there yet."""
    sections = Sections(sdp)
    places = sections.places()
    present = {id(section): set(section) for section in sections.media}
    for candidate in islice(candidates, MOST):
        section = places.find(candidate) if candidate.value else None
        line = f"a={_PREFIX}{candidate.value}"
        if section is not None and line not in present[id(section)]:
            section.append(line)
            present[id(section)].add(line)
    try:
        return sections.render().encode()
    except UnicodeEncodeError:
        raise Malformed("lone surrogates in sdp") from None


def out_of_sdp(sdp: bytes) -> tuple[str, tuple[Candidate, ...]]:
    """The description as text, and the candidates in it, which stay there as well."""
    sections = Sections(sdp.decode(errors="replace"))
    found = []
    for index, section in enumerate(sections.media):
        prefix = f"a={_PREFIX}"
        for line in section:
            if line.startswith(prefix):
                found.append(Candidate(line[len(prefix) :], index, sections.mid(section)))
    return sections.render(), tuple(found)


def fragments(sdp: bytes) -> tuple[str, ...]:
    """Every ``ice-ufrag`` in a description, each once, in order."""
    lines = _LINE_END.split(sdp.decode(errors="replace"))
    prefix = "a=ice-ufrag:"
    return tuple(dict.fromkeys(line[len(prefix) :] for line in lines if line.startswith(prefix)))


def with_gathered(sdp: bytes, fragment: str, values: Iterable[str]) -> bytes:
    """The description with candidates added to the transport of this ``ice-ufrag``."""
    sections = Sections(sdp.decode(errors="replace"))
    lines = [f"a={_PREFIX}{value}" for value in values]
    first = True
    for section in sections.media:
        if sections.value(section, "ice-ufrag") != fragment:
            continue
        if first or any(line.startswith(f"a={_PREFIX}") for line in section):
            at = _end_of_candidates(section)
            section[at:at] = [line for line in lines if line not in section]
        first = False
    return sections.render().encode()


def _end_of_candidates(section: list[str]) -> int:
    """Where candidates are added: before the line that says that these are all."""
    ends = "a=end-of-candidates"
    return section.index(ends) if ends in section else len(section)


def origin_of(sdp: str) -> str:
    """Whose description it is: the session id of its ``o=``, the same in all of one connection."""
    for line in _LINE_END.split(sdp):
        if line.startswith("o="):
            return line.split(" ")[1] if " " in line else line
    return ""
