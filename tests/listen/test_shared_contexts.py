"""The certificate of http-port beside that of all other listeners."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from suite.certificate import CertificateError, load
from suite.service import SuiteService
from suite.settings import SuiteSettings, TcpListen, TlsSettings
from suite.shared_contexts import SharedContexts
from tests.certificates import write_certificate
from tests.listen.streams import own_certificate

PAGES = TcpListen(address=("192.0.2.1", 8443))
GATEWAY = TcpListen(address=("192.0.2.1", 8086), https_certificate=True)


class SharedContextsTests(SynchronousTestCase):
    """Two certificates."""

    def setUp(self) -> None:
        """The suite's own for the pages, another one for http-port."""
        own = own_certificate().settings
        self.https = self.another()
        settings = SuiteSettings(state_directory=own.certificate.parent, tls=own, https=self.https)
        clock = Clock()
        self.service = SimpleNamespace(
            settings=settings,
            clocks=SimpleNamespace(monotonic=clock, wall=time.time),
        )
        self.contexts = SharedContexts(cast(SuiteService, self.service))

    def another(self) -> TlsSettings:
        """A certificate on disk."""
        folder = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, folder)
        write_certificate(folder, ())
        return TlsSettings(certificate=folder / "cert.pem", private_key=folder / "key.pem")

    def test_each_its_own(self) -> None:
        """The listeners of http-port show the one, the others the other."""
        pages, gateway = self.contexts.get(PAGES), self.contexts.get(GATEWAY)
        assert pages is not None and gateway is not None
        self.assertIsNot(pages, gateway)
        self.assertLess(gateway.seconds_left(), pages.seconds_left())
        self.assertEqual(gateway.seconds_left() // 60, self.contexts.seconds_left() // 60)

    def test_reload(self) -> None:
        """A bad file of one leaves it as it is, and the other is read again all the same."""
        pages, gateway = self.contexts.get(PAGES), self.contexts.get(GATEWAY)
        assert pages is not None and gateway is not None
        self.https.private_key.write_text("nothing")
        self.assertRaises(CertificateError, self.contexts.reload)
        self.assertEqual((1, 0), (pages.reloads, gateway.reloads))

    def test_watched(self) -> None:
        """All files are watched, those of the authorities too."""
        https = replace(self.https, authorities=self.https.certificate)
        self.service.settings = replace(self.service.settings, https=https)
        own = self.service.settings.tls
        expected = {own.certificate, own.private_key, https.certificate, https.private_key}
        self.assertEqual(expected, set(self.contexts._files()))
        self.assertEqual(5, len(self.contexts._files()))

    def test_authorities(self) -> None:
        """What https-trusted-ca names is sent behind the chain."""
        alone = load(self.https)
        longer = load(replace(self.https, authorities=own_certificate().settings.certificate))
        self.assertEqual(1, len(alone.chain))
        self.assertEqual(3, len(longer.chain))
        self.assertEqual(alone.chain[0], longer.chain[0])

    def test_without(self) -> None:
        """Without a certificate of its own http-port shows none by itself."""
        self.service.settings = replace(self.service.settings, https=None)
        self.assertIsNone(self.contexts.get(GATEWAY))
        self.assertIsNotNone(self.contexts.get(PAGES))
