"""Browsers and telephones: SIPp and baresip, registered with the suite."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.baresip import Account, Baresip, baresip
from tests.sippeers.sipp import Run, Sipp, play, sipp
from tests.webrtc.browsers import Browser
from tests.webrtc.capture import captured
from tests.webrtc.installation import SERVER_A
from tests.webrtc.phone import Phone
from tests.webrtc.stage import StageTestCase

TONE = 600
DN = "1500"
"""Of the telephone."""
BARESIP_SAYS = 400
_EVENTS = 101
"""Payload type of telephone events in what SIPp says."""


class SippTests(StageTestCase):
    """SIPp as a telephone, whose every message is checked."""

    def answering(self, scenario: str, *options: str, **more: object) -> Sipp:
        """A telephone that has registered and answers once."""
        at = Endpoint(own_address())
        registering = Run(scenario="phone-registers", at=at, to=self.installed.suite.at, service=DN)
        play(registering)
        self.addCleanup(play, replace(registering, keys={"expires": "0"}))
        self.installed.until_registered(DN)
        run = Run(scenario=scenario, at=at, service=DN, timeout=30, options=options, **more)  # type: ignore[arg-type]
        return self.stack.enter_context(sipp(run))

    def calls(self, browser: Browser) -> Phone:
        """A browser that calls it, and is answered."""
        one = self.phone(browser, "1001", TONE)
        one.dial(DN)
        one.is_answered()
        return one

    def test_echo(self) -> None:
        """A telephone that sends back what it hears is heard, and hung up on."""
        phone = self.answering("callee", "-rtp_echo")
        one = self.calls(self.desk.chromium)
        one.page.hears(TONE)
        one.hang_up()
        phone.finish()

    def test_calls(self) -> None:
        """Somebody behind the SIP Server calls the page, which answers, hears and hangs up."""
        one = self.phone(self.desk.chromium, "1001", TONE)
        caller = Run(
            scenario="caller-is-left",
            at=Endpoint(own_address()),
            to=SERVER_A,
            service=one.dn,
            timeout=30,
            options=("-rtp_echo",),
        )
        with sipp(caller) as calling:
            one.rings()
            one.answer()
            one.is_answered()
            one.page.hears(TONE)
            one.hang_up()
            calling.finish()

    def test_digits(self) -> None:
        """Digits come as events of RFC 4733, each once, each ended three times."""
        phone = self.answering("callee")
        with captured(phone.run.at.host) as capture:
            one = self.calls(self.desk.chromium)
            # Only who is heard can be heard to press keys.
            phone.program.wait_for(lambda: len(capture.packets()) > 10, "sent RTP")
            one.press("12#0")
            phone.program.wait_for(lambda: len(capture.digits(_EVENTS)) >= 4, "sent 4 digits")
            time.sleep(0.5)
            self.assertEqual(capture.digits(_EVENTS), "12#0")
            self.assertEqual(capture.ends(_EVENTS), 3 * 4)
            one.hang_up()
            phone.finish()

    def test_hangs_up(self) -> None:
        """The telephone hangs up, and the page is told."""
        phone = self.answering("callee-hangs-up", "-d", "300")
        one = self.calls(self.desk.firefox)
        self.assertEqual(one.ended()["cause"], "peer")
        phone.finish()

    def test_busy(self) -> None:
        """A busy telephone ends the call before it stands."""
        phone = self.answering("callee-busy")
        one = self.phone(self.desk.chromium, "1001", TONE)
        one.dial(DN)
        self.assertEqual(one.ended()["cause"], "refused")
        phone.finish()

    def test_no_codec(self) -> None:
        """A telephone that knows G.729 only cannot be talked to, and the page says why."""
        phone = self.answering("callee-knows-g729")
        one = self.phone(self.desk.chromium, "1001", TONE)
        one.dial(DN)
        end = one.ended()
        self.assertEqual(end["cause"], "refused")
        self.assertIn("codec", end["says"])
        phone.finish()


class BaresipTests(StageTestCase):
    """baresip as a telephone that speaks and listens."""

    def talking(self, codec: str, browser: Browser) -> tuple[Phone, Baresip]:
        """A browser that called a baresip with one codec, which answered."""
        account = Account(
            dn=DN,
            server=self.installed.suite.at,
            password="nobody's",
            codec=codec,
            answer_mode="auto",
        )
        phone = self.stack.enter_context(baresip(account, Endpoint("127.0.0.1", 5070)))
        phone.registered()
        self.installed.until_registered(DN)
        one = self.phone(browser, "1001", TONE)
        one.dial(DN)
        one.is_answered()
        one.page.hears(BARESIP_SAYS)
        return one, phone

    def hears_browser(self, phone: Baresip, codec: str) -> None:
        """Wait until baresip has played the browser's tone for half a second."""
        phone.program.wait_for(lambda: abs(phone.heard(codec) - TONE) < 10, f"playing {TONE} Hz")

    def test_pcmu(self) -> None:
        """G.711: each hears the other, and the browser says so."""
        self.one_codec("PCMU", self.desk.firefox, "audio/PCMU")

    def test_pcma(self) -> None:
        """The same by A-law."""
        self.one_codec("PCMA", self.desk.chromium, "audio/PCMA")

    def test_g722(self) -> None:
        """G.722."""
        self.one_codec("G722", self.desk.chromium, "audio/G722")

    def test_opus(self) -> None:
        """Opus, as the browser encodes it."""
        self.one_codec("opus", self.desk.chromium, "audio/opus")

    def one_codec(self, codec: str, browser: Browser, named: str) -> None:
        """Both hear each other, by that codec."""
        one, phone = self.talking(codec, browser)
        self.hears_browser(phone, codec)
        self.assertEqual(one.page.stats()["inbound"]["audio"]["codec"], named)
        one.hang_up()
        phone.event("CALL_CLOSED")

    def test_holds(self) -> None:
        """The telephone holds and resumes: the page says so, and nothing is heard meanwhile."""
        one, phone = self.talking("PCMU", self.desk.chromium)
        phone.command("hold")
        one.event("hold", remote=True)
        one.page.hears_nothing()
        phone.command("resume")
        one.event("hold", remote=False)
        one.page.hears(BARESIP_SAYS)
        one.hold()
        phone.event("CALL_REMOTE_SDP")
        one.page.hears_nothing()
        one.resume()
        one.page.hears(BARESIP_SAYS)
        one.hang_up()
