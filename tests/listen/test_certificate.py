"""Reading certificates, and the one that an install makes for itself."""

from __future__ import annotations

import ipaddress
import shutil
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store
from twisted.trial.unittest import SynchronousTestCase

from suite.certificate import (
    CertificateError,
    ExpiryNotices,
    OwnCertificate,
    load,
    load_chain,
)
from suite.settings import TlsSettings


class FolderTestCase(SynchronousTestCase):
    """A state directory that does not exist yet."""

    def setUp(self) -> None:
        """Choose its place."""
        parent = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, parent)
        self.folder = parent / "state" / "webrtc-suite"
        self.now = datetime.now(UTC)
        self.own = OwnCertificate(self.folder, ("192.0.2.1", "::", "relay.example"))


class OwnCertificateTests(FolderTestCase):
    """``OwnCertificate``."""

    def test_files(self) -> None:
        """Three files appear; only the owner reads the key, and nothing else is left behind."""
        self.assertTrue(self.own.ensure(self.now))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        self.assertEqual(modes, {"ca.pem": 0o644, "certificate.pem": 0o644, "key.pem": 0o600})
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertNotIn(b"PRIVATE", (self.folder / "ca.pem").read_bytes())
        self.assertEqual((self.folder / "key.pem").read_bytes().count(b"BEGIN"), 1)

    def test_clients_trust_it(self) -> None:
        """A client that trusts ``ca.pem`` accepts every name and address of the install."""
        self.own.ensure(self.now)
        leaf, authority = load_chain(self.own.settings.certificate)
        self.assertEqual(load_chain(self.folder / "ca.pem"), (authority,))
        builder = PolicyBuilder().store(Store([authority])).time(self.now)
        for name in ("localhost", "relay.example"):
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, [])
        for address in ("127.0.0.1", "::1", "192.0.2.1"):
            subject = x509.IPAddress(ipaddress.ip_address(address))
            builder.build_server_verifier(subject).verify(leaf, [])
        self.assertRaises(
            x509.verification.VerificationError,
            builder.build_server_verifier(x509.DNSName("other.example")).verify,
            leaf,
            [],
        )

    def test_key_and_lifetime(self) -> None:
        """The key is on P-256 and the certificate lasts 825 days."""
        self.own.ensure(self.now)
        identity = load(self.own.settings)
        assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
        self.assertEqual(identity.key.curve.name, "secp256r1")
        self.assertEqual(identity.not_after - identity.not_before, timedelta(days=825))

    def test_kept_until_thirty_days_before_its_end(self) -> None:
        """The same files serve until the last thirty days begin, and are then made anew."""
        self.own.ensure(self.now)
        first = load(self.own.settings)
        self.assertFalse(self.own.ensure(self.now))
        self.assertFalse(self.own.ensure(first.not_after - timedelta(days=31)))
        self.assertTrue(self.own.ensure(first.not_after - timedelta(days=29)))
        self.assertNotEqual(load(self.own.settings).chain, first.chain)

    def test_damaged_files_are_made_anew(self) -> None:
        """A missing file, half a file and a key of another certificate are replaced."""
        self.own.ensure(self.now)
        old_key = (self.folder / "key.pem").read_bytes()
        (self.folder / "certificate.pem").unlink()
        self.assertTrue(self.own.ensure(self.now))
        (self.folder / "key.pem").write_bytes(old_key)
        self.assertTrue(self.own.ensure(self.now))
        (self.folder / "key.pem").write_bytes(old_key[:40])
        self.assertTrue(self.own.ensure(self.now))
        load(self.own.settings)

    def test_a_clock_before_the_certificate(self) -> None:
        """A certificate from the future, made while the clock was wrong, is made anew."""
        self.own.ensure(self.now + timedelta(days=400))
        self.assertTrue(self.own.ensure(self.now))


class LoadTests(FolderTestCase):
    """``load`` names the file and what is wrong with it."""

    def setUp(self) -> None:
        """Make good files to break."""
        super().setUp()
        self.own.ensure(self.now)
        self.certificate = self.own.settings.certificate
        self.key = self.own.settings.private_key

    def problem(self, certificate: Path, key: Path) -> str:
        """What ``load`` says."""
        settings = TlsSettings(certificate=certificate, private_key=key)
        return str(self.assertRaises(CertificateError, load, settings))

    def test_missing(self) -> None:
        """A file that is not there."""
        missing = self.folder / "missing.pem"
        sentence = f"{missing}: cannot be read: No such file or directory"
        self.assertEqual(self.problem(missing, self.key), sentence)
        self.assertEqual(self.problem(self.certificate, missing), sentence)

    def test_wrong_content(self) -> None:
        """Files that hold something else, also when the two are mixed up."""
        self.assertEqual(
            self.problem(self.key, self.key), f"{self.key}: there is no PEM certificate in it"
        )
        self.assertEqual(
            self.problem(self.certificate, self.certificate),
            f"{self.certificate}: there is no PEM private key in it",
        )

    def test_mismatch(self) -> None:
        """A key of another certificate; the sentence names both files and no secret."""
        other = OwnCertificate(self.folder / "other")
        other.ensure(self.now)
        key = other.settings.private_key
        self.assertEqual(
            self.problem(self.certificate, key),
            f"{key}: the key does not belong to {self.certificate}",
        )

    def test_secrets_stay_out_of_repr(self) -> None:
        """Neither identity nor settings show key material or password."""
        settings = TlsSettings(
            certificate=self.certificate, private_key=self.key, key_password="s3cret-word"
        )
        self.assertNotIn("s3cret-word", repr(settings))
        self.assertNotIn("key=", repr(load(self.own.settings)))


class ExpiryNoticesTests(SynchronousTestCase):
    """When the log hears about a certificate's end."""

    def test_steps(self) -> None:
        """Once at 30, 7 and 1 days, then every hour after the end, and again for a new one."""
        end = datetime(2026, 6, 1, tzinfo=UTC)
        notices = ExpiryNotices()
        said = []
        for hour in range(-24 * 40, 3):
            for minute in (0, 30):
                now = end + timedelta(hours=hour, minutes=minute)
                sentence = notices.due(end, now)
                if sentence is not None:
                    said.append(((now - end) / timedelta(days=1), sentence.split()[3]))
        half_hour = 1 / 48
        expected = [-30 + half_hour, -7 + half_hour, -1 + half_hour, 0, 1 / 24, 2 / 24]
        self.assertEqual([round(day, 6) for day, _ in said], [round(day, 6) for day in expected])
        self.assertIsNone(notices.due(end + timedelta(days=90), end))
        self.assertIsNotNone(notices.due(end + timedelta(days=90), end + timedelta(days=89.5)))
