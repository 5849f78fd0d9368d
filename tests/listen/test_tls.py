"""TLS contexts: what is offered, and how certificates are replaced."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from suite.certificate import CertificateError, CertificateWatcher, OwnCertificate, load
from suite.settings import TlsSettings
from suite.tls import TlsContexts
from tests.listen.streams import BINDING, Setting, TlsClient, own_certificate


class OfferTests(SynchronousTestCase):
    """What the server agrees to."""

    def client(self, **options: object) -> TlsClient:
        """A client of a new connection."""
        return TlsClient(*Setting().connect(), **options)  # type: ignore[arg-type]

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, 1.1 is not."""
        for version, name in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
            client = self.client(maximum=version)
            client.handshake()
            self.assertEqual(client.connection.get_protocol_version_name(), name)
        client = self.client(maximum=SSL.TLS1_1_VERSION, ciphers=b"ALL:@SECLEVEL=0")
        self.assertRaises(SSL.Error, client.handshake)

    def test_ciphers(self) -> None:
        """TLS 1.2 uses authenticated encryption with forward secrecy and nothing else."""
        client = self.client(maximum=SSL.TLS1_2_VERSION)
        client.handshake()
        name = client.connection.get_cipher_name() or ""
        self.assertTrue(name.startswith("ECDHE-ECDSA-"), name)
        self.assertTrue("GCM" in name or "CHACHA20" in name, name)
        client = self.client(
            maximum=SSL.TLS1_2_VERSION, ciphers=b"ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"
        )
        self.assertRaises(SSL.Error, client.handshake)

    def test_cipher_list(self) -> None:
        """The operator's list takes the place of ours; one without any cipher is an error."""
        own = own_certificate().settings
        contexts = TlsContexts(replace(own, cipher_list="ECDHE-ECDSA-AES256-GCM-SHA384"))
        server = contexts.connection(())
        self.assertIn("ECDHE-ECDSA-AES256-GCM-SHA384", server.get_cipher_list())
        self.assertNotIn("ECDHE-ECDSA-AES128-GCM-SHA256", server.get_cipher_list())
        error = self.assertRaises(CertificateError, TlsContexts, replace(own, cipher_list="NONE"))
        self.assertIn("'NONE'", str(error))

    def test_minimum(self) -> None:
        """A minimum of 1.3 refuses 1.2; a minimum below 1.2 is an error."""
        own = own_certificate().settings
        server = TlsContexts(replace(own, minimum="1.3")).connection(())
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context, None)
        client.set_connect_state()
        server.set_accept_state()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        server.bio_write(client.bio_read(2**16))
        self.assertRaises(SSL.Error, server.do_handshake)
        self.assertRaises(CertificateError, TlsContexts, replace(own, minimum="1.0"))

    def test_no_session_is_resumed(self) -> None:
        """A client that comes back with its session gets a full handshake."""
        setting = Setting()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            first = self.connect(setting, context, None)
            second = self.connect(setting, context, first.session)
            self.assertEqual(first.version(), second.version())
            self.assertIs(second.session_reused, False)

    def connect(
        self, setting: Setting, context: ssl.SSLContext, session: ssl.SSLSession | None
    ) -> ssl.SSLObject:
        """Connect with the client of Python itself, which can tell a resumed session."""
        stream, wire = setting.connect()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, session=session)
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                client.read(1)
            if outgoing.pending:
                stream.dataReceived(outgoing.read())
            incoming.write(wire.value())
            wire.clear()
        return client


