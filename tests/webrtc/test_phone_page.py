"""The suite's own phone page, as somebody uses it who has just been told its address."""

from __future__ import annotations

from contextlib import nullcontext

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.sipp import Run, play, sipp
from tests.webrtc.browsers import Browser, Page
from tests.webrtc.installation import ECHO
from tests.webrtc.network import SUITE
from tests.webrtc.stage import StageTestCase

TONE = 700
_WORDS = """async ([selector, words, seconds]) => {
  const begun = performance.now();
  const text = () => document.querySelector(selector).textContent;
  while (!text().includes(words) && performance.now() - begun < seconds * 1000) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return text();
}"""


class PhonePageTests(StageTestCase):
    """The page at /phone."""

    def open(self, browser: Browser, dn: str = "1004") -> Page:
        """A user opens it and signs in."""
        page = self.page(browser, TONE, f"{self.installed.url}/phone")
        page.type("#dn", dn)
        page.press("#sign-in-form button[type=submit]")
        self.says(page, "#signed-in-words", dn)
        self.installed.until_registered(dn)
        return page

    def dials(self, page: Page, number: str) -> None:
        """The user calls a number."""
        page.type("#to", number)
        page.press("#dial-audio")

    def says(self, page: Page, selector: str, words: str, seconds: float = 10) -> None:
        """Wait until a part of the page has these words."""
        text = page.run(_WORDS, [selector, words, seconds])
        self.assertIn(words, text)

    def talks(self, browser: Browser, *passes: str) -> None:
        """Sign in, call the echo, hear oneself, hang up; nothing goes to the console."""
        with self.network.firewall(*passes) if passes else nullcontext():
            page = self.open(browser)
            self.dials(page, ECHO)
            page.hears(TONE)
            if passes:
                self.assertEqual(page.stats()["local"]["type"], "relay")
            page.press("#hang-up")
            page.hears_nothing()
            self.assertEqual(page.complaints(), [])

    def test_chromium(self) -> None:
        """In Chromium."""
        self.talks(self.desk.chromium)

    def test_firefox(self) -> None:
        """In Firefox."""
        self.talks(self.desk.firefox)

    def test_chromium_behind_a_firewall(self) -> None:
        """With TCP port 443 open only; nobody had to say where the relay is."""
        self.talks(self.desk.chromium, f"ip daddr {SUITE} tcp dport 443")

    def test_firefox_behind_a_firewall(self) -> None:
        """The same in Firefox."""
        self.talks(self.desk.firefox, f"ip daddr {SUITE} tcp dport 443")

    def test_no_codec(self) -> None:
        """Who calls a telephone without a common codec reads why it did not work."""
        at = Endpoint(own_address())
        play(Run(scenario="phone-registers", at=at, to=self.installed.suite.at, service="1500"))
        self.installed.until_registered("1500")
        with sipp(Run(scenario="callee-knows-g729", at=at, service="1500")) as phone:
            page = self.open(self.desk.chromium)
            self.dials(page, "1500")
            self.says(page, "#trouble", "codec")
            phone.finish()
