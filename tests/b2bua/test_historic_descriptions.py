"""
Descriptions as the historic client leaves them: a real browser's, changed by it before they go.

Its profile says nothing of TLS, candidates come apart from its first offer and stand in every later
one, and with each offer another rtpmap is gone while the number stays.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sdp.description import parse
from b2bua.sdp.errors import SdpError
from tests.b2bua.test_web_sessions import SessionCase, directions
from tests.sdp.browsers import BROWSERS, NAMES, said

CANDIDATES = (
    "a=candidate:842163049 1 udp 2122260223 198.51.100.9 50123 typ host generation 0",
    "a=candidate:842163049 2 udp 2122260222 198.51.100.9 50124 typ host generation 0",
    "a=candidate:1 1 tcp 1518280447 198.51.100.9 9 typ host tcptype active generation 0",
    "a=candidate:2 1 udp 2122194687 6ba7b810-9dad-11d1-80b4.local 50125 typ host",
)


def plainly(offer: bytes) -> bytes:
    """The profile of its offers."""
    return offer.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/SAVPF")


def with_candidates(offer: bytes) -> bytes:
    """A re-offer: candidates in the first medium, and a browser's address in its lines."""
    head, _, rest = offer.partition(b"m=audio 9 ")
    rest = rest.replace(b"c=IN IP4 0.0.0.0\r\n", b"c=IN IP4 198.51.100.9\r\n", 1)
    found = "".join(f"{line}\r\n" for line in CANDIDATES).encode()
    return head + b"m=audio 50123 " + rest.replace(b"a=ice-ufrag", found + b"a=ice-ufrag", 1)


def without_repairs(offer: bytes, count: int) -> bytes:
    """The first rtpmaps of rtx, and what belongs to them, are gone; the numbers stay."""
    numbers = re.findall(rb"a=rtpmap:(\d+) rtx/90000\r\n", offer)[:count]
    for number in numbers:
        offer = re.sub(rb"a=(?:rtpmap|fmtp):%s [^\r]*\r\n" % number, b"", offer)
    return offer


def reordered(offer: bytes) -> bytes:
    """The numbers of video come in another order."""
    return re.sub(
        rb"(m=video \d+ \S+) (\d+ \d+) ([^\r]*)", lambda m: b"%s %s %s" % m.group(1, 3, 2), offer
    )


