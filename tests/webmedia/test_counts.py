"""What the media plane counts and tells of browsers' transports, and what a start makes of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from b2bua.media_plane import RemoteTransport, TransportEvent
from b2bua.net.ice_consent import IceTimes
from b2bua.settings import B2buaSettings
from suite.build_b2bua import make_plane
from suite.config import Arguments, load
from suite.service import SuiteService
from tests.config.machines import MACHINE
from tests.datapath.media import native_core
from tests.runtime.doubles import MemoryLog
from tests.webmedia.folders import temporary_folder
from tests.webmedia.loops import LoopReactor, until
from tests.webmedia.planes import WebPlaneTestCase


class CountTests(WebPlaneTestCase):
    """Transports by what became of them, handshakes by outcome."""

    def test_connected(self) -> None:
        """Two transports that find each other count, and are gone when they are closed."""

        async def scenario() -> None:
            pair = (self.open(controlling=True), self.open())
            for transport, peer in (pair, pair[::-1]):
                self.plane.set_remote(transport, self.as_remote(peer, begins=transport > peer))
            await until(lambda: len(self.told) == 2)
            self.assertEqual({"connected": 2}, self.plane.transport_events)
            self.assertEqual({"connected": 2}, self.plane.handshakes)
            self.assertEqual(2, self.plane.transports)
            for transport in pair:
                self.plane.close_transport(transport)
            self.assertEqual(0, self.plane.transports)

        self.run_loop(scenario())

    def as_remote(self, transport: int, *, begins: bool) -> RemoteTransport:
        """One of our own transports as its peer sees it."""
        local = self.plane.describe_transport(transport)
        return RemoteTransport(
            ufrag=local.ufrag,
            password=local.password,
            candidates=local.candidates,
            fingerprints=(local.fingerprint,),
            begins_handshake=begins,
        )


class FailedTests(WebPlaneTestCase):
    """A browser that is never reached."""

    times = IceTimes(connecting=0.2)

    def test_failed(self) -> None:
        """It counts as failed, and what is told has the reason."""

        async def scenario() -> None:
            heard: list[tuple[TransportEvent, str]] = []
            self.plane._tell_of = lambda event, _, found: heard.append((event, found.trouble))
            transport = self.open()
            remote = RemoteTransport(
                ufrag="abcd", password="p" * 22, fingerprints=(("sha-256", "AB:" * 31 + "AB"),)
            )
            self.plane.set_remote(transport, remote)
            await until(lambda: heard)
            self.assertEqual({"failed": 1}, self.plane.transport_events)
            [(event, trouble)] = heard
            self.assertIs(TransportEvent.FAILED, event)
            self.assertIn("ICE", trouble)
            self.assertIsNone(self.plane._transports[transport].client)

        self.run_loop(scenario())


class RefusedTests(WebPlaneTestCase):
    """A browser that says in the clear that it will not have us."""

    times = IceTimes(connecting=1.0)

    def test_alert(self) -> None:
        """It may be anybody's, so it ends nothing; in the end it is told with the reason."""

        async def scenario() -> None:
            heard: list[tuple[TransportEvent, str]] = []
            self.plane._tell_of = lambda event, _, found: heard.append((event, found.trouble))
            transport = self.open()
            peer = self.peer()
            await peer.gather()
            await peer.hear(self.plane.describe_transport(transport))
            prints = (("sha-256", "AB:" * 31 + "AB"),)
            self.plane.set_remote(transport, peer.describe(keys=None, fingerprints=prints))
            await peer.connect()
            await peer.connection.send(b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x2a")
            await until(lambda: heard)
            [(event, trouble)] = heard
            self.assertIs(TransportEvent.FAILED, event)
            self.assertIn("not finished in time (the peer ended the handshake: bad", trouble)

        self.run_loop(scenario())


class StartTests(WebPlaneTestCase):
    """What keeps browsers from being served keeps nobody else."""

    def settings(self) -> B2buaSettings:
        """Those that are started without a file."""
        loaded = load(Arguments(), machine=MACHINE)
        assert loaded.settings is not None and loaded.settings.b2bua is not None
        return loaded.settings.b2bua

    def test_certificate_that_is_gone(self) -> None:
        """Phones are served without browsers, and the guide's record for ICE says why."""
        missing = temporary_folder(self) / "missing.pem"
        settings = self.settings()
        assert settings.web is not None
        dtls = replace(settings.web.dtls, certificate=missing)
        settings = replace(settings, web=replace(settings.web, dtls=dtls))
        log = MemoryLog()
        reactor = LoopReactor(self.loop)
        service = SimpleNamespace(
            log=log,
            reactor=reactor,
            clocks=SimpleNamespace(monotonic=reactor),
            native_core=native_core(reactor) if self.native else None,
        )
        self.patch(__import__("suite.build_b2bua").build_b2bua, "get_loop", lambda: self.loop)
        served, plane = make_plane(cast(SuiteService, service), settings)
        self.addCleanup(plane.shut_down)
        self.assertEqual((None, None), (served.web, served.gateway))
        self.assertEqual(settings.servers, served.servers)
        [line] = log.lines
        self.assertTrue(line.startswith("Std 20015 Browsers are not served"), line)
        self.assertEqual("native" if self.native else "pure Python", plane.kind)
