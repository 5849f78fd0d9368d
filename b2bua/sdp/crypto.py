"""
Keys of SRTP in SDP (RFC 4568; RFC 7714 for AES-GCM): which lines can be used, ours beside theirs.

Each side says in its own line what it encrypts with; an answer has the tag of the line that it
takes. Lifetimes are passed over: a key outlives every call. Lines with a master key identifier,
several keys or parameters that change what is encrypted are none of ours, and other lines may
serve. Random bytes are handed in.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from typing import Final

from b2bua.media_plane import SrtpKeys
from b2bua.sdp.attributes import Crypto

Random = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess."""

KEY_SIZES: Final = {
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Bytes of key and salt together, by suite; best first."""
OFFERED: Final = ("AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80")
"""The others are taken, but not offered: whoever has them has one of these, and each line makes an
INVITE longer, which has to fit into a datagram."""

_SHORT_TAG: Final = "AES_CM_128_HMAC_SHA1_32"
_INLINE: Final = "inline:"
_BARE_PARAMETERS: Final = ("-", "WSH=")
"""What begins like this may be passed over: marked so by its writer, or a mere hint."""


def offer_crypto(random: Random) -> tuple[Crypto, ...]:
    """Make the lines of an offer, each with a key of its own."""
    return tuple(
        make_line(tag, suite, random(KEY_SIZES[suite])) for tag, suite in enumerate(OFFERED, 1)
    )


def answer_crypto(lines: Sequence[Crypto], random: Random) -> tuple[Crypto, SrtpKeys] | None:
    """
    Take the best of an offer's lines: our line of the answer, and the keys of both ways.

    None where none can be served.
    """
    chosen = choose(lines)
    if chosen is None:
        return None
    suite = suite_of(chosen)
    line = make_line(chosen.tag, suite, random(KEY_SIZES[suite]))
    keys = accept((line,), (chosen,))
    return None if keys is None else (line, keys)


def accept(ours: Sequence[Crypto], theirs: Sequence[Crypto]) -> SrtpKeys | None:
    """
    Say which keys two sides have come to, whichever of them was the offer.

    None where no line of theirs has the tag and the suite of one of ours.
    """
    by_tag = {line.tag: line for line in ours}
    for line in theirs:
        own = by_tag.get(line.tag)
        if own is None or suite_of(own) != suite_of(line):
            continue
        sends, receives = key_of(own), key_of(line)
        if sends and receives:
            return SrtpKeys(profile=suite_of(line), sends=sends, receives=receives)
    return None


def choose(lines: Sequence[Crypto]) -> Crypto | None:
    """
    Choose the line of an offer to answer; None where none can be served.

    The offer's order is its writer's wish; but the short tag is nobody's first.
    """
    usable = [line for line in lines if key_of(line)]
    return min(usable, key=lambda line: suite_of(line) == _SHORT_TAG, default=None)


def make_line(tag: int, suite: str, key: bytes) -> Crypto:
    """Say a key of ours."""
    return Crypto(tag, suite, (_INLINE + binascii.b2a_base64(key, newline=False).decode(),))


def suite_of(line: Crypto) -> str:
    """The suite as it stands in ``KEY_SIZES``, if it is one of those."""
    return line.suite.upper()


def key_of(line: Crypto) -> bytes:
    """Key and salt of a line; empty where the line cannot be served."""
    size = KEY_SIZES.get(suite_of(line))
    if size is None or len(line.keys) != 1 or not all(map(_is_harmless, line.parameters)):
        return b""
    text, *more = line.keys[0].removeprefix(_INLINE).split("|")
    if any(":" in word for word in more):
        return b""  # A master key identifier: every packet would have it too.
    key = _decoded(text)
    return key if len(key) == size else b""


def _is_harmless(parameter: str) -> bool:
    word = parameter.upper()
    return word.startswith(_BARE_PARAMETERS) or word == "KDR=0"


def _decoded(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        # Padding is left away here and there.
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error:
        return b""
