"""RTCP feedback on the SIP side, and digits whose clocks differ between the legs."""

from __future__ import annotations

from b2bua.sip.usage_events import Invited
from tests.b2bua.browsers import BrowserCase, web_sdp
from tests.b2bua.network import described, sdp

VIDEO = (
    "m=video 41000 RTP/{profile} 100\r\na=rtpmap:100 VP8/90000\r\n"
    "a=rtcp-fb:100 nack pli\r\na=rtcp-fb:100 goog-remb\r\n"
)
DIGITS = "a=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"


class FeedbackTests(BrowserCase):
    """Calls between a browser with video and the server."""

    def asked(self) -> tuple[str, list[str]]:
        """What the server is offered for the browser's video: profile and feedback."""
        self.browser.call("5555", web_sdp("audio", "video"), caller="1009")
        audio, video = described(self.a.last(Invited).request).media
        self.assertEqual((audio.line.protocol, audio.attributes("rtcp-fb")), ("RTP/AVP", []))
        said = [value.split(" ", 1)[1] for value in video.attributes("rtcp-fb")]
        return video.line.protocol, said

    def answered(self, profile: str) -> tuple[str, list[str]]:
        """What the server is answered that offers video to the browser."""
        self.a.call("1009", sdp(codecs="0 8", more=VIDEO.format(profile=profile)))
        page = web_sdp("audio", "video", setup="active", codecs="0 8")
        page = page.replace(b" 96 97\r\n", b" 100\r\n").replace(b":96", b":100")
        self.browser.called.answer(self.now, page)
        self.settle()
        video = self.said_to("192.0.2.11").media[1]
        return video.line.protocol, video.attributes("rtcp-fb")

    def feedback(self) -> set[bool]:
        """Whether the ends of SIP peers may be sent feedback."""
        ends = set(self.plane.terms) - set(self.plane.on)
        return {self.plane.terms[end].takes_feedback for end in ends}

    def test_usual(self) -> None:
        """Nothing is negotiated; what the browser asks for goes on all the same."""
        self.assertEqual(self.asked(), ("RTP/AVP", []))
        self.a.called.answer(self.now, sdp(codecs="0", more=VIDEO.format(profile="AVP")))
        self.settle()
        self.assertEqual(self.feedback(), {True})

    def test_negotiated(self) -> None:
        """With AVPF video is offered with all that we do."""
        self.build(avpf=True)
        self.assertEqual(self.asked(), ("RTP/AVPF", ["nack", "nack pli", "ccm fir"]))

    def test_answer(self) -> None:
        """An answer has the profile of its offer, and what is common."""
        self.assertEqual(self.answered("AVPF"), ("RTP/AVPF", []))
        self.build(avpf=True)
        self.assertEqual(self.answered("AVPF"), ("RTP/AVPF", ["100 nack pli"]))

    def test_lines_without_the_profile(self) -> None:
        """Where the profile says that there is none, lines that say otherwise count for nothing."""
        self.build(avpf=True)
        self.assertEqual(self.answered("AVP"), ("RTP/AVP", []))

    def test_not_sent(self) -> None:
        """Switched off, SIP peers are sent none."""
        self.build(feedback=False)
        self.asked()
        self.a.called.answer(self.now, sdp(codecs="0", more=VIDEO.format(profile="AVP")))
        self.settle()
        self.assertEqual(self.feedback(), {False})
        ends = set(self.plane.terms) & set(self.plane.on)
        self.assertEqual({self.plane.terms[end].takes_feedback for end in ends}, {True})


class DigitClockTests(BrowserCase):
    """Opus on both legs, with digits at 48,000 Hz on the one and at 8000 Hz on the other."""

    def test_browser_calls(self) -> None:
        """
        Of the digits that are offered the server takes those that do not fit; the numbers are
        mapped, and the rates told, both ways.
        """
        more = b"a=rtpmap:110 telephone-event/48000\r\n"
        offer = web_sdp(codecs="111 0 110 126") + more
        self.browser.call("5555", offer, caller="1009")
        self.a.called.answer(self.now, sdp(codecs="111 101", more=DIGITS.replace("96", "111")))
        self.settle()
        self.assert_rates(101, heard=126)

    def test_browser_is_called(self) -> None:
        """Who offers digits that do not fit has them answered, if there are no others."""
        self.a.call("1009", sdp(codecs="96 101", more=DIGITS))
        offer = described(self.browser.last(Invited).request)
        rates = {m.clock_rate for m in offer.media[0].rtpmaps.values()}
        self.assertEqual(rates, {48000})
        (number,) = (
            n for n, m in offer.media[0].rtpmaps.items() if m.encoding == "telephone-event"
        )
        opus = next(n for n, m in offer.media[0].rtpmaps.items() if m.encoding == "opus")
        answer = web_sdp(codecs=f"{opus} {number}", setup="active").replace(
            b"a=rtpmap:126 telephone-event/8000", b"a=rtpmap:%d telephone-event/48000" % number
        )
        self.browser.called.answer(
            self.now, answer.replace(b"a=rtpmap:111 opus", b"a=rtpmap:%d opus" % opus)
        )
        self.settle()
        self.assertIn("101", self.said_to("192.0.2.11").media[0].line.formats)
        self.assert_rates(101, number)

    def assert_rates(self, theirs: int, ours: int = 110, heard: int = 101) -> None:
        """Digits go on under the other leg's number, and are converted."""
        web = next(self.plane.terms[end] for end in self.plane.terms if end in self.plane.on)
        sip = next(self.plane.terms[end] for end in self.plane.terms if end not in self.plane.on)
        self.assertEqual(web.payload_types[ours], theirs)
        self.assertEqual(web.event_rates, {ours: (48000, 8000)})
        self.assertEqual(sip.payload_types[heard], ours)
        self.assertEqual(sip.event_rates, {heard: (8000, 48000)})
