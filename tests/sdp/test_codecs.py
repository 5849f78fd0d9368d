"""Tests of the configuration's lists of codecs."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.codecs import Codec, parse_codec_list, parse_codecs
from b2bua.sdp.errors import CodecListError
from b2bua.sdp.formats import Format

GUIDE = (
    "(g722,pcmu,pcma,opus,g729,telephone-event=126,vp8=100,"
    'h264=(pt=108,fmtp="[profile-level-id=42000B;packetization-mode=1]"))'
)


class GrammarTests(SynchronousTestCase):
    """The guide's grammar."""

    def test_the_guides_default(self) -> None:
        """The list that the guide has as the default of ``codecs``."""
        codecs = parse_codec_list(GUIDE)
        self.assertEqual(
            [codec.name for codec in codecs],
            ["g722", "pcmu", "pcma", "opus", "g729", "telephone-event", "vp8", "h264"],
        )
        self.assertEqual(codecs[5].payload_type, 126)
        self.assertEqual(
            codecs[7],
            Codec("h264", None, 108, "[profile-level-id=42000B;packetization-mode=1]"),
        )
        self.assertEqual([codec.kind for codec in codecs], 6 * ["audio"] + 2 * ["video"])

    def test_every_form(self) -> None:
        """Clock rates, both forms of a payload type, either order, both spellings, blanks."""
        for text, wanted in (
            ("", ()),
            (" () ", ()),
            ("( PCMU )", (Codec("pcmu"),)),
            ("(iSAC/16000, iSAC/32000)", (Codec("isac", 16000), Codec("isac", 32000))),
            ("(g722/16000)", (Codec("g722", 8000),)),
            ("(vp8=(pt=100))", (Codec("vp8", None, 100),)),
            ('(opus/48000=(fmtp="a=1,b=(2)",pt=96))', (Codec("opus", 48000, 96, "a=1,b=(2)"),)),
            ('(h264=(pt=97,fntp="x=1;[y=2]"))', (Codec("h264", None, 97, "x=1;[y=2]"),)),
        ):
            self.assertEqual(parse_codec_list(text), wanted, text)

    def test_parted_entries(self) -> None:
        """Entries that another reader has parted give the same as the list."""
        self.assertEqual(parse_codecs(["pcmu", "vp8=100"]), parse_codec_list("(pcmu,vp8=100)"))

    def test_errors_name_what_is_wrong(self) -> None:
        """Each refusal says which entry it is about and why."""
        for text, words in (
            ("pcmu", "not within ( and )"),
            ("(pcmu", "not within ( and )"),
            ("(pcmu,,pcma)", "codec 2: '' is not of the form"),
            ("(pcmu,)", "codec 2: ''"),
            ("(pcmu;pcma)", "codec 1: 'pcmu;pcma' is not of the form"),
            ("(pcmu,gsm)", "codec 2: unknown codec 'gsm'; known are pcmu"),
            ("(pcmu,pcma,PCMU)", "codec 3: pcmu is there twice"),
            ("(vp8=128)", "codec 1: payload type 128 of vp8 is above 127"),
            ("(vp8=99999999999)", "is above 127"),
            ("(vp8=100,h264=100)", "codec 2: payload type 100 is taken"),
            ("(vp8=x)", "not of the form"),
            ("(opus/8000)", "opus has no clock rate 8000; it is 48000"),
            ("(telephone-event/1)", "no clock rate 1"),
            ("(vp8=(pt=1,pt=2))", "'pt=2' is there twice"),
            ("(vp8=(clock=1))", "'clock=1' is neither pt=number nor fmtp"),
            ("(vp8=())", "'' is neither"),
            ('(h264=(fmtp="[a=1"))', "the brackets in the fmtp of h264 do not pair"),
            ('(h264=(fmtp="[[a=1]]"))', "do not pair"),
            ('(h264=(fmtp="a=1\n"))', "characters that SDP does not take"),
            ('(h264=(fmtp="a=1))', "not closed"),
            ("((vp8)", "not closed"),
        ):
            problem = self.assertRaises(CodecListError, parse_codec_list, text)
            self.assertIn(words, str(problem), text)

    @given(st.text(st.sampled_from('(),="[];/ pcmuvt8h264fx10'), max_size=60) | st.text())
    @example("(" * 2000)
    @example("((((((((((((((((((((((((((((((a)")
    @example('(a=("' * 500 + ")")
    def test_nothing_but_list_errors(self, text: str) -> None:
        """Whatever stands in the configuration is read or refused with a sentence."""
        try:
            parse_codec_list(text)
        except CodecListError as problem:
            self.assertTrue(str(problem))


class ParameterTests(SynchronousTestCase):
    """The rule of the square brackets."""

    def test_offer_and_answer(self) -> None:
        """An offer loses the brackets, an answer has the offer's parameters in their place."""
        for fmtp, offered, answered in (
            ("[a=1;b=2]", "a=1;b=2", "x=9"),
            ("a=1;[b=2]", "a=1;b=2", "a=1;x=9"),
            ("a=1", "a=1", "a=1"),
            ("", "", ""),
        ):
            codec = Codec("h264", None, 108, fmtp)
            self.assertEqual(codec.offered_fmtp(), offered)
            self.assertEqual(codec.answered_fmtp("x=9"), answered)

    def test_offer_without_parameters(self) -> None:
        """Nothing takes the place of brackets where the offer said nothing."""
        self.assertEqual(Codec("h264", fmtp="a=1;[b=2]").answered_fmtp(""), "a=1")
        self.assertEqual(Codec("h264", fmtp="[b=2]").answered_fmtp(r"\1"), r"\1")

    def test_what_an_entry_covers(self) -> None:
        """A name covers every clock rate, a name with a clock rate that one."""
        narrow, wide = Format(1, "Telephone-Event", 8000), Format(2, "telephone-event", 48000)
        self.assertTrue(all(map(Codec("telephone-event").covers, (narrow, wide))))
        self.assertFalse(Codec("telephone-event", 8000).covers(wide))
        self.assertFalse(Codec("pcmu").covers(narrow))
