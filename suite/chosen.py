"""
Assignments checked against the option table: what was chosen, and what must be said about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from suite.config_files import Assignment
from suite.diagnostics import HIDDEN, Findings, Level, Place
from suite.option_kinds import BadValue, Kind
from suite.options import Mark, Option, OptionTable, Status

T = TypeVar("T")

_FIRST_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}")


@dataclass(frozen=True, slots=True)
class Source:
    """
    One origin of assignments and its strictness.

    ``lenient`` is coTURN's way: where coTURN would go on with a wrong value, the default holds and
    a warning says so; the last of several single values counts.
    """

    label: str
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The checked text of one option and where it stands."""

    text: str = field(repr=False)
    place: Place
    label: str = ""


class Chosen:
    """The options that hold, by section and name, with the table's defaults behind them."""

    def __init__(self, table: OptionTable, findings: Findings) -> None:
        self._table = table
        self._findings = findings
        self._written: dict[tuple[str, str], list[Written]] = {}
        self._sections_reported: set[str] = set()
        self._somewhere = Place("configuration")

    def is_set(self, section: str, name: str) -> bool:
        """Whether the option was given a valid value anywhere."""
        return (section, name) in self._written

    def place(self, section: str, name: str) -> Place:
        """Where the option was last set; the last source of all if it was not."""
        written = self._written.get((section, name))
        return written[-1].place if written else self._somewhere

    def one(self, section: str, name: str, kind: Kind[T]) -> T:
        """The value that holds: as given, else the default, which must exist."""
        return kind.parse(self._text(section, name, kind))

    def maybe(self, section: str, name: str, kind: Kind[T]) -> T | None:
        """The value as given, else the default, else None."""
        text = self._text(section, name, kind)
        return kind.parse(text) if text else None

    def every(self, section: str, name: str, kind: Kind[T]) -> list[tuple[T, Place]]:
        """All values of a repeated option, in order, each with its place."""
        self._row(section, name, kind)
        written = self._written.get((section, name), [])
        return [(kind.parse(each.text), each.place) for each in written]

    def texts(self, section: str, name: str) -> tuple[str, ...]:
        """The checked text as given, for what looks at spelling."""
        return tuple(each.text for each in self._written.get((section, name), []))

    def names(self, section: str) -> tuple[str, ...]:
        """The options of a section that were given a valid value, in order."""
        return tuple(name for where, name in self._written if where == section)

    @property
    def faults(self) -> int:
        """How many errors have been found so far."""
        return sum(each.level is Level.ERROR for each in self._findings.all())

    def complain(
        self, level: Level, section: str, name: str, problem: str, accepted: str, value: str = ""
    ) -> None:
        """Report on an option where it was set. ``value`` must be fit to be shown."""
        self.voice(section, name, self.place(section, name), value)(level, problem, accepted)

    def voice(
        self, section: str, name: str, place: Place, value: str = ""
    ) -> Callable[[Level, str, str], None]:
        """Say something of one of several values: the level, what is wrong, what to do."""
        row = self._table.find(section, name)
        security = row is not None and row.has(Mark.SECURITY)

        def say(level: Level, problem: str, accepted: str) -> None:
            self._findings.add(
                level,
                place,
                problem,
                section=section,
                option=name,
                value=value,
                accepted=accepted,
                security=security,
            )

        return say

    def take(self, assignments: Iterable[Assignment], source: Source) -> None:
        """Check assignments in order and keep the good ones."""
        self._somewhere = Place(source.label)
        for assignment in assignments:
            row = self._table.find(assignment.section, assignment.name)
            if row is None:
                self._unknown(assignment)
                continue
            text = self._checked(assignment, row, source)
            if text is not None:
                self._keep(row, Written(text, assignment.place, source.label), source)

    def remark_on_unserved(self) -> None:
        """Say of each option that has no effect why that is, where it asks for another thing."""
        for (section, name), written in self._written.items():
            row = self._table.find(section, name)
            if row and (row.status is not Status.SERVED or row.has(Mark.OLD)):
                self._remark(row, written[-1])

    def _row(self, section: str, name: str, kind: Kind[T]) -> Option:
        row = self._table.find(section, name)
        if row is None or row.kind is not kind:
            raise LookupError(f"the table has no [{section}] {name} of that kind")
        return row

    def _text(self, section: str, name: str, kind: Kind[T]) -> str:
        row = self._row(section, name, kind)
        written = self._written.get((section, name))
        return written[-1].text if written else row.effective_default

    def _unknown(self, assignment: Assignment) -> None:
        if assignment.section not in self._table.sections:
            self._unknown_section(assignment)
            return
        home = self._home_of_security(assignment)
        if home is not None:
            # Digits may be a DN, and as well a password that has slipped out of its line.
            self._findings.add(
                Level.ERROR,
                assignment.place,
                "it has no effect in this section",
                section=assignment.section,
                option=HIDDEN if home.named else assignment.name,
                accepted=f"write it under [{home.section}]",
                security=True,
            )
            return
        row = self._table.open_row(assignment.section)
        if row is not None:
            self._misnamed(assignment, row)
            return
        word = _FIRST_WORD.match(assignment.name)
        near = self._table.nearest(assignment.section, word[0]) if word else ""
        # A line of a strange form, or a lone word that is like no option, may hold a password.
        whole = word is not None and word[0] == assignment.name
        name = assignment.name if whole and (assignment.value or near) else HIDDEN
        accepted = f"did you mean {near}?" if near else "the sample file lists all options"
        self._findings.add(
            Level.WARNING,
            assignment.place,
            "there is no such option, it has no effect",
            section=assignment.section,
            option=name,
            accepted=accepted,
        )

    def _misnamed(self, assignment: Assignment, row: Option) -> None:
        """Where every name is a password's, a name that is none may be a password itself."""
        self._findings.add(
            Level.ERROR,
            assignment.place,
            "the name is no DN",
            section=assignment.section,
            option=HIDDEN,
            accepted=f"digits with an optional leading + (example: {row.name} = password)",
            security=True,
        )

    def _home_of_security(self, assignment: Assignment) -> Option | None:
        """The option of security in another section that a misplaced one means."""
        for section in self._table.sections:
            row = self._table.find(section, assignment.name)
            if row is not None and row.has(Mark.SECURITY) and (assignment.value or not row.named):
                return row
        return None

    def _unknown_section(self, assignment: Assignment) -> None:
        if assignment.section in self._sections_reported:
            return
        self._sections_reported.add(assignment.section)
        near = self._table.nearest_section(assignment.section)
        known = ", ".join(self._table.sections)
        self._findings.add(
            Level.WARNING,
            assignment.place,
            f"there is no section [{assignment.section[:40]}], what it holds has no effect",
            accepted=f"did you mean [{near}]?" if near else f"sections: {known}",
        )

    def _checked(self, assignment: Assignment, row: Option, source: Source) -> str | None:
        """The text if it is of the row's kind. An empty one unsets, where nothing is a default."""
        text = assignment.value or ""
        if not text and row.bare is not None:
            text = row.bare
        if source.lenient and row.kind.numeric:
            text = text.rstrip("; \t")
        unset = assignment.value == "" and (not row.effective_default or row.has(Mark.UNSETS))
        if unset and not text and not row.has(Mark.SECRET):
            return None
        try:
            row.kind.parse(text)
        except BadValue as wrong:
            problem = str(wrong) if text else "the value is missing"
            self._malformed(assignment, row, problem, source)
            return None
        return text

    def _malformed(self, assignment: Assignment, row: Option, problem: str, source: Source) -> None:
        # coTURN itself stops at a boolean that it does not understand.
        goes_on = source.lenient and not row.has(Mark.SECURITY) and row.bare != "true"
        example = row.default or row.kind.example
        accepted = f"accepted: {row.kind.accepted} (example: {row.name} = {example})"
        if goes_on:
            problem += f"; the default holds ({row.effective_default or 'unset'})"
        self._findings.add(
            Level.WARNING if goes_on else Level.ERROR,
            assignment.place,
            problem,
            section=row.section,
            option=row.name,
            value=shown(row, assignment.value or ""),
            accepted=accepted,
            security=row.has(Mark.SECURITY),
        )

    def _keep(self, row: Option, written: Written, source: Source) -> None:
        key = (row.section, row.name)
        before = self._written.setdefault(key, [])
        if row.has(Mark.REPEAT):
            before.append(written)
            return
        if before and before[-1].label == written.label:
            self._twice(row, before[-1], written, source)
        self._written[key] = [written]

    def _twice(self, row: Option, first: Written, second: Written, source: Source) -> None:
        self._findings.add(
            Level.WARNING if source.lenient else Level.ERROR,
            second.place,
            f"set already at {first.place}" + ("; the last counts" if source.lenient else ""),
            section=row.section,
            option=row.name,
            value=shown(row, second.text),
            accepted="keep one of them",
            security=row.has(Mark.SECURITY),
        )

    def _remark(self, row: Option, written: Written) -> None:
        if row.has(Mark.OLD):
            level, problem = Level.WARNING, "an old name, which coTURN no longer knows"
        elif row.default and row.kind.parse(written.text) == row.kind.parse(row.default):
            return
        elif row.status is Status.NOT_YET:
            level = Level.ERROR if row.has(Mark.VITAL) else Level.NOTICE
            problem = "not served yet, it has no effect"
        else:
            level, problem = Level.NOTICE, "it has no effect here"
        self._findings.add(
            level,
            written.place,
            problem,
            section=row.section,
            option=row.name,
            value=shown(row, written.text),
            accepted=row.reason,
            security=row.has(Mark.SECURITY),
        )


def shown(row: Option, text: str) -> str:
    """The text as it may be shown: hidden if the option is a secret."""
    return HIDDEN if text and row.has(Mark.SECRET) else text
