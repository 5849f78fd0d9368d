"""What a browser's leg says and does, with descriptions of real browsers."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from b2bua.leg_media import LegMedia
from b2bua.media_plane import StreamCounters, TransportEvent
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.errors import SdpError
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import WebMediaSettings
from b2bua.web_leg_media import WebLegMedia, web_rules
from tests.b2bua.network import OURS, sdp
from tests.b2bua.web_plane import FINGERPRINT, FakeWebPlane
from tests.sdp.browsers import BROWSERS, said

RULES = CodecRules(
    codecs=parse_codec_list(
        "(opus=111,g722,pcmu,pcma,telephone-event=126,vp8=100,"
        'h264=(pt=108,fmtp="[profile-level-id=42e01f;packetization-mode=1]"))'
    ),
    transcoding=False,
)


class WebLegCase(SynchronousTestCase):
    """A browser's leg and the leg of a phone across from it."""

    def setUp(self) -> None:
        self.build()

    def build(self, **more: object) -> None:
        """Make both legs."""
        self.plane = FakeWebPlane()
        settings = WebMediaSettings(addresses=(OURS,), rules=RULES, **more)  # type: ignore[arg-type]
        numbers = count(1)
        self.web = WebLegMedia(
            self.plane,
            settings,
            web_rules(settings),
            1,
            lambda size: bytes([next(numbers)]) * size,
        )
        self.phone = LegMedia(self.plane, RULES, OURS, 2)

    def bridge(self) -> None:
        """Apply both ways."""
        self.web.apply(self.phone)
        self.phone.apply(self.web)

    def browser_calls(self, offer: bytes, answer: bytes = b"") -> SessionDescription:
        """The browser offers, the phone answers; what the browser is answered."""
        self.web.take_offer(offer)
        self.phone.offer(self.web.offered)
        self.phone.take_answer(answer or sdp(port=40000))
        answered = parse(self.web.answer(self.phone.agreed))
        self.bridge()
        return answered

    def lines(self, description: SessionDescription, name: str, slot: int = 0) -> list[str]:
        """Values of an attribute of a slot."""
        return description.media[slot].attributes(name)


class AnswerTests(WebLegCase):
    """A browser calls."""

    def test_transport_said_elsewhere(self) -> None:
        """What the bundle's transport is counts wherever it says so, also in a refused slot."""
        for names in ((b"a=ice-ufrag:", b"a=ice-pwd:"), (b"a=fingerprint:",)):
            self.build()
            lines = said(BROWSERS[0], "video").split(b"\r\n")
            video = next(n for n, line in enumerate(lines) if line.startswith(b"m=video"))
            kept = [line for line in lines[:video] if not line.startswith(names)]
            answer = self.browser_calls(b"\r\n".join([*kept, *lines[video:]]))
            self.assertEqual([False, True], [medium.rejected for medium in answer.media])
            [transport] = self.plane.transports.values()
            self.assertTrue(transport.remote.ufrag and transport.remote.fingerprints)

    def test_zeros_before_a_payload_type(self) -> None:
        """They change nothing."""
        offer = said(BROWSERS[0], "audio").replace(b" 0 8 ", b" 00 008 ", 1)
        answer = self.browser_calls(offer)
        self.assertIn("0", answer.media[0].line.formats)

    def test_audio(self) -> None:
        """The first offer of either browser is answered with all that it needs."""
        for browser in BROWSERS:
            self.build()
            offer = said(browser, "audio")
            answer = self.browser_calls(offer)
            medium = answer.media[0]
            self.assertEqual(medium.line.protocol, "UDP/TLS/RTP/SAVPF")
            self.assertEqual(answer.attributes("group"), ["BUNDLE 0"])
            self.assertEqual(medium.mid, "0")
            self.assertEqual(str(medium.setup), "passive")
            self.assertEqual(self.lines(answer, "fingerprint"), [f"sha-256 {FINGERPRINT}"])
            self.assertTrue(medium.has("rtcp-mux") and medium.has("end-of-candidates"))
            self.assertEqual(len(medium.candidates), 1)
            self.assertEqual(medium.port, self.plane.only.port)
            self.assertEqual(medium.line.formats[:2], ("0", "8"))
            remote = self.plane.only.remote
            ice = parse(offer).ice_of(parse(offer).media[0])
            assert ice is not None
            self.assertEqual((remote.ufrag, remote.password), (ice.ufrag, ice.pwd))
            self.assertTrue(remote.begins_handshake)
            self.assertEqual(remote.fingerprints[0][0], "sha-256")
            self.assertFalse(self.plane.only.controlling)

    def test_source(self) -> None:
        """The source that is said is the one that the end sends."""
        answer = self.browser_calls(said("chromium", "audio"))
        end = self.web.ends["audio"]
        self.assertIn(f"{1000 + end} cname:cname{end}", self.lines(answer, "ssrc"))

    def test_terms(self) -> None:
        """The ends translate the numbers."""
        self.browser_calls(said("chromium", "audio"))
        terms = self.plane.terms[self.web.ends["audio"]]
        self.assertEqual(terms.payload_types, {0: 0, 8: 8})
        self.assertTrue(terms.sends and terms.receives)
        self.assertIsNone(terms.remote)

    def test_candidates(self) -> None:
        """Those of RTP go to the plane as they are; those of RTCP do not."""
        self.browser_calls(said("firefox", "audio"))
        remote = self.plane.only.remote
        self.assertTrue(remote.candidates)
        self.assertTrue(all(each.split(" ")[1] == "1" for each in remote.candidates))

    def test_strange_candidates(self) -> None:
        """Candidates that make no sense end no call; the plane passes them over."""
        strange = b"a=candidate:1 1 udp 1 ::1 70000 typ host\r\na=candidate:1 1 udp\r\n"
        self.browser_calls(said("firefox", "audio") + strange)
        self.assertGreater(len(self.plane.only.remote.candidates), 2)

    def test_no_keys(self) -> None:
        """A description without a fingerprint is refused."""
        lines = said("chromium", "audio").splitlines(keepends=True)
        plain = b"".join(line for line in lines if not line.startswith(b"a=fingerprint"))
        error = self.assertRaises(SdpError, self.web.take_offer, plain)
        self.assertEqual((error.status, error.reason), (488, "encryption"))

    def test_closing(self) -> None:
        """Everything is given back."""
        self.browser_calls(said("chromium", "audio"))
        self.web.close()
        self.phone.close()
        self.assertFalse(self.plane.open_ends or self.plane.transports)


