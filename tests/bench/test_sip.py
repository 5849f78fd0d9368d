"""The rows of calls and registrations, made from figures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import registering, sip, sip_rows, vanishing
from benchmarks.figures import Row, Verdict
from benchmarks.load import LoadFailed
from benchmarks.registrars import authorization
from benchmarks.servers import ServerDidNotStart
from benchmarks.sip import Run, SipBench
from benchmarks.sip_servers import SipServer
from tests.bench.test_sipp import outcome


@contextlib.contextmanager
def refusing() -> Iterator[SipServer]:
    """A server that does not start."""
    raise ServerDidNotStart("no such option")
    yield


def bench() -> SipBench:
    """A bench whose servers do not start."""
    return SipBench(starts=(refusing, refusing), extent=sip.QUICK, limit=100)


def runs(*costs: float) -> list[Run]:
    """Runs that took so many milliseconds of CPU time per call."""
    return [Run(outcome(), cost) for cost in costs]


class CallRowTests(SynchronousTestCase):
    """The rows of calls."""

    def test_cost(self) -> None:
        """The cost is the median of the quotients, and each side shows its own median."""
        row = sip.cost_row((runs(1.0, 2.0, 1.2), runs(2.0, 4.0, 2.0)))
        self.assertEqual((row.measured, row.ours, row.peer), (0.5, "1.20 ms", "2.00 ms"))
        self.assertIs(row.verdict, Verdict.MUST)

    def test_whole(self) -> None:
        """With all timers it is what everything took, for each call."""
        row = sip.whole_row([800.0, 2000.0], 1000)
        self.assertEqual((row.measured, row.ours, row.peer), (0.4, "0.800 ms", "2.00 ms"))

    def test_delay(self) -> None:
        """Delays are judged by their 99th percentile."""
        row = sip.delay_row((runs(1.0), runs(1.0)))
        self.assertEqual((row.measured, row.ours), (12.0, "8.00 / 12.0 / 12.0 ms"))

    def test_unclean_runs_are_no_figures(self) -> None:
        """A server that leaves calls undone is named with SIPp's first complaint."""
        spoilt = Run(outcome(succeeded=390, failed=10, errors="head\nno ACK\n"), 0.1)
        server = cast(SipServer, type("Server", (), {"name": "ours"}))
        failure = self.assertRaises(LoadFailed, sip.checked, server, spoilt)
        self.assertIn("10 of 400 calls failed", str(failure))
        self.assertIn("no ACK", str(failure))


class RegisterRowTests(SynchronousTestCase):
    """The rows of REGISTER."""

    def test_dns_of_a_core(self) -> None:
        """A DN of 140 s is refreshed after 98 s in the mean: 1 ms each is 98,000 DNs a core."""
        row = registering.refresh_row(1000.0, 55.0)
        self.assertEqual((row.measured, row.ours), (1000.0, "98000 DNs a core"))

    def test_phones(self) -> None:
        """The cost of a phone's REGISTER stands beside Kamailio's."""
        row = registering.phone_row([300.0, 310.0, 320.0], [30.0, 31.0, 32.0])
        self.assertEqual((row.measured, row.ours, row.peer), (10.0, "310 us", "Kamailio 31.0 us"))

    def test_answer_to_a_challenge(self) -> None:
        """The registrar's challenge is answered for REGISTER with its nonce."""
        header = authorization('WWW-Authenticate: Digest realm="x", nonce="abc"', "127.9.9.9")
        self.assertIn('nonce="abc", uri="sip:127.9.9.9"', header)
        self.assertRaises(LoadFailed, authorization, "WWW-Authenticate: Digest", "127.9.9.9")


class VanishedRowTests(SynchronousTestCase):
    """The rows of callers that vanish."""

    def rows(self, **changes: object) -> list[Row]:
        """The rows of a run, 64 kB grown, nothing left."""
        found: dict[str, object] = {
            "abandoned": 100,
            "most": 640,
            "first": {"entries": 0, "blocks": 5000, "resident_kb": 40_000},
            "second": {"entries": 0, "blocks": 5010, "resident_kb": 40_064},
            "causes": {"no-answer": 40, "expired": 20},
        }
        return list(vanishing.abandoned_rows(found | changes))

    def test_empty(self) -> None:
        """Empty tables and flat memory are what is wanted."""
        tables, memory = self.rows()
        self.assertEqual((tables.measured, tables.verdict), (0, Verdict.AIM))
        self.assertIn("20 expired, 40 no-answer", tables.note)
        self.assertEqual((memory.measured, memory.ours), (64, "64 kB, +10 objects"))

    def test_one_entry_is_too_much(self) -> None:
        """What is left of a single call misses the goal."""
        left = {"entries": 1, "blocks": 5010, "resident_kb": 40_064}
        self.assertIs(self.rows(second=left)[0].verdict, Verdict.MISSED)


class TableTests(SynchronousTestCase):
    """Which benchmarks run, and how."""

    def test_failures_have_rows(self) -> None:
        """Each benchmark whose server does not start has a row that says why, in order."""
        names = ["call-cpu", "call-rate", "call-memory"]
        rows = sip_rows.rows(bench(), names)
        self.assertEqual([row.name for row in rows], names)
        self.assertEqual({row.note for row in rows}, {"no such option"})

    def test_lanes_run_side_by_side(self) -> None:
        """The lanes run at the same time; what costs CPU time is measured before them."""
        together = threading.Barrier(2, timeout=10)

        def met(bench: SipBench) -> Iterator[Row]:
            together.wait()
            yield Row(name="met", figure="", measured=1.0)

        self.patch(sip_rows, "COSTS", {})
        self.patch(sip_rows, "LANES", ({"a": met}, {"b": met}))
        self.patch(sip_rows, "BENCHMARKS", {"a": met, "b": met})
        self.assertEqual([row.measured for row in sip_rows.rows(bench(), ["a", "b"])], [1.0, 1.0])

    def test_a_pause_ends_with_the_run(self) -> None:
        """Once the run is to end, whoever waits in another thread gives up."""
        one = bench()
        one.pause(0.0)
        one.stopped.set()
        self.assertRaises(LoadFailed, one.pause, 60.0)
