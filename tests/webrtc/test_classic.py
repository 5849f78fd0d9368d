"""Applications of the historic interface: Grtc.Client and Grtc.MediaSession, with callbacks."""

from __future__ import annotations

from typing import Any

from tests.webrtc.browsers import Browser, Page, PageError
from tests.webrtc.stage import StageTestCase

LOW, HIGH = 440, 880


class ClassicTests(StageTestCase):
    """Two pages that load grtc.js from the gateway."""

    def registered(self, browser: Browser, dn: str, tone: int) -> Page:
        """One that has opened its microphone and its camera, and registered."""
        page = self.page(browser, tone, f"{self.desk.driver.url}/classic.html")
        page.run("(gateway) => phone.load(gateway)", self.installed.url)
        page.run("(wish) => phone.register(wish)", {"gateway": self.installed.url, "dn": dn})
        self.next(page, "onRegister")
        self.until_registered(dn)
        return page

    def next(self, page: Page, name: str) -> Any:
        """The next event of that name."""
        found = page.run("(wish) => phone.next(wish)", {"name": name, "seconds": 10})
        if found is None:
            raise PageError(f"no {name}; {page.run('() => phone.events')}")
        return found["value"]

    def test_call(self) -> None:
        """Sound and pictures, hold, data, and the other one hangs up; in both browsers."""
        one = self.registered(self.desk.chromium, "1001", LOW)
        other = self.registered(self.desk.firefox, "1002", HIGH)
        one.run('() => { phone.session.makeOffer("1002", true, true); }')
        self.assertEqual(self.next(other, "onIncomingCall")["peer"], "1001")
        other.run("() => { phone.session.acceptCall(true, true); }")
        one.hears(HIGH)
        other.hears(LOW)
        one.sees()
        other.sees()
        one.run("() => { phone.session.holdCall(); }")
        other.hears_nothing()
        one.run("() => { phone.session.resumeCall(); }")
        other.hears(LOW)
        one.run('() => { phone.session.sendInfo({ word: "blue" }); }')
        self.assertEqual(self.next(other, "onInfoFromPeer"), {"word": "blue"})
        other.run("() => { phone.session.closeSession(true); }")
        self.next(one, "onPeerClosing")
