"""
Who we are to browsers: the certificate of DTLS-SRTP (RFC 5763), its key and its fingerprint.

Nobody checks who signed it, nor its time: the fingerprint in SDP vouches for it (RFC 8122). So an
install makes one for itself at its first start, under a name that says nothing. Its key is for
this process only: a file that others may read is refused.
"""

from __future__ import annotations

import secrets
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.logger import Logger

from b2bua.settings import DtlsSettings

DEFAULT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Authenticated encryption with forward secrecy."""
PROFILES: Final = (
    b"SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32"
)
"""What is offered of SRTP (RFC 5764, RFC 7714): where we choose, the first that is common."""
OWN_FILE: Final = "dtls.pem"
"""In the state directory: key and certificate of this install."""

_LIFETIME: Final = timedelta(days=3650)
_RENEW_BEFORE: Final = timedelta(days=60)
_CLOCK_SKEW: Final = timedelta(days=1)
_DTLS_1_2: Final = 0xFEFD
_OPTIONS: Final = (
    SSL.OP_NO_QUERY_MTU  # Otherwise OpenSSL forgets the MTU it was told and ends the handshake.
    | SSL.OP_NO_TICKET  # Each handshake shows the certificate anew, and keeps forward secrecy.
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)
_log = Logger(namespace="sip")
_Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


_CIPHERS: Final = "ciphers of DTLS"
_CERTIFICATE: Final = "certificate of DTLS"


class DtlsIdentityError(Exception):
    """
    Certificate, key or ciphers cannot be used; the text names what it is about, and why.

    ``about`` is a file, or a word for what was made of the files.
    """

    def __init__(self, about: Path | str, problem: str) -> None:
        super().__init__(f"{about}: {problem}")
        self.about = about
        self.problem = problem


class DtlsIdentity:
    """
    A certificate and what associations are made with; one serves for all of them.

    Made by ``load``.
    """

    __slots__ = ("certificate", "context", "fingerprint")

    certificate: x509.Certificate
    fingerprint: tuple[str, str]
    """Hash function and value, as a=fingerprint has them."""
    context: SSL.Context
    """Serves both roles."""

    def __init__(self, certificate: x509.Certificate, key: _Key, ciphers: str = "") -> None:
        """Raises DtlsIdentityError for what OpenSSL refuses."""
        self.certificate = certificate
        self.fingerprint = ("sha-256", _colons(certificate.fingerprint(hashes.SHA256())))
        self.context = _context(certificate, key, ciphers or DEFAULT_CIPHERS)

    @classmethod
    def load(cls, settings: DtlsSettings, now: datetime | None = None) -> DtlsIdentity:
        """
        Read what the settings name, or what this install has made for itself, or make that.

        Without a state directory that can be written it lives as long as the process. Raises
        DtlsIdentityError.
        """
        if settings.certificate is not None:
            certificate, key = _configured(settings, settings.certificate)
        else:
            certificate, key = _own(settings.state_directory, now or datetime.now(UTC))
        return cls(certificate, key, settings.ciphers)


def _context(certificate: x509.Certificate, key: _Key, ciphers: str) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)  # Records of 1.3 look otherwise.
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A chain proves nothing here. The fingerprint is compared when the handshake is done.
    asked = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(asked, lambda connection, shown, error, depth, is_fine: True)
    try:
        context.set_cipher_list(ciphers.encode("ascii"))
    except (SSL.Error, UnicodeEncodeError):
        raise DtlsIdentityError(_CIPHERS, "OpenSSL knows none of them") from None
    context.set_tlsext_use_srtp(PROFILES)
    # A cookie was compared before OpenSSL gets a hello that has it.
    context.set_cookie_verify_callback(lambda connection, cookie: True)
    try:
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error as error:
        words = ", ".join(str(entry[-1]) for entry in error.args[0]) if error.args else ""
        problem = f"OpenSSL refuses it: {words or 'no reason given'}"
        raise DtlsIdentityError(_CERTIFICATE, problem) from None
    return context


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()


# What the operator gave.


def _configured(settings: DtlsSettings, path: Path) -> tuple[x509.Certificate, _Key]:
    certificate = _read_certificate(path, _read(path))
    key_path = settings.key or path
    key = _read_key(key_path, settings.key_password)
    if not _belongs(key, certificate):
        raise DtlsIdentityError(key_path, f"the key does not belong to the certificate of {path}")
    return certificate, key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DtlsIdentityError(path, f"cannot be read: {error.strerror}") from None


def _read_certificate(path: Path, data: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(data)[0]
    except ValueError:
        raise DtlsIdentityError(path, "there is no PEM certificate in it") from None


def _read_key(path: Path, password: str | None) -> _Key:
    data = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        problem = "others than its owner may use the private key; chmod 600 it"
        raise DtlsIdentityError(path, problem)
    encrypted = b"ENCRYPTED" in data
    if encrypted and not password:
        raise DtlsIdentityError(path, "the private key is encrypted and no password is set")
    secret = password.encode() if encrypted and password else None
    try:
        key = load_pem_private_key(data, secret)
    except (ValueError, TypeError):
        fault = "the password is wrong" if encrypted else "there is no PEM private key in it"
        raise DtlsIdentityError(path, fault) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise DtlsIdentityError(path, "browsers take keys of ECDSA and RSA only")
    return key


def _belongs(key: _Key, certificate: x509.Certificate) -> bool:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


# What an install makes for itself.


def _own(directory: Path | None, now: datetime) -> tuple[x509.Certificate, _Key]:
    if directory is None:
        return _make(now)
    path = directory / OWN_FILE
    kept = _kept(path, now)
    if kept is not None:
        return kept
    certificate, key = _make(now)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _write(path, pem + certificate.public_bytes(Encoding.PEM))
    except OSError as error:
        # No peer has ever seen one before, so nothing is lost but the file.
        _log.warn(
            "{path}: cannot be written: {reason}; until the next start browsers see a certificate"
            " that is kept nowhere",
            path=path,
            reason=error.strerror,
        )
    return certificate, key


def _kept(path: Path, now: datetime) -> tuple[x509.Certificate, _Key] | None:
    """Return what was made before; None where it is missing, unusable, exposed or soon over."""
    try:
        certificate, key = _configured(DtlsSettings(), path)
    except DtlsIdentityError:
        return None
    return (certificate, key) if now < certificate.not_valid_after_utc - _RENEW_BEFORE else None


def _make(now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Whoever calls gets to see the name: it tells nothing of this machine.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, secrets.token_hex(8))])
    begins = now - _CLOCK_SKEW
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole, readable by its owner only from the first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = f".{path.name}."
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=hidden, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
