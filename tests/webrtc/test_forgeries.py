"""Browsers call while somebody else sends in their names during the handshake, and are heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from b2bua.net.dtls_records import (
    CERTIFICATE,
    CLIENT_HELLO,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    Fragment,
    fragments_in,
)
from tests.webmedia.impostor import Impostor, joined
from tests.webmedia.test_dtls_forgeries import (
    FORGED,
    FROM_BROWSERS,
    STRANGER,
    hello_of,
)
from tests.webrtc.browsers import Browser
from tests.webrtc.cable import Cable, Datagram, laid
from tests.webrtc.installation import ECHO
from tests.webrtc.stage import StageTestCase
from tests.webrtc.test_descriptions import OneLegTestCase

TONE = 440
PATIENCE = 0.5
"""Seconds that the gateway's answer waits for a HelloVerifyRequest that does not come."""
UNTIL_NOTED = 0.02
"""Seconds for the gateway to take note of an answer; browsers repeat a hello after 0.05."""


class EarlyHellos(Cable):
    """
    Somebody says hello in the browser's name as soon as the gateway knows its address.

    The browser is not told that it may begin before the gateway has answered that.
    """

    def __init__(self, hellos: Sequence[bytes]) -> None:
        super().__init__()
        self._hellos = hellos
        self._waiting: list[Datagram] = []
        self._until = float("inf")

    def meet(self, datagram: Datagram) -> None:
        """Let answers to checks wait until the gateway has asked for a cookie."""
        if not datagram.is_held_answer:
            self.pass_on(datagram)
        else:
            self._waiting.append(datagram)
            if not self.forged:
                self.forge(datagram.target, datagram.source, self._hellos)
                self._until = datagram.at + PATIENCE
        if datagram.at >= self._until or messages_in([datagram], HELLO_VERIFY_REQUEST):
            self._until = datagram.at
            for each in self._waiting:
                self.pass_on(each)
            self._waiting.clear()


class Salvos(Cable):
    """Somebody sends what ``salvo`` says in the browser's name before each of its datagrams."""

    def __init__(self, salvo: Callable[[Sequence[Datagram]], Iterable[bytes]]) -> None:
        """``salvo`` is told what the two have said so far, that datagram included."""
        super().__init__()
        self._salvo = salvo
        self._waiting: list[Datagram] = []
        self._is_reached = False

    def meet(self, datagram: Datagram) -> None:
        """Let DTLS wait for the answer to the gateway's check: before that few are kept."""
        if datagram.is_browsers and datagram.is_success and not self._is_reached:
            self._is_reached = True
            time.sleep(UNTIL_NOTED)
        if datagram.is_browsers and datagram.is_dtls:
            self._waiting.append(datagram)
        else:
            self.pass_on(datagram)
        while self._is_reached and self._waiting:
            own = self._waiting.pop(0)
            said = self.passed[: self.passed.index(own) + 1]
            self.forge(own.source, own.target, list(self._salvo(said)))
            self.pass_on(own)


class ForgeryTestCase(StageTestCase):
    """A browser calls the echo."""

    def is_heard(self, browser: Browser) -> None:
        """It hears itself, and the call ends as calls do."""
        one = self.phone(browser, "1001", TONE)
        one.dial(ECHO)
        one.is_answered()
        one.page.hears(TONE)
        self.assertEqual(one.page.stats()["dtls"], "connected")
        one.hang_up()
        one.ended()

    def malformed(self) -> float:
        """What the gateway has counted so far."""
        counted = self.installed.suite.metrics("sgw_media_dropped_total")
        return counted.get('{reason="malformed"}', 0)


