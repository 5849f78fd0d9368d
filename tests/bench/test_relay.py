"""What the relay's benchmarks make of runs that went wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import Verdict
from benchmarks.load import Record
from benchmarks.progress import measure
from benchmarks.relay import BENCHMARKS, QUICK, Bench, saturated
from benchmarks.servers import Server, ServerDidNotStart


@contextlib.contextmanager
def refusing() -> Iterator[Server]:
    """A server that does not start."""
    raise ServerDidNotStart("unknown option | port")
    yield


def run(**changes: float) -> Record:
    """A run that half a core was enough for."""
    calm: Record = {"cpu_pct": 30.0, "self_us_per_pkt": 10.0, "relayed_pps": 20_000.0}
    return calm | {"loss": 0.0, "tcp_full": 0.0} | changes


class SaturationTests(SynchronousTestCase):
    """A figure of a core without rest is not taken for a cost."""

    def test_rest(self) -> None:
        """Half a core and no loss is a figure."""
        self.assertFalse(saturated(run()))

    def test_no_rest(self) -> None:
        """Server and generator together, loss, and streams that back up each spoil it."""
        spoilt = [run(cpu_pct=70.0), run(loss=0.002), run(tcp_full=1.0)]
        self.assertEqual([saturated(found) for found in spoilt], [True] * 3)


class MeasureTests(SynchronousTestCase):
    """One benchmark that fails does not take the others' rows away."""

    def test_failures_have_rows(self) -> None:
        """Every benchmark whose server does not start has one row that says why."""
        bench = Bench(starts=(refusing, refusing), extent=QUICK, limit=QUICK.limit)
        rows = measure(bench, BENCHMARKS, list(BENCHMARKS))
        self.assertEqual([row.name for row in rows], list(BENCHMARKS))
        self.assertEqual({row.verdict for row in rows}, {Verdict.FAILED})
        self.assertEqual({row.note for row in rows}, {"unknown option / port"})

    def test_time_is_bounded(self) -> None:
        """What would begin after the limit is not run, and its row says so."""
        began = time.monotonic() - QUICK.limit - 1
        late = Bench(starts=(refusing, refusing), extent=QUICK, limit=QUICK.limit, began=began)
        rows = measure(late, BENCHMARKS, ["udp-172"])
        self.assertEqual([(row.figure, row.verdict) for row in rows], [("not run", Verdict.FAILED)])
