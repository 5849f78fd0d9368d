"""
What a peer's certificate proves in a handshake: its fingerprint, and its signatures (RFC 5246).

Checking one takes a tenth of a millisecond, and whoever sends in a peer's name can ask for many:
they are bounded for each second.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from OpenSSL import crypto

CHECKS_A_SECOND: Final = 100

_FUNCTIONS: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""Those that a fingerprint may be made with; sha-1 and md5 prove nothing any more."""
_MOST_REMEMBERED: Final = 1000
_Key: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
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
    0x0809: hashes.SHA256(),
    0x080A: hashes.SHA384(),
    0x080B: hashes.SHA512(),
}
_ED25519: Final = 0x0807


class Fingerprints:
    """Those of a peer's SDP."""

    __slots__ = ("_usable",)

    def __init__(self, fingerprints: tuple[tuple[str, str], ...]) -> None:
        """Hash function and value of each."""
        self._usable = [
            (_FUNCTIONS[function.lower()], value.replace(":", "").strip().lower())
            for function, value in fingerprints
            if function.lower() in _FUNCTIONS
        ]

    def __bool__(self) -> bool:
        """Whether there is one that proves anything."""
        return bool(self._usable)

    def has(self, certificate: bytes) -> bool:
        """Whether one of them is that of a certificate (DER)."""
        return any(
            hashlib.new(name, certificate).hexdigest() == value for name, value in self._usable
        )


class Signatures:
    """Checks them for one association, some in each second."""

    __slots__ = ("_begun", "_left", "_remembered")

    def __init__(self) -> None:
        self._begun = float("-inf")
        self._left = 0
        self._remembered: dict[bytes, bool] = {}

    def renew(self, now: float) -> None:
        """Another second may have begun."""
        if not self._begun <= now < self._begun + 1.0:
            self._begun, self._left = now, CHECKS_A_SECOND

    def has_signed(self, certificate: bytes, signature: bytes, signed: bytes) -> bool:
        """
        Whether a certificate's key (DER) has made a signature, with its algorithm and length.

        No, where too many were asked about in this second.
        """
        parts = (certificate, signature, signed)
        question = hashlib.sha256(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).digest()
        answer = self._remembered.get(question)
        if answer is None:
            if self._left <= 0:
                return False
            self._left -= 1
            answer = _has_signed(certificate, signature, signed)
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[question] = answer
        return answer


def _has_signed(certificate: bytes, signature: bytes, signed: bytes) -> bool:
    algorithm, length = (int.from_bytes(signature[at : at + 2], "big") for at in (0, 2))
    key = _key_of(certificate)
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
    elif isinstance(key, ed25519.Ed25519PublicKey):
        if algorithm != _ED25519:
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
    # OpenSSL's own reader: what it takes in the handshake must be taken here.
    try:
        shown = crypto.load_certificate(crypto.FILETYPE_ASN1, certificate)
        key = shown.get_pubkey().to_cryptography_key()
    except (crypto.Error, UnsupportedAlgorithm, ValueError):
        return None
    usable = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    return key if isinstance(key, usable) else None