class CookieTests(ForgeryTestCase):
    """Others have said hello before the browser, which comes again with a cookie."""

    def comes_again(self, browser: Browser) -> None:
        """Three hellos before its own: none of them is answered but by a request for that."""
        cable = EarlyHellos([hello_of(STRANGER) for _ in range(3)])
        with laid(self.network, cable):
            self.is_heard(browser)
        own = [each for each in cable.passed if each.is_browsers]
        ours = [each for each in cable.passed if not each.is_browsers]
        self.assertEqual(len(cable.forged), 3)
        self.assertFalse(cable.passed[0].is_browsers, "asked for a cookie before it said hello")
        self.assertEqual({each.sequence for each in messages_in(ours, SERVER_HELLO)}, {1})
        [cookie] = {each.body[2:] for each in messages_in(ours, HELLO_VERIFY_REQUEST)}
        first, second = (
            each.body for each in joined(one.data for one in own) if each.kind == CLIENT_HELLO
        )
        self.assertIn(cookie, second)
        self.assertEqual(second.replace(cookie, b"\0"), first, "that it need not come twice")

    def test_chromium(self) -> None:
        """Chromium does."""
        self.comes_again(self.desk.chromium)

    def test_firefox(self) -> None:
        """Firefox does."""
        self.comes_again(self.desk.firefox)


class SalvoTests(ForgeryTestCase):
    """Whatever OpenSSL would end a handshake for, in the browser's name."""

    def bears(self, browser: Browser) -> None:
        """Once between the datagrams of its second hello, and once between that and its flight."""
        impostor = Impostor()
        left = {(CLIENT_HELLO, True), (CERTIFICATE, False)}

        def salvo(said: Sequence[Datagram]) -> Iterable[bytes]:
            found = {(each.kind, each.offset > 0) for each in pieces_in(said[-1:]) if each.sequence}
            for moment in found & left:
                left.remove(moment)
                yield from FORGED.values()
                if moment[0] == CERTIFICATE:
                    yield impostor.flight(each.data for each in said[:-1])

        cable = Salvos(salvo)
        before = self.malformed()
        with laid(self.network, cable):
            self.is_heard(browser)
        self.assertEqual(left, set())
        self.assertEqual(len(cable.forged), 2 * len(FORGED) + 1)
        self.assertGreater(self.malformed() - before, len(FORGED))

    def test_chromium(self) -> None:
        """Chromium is heard."""
        self.bears(self.desk.chromium)

    def test_firefox(self) -> None:
        """Firefox is heard."""
        self.bears(self.desk.firefox)


class ServerTests(OneLegTestCase):
    """A browser that waits for the gateway's hello: none asks for that, but SDP may have it so."""

    def bears(self, browser: Browser) -> None:
        """The same things before each of its two datagrams."""
        cable = Salvos(lambda said: FROM_BROWSERS.values() if browsers_in(said) <= 2 else ())
        with laid(self.network, cable):
            self.begin(browser)
            self.act("speak", {"audio": True})
            offer = self.page.run("() => describe.offer()")
            answer = self.leg.ask("take", sdp=offer.replace("a=setup:actpass", "a=setup:passive"))
            self.assertIn("a=setup:active", answer)
            self.page.run("(sdp) => describe.take(sdp)", answer)
            self.page.hears(TONE)
        self.assertEqual(len(cable.forged), 2 * len(FROM_BROWSERS))

    def test_chromium(self) -> None:
        """Chromium is heard."""
        self.bears(self.desk.chromium)

    def test_firefox(self) -> None:
        """Firefox is heard."""
        self.bears(self.desk.firefox)


def browsers_in(datagrams: Iterable[Datagram]) -> int:
    """How many of them a browser has sent."""
    return sum(each.is_browsers for each in datagrams)


def pieces_in(datagrams: Iterable[Datagram]) -> list[Fragment]:
    """Messages in the clear, or pieces of them."""
    return list(fragments_in(each.data for each in datagrams))


def messages_in(datagrams: Iterable[Datagram], kind: int) -> list[Fragment]:
    """Those of a kind."""
    return [each for each in pieces_in(datagrams) if each.kind == kind]
