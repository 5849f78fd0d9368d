"""
What third-party control does to a description that it hands from one party to the other.
"""

from __future__ import annotations

import re
from enum import StrEnum

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_address = re.compile(r"^c=IN IP4 \S+", re.MULTILINE)
_version = re.compile(r"^(o=\S+ \S+ )(\d+)", re.MULTILINE)


class HoldForm(StrEnum):
    """How a server tells an endpoint that it is on hold."""

    RFC3264 = "rfc3264"
    """Direction attributes: a=sendonly."""
    ZERO = "zero"
    """The old way: c=0.0.0.0."""


def held(body: bytes, form: HoldForm, version: int) -> bytes:
    """Return a description as an offer that puts its reader on hold."""
    lines = [line for line in _lines(body) if line[2:] not in _DIRECTIONS or line[:2] != "a="]
    text = "\r\n".join(lines)
    if form is HoldForm.ZERO:
        text = _address.sub("c=IN IP4 0.0.0.0", text)
    else:
        text = "\r\n".join(_with_direction(text.split("\r\n"), "sendonly"))
    return with_version(text.encode() + b"\r\n", version)


def _with_direction(lines: list[str], direction: str) -> list[str]:
    """Put a direction at the end of each medium."""
    made: list[str] = []
    in_medium = False
    for line in lines:
        if line.startswith("m="):
            if in_medium:
                made.append(f"a={direction}")
            in_medium = True
        made.append(line)
    return [*made, f"a={direction}"] if in_medium else made


def with_version(body: bytes, version: int) -> bytes:
    """Return a description whose o= line has this version."""
    text = body.decode(errors="replace")
    return _version.sub(lambda found: f"{found[1]}{version}", text, count=1).encode()


def version_of(body: bytes) -> int:
    """The version of the o= line; 0 where there is none."""
    found = _version.search(body.decode(errors="replace"))
    return int(found[2]) if found else 0


def _lines(body: bytes) -> list[str]:
    return body.decode(errors="replace").replace("\r\n", "\n").rstrip("\n").split("\n")


class Spoken:
    """
    What one party has been told, so that the o= line it reads stays honest.

    A description that says the same is told in the same words; one that differs has a higher
    version, whichever of the others it comes from.
    """

    def __init__(self) -> None:
        self.last = b""

    def say(self, body: bytes) -> bytes:
        """Return a description as it is told to this party."""
        if self.last and _origin(body) == _origin(self.last):
            before = version_of(self.last)
            if with_version(body, before) == self.last:
                return self.last
            if version_of(body) <= before:
                body = with_version(body, before + 1)
        self.last = body
        return body


def _origin(body: bytes) -> str:
    """Whose description it is: the o= line without its version."""
    text = body.decode(errors="replace")
    line = next((line for line in text.splitlines() if line.startswith("o=")), "")
    words = line.split(" ")
    return " ".join(words[:2] + words[3:])
