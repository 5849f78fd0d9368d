"""
What kind of message a text of either side is, in fixed words, for counts and traces.
"""

from __future__ import annotations

import re
from typing import Final

from b2bua.gateway.roap import MessageType

_TYPE: Final = re.compile(r'"messageType"\s*:\s*"([A-Z]{1,16})"')
_WORDS: Final = frozenset(
    {
        "BYE",
        "INVITE",
        "EVENT-TALK",
        "EVENT-HOLD",
        "INFO-MAP",
        "INFO-PEER",
        "GET-STATS",
        "PUT-STATS",
    }
)
OTHER: Final = "other"


def kind_of(text: str) -> str:
    """A message type of ROAP, or the first word of another message; else ``OTHER``."""
    word = text[:16].split(" ", 1)[0]
    if word in _WORDS:
        return word
    found = _TYPE.search(text)
    return found[1] if found and found[1] in set(MessageType) else OTHER
