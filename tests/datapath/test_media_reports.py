"""Tests of suite.datapath.media_reports, and of the RTCP of an end."""

from __future__ import annotations

from dataclasses import replace

from b2bua.media_plane import SrtpKeys
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.rtcp import (
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)
from tests.datapath.media import (
    LONGEST_FIRST_INTERVAL,
    LONGEST_INTERVAL,
    OTHER_HOST,
    MediaTestCase,
    Phone,
)


class RtcpTests(MediaTestCase):
    """Every end says and hears its own RTCP."""

    def test_reports(self) -> None:
        """Soon after the beginning, then every five seconds or so, under one random name."""
        one, _ = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        ((report, name),) = self.reports(self.near)
        assert isinstance(report, ReceiverReport)
        assert isinstance(name, SourceDescription)
        self.assertEqual([block.ssrc for block in report.blocks], [0xAAAA])
        ((report, other_name),) = self.reports(self.far)
        assert isinstance(report, SenderReport)
        assert isinstance(other_name, SourceDescription)
        self.assertEqual((report.packets, report.octets, report.blocks), (1, 5, ()))
        self.assertEqual((len(name.name), name.name == other_name.name), (16, False))
        self.clock.pump([LONGEST_INTERVAL] * 10)
        self.assertIn(len(self.reports(self.near)), range(10, 31))

    def test_goodbye(self) -> None:
        """Said when an end is closed, unless nobody ever heard of it."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.plane.close(one)
        self.plane.close(other)
        self.assertEqual(self.reports(self.near), [])
        ssrc = self.received(self.far).ssrc
        ((*_, goodbye),) = self.reports(self.far)
        self.assertEqual(goodbye, Goodbye(sources=(ssrc,)))

    def test_what_the_peer_reports(self) -> None:
        """Its loss, jitter and distance are in the counters."""
        one, _ = self.bridge()
        ssrc = self.our_ssrc(one, self.near)
        middle = 1000 << 16
        block = ReportBlock(ssrc=ssrc, lost=5, jitter=16, last_report=middle, delay=1 << 15)
        self.clock.advance(1.0)
        self.send_control(self.near, one, ReceiverReport(ssrc=0xAAAA, blocks=(block,)))
        counters = self.plane.counters(one)
        self.assertEqual((counters.reported_lost, counters.reported_jitter), (5, 0.002))
        self.assertEqual(counters.round_trip, 0.5)

    def our_ssrc(self, end: int, phone: Phone) -> int:
        self.plane.set_terms(end, self.terms(phone, silence=0))
        self.plane.set_terms(end, self.terms(phone))
        return self.received(phone).ssrc

    def test_not_forwarded(self) -> None:
        """A report is about one leg and stays there."""
        one, _ = self.bridge()
        self.send_control(self.near, one, ReceiverReport(ssrc=0xAAAA))
        self.assertEqual((self.reports(self.far), self.reports(self.near)), ([], []))

    def test_strangers_and_junk(self) -> None:
        """They are counted, lock nothing, and are not answered."""
        one, _ = self.bridge()
        stranger = self.phone(1, OTHER_HOST)
        self.send_control(stranger, one, ReceiverReport(ssrc=1))
        host, port = self.plane.local(one)
        moved = self.phone(2)
        moved.rtcp.sendto(b"junk", (host, port + 1))
        self.turn()
        self.assertEqual(self.dropped(one), {"source": 1, "malformed": 1})
        self.send_control(self.near, one, ReceiverReport(ssrc=1))
        self.send_control(moved, one, ReceiverReport(ssrc=1))
        self.assertEqual(self.dropped(one), {"source": 2, "malformed": 1})

    def test_symmetric(self) -> None:
        """Reports go where the peer's come from."""
        one, _ = self.bridge()
        moved = self.phone(1)
        self.send_control(moved, one, ReceiverReport(ssrc=1))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual((len(self.reports(moved)), self.reports(self.near)), (1, []))

    def test_nowhere(self) -> None:
        """Without an address for them there are none."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote_rtcp=None))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual((self.reports(self.near), self.packets(self.near)), ([], []))

    def test_an_address_that_is_forbidden(self) -> None:
        """What the kernel refuses is not sent, and nobody heard of us."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote_rtcp=("255.255.255.255", 9)))
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual(self.plane._ends[one].control_sent, 0)

    def test_one_port(self) -> None:
        """With rtcp-mux both kinds share the RTP port, told apart by their type."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True, remote_rtcp=None))
        report = SenderReport(ssrc=0xAAAA, time=77 << 16, timestamp=0, packets=1, octets=1)
        self.send(self.near, one, self.near.packet(), build_compound([report]))
        self.assertEqual(self.plane.counters(one).received_packets, 1)
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        (data,) = self.all_received(self.near.rtp)
        ours = parse_compound(data)[0]
        assert isinstance(ours, ReceiverReport)
        self.assertEqual(ours.blocks[0].last_report, 77)
        self.assertEqual(self.dropped(one), {})

    def test_two_ports(self) -> None:
        """Without rtcp-mux RTCP on the RTP port is a payload type that nobody listed."""
        one, _ = self.bridge()
        report = SenderReport(ssrc=0xAAAA, time=0, timestamp=0, packets=1, octets=1)
        self.send(self.near, one, build_compound([report]))
        self.assertEqual(self.dropped(one), {"payload-type": 1})

    def test_picture_loss(self) -> None:
        """It reaches the source of the picture under its own name, after a report of ours."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        ssrc = self.received(self.far).ssrc
        request = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=0xBBBB, media=ssrc)
        self.send_control(self.far, other, ReceiverReport(ssrc=0xBBBB), request)
        ((report, _, passed),) = self.reports(self.near)
        assert isinstance(report, ReceiverReport)
        expected = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=report.ssrc, media=0xAAAA)
        self.assertEqual(passed, expected)

    def test_lost_packets(self) -> None:
        """Their numbers become those of the source; many requests are one datagram."""
        one, other = self.bridge()
        self.near.sequence = 500
        self.send(self.near, one, self.near.packet(), self.near.packet())
        first, second = self.packets(self.far)
        requests = [
            Feedback(
                kind=RTPFB,
                format=GENERIC_NACK,
                sender=0xBBBB,
                media=packet.ssrc,
                control=packet.sequence.to_bytes(2, "big") + b"\0\0",
            )
            for packet in (first, second)
        ]
        self.send_control(self.far, other, *requests)
        ((_, _, *passed),) = self.reports(self.near)
        numbers = [p.control[:2] for p in passed if isinstance(p, Feedback)]
        self.assertEqual(numbers, [(501).to_bytes(2, "big"), (502).to_bytes(2, "big")])

    def test_nothing_in_the_clear_once_there_are_keys(self) -> None:
        """A packet that is missed, and went out before there were keys, is for its source."""
        one, other = self.bridge()
        video = {0: 90000}
        self.plane.set_terms(other, self.terms(self.far, clock_rates=video))
        self.send(self.near, one, self.near.packet())
        sent = self.received(self.far)
        missed = Feedback(
            kind=RTPFB,
            format=GENERIC_NACK,
            sender=0xBBBB,
            media=sent.ssrc,
            control=sent.sequence.to_bytes(2, "big") + b"\0\0",
        )
        self.send_control(self.far, other, missed)
        self.assertEqual([packet.sequence for packet in self.packets(self.far)], [sent.sequence])
        keys = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"s" * 30, receives=b"r" * 30)
        self.plane.set_terms(other, self.terms(self.far, keys=keys, clock_rates=video))
        theirs = SrtpSession(replace(keys, sends=keys.receives, receives=keys.sends))
        sealed = theirs.protect_rtcp(build_compound([missed]))
        assert sealed is not None
        host, port = self.plane.local(other)
        self.clock.advance(1.0)
        self.far.rtcp.sendto(sealed, (host, port + 1))
        self.turn()
        self.assertEqual(self.all_received(self.far.rtp), [])
        self.assertEqual(len(self.reports(self.near)), 1)

    def test_feedback_for_nobody(self) -> None:
        """On silence of ours, or without a joined end, it ends here."""
        one, other = self.bridge()
        ssrc = self.our_ssrc(other, self.far)
        request = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=0xBBBB, media=ssrc)
        self.send_control(self.far, other, request)
        self.plane.close(one)
        self.send_control(self.far, other, request)
        self.assertEqual(self.reports(self.near), [])

    def test_a_fault_leaves_the_others(self) -> None:
        """A report that cannot be made is logged, and the others are said."""
        one, _ = self.bridge()
        found = self.plane._ends[one]
        reports, found.reports = found.reports, None  # type: ignore[assignment]
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(len(self.reports(self.far)), 1)
        found.reports = reports
        self.clock.pump([LONGEST_INTERVAL])
        self.assertTrue(self.reports(self.near))
