"""What a browser's leg makes of a session that goes on, as real browsers say it."""

from __future__ import annotations

from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.errors import SdpError
from tests.b2bua.browsers import page_answer
from tests.b2bua.network import sdp
from tests.b2bua.test_web_leg_media import WebLegCase
from tests.sdp.browsers import BROWSERS, said

VIDEO = b"m=video 41000 RTP/AVP 100\r\na=rtpmap:100 VP8/90000\r\n"


def directions(description: SessionDescription) -> list[str]:
    """The direction of each slot."""
    return [str(description.direction_of(medium)) for medium in description.media]


class SessionCase(WebLegCase):
    """Both legs, and a browser that offers."""

    def take(self, offer: bytes) -> SessionDescription:
        """Let the phone take whatever the browser offers; what the browser is answered."""
        self.web.take_offer(offer)
        asked = parse(self.phone.offer(self.web.offered))
        has_video = any(medium.kind == "video" and medium.port for medium in asked.media)
        self.phone.take_answer(sdp(port=40000) + (VIDEO if has_video else b""))
        answer = parse(self.web.answer(self.phone.agreed))
        self.bridge()
        return answer

    def each(self, *names: str) -> list[SessionDescription]:
        """The answers to what a browser says, one after the other."""
        return [self.take(said(self.browser, name)) for name in names]

    browser = "chromium"

    def sources(self, description: SessionDescription) -> list[bool]:
        """Which slots say a source of ours."""
        return [medium.has("ssrc") for medium in description.media]


class AddedVideoTests(SessionCase):
    """Video that comes with a second audio medium, as the historic client brings it."""

    def test_slots(self) -> None:
        """The audio that the browser sends on is used; the other is kept, and says no source."""
        for self.browser in BROWSERS:
            self.build()
            answer = self.each("audio", "three")[-1]
            self.assertEqual([m.kind for m in answer.media], ["audio", "audio", "video"])
            self.assertEqual(directions(answer), ["inactive", "sendrecv", "sendrecv"])
            self.assertEqual(answer.attributes("group"), ["BUNDLE 0 1 2"])
            self.assertEqual(self.sources(answer), [False, True, True])
            self.assertEqual([m.port for m in answer.media], [self.plane.only.port] * 3)

    def test_one_audio_across(self) -> None:
        """The phone has one audio medium, and both of its ends are joined with the browser's."""
        self.each("audio", "three")
        local = self.phone.session.local
        assert local is not None
        self.assertEqual([m.kind for m in local.media], ["audio", "video"])
        terms = self.plane.terms[self.web.ends["audio"]]
        self.assertTrue(terms.sends and terms.receives)

    def test_hold_and_resume(self) -> None:
        """Everything rests, then goes on in the same slot, over the same transport."""
        for self.browser in BROWSERS:
            self.build()
            answers = self.each("audio", "three", "hold", "resume")
            self.assertEqual(directions(answers[2]), ["inactive"] * 3)
            self.assertEqual(self.sources(answers[2]), [False, True, True])
            self.assertEqual(directions(answers[3]), ["inactive", "sendrecv", "sendrecv"])
            self.assertEqual(self.plane.only.generation, 1)
            ufrags = {medium.attribute("ice-ufrag") for a in answers for medium in a.media}
            self.assertEqual(len(ufrags), 1)
            self.assertEqual(len(self.plane.only.remotes), 1)

    def test_restart(self) -> None:
        """New credentials of the browser are met with new ones; the DTLS role is kept."""
        for self.browser in BROWSERS:
            self.build()
            before, after = self.each("audio", "three", "hold", "resume", "restart")[-2:]
            self.assertNotEqual(
                before.media[0].attribute("ice-ufrag"), after.media[0].attribute("ice-ufrag")
            )
            self.assertEqual(self.plane.only.generation, 2)
            self.assertEqual({str(m.setup) for m in after.media}, {"passive"})

    def test_our_offer(self) -> None:
        """A re-offer of ours has as many slots, in the same order and bundle."""
        self.each("audio", "three")
        self.web.by_us = True
        offer = parse(self.web.offer(self.phone.agreed))
        self.assertEqual(directions(offer), ["inactive", "sendonly", "sendonly"])
        self.assertEqual([m.mid for m in offer.media], ["0", "1", "2"])
        self.assertEqual(offer.attributes("group"), ["BUNDLE 0 1 2"])
        self.assertEqual({str(m.setup) for m in offer.media}, {"actpass"})
        self.assertEqual([m.port for m in offer.media], [self.plane.only.port] * 3)
        self.assertEqual(offer.media[1].line.formats, ("0", "8"))

    def test_our_offer_is_answered(self) -> None:
        """And its answer is taken, whoever the browser thinks is active."""
        self.each("audio", "three")
        self.web.offer(self.phone.agreed)
        answer = said("chromium", "three", "answer").replace(b"a=recvonly", b"a=inactive")
        self.web.take_answer(answer)
        self.bridge()
        self.assertEqual(self.plane.only.generation, 1)

    def test_source_stays(self) -> None:
        """The source of a medium is the same in every description of its slot."""
        answers = self.each("audio", "three", "hold", "resume")
        self.assertEqual(len({a.media[-1].attribute("ssrc") for a in answers[1:]}), 1)
        self.assertEqual(len({a.media[1].attribute("ssrc") for a in answers[1:]}), 1)

    def test_another_slot_has_another_source(self) -> None:
        """What has been known of one slot is never said of another; media are joined anew."""
        one, three = self.each("audio", "three")
        self.assertNotEqual(one.media[0].attribute("ssrc"), three.media[1].attribute("ssrc"))
        self.assertEqual(len(self.plane.open_ends), 4)
        terms = self.plane.terms[self.web.ends["audio"]]
        self.assertTrue(terms.sends and terms.receives)

    def test_video_stops(self) -> None:
        """Video with port 0 leaves the bundle; audio goes on."""
        for self.browser in BROWSERS:
            self.build()
            self.each("video")
            named = self.phone.agreed
            answer = self.each("stopped")[-1]
            self.assertEqual([m.port > 0 for m in answer.media], [True, False])
            self.assertEqual(answer.attributes("group"), ["BUNDLE 0"])
            terms = self.plane.terms[self.web.ends["video"]]
            self.assertFalse(terms.sends or terms.receives)
            # Used anew, the slot is another medium.
            offer = parse(self.web.offer(named))
            self.assertEqual([m.mid for m in offer.media], ["0", "2"])
            self.assertEqual(offer.attributes("group"), ["BUNDLE 0 2"])


