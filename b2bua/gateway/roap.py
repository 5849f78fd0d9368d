"""
ROAP messages as JSON (draft-jennings-rtcweb-signaling-01), as browsers' old clients have them.

What comes in is read with tolerance, within strict bounds. What goes out has a word before its
JSON, and never holds OFFER or ERROR but where it is one: old clients search the whole text for
these words. Where they stand in something else a letter is escaped, which JSON undoes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from b2bua.gateway.candidates import Candidate, into_sdp, out_of_sdp, read_value
from b2bua.gateway.errors import Malformed, TooLarge

LONGEST: Final = 64 * 1024
"""Bytes of a message."""
HIGHEST_TIE_BREAKER: Final = 429_496_723
_MOST_PAIRS: Final = 64
_LONGEST_ID: Final = 128
_HIGHEST: Final = 2**53

SessionId = int | str | None
Pair = tuple[str, str]


class MessageType(StrEnum):
    """What a message does."""

    OFFER = "OFFER"
    ANSWER = "ANSWER"
    OK = "OK"
    ERROR = "ERROR"
    SHUTDOWN = "SHUTDOWN"


class ErrorType(StrEnum):
    """Why an offer or answer came to nothing."""

    NOMATCH = "NOMATCH"
    TIMEOUT = "TIMEOUT"
    REFUSED = "REFUSED"
    CONFLICT = "CONFLICT"
    DOUBLECONFLICT = "DOUBLECONFLICT"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoapMessage:
    """One message, of either side."""

    type: MessageType
    seq: int
    offerer: SessionId = None
    answerer: SessionId = None
    sdp: bytes = b""
    """With its candidates in it."""
    tie_breaker: int | None = None
    follows_draft: bool = False
    """Whether the tie breaker is spelt as in the draft: its sender settles glare by it."""
    attached: tuple[Pair, ...] = ()
    error: str = ""
    """Of ERROR, its type."""
    reason: str = ""
    """Of ERROR of ours, for people."""
    holds_several: bool = False
    """Its sender says that it can have several calls at a time."""


# Reading.


def read(text: str) -> RoapMessage:
    """Read a message; Malformed for what is none."""
    if len(text) > LONGEST:
        raise TooLarge("longer than any message may be")
    start = text.find("{")
    if start < 0:
        raise Malformed("no JSON")
    try:
        found = json.loads(text[start:], parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(found, dict):
        raise Malformed("not an object")
    return _message(found)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _message(found: Mapping[str, object]) -> RoapMessage:
    try:
        kind = MessageType(_text(found, "messageType", 16).upper())
    except ValueError:
        raise Malformed("messageType") from None
    has_body = kind in (MessageType.OFFER, MessageType.ANSWER)
    draft = found.get("tieBreaker")
    breaker = found.get("tiebreaker") if draft is None else draft
    return RoapMessage(
        type=kind,
        seq=_number(found.get("seq"), "seq") or 0,
        offerer=_id(found, "offererSessionId"),
        answerer=_id(found, "answererSessionId"),
        sdp=_description(found) if has_body else b"",
        tie_breaker=_number(breaker, "tiebreaker"),
        follows_draft=draft is not None,
        attached=_attached(found) if kind is MessageType.OFFER else (),
        error=_text(found, "errorType", 64) if kind is MessageType.ERROR else "",
        holds_several=found.get("multipleCalls") is True,
    )


def _text(found: Mapping[str, object], key: str, longest: int = LONGEST) -> str:
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed(key)
    return value


def _number(value: object, key: str) -> int | None:
    """A number that is not negative, also where it comes as text."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _HIGHEST:
        raise Malformed(key)
    return value


def _id(found: Mapping[str, object], key: str) -> SessionId:
    value = found.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) > _LONGEST_ID or not value.isprintable():
            raise Malformed(key)
        return value
    return _number(value, key)


def _description(found: Mapping[str, object]) -> bytes:
    sdp = _text(found, "sdp")
    if not sdp.strip():
        raise Malformed("sdp")
    listed = found.get("Candidates", found.get("candidates"))
    if listed is None:
        listed = []
    if not isinstance(listed, list):
        raise Malformed("Candidates")
    return into_sdp(sdp, map(_candidate, listed))


def _candidate(entry: object) -> Candidate:
    if isinstance(entry, str):
        return Candidate(read_value(entry))
    if not isinstance(entry, dict):
        raise Malformed("Candidates")
    mid = entry.get("sdpMid")
    if isinstance(mid, int) and not isinstance(mid, bool):
        mid = str(mid)
    if mid is not None and not isinstance(mid, str):
        raise Malformed("sdpMid")
    index = _number(entry.get("sdpMLineIndex"), "sdpMLineIndex")
    return Candidate(read_value(_text(entry, "candidate")), index, mid)


def _attached(found: Mapping[str, object]) -> tuple[Pair, ...]:
    """Pairs as they came; whether each is fit to go on is not decided here."""
    listed = found.get("attacheddata")
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) > _MOST_PAIRS:
        raise Malformed("attacheddata")
    return tuple(map(_pair, listed))


def _pair(entry: object) -> Pair:
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        raise Malformed("attacheddata")
    value = entry.get("value")
    if isinstance(value, str):
        return entry["key"], value
    if value is None or isinstance(value, int | float):
        return entry["key"], "" if value is None else json.dumps(value)
    raise Malformed("attacheddata")


# Writing.

_ESCAPED: Final = (("OFFER", "\\u004fFFER"), ("ERROR", "\\u0045RROR"))


def write(message: RoapMessage) -> str:
    """The text that a client is sent."""
    found: dict[str, object] = {}
    if message.type in (MessageType.OFFER, MessageType.ANSWER):
        sdp, candidates = out_of_sdp(message.sdp)
        found["sdp"] = sdp
        found["Candidates"] = [_entry(candidate) for candidate in candidates]
    found["offererSessionId"] = message.offerer
    found["answererSessionId"] = message.answerer
    found["seq"] = message.seq
    if message.type is MessageType.OFFER:
        found["tiebreaker"] = found["tieBreaker"] = message.tie_breaker
        if message.attached:
            found["attacheddata"] = [{"key": k, "value": v} for k, v in message.attached]
    if message.type is MessageType.ERROR:
        found["errorType"] = message.error
        found["reason"] = message.reason
    rest = json.dumps(found, separators=(",", ":"))
    for word, escaped in _ESCAPED:
        rest = rest.replace(word, escaped)
    word = "SDP" if message.type is MessageType.OFFER else "ROAP"
    return f'{word} {{"messageType":"{message.type}",{rest[1:]}'


def _entry(candidate: Candidate) -> dict[str, object]:
    entry: dict[str, object] = {
        "sdpMLineIndex": candidate.index,
        "candidate": f"candidate:{candidate.value}",
    }
    if candidate.mid is not None:
        entry["sdpMid"] = candidate.mid
    return entry
