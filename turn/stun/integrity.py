"""
Keys of the long-term credential mechanism (RFC 8489, section 9.2.2) and what goes into them.

Only what is made of names and passwords. The HMAC over a message is ``turn.stun.message``'s;
the short-term key is the password itself, after ``opaque_string``.
"""

from __future__ import annotations

import hashlib

from precis_i18n import get_profile

_OPAQUE_STRING = get_profile("OpaqueString")


def opaque_string(text: str) -> str:
    """
    Return a name, realm or password as both sides must hash it (OpaqueString, RFC 8265).

    Raises ValueError for an empty text and for one with a character that the profile forbids.
    """
    if text and text.isascii() and text.isprintable():
        return text  # the profile changes nothing here
    return str(_OPAQUE_STRING.enforce(text))


def md5_key(user: str, realm: str, password: str) -> bytes:
    """
    Return the 16-byte long-term key of password algorithm MD5.

    ``user`` is hashed as the USERNAME attribute has it; realm and password go through
    ``opaque_string`` and raise its ValueError. A name from a file needs ``opaque_string`` before.
    """
    return hashlib.md5(_credential(user, realm, password), usedforsecurity=False).digest()


def sha256_key(user: str, realm: str, password: str) -> bytes:
    """Return the 32-byte long-term key of password algorithm SHA-256; see ``md5_key``."""
    return hashlib.sha256(_credential(user, realm, password)).digest()


def userhash(user: str, realm: str) -> bytes:
    """
    Return the 32 bytes of USERHASH, by which a client names itself without a name.

    Both texts go through ``opaque_string`` and raise its ValueError.
    """
    return hashlib.sha256(f"{opaque_string(user)}:{opaque_string(realm)}".encode()).digest()


def _credential(user: str, realm: str, password: str) -> bytes:
    return f"{user}:{opaque_string(realm)}:{opaque_string(password)}".encode()