class HistoricTests(SessionCase):
    """A call by that client."""

    def test_profile(self) -> None:
        """The answer says what the offer says, and there is DTLS all the same."""
        answer = self.take(plainly(said("chromium", "audio")))
        self.assertEqual(answer.media[0].line.protocol, "RTP/SAVPF")
        self.assertTrue(answer.media[0].has("fingerprint"))
        self.assertTrue(self.plane.only.remote.fingerprints)

    def test_profile_of_our_offer(self) -> None:
        """A slot keeps its profile."""
        self.take(plainly(said("chromium", "audio")))
        offer = parse(self.web.offer(self.phone.agreed))
        self.assertEqual(offer.media[0].line.protocol, "RTP/SAVPF")

    def test_address_of_the_browser(self) -> None:
        """The address in its lines is never where media go; candidates of RTP are all told."""
        self.take(plainly(said("chromium", "audio")))
        again = with_candidates(plainly(said("chromium", "three")))
        answer = self.take(again)
        self.assertIsNone(self.plane.terms[self.web.ends["audio"]].remote)
        self.assertEqual(
            [each.split(" ")[0] for each in self.plane.only.remote.candidates],
            ["842163049", "1", "2"],
        )
        self.assertEqual(self.plane.only.generation, 1)
        self.assertEqual(directions(answer), ["inactive", "sendrecv", "sendrecv"])

    def test_lost_lines(self) -> None:
        """Numbers without a meaning, and another order, are no change of codecs."""
        self.take(plainly(said("chromium", "audio")))
        offers = [
            reordered(without_repairs(plainly(said("chromium", name)), count))
            for count, name in enumerate(("three", "hold", "resume"), start=1)
        ]
        answers = [self.take(offer) for offer in offers]
        formats = [answer.media[2].line.formats for answer in answers]
        self.assertEqual(formats, [("96",)] * 3)
        terms = self.plane.terms[self.web.ends["video"]]
        self.assertEqual(terms.payload_types, {96: 100})

    def test_bandwidth(self) -> None:
        """A limit of its video is no reason to refuse it."""
        offer = said("chromium", "video")
        head, mark, video = offer.partition(b"m=video")
        video = video.replace(b"c=IN IP4 0.0.0.0\r\n", b"c=IN IP4 0.0.0.0\r\nb=AS:500\r\n", 1)
        answer = self.take(head + mark + video)
        self.assertTrue(answer.media[1].port)

    def test_receives_while_it_holds(self) -> None:
        """Audio that it makes recvonly, to hold without saying so, is answered with sendonly."""
        self.take(said("chromium", "audio"))
        offer = said("chromium", "audio").replace(b"a=sendrecv", b"a=recvonly")
        answer = self.take(offer.replace(b" 2 IN IP4 127", b" 3 IN IP4 127"))
        self.assertEqual(directions(answer), ["sendonly"])

    def test_without_mid(self) -> None:
        """A browser without mids has no bundle, and is served."""
        lines = said("chromium", "audio").splitlines(keepends=True)
        offer = b"".join(
            line for line in lines if not line.startswith((b"a=mid", b"a=group", b"a=extmap"))
        )
        answer = self.take(offer)
        self.assertEqual(answer.attributes("group"), [])
        self.assertIsNone(answer.media[0].mid)
        offer_of_ours = parse(self.web.offer(self.phone.agreed))
        self.assertEqual(offer_of_ours.attributes("group"), [])

    def test_session_level(self) -> None:
        """Credentials, role and fingerprint may stand before all media."""
        names = (b"a=ice-ufrag", b"a=ice-pwd", b"a=fingerprint", b"a=setup")
        lines = said("firefox", "audio").splitlines(keepends=True)
        moved = [line for line in lines if line.startswith(names)]
        rest = [line for line in lines if not line.startswith(names)]
        answer = self.take(b"".join([*rest[:4], *moved, *rest[4:]]))
        self.assertTrue(answer.media[0].port)
        self.assertEqual(len(self.plane.only.remote.fingerprints), 1)

    def test_data_channel(self) -> None:
        """What is neither audio nor video is refused in its slot, and is not in the bundle."""
        data = (
            b"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
        )
        offer = said("chromium", "audio").replace(b"BUNDLE 0", b"BUNDLE 0 1") + data
        answer = self.take(offer)
        self.assertEqual([m.port > 0 for m in answer.media], [True, False])
        self.assertEqual(answer.attributes("group"), ["BUNDLE 0"])

    def test_lite(self) -> None:
        """A peer with ICE lite is controlled by us, whoever offers."""
        offer = said("chromium", "audio").replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")
        self.take(offer)
        self.assertTrue(self.plane.only.remote.is_lite and self.plane.only.controlling)

    def test_half_a_restart(self) -> None:
        """One credential alone that is new is no restart: what is known is kept."""
        self.take(said("chromium", "audio"))
        ice = parse(said("chromium", "audio")).media[0].ice
        assert ice is not None
        half = said("chromium", "audio").replace(ice.ufrag.encode(), b"half")
        self.take(half.replace(b" 2 IN IP4 127", b" 3 IN IP4 127"))
        self.assertEqual(self.plane.only.generation, 1)
        self.assertEqual(self.plane.only.remote.ufrag, ice.ufrag)

    def test_new_certificate(self) -> None:
        """A browser that begins anew in the same call has another fingerprint."""
        self.take(said("firefox", "audio"))
        first = self.plane.only.remote
        answer = self.take(said("chromium", "video"))
        self.assertEqual(len(answer.media), 2)
        self.assertNotEqual(self.plane.only.remote.fingerprints, first.fingerprints)
        self.assertEqual(self.plane.only.generation, 2)

    def test_active_browser(self) -> None:
        """Who says that it begins, or that we shall, is answered accordingly."""
        for asked, told, begins in ((b"active", "passive", True), (b"passive", "active", False)):
            self.build()
            offer = said("chromium", "audio").replace(b"actpass", asked)
            answer = self.take(offer)
            self.assertEqual(str(answer.media[0].setup), told)
            self.assertEqual(self.plane.only.remote.begins_handshake, begins)
            again = said("chromium", "hold").replace(b" 4 IN", b" 9 IN")
            self.assertEqual(str(self.take(again).media[0].setup), told)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