class OfferTests(WebLegCase):
    """A browser is called."""

    def test_audio(self) -> None:
        """Our offer, and the answer of a browser."""
        self.phone.take_offer(sdp())
        offer = parse(self.web.offer(self.phone.offered))
        medium = offer.media[0]
        self.assertEqual(medium.line.protocol, "UDP/TLS/RTP/SAVPF")
        self.assertEqual(str(medium.setup), "actpass")
        self.assertEqual(offer.attributes("group"), ["BUNDLE 0"])
        self.assertEqual(medium.line.formats, ("0", "8"))
        self.assertTrue(self.plane.only.controlling)
        self.web.take_answer(said("chromium", "audio", "answer"))
        self.phone.answer(self.web.agreed)
        self.bridge()
        remote = self.plane.only.remote
        self.assertTrue(remote.begins_handshake)
        self.assertEqual(self.plane.terms[self.web.ends["audio"]].payload_types, {0: 0, 8: 8})

    def test_lost_media(self) -> None:
        """What becomes of the transport is told."""
        heard: list[TransportEvent] = []
        self.web.on_change(heard.append)
        self.web.offer(None)
        for event in TransportEvent:
            self.plane.only.tell(event)
        self.assertEqual(heard, list(TransportEvent))


class CountersTests(WebLegCase):
    """What ends have moved."""

    def test_one_after_the_other(self) -> None:
        """Counts go on where an end takes the place of another; what is of now is the later's."""
        before = StreamCounters(received_packets=3, sent_bytes=9, dropped={"late": 2}, jitter=0.5)
        after = StreamCounters(received_packets=2, dropped={"late": 1, "held": 4}, lost=1)
        both = after.after(before)
        self.assertEqual((both.received_packets, both.sent_bytes, both.lost), (5, 9, 1))
        self.assertEqual(both.dropped, {"late": 3, "held": 4})
        self.assertEqual(both.jitter, 0.0)

    def test_of_a_leg(self) -> None:
        """An end that moved to another slot has its counts added."""
        self.plane.count = StreamCounters(sent_packets=7)
        self.browser_calls(said("chromium", "audio"))
        self.web.take_offer(said("chromium", "three"))
        self.web.answer(self.phone.agreed)
        self.bridge()
        self.assertEqual(self.web.counters()["audio"].sent_packets, 14)
        self.assertEqual(self.web.close()["audio"].sent_packets, 14)
