"""Tests of which codecs are offered and answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.description import parse
from b2bua.sdp.formats import Format, formats_of
from b2bua.sdp.negotiation import (
    CodecRules,
    PayloadTypes,
    answer_formats,
    full_offer_formats,
    offer_formats,
)
from tests.sdp import samples
from tests.sdp.test_codecs import GUIDE

CODECS = parse_codec_list(GUIDE)
SIP = CodecRules(codecs=CODECS, added=parse_codec_list("(vp8,h264)"))
WEB = CodecRules(
    codecs=CODECS,
    added=parse_codec_list("(g722,pcmu,vp8)"),
    disallowed=parse_codec_list("(h264)"),
    feedback=("nack", "nack pli"),
)
PCMU, PCMA = Format(0, "PCMU", 8000), Format(8, "PCMA", 8000)
H264 = Format(97, "H264", 90000, 1, "profile-level-id=42801f;packetization-mode=0")


def chromium(index: int) -> tuple[Format, ...]:
    """Return the formats of a medium of Chromium's offer."""
    return formats_of(parse(samples.CHROMIUM).media[index])


def short(formats: tuple[Format, ...]) -> list[str]:
    """Return number, name and clock rate of each format."""
    return [f"{item.payload_type} {item.name}/{item.clock_rate}" for item in formats]


class OfferTests(SynchronousTestCase):
    """Offers after what the other side named."""

    def test_browser_audio_to_sip(self) -> None:
        """The browser's order and numbers; what the list lacks (red, noise) is left out."""
        self.assertEqual(
            short(offer_formats("audio", chromium(0), SIP, PayloadTypes())),
            [
                "111 opus/48000",
                "9 g722/8000",
                "0 pcmu/8000",
                "8 pcma/8000",
                "110 telephone-event/48000",
                "126 telephone-event/8000",
            ],
        )

    def test_sip_audio_to_browser(self) -> None:
        """G.722 is added behind what the phone named, with its static number."""
        named = formats_of(samples.audio("rtpmap:101 telephone-event/8000").media[0])
        self.assertEqual(
            short(offer_formats("audio", named, WEB, PayloadTypes())),
            ["0 pcmu/8000", "8 pcma/8000", "101 telephone-event/8000", "9 g722/8000"],
        )

    def test_added_codec_has_its_default_number_and_parameters(self) -> None:
        """H.264 comes from ``codecs``, without brackets, where only VP8 was named."""
        vp8 = chromium(1)[:1]
        offered = offer_formats("video", vp8, SIP, PayloadTypes())
        self.assertEqual(short(offered), ["96 vp8/90000", "108 h264/90000"])
        self.assertEqual(offered[1].fmtp, "profile-level-id=42000B;packetization-mode=1")
        self.assertEqual(offered[0].feedback, ())

    def test_parameters_of_the_added_list_win(self) -> None:
        """An entry of the added list need not be the one of ``codecs``."""
        rules = CodecRules(
            codecs=CODECS, added=parse_codec_list('(h264=(pt=99,fmtp="[packetization-mode=0]"))')
        )
        offered = offer_formats("video", chromium(1)[:1], rules, PayloadTypes())
        self.assertEqual((offered[1].payload_type, offered[1].fmtp), (99, "packetization-mode=0"))

    def test_disallowed(self) -> None:
        """A disallowed codec is not offered, whether named or added; nor is it answered."""
        named = (H264, Format(98, "VP8", 90000))
        self.assertEqual(
            short(offer_formats("video", named, WEB, PayloadTypes())), ["98 vp8/90000"]
        )
        rules = CodecRules(codecs=CODECS, added=CODECS, disallowed=parse_codec_list("(g722,vp8)"))
        self.assertNotIn(
            "g722", [f.name for f in offer_formats("audio", (PCMU,), rules, PayloadTypes())]
        )
        self.assertEqual(answer_formats("video", named[1:], named[1:], rules), ())

    def test_nothing_added_without_a_transcoder(self) -> None:
        """Adding needs somebody to translate."""
        rules = CodecRules(codecs=CODECS, added=CODECS, transcoding=False)
        self.assertEqual(
            short(offer_formats("audio", (PCMU,), rules, PayloadTypes())), ["0 pcmu/8000"]
        )

    def test_no_medium_without_a_codec(self) -> None:
        """Digits alone are no call."""
        rules = CodecRules(codecs=CODECS, transcoding=False)
        named = (Format(96, "AMR", 8000), Format(101, "telephone-event", 8000))
        self.assertEqual(offer_formats("audio", named, rules, PayloadTypes()), ())
        self.assertEqual(offer_formats("video", (), rules, PayloadTypes()), ())

    def test_digits_for_each_clock_rate(self) -> None:
        """Digits are offered at the clock rates of the audio codecs and no others."""
        wide = (Format(111, "opus", 48000, 2), Format(110, "telephone-event", 48000))
        self.assertEqual(
            short(offer_formats("audio", wide, WEB, PayloadTypes())),
            [
                "111 opus/48000",
                "110 telephone-event/48000",
                "9 g722/8000",
                "0 pcmu/8000",
                "126 telephone-event/8000",
            ],
        )
        narrow = CodecRules(codecs=parse_codec_list("(pcmu,telephone-event)"))
        self.assertEqual(
            short(offer_formats("audio", chromium(0), narrow, PayloadTypes())),
            ["0 pcmu/8000", "126 telephone-event/8000"],
        )

    def test_feedback(self) -> None:
        """Video is offered with what this side does, answered with what both do."""
        offered = offer_formats("video", chromium(1), WEB, PayloadTypes())
        self.assertEqual(offered[0].feedback, ("nack", "nack pli"))
        answered = answer_formats("video", chromium(1), offered, WEB)
        self.assertEqual(answered[0].feedback, ("nack", "nack pli"))
        self.assertEqual(answer_formats("video", chromium(1), offered, SIP)[0].feedback, ())

    def test_full_offer(self) -> None:
        """Without another side everything in ``codecs`` is offered in its order."""
        formats = full_offer_formats("audio", SIP, PayloadTypes())
        self.assertEqual(
            short(formats),
            [
                "9 g722/8000",
                "0 pcmu/8000",
                "8 pcma/8000",
                "96 opus/48000",
                "18 g729/8000",
                "126 telephone-event/8000",
                "97 telephone-event/48000",
            ],
        )
        self.assertEqual(short(full_offer_formats("video", WEB, PayloadTypes())), ["100 vp8/90000"])