class FeedbackTests(SessionCase):
    """What browsers are asked and told of pictures and losses."""

    def test_video_terms(self) -> None:
        """A browser that sends video is asked for pictures, and for what is missing."""
        self.take(said("chromium", "video"))
        terms = self.plane.terms[self.web.ends["video"]]
        self.assertEqual((terms.picture_interval, terms.nack_interval), (1.0, 1.0))
        self.assertEqual((terms.picture_spacing, terms.takes_nacks), (1.0, True))
        terms = self.plane.terms[self.web.ends["audio"]]
        self.assertEqual((terms.picture_spacing, terms.takes_nacks), (None, False))
        self.assertEqual((terms.picture_interval, terms.nack_interval), (None, None))

    def test_said(self) -> None:
        """Only what both sides do is said, whatever more the browser could."""
        answer = self.take(said("chromium", "video"))
        self.assertEqual(
            {value.split(" ", 1)[1] for value in answer.media[1].attributes("rtcp-fb")},
            {"nack", "nack pli", "ccm fir"},
        )
        self.assertEqual(answer.media[0].attributes("rtcp-fb"), [])

    def test_without_nack(self) -> None:
        """Switched off, it is neither said nor done."""
        self.build(nack=False, picture_interval=None)
        answer = self.take(said("chromium", "video"))
        self.assertFalse(any(v.endswith(" nack") for v in answer.media[1].attributes("rtcp-fb")))
        terms = self.plane.terms[self.web.ends["video"]]
        self.assertEqual((terms.picture_interval, terms.nack_interval), (None, None))
        self.assertEqual((terms.picture_spacing, terms.takes_nacks), (1.0, False))

    def test_without_pictures(self) -> None:
        """Switched off, the browser may still ask us for the other side's."""
        self.build(picture_spacing=None, picture_interval=None)
        answer = self.take(said("chromium", "video"))
        self.assertTrue(any(v.endswith(" pli") for v in answer.media[1].attributes("rtcp-fb")))
        terms = self.plane.terms[self.web.ends["video"]]
        self.assertEqual((terms.picture_spacing, terms.picture_interval), (None, None))

    def test_nobody_asks_who_does_not_send(self) -> None:
        """Video that the browser only receives needs no pictures of it."""
        offer = said("chromium", "video").replace(b"a=sendrecv", b"a=recvonly")
        self.take(offer)
        terms = self.plane.terms[self.web.ends["video"]]
        self.assertEqual((terms.picture_interval, terms.picture_spacing), (None, None))


