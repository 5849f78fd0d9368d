"""Callees that cannot be rung: what was opened for them is given back, and the others ring on."""

from __future__ import annotations

from b2bua.media_plane import MediaPortsExhausted
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings, WebMediaSettings
from b2bua.sip.hop import BROWSER
from b2bua.sip.usage_events import Progress
from tests.b2bua.browsers import Browser
from tests.b2bua.network import OURS, PHONE, Ended, Established, FakePlane, sdp
from tests.b2bua.test_calls import CallCase
from tests.b2bua.web_plane import FakeWebPlane

G722 = "9"


def _none_free(tell: object, *, controlling: bool) -> int:
    raise MediaPortsExhausted("no port is free")


def _rules(codecs: str) -> CodecRules:
    return CodecRules(codecs=parse_codec_list(codecs), transcoding=False)


class NoServerTests(CallCase):
    """No SIP Server answers."""

    def test_refused_calls_leave_no_ports_open(self) -> None:
        """As many calls as there are pairs of ports are refused, and every pair is free again."""
        self.a.works = self.b.works = False
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        self.network.advance(70)
        for _ in range(5):
            self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
            self.assertEqual(self.phone.last(Ended).status, 503)
            self.assertEqual(self.network.plane.open_ends, set())
        self.network.advance(70)
        self.assertEqual(len(self.network.core.calls), 0)
        self.assertEqual(self.network.core.calls.residue, 0)


class ScarcePortsTests(CallCase):
    """One pair of ports is free, and a call would need two toward the server."""

    def test_half_opened_leg_gives_its_ports_back(self) -> None:
        """Audio has a pair and video has none: the call is refused, and the pair is free again."""
        plane = FakePlane(pairs=1)
        rules = _rules("(pcmu,pcma,vp8=100)")
        self.build(plane=plane, media=MediaSettings(host=OURS, rules=rules))
        video = "m=video 5002 RTP/AVP 100\r\na=rtpmap:100 VP8/90000\r\n"
        self.phone.call("5555", sdp(PHONE, 5000, more=video), caller="1001")
        self.assertEqual(self.phone.last(Ended).status, 503)
        self.assertEqual(plane.open_ends, set())

    def test_early_answer_without_ports(self) -> None:
        """
        Early media that there is no pair for are not passed on; the answer then meets the same.

        The caller is refused for it, and the server's side hung up.
        """
        plane = FakePlane(pairs=1)
        self.build(plane=plane)
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        called = self.a.called
        called.ring(183, self.now, sdp())
        self.settle()
        self.assertEqual(self.phone.last(Progress).response.body, b"")
        called.answer(self.now, sdp())
        self.settle()
        self.assertEqual(self.phone.last(Ended).status, 503)
        self.assertTrue(self.a.has(Ended))
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())


class PhoneAndPageTests(CallCase):
    """1001 is signed in on a phone and on a page, which have not all codecs in common."""

    def build(self, **changes: object) -> None:
        """The phone's side knows G.722, the page's does not."""
        self.plane = FakeWebPlane()
        super().build(
            plane=self.plane,
            media=MediaSettings(host=OURS, rules=_rules("(pcmu,pcma,g722)")),
            web=WebMediaSettings(addresses=(OURS,), rules=_rules("(opus=111,pcmu,pcma)")),
            **changes,
        )
        self.browser = Browser(self.network, BROWSER, "1001")

    def bind_page(self) -> None:
        """Sign the page in too: its binding is the newer one."""
        self.assertEqual(self.browser.register("1001").status, 200)
        self.network.advance(1)

    def bind_page_first(self) -> None:
        """The phone's binding is the newer one."""
        self.bind_page()
        self.assertEqual(self.phone.register("1001").status, 200)
        self.network.advance(1)

    def assert_phone_is_called(self) -> None:
        """The phone alone rings; it answers, and once the caller hangs up nothing is left."""
        usage = self.a.call("1001", sdp(codecs=G722))
        self.assertEqual(len(self.phone.seen("INVITE")), 1)
        self.assertEqual(self.browser.seen("INVITE"), [])
        self.assertEqual(len(self.plane.open_ends), 1)
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs=G722))
        self.settle()
        self.assertTrue(self.phone.has(Established))
        self.assertTrue(self.a.has(Established))
        usage.bye(self.now)
        self.settle()
        self.assertTrue(self.phone.has(Ended))
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())
        self.assertEqual(self.plane.transports, {})

    def test_phone_rings_after_page_that_cannot(self) -> None:
        """The page comes first and has no codec in common: the phone is called all the same."""
        self.bind_page()
        self.assert_phone_is_called()

    def test_phone_rings_before_page_that_cannot(self) -> None:
        """The phone rings already when the page turns out to have no codec in common."""
        self.bind_page_first()
        self.assert_phone_is_called()

    def test_page_alone_is_refused(self) -> None:
        """Nobody can be rung: the caller hears why, and nothing stays open."""
        self.bind_page()
        self.phone.ask(
            "REGISTER",
            f"sip:{OURS}:5066",
            (("Contact", f"<sip:1001@{PHONE}:5060>"), ("Expires", "0")),
        )
        self.a.call("1001", sdp(codecs=G722))
        self.assertEqual(self.a.last(Ended).status, 488)
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())

    def test_phone_rings_though_no_port_is_left_for_the_page(self) -> None:
        """A page for which no port is free does not end the call of the phone."""
        self.bind_page_first()
        self.plane.open_transport = _none_free  # type: ignore[method-assign]
        self.a.call("1001", sdp())
        self.assertEqual(len(self.phone.seen("INVITE")), 1)
        self.assertEqual(self.browser.seen("INVITE"), [])
        self.phone.called.reject(486, self.now)
        self.settle()
        self.assertEqual(self.a.last(Ended).status, 486)
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())
