"""
What the suite is made of: units that start, stop and tell how they are.

The shape only; ``suite.supervisor`` gives them their life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred


@dataclass(frozen=True, slots=True)
class Health:
    """How a unit is, in a word for a program and a sentence for a person."""

    ok: bool
    detail: str = ""


class Unit(Protocol):
    """One part of the suite that can fail by itself."""

    @property
    def name(self) -> str:
        """Short and unique: ``udp 0.0.0.0:3478``."""

    @property
    def required(self) -> bool:
        """Whether the suite is not ready without it."""

    def start(self) -> Deferred[None] | None:
        """Begin to serve. Failing is raising, or a Deferred that fails."""

    def stop(self) -> Deferred[None] | None:
        """
        Release everything.

        Called also after a start that failed or took too long, so that the next try finds nothing
        in its way; it must do no harm where nothing was started.
        """

    def health(self) -> Health:
        """How it is right now. Asked only while it runs; must not block."""
