"""
The texts between gateway and client, read exactly as the old client reads them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

WORDS = ("BYE", "INVITE", "EVENT-TALK", "EVENT-HOLD", "INFO-PEER", "PUT-STATS")


@dataclass(frozen=True)
class Text:
    """One that was understood, or ``LOST``."""

    kind: str
    """One of WORDS, OFFER, ANSWER, OK, ERROR, or LOST."""
    data: Any = None
    raw: str = ""


def read_text(text: str) -> Text:
    """What the client takes a text for."""
    word = next((word for word in WORDS if text.startswith(word)), None)
    if word == "INFO-PEER":
        return Text(word, text[len(word) + 1 :], text)
    if word == "PUT-STATS":
        return Text(word, _json(text[9:]), text)
    if word is not None:
        return Text(word, None, text)
    # A plain search: an answer whose SDP has the word is lost as an answer.
    if "OFFER" in text:
        return _offer(text)
    if text.find("ERROR") > 0 and "errorType" in text and not text.startswith("{"):
        return Text("ERROR", _json(text[text.find("{") :]), text)
    return _roap(text)


def _offer(text: str) -> Text:
    message = _json(text[text.find("{") :]) if text.startswith("SDP") and "{" in text else None
    is_offer = isinstance(message, dict) and message.get("messageType") == "OFFER"
    return Text("OFFER" if is_offer else "LOST", message, text)


def _roap(text: str) -> Text:
    message = _json(text[text.find("{") :]) if "{" in text else None
    kind = message.get("messageType") if isinstance(message, dict) else None
    return Text(kind if kind in ("ANSWER", "OK") else "LOST", message, text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def stringified(message: dict[str, Any]) -> str:
    """JSON as a browser writes it; what is undefined vanishes."""
    kept = {key: value for key, value in message.items() if value is not UNDEFINED}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


UNDEFINED = object()
"""JavaScript's undefined, which null is not."""


def escaped(values: dict[str, str]) -> str:
    """jQuery.param: each value as encodeURIComponent writes it, but a space as a plus."""
    pairs = (
        f"{quote(key, safe=_UNESCAPED)}={quote(value, safe=_UNESCAPED)}"
        for key, value in values.items()
    )
    return "&".join(pairs).replace("%20", "+")


_UNESCAPED = "!'()*-._~"


def deparam(data: str) -> dict[str, str]:
    """What the client makes of INFO-PEER: undecoded, cut at a second ``=``."""
    parts = (part.split("=") for part in data.split("&"))
    return {part[0]: part[1] if len(part) > 1 else "" for part in parts}
