"""
SRTP of the native media plane: the libsrtp inside pylibsrtp, called by the C core.

Its functions are found by their addresses, and what was found is tried on packets whose outcome is
known before it serves.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from b2bua.media_plane import SrtpKeys
from b2bua.net.srtp import SrtpSession, function_address
from suite.datapath._native import Sources, SrtpWays, use_srtp

_PLAIN: Final = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
_HEAD: Final = _PLAIN[:12].hex()
_CM: Final = "4e55dc4ce79978d88ca4d215949d2402"
_CM_KEY: Final = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
_GCM_SALT: Final = bytes(range(0xA0, 0xAC))
_KNOWN: Final = {
    "AES_CM_128_HMAC_SHA1_80": (_CM_KEY, _CM + "b78d6acc99ea179b8dbb"),
    "AES_CM_128_HMAC_SHA1_32": (_CM_KEY, _CM + "b78d6acc"),
    "AEAD_AES_128_GCM": (
        bytes(range(16)) + _GCM_SALT,
        "c5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
    ),
    "AEAD_AES_256_GCM": (
        bytes(range(32)) + _GCM_SALT,
        "0af7f21e8a90bdad7a425c9c31ed4bb1d90238917e7390a2793500e1681acaea",
    ),
}
"""By profile: key and salt, and what becomes of the payload of ``_PLAIN`` under them."""


def session(keys: SrtpKeys, before: SrtpSession | None = None) -> SrtpSession:
    """Make a session that C and Python may use in turn; see SrtpSession."""
    return SrtpSession(keys, before, Sources)


def ways(of: SrtpSession) -> SrtpWays:
    """The same session, for C."""
    sends, receives = of.contexts
    sources = of.sources
    assert isinstance(sources, Sources)
    return SrtpWays(sends.address, receives.address, sources, (sends, receives))


@cache
def missing_reason() -> str:
    """Why C cannot encrypt media here; empty where it can, and then it does."""
    try:
        use_srtp(function_address("srtp_protect"), function_address("srtp_unprotect"))
        wrong = [profile for profile in _KNOWN if not _is_right(profile)]
    except (AttributeError, TypeError) as error:
        return f"pylibsrtp has not what it is called by: {error}"
    return f"libsrtp fails its test: {', '.join(wrong)}" if wrong else ""


def _is_right(profile: str) -> bool:
    key, expected = _KNOWN[profile]
    sealed = bytes.fromhex(_HEAD + expected)
    forged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    found = ways(session(SrtpKeys(profile=profile, sends=key, receives=key)))
    return (
        found.protect(_PLAIN) == sealed
        and found.unprotect(forged) is None
        and found.unprotect(sealed) == _PLAIN
        and found.unprotect(sealed) is None
    )
