"""The relay's events as log lines."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from suite.event_log import EventLog
from suite.settings import LogLevel
from tests.runtime.doubles import MemoryLog
from turn import events
from turn.data_plane import Counters
from turn.five_tuple import FiveTuple, Transport

CLIENT = FiveTuple(Transport.UDP, ("1.2.3.4", 5), ("192.0.2.1", 3478))
DENIED = events.PeerDenied(7, CLIENT, "joe", "10.0.0.5", "private address")


class EventLogTests(SynchronousTestCase):
    """Levels, fields and what is said only once."""

    def setUp(self) -> None:
        self.log = MemoryLog()
        self.emit = EventLog(self.log, lambda host: f"allowed-peer-ip={host}")

    def test_wrong_credentials(self) -> None:
        """One standard line for each, with the sender's address before any text of his."""
        self.emit(events.AuthenticationFailed(CLIENT, 'joe"\n', "wrong password"))
        self.assertEqual(
            self.log.lines,
            [
                "Std 20200 auth-fail proto=UDP service=turn client=1.2.3.4 port=5"
                r' user="joe\"\n" reason="wrong password"'
            ],
        )

    def test_a_denied_peer_is_told_once_with_its_cure(self) -> None:
        """The option that would allow the peer stands in the line; repetitions are debug."""
        self.emit(DENIED)
        self.emit(DENIED)
        first, second = self.log.records
        self.assertEqual((first.level, second.level), (LogLevel.STANDARD, LogLevel.DEBUG))
        self.assertIn("to_allow=allowed-peer-ip=10.0.0.5", self.log.lines[0])

    def test_denied_peers_are_remembered_in_bounds(self) -> None:
        """A client that tries every address costs no memory for each."""
        for number in range(3000):
            self.emit(replace(DENIED, peer=f"10.0.{number // 256}.{number % 256}"))
        self.assertLessEqual(len(self.emit._denied), 1024)

    def test_an_allocation_from_begin_to_end(self) -> None:
        """Created and ended are interaction records, refreshed is trace; the id joins them."""
        self.emit(events.AllocationCreated(7, CLIENT, "joe", (("2001:db8::1", 50000),), 600.0))
        self.emit(events.AllocationRefreshed(7, "joe", 300.0))
        counters = Counters(received_packets=1, peer_sent_bytes=2, dropped_packets=3)
        self.emit(events.AllocationEnded(7, CLIENT, "joe", "expired", 12.5, counters))
        created, refreshed, ended = self.log.lines
        self.assertIn("Int 20202 allocation-created allocation=7", created)
        self.assertIn("relay=[2001:db8::1]:50000 lifetime=600", created)
        self.assertIn("Trc 20203 allocation-refreshed allocation=7 lifetime=300", refreshed)
        self.assertIn('duration=12.5 reason="expired" rcvp=1', ended)
        self.assertIn("peer_sentb=2 dropped=3", ended)

    def test_a_flood_costs_nothing_unless_traced(self) -> None:
        """Challenges make no record unless debug is on."""
        self.log.configure(replace(self.log.settings, verbose=LogLevel.TRACE))
        self.emit(events.ChallengeSent(CLIENT, 401))
        self.emit(events.ChallengeSuppressed(CLIENT))
        self.emit(events.DatagramIgnored("short"))
        self.assertEqual(self.log.records, [])
