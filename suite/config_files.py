"""
Configuration files as lines of text, whatever editor made them.

A byte order mark and CRLF are taken and reported. A line that is not UTF-8 is an error unless it
is a comment. There is no include, so there is no include loop.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from suite.diagnostics import Findings, Level, Place

LARGEST = 1024 * 1024
"""Bytes. Nobody writes more; a log or an image named by mistake has more."""

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``name = value`` as written. ``value`` is None where only the name stands."""

    section: str
    name: str
    value: str | None = field(repr=False)
    place: Place


def read_lines(path: Path, findings: Findings) -> Iterator[tuple[Place, str]]:
    """Give each line that is neither blank nor a ``#`` comment, stripped, with its place."""
    content = _content(path, findings)
    if content.startswith(_UTF16_MARKS):
        problem = "the file is UTF-16"
        findings.add(Level.ERROR, Place(str(path)), problem, accepted="save it as UTF-8")
        return
    if content.startswith(_UTF8_MARK):
        findings.add(Level.NOTICE, Place(str(path), 1), "a byte order mark was passed over")
        content = content[len(_UTF8_MARK) :]
    if b"\r\n" in content:
        findings.add(Level.NOTICE, Place(str(path)), "lines end with CRLF; that is accepted")
    for number, raw in enumerate(content.split(b"\n"), start=1):
        text = _line(raw.strip(), Place(str(path), number), findings)
        if text:
            yield Place(str(path), number), text


def is_exposed(path: Path) -> tuple[bool, bool]:
    """Whether the file's group, and whether everybody, may read it."""
    mode = path.stat().st_mode
    return bool(mode & stat.S_IRGRP), bool(mode & stat.S_IROTH)


def why_unreadable(path: Path) -> str:
    """What keeps this process from reading ``path`` as a file; empty if nothing does."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as reason:
        return _sentence(reason)
    if stat.S_ISDIR(mode):
        return "it is a directory"
    if not stat.S_ISREG(mode):
        return "it is not a regular file"
    return "" if os.access(path, os.R_OK) else "it may not be read by this user"


def _content(path: Path, findings: Findings) -> bytes:
    fault = why_unreadable(path)
    content = b""
    if not fault:
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as reason:
            fault = _sentence(reason)
    if len(content) > LARGEST:
        fault, content = f"it is larger than {LARGEST} bytes", b""
    if fault:
        accepted = "name a configuration file that this user may read"
        findings.add(Level.ERROR, Place(str(path)), f"cannot be read: {fault}", accepted=accepted)
    return content


def _line(raw: bytes, place: Place, findings: Findings) -> str:
    if not raw or raw.startswith(b"#"):
        return ""
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        problem = f"byte {wrong.start + 1} of the line is not UTF-8"
        findings.add(Level.ERROR, place, problem, accepted="save the file as UTF-8", security=True)
        return ""
    if "\0" in text:
        accepted = "write it again with a text editor"
        findings.add(Level.ERROR, place, "the line holds a NUL", accepted=accepted, security=True)
        return ""
    return text


def _sentence(reason: OSError | ValueError) -> str:
    if isinstance(reason, FileNotFoundError):
        return "there is no such file"
    if isinstance(reason, PermissionError):
        return "it may not be read by this user"
    return str(reason.strerror if isinstance(reason, OSError) else "the name is impossible").lower()
