"""A certificate authority for tests, and certificates with the names that a test wants."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from b2bua.net.tls import OwnCertificate


def dns(*names: str) -> list[x509.GeneralName]:
    """DNS names."""
    return [x509.DNSName(name) for name in names]


def uri(*uris: str) -> list[x509.GeneralName]:
    """URIs."""
    return [x509.UniformResourceIdentifier(text) for text in uris]


def address(*hosts: str) -> list[x509.GeneralName]:
    """IP addresses."""
    return [x509.IPAddress(ipaddress.ip_address(host)) for host in hosts]


class Authority:
    """
    Signs what it is asked to sign; its own certificate is in ``path``.

    One ``above`` it has signed that, else it is the root itself.
    """

    def __init__(self, folder: Path, name: str = "test CA", above: Authority | None = None) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._count = 0
        signer = above or self
        certificate = (
            signer._builder(self._name, self._key.public_key(), days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer._key, hashes.SHA256())
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(
        self, names: Sequence[x509.GeneralName], days: int = 30
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """A certificate for these names, that ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        builder = self._builder(subject, key.public_key(), days)
        if names:
            alternatives = x509.SubjectAlternativeName(names)
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256()), key

    def issue(self, names: Sequence[x509.GeneralName], days: int = 30) -> OwnCertificate:
        """The same on disk."""
        self._count += 1
        certificate, key = self.certificate(names, days)
        stem = f"{self.path.stem}-{self._count}"
        own = OwnCertificate(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        own.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        own.key.touch(mode=0o600)
        own.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return own

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
