"""Tests of suite.datapath.native_srtp: libsrtp by its addresses, beside Python's own use of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import SrtpKeys
from b2bua.net.srtp import LONGEST_RTP, LONGEST_SRTP, MOST_SOURCES, SrtpSession
from b2bua.rtp.packet import Packet, build
from b2bua.rtp.rtcp import ReceiverReport, build_compound
from suite.datapath import choice
from tests.webmedia.test_srtp import TAGS, keys_of, long_rtp, over_the_wire

KEYS = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"s" * 30, receives=b"r" * 30)
OTHER = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"r" * 30, receives=b"s" * 30)


def media(ssrc: int, sequence: int = 1) -> bytes:
    return build(
        Packet(payload_type=0, sequence=sequence, timestamp=160, ssrc=ssrc, payload=b"sound")
    )


class NativeSrtpTests(SynchronousTestCase):
    """One session for RTP in C and RTCP in Python."""

    skip = choice.missing_reason() or None

    def setUp(self) -> None:
        from suite.datapath import native_srtp

        self.srtp: Any = native_srtp
        native_srtp.missing_reason.cache_clear()
        self.assertEqual(native_srtp.missing_reason(), "")
        self.addCleanup(native_srtp.missing_reason)
        self.addCleanup(native_srtp.missing_reason.cache_clear)

    def test_both_sides(self) -> None:
        """What C encrypts Python decrypts, and what one has had is a replay for the other."""
        ours = self.srtp.session(KEYS)
        native, peer = self.srtp.ways(ours), SrtpSession(OTHER)
        sealed = native.protect(media(7))
        self.assertEqual(peer.unprotect(sealed), media(7))
        self.assertIsNone(native.protect(media(7)))
        answer = peer.protect(media(8))
        assert answer is not None
        self.assertEqual(ours.unprotect(answer), media(8))
        self.assertIsNone(native.unprotect(answer))

    def test_sources_are_counted_together(self) -> None:
        """RTP in C and RTCP in Python make one number of sources, which has an end."""
        ours, peer = self.srtp.session(KEYS), SrtpSession(OTHER)
        native = self.srtp.ways(ours)
        for ssrc in range(MOST_SOURCES):
            if ssrc % 2:
                self.assertIsNotNone(native.unprotect(peer.protect(media(ssrc))))
            else:
                report = peer.protect_rtcp(build_compound([ReceiverReport(ssrc=ssrc)]))
                assert report is not None
                self.assertIsNotNone(ours.unprotect_rtcp(report))
        self.assertIsNone(native.unprotect(peer.protect(media(MOST_SOURCES))))
        self.assertIsNotNone(native.unprotect(peer.protect(media(2))))
        self.assertEqual(len(ours.sources), MOST_SOURCES)

    def test_bounds(self) -> None:
        """What is too long or too short has no packet, and the limits are those of Python."""
        for profile, (tag, _) in TAGS.items():
            ours = keys_of(profile)
            theirs = replace(ours, sends=ours.receives, receives=ours.sends)
            one, other = (self.srtp.ways(self.srtp.session(keys)) for keys in (ours, theirs))
            for size in (0, 11, LONGEST_RTP + 1, LONGEST_SRTP, LONGEST_SRTP + 1, 60000):
                self.assertIsNone(one.protect(bytes([0x80] * min(1, size)) + bytes(size)[1:]), size)
                self.assertIsNone(other.unprotect(bytes(size)), size)
            sealed = over_the_wire(ours, LONGEST_RTP + tag)
            self.assertEqual(one.protect(long_rtp(LONGEST_RTP)), sealed)
            self.assertIsNone(other.unprotect(over_the_wire(ours, LONGEST_SRTP + 1)))
            longest = over_the_wire(ours, LONGEST_SRTP)
            self.assertEqual(other.unprotect(longest), long_rtp(LONGEST_SRTP - tag))

    def test_a_function_that_is_missing(self) -> None:
        """It is told, and crashes nothing."""

        def missing(name: str) -> int:
            raise AttributeError(name)

        self.patch(self.srtp, "function_address", missing)
        self.srtp.missing_reason.cache_clear()
        self.assertIn("srtp_protect", self.srtp.missing_reason())

    def test_a_library_that_does_something_else(self) -> None:
        """Functions that do not what they should are found before they serve."""
        address = self.srtp.function_address
        swapped = {"srtp_protect": "srtp_unprotect", "srtp_unprotect": "srtp_protect"}
        self.patch(self.srtp, "function_address", lambda name: address(swapped[name]))
        self.srtp.missing_reason.cache_clear()
        self.assertIn("AEAD_AES_128_GCM", self.srtp.missing_reason())
