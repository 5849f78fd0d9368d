"""Tests of b2bua.net.srtp."""

from __future__ import annotations

import struct
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import SrtpKeys
from b2bua.net import srtp
from b2bua.net.srtp import (
    LONGEST_RTCP,
    LONGEST_RTP,
    LONGEST_SRTP,
    MOST_SOURCES,
    REPLAY_WINDOW,
    SrtpSession,
)
from tests.webmedia import srtp_oracle as oracle

SIZES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
DIRECT = srtp._direct
TAGS = {
    "AES_CM_128_HMAC_SHA1_80": (10, 4 + 10),
    "AES_CM_128_HMAC_SHA1_32": (4, 4 + 10),
    "AEAD_AES_128_GCM": (16, 4 + 16),
    "AEAD_AES_256_GCM": (16, 4 + 16),
}
"""What RTP and RTCP grow by."""


def rtp(sequence: int, ssrc: int = 0xCAFEBABE, payload: bytes = b"payload " * 20) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, 160 * sequence, ssrc) + payload


def rtcp(ssrc: int = 0xCAFEBABE) -> bytes:
    """A sender report without blocks."""
    return struct.pack("!BBHI", 0x80, 200, 6, ssrc) + bytes(range(20))


def keys_of(profile: str) -> SrtpKeys:
    size = SIZES[profile]
    return SrtpKeys(
        profile=profile, sends=bytes(range(size)), receives=bytes(range(100, 100 + size))
    )


def pair(profile: str) -> tuple[SrtpSession, SrtpSession]:
    """Ours and the peer's."""
    ours = keys_of(profile)
    theirs = SrtpKeys(profile=profile, sends=ours.receives, receives=ours.sends)
    return SrtpSession(ours), SrtpSession(theirs)


def long_rtp(size: int, sequence: int = 1) -> bytes:
    """A packet of so many bytes."""
    return rtp(sequence, payload=bytes(size - 12))


def long_rtcp(size: int) -> bytes:
    """Bytes that are RTCP to whoever looks no further than at their first eight."""
    return rtcp()[:8] + bytes(size - 8)


def over_the_wire(keys: SrtpKeys, size: int, sequence: int = 1) -> bytes:
    """What a peer with the keys that we send by would send, encrypted of so many bytes."""
    packet = long_rtp(size - TAGS[keys.profile][0], sequence)
    if "GCM" in keys.profile:
        return oracle.protect_gcm(keys.sends, packet)
    return oracle.protect_cm(keys.sends, packet, TAGS[keys.profile][0])


def control_over_the_wire(keys: SrtpKeys, size: int) -> bytes:
    """The same of RTCP."""
    packet = long_rtcp(size - TAGS[keys.profile][1])
    if "GCM" in keys.profile:
        return oracle.protect_gcm_rtcp(keys.sends, packet, 1)
    return oracle.protect_cm_rtcp(keys.sends, packet, 1)


def must(packet: bytes | None) -> bytes:
    assert packet is not None
    return packet


