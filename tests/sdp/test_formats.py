"""Tests of formats and of when two are one codec."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.description import parse
from b2bua.sdp.formats import Format, agreed, find, formats_of, h264_profile
from tests.sdp import samples


def h264(profile: str, mode: str = "1", number: int = 100) -> Format:
    """Return an H.264 format."""
    return Format(
        number, "H264", 90000, 1, f"Profile-Level-Id={profile} ; packetization-mode={mode}"
    )


class ReadingTests(SynchronousTestCase):
    """Formats of what peers send."""

    def test_chromium(self) -> None:
        """Numbers, feedback and parameters; 13 and 0 need no rtpmap but have one."""
        audio, video = parse(samples.CHROMIUM).media
        self.assertEqual(
            [item.name for item in formats_of(audio)],
            ["opus", "red", "g722", "pcmu", "pcma", "cn", "telephone-event", "telephone-event"],
        )
        vp8, rtx, *_ = formats_of(video)
        self.assertEqual(vp8.feedback[2:], ("ccm fir", "nack", "nack pli"))
        self.assertEqual(rtx.codec[-1], "96")

    def test_numbers_without_a_meaning(self) -> None:
        """A dynamic number whose rtpmap was cut away is left out, a repeated one too."""
        (audio,) = samples.audio(formats="96 0 0 101").media
        self.assertEqual([item.payload_type for item in formats_of(audio)], [0, 101])

    def test_meaning_without_a_clock_rate(self) -> None:
        """RFC 4475's "a=rtpmap:31 LPC" is no reason to refuse the rest of a message."""
        (audio,) = samples.audio("rtpmap:31 LPC", formats="31 0").media
        self.assertEqual([item.payload_type for item in formats_of(audio)], [0])

    def test_static_numbers(self) -> None:
        """G.729 and its like are known by their number."""
        (audio,) = samples.audio(formats="18 9 13").media
        self.assertEqual([item.encoding for item in formats_of(audio)], ["G729", "G722", "CN"])

    def test_slips_of_peers(self) -> None:
        """G.722 at 16 kHz and Opus with one channel are what they are meant to be."""
        (audio,) = samples.audio(
            "rtpmap:9 G722/16000", "rtpmap:96 OPUS/48000", formats="9 96"
        ).media
        g722, opus = formats_of(audio)
        self.assertEqual((g722.clock_rate, opus.channels), (8000, 2))

    def test_no_rtp_no_formats(self) -> None:
        """A data channel's format is no codec."""
        text = samples.SIPP.replace("audio 6000 RTP/AVP 0", "application 9 UDP/DTLS/SCTP x")
        self.assertEqual(formats_of(parse(text).media[0]), ())


class MatchingTests(SynchronousTestCase):
    """The same codec under another number."""

    def test_clock_rate_and_channels(self) -> None:
        """Case and number do not matter, the rest does."""
        wide, narrow = Format(110, "telephone-event", 48000), Format(126, "telephone-event", 8000)
        self.assertIs(find(Format(101, "TELEPHONE-EVENT", 8000), (wide, narrow)), narrow)
        self.assertIsNone(find(Format(0, "PCMU", 16000), (Format(0, "PCMU", 8000),)))
        self.assertIsNone(find(Format(96, "L16", 8000, 2), (Format(97, "L16", 8000),)))

    def test_h264_profiles(self) -> None:
        """RFC 6184's table: one profile has several spellings."""
        for text, name in (
            ("42e01f", "constrained-baseline"),
            ("42c00b", "constrained-baseline"),
            ("4d8028", "constrained-baseline"),
            ("42000B", "baseline"),
            ("42801f", "baseline"),
            ("4d001f", "main"),
            ("640c1f", "constrained-high"),
            ("64001f", "high"),
            ("f4001f", "f400"),
            ("x", "x"),
            ("42", "42"),
        ):
            self.assertEqual(h264_profile(h264(text)), name)
        self.assertEqual(h264_profile(Format(97, "H264", 90000)), "baseline")

    def test_h264_closest(self) -> None:
        """The same profile at any level first, then baseline for constrained baseline."""
        main, base, constrained = h264("4d001f"), h264("42001f"), h264("42e01f")
        offered = (main, base, constrained)
        self.assertIs(find(h264("42e034"), offered), constrained)
        self.assertIs(find(h264("42000B"), offered), base)
        self.assertIs(find(h264("42e01f"), (main, base)), base)
        self.assertIsNone(find(h264("64001f"), offered))

    def test_h264_mode(self) -> None:
        """Packetization modes do not mix; 0 is what silence means."""
        plain = Format(97, "H264", 90000, 1, "profile-level-id=42e01f")
        self.assertIsNone(find(plain, (h264("42e01f", "1"),)))
        self.assertIsNotNone(find(plain, (h264("42e01f", "0"),)))

    def test_agreed_numbers(self) -> None:
        """Each codec is sent under the number that the other side wrote, in its order."""
        ours = (Format(0, "PCMU", 8000), Format(126, "telephone-event", 8000))
        theirs = (Format(101, "telephone-event", 8000), Format(0, "pcmu", 8000))
        self.assertEqual(
            [(item.send_type, item.receive_type) for item in agreed(ours, theirs)],
            [(101, 126), (0, 0)],
        )