class HostileDescriptionTests(SessionCase):
    """Whatever comes, a leg takes it or says why not."""

    def survive(self, offer: bytes) -> None:
        """Take an offer as far as it goes."""
        self.build()
        try:
            self.web.take_offer(offer)
            self.phone.offer(self.web.offered)
            self.phone.take_answer(self.echoed())
            parse(self.web.answer(self.phone.agreed))
        except SdpError:
            pass
        self.bridge()
        self.web.close()
        self.assertFalse(self.plane.transports)

    def echoed(self) -> bytes:
        """Our own offer to the phone, as its answer."""
        offer = self.phone.session.offer
        assert offer is not None
        return offer.render()

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_mutated(self, data: st.DataObject) -> None:
        """Lines that are gone, doubled, swapped or cut raise SdpError and nothing else."""
        browser = data.draw(st.sampled_from(BROWSERS))
        lines = said(browser, data.draw(st.sampled_from(NAMES))).decode().split("\r\n")
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(lines) - 2))
            change = data.draw(st.sampled_from(("drop", "double", "swap", "cut", "say")))
            if change == "drop" and len(lines) > 3:
                del lines[at]
            elif change == "double":
                lines.insert(at, lines[at])
            elif change == "swap":
                lines[at], lines[at + 1] = lines[at + 1], lines[at]
            elif change == "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            else:
                lines.insert(at, data.draw(st.sampled_from(_PIECES)))
        self.survive("\r\n".join(lines).encode())

    @settings(max_examples=150, deadline=None)
    @given(
        st.binary(max_size=300)
        | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
    )
    def test_anything(self, text: bytes) -> None:
        """Any bytes at all."""
        self.survive(text)
        self.survive(said("firefox", "audio") + text)

    def test_limits(self) -> None:
        """More media, formats or candidates than are read, and a packet time out of range."""
        offer = said("chromium", "audio")
        head, mark, audio = offer.partition(b"m=audio")
        many_candidates = b"".join(
            b"a=candidate:1 1 udp 1 198.51.100.9 %d typ host\r\n" % port for port in range(1, 102)
        )
        numbers = b" ".join(b"%d" % (n % 128) for n in range(65))
        for wrong in (
            head + (mark + audio) * 9,
            offer + many_candidates,
            offer.replace(b"SAVPF 111", b"SAVPF " + numbers + b" 111"),
            offer + b"a=ptime:5\r\n",
            offer + b"a=ptime:500\r\n",
        ):
            error = self.assertRaises(SdpError, self.web.take_offer, wrong)
            self.assertEqual(error.status, 488)


_PIECES = (
    "a=group:BUNDLE 0 1 2",
    "a=group:BUNDLE",
    "a=mid:0",
    "a=mid:1",
    "a=bundle-only",
    "a=setup:holdconn",
    "a=setup:passive",
    "a=ice-lite",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:" + "p" * 22,
    "a=inactive",
    "a=fingerprint:md5 AA:BB",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40,
    "a=rtcp-mux",
    "m=audio 9 RTP/SAVPF 0",
    "m=video 0 UDP/TLS/RTP/SAVPF 96",
    "m=video 9 UDP/TLS/RTP/SAVP 96",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=candidate:1 1 udp 1 nowhere.local 9 typ host",
    "c=IN IP6 ::",
    "b=AS:500",
)