class OracleTests(SynchronousTestCase):
    """The oracle gives the answers of the RFCs."""

    def test_derivation(self) -> None:
        """RFC 3711, appendix B.3."""
        master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
        salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
        key = oracle.derive(master, salt, oracle.RTP_KEY, 16)
        self.assertEqual(key.hex(), "c61e7a93744f39ee10734afe3ff7a087")
        session_salt = oracle.derive(master, salt, oracle.RTP_SALT, 14)
        self.assertEqual(session_salt.hex(), "30cbbc08863d8c85d49db34a9ae1")
        secret = oracle.derive(master, salt, oracle.RTP_AUTHENTICATION, 20)
        self.assertEqual(secret.hex(), "cebe321f6ff7716b6fd4ab49af256a156d38baa4")

    def test_counter_mode(self) -> None:
        """RFC 3711, appendix B.2."""
        key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
        salt = bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")
        block = oracle.counter_block(salt, bytes(4), 0)
        stream = oracle.key_stream(key, block, 48)
        self.assertEqual(stream[:16].hex(), "e03ead0935c95e80e166b16dd92b4eb4")
        self.assertEqual(stream[16:32].hex(), "d23513162b02d0f72a43a2fe4a5f97ab")
        self.assertEqual(stream[32:].hex(), "41e95b3bb0a2e8dd477901e4fca894c0")

    def test_galois(self) -> None:
        """RFC 7714, section 16.1.1."""
        key, salt = bytes(range(16)), b"Quid pro quo"
        header = bytes.fromhex("8040f17b8041f8d35501a0b2")
        sealed = oracle.gcm(key, salt, header + b"Gallia est omnis divisa in partes tres")
        self.assertEqual(
            sealed.hex(),
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7"
            "d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        )


class KnownAnswerTests(SynchronousTestCase):
    """What a session writes is what the RFCs say."""

    def test_rtp(self) -> None:
        """Of each profile, first packet and later ones."""
        for profile in SIZES:
            keys = keys_of(profile)
            session = SrtpSession(keys)
            for sequence in (0x1234, 0x1235, 0x1240):
                packet = rtp(sequence)
                if "GCM" in profile:
                    expected = oracle.protect_gcm(keys.sends, packet)
                else:
                    expected = oracle.protect_cm(keys.sends, packet, TAGS[profile][0])
                self.assertEqual(session.protect(packet), expected, profile)

    def test_rtcp(self) -> None:
        """The tag of RTCP has 80 bits with SHA1_32 too."""
        for profile in SIZES:
            keys = keys_of(profile)
            session = SrtpSession(keys)
            for index in (1, 2):
                if "GCM" in profile:
                    expected = oracle.protect_gcm_rtcp(keys.sends, rtcp(), index)
                else:
                    expected = oracle.protect_cm_rtcp(keys.sends, rtcp(), index)
                self.assertEqual(session.protect_rtcp(rtcp()), expected, profile)


class SessionTests(SynchronousTestCase):
    """Two sessions, each with the other's keys."""

    def test_both_ways(self) -> None:
        """What one encrypts the other decrypts, RTP and RTCP, in both directions."""
        for profile, (media, control) in TAGS.items():
            for one, other in (pair(profile), pair(profile)[::-1]):
                sealed = must(one.protect(rtp(1)))
                self.assertEqual(len(sealed), len(rtp(1)) + media)
                self.assertEqual(other.unprotect(sealed), rtp(1))
                sealed = must(one.protect_rtcp(rtcp()))
                self.assertEqual(len(sealed), len(rtcp()) + control)
                self.assertEqual(other.unprotect_rtcp(sealed), rtcp())

    def test_own_is_not_theirs(self) -> None:
        """What we send and what we receive have different keys: an echo is not authentic."""
        for profile in SIZES:
            ours, _ = pair(profile)
            self.assertIsNone(ours.unprotect(must(ours.protect(rtp(1)))))

    def test_forged(self) -> None:
        """A changed bit anywhere is seen."""
        for profile in SIZES:
            ours, theirs = pair(profile)
            sealed = bytearray(must(ours.protect(rtp(7))))
            for where in (1, 3, 6, 10, 20, len(sealed) - 1):
                sealed[where] ^= 1
                self.assertIsNone(theirs.unprotect(bytes(sealed)), (profile, where))
                sealed[where] ^= 1
            self.assertEqual(theirs.unprotect(bytes(sealed)), rtp(7))

    def test_replayed(self) -> None:
        """A packet is taken once, RTP and RTCP."""
        ours, theirs = pair("AEAD_AES_128_GCM")
        sealed, report = must(ours.protect(rtp(1))), must(ours.protect_rtcp(rtcp()))
        self.assertEqual(theirs.unprotect(sealed), rtp(1))
        self.assertIsNone(theirs.unprotect(sealed))
        self.assertEqual(theirs.unprotect_rtcp(report), rtcp())
        self.assertIsNone(theirs.unprotect_rtcp(report))

    def test_late(self) -> None:
        """Late packets are taken within the window, and not beyond it."""
        ours, theirs = pair("AES_CM_128_HMAC_SHA1_80")
        packets = [must(ours.protect(rtp(sequence))) for sequence in range(1, 200)]
        theirs.unprotect(packets[-1])
        newest = len(packets) - 1
        self.assertIsNotNone(theirs.unprotect(packets[newest - REPLAY_WINDOW + 1]))
        self.assertIsNone(theirs.unprotect(packets[newest - REPLAY_WINDOW - 1]))

    def test_counter_turns(self) -> None:
        """Numbers go over 65535 and on, also where packets are lost at the turn."""
        for profile in SIZES:
            ours, theirs = pair(profile)
            for sequence in (65530, 65534, 65535, 65536, 65537, 65600):
                sealed = must(ours.protect(rtp(sequence)))
                if sequence not in (65535, 65536):
                    self.assertIsNotNone(theirs.unprotect(sealed), (profile, sequence))

    def test_two_ways(self) -> None:
        """The shorter way into libsrtp is there, and does what the public one does."""
        for profile in SIZES:
            short_ours, short_theirs = pair(profile)
            self.patch(srtp, "_direct", lambda room, session, name, longest: None)
            ours, theirs = pair(profile)
            self.patch(srtp, "_direct", DIRECT)
            self.assertEqual((ours.longest, short_ours.longest), (1356, LONGEST_RTP))
            for size in (12, 500, 1344, 1356, 5000):
                packet, control = long_rtp(size, size), long_rtcp(size - 4)
                sealed, secret = ours.protect(packet), ours.protect_rtcp(control)
                self.assertEqual(short_ours.protect(packet), sealed)
                self.assertEqual(short_ours.protect_rtcp(control), secret)
                for data in (sealed or packet, sealed or packet, b"", b"\x80" * 11, b"x" * 3000):
                    self.assertEqual(short_theirs.unprotect(data), theirs.unprotect(data))
                for data in (secret or control, secret or control, b"", b"\x80" * 7, b"x" * 3000):
                    self.assertEqual(short_theirs.unprotect_rtcp(data), theirs.unprotect_rtcp(data))
            self.assertIsNone(ours.protect(long_rtp(1357)))
            self.assertIsNone(ours.protect_rtcp(long_rtcp(1353)))

    def test_once(self) -> None:
        """No number is used twice, however late, and nothing is that is too old to tell."""
        for profile in SIZES:
            ours, theirs = pair(profile)
            first = must(ours.protect(rtp(1)))
            for sequence in range(3, 900):
                ours.protect(rtp(sequence))
            self.assertIsNone(ours.protect(rtp(1)))
            self.assertEqual(theirs.unprotect(first), rtp(1))
            self.assertIsNotNone(ours.protect(rtp(2)))
            self.assertIsNotNone(ours.protect(rtp(5000)))
            self.assertIsNone(ours.protect(rtp(901)))

    def test_new_key_one_way(self) -> None:
        """A way whose key is the same goes on; the other one begins anew."""
        for profile, size in SIZES.items():
            keys = keys_of(profile)
            ours, theirs = pair(profile)
            for sequence in (65000, 65535, 65540):
                self.assertIsNotNone(theirs.unprotect(must(ours.protect(rtp(sequence)))))
            self.assertIsNotNone(ours.unprotect(must(theirs.protect(rtp(9)))))
            fresh = bytes(range(200, 200 + size))
            ours = SrtpSession(replace(keys, receives=fresh), ours)
            sealed = must(ours.protect(rtp(65541)))
            theirs = SrtpSession(
                SrtpKeys(profile=profile, sends=fresh, receives=keys.sends), theirs
            )
            self.assertEqual(theirs.unprotect(sealed), rtp(65541))
            self.assertIsNone(theirs.unprotect(sealed))
            self.assertEqual(ours.unprotect(must(theirs.protect(rtp(9)))), rtp(9))

    def test_other_profile(self) -> None:
        """Under another profile both ways begin anew, even with the same bytes."""
        ours, _ = pair("AES_CM_128_HMAC_SHA1_80")
        keys = replace(keys_of("AES_CM_128_HMAC_SHA1_80"), profile="AES_CM_128_HMAC_SHA1_32")
        self.assertEqual(len(must(SrtpSession(keys, ours).protect(rtp(1)))), len(rtp(1)) + 4)

    def test_many_sources(self) -> None:
        """SSRCs change as they like, up to what a peer may cost; forged ones do not count."""
        ours, theirs = pair("AEAD_AES_128_GCM")
        for ssrc in range(2 * MOST_SOURCES):
            self.assertIsNone(theirs.unprotect(rtp(1, ssrc)))
        for ssrc in range(MOST_SOURCES):
            self.assertIsNotNone(theirs.unprotect(must(ours.protect(rtp(1, ssrc)))))
        one_more = must(ours.protect(rtp(1, MOST_SOURCES)))
        self.assertIsNone(theirs.unprotect(one_more))
        self.assertIsNone(theirs.unprotect_rtcp(must(ours.protect_rtcp(rtcp(MOST_SOURCES)))))
        self.assertIsNotNone(theirs.unprotect(must(ours.protect(rtp(2, 0)))))

    def test_too_long(self) -> None:
        """Up to the limit a packet is encrypted as the RFCs have it; beyond it there is None."""
        self.assertEqual((LONGEST_SRTP, LONGEST_RTP, LONGEST_RTCP), (1500, 1484, 1480))
        for profile, (media, control) in TAGS.items():
            keys, (ours, _) = keys_of(profile), pair(profile)
            for size in (LONGEST_RTP + 1, 70_000):
                self.assertIsNone(ours.protect(long_rtp(size)))
                self.assertIsNone(ours.protect_rtcp(long_rtcp(size)))
            self.assertIsNone(ours.protect_rtcp(long_rtcp(LONGEST_RTCP + 1)))
            sealed = over_the_wire(keys, LONGEST_RTP + media)
            self.assertEqual(ours.protect(long_rtp(LONGEST_RTP)), sealed)
            secret = control_over_the_wire(keys, LONGEST_RTCP + control)
            self.assertEqual(ours.protect_rtcp(long_rtcp(LONGEST_RTCP)), secret)

    def test_too_long_to_come(self) -> None:
        """What is longer than the limit over the wire is not decrypted; what is as long, is."""
        for profile, (media, control) in TAGS.items():
            keys, (_, theirs) = keys_of(profile), pair(profile)
            self.assertIsNone(theirs.unprotect(over_the_wire(keys, LONGEST_SRTP + 1)))
            self.assertIsNone(theirs.unprotect_rtcp(control_over_the_wire(keys, LONGEST_SRTP + 1)))
            plain = theirs.unprotect(over_the_wire(keys, LONGEST_SRTP))
            self.assertEqual(plain, long_rtp(LONGEST_SRTP - media))
            plain = theirs.unprotect_rtcp(control_over_the_wire(keys, LONGEST_SRTP))
            self.assertEqual(plain, long_rtcp(LONGEST_SRTP - control))

    def test_wrong_keys(self) -> None:
        """Keys of another length, or for a profile that is not served, are a fault of ours."""
        for profile, size in (("AEAD_AES_256_GCM", 28), ("AEAD_AES_128_GCM", 30), ("F8_128", 30)):
            keys = SrtpKeys(profile=profile, sends=bytes(size), receives=bytes(size))
            self.assertRaises(ValueError, SrtpSession, keys)


class HostileBytesTests(SynchronousTestCase):
    """No bytes raise anything, and none are authentic."""

    @settings(max_examples=300)
    @given(st.sampled_from(sorted(SIZES)), st.binary(max_size=120))
    def test_any(self, profile: str, data: bytes) -> None:
        """Whatever comes, with a valid first byte or without."""
        ours, theirs = pair(profile)
        for packet in (data, b"\x80" + data, b"\x9f\xc8" + data, b"\xbf\x00" + data):
            self.assertIsNone(theirs.unprotect(packet))
            self.assertIsNone(theirs.unprotect_rtcp(packet))
            ours.protect(packet)
            ours.protect_rtcp(packet)
