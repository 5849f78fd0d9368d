"""Tests of b2bua.net.dtls_identity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.dtls_identity import OWN_FILE, DtlsIdentity, DtlsIdentityError
from b2bua.settings import DtlsSettings
from tests.certificates import write_certificate
from tests.webmedia.folders import temporary_folder

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class OwnIdentityTests(SynchronousTestCase):
    """What an install makes for itself."""

    def setUp(self) -> None:
        self.directory = temporary_folder(self) / "state"
        self.settings = DtlsSettings(state_directory=self.directory)
        self.path = self.directory / OWN_FILE

    def test_made_once(self) -> None:
        """The first start makes it, later ones find it."""
        first = DtlsIdentity.load(self.settings, NOW)
        again = DtlsIdentity.load(self.settings, NOW + timedelta(days=365))
        self.assertEqual(first.fingerprint, again.fingerprint)
        self.assertEqual([each.name for each in self.directory.iterdir()], [OWN_FILE])

    def test_mode(self) -> None:
        """Nobody but the owner may read it."""
        DtlsIdentity.load(self.settings, NOW)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_what_is_made(self) -> None:
        """A key on P-256, a certificate for years, and a name that tells nothing."""
        certificate = DtlsIdentity.load(self.settings, NOW).certificate
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertEqual(key.curve.name, "secp256r1")
        self.assertGreater(certificate.not_valid_after_utc, NOW + timedelta(days=3000))
        other = DtlsIdentity.load(DtlsSettings(), NOW).certificate
        self.assertNotEqual(certificate.subject, other.subject)

    def test_fingerprint(self) -> None:
        """It is told as a=fingerprint has it."""
        identity = DtlsIdentity.load(self.settings, NOW)
        function, value = identity.fingerprint
        self.assertEqual(function, "sha-256")
        self.assertRegex(value, r"\A([0-9A-F]{2}:){31}[0-9A-F]{2}\Z")
        digest = identity.certificate.fingerprint(hashes.SHA256())
        self.assertEqual(bytes.fromhex(value.replace(":", "")), digest)

    def test_made_anew(self) -> None:
        """What is soon over, broken or exposed gives way to a new one."""
        first = DtlsIdentity.load(self.settings, NOW).fingerprint
        second = DtlsIdentity.load(self.settings, NOW + timedelta(days=3600)).fingerprint
        self.assertNotEqual(first, second)
        self.path.chmod(0o644)
        third = DtlsIdentity.load(self.settings, NOW).fingerprint
        self.assertNotEqual(second, third)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.path.write_bytes(self.path.read_bytes()[:200])
        self.assertNotEqual(third, DtlsIdentity.load(self.settings, NOW).fingerprint)

    def test_no_directory(self) -> None:
        """Without a place to keep it each load makes another."""
        first, second = (DtlsIdentity.load(DtlsSettings()) for _ in range(2))
        self.assertNotEqual(first.fingerprint, second.fingerprint)

    def test_not_written(self) -> None:
        """A directory that cannot be is said, and does not keep browsers from being served."""
        self.directory.write_text("a file in its place")
        with capturedLogs() as said:
            identity = DtlsIdentity.load(self.settings, NOW)
        self.assertEqual(identity.fingerprint[0], "sha-256")
        self.assertEqual([each["log_level"] for each in said], [LogLevel.warn])
        self.assertIn(f"{self.path}: cannot be written", formatEvent(said[0]))


class ConfiguredIdentityTests(SynchronousTestCase):
    """What the operator gave."""

    def setUp(self) -> None:
        self.directory = temporary_folder(self)
        write_certificate(self.directory, [])
        self.certificate = self.directory / "cert.pem"
        self.key = self.directory / "key.pem"
        self.settings = DtlsSettings(certificate=self.certificate, key=self.key)

    def assertRefused(self, settings: DtlsSettings, pattern: str) -> None:
        with self.assertRaisesRegex(DtlsIdentityError, pattern):
            DtlsIdentity.load(settings)

    def test_two_files(self) -> None:
        """Certificate and key in files of their own."""
        identity = DtlsIdentity.load(self.settings)
        again = DtlsIdentity.load(self.settings)
        self.assertEqual(identity.fingerprint, again.fingerprint)

    def test_one_file(self) -> None:
        """Both in one file, which is then as secret as a key."""
        self.certificate.chmod(0o600)
        self.certificate.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        settings = DtlsSettings(certificate=self.certificate)
        found = DtlsIdentity.load(settings).fingerprint
        self.assertEqual(found, DtlsIdentity.load(self.settings).fingerprint)
        self.certificate.chmod(0o644)
        self.assertRefused(settings, "cert.pem: others than its owner")

    def test_exposed(self) -> None:
        """A key that the group or everybody may read is refused."""
        for mode in (0o640, 0o604):
            self.key.chmod(mode)
            self.assertRefused(self.settings, "key.pem: others than its owner .*chmod 600")

    def test_password(self) -> None:
        """An encrypted key needs its password."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(key, BestAvailableEncryption(b"secret"))
        self.assertRefused(self.settings, "encrypted and no password")
        wrong = DtlsSettings(certificate=self.certificate, key=self.key, key_password="wrong")
        self.assertRefused(wrong, "key.pem: the password is wrong")
        right = DtlsSettings(certificate=self.certificate, key=self.key, key_password="secret")
        self.assertRefused(right, "key.pem: the key does not belong to .*cert.pem")

    def test_other_key(self) -> None:
        """Keys that browsers do not take are refused."""
        self._write(ed25519.Ed25519PrivateKey.generate(), NoEncryption())
        self.assertRefused(self.settings, "key.pem: browsers take keys of ECDSA and RSA only")

    def test_no_pem(self) -> None:
        """Files that are missing, or hold something else, are named."""
        self.key.write_bytes(b"nothing")
        self.assertRefused(self.settings, "key.pem: there is no PEM private key")
        self.key.unlink()
        self.assertRefused(self.settings, "key.pem: cannot be read: No such file")
        self.certificate.write_bytes(b"nothing")
        self.assertRefused(self.settings, "cert.pem: there is no PEM certificate")

    def test_ciphers(self) -> None:
        """A list that OpenSSL knows nothing of is refused."""
        for ciphers in ("NOSUCHCIPHER", "\N{SNOWMAN}"):
            settings = DtlsSettings(certificate=self.certificate, key=self.key, ciphers=ciphers)
            self.assertRefused(settings, "ciphers of DTLS: OpenSSL knows none of them")

    def _write(
        self,
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
        encryption: BestAvailableEncryption | NoEncryption,
    ) -> None:
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
