"""Medians, goals and the table: the part of the benchmarks that measures nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """How a figure stands to its goal."""

    AIM = "aim met"
    MUST = "must met"
    MISSED = "MISSED"
    NONE = "-"
    FAILED = "FAILED"


BAD = (Verdict.MISSED, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach and what it should; ``at_least`` where more is better."""

    must: float
    aim: float
    at_least: bool = False

    def verdict(self, measured: float) -> Verdict:
        """Judge one figure; what is not a number has missed."""
        if self._reaches(measured, self.aim):
            return Verdict.AIM
        return Verdict.MUST if self._reaches(measured, self.must) else Verdict.MISSED

    def _reaches(self, measured: float, mark: float) -> bool:
        return measured >= mark if self.at_least else measured <= mark

    def texts(self) -> tuple[str, str]:
        """Must and aim as the table has them."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.must:g}", f"{sign} {self.aim:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. A row without ``measured`` failed or was not run: see ``note``."""

    name: str
    figure: str
    goal: Goal | None = None
    measured: float | None = None
    ours: str = ""
    peer: str = ""
    note: str = ""
    facts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """The figures behind it, for programs; the table does not show them."""

    @property
    def verdict(self) -> Verdict:
        """How the row stands to its goal."""
        if self.measured is None:
            return Verdict.FAILED
        return self.goal.verdict(self.measured) if self.goal else Verdict.NONE


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the quotients of runs that followed each other; NaN where none can be had."""
    quotients = [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
    return statistics.median(quotients) if quotients else math.nan


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The smallest value that at least ``fraction`` of the ordered values do not exceed."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def number(value: float) -> str:
    """A figure with three significant digits and no exponent."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


HEADINGS = ("benchmark", "figure", "must", "aim", "measured", "verdict", "ours")


def table(rows: Sequence[Row], peer: str) -> str:
    """The rows as a Markdown table whose columns line up; ``peer`` heads the other's column."""
    headings = (*HEADINGS, peer, "note")
    cells = [headings, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(headings))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    must, aim = row.goal.texts() if row.goal else ("", "")
    measured = "" if row.measured is None else number(row.measured)
    verdict = row.verdict.value
    return (row.name, row.figure, must, aim, measured, verdict, row.ours, row.peer, row.note)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)) + " |"