class PayloadTypeTests(SynchronousTestCase):
    """Numbers on one leg."""

    def test_number_stays(self) -> None:
        """A codec that comes back later has the number it had, whoever names it how."""
        numbers = PayloadTypes()
        offer_formats("audio", (Format(111, "opus", 48000, 2),), SIP, numbers)
        again = (PCMU, Format(96, "opus", 48000, 2))
        offered = offer_formats("audio", again, SIP, numbers)
        self.assertEqual(offered[1].payload_type, 111)

    def test_number_keeps_its_meaning(self) -> None:
        """A number that meant one codec on the leg is not given to another."""
        numbers = PayloadTypes()
        offer_formats("audio", (Format(100, "opus", 48000, 2),), WEB, numbers)
        offered = offer_formats("video", (Format(100, "VP8", 90000),), WEB, numbers)
        self.assertEqual(offered[0].payload_type, 96)

    def test_number_of_an_offer_we_answer(self) -> None:
        """The peer's own number is learned; one it uses anew changes its meaning."""
        numbers = PayloadTypes()
        numbers.learn([Format(101, "telephone-event", 8000), Format(96, "opus", 48000, 2)])
        self.assertEqual(numbers.number(Format(126, "telephone-event", 8000)), 101)
        numbers.learn([Format(96, "telephone-event", 8000)])
        self.assertEqual(numbers.number(Format(126, "telephone-event", 8000)), 96)
        self.assertEqual(numbers.number(Format(111, "opus", 48000, 2), (96, 111)), 111)

    def test_codec_under_two_numbers(self) -> None:
        """Of two numbers for one codec the first is used, and neither gets another meaning."""
        numbers = PayloadTypes()
        numbers.learn([Format(96, "VP8", 90000), Format(97, "VP8", 90000)])
        self.assertEqual(numbers.number(Format(100, "VP8", 90000)), 96)
        self.assertEqual(numbers.number(Format(97, "opus", 48000, 2), (97, 96)), 98)

    def test_static_numbers_are_not_lent(self) -> None:
        """A dynamic codec never gets a number that RFC 3551 gave away, nor one like RTCP's."""
        numbers = PayloadTypes()
        self.assertEqual(numbers.number(Format(0, "VP8", 90000), (0, 18)), 96)
        given = [numbers.number(Format(0, f"x{at}", 8000)) for at in range(70)]
        taken = [number for number in given if number is not None]
        self.assertEqual(len(taken), len(set(taken)))
        self.assertFalse({number for number in taken if 64 <= number <= 95 or number < 35})
        self.assertIsNone(given[-1])


