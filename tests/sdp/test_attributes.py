"""Tests of the values of lines and attributes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.attributes import (
    Candidate,
    Crypto,
    Extmap,
    Fingerprint,
    Fmtp,
    Group,
    IceCredentials,
    Rtcp,
    RtcpFeedback,
    RtpMap,
    Setup,
)
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.lines import Connection, MediaLine, Origin, Timing
from tests.sdp.samples import FINGERPRINT


class RoundTripTests(SynchronousTestCase):
    """Values are written as they were read."""

    def test_values(self) -> None:
        """One of each, in the form that peers use."""
        for kind, text in (
            (Origin, "jdoe 2890844526 18446744073709551615 IN IP4 host.example"),
            (Origin, "- 0 0 IN IP6 2001:db8::1"),
            (Connection, "IN IP4 192.0.2.1"),
            (Connection, "IN IP4 233.252.0.1/127/3"),
            (Connection, "IN IP6 ::"),
            (Timing, "0 0"),
            (MediaLine, "audio 49170/2 RTP/AVP 0 8 97"),
            (MediaLine, "application 9 UDP/DTLS/SCTP webrtc-datachannel"),
            (MediaLine, "image 0 udptl t38"),
            (MediaLine, "video 0 RTP/AVP"),
            (RtpMap, "111 opus/48000/2"),
            (RtpMap, "0 PCMU/8000"),
            (RtpMap, "31 LPC"),
            (Fmtp, "108 profile-level-id=42000B;packetization-mode=1"),
            (RtcpFeedback, "* nack pli"),
            (RtcpFeedback, "96 ccm fir"),
            (Rtcp, "53020"),
            (Rtcp, "53020 IN IP6 2001:db8::1"),
            (Fingerprint, FINGERPRINT),
            (Fingerprint, "sha-999 AB:CD"),
            (Candidate, "3 1 udp 1686052863 203.0.113.9 9 typ srflx raddr 192.0.2.3 rport 9"),
            (Candidate, "2 1 tcp 2105524479 fe80::1 9 typ host tcptype active generation 0"),
            (Crypto, "1 AES_CM_128_HMAC_SHA1_80 inline:d0Rm+/==|2^20|1:4 UNENCRYPTED_SRTP"),
            (Crypto, "1 F8_128_HMAC_SHA1_80 inline:AAAA|1:4;inline:BBBB|2:4"),
            (Group, "BUNDLE 0 1"),
            (Group, "BUNDLE"),
            (Extmap, "3 urn:ietf:params:rtp-hdrext:toffset"),
            (Extmap, "4096/sendonly urn:x a b"),
        ):
            self.assertEqual(str(kind.parse(text)), text)

    def test_one_spelling(self) -> None:
        """Where spelling does not matter one form is kept."""
        self.assertEqual(Connection.parse("in ip4 192.0.2.1"), Connection("IP4", "192.0.2.1"))
        self.assertEqual(RtpMap.parse("9 G722/8000/1"), RtpMap(9, "G722", 8000))
        self.assertEqual(Fingerprint.parse("SHA-999 ab:cd").value, "AB:CD")
        self.assertEqual(
            Candidate.parse("a=candidate:1 1 UDP 1 192.0.2.1 9 typ host"),
            Candidate.parse("1 1 udp 1 192.0.2.1 9 typ host"),
        )
        self.assertEqual(
            MediaLine.parse("audio 1 RTP/AVP 0 "), MediaLine.parse("audio 1 RTP/AVP 0")
        )

    def test_what_is_refused(self) -> None:
        """Wrong counts, characters and digits that are none."""
        for kind, text in (
            (Origin, "- 1 1 IN IP4"),
            (Origin, "- x 1 IN IP4 192.0.2.1"),
            (Origin, "- 1 18446744073709551616 IN IP4 192.0.2.1"),
            (Origin, "- \u0661 1 IN IP4 192.0.2.1"),
            (Connection, "IN IP4 192.0.2.1/256"),
            (Connection, "ATM IP4 192.0.2.1"),
            (Connection, "IN IP4 a b"),
            (Connection, "IN IP4 host;x"),
            (Timing, "0"),
            (MediaLine, "audio  1 RTP/AVP 0"),
            (MediaLine, "audio 1/0 RTP/AVP 0"),
            (MediaLine, "audio 1 RTP//AVP 0"),
            (Candidate, "1 0 udp 1 192.0.2.1 9 typ host"),
            (Candidate, "1 1 udp 4294967296 192.0.2.1 9 typ host"),
            (Candidate, "1 1 udp 1 192.0.2.1 9 typ host raddr"),
            (Candidate, "1 1 udp 1 192.0.2.1 9 typ srflx raddr 192.0.2.1 rport x"),
            (Candidate, ""),
            (Extmap, "1/both urn:x"),
            (Extmap, "1"),
            (Group, ""),
        ):
            self.assertRaises(SdpError, kind.parse, text)
        for text in ("abc", "a" * 257, "ab cd"):
            self.assertRaises(SdpError, IceCredentials.parse, text, "x" * 22)
        self.assertRaises(SdpError, IceCredentials.parse, "abcd", "x" * 21)
        self.assertRaises(SdpError, Setup.parse, "")

    def test_unspecified_address(self) -> None:
        """0.0.0.0 and every spelling of :: are the address where nobody listens."""
        for address in ("0.0.0.0", "::", "0::0", "0:0:0:0:0:0:0:0"):
            self.assertTrue(Connection.to(address).unspecified, address)
        for address in ("0.0.0.1", "::1", "192.0.2.1", "0.example", "0"):
            self.assertFalse(Connection.to(address).unspecified, address)


class DirectionTests(SynchronousTestCase):
    """The algebra of directions."""

    def test_mirror(self) -> None:
        """sendonly and recvonly mirror each other, the other two themselves."""
        self.assertEqual(
            [way.reversed for way in Direction], ["sendrecv", "recvonly", "sendonly", "inactive"]
        )

    def test_within(self) -> None:
        """Both must agree to each way."""
        for one in Direction:
            self.assertIs(one.within(Direction.SENDRECV), one)
            self.assertIs(one.within(one), one)
            self.assertIs(one.within(Direction.INACTIVE), Direction.INACTIVE)
        self.assertIs(Direction.SENDONLY.within(Direction.RECVONLY), Direction.INACTIVE)
