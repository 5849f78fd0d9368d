"""
Whom a page calls, and what it attaches: in the words of SIP.
"""

from __future__ import annotations

from typing import Final

from b2bua.attached_data import AttachedDataError, Pair, check_pairs, to_headers

_LONGEST_NUMBER: Final = 64


def number_in(peer: str) -> str:
    """The number that a page calls; "" for none that could be one."""
    fits = 0 < len(peer) <= _LONGEST_NUMBER and peer.isprintable() and peer.isascii()
    return peer if fits and not set(peer) & set(' "<>\\') else ""


def attached_headers(pairs: tuple[Pair, ...]) -> list[Pair]:
    """Header fields of what a page attaches; what may not go on is left out, the call is made."""
    kept: list[Pair] = []
    for pair in pairs:
        try:
            check_pairs([pair])
            to_headers([*kept, pair])
        except AttachedDataError:
            continue
        kept.append(pair)
    return to_headers(kept)
