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
    Extra(
        "PASSWORD-ALGORITHMS",
        True,
        "SHA-256 is offered beside MD5 (RFC 8489, 9.2.4).",
    ),
)

_PROTECTED = "An answer to a request that proved its right is protected too (RFC 8489, 9.2.4)."
_UNKNOWN_METHOD = "A method that is not served is discarded (RFC 8489, 6.3), and gets no challenge."
_NO_TCP_RELAY = "Relaying of TCP (RFC 6062) is off unless asked for, so the method is not served."
_TRANSPORT = "Unsupported Transport Protocol (RFC 8656, 7.2)."
_MISMATCH = "Allocation Mismatch (RFC 8656, 5)."
_SAFE_PEERS = (
    "No peer that the Internet does not route, unless it is allowed by name;"
    " `profile = coturn` gives coturn's rules."
)
_CHANNELS = (
    "Channels end at 0x4FFF (RFC 8656, 12); `rfc5766-channel-numbers` allows those of RFC 5766."
)
_OLD_CLIENTS = (
    "No other address answers here, and old clients take an error for an answer and ask again"
    " without end."
)

DIFFERENCES: tuple[Difference, ...] = (
    Difference("Binding of RFC 3489 with CHANGE-REQUEST", "silence", "error 420", _OLD_CLIENTS),
    Difference(
        "Unknown method", "silence", "error 401, NONCE, REALM interop.test", _UNKNOWN_METHOD
    ),
    Difference(
        "Unknown method with credentials",
        "silence",
        "error 400, MESSAGE-INTEGRITY right",
        _UNKNOWN_METHOD,
    ),
    Difference(
        "Send as a request",
        "silence",
        "error 400, MESSAGE-INTEGRITY right",
        "Send is an indication; a class that a method has not is discarded (RFC 8489, 6.3).",
    ),
    Difference(
        "Connect on a UDP allocation",
        "silence",
        "error 403, MESSAGE-INTEGRITY right",
        _NO_TCP_RELAY,
    ),
    Difference(
        "ConnectionBind for a connection that is not there", "silence", "closed", _NO_TCP_RELAY
    ),
    Difference(
        "Allocate with only MESSAGE-INTEGRITY-SHA256",
        "success, MESSAGE-INTEGRITY-SHA256 right",
        "error 401, NONCE, REALM interop.test",
        "coturn does not know it; a server of RFC 8489 must (RFC 8489, 9.2.4).",
    ),
    Difference(
        "Refresh by another user", "error 441, MESSAGE-INTEGRITY right", "error 441", _PROTECTED
    ),
    Difference(
        "Refresh by an unknown user",
        "error 401, NONCE, REALM interop.test",
        "error 441",
        "Who is asking is settled before what it may do (RFC 8489, 9.2.4).",
    ),
    Difference("Second Allocate", "error 437, MESSAGE-INTEGRITY right", "error 437", _PROTECTED),
    Difference("Allocate for transport 99", "error 442", "error 400", _TRANSPORT),
    Difference("Allocate for TCP over UDP", "error 442", "error 400", _TRANSPORT),
    Difference(
        "Allocate, IPv4 in addition",
        "error 400",
        "success",
        "Only IPv6 can be in addition (RFC 8656, 7.2).",
    ),
    Difference(
        "Allocate, IPv6 in addition, none there",
        "success, ADDRESS-ERROR-CODE",
        "success",
        "The client is told what it did not get (RFC 8656, 7.2).",
    ),
    Difference(
        "Allocate, IPv6 in addition by coturn's older number, none there",
        "success, ADDRESS-ERROR-CODE",
        "success, COTURN-ADDRESS-ERROR-CODE, XOR-RELAYED-ADDRESS 0.0.0.0:0",
        "Told by the number that the RFC has now, and without an address that is none.",
    ),
    Difference(
        "Allocate, IPv4 asked for and IPv6 in addition",
        "error 400",
        "success",
        "The two exclude each other (RFC 8656, 7.2).",
    ),
    Difference(
        "Allocate with an unknown RESERVATION-TOKEN",
        "error 508",
        "error 404",
        "Insufficient Capacity (RFC 8656, 7.2); there is no 404 in STUN.",
    ),
    Difference(
        "Refresh after Refresh for 0 seconds",
        "error 437",
        "success",
        "The allocation ends at once, not some time later (RFC 8656, 8.2).",
    ),
    Difference("CreatePermission without an allocation", "error 437", "error 400", _MISMATCH),
    Difference("ChannelBind without an allocation", "error 437", "error 400", _MISMATCH),
    Difference(
        "CreatePermission with an address of three bytes",
        "error 400",
        "success",
        "An address that cannot be read permits nobody (RFC 8656, 10.2).",
    ),
    Difference("CreatePermission for 10.0.0.1", "error 403", "success", _SAFE_PEERS),
    Difference("CreatePermission for 169.254.169.254", "error 403", "success", _SAFE_PEERS),
    Difference("CreatePermission for 224.0.0.5", "error 403", "success", _SAFE_PEERS),
    Difference(
        "CreatePermission for an allowed peer and 10.0.0.1", "error 403", "success", _SAFE_PEERS
    ),
    Difference("ChannelBind to 10.0.0.1", "error 403", "success", _SAFE_PEERS),
    Difference("ChannelBind of 0x5000", "error 400", "success", _CHANNELS),
    Difference("ChannelBind of 0x7FFF", "error 400", "success", _CHANNELS),
    Difference(
        "LIFETIME after MESSAGE-INTEGRITY",
        "success, LIFETIME 1000",
        "success, LIFETIME 0",
        "No HMAC covers it, so anybody could have added it (RFC 8489, 14.5).",
    ),
    Difference(
        "LIFETIME twice",
        "success, LIFETIME 1000",
        "success, LIFETIME 0",
        "The first of several counts (RFC 8489, 14).",
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
