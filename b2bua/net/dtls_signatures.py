"""
What a peer's certificate proves in a handshake: its fingerprint, and its signatures (RFC 5246).

Whoever sends in a peer's name can ask for many checks, and choose the key, too: so they are
bounded, apart for the certificate that the SDP names and for all others, and slow keys are refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from OpenSSL import crypto

from b2bua.net.dtls_budget import Budget

NAMED_A_SECOND: Final = 100
"""Checks of signatures by a certificate that the SDP names."""
OTHERS_A_SECOND: Final = 10
"""By any other certificate."""
MOST_AT_ONCE: Final = 3
"""Checks that one datagram leads to."""

_SLOW: Final = 3
"""What P-384, P-521 and Ed448 count as: one takes up to 0.4 ms. Longer RSA keys count as two."""
_LONGEST_KEY: Final = 4096
_LONGEST_EXPONENT: Final = 32
_MOST_KNOWN: Final = 8
_FUNCTIONS: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""Those that a fingerprint may be made with; sha-1 and md5 prove nothing any more."""
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_Key: TypeAlias = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
# The two bytes of SignatureAndHashAlgorithm (RFC 5246, 7.4.1.4.1), as RFC 8446 goes on with them.
_PKCS1: Final = {
    0x0301: hashes.SHA224(),
    0x0401: hashes.SHA256(),
    0x0501: hashes.SHA384(),
    0x0601: hashes.SHA512(),
}
_ECDSA: Final = {
    0x0303: hashes.SHA224(),
    0x0403: hashes.SHA256(),
    0x0503: hashes.SHA384(),
    0x0603: hashes.SHA512(),
}
_PSS: Final = {
    0x0804: hashes.SHA256(),
    0x0805: hashes.SHA384(),
    0x0806: hashes.SHA512(),
}
"""
Not those for keys of RSASSA-PSS, which browsers do not have: but for its name such a signature is
the same, so a copy with the other name would be one that OpenSSL refuses.
"""
_EDWARDS: Final = {0x0807: ed25519.Ed25519PublicKey, 0x0808: ed448.Ed448PublicKey}


class Fingerprints:
    """Those of a peer's SDP."""

    __slots__ = ("_usable",)

    def __init__(self, fingerprints: tuple[tuple[str, str], ...]) -> None:
        """Hash function and value of each."""
        self._usable: dict[str, set[str]] = {}
        for function, value in fingerprints:
            name = _FUNCTIONS.get(function.lower())
            if name is not None:
                digits = value.replace(":", "").strip().lower()
                self._usable.setdefault(name, set()).add(digits)

    def __bool__(self) -> bool:
        """Whether there is one that proves anything."""
        return bool(self._usable)

    def has(self, certificate: bytes) -> bool:
        """Whether one of them is that of a certificate (DER)."""
        return any(
            hashlib.new(name, certificate).hexdigest() in values
            for name, values in self._usable.items()
        )


@dataclass(slots=True)
class _Known:
    """A certificate that was shown."""

    is_named: bool
    key: _Key | None = None
    is_read: bool = False


class Signatures:
    """Checks them for one association, some in each second, and a few for each datagram."""

    __slots__ = ("_known", "_left", "_named", "_now", "_others", "_peer")

    def __init__(self, peer: Fingerprints) -> None:
        self._peer = peer
        self._known: dict[bytes, _Known] = {}
        self._named = Budget(NAMED_A_SECOND)
        self._others = Budget(OTHERS_A_SECOND)
        self._now = 0.0
        self._left = 0

    def renew(self, now: float) -> None:
        """Another datagram has come."""
        self._now = now
        self._left = MOST_AT_ONCE

    def is_named(self, certificate: bytes) -> bool:
        """Whether the SDP has the fingerprint of a certificate (DER)."""
        return self._look(certificate).is_named

    def has_signed(self, certificate: bytes, signature: bytes, signed: bytes) -> bool | None:
        """
        Whether a certificate's key (DER) has made a signature, with its algorithm and length.

        None: there was too much to do to look at it.
        """
        known = self._look(certificate)
        budget = self._named if known.is_named else self._others
        cost = 1
        if known.is_read:
            cost = _cost(known.key)
        if cost > self._left or not budget.take(cost, self._now):
            return None
        self._left -= cost
        if not known.is_read:
            known.key, known.is_read = _key_of(certificate), True
            if not known.is_named:
                # Whoever made it can make it slow to read and slow to check: one a datagram.
                self._left = 0
        return _has_signed(known.key, signature, signed)

    def _look(self, certificate: bytes) -> _Known:
        name = hashlib.sha256(certificate).digest()
        known = self._known.pop(name, None)
        if known is None:
            known = _Known(self._peer.has(certificate))
        self._known[name] = known
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known


def _cost(key: _Key | None) -> int:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return 1 if isinstance(key.curve, ec.SECP256R1) else _SLOW
    if isinstance(key, rsa.RSAPublicKey):
        return 1 if key.key_size <= _LONGEST_KEY // 2 else 2
    return _SLOW if isinstance(key, ed448.Ed448PublicKey) else 1


def _has_signed(key: _Key | None, signature: bytes, signed: bytes) -> bool:
    algorithm, length = (int.from_bytes(signature[at : at + 2], "big") for at in (0, 2))
    if key is None or len(signature) != 4 + length:
        return False
    try:
        return _verify(key, algorithm, signature[4:], signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def _verify(key: _Key, algorithm: int, signature: bytes, signed: bytes) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if algorithm not in _ECDSA:
            return False
        key.verify(signature, signed, ec.ECDSA(_ECDSA[algorithm]))
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        if not isinstance(key, _EDWARDS.get(algorithm, ())):
            return False
        key.verify(signature, signed)
    elif algorithm in _PKCS1:
        key.verify(signature, signed, padding.PKCS1v15(), _PKCS1[algorithm])
    elif algorithm in _PSS:
        function = _PSS[algorithm]
        salted = padding.PSS(padding.MGF1(function), function.digest_size)
        key.verify(signature, signed, salted, function)
    else:
        return False
    return True


def _key_of(certificate: bytes) -> _Key | None:
    """Read the key of a certificate; None if it is of no kind that is used here."""
    # OpenSSL's own reader: what it takes in the handshake must be taken here.
    try:
        shown = crypto.load_certificate(crypto.FILETYPE_ASN1, certificate)
        key = shown.get_pubkey().to_cryptography_key()
    except (crypto.Error, UnsupportedAlgorithm, ValueError):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key if isinstance(key.curve, _CURVES) else None
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        is_fast = key.key_size <= _LONGEST_KEY and exponent.bit_length() <= _LONGEST_EXPONENT
        return key if is_fast else None
    return key if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else None
