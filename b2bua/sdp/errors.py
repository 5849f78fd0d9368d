"""What is wrong with a session description. Every reason is one of a few fixed words."""

from __future__ import annotations

from typing import Final, Literal, get_args

SdpFault = Literal[
    "encoding",  # not UTF-8, or a NUL
    "line-end",  # a CR alone, two kinds of line end, or an empty line before the last
    "line",  # not a letter that may stand there, "=" and a value
    "order",  # v=, o= and s= do not come first, or a line stands where its kind may not
    "missing",  # a line that every description has
    "duplicate",  # a line, mid or payload type that may be there once
    "value",  # a value that does not have its form
    "range",  # a number that is too small or too large
    "size",  # more bytes than are read
    "count",  # more lines, media, formats or candidates than are read
    "mismatch",  # an answer that is none to its offer, or a slot put to another use
    "address",  # media are at addresses of a family that we have none of
    "encryption",  # no fingerprint of a browser, or no keys, where media must be encrypted
    "ice",  # media of a browser without ICE credentials
    "media",  # no medium or no codec is left that both sides have
    "pending",  # an offer while one of ours is open
    "unanswered",  # an offer while the one before has no answer yet
    "unasked",  # an answer without an offer
]
"""Why a description cannot be used; fit for a metric's label."""

SDP_FAULTS: Final[tuple[str, ...]] = get_args(SdpFault)

_STATUS: Final[dict[SdpFault, int]] = {
    "range": 488,
    "size": 488,
    "count": 488,
    "mismatch": 488,
    "address": 488,
    "encryption": 488,
    "ice": 488,
    "media": 488,
    "pending": 491,
    "unanswered": 500,
}
_WARNING: Final[dict[SdpFault, int]] = {"address": 301, "media": 305, "mismatch": 304}


class SdpError(ValueError):
    """
    A description, offer or answer of a peer that cannot be used.

    ``status`` is what to answer when it came in a request that is still open: 400 where the text
    is no SDP, 488 where it is but cannot be served, 491 and 500 (with Retry-After) where the
    turn was not the peer's. An answer cannot be answered: then the session it was for ends, or
    falls back to what was agreed before. ``warning`` is the code of a Warning header beside a
    488 (RFC 3261, section 20.43).
    """

    def __init__(self, reason: SdpFault, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: SdpFault = reason
        self.detail = detail
        self.status = _STATUS.get(reason, 400)
        self.warning = _WARNING.get(reason, 399)


class CodecListError(ValueError):
    """A list of codecs in the configuration that cannot be read; the text says what is wrong."""
