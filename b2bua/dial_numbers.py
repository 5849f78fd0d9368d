"""
Which IDs of browsers are DNs that we register: the grammar of ``sip-register``.

A list, parted by commas, of DNs, ranges (``2020-2050``) and patterns, in which ``*`` stands for
any run of digits, an empty one too, and ``?`` for one digit. DNs are text and never numbers:
``003000`` is not ``3000``, and a DN with a leading ``+`` is another than the one without. The
list is a filter. It says who may be registered; nobody is registered for standing in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

LONGEST_DN = 64
ACCEPTED = (
    "DNs (1020), ranges of equally long DNs (2020-2050) and patterns (556*, 123??78), "
    "parted by commas; digits with an optional leading +"
)

_DN = re.compile(r"\+?[0-9]+", re.ASCII)
_PATTERN = re.compile(r"\+?[0-9*?]+", re.ASCII)
_RANGE = re.compile(r"(\+?[0-9]+)-(\+?[0-9]+)", re.ASCII)
_FOREIGN = re.compile(r"[^0-9*?+-]", re.ASCII)


class DialNumberError(ValueError):
    """
    A list that cannot be read.

    ``entry`` counts from 1; ``column`` is where in the whole text the trouble begins, from 1 too.
    """

    def __init__(self, entry: int, column: int, problem: str) -> None:
        super().__init__(f"entry {entry} (column {column}): {problem}; accepted: {ACCEPTED}")
        self.entry = entry
        self.column = column
        self.problem = problem


class DialNumbers:
    """
    A parsed list. ``matches`` looks single DNs up in a set, ranges by bisection, and tries the
    patterns one after the other, each in time bounded by the product of the two lengths.
    """

    __slots__ = ("_patterns", "_ranges", "_single")

    def __init__(
        self,
        single: Iterable[str] = (),
        ranges: Iterable[tuple[str, str]] = (),
        patterns: Iterable[str] = (),
    ) -> None:
        self._single = frozenset(single)
        self._ranges = _by_shape(ranges)
        self._patterns = tuple(dict.fromkeys(patterns))

    def __bool__(self) -> bool:
        """Whether any DN at all is registered."""
        return bool(self._single or self._ranges or self._patterns)

    def singles(self) -> tuple[str, ...]:
        """The DNs that are listed by themselves, in order."""
        return tuple(sorted(self._single))

    def __eq__(self, other: object) -> bool:
        """Whether both lists say the same, in whatever order."""
        if not isinstance(other, DialNumbers):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        """Equal lists have equal hashes."""
        return hash(self._single)

    def _key(self) -> tuple[object, ...]:
        return self._single, self._ranges, frozenset(self._patterns)

    def matches(self, dn: str) -> bool:
        """Whether ``dn`` is a DN and in the list. Any text may be given."""
        if len(dn) > LONGEST_DN or not _DN.fullmatch(dn):
            return False
        if dn in self._single or self._within_range(dn):
            return True
        return any(_fits(pattern, dn) for pattern in self._patterns)

    def _within_range(self, dn: str) -> bool:
        found = self._ranges.get(_shape(dn))
        if not found:
            return False
        firsts, lasts = found
        position = bisect_right(firsts, dn) - 1
        return position >= 0 and dn <= lasts[position]


def parse_dial_numbers(text: str) -> DialNumbers:
    """Read a list; an empty one matches nothing. Raises DialNumberError."""
    single: list[str] = []
    ranges: list[tuple[str, str]] = []
    patterns: list[str] = []
    for number, column, entry in _entries(text):
        _check_characters(number, column, entry)
        if _DN.fullmatch(entry):
            single.append(entry)
        elif _PATTERN.fullmatch(entry):
            patterns.append(entry)
        else:
            ranges.append(_range(number, column, entry))
    return DialNumbers(single, ranges, patterns)


def _entries(text: str) -> Iterator[tuple[int, int, str]]:
    if not text.strip():
        return
    begin = 0
    for number, part in enumerate(text.split(","), start=1):
        indent = len(part) - len(part.lstrip())
        yield number, begin + indent + 1, part.strip()
        begin += len(part) + 1


def _check_characters(number: int, column: int, entry: str) -> None:
    if not entry:
        raise DialNumberError(number, column, "nothing stands here")
    foreign = _FOREIGN.search(entry)
    if foreign:
        place = column + foreign.start()
        raise DialNumberError(number, place, f"{foreign[0]!r} is in no DN")
    if any(len(part) > LONGEST_DN for part in entry.split("-")):
        raise DialNumberError(number, column, f"longer than {LONGEST_DN} characters")


def _range(number: int, column: int, entry: str) -> tuple[str, str]:
    found = _RANGE.fullmatch(entry)
    if not found:
        raise DialNumberError(number, column, _why_no_range(entry))
    first, last = found[1], found[2]
    if _shape(first) != _shape(last):
        raise DialNumberError(number, column, "the ends of the range are not equally long")
    if first > last:
        raise DialNumberError(number, column, "the first DN of the range is above its last")
    return first, last


def _why_no_range(entry: str) -> str:
    if "-" not in entry:
        return "+ stands only before the digits"
    if "*" in entry or "?" in entry:
        return "a range has no wildcards"
    return "not a range of two DNs"


def _shape(dn: str) -> tuple[bool, int]:
    """DNs of one shape compare as text as they do as numbers."""
    return dn.startswith("+"), len(dn)


def _by_shape(
    ranges: Iterable[tuple[str, str]],
) -> dict[tuple[bool, int], tuple[list[str], list[str]]]:
    """Merge ranges that overlap, so that the last one that begins before a DN decides."""
    shapes: dict[tuple[bool, int], tuple[list[str], list[str]]] = {}
    for first, last in sorted(ranges):
        firsts, lasts = shapes.setdefault(_shape(first), ([], []))
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return shapes


def _fits(pattern: str, dn: str) -> bool:
    """
    Compare with wildcards.

    Only the last ``*`` is ever tried anew: whatever an earlier one could take instead, the later
    one can take as well. A regular expression would try them all.
    """
    at = place = 0
    star = resume = -1
    while place < len(dn):
        wanted = pattern[at] if at < len(pattern) else ""
        if wanted == "*":
            star, resume = at, place
            at += 1
        elif wanted == dn[place] or (wanted == "?" and dn[place] != "+"):
            at += 1
            place += 1
        elif star >= 0 and dn[resume] != "+":
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
