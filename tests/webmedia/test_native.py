"""The native media plane does for browsers what its twin does: the same tests over it."""

from __future__ import annotations

from typing import Final

from b2bua.net.srtp import LONGEST_RTP
from suite.datapath.choice import missing_reason
from tests.datapath.test_native_media import NativeMediaCase
from tests.webmedia import (
    test_addresses,
    test_bridges,
    test_browsers,
    test_counts,
    test_feedback,
    test_lengths,
    test_restarts,
    test_strangers,
    test_transports,
)
from tests.webmedia.planes import WebPlaneTestCase

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
"""The socket module does not name them (linux/udp.h)."""


class NativeWebCase(WebPlaneTestCase):
    """Makes native planes."""

    native = True
    skip = missing_reason() or None


class NativePortTests(NativeWebCase, test_addresses.PortTests):
    """Ports of transports."""


class NativeAddressTests(NativeWebCase, test_addresses.AddressTests):
    """Candidates of ours."""


class NativeRoleTests(NativeWebCase, test_addresses.RoleTests):
    """Who nominates."""


class NativeNominationTests(NativeWebCase, test_addresses.NominationTests):
    """Which pair carries media."""


class NativeServerTests(NativeWebCase, test_addresses.ServerTests):
    """Candidates that others tell, and media by a relay."""


class NativeWebAndPlainTests(NativeWebCase, test_bridges.WebAndPlainTests):
    """A browser and a phone."""


class NativeSecurePhoneTests(NativeMediaCase, test_bridges.SecurePhoneTests):
    """SRTP of an end with sockets of its own."""


class JoinedRunsTests(NativeMediaCase):
    """Runs of equal packets, as video comes: the kernel joins them where it can."""

    def test_encrypted(self) -> None:
        """Each packet of a run is encrypted for itself, and leaves the others as they are."""
        self.run_of(1200)

    def test_as_long_as_can_be(self) -> None:
        """So it is where they are as long as SRTP takes them."""
        self.run_of(LONGEST_RTP - 12)

    def run_of(self, size: int) -> None:
        one, other = self.bridge()
        self.plane.set_terms(other, self.terms(self.far, keys=test_bridges.KEYS))
        far = test_bridges.other_side(test_bridges.KEYS)
        self.near.rtp.setsockopt(SOL_UDP, UDP_SEGMENT, 12 + size)
        sent = []
        for turn in range(40):
            run = [bytes([turn, place]) * (size // 2) for place in range(8)]
            whole = b"".join(self.near.packet(payload) for payload in run)
            self.send(self.near, one, whole)
            sent += run
            self.clock.advance(0.02)
            opened = [far.unprotect(data) for data in self.all_received(self.far.rtp)]
            self.assertEqual([data[12:] for data in opened if data], run)
        self.assertEqual(self.plane.counters(one).received_packets, len(sent))


class NativeBrowserTests(NativeWebCase, test_browsers.BrowserTests):
    """A browser that nobody here wrote."""


class NativeCountTests(NativeWebCase, test_counts.CountTests):
    """Transports by what became of them, handshakes by outcome."""


class NativeStartTests(NativeWebCase, test_counts.StartTests):
    """What keeps browsers from being served keeps nobody else."""


class NativeFeedbackTests(NativeWebCase, test_feedback.FeedbackTests):
    """Feedback between two browsers, and of our own."""


class NativeLongPacketTests(NativeMediaCase, test_lengths.LongPacketTests):
    """Phones whose packets are as long as they may be, and longer."""


class NativeLongWebPacketTests(NativeWebCase, test_lengths.LongWebPacketTests):
    """A browser and a phone with long packets."""


class NativeRestartTests(NativeWebCase, test_restarts.RestartTests):
    """New credentials while media flow."""


class NativeConsentTests(NativeWebCase, test_restarts.ConsentTests):
    """Who is not there any more hears nothing."""


class NativeStrangerTests(NativeWebCase, test_strangers.StrangerTests):
    """Whoever is not the peer changes nothing."""


class NativeTransportTests(NativeWebCase, test_transports.TransportTests):
    """From the description to media."""


class NativeHandshakeTests(NativeWebCase, test_transports.HandshakeTests):
    """DTLS over what ICE has found."""
