"""Tests of b2bua.sdp.crypto."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.attributes import Crypto
from b2bua.sdp.crypto import (
    KEY_SIZES,
    OFFERED,
    accept,
    answer_crypto,
    choose,
    key_of,
    make_line,
    offer_crypto,
)
from b2bua.sdp.errors import SdpError

LONG, SHORT = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
"""Of RFC 4568, section 6.1."""


class Counting:
    """Random bytes that are easy to tell apart."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return bytes([self.count]) * size


def line(text: str) -> Crypto:
    return Crypto.parse(text)


class KeyTests(SynchronousTestCase):
    """Which lines can be served."""

    def test_served(self) -> None:
        """Lifetimes, hints and what is marked as optional change nothing."""
        for extra in ("", "|2^20", "|1048576", " WSH=128", " KDR=0", " -X=1", "|2^31 WSH=64 -Y"):
            self.assertEqual(len(key_of(line(f"1 {LONG} inline:{KEY}{extra}"))), 30, extra)

    def test_spelling(self) -> None:
        """Suites are the same in any case, and padding of base64 may be left away."""
        self.assertEqual(len(key_of(line(f"1 {LONG.lower()} inline:{KEY}"))), 30)
        padded = str(make_line(1, "AEAD_AES_128_GCM", bytes(28)))
        self.assertTrue(padded.endswith("=="))
        self.assertEqual(key_of(line(padded.rstrip("="))), bytes(28))

    def test_refused(self) -> None:
        """What we cannot do as it is meant is not done half."""
        for text in (
            f"1 {LONG} inline:{KEY}|2^20|1:4",
            f"1 {LONG} inline:{KEY}|1:4",
            f"1 {LONG} inline:{KEY};inline:{KEY}",
            f"1 {LONG} inline:{KEY[:-4]}",
            f"1 {LONG} inline:{KEY}AAAA",
            f"1 {LONG} inline:{KEY[:-3]}",
            f"1 {LONG} inline:{KEY} UNENCRYPTED_SRTP",
            f"1 {LONG} inline:{KEY} UNENCRYPTED_SRTCP",
            f"1 {LONG} inline:{KEY} UNAUTHENTICATED_SRTP",
            f"1 {LONG} inline:{KEY} KDR=1",
            f"1 {LONG} inline:{KEY} FEC_ORDER=FEC_SRTP",
            f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
            f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}",
            f"1 AEAD_AES_128_GCM inline:{KEY}",
        ):
            self.assertEqual(key_of(line(text)), b"", text)

    def test_secret(self) -> None:
        """A line does not show its key where it is logged."""
        self.assertNotIn(KEY, repr(line(f"1 {LONG} inline:{KEY}")))


class ChoiceTests(SynchronousTestCase):
    """Which line of an offer is answered."""

    def test_first(self) -> None:
        """The first that can be served."""
        offer = [line(f"7 F8_128_HMAC_SHA1_80 inline:{KEY}"), *offer_crypto(Counting())]
        chosen = choose(offer)
        assert chosen is not None
        self.assertEqual((chosen.tag, chosen.suite), (1, OFFERED[0]))

    def test_short_tag(self) -> None:
        """A tag of 32 bits only where there is nothing else."""
        short, long = line(f"1 {SHORT} inline:{KEY}"), line(f"2 {LONG} inline:{KEY}")
        self.assertIs(choose([short, long]), long)
        self.assertIs(choose([short]), short)

    def test_none(self) -> None:
        """Nothing to choose from."""
        self.assertIsNone(choose([]))
        self.assertIsNone(answer_crypto([line(f"1 F8_128_HMAC_SHA1_80 inline:{KEY}")], Counting()))


class ExchangeTests(SynchronousTestCase):
    """An offer, its answer, and what both come to."""

    def test_offer(self) -> None:
        """Each line has a key of its own, of the length of its suite."""
        lines = offer_crypto(Counting())
        self.assertEqual([each.suite for each in lines], list(OFFERED))
        self.assertEqual([len(key_of(each)) for each in lines], [28, 30])
        self.assertEqual(len({key_of(each) for each in lines}), len(lines))
        self.assertEqual([line(str(each)) for each in lines], list(lines))

    def test_answer(self) -> None:
        """The answer has the tag of the line it takes and a key of its own."""
        offer = [line(f"3 {LONG} inline:{KEY}|2^20")]
        answered = answer_crypto(offer, Counting())
        assert answered is not None
        ours, keys = answered
        self.assertEqual((ours.tag, ours.suite, key_of(ours)), (3, LONG, b"\1" * 30))
        self.assertEqual((keys.profile, keys.sends), (LONG, b"\1" * 30))
        self.assertEqual(keys.receives, key_of(offer[0]))

    def test_no_answer(self) -> None:
        """An answer with another tag, another suite, or none at all is none to our offer."""
        lines = offer_crypto(Counting())
        for text in (f"9 {LONG} inline:{KEY}", f"1 {LONG} inline:{KEY}"):
            self.assertIsNone(accept(lines, [line(text)]))
        self.assertIsNone(accept(lines, []))
        self.assertIsNotNone(accept(lines, [line(f"2 {LONG} inline:{KEY}")]))

    @given(st.permutations(sorted(KEY_SIZES)), st.integers(1, 4))
    def test_both_sides(self, suites: list[str], count: int) -> None:
        """Whatever is offered, both sides come to the same keys in opposite directions."""
        fresh = Counting()
        offer = [
            make_line(10 * tag, suite, fresh(KEY_SIZES[suite]))
            for tag, suite in enumerate(suites[:count])
        ]
        answered = answer_crypto(offer, fresh)
        assert answered is not None
        ours, keys = answered
        theirs = accept(offer, [ours])
        assert theirs is not None
        self.assertEqual((theirs.sends, theirs.receives), (keys.receives, keys.sends))
        self.assertEqual(theirs.profile, keys.profile)
        self.assertNotEqual(keys.sends, keys.receives)
        self.assertEqual(len(keys.sends), KEY_SIZES[keys.profile])
        self.assertEqual(accept([ours], offer), keys)

    @given(
        st.from_regex(
            r"[0-9]{1,9} (AEAD_AES_128_GCM|AES_CM_128_HMAC_SHA1_(80|32)|[A-Z0-9_]{1,20})"
            r" inline:([A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{37}A==|[A-Za-z0-9+/]{1,64}={0,2})"
            r"(\|[0-9^]{1,6})?(\|[0-9]:[0-9])?( [A-Z=0-9-]{1,9}){0,2}",
            fullmatch=True,
        )
    )
    def test_any_line(self, text: str) -> None:
        """A line is served whole or not at all, and nothing is raised."""
        try:
            parsed = line(text)
        except SdpError:
            return
        answered = answer_crypto([parsed], Counting())
        self.assertEqual(answered is None, key_of(parsed) == b"")
