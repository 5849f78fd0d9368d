"""
The reader of ``suite.conf``: sections, ``name = value``, whole-line comments.

A name may be repeated; whether that means a list or a mistake is for the option to say. There is
no inline comment, because ``;`` and ``#`` occur in values (codec parameters, passwords).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from suite.config_files import Assignment, read_lines
from suite.diagnostics import Findings, Level, Place

_SECTION = re.compile(r"\[\s*([^\[\]]*?)\s*\]")
_AFTER_VALUE = re.compile(r"\s[#;]")
RENAMED_SECTIONS = {"rsm": "rsmp"}
"""The guide itself writes both."""


def read_ini(path: Path, findings: Findings) -> Iterator[Assignment]:
    """Give the file's assignments in order; what is not one is reported and passed over."""
    section = ""
    for place, line in read_lines(path, findings):
        if line.startswith(";"):
            continue
        if line.startswith("["):
            section = _section(line, place, findings)
        elif not section:
            accepted = "write a section such as [turn] above it"
            findings.add(
                Level.ERROR, place, "an option outside of every section", accepted=accepted
            )
        elif section != _REFUSED:
            yield _assignment(section, line, place, findings)


_REFUSED = "["


def _section(line: str, place: Place, findings: Findings) -> str:
    found = _SECTION.fullmatch(line)
    if not found or not found[1]:
        accepted = "a section's name in brackets (example: [turn])"
        findings.add(Level.ERROR, place, "this is no section", accepted=accepted)
        return _REFUSED
    name = found[1].lower()
    return RENAMED_SECTIONS.get(name, name)


def _assignment(section: str, line: str, place: Place, findings: Findings) -> Assignment:
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        return Assignment(section, line, None, place)
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    elif _AFTER_VALUE.search(value):
        problem = "what follows the blank and # or ; belongs to the value"
        accepted = "put comments on lines of their own, or the value in double quotes"
        findings.add(Level.WARNING, place, problem, option=name, accepted=accepted)
    return Assignment(section, name, value, place)
