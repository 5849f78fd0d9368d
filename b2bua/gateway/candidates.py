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
"""How many candidates of a browser are taken; those behind them are passed over."""
_MOST_SECTIONS: Final = 64
_LONGEST: Final = 512
_LONGEST_ORIGIN: Final = 64
_PREFIX: Final = "candidate:"
_MID: Final = "a=mid:"
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
    """
    The lines of a description: those of the session first, then those of each m-line.

    Reading takes one pass: whoever sends thousands of lines may send thousands of candidates too.
    """

    def __init__(self, sdp: str) -> None:
        if _unfit(sdp):
            raise Malformed("control characters in sdp")
        self.session: list[str] = []
        self.media: list[list[str]] = []
        self.mids: list[str | None] = []
        """The ``mid`` of each section."""
        self._by_mid: dict[str, list[str]] = {}
        self._by_kind: dict[str, list[str]] = {}
        for line in _LINE_END.split(sdp):
            if line.startswith("m="):
                self._begin(line)
            elif line:
                self._add(line)

    def _begin(self, line: str) -> None:
        if len(self.media) >= _MOST_SECTIONS:
            raise Malformed("too many m-lines in sdp")
        section = [line]
        self.media.append(section)
        self.mids.append(None)
        self._by_kind.setdefault(line[2:].partition(" ")[0], section)

    def _add(self, line: str) -> None:
        (self.media[-1] if self.media else self.session).append(line)
        if self.media and self.mids[-1] is None and line.startswith(_MID):
            mid = line[len(_MID) :].strip()
            self.mids[-1] = mid or None
            self._by_mid.setdefault(mid, self.media[-1])

    def render(self) -> str:
        """The description, with the line ends that SDP has."""
        lines = [*self.session, *(line for section in self.media for line in section)]
        return "".join(f"{line}\r\n" for line in lines)

    def value(self, section: list[str], name: str) -> str:
        """The value of an attribute of a section, or else the session's, or ""."""
        prefix = f"a={name}:"
        for line in (*section, *self.session):
            if line.startswith(prefix):
                return line[len(prefix) :].strip()
        return ""

    def find(self, candidate: Candidate) -> list[str] | None:
        """
        The section that a candidate is for.

        Old clients call the first audio "audio" whatever its mid is.
        """
        if candidate.index is not None:
            fits = 0 <= candidate.index < len(self.media)
            return self.media[candidate.index] if fits else None
        if candidate.mid is None:
            return self.media[0] if self.media else None
        return self._by_mid.get(candidate.mid) or self._by_kind.get(candidate.mid)


def into_sdp(sdp: str, candidates: Iterable[Candidate]) -> bytes:
    """The description with those candidates in it that are not there yet."""
    sections = Sections(sdp)
    there = {id(section): set(section) for section in sections.media}
    usable = (each for each in candidates if each.value)
    for candidate in islice(usable, MOST):
        section = sections.find(candidate)
        line = f"a={_PREFIX}{candidate.value}"
        if section is not None and line not in there[id(section)]:
            section.append(line)
            there[id(section)].add(line)
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
                found.append(Candidate(line[len(prefix) :], index, sections.mids[index]))
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
    """
    Whose description it is: the session id of its ``o=``, the same in all of one connection.

    It is kept beside the call, so no more than any browser makes it long: they have 64 bits.
    """
    for line in _LINE_END.split(sdp):
        if line.startswith("o="):
            return (line.split(" ")[1] if " " in line else line)[:_LONGEST_ORIGIN]
    return ""
