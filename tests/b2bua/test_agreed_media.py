"""Tests of what two descriptions agree on, and under which numbers it may come."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.agreed_media import Agreed, agree, crossing
from b2bua.sdp.description import SessionDescription, parse

_BASELINE, _MAIN = "42001f", "4d001f"


def described(kind: str, *formats: tuple[int, str, str]) -> SessionDescription:
    """A description with one medium: numbers, rtpmaps and parameters."""
    numbers = " ".join(str(number) for number, _, _ in formats)
    lines = [
        *("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"),
        f"m={kind} 4000 RTP/AVP {numbers}",
    ]
    for number, rtpmap, fmtp in formats:
        lines.append(f"a=rtpmap:{number} {rtpmap}")
        lines += [f"a=fmtp:{number} {fmtp}"] if fmtp else []
    return parse("".join(f"{line}\r\n" for line in lines))


def h264(number: int, profile: str, mode: int) -> tuple[int, str, str]:
    """One of its variants."""
    return number, "H264/90000", f"packetization-mode={mode};profile-level-id={profile}"


OFFERED = (h264(102, _BASELINE, 1), h264(104, _BASELINE, 0), h264(39, _MAIN, 0))
ACROSS = described("video", h264(114, _BASELINE, 0), h264(115, _BASELINE, 1))


class StrayTests(SynchronousTestCase):
    """H.264 under a number that we offered and the peer did not answer."""

    def answered(self, *formats: tuple[int, str, str]) -> Agreed:
        """What our offer and this answer to it have in common."""
        return agree(described("video", *OFFERED), described("video", *formats))

    def test_another_profile(self) -> None:
        """It goes on as what was answered: phones answer one variant, and send by another."""
        here = self.answered(h264(39, "42e01f", 0))
        numbers = crossing("video", here, agree(ACROSS, ACROSS)).payload_types
        self.assertEqual(numbers, {104: 114, 102: 114, 39: 114})
        self.assertEqual(here.clock_rates["video"], dict.fromkeys((104, 102, 39), 90000))

    def test_mode(self) -> None:
        """Where both packetization modes were answered, it keeps its own."""
        here = self.answered(h264(104, _BASELINE, 0), h264(102, _BASELINE, 1))
        self.assertEqual(here.strays["video"], {39: 104})
        here = self.answered(h264(102, _BASELINE, 1), h264(39, _MAIN, 0))
        self.assertEqual(here.strays["video"], {104: 39})

    def test_it_is_not_agreed(self) -> None:
        """The other leg hears nothing of it."""
        here = self.answered(h264(102, _BASELINE, 1))
        self.assertEqual([each.payload_type for each in here.named["video"]], [102])

    def test_nothing_of_it_was_answered(self) -> None:
        """Then it goes nowhere, nor does any other codec that was left out."""
        vp8, opus = (96, "VP8/90000", ""), (111, "opus/48000/2", "")
        ours = described("video", *OFFERED, vp8)
        self.assertEqual(agree(ours, described("video", vp8)).strays["video"], {})
        pcmu = (0, "PCMU/8000", "")
        found = agree(described("audio", pcmu, opus), described("audio", pcmu))
        self.assertEqual(found.strays["audio"], {})
        self.assertEqual(found.clock_rates["audio"], {0: 8000})
