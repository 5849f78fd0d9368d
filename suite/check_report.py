"""
The result of a check as a table for people and as JSON for programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from suite.check_nat import NatReport
from suite.check_probe import Outcome
from suite.check_target import Target
from turn.five_tuple import Address, joined

HEADINGS: tuple[str, ...] = (
    "TRANSPORT",
    "RESULT",
    "RELAY ADDRESS",
    "RELAY AFTER",
    "DATA",
    "ROUND TRIP",
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found out about one server."""

    target: Target
    address: str
    outcomes: list[Outcome]
    nat: NatReport | None

    @property
    def works(self) -> bool:
        """Whether every transport that was tried works."""
        return all(outcome.works for outcome in self.outcomes)

    def as_text(self) -> str:
        """Write the table, then a sentence for each transport."""
        name = str(self.target)
        if self.address != self.target.host:
            name += f" ({self.address})"
        lines = [f"TURN check of {name}", "", *_table(self.outcomes), ""]
        lines += [f"{outcome.transport}: {outcome.verdict}" for outcome in self.outcomes]
        if self.nat is not None:
            lines.append(f"NAT: {self.nat.sentence}")
        return "\n".join(lines)

    def as_json(self) -> str:
        """Write the same as one JSON object."""
        nat = self.nat
        return json.dumps(
            {
                "host": self.target.host,
                "port": self.target.port,
                "address": self.address,
                "works": self.works,
                "transports": [_members(outcome) for outcome in self.outcomes],
                "nat": nat and {"mapped": _address(nat.mapped), "sentence": nat.sentence},
            },
            indent=2,
        )


def _members(outcome: Outcome) -> dict[str, object]:
    return {
        "transport": outcome.transport.value.lower(),
        "works": outcome.works,
        "relay": _address(outcome.relay),
        "mapped": _address(outcome.mapped),
        "allocated_ms": _rounded(outcome.milliseconds),
        "sent": outcome.sent,
        "received": outcome.received,
        "round_trip_ms": _rounded(outcome.round_trip),
        "verdict": outcome.verdict,
    }


def _address(address: Address | None) -> str | None:
    return None if address is None else joined(address)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)


def _table(outcomes: list[Outcome]) -> list[str]:
    rows = [HEADINGS, *map(_row, outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.transport.value,
        "works" if outcome.works else "FAILS",
        _address(outcome.relay) or "-",
        _milliseconds(outcome.milliseconds),
        f"{outcome.received} of {outcome.sent}" if outcome.sent else "-",
        _milliseconds(outcome.round_trip),
    )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
