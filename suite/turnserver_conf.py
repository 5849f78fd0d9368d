"""
The reader of coTURN's ``turnserver.conf``, by coTURN's own line rules.

A long option name, then blanks or ``=`` or both, then the value, which may stand in double
quotes. ``#`` is a comment only at the start of a line, and a ``;`` at the end is part of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from suite.config_files import Assignment, read_lines
from suite.diagnostics import Findings, Level, Place

SECTION = "turn"
"""Every option of the file belongs to this section of our own table."""

_PARTS = re.compile(r"([^ =\t]*)[ =\t]*(.*)", re.DOTALL)
_LONGEST = 1023


def read_turnserver_conf(path: Path, findings: Findings) -> Iterator[Assignment]:
    """Give the file's assignments in order. A name alone has the value None."""
    for place, line in read_lines(path, findings):
        _remarks(line, place, findings)
        name, value = split_line(line)
        yield Assignment(SECTION, name, value, place)


def split_line(line: str) -> tuple[str, str | None]:
    """Part a line into name and value as coTURN does."""
    found = _PARTS.fullmatch(line)
    name, value = found.groups() if found else (line, "")
    if value.startswith('"'):
        value = value[1:].rstrip().removesuffix('"')
    return name, value or None


def _remarks(line: str, place: Place, findings: Findings) -> None:
    if line.endswith(";"):
        problem = "the line ends with a semicolon, which coTURN takes as part of the value"
        findings.add(Level.WARNING, place, problem, accepted="remove it")
    if len(line.encode()) > _LONGEST:
        problem = f"the line is longer than {_LONGEST} bytes; coTURN would break it there"
        findings.add(Level.WARNING, place, problem, accepted="it is taken whole here")