class ReloadTests(SynchronousTestCase):
    """A new certificate in the place of an old one."""

    def setUp(self) -> None:
        """Make an install with its own certificate."""
        self.folder = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.now = datetime.now(UTC)
        self.own = OwnCertificate(self.folder)
        self.own.ensure(self.now)
        self.contexts = TlsContexts(self.own.settings, lambda: self.now)
        self.offer = self.contexts.offering((b"stun.turn",))

    def serial(self) -> int:
        """The serial number of the certificate that a new connection shows."""
        server = self.offer.serverConnectionForTLS(None)  # type: ignore[arg-type]
        certificate = server.get_certificate()
        assert certificate is not None
        return certificate.get_serial_number()

    def renew(self, start: timedelta = timedelta(0)) -> None:
        """Replace the files by new ones, valid from ``start`` from now on."""
        for path in self.folder.iterdir():
            path.unlink()
        OwnCertificate(self.folder).ensure(self.now + start)

    def test_new_connections_show_the_new_one(self) -> None:
        """After a reload, listeners that exist already show the new certificate."""
        before = self.serial()
        self.renew()
        self.assertEqual(self.serial(), before)
        self.contexts.reload()
        self.assertNotEqual(self.serial(), before)
        self.assertEqual(self.contexts.reloads, 1)

    def test_old_connections_stay(self) -> None:
        """A connection that began before the reload, even mid-handshake, goes on."""
        setting = Setting()
        assert setting.contexts is not None
        stream, wire = setting.connect()
        client = TlsClient(stream, wire)
        self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
        client.pump()
        self.renew()
        setting.contexts.reload(self.own.settings)
        client.handshake()
        client.send(BINDING)
        self.assertEqual(setting.relayed[0].received, BINDING)

    def test_old_one_stays_on_any_error(self) -> None:
        """Whatever is wrong with the new files, the old certificate is served."""
        before = self.serial()
        key = self.own.settings.private_key
        good = key.read_bytes()
        other = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, other)
        OwnCertificate(other).ensure(self.now)
        for bad in (b"", good[:60], (other / "key.pem").read_bytes()):
            key.write_bytes(bad)
            self.assertRaises(CertificateError, self.contexts.reload)
            self.assertEqual(self.serial(), before)
        key.unlink()
        self.assertRaises(CertificateError, self.contexts.reload)
        for start in (timedelta(days=1), timedelta(days=-900)):
            self.renew(start)
            error = self.assertRaises(CertificateError, self.contexts.reload)
            self.assertIn("valid only from", str(error))
        self.assertEqual((self.serial(), self.contexts.reloads), (before, 0))

    def test_expired_at_start_is_served(self) -> None:
        """At start an expired certificate is served, with an error in the log."""
        self.renew(timedelta(days=-900))
        contexts = TlsContexts(self.own.settings, lambda: self.now)
        contexts.connection(())
        self.assertLess(contexts.seconds_left(), 0)

    def test_watcher(self) -> None:
        """Replaced files are seen within five seconds; a bad replacement is told and kept out."""
        clock = Clock()
        paths = (self.own.settings.certificate, self.own.settings.private_key)
        looks: list[int] = []
        watcher = CertificateWatcher(
            lambda: paths, clock, self.contexts.reload, lambda: looks.append(len(looks))
        )
        watcher.start()
        before = self.serial()
        clock.pump([5, 5])
        self.assertEqual((self.contexts.reloads, looks), (0, [0, 1]))
        good = paths[1].read_bytes()
        paths[1].write_bytes(b"nothing")
        clock.pump([5, 5])
        self.assertEqual((self.contexts.reloads, self.serial()), (0, before))
        paths[1].write_bytes(good)
        clock.advance(5)
        self.assertEqual(self.contexts.reloads, 1)
        self.renew()
        clock.advance(5)
        self.assertNotEqual(self.serial(), before)
        watcher.stop()
        watcher.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_watcher_follows_other_names(self) -> None:
        """Once other files are named, a change of those is seen and one of the old is not."""
        old, new = self.own.settings.certificate, self.folder / "new.pem"
        new.write_bytes(b"first")
        named = [old]
        clock = Clock()
        seen: list[bool] = []
        watcher = CertificateWatcher(lambda: named, clock, lambda: seen.append(True))
        watcher.start()
        named[:] = [new]
        clock.advance(5)
        old.unlink()
        clock.advance(5)
        self.assertEqual(len(seen), 1)
        new.write_bytes(b"another")
        clock.advance(5)
        self.assertEqual(len(seen), 2)
        watcher.stop()

    def test_watcher_follows_links(self) -> None:
        """A symbolic link that is turned to another file is a change."""
        link = self.folder / "live.pem"
        link.symlink_to(self.own.settings.certificate)
        clock = Clock()
        seen: list[bool] = []
        watcher = CertificateWatcher(lambda: (link,), clock, lambda: seen.append(True))
        watcher.start()
        clock.advance(5)
        self.assertEqual(seen, [])
        link.unlink()
        clock.advance(5)
        link.symlink_to(self.own.settings.private_key)
        clock.advance(5)
        self.assertEqual(len(seen), 2)
        watcher.stop()


class KeyPasswordTests(SynchronousTestCase):
    """Encrypted keys."""

    def test_password(self) -> None:
        """The right password opens the key; none and a wrong one are told apart."""
        folder = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, folder)
        own = own_certificate().settings
        key = load(own).key
        path = folder / "encrypted.pem"
        path.write_bytes(
            key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3cret-word")
            )
        )
        settings = TlsSettings(certificate=own.certificate, private_key=path)
        error = self.assertRaises(CertificateError, load, settings)
        self.assertIn("no password is set", str(error))
        error = self.assertRaises(CertificateError, load, replace(settings, key_password="wrong"))
        self.assertEqual(str(error), f"{path}: the password is wrong")
        TlsContexts(replace(settings, key_password="s3cret-word")).connection(())
