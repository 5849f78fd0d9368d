"""JsSIP in Chromium: SIP over a WebSocket, and the same media as everybody else."""

from __future__ import annotations

from typing import Any, ClassVar

from suite.config_b2bua import LAB_PASSWORD
from tests.webrtc.browsers import Page, PageError
from tests.webrtc.installation import ECHO, Installation
from tests.webrtc.stage import StageTestCase

TONE, OTHER = 520, 880


class JsSipTests(StageTestCase):
    """A page that has registered as 1003."""

    installation: ClassVar[Installation] = Installation(more={"users": [f"1003 = {LAB_PASSWORD}"]})

    def setUp(self) -> None:
        """Register."""
        super().setUp()
        self.phone_page: Page = self.page(
            self.desk.chromium, TONE, f"{self.desk.driver.url}/jssip.html"
        )
        self.phone_page.load("jssip")
        url = self.installed.url.replace("https", "wss") + "/sip"
        self.phone_page.run(
            "(wish) => phone.register(wish)", {"url": url, "dn": "1003", "password": LAB_PASSWORD}
        )
        self.installed.until_registered("1003")

    def event(self, kind: str, seconds: float = 10) -> Any:
        """The next event of its session of that kind."""
        wish = {"type": kind, "seconds": seconds}
        found = self.phone_page.run("(wish) => phone.next(wish)", wish)
        if found is None:
            raise PageError(f"no {kind}; {self.phone_page.run('() => phone.events')}")
        return found

    def test_calls(self) -> None:
        """It calls the echo and hears itself, encrypted; it holds, resumes and hangs up."""
        page = self.phone_page
        page.run("(wish) => phone.dial(wish)", {"to": ECHO})
        self.event("confirmed")
        page.hears(TONE)
        stats = page.stats()
        self.assertEqual((stats["state"], stats["dtls"]), ("connected", "connected"))
        page.run("() => phone.session.hold()")
        page.hears_nothing()
        page.run("() => phone.session.unhold()")
        page.hears(TONE)
        page.run("() => phone.session.terminate()")
        self.event("ended")

    def test_is_called(self) -> None:
        """A user of the gateway's own module calls it: they hear each other."""
        one = self.phone(self.desk.chromium, "1001", OTHER)
        one.dial("1003")
        self.assertTrue(self.phone_page.run("(wish) => phone.rings(wish)", {"seconds": 10}))
        self.phone_page.run("() => phone.answer()")
        one.is_answered()
        one.page.hears(TONE)
        self.phone_page.hears(OTHER)
        one.hang_up()
        self.event("ended")