class BundleTests(SessionCase):
    """One transport or two."""

    def offered(self) -> SessionDescription:
        """Our first offer, with audio and video."""
        self.phone.take_offer(sdp() + VIDEO)
        return parse(self.web.offer(self.phone.offered))

    def answered(self, *, bundle: bool) -> bytes:
        """What a browser answers, with our numbers."""
        answer = page_answer("audio", "video", version=1)
        return answer if bundle else answer.replace(b"a=group:BUNDLE 0 1\r\n", b"")

    def test_bundle_only(self) -> None:
        """Media after the first have port 0, and the first has the candidates."""
        offer = self.offered()
        self.assertEqual([m.port for m in offer.media], [self.plane.only.port, 0])
        self.assertEqual([m.has("bundle-only") for m in offer.media], [False, True])
        self.assertEqual([len(m.candidates) for m in offer.media], [1, 0])
        self.web.take_answer(self.answered(bundle=True))
        self.phone.answer(self.web.agreed)
        self.bridge()
        self.assertEqual(len(self.plane.only.remotes), 1)
        self.assertEqual(set(self.plane.on.values()), set(self.plane.transports))

    def test_one_that_is_not_bundled(self) -> None:
        """What was offered in the bundle alone cannot be had outside of it."""
        self.offered()
        answer = self.answered(bundle=False)
        error = self.assertRaises(SdpError, self.web.take_answer, answer)
        self.assertEqual(error.reason, "mismatch")

    def test_both_ways(self) -> None:
        """Without bundle-only a transport is offered for each; what is not needed is closed."""
        self.build(bundle_only=False)
        offer = self.offered()
        self.assertEqual(len({m.port for m in offer.media}), 2)
        self.assertEqual(offer.attributes("group"), ["BUNDLE 0 1"])
        self.web.take_answer(self.answered(bundle=True))
        self.phone.answer(self.web.agreed)
        self.bridge()
        self.assertEqual(len(self.plane.transports), 1)
        video = self.web.ends["video"]
        self.assertIn(f"{1000 + video} ", offer.media[1].attribute("ssrc") or "")

    def test_both_ways_without_bundle(self) -> None:
        """A browser that cannot bundle has both transports."""
        self.build(bundle_only=False)
        self.offered()
        self.web.take_answer(self.answered(bundle=False))
        self.phone.answer(self.web.agreed)
        self.bridge()
        self.assertEqual(len(self.plane.transports), 2)
        self.assertTrue(all(each.remotes for each in self.plane.transports.values()))
        ends = self.web.ends
        self.assertNotEqual(self.plane.on[ends["audio"]], self.plane.on[ends["video"]])
        self.web.close()
        self.assertFalse(self.plane.transports)

    def test_no_bundle(self) -> None:
        """Switched off, there is a transport for each, whatever the browser says."""
        self.build(bundle=False)
        answer = self.take(said("firefox", "video"))
        self.assertEqual(answer.attributes("group"), [])
        self.assertEqual(len({m.port for m in answer.media}), 2)
        self.assertEqual(len(self.plane.transports), 2)
        self.assertTrue(all(m.candidates for m in answer.media))

    def test_second_audio_without_bundle(self) -> None:
        """The audio that the browser sends on has a transport of its own; the other keeps its."""
        self.build(bundle=False)
        first, answer = self.each("audio", "three")
        self.assertEqual(directions(answer), ["inactive", "sendrecv", "sendrecv"])
        self.assertEqual(len({m.port for m in answer.media}), 3)
        self.assertEqual(
            first.media[0].attribute("ice-ufrag"), answer.media[0].attribute("ice-ufrag")
        )
        self.each("hold", "resume")
        self.assertEqual({len(each.remotes) for each in self.plane.transports.values()}, {1})

    def test_bundle_only_without_bundle(self) -> None:
        """What is offered in a bundle alone is refused where there is to be none."""
        self.build(bundle=False)
        self.browser = "firefox"
        answer = self.each("audio", "three")[-1]
        self.assertEqual([m.port > 0 for m in answer.media], [True, False, True])
