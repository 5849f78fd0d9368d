"""
Names of header fields: canonical spelling, compact forms, which are lists and which single.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMPACT: Final = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

SINGLE: Final = _names("""
    Call-ID Content-Disposition Content-Length Content-Type CSeq Date Event Expires From
    Max-Forwards MIME-Version Min-Expires Min-SE RAck Refer-To Referred-By Replaces Reply-To
    Retry-After RSeq Session-Expires Subject Subscription-State Timestamp To
""")
"""Header fields that may be there once: a second one is how two readers are made to disagree."""

LISTS: Final = _names("""
    Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Call-Info
    Contact Content-Encoding Content-Language Diversion Error-Info History-Info In-Reply-To
    P-Asserted-Identity P-Preferred-Identity Path Proxy-Require Reason Record-Route Recv-Info
    Reject-Contact Require Route Security-Client Security-Server Security-Verify Service-Route
    Supported Unsupported Via Warning
""")
"""Header fields whose value is a list with commas, in as many rows as the sender likes."""

_OTHERS: Final = _names("""
    Answer-Mode Authentication-Info Authorization Flow-Timer Identity Identity-Info Info-Package
    Join Max-Breadth Organization P-Early-Media Priority Privacy Proxy-Authenticate
    Proxy-Authorization Request-Disposition Server SIP-ETag SIP-If-Match User-Agent User-to-User
    WWW-Authenticate
""")

KNOWN: Final = frozenset({*SINGLE, *LISTS, *_OTHERS, *_COMPACT.values()})
"""The canonical names."""

# Spellings met on the wire lead straight to the canonical name; others through lower case.
_BY_SPELLING: Final = {name: name for name in KNOWN} | _COMPACT
_BY_LOWER: Final = {name.lower(): name for name in KNOWN} | _COMPACT

by_spelling: Final = _BY_SPELLING.get
"""The canonical name of a name in its usual spelling or compact form, or None."""


def canonical_name(name: str) -> str:
    """Return the canonical long name; a name that is not known, as it is."""
    return _BY_SPELLING.get(name) or _BY_LOWER.get(name.lower(), name)
