"""
What is said about a configuration: one line each, with its place and without its secrets.

Reading never stops at the first fault. Whoever reads or checks adds to ``Findings``; at the end
an error among them refuses the start, and everything is shown in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

HIDDEN = "***"
EX_CONFIG = 78
"""``sysexits.h``'s code for a configuration error; service managers do not restart on it."""

_SHOWN = 200


class Level(IntEnum):
    """How grave: only an error refuses the start."""

    NOTICE = 1
    WARNING = 2
    ERROR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; ``line`` is 0 for a whole file and for the command line."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """
    One finding. ``value`` is fit to be shown: a secret stands as ``***`` already.

    ``security`` says that the option guards who gets in or what is reached.
    """

    file: str
    line: int
    level: Level
    option: str
    value: str
    problem: str
    accepted: str = ""
    security: bool = False
    section: str = ""

    def __str__(self) -> str:
        text = f"{Place(self.file, self.line)}: {self.level}: "
        if self.option:
            text += f"option '{self.option}'"
            text += f" = '{self.value}': " if self.value else ": "
        text += self.problem
        return f"{text}; {self.accepted}" if self.accepted else text


def printable(text: str) -> str:
    """The text on one line, control characters escaped and the excess cut off."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: _SHOWN + 1])
    return shown if len(text) <= _SHOWN else f"{shown[:_SHOWN]}..."


class Findings:
    """The diagnostics of one reading."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def add(
        self,
        level: Level,
        place: Place,
        problem: str,
        *,
        option: str = "",
        value: str = "",
        accepted: str = "",
        security: bool = False,
        section: str = "",
    ) -> None:
        """Note one finding, once. ``value`` must have been masked where it is a secret."""
        found = Diagnostic(
            file=printable(place.file),
            line=place.line,
            level=level,
            option=printable(option),
            value=printable(value),
            problem=printable(problem),
            accepted=accepted,
            security=security,
            section=printable(section),
        )
        self._found[found] = None

    @property
    def refused(self) -> bool:
        """Whether an error was found."""
        return any(each.level is Level.ERROR for each in self._found)

    def all(self) -> tuple[Diagnostic, ...]:
        """Everything found so far, file by file and line by line."""
        files = list(dict.fromkeys(each.file for each in self._found))
        return tuple(sorted(self._found, key=lambda each: (files.index(each.file), each.line)))


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """What the process ends with: 78 if there is an error, else 0."""
    return EX_CONFIG if any(each.level is Level.ERROR for each in diagnostics) else 0
