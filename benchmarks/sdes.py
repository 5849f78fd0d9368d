"""The cipher suites that bridges are measured with, and their keys as SDP has them (RFC 4568)."""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode

CLEAR = ""
AES_CM = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_128_GCM"
"""What today's browsers agree on with us by DTLS."""
KEY_BYTES = {AES_CM: 30, GCM: 28}
"""Of key and salt (RFC 4568, section 6.2; RFC 7714, section 14.2)."""
NONE = "-"
"""In the place of a key, where there is none."""


def new_key(suite: str) -> str:
    """A key of the suite, or what stands for none."""
    return b64encode(secrets.token_bytes(KEY_BYTES[suite])).decode() if suite else NONE


def suite_of(key: str) -> str:
    """What a key is for: their lengths differ. Raises KeyError."""
    if key == NONE:
        return CLEAR
    return {size: suite for suite, size in KEY_BYTES.items()}[len(b64decode(key))]