class AnswerTests(SynchronousTestCase):
    """Answers after what the other side answered."""

    def test_numbers_and_order(self) -> None:
        """The other side's choice and order, under the numbers of the offer."""
        named = (PCMA, PCMU, Format(101, "telephone-event", 8000))
        rules = CodecRules(codecs=CODECS)
        self.assertEqual(
            short(answer_formats("audio", chromium(0), named, rules)),
            ["8 pcma/8000", "0 pcmu/8000", "126 telephone-event/8000"],
        )

    def test_answer_to_the_browser_has_added_codecs(self) -> None:
        """VP8 is answered beside nothing else where the phone took H.264: a transcoder helps."""
        self.assertEqual(
            short(answer_formats("video", chromium(1), (H264,), WEB)), ["96 vp8/90000"]
        )

    def test_only_what_was_offered(self) -> None:
        """An added codec that was not offered stays out, and nothing common is nothing."""
        rules = CodecRules(codecs=CODECS, added=CODECS)
        self.assertEqual(short(answer_formats("audio", (PCMU,), (PCMA,), rules)), ["0 pcmu/8000"])
        plain = CodecRules(codecs=CODECS)
        self.assertEqual(answer_formats("audio", (PCMU,), (PCMA,), plain), ())

    def test_bracketed_parameters(self) -> None:
        """H.264 is answered with the parameters it was offered with."""
        h264 = next(item for item in chromium(1) if item.name == "h264")
        (answered,) = answer_formats("video", chromium(1), (h264,), CodecRules(codecs=CODECS))
        self.assertEqual(answered.fmtp, h264.fmtp)
        self.assertEqual(answered.payload_type, 103)

    def test_parameters_of_the_other_side(self) -> None:
        """Opus is answered with what the other leg would like to get."""
        opus = Format(96, "opus", 48000, 2, "maxplaybackrate=16000")
        (answered,) = answer_formats("audio", chromium(0)[:1], (opus,), CodecRules(codecs=CODECS))
        self.assertEqual(answered.fmtp, "maxplaybackrate=16000")

    def test_events_in_common(self) -> None:
        """Digits are answered with the events that both sides know."""
        for ours, theirs, common in (
            ("0-15", "0-16", "0-15"),
            ("0-11,16", "0-16", "0-11,16"),
            ("", "0-16,66", "0-15"),
            ("0-15", "", "0-15"),
            ("0-15", "nonsense", ""),
        ):
            offered = (PCMU, Format(101, "telephone-event", 8000, 1, theirs))
            named = (PCMU, Format(126, "telephone-event", 8000, 1, ours))
            answered = answer_formats("audio", offered, named, CodecRules(codecs=CODECS))
            self.assertEqual(answered[1].fmtp, common)

    @given(st.lists(st.sampled_from([*chromium(0), PCMA, H264]), max_size=6), st.booleans())
    def test_answers_are_within_the_offer(self, named: list[Format], added: bool) -> None:
        """Whatever the other side says, an answer has only numbers of its offer, each once."""
        rules = CodecRules(codecs=CODECS, added=CODECS if added else ())
        answered = [
            item.payload_type for item in answer_formats("audio", chromium(0), named, rules)
        ]
        self.assertEqual(len(answered), len(set(answered)))
        self.assertLessEqual(set(answered), {item.payload_type for item in chromium(0)})
