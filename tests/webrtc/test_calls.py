"""Browsers call each other through the gateway and the lab's SIP Servers."""

from __future__ import annotations

from tests.webrtc.browsers import Browser
from tests.webrtc.installation import ECHO
from tests.webrtc.network import MOVED
from tests.webrtc.phone import AUDIO, VIDEO, Media, Phone
from tests.webrtc.stage import StageTestCase

LOW, HIGH = 440, 880
"""Hz of the two who talk."""


class CallsTestCase(StageTestCase):
    """Two users, 1001 and 1002."""

    def two(self, near: Browser, far: Browser) -> tuple[Phone, Phone]:
        """Both signed in."""
        return self.phone(near, "1001", LOW), self.phone(far, "1002", HIGH)

    def connect(self, one: Phone, other: Phone, media: Media = AUDIO, **more: object) -> None:
        """Let one call the other, who answers, until both hear each other."""
        one.dial(other.dn, media, **more)
        other.rings()
        other.answer(media)
        one.is_answered()
        other.is_answered()
        self.both_hear(one, other)

    def both_hear(self, one: Phone, other: Phone) -> None:
        """Each hears the other's tone."""
        one.page.hears(other.page.tone)
        other.page.hears(one.page.tone)

    def talk_with_pictures(self, near: Browser, far: Browser) -> None:
        """A call with sound and pictures, encrypted, that the callee ends."""
        one, other = self.two(near, far)
        self.connect(one, other, VIDEO)
        one.page.sees()
        other.page.sees()
        for page in (one.page, other.page):
            stats = page.stats()
            self.assertEqual((stats["state"], stats["dtls"]), ("connected", "connected"))
            self.assertEqual(stats["local"]["type"], "host")
            self.assertEqual(page.complaints(), [])
        other.hang_up()
        self.assertEqual(one.ended()["cause"], "peer")
        self.assertEqual(one.page.run("() => rig.open()"), 0)


class BrowserTests(CallsTestCase):
    """Whoever uses which browser."""

    def test_chromium_calls_chromium(self) -> None:
        """Chromium and Chromium hear and see each other."""
        self.talk_with_pictures(self.desk.chromium, self.desk.chromium)

    def test_chromium_calls_firefox(self) -> None:
        """Chromium calls Firefox: they hear and see each other."""
        self.talk_with_pictures(self.desk.chromium, self.desk.firefox)

    def test_firefox_calls_chromium(self) -> None:
        """Firefox calls Chromium: they hear and see each other."""
        self.talk_with_pictures(self.desk.firefox, self.desk.chromium)

    def test_firefox_calls_firefox(self) -> None:
        """Firefox and Firefox hear and see each other."""
        self.talk_with_pictures(self.desk.firefox, self.desk.firefox)

    def test_hidden_address(self) -> None:
        """A browser that hides its addresses (mDNS), as all do without a microphone, is heard."""
        shy = self.stack.enter_context(self.desk.launched("chromium", hidden=True))
        one = self.phone(shy, "1001", LOW)
        one.dial(ECHO)
        one.is_answered()
        one.page.hears(LOW)
        self.assertIn(".local ", one.page.run("() => rig.connections[0].localDescription.sdp"))

    def test_self(self) -> None:
        """A call to "self" lets a user hear nobody but himself."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        one.dial("self")
        one.is_answered()
        one.page.hears(LOW)


class LossTests(CallsTestCase):
    """Browsers that are gone without a word."""

    def test_crash(self) -> None:
        """A browser that dies is hung up for; whoever it talked to is told within seconds."""
        doomed = self.desk.launch("chromium")
        one = self.phone(doomed, "1001", LOW)
        other = self.phone(self.desk.chromium, "1002", HIGH)
        self.connect(one, other)
        doomed.crash()
        one.page.is_open = False
        other.ended(20)

    def test_other_network(self) -> None:
        """A desk that gets another address in mid-call hears on within some 20 seconds."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        one.dial(ECHO)
        one.is_answered()
        one.page.hears(LOW)
        with self.network.moved_desk():
            one.page.hears_nothing()
            one.page.hears(LOW, 22)
            self.assertEqual(one.page.stats()["local"]["address"], MOVED)


