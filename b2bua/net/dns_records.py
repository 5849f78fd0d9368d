"""
What the DNS says of where SIP is served: records, and how long they hold. Pure.

While the DNS is silent the last answer stays in use: a SIP
Server does not go away because a name server did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from b2bua.srv import LONGEST_TTL, MOST_RECORDS, SHORTEST_TTL, SrvRecord

LONGEST_DENIAL: Final = 30.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_MOST_NAMES: Final = 1024


class Kind(Enum):
    """The types of records that are asked for."""

    A = "A"
    AAAA = "AAAA"
    SRV = "SRV"
    NAPTR = "NAPTR"


class Question(NamedTuple):
    """A name, in lower case and without a last dot, and what is asked of it."""

    name: str
    kind: Kind


class Naptr(NamedTuple):
    """One NAPTR record as far as RFC 3263 uses it."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


Record = str | SrvRecord | Naptr
"""An address, or one of the above."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS said; no records are an answer too."""

    records: tuple[Record, ...]
    ttl: float = 0.0
    exists: bool = True
    """False: there is no such name. True without records: the name has others than these."""


@dataclass(slots=True)
class _Kept:
    answer: Answer | None = None
    until: float = 0.0
    failures: int = 0
    ask_after: float = 0.0


class Answers:
    """The answers so far, and when a question may be put again. ``now`` is monotonic."""

    def __init__(self) -> None:
        self._kept: dict[Question, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def fresh(self, question: Question, now: float) -> Answer | None:
        """Give the answer whose time is not over."""
        kept = self._kept.get(question)
        return kept.answer if kept is not None and now < kept.until else None

    def left(self, question: Question, now: float) -> float:
        """For how much longer the answer holds."""
        kept = self._kept.get(question)
        return max(0.0, kept.until - now) if kept is not None else 0.0

    def last(self, question: Question) -> Answer | None:
        """Give the last answer there was, however old."""
        kept = self._kept.get(question)
        return kept.answer if kept is not None else None

    def may_ask(self, question: Question, now: float) -> bool:
        """Whether the DNS may be asked again: not within a second of a silence, then seldomer."""
        kept = self._kept.get(question)
        return kept is None or now >= kept.ask_after

    def answered(self, question: Question, answer: Answer, now: float) -> None:
        """Keep an answer for its TTL, within bounds; more records than 16 are cut."""
        kept = self._entry(question)
        longest = LONGEST_TTL if answer.records else LONGEST_DENIAL
        kept.answer = replace(answer, records=_most_preferred(answer.records))
        kept.until = now + min(max(answer.ttl, SHORTEST_TTL), longest)
        kept.failures = 0
        kept.ask_after = 0.0

    def failed(self, question: Question, now: float) -> None:
        """The DNS was silent, or gave something useless."""
        kept = self._entry(question)
        pause = _FIRST_PAUSE * 2 ** min(kept.failures, 8)
        kept.failures += 1
        kept.ask_after = now + min(pause, _LONGEST_PAUSE)

    def _entry(self, question: Question) -> _Kept:
        # What is used stays: the one that was told longest ago makes room.
        kept = self._kept.pop(question, None) or _Kept()
        self._kept[question] = kept
        if len(self._kept) > _MOST_NAMES:
            del self._kept[next(iter(self._kept))]
        return kept


def _most_preferred(records: tuple[Record, ...]) -> tuple[Record, ...]:
    def rank(record: Record) -> tuple[int, int]:
        if isinstance(record, SrvRecord):
            return record.priority, -record.weight
        if isinstance(record, Naptr):
            return record.order, record.preference
        return 0, 0

    return tuple(sorted(records, key=rank)[:MOST_RECORDS])
