"""
Certificates: reading what the operator gave, making one for an install that was given none.

The certificate that an install makes for itself is signed by an authority whose key is thrown
away at once, so trusting ``ca.pem`` trusts this one certificate and nothing that comes later.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from suite.settings import TlsSettings

OWN_LIFETIME = timedelta(days=825)
"""The longest that today's clients accept of a certificate."""
RENEW_BEFORE = timedelta(days=30)
WARN_BEFORE_DAYS = (30, 7, 1)
_CLOCK_SKEW = timedelta(hours=1)
_POLL_SECONDS = 5.0


class CertificateError(Exception):
    """A certificate or key cannot be used; the text names the file and what is wrong with it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A certificate chain, the server's own first, and the key that belongs to it."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes

    @property
    def not_before(self) -> datetime:
        """When the certificate begins to be valid."""
        return self.chain[0].not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        return self.chain[0].not_valid_after_utc


def load(settings: TlsSettings) -> Identity:
    """
    Read the certificate and its key; raises CertificateError if they cannot be served.

    A certificate out of its time is no error here: the caller knows whether there is a better one.
    """
    chain = load_chain(settings.certificate)
    if settings.authorities is not None:
        chain += load_chain(settings.authorities)
    key = _load_key(settings.private_key, settings.key_password)
    if _public_bytes(key) != chain[0].public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise CertificateError(
            settings.private_key, f"the key does not belong to {settings.certificate}"
        )
    return Identity(chain=chain, key=key)


def load_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """Read all certificates of a PEM file."""
    try:
        return tuple(x509.load_pem_x509_certificates(_read(path)))
    except ValueError:
        raise CertificateError(path, "there is no PEM certificate in it") from None


def _load_key(path: Path, password: str | None) -> PrivateKeyTypes:
    data = _read(path)
    encrypted = b"ENCRYPTED" in data
    if encrypted and password is None:
        raise CertificateError(path, "the key is encrypted and no password is set")
    secret = password.encode() if encrypted and password is not None else None
    try:
        return load_pem_private_key(data, secret)
    except (ValueError, TypeError):
        problem = "the password is wrong" if encrypted else "there is no PEM private key in it"
        raise CertificateError(path, problem) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(path, f"cannot be read: {error.strerror}") from None


def _public_bytes(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


AUTHORITY_FILE = "ca.pem"
"""In the state directory: what a client must trust to trust the install's own certificate."""


class OwnCertificate:
    """
    The certificate that this install makes for itself in its state directory.

    ``certificate.pem`` and ``key.pem`` are served; ``ca.pem`` is for clients that are to trust
    them. They are made when they are missing, unusable or within thirty days of their end.
    """

    def __init__(self, state_directory: Path, addresses: Iterable[str] = ()) -> None:
        self._directory = state_directory
        self._addresses = tuple(addresses)
        self.settings = TlsSettings(
            certificate=state_directory / "certificate.pem",
            private_key=state_directory / "key.pem",
        )

    def ensure(self, now: datetime) -> bool:
        """Make the files unless good ones are there; True says that new ones were made."""
        if self._is_good(now):
            return False
        self._make(now)
        return True

    def _is_good(self, now: datetime) -> bool:
        try:
            identity = load(self.settings)
        except CertificateError:
            return False
        return identity.not_before <= now < identity.not_after - RENEW_BEFORE

    def _make(self, now: datetime) -> None:
        authority_key = ec.generate_private_key(ec.SECP256R1())
        key = ec.generate_private_key(ec.SECP256R1())
        authority = _authority(authority_key, now)
        leaf = _leaf(key.public_key(), self._names(), authority, authority_key, now)
        chain = [certificate.public_bytes(Encoding.PEM) for certificate in (leaf, authority)]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        # The key first: a stop in between leaves a pair that does not match, and ``ensure``
        # makes it again.
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(self.settings.private_key, pem, 0o600)
        _write(self.settings.certificate, b"".join(chain), 0o644)
        _write(self._directory / AUTHORITY_FILE, chain[1], 0o644)

    def _names(self) -> list[x509.GeneralName]:
        names = {"localhost", socket.gethostname(), "127.0.0.1", "::1", *self._addresses}
        return [general_name(name) for name in sorted(names) if name not in ("", "0.0.0.0", "::")]


def general_name(name: str) -> x509.GeneralName:
    """An address or a host name as a subject alternative name has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"webrtc-suite on {socket.gethostname()}"[:64])]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = _key_usage(signs_certificates=True)
    return (
        _dated(now)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, socket.gethostname()[:64])])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        _dated(now)
        .subject_name(name)
        .issuer_name(authority.subject)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _dated(now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now - _CLOCK_SKEW + OWN_LIFETIME)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file as a whole; nobody ever reads half of it or with a wider mode."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class ExpiryNotices:
    """
    What to say about a certificate's end, and when: 30, 7 and 1 days before it, then hourly.
    """

    def __init__(self) -> None:
        self._for: datetime | None = None
        self._said: int | None = None

    def due(self, not_after: datetime, now: datetime) -> str | None:
        """The sentence to log now, or None. Every sentence is given once for a certificate."""
        step = _expiry_step(not_after - now)
        if not_after != self._for:
            self._for, self._said = not_after, None
        if step is None or step == self._said:
            return None
        self._said = step
        if step < 0:
            return f"The certificate expired at {not_after:%Y-%m-%d %H:%M} UTC; it is still served."
        return (
            f"The certificate expires in less than {step} days, at {not_after:%Y-%m-%d %H:%M} UTC."
        )


def _expiry_step(left: timedelta) -> int | None:
    """The smallest warning day that ``left`` is within; below zero: minus the hours since."""
    if left <= timedelta(0):
        return -1 - int(-left / timedelta(hours=1))
    return min((days for days in WARN_BEFORE_DAYS if left < timedelta(days=days)), default=None)


class CertificateWatcher:
    """
    Calls ``reload`` when one of the files was replaced or changed.

    Looks every five seconds at inode and times, which also sees a symbolic link turned elsewhere,
    as ACME clients and orchestrators do it. ``paths`` is asked each time, because a reload may
    have named other files. ``each_look`` is for what is as periodic: expiry.
    """

    _log = Logger()

    def __init__(
        self,
        paths: Callable[[], Iterable[Path]],
        clock: IReactorTime,
        reload: Callable[[], None],
        each_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._reload = reload
        self._each_look = each_look
        self._seen = self._look()
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to watch."""
        if self._next is None:
            self._next = self._clock.callLater(_POLL_SECONDS, self._poll)

    def stop(self) -> None:
        """Watch no longer."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _poll(self) -> None:
        self._next = self._clock.callLater(_POLL_SECONDS, self._poll)
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._reload()
            except CertificateError as error:
                self._log.error("The old certificate stays: {error}", error=error)
        self._each_look()

    def _look(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        return tuple(_fingerprint(path) for path in self._paths())


def _fingerprint(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None  # Gone for now: between the two halves of a replacement, or for good.
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
