"""
One row per option: its section, form, default, meaning, and whether it is served.

The tables stand in ``option_table_suite``, ``option_table_turn`` and ``option_table_gateway``.
The same rows read ``suite.conf``, ``turnserver.conf`` and the command line, and print the sample.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, Flag, auto

from suite.option_kinds import Kind


class Status(Enum):
    """What becomes of an option here."""

    SERVED = auto()
    NOT_YET = auto()
    """Known, checked, and without effect so far."""
    NO_MEANING = auto()
    """Known, checked, and nothing here corresponds to it."""


class Mark(Flag):
    """What is particular to an option."""

    SECURITY = auto()
    """Guards who gets in or what is reached: a malformed value always refuses the start."""
    SECRET = auto()
    """Its value is never shown."""
    LIVE = auto()
    """Read again on SIGHUP; others need a restart."""
    REPEAT = auto()
    """May be given several times and makes a list."""
    OLD = auto()
    """A name that coTURN has given up."""
    UNSETS = auto()
    """An empty value is as good as none, though there is a default."""
    VITAL = auto()
    """Not served, and ignoring it would be worse than refusing the start."""


NO_MARK = Mark(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row. ``default`` is text of its kind; empty means that nothing is set."""

    section: str
    name: str
    kind: Kind[object]
    default: str = ""
    meaning: str
    status: Status = Status.SERVED
    reason: str = ""
    """Why it is not served and what to do instead."""
    marks: Mark = NO_MARK
    bare: str | None = None
    """What the name alone, without a value, stands for; None: that is a mistake."""
    unset: str | None = None
    """What holds when the option is absent, where that differs from the gateway's default."""
    named: Callable[[str], bool] | None = None
    """Which names the row stands for, where that is not one; ``name`` is then an example."""

    def has(self, mark: Mark) -> bool:
        """Whether the row bears ``mark``."""
        return mark in self.marks

    @property
    def effective_default(self) -> str:
        """The text that stands in for an absent option."""
        return self.default if self.unset is None else self.unset


class OptionTable:
    """All rows, found by section and name."""

    def __init__(self, rows: Iterable[Option]) -> None:
        self.rows = tuple(rows)
        self._by_key = {(row.section, row.name): row for row in self.rows}
        if len(self._by_key) != len(self.rows):
            raise ValueError("an option stands twice in the table")
        self._open = {row.section: row for row in self.rows if row.named is not None}

    @property
    def sections(self) -> tuple[str, ...]:
        """Section names in the order of the table."""
        return tuple(dict.fromkeys(row.section for row in self.rows))

    def find(self, section: str, name: str) -> Option | None:
        """The row of that exact name, coTURN's being sensitive to case."""
        row = self._by_key.get((section, name)) or self._open.get(section)
        if row is None or row.named is None:
            return row
        return replace(row, name=name) if row.named(name) else None

    def open_row(self, section: str) -> Option | None:
        """The row of a section whose names are the operator's own."""
        return self._open.get(section)

    def nearest(self, section: str, name: str) -> str:
        """The option of that section that was probably meant; empty if none is near."""
        names = [row.name for row in self.rows if row.section == section]
        lower = name.lower().replace("_", "-")
        if lower in names:
            return lower
        return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.7)), "")

    def nearest_section(self, name: str) -> str:
        """The section that was probably meant; empty if none is near."""
        return next(iter(difflib.get_close_matches(name, self.sections, n=1, cutoff=0.5)), "")
