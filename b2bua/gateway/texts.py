"""
The texts of the HTTP interface: what a client posts, and what its poll brings beside ROAP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from b2bua.gateway.errors import Malformed, TooLarge
from b2bua.gateway.roap import LONGEST, RoapMessage, read

LONGEST_INFO: Final = 8 * 1024
"""Bytes of what INFO-MAP and INFO-PEER bring."""
BYE: Final = "BYE"
INVITE: Final = "INVITE"
EVENTS: Final[Mapping[str, str]] = {"talk": "EVENT-TALK", "hold": "EVENT-HOLD"}
"""What a client is told on NOTIFY, by event package."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The client hangs up, or refuses."""


@dataclass(frozen=True, slots=True)
class Info:
    """Data for the SIP Server (INFO-MAP), or for the peer, who gets them as they are."""

    body: bytes
    is_for_peer: bool


@dataclass(frozen=True, slots=True)
class GetStats:
    """The client asks for numbers."""


Posted = Bye | Info | GetStats | RoapMessage


def first_word(text: str) -> str:
    """The word that says what a text is, if it is no ROAP message."""
    return text.strip().partition(" ")[0]


def read_posted(text: str) -> Posted:
    """Read what a client posts; Malformed for anything else."""
    if len(text) > LONGEST:
        raise TooLarge("longer than any message may be")
    word, _, rest = text.strip().partition(" ")
    if word == BYE:
        return Bye()
    if word == "GET-STATS":
        return GetStats()
    if word in ("INFO-MAP", "INFO-PEER"):
        return _info(rest, word == "INFO-PEER")
    return read(text)


def _info(rest: str, is_for_peer: bool) -> Info:
    try:
        body = rest.encode()
    except UnicodeEncodeError:
        raise Malformed("lone surrogates") from None
    if len(body) > LONGEST_INFO:
        raise TooLarge("longer than data may be")
    return Info(body, is_for_peer)


def info_from_peer(body: bytes) -> str | None:
    """What brings a peer's data to a client; None for what is no text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else f"INFO-PEER {text}"


def stats(found: Mapping[str, object]) -> str:
    """What brings numbers; the old client reads all behind its first nine characters."""
    return f"PUT-STATS {json.dumps(found, separators=(',', ':'))}"
