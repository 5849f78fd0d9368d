"""
Writes the tables of docs/performance.md from results/*.json, between its markers.

    python -m benchmarks.page [--check]

``make bench`` does it after a whole run. ``--check`` writes nothing and ends with status 1 where
the page says something else than the results. What was not measured is said to be so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.figures import Goal, number

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "performance.md"
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOTHING = "Not measured yet.\n"

Record = dict[str, Any]
"""One row of a results file, or one profile."""


def read(folder: Path, name: str) -> Record:
    """One results file; an empty one where there is none."""
    path = folder / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def rows_of(folder: Path, name: str) -> list[Record]:
    """The rows of one table."""
    return list(read(folder, name).get("rows", []))


def markdown(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; or the words for none where it has no line."""
    found = [" | ".join(line) for line in lines]
    if not found:
        return NOTHING
    rule = "|".join("---" for _ in headings)
    return "\n".join([f"| {' | '.join(headings)} |", f"|{rule}|", *(f"| {x} |" for x in found), ""])


def about(folder: Path, name: str) -> str:
    """When, on what and of what the rows of a table were measured."""
    document = read(folder, name)
    if not document:
        return NOTHING
    facts = document["circumstances"]
    words = (f"{key} {value}" for key, value in facts.items() if key != "date")
    return f"{facts['date']}, {document['extent'].lower()}: {', '.join(words)}.\n"


def judged(folder: Path, name: str, peer: str) -> str:
    """Every row of a table but those of growth, which have one of their own."""
    headings = ("benchmark", "what", "ours", peer, "measured", "must", "aim", "verdict")
    rows = [row for row in rows_of(folder, name) if not row["name"].startswith("growth-")]
    return markdown(headings, map(judged_line, rows))


def judged_line(row: Record) -> list[str]:
    """One row; ``coturn`` is what the peer's column was called in older files."""
    goal = row["goal"]
    must, aim = Goal(**goal).texts() if goal else ("", "")
    measured = "" if row["measured"] is None else number(row["measured"])
    peer = row.get("peer", row.get("coturn", ""))
    name, figure = f"`{row['name']}`", row["figure"].replace("|", "/")
    return [name, figure, row["ours"], peer, measured, must, aim, row["verdict"]]


def costs(folder: Path, name: str) -> str:
    """Every row of a table that has nobody beside ours: its note says what was done instead."""
    headings = ("benchmark", "what", "measured", "of it", "must", "aim", "verdict", "how")
    return markdown(headings, map(cost_line, rows_of(folder, name)))


def cost_line(row: Record) -> list[str]:
    """One row; what failed has its reason in the note."""
    line, note = judged_line(row), row["note"].replace("|", "/")
    name, figure, ours, _, measured, must, aim, verdict = line
    return [name, figure, measured, ours, must, aim, verdict, note]


def delays(folder: Path, name: str, peer: str) -> str:
    """How long a packet stays, of every row that has it in its facts."""
    headings = ("benchmark", "ours p50", "p99", "p99.9", f"{peer} p50", "p99", "p99.9")
    return markdown(headings, filter(None, map(delay_line, rows_of(folder, name))))


def delay_line(row: Record) -> list[str]:
    """The percentiles of one row; empty if it has none."""
    facts = row.get("facts", {})
    if "ours_delay_ms" not in facts:
        return []
    figures = [*facts["ours_delay_ms"], *facts["peer_delay_ms"]]
    return [f"`{row['name']}`", *(f"{number(each)} ms" for each in figures)]


def growth(folder: Path, name: str, peer: str, of: str) -> str:
    """The rows of growth, and the plot of them."""
    rows = [row for row in rows_of(folder, name) if re.fullmatch(r"growth-\d+", row["name"])]
    headings = (of, "ours", peer, f"ours/{peer}")
    table = markdown(headings, map(growth_line, rows))
    plot = f"{name}.growth.svg"
    if rows and (folder / plot).exists():
        table += f"\n![CPU per packet by {of}](../benchmarks/results/{plot})\n"
    return table


def growth_line(row: Record) -> list[str]:
    """One number of allocations or calls."""
    measured = "failed" if row["measured"] is None else number(row["measured"])
    return [row["name"].removeprefix("growth-"), row["ours"], row["peer"], measured]


def profile(folder: Path, plane: str) -> str:
    """Where the time goes, in percent: a row for each share, a column for each profile."""
    path = folder / "profile.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    found = [each for each in kept if each["plane"] == plane]
    weights: dict[str, float] = {}
    for each in found:
        for share, percent in each["shares"].items():
            weights[share] = weights.get(share, 0.0) + percent
    headings = ["", *(each["name"] for each in found)]
    lines = [
        [share, *(f"{each['shares'].get(share, 0.0):.0f} %" for each in found)]
        for share in sorted(weights, key=lambda share: -weights[share])
    ]
    if found:
        lines.append(["samples", *(str(each["samples"]) for each in found)])
    return markdown(headings, lines)


def instructions(folder: Path) -> str:
    """How many the relay's C core takes for a packet."""
    kept = read(folder, "instructions")
    return markdown(
        ("traffic", "instructions a packet"), ([k, f"{n:.0f}"] for k, n in kept.items())
    )


TABLES: dict[str, Callable[[Path], str]] = {
    "relay-about": lambda folder: about(folder, "relay"),
    "relay": lambda folder: judged(folder, "relay", "coTURN"),
    "relay-delays": lambda folder: delays(folder, "relay", "coTURN"),
    "relay-growth": lambda folder: growth(folder, "relay", "coTURN", "allocations"),
    "bridge-about": lambda folder: about(folder, "bridge"),
    "bridge": lambda folder: judged(folder, "bridge", "rtpengine"),
    "bridge-delays": lambda folder: delays(folder, "bridge", "rtpengine"),
    "bridge-growth": lambda folder: growth(folder, "bridge", "rtpengine", "calls"),
    "browser-about": lambda folder: about(folder, "browser"),
    "browser": lambda folder: costs(folder, "browser"),
    "profile-twin": lambda folder: profile(folder, "python"),
    "profile-native": lambda folder: profile(folder, "native"),
    "instructions": instructions,
}


def filled(text: str, folder: Path) -> str:
    """The page with every table as the results have it. Raises KeyError for an unknown one."""
    return MARKED.sub(lambda found: found[1] + TABLES[found[2]](folder) + found[3], text)


def fill() -> bool:
    """Write the page where it differs from the results; whether it did."""
    text = PAGE.read_text()
    new = filled(text, RESULTS)
    if new != text:
        PAGE.write_text(new)
    return new != text


def main() -> int:
    """Fill or check the page."""
    parser = argparse.ArgumentParser(description="the tables of docs/performance.md")
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        print("written" if fill() else "nothing to do")
        return 0
    return int(PAGE.read_text() != filled(PAGE.read_text(), RESULTS))


if __name__ == "__main__":
    sys.exit(main())
