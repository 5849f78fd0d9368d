"""Whose certificate is believed, and what is said about files that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from OpenSSL import SSL
from twisted.logger import LogLevel, capturedLogs, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.tls import (
    ClientTls,
    OwnCertificate,
    PeerRefused,
    ServerTls,
    TlsFilesError,
    verify_domain,
)
from tests.sipnet.authority import Authority, address, dns, uri
from tests.sipnet.wires import temporary_folder


class VerifyDomainTests(SynchronousTestCase):
    """Identities in a certificate (RFC 5922, section 7)."""

    def setUp(self) -> None:
        """Make a CA."""
        self.authority = Authority(temporary_folder(self))

    def believed(self, names: Sequence[x509.GeneralName], domain: str) -> bool:
        """Whether a certificate with these names serves the domain."""
        certificate, _ = self.authority.certificate(names)
        try:
            verify_domain(certificate, domain)
        except PeerRefused:
            return False
        return True

    def test_names_that_match(self) -> None:
        """A sip URI, a DNS name in any case, and an address."""
        self.assertTrue(self.believed(uri("sip:pbx.example"), "pbx.example"))
        self.assertTrue(self.believed(uri("SIP:pbx.example"), "PBX.example."))
        self.assertTrue(self.believed(dns("other.example", "PBX.Example"), "pbx.example"))
        self.assertTrue(self.believed(address("192.0.2.1"), "192.0.2.1"))
        self.assertTrue(self.believed(address("2001:db8::1"), "2001:db8::1"))

    def test_names_that_do_not(self) -> None:
        """Another name, a part of it, more than it, or none at all."""
        for names in (
            dns("other.example"),
            dns("example"),
            dns("a.pbx.example"),
            uri("sip:other.example"),
            uri("https:pbx.example"),
            uri("sips:pbx.example"),
            address("192.0.2.1"),
            [],
        ):
            self.assertFalse(self.believed(names, "pbx.example"), names)
        self.assertFalse(self.believed(address("192.0.2.1"), "192.0.2.2"))
        self.assertFalse(self.believed(dns("192.0.2.1"), "192.0.2.1"))

    def test_wildcards_are_nobody(self) -> None:
        """RFC 5922 has none, other than the web."""
        self.assertFalse(self.believed(dns("*.example"), "pbx.example"))
        self.assertFalse(self.believed(uri("sip:*.example"), "pbx.example"))

    def test_sip_uris_come_before_dns_names(self) -> None:
        """Where a certificate says which SIP domains it is for, its DNS names say nothing."""
        names = uri("sip:other.example") + dns("pbx.example")
        self.assertFalse(self.believed(names, "pbx.example"))

    def test_users_are_not_domains(self) -> None:
        """The certificate of somebody at the domain is not the domain's."""
        self.assertFalse(self.believed(uri("sip:eve@pbx.example"), "pbx.example"))

    def test_strange_uris_hurt_nobody(self) -> None:
        """They stand beside the right name in many a certificate."""
        strange = uri("urn:uuid:f81d4fae", "spiffe://x/y:z", "sip:", "sip:pbx.example:5061")
        self.assertTrue(self.believed(strange, "pbx.example"))

    def test_sentence_names_both(self) -> None:
        """Whoever reads it sees what to change."""
        certificate, _ = self.authority.certificate(dns("other.example"))
        error = self.assertRaises(PeerRefused, verify_domain, certificate, "pbx.example")
        self.assertEqual("pbx.example: the certificate is for other.example", str(error))

    def test_domain_that_is_none(self) -> None:
        """Nothing can be for it."""
        certificate, _ = self.authority.certificate(dns("pbx.example"))
        self.assertRaises(PeerRefused, verify_domain, certificate, "pbx example")


class FilesTests(SynchronousTestCase):
    """Files that cannot be used are named."""

    def setUp(self) -> None:
        """Make a CA and a certificate."""
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder)
        self.own = self.authority.issue(dns("pbx.example"))

    def test_missing_and_garbled_files(self) -> None:
        """Each of the three."""
        missing = self.folder / "missing.pem"
        garbled = self.folder / "garbled.pem"
        garbled.write_text("nothing")
        for bad in (missing, garbled):
            for own in (
                OwnCertificate(bad, self.own.key),
                OwnCertificate(self.own.certificate, bad),
            ):
                error = self.assertRaises(TlsFilesError, ServerTls, own)
                self.assertTrue(str(error).startswith(f"{bad}: "), str(error))
            error = self.assertRaises(TlsFilesError, ClientTls, bad)
            self.assertTrue(str(error).startswith(f"{bad}: "), str(error))

    def test_key_of_another_certificate(self) -> None:
        """It is found at start, not by the first peer."""
        other = self.authority.issue(dns("other.example"))
        own = OwnCertificate(self.own.certificate, other.key)
        error = self.assertRaises(TlsFilesError, ServerTls, own)
        self.assertIn(str(other.key), str(error))

    def test_checking_nobody_is_said_aloud(self) -> None:
        """Without trusted CAs the log has a warning."""
        events: list[dict[str, object]] = []
        observer = events.append
        globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observer)  # type: ignore[arg-type]
        ClientTls(None)
        self.assertEqual([LogLevel.warn], [event["log_level"] for event in events])


class ComplaintTests(SynchronousTestCase):
    """What the operator reads of a server that no connection can be made to."""

    def setUp(self) -> None:
        """Trust a CA."""
        self.client = ClientTls(Authority(temporary_folder(self)).path)

    def test_said_once(self) -> None:
        """The same fault of a server that is tried again and again is told every ten minutes."""
        with capturedLogs() as events:
            for now in (0.0, 5.0, 599.0, 600.0):
                self.client.toward("pbx.example").complain("192.0.2.1:5061 for a: why", now)
            self.client.toward("pbx.example").complain("192.0.2.2:5061 for a: why", 601.0)
        said = [formatEvent(event) for event in events]
        self.assertEqual(
            said,
            [
                "TLS to 192.0.2.1:5061 for a: why",
                "TLS to 192.0.2.1:5061 for a: why",
                "TLS to 192.0.2.2:5061 for a: why",
            ],
        )

    def test_alerts(self) -> None:
        """An alert about certificates is about ours, and bytes that are no TLS are told as such."""
        server = self.client.toward("pbx.example")
        for words, meaning in (
            ("tlsv1 alert unknown ca", "it does not accept our certificate"),
            ("sslv3 alert bad certificate", "it does not accept our certificate"),
            ("tlsv13 alert certificate required", "it does not accept our certificate"),
            ("wrong version number", "it does not speak TLS there"),
            ("sslv3 alert handshake failure", "TLS failed"),
        ):
            told = server.words_of(SSL.Error([("SSL routines", "", words)]))
            self.assertEqual(told, f"pbx.example: {meaning} ({words})")