class WorkedTests(CallsTestCase):
    """What users do in a call."""

    def test_hold(self) -> None:
        """Either side holds and resumes: silence for both, and then sound again."""
        one, other = self.two(self.desk.chromium, self.desk.firefox)
        self.connect(one, other)
        for holder, held in ((one, other), (other, one)):
            holder.hold()
            held.event("hold", remote=True)
            holder.page.hears_nothing()
            held.page.hears_nothing()
            holder.resume()
            held.event("hold", remote=False)
            self.both_hear(one, other)

    def test_video_is_added(self) -> None:
        """Who called with sound only shows himself in mid-call, and then the other one does."""
        one, other = self.two(self.desk.chromium, self.desk.firefox)
        self.connect(one, other)
        one.add_video()
        other.page.sees()
        other.add_video()
        one.page.sees()
        self.both_hear(one, other)

    def test_data(self) -> None:
        """Fields go with the call and, both ways, in it."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        self.connect(one, other, data=[{"key": "tier", "value": "gold & more"}])
        attached = other.page.run("() => phone.call.attachedData")
        self.assertIn({"key": "tier", "value": "gold & more"}, attached)
        one.tell({"word": "grün & blue"})
        self.assertEqual(other.event("data")["fields"], {"word": "grün & blue"})
        other.tell({"word": "+1"})
        self.assertEqual(one.event("data")["fields"], {"word": "+1"})

    def test_refused(self) -> None:
        """Who does not want to talk rejects, and the caller is told."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        one.dial(other.dn)
        other.rings()
        other.page.run("() => phone.call.reject()")
        self.assertEqual(one.ended()["cause"], "refused")

    def test_given_up(self) -> None:
        """Who gives up before anybody answers stops the ringing."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        one.dial(other.dn)
        other.rings()
        one.hang_up()
        other.ended()

    def test_tab_closed(self) -> None:
        """Who closes the tab is hung up for: the other one is told at once, and can be called."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        self.connect(one, other)
        one.page.shut()
        other.ended()
        other.dial(ECHO)
        other.is_answered()
        other.page.hears(HIGH)

    def test_reload(self) -> None:
        """Who reloads the page ends the call, signs in again with the same DN, and is called."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        self.connect(one, other)
        one.page.reload()
        other.ended()
        one.sign_in()
        self.connect(other, one)

    def test_statistics(self) -> None:
        """The gateway tells how much it has passed on."""
        one, other = self.two(self.desk.chromium, self.desk.chromium)
        self.connect(one, other)
        audio = one.gateway_statistics()["audio"]
        self.assertGreater(audio["rx"]["packets"], 10)
        self.assertGreater(audio["tx"]["bytes"], 100)


class ServerTests(CallsTestCase):
    """What the SIP Server does to a call: the lab by command."""

    def lab_call(self, phone: Phone, other: str) -> str:
        """Let the lab connect a phone that talks at once, and somebody; the name of the call."""
        self.installed.lab("call", phone.dn, other)
        phone.rings()
        phone.answer()
        phone.is_answered()
        name: str = self.installed.last_call()["id"]
        return name

    def test_talk(self) -> None:
        """A call that rings is answered by the SIP Server (NOTIFY talk)."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        self.installed.lab("call", one.dn, ECHO)
        one.rings()
        self.installed.lab("talk", self.installed.last_call()["id"])
        one.event("asked", what="talk")
        one.page.hears(LOW)

    def test_notify_hold(self) -> None:
        """The SIP Server holds by NOTIFY hold and retrieves by NOTIFY talk."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        name = self.lab_call(one, ECHO)
        one.page.hears(LOW)
        self.installed.lab("hold", name)
        one.event("asked", what="hold")
        one.page.hears_nothing()
        self.installed.lab("retrieve", name)
        one.event("asked", what="talk")
        one.page.hears(LOW)

    def test_server_holds(self) -> None:
        """The SIP Server holds by offers of its own, in either form, and retrieves."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        name = self.lab_call(one, ECHO)
        one.page.hears(LOW)
        for form in ("rfc3264", "zero"):
            self.installed.lab("hold", name, form)
            one.event("hold", remote=True)
            one.page.hears_nothing()
            self.installed.lab("retrieve", name)
            one.event("hold", remote=False)
            one.page.hears(LOW)

    def test_transfer(self) -> None:
        """The SIP Server connects the caller with somebody else, who is heard instead."""
        one, other = self.two(self.desk.chromium, self.desk.firefox)
        name = self.lab_call(one, ECHO)
        one.page.hears(LOW)
        self.installed.lab("transfer", name, other.dn, ECHO)
        other.rings()
        other.answer()
        self.both_hear(one, other)
