"""
Where our answers are meant to differ from those of coturn 4.6.1, and why.

The comparison fails for a difference that is not here, and for one here that no longer occurs.
`make interop` writes docs/differences-from-coturn.md from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tests.interop.oracle import Answer, Comparison


@dataclass(frozen=True, slots=True)
class Extra:
    """An attribute that one server adds and the other leaves out, in whatever answers."""

    attribute: str
    ours: bool
    """Whether it is we who send it."""
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One request that is answered otherwise; ``ours`` and ``coturn`` are the headlines."""

    request: str
    ours: str
    coturn: str
    reason: str


EXTRAS = (
    Extra("SOFTWARE", False, "Optional; it names the version to scan for (RFC 8489, 14.14)."),
    Extra(
        "MAPPED-ADDRESS",
        False,
        "For clients of RFC 3489 only, which are answered in their own form; it makes the answer"
        " to a forged source larger (RFC 8489, 14.1).",
    ),
    Extra("RESPONSE-ORIGIN", False, "Belongs to RFC 5780, which both have switched off here."),
    Extra("CHANGED-ADDRESS", False, "There is no second address to tell of (RFC 3489, 11.2.3)."),
    Extra(
        "PASSWORD-ALGORITHMS",
        True,
        "SHA-256 is offered beside MD5 (RFC 8489, 9.2.4).",
    ),
)

_RFC_MI = "An answer to a request that proved its right is protected too (RFC 8489, 9.2.4)."
_OTHER_ERROR = "The RFC names this code (RFC 8656, {})."
_SAFE_PEERS = (
    "No peer that the Internet does not route, unless it is allowed by name;"
    " `profile = coturn` gives coTURN's rules."
)

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "Allocate for transport 99",
        "error 442",
        "error 400",
        "Unsupported Transport Protocol (RFC 8656, 7.2).",
    ),
)


# What only a success carries; that an error has it not is no difference of its own.
_OF_SUCCESS = frozenset(
    ("LIFETIME", "XOR-MAPPED-ADDRESS", "XOR-RELAYED-ADDRESS", "RESERVATION-TOKEN")
)


def contrast(ours: Answer, coturn: Answer) -> tuple[str, str]:
    """Both answers, each by its headline and the attributes that the other has not."""
    if ours.headline != coturn.headline and "success" in (ours.headline, coturn.headline):
        ours, coturn = ours.without(_OF_SUCCESS), coturn.without(_OF_SUCCESS)
    return (
        str(Answer(ours.headline, ours.attributes - coturn.attributes)),
        str(Answer(coturn.headline, coturn.attributes - ours.attributes)),
    )


def unlisted(
    comparisons: Iterable[Comparison],
    differences: Collection[Difference] = DIFFERENCES,
    extras: Collection[Extra] = EXTRAS,
) -> list[str]:
    """What differs and is not listed, and what is listed and not seen; empty when all is well."""
    missing: set[Extra | Difference] = {*extras, *differences}
    wrong = []
    for comparison in comparisons:
        present = {extra for extra in extras if _is_seen(extra, comparison)}
        missing -= present
        names = frozenset(extra.attribute for extra in present)
        ours, coturn = contrast(comparison.ours.without(names), comparison.coturn.without(names))
        if ours == coturn:
            continue
        listed = {
            one
            for one in differences
            if (one.request, one.ours, one.coturn) == (comparison.request.name, ours, coturn)
        }
        missing -= listed
        if not listed:
            name = f"{comparison.request.name} over {comparison.transport}"
            wrong.append(f"{name}: ours {ours!r}, coturn {coturn!r}")
    return wrong + sorted(f"listed, but not seen: {one}" for one in missing)


def _is_seen(extra: Extra, comparison: Comparison) -> bool:
    having, lacking = comparison.ours, comparison.coturn
    if not extra.ours:
        having, lacking = lacking, having
    return having.has(extra.attribute) and not lacking.has(extra.attribute)
