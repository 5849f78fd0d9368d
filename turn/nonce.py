"""
Nonces that need no memory (RFC 8489, sections 9.2 and 5.4 of its security features).

A nonce is the nonce cookie, the time of issue and a MAC over both, the client's transport address
and the realm. A nonce that somebody else was given, or that was made up, does not check. Nothing
is stored, so a flood of requests from invented sources costs no memory.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from enum import Enum

from turn.five_tuple import Address

NONCE_LENGTH = 28
CLOCK_SKEW = 60
"""How many seconds ahead the clock of another server of the fleet may be."""

_COOKIE = "obMatJos2"
_PASSWORD_ALGORITHMS = 0x800000
_USERNAME_ANONYMITY = 0x400000
_PREFIX_LENGTH = 13
_TIME_LENGTH = 4
_MAC_LENGTH = 7
_SHORTEST_RANDOM = 16
_SCRYPT_COST = 2**14
"""About 40 ms and 16 MiB, once at start. Every server of a fleet must use the same."""


class NonceState(Enum):
    """What a nonce that came back is worth."""

    VALID = "valid"
    STALE = "stale"
    """Ours, for this client, but too old (or from a clock that has since been set back)."""
    FORGED = "forged"
    """Never given to this client under this realm."""


def derive_key(secret: str, random: bytes) -> bytes:
    """
    Give the key for a ``NonceSource``: of a fleet's shared secret, or ``random`` without one.

    The secret goes through scrypt, since whoever holds a nonce can try secrets at leisure.
    """
    if not secret:
        if len(random) < _SHORTEST_RANDOM:
            raise ValueError(f"a nonce key needs at least {_SHORTEST_RANDOM} random bytes")
        return random
    return hashlib.scrypt(
        secret.encode(), salt=b"TURN nonce key", n=_SCRYPT_COST, r=8, p=1, dklen=32
    )


class NonceSource:
    """
    Issues nonces and recognises them.

    ``now`` is wall-clock time everywhere, because servers that share a key must agree about it;
    a clock that jumps costs clients one more challenge. A ``lifetime`` of 0 means that a nonce
    is never stale. The two features are announced in the nonce itself (RFC 8489, section 18.1),
    and a nonce that announces others is forged: the bid-down protection rests on that.
    """

    def __init__(
        self, key: bytes, lifetime: float, *, password_algorithms: bool, username_anonymity: bool
    ) -> None:
        features = password_algorithms * _PASSWORD_ALGORITHMS
        features |= username_anonymity * _USERNAME_ANONYMITY
        self._key = key
        self._lifetime = lifetime
        self._prefix = _COOKIE + b64encode(features.to_bytes(3, "big")).decode()

    def issue(self, client: Address, realm: str, now: float) -> str:
        """Give the nonce for ``client``: 28 characters that may stand in a quoted string."""
        # Modulo 2**32: in 2106 the counter starts anew, and only differences count.
        return self._nonce(client, realm, (int(now) % 2**32).to_bytes(_TIME_LENGTH, "big"))

    def check(self, nonce: str, client: Address, realm: str, now: float) -> NonceState:
        """Judge a nonce that came from ``client``. Any text may be given."""
        if len(nonce) != NONCE_LENGTH or not nonce.isascii():
            return NonceState.FORGED
        try:
            time = urlsafe_b64decode(nonce[_PREFIX_LENGTH:] + "=")[:_TIME_LENGTH]
        except ValueError:
            return NonceState.FORGED
        # The whole text is compared, so no second spelling of the same bits is accepted.
        if not hmac.compare_digest(nonce.encode(), self._nonce(client, realm, time).encode()):
            return NonceState.FORGED
        age = _difference(int(now), int.from_bytes(time, "big"))
        if self._lifetime and not -CLOCK_SKEW <= age <= self._lifetime:
            return NonceState.STALE
        return NonceState.VALID

    def _nonce(self, client: Address, realm: str, time: bytes) -> str:
        host, port = client
        # Parts of fixed length first and the realm last: no two inputs give the same text.
        text = b"%b%b%b|%d|%b" % (self._prefix.encode(), time, host.encode(), port, realm.encode())
        mac = hmac.digest(self._key, text, "sha256")[:_MAC_LENGTH]
        return self._prefix + urlsafe_b64encode(time + mac).decode().rstrip("=")


def _difference(now: int, then: int) -> int:
    """Seconds from ``then`` to ``now``, both counted modulo 2**32."""
    return (now - then + 2**31) % 2**32 - 2**31
