"""
What a request can be refused for. A refusal is the peer's doing: it is answered, never a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

STANDARD_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    500: "Server Error",
    508: "Insufficient Capacity",
}
"""Reason phrases (RFC 8489, section 14.8; RFC 8656, section 19)."""


class Refusal(Exception):
    """An error response: its code, a sentence for logs, and what must go along with it."""

    def __init__(
        self, code: int, reason: str, attributes: Sequence[tuple[int, bytes]] = ()
    ) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.attributes = tuple(attributes)


class Challenge(Refusal):
    """401 or 438: the response carries REALM and a fresh NONCE, and no integrity."""


class Silence(Exception):
    """No answer at all; ``reason`` is one of a fixed set of words, fit for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
