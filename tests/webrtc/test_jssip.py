"""JsSIP in both browsers: SIP over WebSocket, with the media that the suite has for browsers."""

from __future__ import annotations

from tests.browser.run import missing
from tests.programs import lack
from tests.webrtc.browsers import Browser, Page
from tests.webrtc.installation import ECHO, Installation
from tests.webrtc.network import DESK, SUITE
from tests.webrtc.stage import StageTestCase

_SIGN_IN = """({ dn, host, password }) => new Promise((resolve, reject) => {
  const { UA, WebSocketInterface } = globalThis.jssip;
  const phone = globalThis.phone = new UA({
    sockets: [new WebSocketInterface(`wss://${host}/sip`)],
    uri: `sip:${dn}@${host}`,
    password,
  });
  phone.on("newRTCSession", ({ originator, session }) => {
    globalThis.session = session;
    if (originator === "remote") {
      session.answer({ mediaConstraints: { audio: true, video: false } });
    }
  });
  phone.on("registered", () => resolve(true));
  phone.on("registrationFailed", ({ cause }) => reject(new Error(cause)));
  phone.start();
})"""
_CALL = """({ number, host }) => new Promise((resolve, reject) => {
  phone.call(`sip:${number}@${host}`, {
    mediaConstraints: { audio: true, video: true },
    eventHandlers: {
      confirmed: () => resolve(true),
      failed: ({ cause }) => reject(new Error(cause)),
    },
  });
})"""
_CHANGE = """(change) => new Promise((resolve, reject) => {
  if (!session[change](undefined, () => resolve(true))) {
    reject(new Error(`${change} is not possible now`));
  }
})"""
_END = "() => { session.terminate(); phone.stop(); }"


class JsSipTests(StageTestCase):
    """Pages whose telephone is JsSIP."""

    installation = Installation(more={"b2bua": [f"phone-networks = {DESK}"]})

    def signed_in(self, browser: Browser, dn: str, tone: int) -> Page:
        """A page of this machine that has registered a DN; the lab takes no others."""
        lack(missing("jssip"))
        page = self.page(browser, tone)
        page.load("jssip")
        page.run(_SIGN_IN, {"dn": dn, "host": SUITE, "password": "none"})
        self.installed.until_registered(dn)
        return page

    def test_chromium(self) -> None:
        """It hears and sees itself, holds, and resumes."""
        self.calls_echo(self.desk.chromium)

    def test_firefox(self) -> None:
        """As Chromium does."""
        self.calls_echo(self.desk.firefox)

    def calls_echo(self, browser: Browser) -> None:
        """A call with video that ends where it began."""
        page = self.signed_in(browser, "1001", 440)
        page.run(_CALL, {"number": ECHO, "host": SUITE})
        page.hears(440)
        page.run(_CHANGE, "hold")
        page.hears_nothing()
        page.run(_CHANGE, "unhold")
        page.hears(440)
        page.run(_END)

    def test_is_called(self) -> None:
        """One calls the other over the SIP Server: an offer of ours is answered, too."""
        one = self.signed_in(self.desk.chromium, "1001", 440)
        other = self.signed_in(self.desk.firefox, "1002", 880)
        one.run(_CALL, {"number": "1002", "host": SUITE})
        one.hears(880)
        other.hears(440)
        one.run(_END)
