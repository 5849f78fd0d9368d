"""
The lines of a session or of one medium, in order, and what stands in both (RFC 8866, section 5).

Every line is kept. What is read of them is read once, and once for all sections that say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Self, TypeVar

from b2bua.sdp.attributes import Extmap, Fingerprint, IceCredentials, Setup
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.lines import Connection
from b2bua.sdp.once import alike, remembering

SESSION_ORDER: Final = "vosiuepcbtrzka"

_ALIKE: Final = 512
LONGEST_ALIKE: Final = 2048
"""Media whose readings are shared, and how long they may be: together they bound the memory."""

_are_lines: Final = re.compile(r"(?:[a-z]=[^\r\n\0]*\n)*+").fullmatch
_DIRECTIONS: Final = {f"a={way}": way for way in Direction}

ValueT = TypeVar("ValueT")

read_connection: Final = remembering(Connection.parse)


@dataclass(frozen=True)
class Section:
    """Lines in order, each ``letter=value`` without its line end."""

    lines: tuple[str, ...]
    readings: dict[str, object] = field(init=False, repr=False, compare=False)
    """See ``alike``."""

    def __post_init__(self) -> None:
        check_lines(self.lines)
        object.__setattr__(self, "readings", {})

    @alike
    def _values(self) -> Mapping[str, str]:
        """The value of the first line of each kind, but for those that differ in each call."""
        return {line[0]: line[2:] for line in reversed(self.lines) if line[0] not in "moc"}

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
        if kind in "moc":
            return next((line[2:] for line in self.lines if line[0] == kind), None)
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
        return SESSION_ORDER

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
        return optional(read_connection, self.value("c"))

    @alike
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Every ``a=fingerprint`` of this section."""
        return tuple(map(Fingerprint.parse, self.attributes("fingerprint")))

    @alike
    def setup(self) -> Setup | None:
        """``a=setup`` of this section."""
        return optional(Setup.parse, self.attribute("setup"))

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


def check_lines(lines: tuple[str, ...]) -> None:
    """Raise SdpError where a line is not a letter, "=" and a value."""
    text = "".join([f"{line}\n" for line in lines])
    if not _are_lines(text) or text.count("\n") != len(lines):
        raise SdpError("line")


@lru_cache(_ALIKE)
def shared_readings(heading: tuple[object, ...], lines: tuple[str, ...]) -> dict[str, object]:
    """
    Return what was read of a medium that says this in its ``m=`` line, but for the port, and after.

    Phones say the same in each call, but for the port.
    """
    check_lines(lines)
    return {}


def _is_attribute(line: str, name: str) -> bool:
    return line.startswith(f"a={name}") and line[2 + len(name) :][:1] in ("", ":")


def optional(parse: Callable[[str], ValueT], value: str | None) -> ValueT | None:
    """Read a value if it is there."""
    return None if value is None else parse(value)
