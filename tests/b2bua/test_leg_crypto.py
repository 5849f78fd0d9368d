"""Tests of b2bua.leg_crypto."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.leg_crypto import SecureLegMedia
from b2bua.leg_media import LegMedia
from b2bua.media_plane import SrtpKeys, StreamTerms
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.crypto import key_of, make_line
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.errors import SdpError
from b2bua.sdp.negotiation import CodecRules
from tests.b2bua.network import OURS, FakePlane

_RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,telephone-event=101,vp8=100)"))
LONG, SHORT, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"


class Counting:
    """Random bytes that are easy to tell apart."""

    def __init__(self, first: int = 0) -> None:
        self.count = first

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(2, "big") * (size // 2)


def crypto(tag: int, suite: str, filling: int) -> str:
    """A line of a peer."""
    size = {GCM: 28}.get(suite, 30)
    return f"a=crypto:{make_line(tag, suite, bytes([filling]) * size)}\r\n"


def described(*media: str, version: int = 1) -> bytes:
    """A description of a peer, with these media."""
    text = (
        f"v=0\r\no=phone 5 {version} IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"
    )
    return (text + "".join(media)).encode()


def audio(port: int, protocol: str = "RTP/AVP", more: str = "") -> str:
    return f"m=audio {port} {protocol} 0\r\n{more}"


REFUSED = audio(0) + "m=video 0 RTP/SAVP 0\r\nm=video 0 RTP/AVP 0\r\n"
"""What follows the one slot of four that a peer has taken."""


class LegCase(SynchronousTestCase):
    """One leg of ours, and what is sent and agreed on it."""

    def setUp(self) -> None:
        self.begin()

    def begin(self, *, is_strict: bool = False) -> None:
        self.plane = FakePlane()
        self.leg = SecureLegMedia(
            self.plane, _RULES, OURS, 1, is_strict=is_strict, random=Counting()
        )
        self.other = LegMedia(self.plane, _RULES, OURS, 2)

    def offer(self) -> SessionDescription:
        return parse(self.leg.offer(None if self.leg.session.local is None else self.leg.agreed))

    def answer(self, body: bytes) -> SessionDescription:
        self.leg.take_offer(body)
        return parse(self.leg.answer(self.leg.offered))

    def slots(self, description: SessionDescription) -> list[tuple[str, str, bool, int]]:
        """Kind, protocol, whether it is in use, and how many lines of keys it has."""
        return [
            (each.kind, each.line.protocol, not each.rejected, len(each.cryptos))
            for each in description.media
        ]

    def terms(self, kind: str = "audio") -> StreamTerms:
        self.leg.apply(self.other)
        return self.plane.terms[self.leg.ends[kind]]

    def assertKeys(self, profile: str, sends: bytes, receives: int) -> None:
        size = len(sends)
        keys = SrtpKeys(profile=profile, sends=sends, receives=bytes([receives]) * size)
        self.assertEqual(self.terms().keys, keys)

    def assertRefused(self, body: bytes) -> None:
        with self.assertRaises(SdpError) as caught:
            self.leg.take_offer(body)
        self.assertEqual((caught.exception.status, caught.exception.reason), (488, "encryption"))


class OfferTests(LegCase):
    """What we offer, and what becomes of it."""

    def test_optional(self) -> None:
        """Two slots for each medium on one port, encrypted first."""
        offer = self.offer()
        self.assertEqual(
            self.slots(offer),
            [
                ("audio", "RTP/SAVP", True, 2),
                ("audio", "RTP/AVP", True, 0),
                ("video", "RTP/SAVP", True, 2),
                ("video", "RTP/AVP", True, 0),
            ],
        )
        ports = [each.port for each in offer.media]
        self.assertEqual((ports[0], ports[2]), (ports[1], ports[3]))
        said = [key_of(line) for each in offer.media for line in each.cryptos]
        self.assertEqual(len(set(said)), 4)

    def test_strict(self) -> None:
        """One slot for each medium, encrypted."""
        self.begin(is_strict=True)
        wanted = [("audio", "RTP/SAVP", True, 2), ("video", "RTP/SAVP", True, 2)]
        self.assertEqual(self.slots(self.offer()), wanted)

    def test_encrypted_answer(self) -> None:
        """The keys are ours of the line that was taken, and theirs."""
        ours = self.offer().media[0].cryptos[1]
        more = crypto(2, LONG, 7)
        self.leg.take_answer(
            described(audio(4000, "RTP/SAVP", more), audio(0), "m=video 0 RTP/SAVP 0\r\n")
        )
        self.assertKeys(LONG, key_of(ours), 7)
        self.assertEqual(self.terms().remote, ("203.0.113.5", 4000))

    def test_plain_answer(self) -> None:
        """The peer takes the other slot, and nothing is encrypted."""
        self.offer()
        self.leg.take_answer(described(audio(0, "RTP/SAVP"), audio(4000)))
        self.assertIsNone(self.terms().keys)
        self.assertTrue(self.terms().sends)

    def test_both_taken(self) -> None:
        """A peer that takes both slots gets the encrypted one."""
        self.offer()
        self.leg.take_answer(described(audio(4000, "RTP/SAVP", crypto(1, GCM, 7)), audio(4002)))
        self.assertEqual(self.terms().remote, ("203.0.113.5", 4000))
        self.assertIsNotNone(self.terms().keys)

    def test_answer_without_keys(self) -> None:
        """Encryption without a key that fits is no answer."""
        for more in ("", crypto(1, LONG, 7), crypto(9, GCM, 7)):
            self.begin()
            self.offer()
            body = described(audio(4000, "RTP/SAVP", more), audio(0))
            for take in (self.leg.take_answer, self.leg.take_early_answer):
                with self.assertRaises(SdpError) as caught:
                    take(body)
                self.assertEqual(caught.exception.reason, "encryption")

    def test_plain_for_encrypted(self) -> None:
        """The encrypted slot cannot be answered in the clear."""
        self.begin(is_strict=True)
        self.offer()
        self.assertRaises(SdpError, self.leg.take_answer, described(audio(4000)))

    def test_early_answer(self) -> None:
        """Early media are encrypted as the answer will say."""
        ours = self.offer().media[0].cryptos[0]
        self.leg.take_early_answer(described(audio(4000, "RTP/SAVP", crypto(1, GCM, 7)), audio(0)))
        self.assertKeys(GCM, key_of(ours), 7)


class AnswerTests(LegCase):
    """What we answer to offers of a peer."""

    def test_encrypted(self) -> None:
        """The line with the short tag comes last, whatever its place."""
        body = described(audio(4000, "RTP/SAVP", crypto(4, SHORT, 6) + crypto(5, LONG, 7)))
        for is_strict in (False, True):
            self.begin(is_strict=is_strict)
            answer = self.answer(body)
            self.assertEqual(self.slots(answer), [("audio", "RTP/SAVP", True, 1)])
            line = answer.media[0].cryptos[0]
            self.assertEqual((line.tag, line.suite), (5, LONG))
            self.assertKeys(LONG, key_of(line), 7)

    def test_two_slots(self) -> None:
        """Of two slots the encrypted one is taken, in either order."""
        encrypted, plain = audio(4000, "RTP/SAVP", crypto(1, LONG, 7)), audio(4002)
        for is_strict in (False, True):
            for media in ((encrypted, plain), (plain, encrypted)):
                self.begin(is_strict=is_strict)
                answer = self.answer(described(*media))
                used = [each.line.protocol for each in answer.media if not each.rejected]
                self.assertEqual(used, ["RTP/SAVP"])

    def test_two_slots_of_no_use(self) -> None:
        """Where the encrypted slot cannot be served, the plain one may."""
        body = described(audio(4000, "RTP/SAVP", crypto(1, "F8_128_HMAC_SHA1_80", 7)), audio(4002))
        answer = self.answer(body)
        self.assertEqual([each.rejected for each in answer.media], [True, False])
        self.assertIsNone(self.terms().keys)

    def test_best_effort(self) -> None:
        """Keys beside RTP/AVP are taken where encryption is optional."""
        answer = self.answer(described(audio(4000, "RTP/AVP", crypto(1, LONG, 7))))
        self.assertEqual(self.slots(answer), [("audio", "RTP/AVP", True, 1)])
        self.assertKeys(LONG, key_of(answer.media[0].cryptos[0]), 7)

    def test_best_effort_of_no_use(self) -> None:
        """Keys beside RTP/AVP that cannot be served are passed over."""
        answer = self.answer(described(audio(4000, "RTP/AVP", crypto(1, "F8_128", 7))))
        self.assertEqual(self.slots(answer), [("audio", "RTP/AVP", True, 0)])
        self.assertIsNone(self.terms().keys)

    def test_plain(self) -> None:
        """In the clear, where that is all that is offered."""
        self.assertEqual(
            self.slots(self.answer(described(audio(4000)))), [("audio", "RTP/AVP", True, 0)]
        )
        self.assertIsNone(self.terms().keys)

    def test_strict(self) -> None:
        """What is not encrypted is refused with 488; keys beside RTP/AVP are only a wish."""
        self.begin(is_strict=True)
        self.assertRefused(described(audio(4000)))
        self.assertRefused(described(audio(4000, "RTP/AVP", crypto(1, LONG, 7))))
        self.assertRefused(described(audio(4000, "RTP/SAVP")))
        self.assertRefused(described(audio(4000, "RTP/SAVP", crypto(1, "F8_128", 7))))

    def test_one_of_two_media(self) -> None:
        """A medium that is not encrypted is left out where another one is."""
        self.begin(is_strict=True)
        video = "m=video 5000 RTP/AVP 100\r\na=rtpmap:100 VP8/90000\r\n"
        answer = self.answer(described(audio(4000, "RTP/SAVP", crypto(1, LONG, 7)), video))
        self.assertEqual([each.rejected for each in answer.media], [False, True])


class LaterTests(LegCase):
    """What comes after the first exchange."""

    def agree(self, suite: str = LONG, tag: int = 2) -> None:
        """Our offer, answered with encryption."""
        self.offer()
        self.leg.take_answer(described(audio(4000, "RTP/SAVP", crypto(tag, suite, 7)), REFUSED))

    def test_slots_stay(self) -> None:
        """A re-offer has the slot in use, and the others at 0."""
        self.agree()
        keys = self.terms().keys
        assert keys is not None
        offer = self.offer()
        self.assertEqual([each.rejected for each in offer.media], [False, True, True, True])
        first = offer.media[0].cryptos[0]
        self.assertEqual((first.suite, key_of(first)), (LONG, keys.sends))
        self.leg.take_answer(
            described(audio(4000, "RTP/SAVP", crypto(1, LONG, 7)), REFUSED, version=2)
        )
        self.assertEqual(self.terms().keys, keys)

    def test_plain_stays(self) -> None:
        """What is in the clear is not offered otherwise."""
        self.offer()
        self.leg.take_answer(described(audio(0, "RTP/SAVP"), audio(4000)))
        offer = self.offer()
        used = [
            (each.line.protocol, len(each.cryptos)) for each in offer.media if not each.rejected
        ]
        self.assertEqual(used, [("RTP/AVP", 0)])

    def test_best_effort_stays(self) -> None:
        """Media that are encrypted under RTP/AVP are offered so again."""
        self.answer(described(audio(4000, "RTP/AVP", crypto(1, LONG, 7))))
        keys = self.terms().keys
        assert keys is not None
        medium = self.offer().media[0]
        self.assertEqual((medium.line.protocol, key_of(medium.cryptos[0])), ("RTP/AVP", keys.sends))

    def test_same_version(self) -> None:
        """An offer that says the same as the one before has its version."""
        self.agree()
        first = self.offer()
        self.leg.take_answer(
            described(audio(4000, "RTP/SAVP", crypto(1, LONG, 7)), REFUSED, version=2)
        )
        self.assertEqual(self.offer(), first)

    def test_hold(self) -> None:
        """On hold nothing changes but directions."""
        self.agree()
        keys = self.terms().keys
        self.leg.by_us = True
        offer = self.offer()
        self.assertEqual(str(offer.media[0].direction), "sendonly")
        held = audio(4000, "RTP/SAVP", "a=recvonly\r\n" + crypto(1, LONG, 7))
        self.leg.take_answer(described(held, REFUSED, version=2))
        self.assertEqual((self.terms().keys, self.terms().receives), (keys, False))

    def test_held_by_peer(self) -> None:
        """An old hold by 0.0.0.0 keeps the keys."""
        self.agree()
        keys = self.terms().keys
        medium = audio(4000, "RTP/SAVP", "c=IN IP4 0.0.0.0\r\n" + crypto(9, LONG, 7))
        answer = self.answer(described(medium, REFUSED, version=2))
        self.assertEqual(answer.media[0].cryptos[0].tag, 9)
        self.assertEqual((self.terms().keys, self.terms().sends), (keys, False))

    def test_new_key(self) -> None:
        """A new key of the peer is answered with a new one of ours."""
        self.agree()
        before = self.terms().keys
        medium = audio(4000, "RTP/SAVP", crypto(1, LONG, 8))
        answer = self.answer(described(medium, REFUSED, version=2))
        self.assertKeys(LONG, key_of(answer.media[0].cryptos[0]), 8)
        after = self.terms().keys
        assert before is not None and after is not None
        self.assertNotEqual(before.sends, after.sends)

    def test_repeated(self) -> None:
        """A session refresh of the peer is answered with the line that was taken, no other."""
        self.agree()
        keys = self.terms().keys
        answer = self.answer(described(audio(4000, "RTP/SAVP", crypto(2, LONG, 7)), REFUSED))
        self.assertEqual([len(each.cryptos) for each in answer.media], [1, 0, 0, 0])
        self.assertEqual(answer.media[0].cryptos[0].tag, 2)
        self.assertEqual(self.terms().keys, keys)

    def test_asked_for_an_offer(self) -> None:
        """Whoever asks for an offer may be somebody else: both slots again, and new keys."""
        self.agree()
        before = self.terms().keys
        assert before is not None
        offer = parse(self.leg.solicited_offer(None))
        self.assertEqual(
            self.slots(offer)[:2], [("audio", "RTP/SAVP", True, 2), ("audio", "RTP/AVP", True, 0)]
        )
        self.assertNotIn(before.sends, [key_of(line) for line in offer.media[0].cryptos])
        self.leg.take_answer(described(audio(0, "RTP/SAVP"), audio(4000), version=2))
        self.assertIsNone(self.terms().keys)

    def test_stays_strict(self) -> None:
        """A session that is encrypted does not become one in the clear."""
        self.begin(is_strict=True)
        self.answer(described(audio(4000, "RTP/SAVP", crypto(1, LONG, 7))))
        self.assertRefused(described(audio(4000), version=2))
        self.assertIsNotNone(self.terms().keys)


class PairTests(SynchronousTestCase):
    """Two legs of ours that talk to each other."""

    @given(
        st.booleans(),
        st.lists(st.tuples(st.booleans(), st.sampled_from(["offer", "ask", "hold"])), max_size=6),
    )
    def test_any_order(self, is_strict: bool, steps: list[tuple[bool, str]]) -> None:
        """Whoever offers what and when: both have the same keys, and those of one are fresh."""
        plane = FakePlane()
        legs = [
            SecureLegMedia(plane, _RULES, OURS, at, is_strict=is_strict, random=Counting(at << 8))
            for at in (1, 2)
        ]
        aside = LegMedia(plane, _RULES, OURS, 3)
        count = 0
        for first, what in [(True, "offer"), *steps]:
            one, other = legs if first else legs[::-1]
            one.by_us ^= what == "hold"
            named = None if one.session.local is None else one.agreed
            body = one.solicited_offer(named) if what == "ask" else one.offer(named)
            slots = len(parse(body).media)
            self.assertGreaterEqual(slots, count)
            count = slots
            other.take_offer(body)
            one.take_answer(other.answer(other.offered))
            for kind in ("audio", "video"):
                ends = []
                for leg in legs:
                    leg.apply(aside)
                    ends.append(plane.terms[leg.ends[kind]].keys)
                ours, theirs = ends
                assert ours is not None and theirs is not None
                self.assertEqual((ours.sends, ours.receives), (theirs.receives, theirs.sends))
                self.assertNotEqual(ours.sends, ours.receives)
        self.assertEqual(count, 2 if is_strict else 4)


LINES = st.one_of(
    st.builds(crypto, st.integers(1, 3), st.sampled_from([LONG, SHORT, GCM]), st.integers(1, 3)),
    st.sampled_from(
        [
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
            crypto(2, LONG, 4).replace("\r\n", " UNENCRYPTED_SRTP\r\n"),
            crypto(2, LONG, 4).replace("\r\n", "|1:4\r\n"),
            crypto(3, "F8_128_HMAC_SHA1_80", 4),
            "c=IN IP4 0.0.0.0\r\n",
            "a=sendonly\r\n",
            "a=inactive\r\n",
        ]
    ),
)
MEDIA = st.builds(
    lambda kind, port, protocol, lines: f"m={kind} {port} {protocol} 0 100\r\n" + "".join(lines),
    st.sampled_from(["audio", "audio", "video", "application"]),
    st.sampled_from([4000, 4000, 4002, 0]),
    st.sampled_from(["RTP/AVP", "RTP/SAVP", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "udp"]),
    st.lists(LINES, max_size=3, unique=True),
)


class HostileTests(LegCase):
    """Whatever a peer says of keys, nothing but SdpError comes of it, and nothing in the clear."""

    @given(
        st.booleans(),
        st.lists(st.tuples(st.booleans(), st.lists(MEDIA, min_size=1, max_size=4)), max_size=5),
    )
    def test_any(self, is_strict: bool, steps: list[tuple[bool, list[str]]]) -> None:
        """Offers and answers of a peer in any order."""
        self.begin(is_strict=is_strict)
        for version, (is_offer, media) in enumerate(steps, 1):
            said = described("a=rtpmap:100 VP8/90000\r\n".join(media), version=version)
            try:
                if is_offer:
                    self.answer(said)
                else:
                    self.offer()
                    self.leg.take_answer(said)
            except SdpError:
                self.leg.roll_back()
            self.leg.apply(self.other)
            self.check(is_strict=is_strict)

    def check(self, *, is_strict: bool) -> None:
        """What may flow is encrypted wherever it has to be."""
        local = self.leg.session.local
        for kind, end in self.leg.ends.items():
            terms = self.plane.terms[end]
            if (not terms.sends and not terms.receives) or local is None:
                continue
            used = [each for each in local.media if each.kind == kind and not each.rejected]
            has_to_be = is_strict or all("SAVP" in each.line.protocol for each in used)
            self.assertTrue(terms.keys is not None or not has_to_be, (kind, str(local)))
