"""Each codec by its name: both browsers say which it is, and are heard and seen by it."""

from __future__ import annotations

import re
from typing import ClassVar

from tests.sippeers.addresses import Endpoint
from tests.sippeers.baresip import Account, Baresip, baresip
from tests.webrtc.browsers import Page
from tests.webrtc.installation import Installation
from tests.webrtc.phone import VIDEO, Phone
from tests.webrtc.test_calls import HIGH, LOW, CallsTestCase

TELEPHONE = "1500"
WAYS = ("inbound", "outbound")
_H264 = re.compile(r"^a=fmtp:[0-9]+ (.*profile-level-id=.*?)\r?$", re.MULTILINE)


class SoundTests(CallsTestCase):
    """Chromium has one codec for sound and calls Firefox, which has them all."""

    def one_codec(self, name: str) -> None:
        """Both hear each other by it, and by no other."""
        one = self.phone(self.desk.chromium, "1001", LOW, only={"audio": name})
        other = self.phone(self.desk.firefox, "1002", HIGH)
        self.connect(one, other)
        for phone in (one, other):
            stats = phone.page.stats()
            self.assertEqual([stats[way]["audio"]["codec"] for way in WAYS], [name, name])

    def test_opus(self) -> None:
        """Opus."""
        self.one_codec("audio/opus")

    def test_g722(self) -> None:
        """G.722."""
        self.one_codec("audio/G722")

    def test_pcmu(self) -> None:
        """G.711, mu-law."""
        self.one_codec("audio/PCMU")

    def test_pcma(self) -> None:
        """G.711, A-law."""
        self.one_codec("audio/PCMA")


class PictureTests(CallsTestCase):
    """H.264, which is not disallowed here, is the only codec of pictures."""

    installation: ClassVar[Installation] = Installation(
        more={
            "rsmp": [
                "codecs = (opus,telephone-event=126,h264=(pt=108,"
                'fmtp="[profile-level-id=42000B;packetization-mode=1]"))',
                "web-disallowed-codecs =",
            ]
        }
    )

    def pictures(self, **rig: object) -> tuple[Phone, Phone]:
        """A Chromium with this rig calls Chromium: they hear and see each other, by H.264."""
        one = self.phone(self.desk.chromium, "1001", LOW, **rig)
        other = self.phone(self.desk.chromium, "1002", HIGH)
        self.connect(one, other, VIDEO)
        for page in (one.page, other.page):
            page.sees()
            stats = page.stats()
            names = [stats[way]["video"]["codec"] for way in WAYS]
            self.assertEqual(names, ["video/H264"] * 2)
            self.assertEqual(page.complaints(), [])
        return one, other

    def test_every_profile_goes_over(self) -> None:
        """The callee is offered each profile in each mode that the caller has, and answers so."""
        one, other = self.pictures()
        offered = _h264_of(one.page, "local")
        self.assertIn("packetization-mode=0", " ".join(offered))
        self.assertGreater(len(offered), 2)
        self.assertEqual(_h264_of(other.page, "remote"), offered)
        self.assertEqual(_h264_of(one.page, "remote"), _h264_of(other.page, "local"))

    def one_profile(self, words: str) -> None:
        """The caller has one profile in one mode: it is all that is offered, and what both send."""
        one, other = self.pictures(only={"video": words})
        self.assertEqual(len(_h264_of(other.page, "remote")), 1)
        for phone in (one, other):
            stats = phone.page.stats()
            for way in WAYS:
                self.assertIn(words, stats[way]["video"]["fmtp"])

    def test_single_units(self) -> None:
        """Constrained baseline with a NAL unit in each packet."""
        self.one_profile("packetization-mode=0;profile-level-id=42e01f")

    def test_main(self) -> None:
        """The main profile, whose NAL units may be fragmented."""
        self.one_profile("packetization-mode=1;profile-level-id=4d001f")

    def test_callee_of_one_profile(self) -> None:
        """A callee that answers one profile is seen, though Chromium sends the first offered."""
        words = "packetization-mode=1;profile-level-id=4d001f"
        one = self.phone(self.desk.chromium, "1001", LOW)
        other = self.phone(self.desk.chromium, "1002", HIGH, only={"video": words})
        self.connect(one, other, VIDEO)
        (answered,) = _h264_of(one.page, "remote")
        self.assertIn(words, answered)
        one.page.sees()
        other.page.sees()

    def telephone(self, *, answers: str) -> Baresip:
        """A baresip that has registered, and has no picture codec but H.264."""
        account = Account(
            dn=TELEPHONE,
            server=self.installed.suite.at,
            password="nobody's",
            codec="opus",
            video="H264",
            answer_mode=answers,
        )
        phone = self.stack.enter_context(baresip(account, Endpoint("127.0.0.1", 5070)))
        phone.registered()
        self.installed.until_registered(TELEPHONE)
        return phone

    def sees_each_other(self, one: Phone, phone: Baresip) -> None:
        """The page and the telephone."""
        one.page.sees()
        self.assertEqual(one.page.stats()["inbound"]["video"]["codec"], "video/H264")
        phone.program.wait_for(lambda: phone.pictures > 0, "decoding pictures")

    def test_telephone(self) -> None:
        """A telephone is called: it answers one variant of H.264, and sends by another."""
        phone = self.telephone(answers="auto")
        one = self.phone(self.desk.chromium, "1001", LOW)
        one.dial(TELEPHONE, VIDEO)
        one.is_answered()
        self.sees_each_other(one, phone)

    def test_telephone_calls(self) -> None:
        """A telephone calls, and both see each other."""
        phone = self.telephone(answers="manual")
        one = self.phone(self.desk.chromium, "1001", LOW)
        phone.command("dial", f"sip:1001@{self.installed.suite.at}")
        one.rings()
        one.answer(VIDEO)
        one.is_answered()
        self.sees_each_other(one, phone)

    def test_nothing_common(self) -> None:
        """A browser without H.264 hears and is heard, though nobody is seen."""
        one = self.phone(self.desk.chromium, "1001", LOW)
        other = self.phone(self.desk.chromium, "1002", HIGH, only={"video": "video/VP9"})
        self.connect(one, other, VIDEO)
        for page in (one.page, other.page):
            self.assertNotIn("video", page.stats()["outbound"])


def _h264_of(page: Page, side: str) -> list[str]:
    """The parameters of H.264 in the page's description of that side."""
    sdp: str = page.run("(side) => rig.connections.at(-1)[`${side}Description`].sdp", side)
    return _H264.findall(sdp)
