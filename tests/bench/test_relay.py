"""What the relay's benchmarks make of runs that went wrong."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import Verdict
from benchmarks.load import Record
from benchmarks.progress import measure
from benchmarks.relay import BENCHMARKS
from benchmarks.relay_bench import NATIVE_COST, QUICK, TWIN, Bench
from benchmarks.relay_costs import TRAFFIC, saturated
from benchmarks.relay_scale import limited_by_generator
from benchmarks.servers import (
    NATIVE,
    PYTHON,
    Server,
    ServerDidNotStart,
    insist,
    is_stale,
    plane_in,
    stream_plane_in,
)


@contextlib.contextmanager
def refusing() -> Iterator[Server]:
    """A server that does not start."""
    raise ServerDidNotStart("unknown option | port")
    yield


def bench(**changes: Any) -> Bench:
    """A run of the table in which no server starts."""
    starts: dict[str, Any] = {name: refusing for name in ("shared", "twin", "bare")}
    starts["starts"] = (refusing, refusing)
    return Bench(**starts | {"extent": QUICK, "limit": QUICK.limit} | changes)


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
        rows = measure(bench(), BENCHMARKS, list(BENCHMARKS))
        self.assertEqual([row.name for row in rows], list(BENCHMARKS))
        self.assertEqual({row.verdict for row in rows}, {Verdict.FAILED})
        self.assertEqual({row.note for row in rows}, {"unknown option / port"})

    def test_time_is_bounded(self) -> None:
        """What would begin after the limit is not run, and its row says so."""
        began = time.monotonic() - QUICK.limit - 1
        rows = measure(bench(began=began), BENCHMARKS, ["udp-172"])
        self.assertEqual([(row.figure, row.verdict) for row in rows], [("not run", Verdict.FAILED)])


class PlaneTests(SynchronousTestCase):
    """Which data plane is measured is what runs, not what was asked for."""

    def test_words_of_the_log(self) -> None:
        """The start log names it; the reason behind the name does not count."""
        lines = {
            "relay: data plane: native": NATIVE,
            "relay: data plane: pure Python (the native extension was not built)": PYTHON,
            "data plane: pure Python\n... data plane: native": PYTHON,
            "listening": "not stated",
        }
        self.assertEqual({text: plane_in(text) for text in lines}, lines)

    def test_another_than_was_asked_for(self) -> None:
        """The twin's figures do not get into a row of the native plane."""
        failure = self.assertRaises(ServerDidNotStart, insist, NATIVE, PYTHON)
        self.assertIn("native data plane was asked for", str(failure))
        insist(NATIVE, NATIVE)
        insist("", PYTHON)

    def test_streams(self) -> None:
        """Streams may be moved by something else than the plane; what is not said is not native."""
        said = "relay TURN over TCP: native; over TLS: Twisted (another OpenSSL)\nlistening"
        found = [stream_plane_in(said, leg) for leg in ("tcp", "tls")]
        self.assertEqual(found, ["native", "Twisted (another OpenSSL)"])
        self.assertEqual(stream_plane_in("data plane: native", "tcp"), "not stated")

    def test_sources_that_were_not_built(self) -> None:
        """What was built before its sources is not what is measured; without it nothing is old."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "native").mkdir()
            for path, moment in (("native/relay.c", 10), ("_native.x86.so", 20)):
                self.assertFalse(is_stale(folder))
                (folder / path).touch()
                os.utime(folder / path, (moment, moment))
            self.assertFalse(is_stale(folder))
            os.utime(folder / "native/relay.c", (30, 30))
            self.assertTrue(is_stale(folder))

    def test_goals(self) -> None:
        """Each kind of traffic has a goal of its own in native code; the twin has one for all."""
        native, twin = bench(plane=NATIVE), bench(plane=PYTHON)
        names = [name for name in TRAFFIC if not name.startswith("twin")]
        self.assertEqual([native.cost_goal(name) for name in names], list(NATIVE_COST.values()))
        self.assertEqual({twin.cost_goal(name) for name in names}, {TWIN})


class HighestRateTests(SynchronousTestCase):
    """A search that the generator ended is told from one that the server ended."""

    def trial(self, rate: float, **changes: float) -> Record:
        """One trial with a generator that had time left."""
        calm: Record = {"rate": rate, "skipped": 0.0, "offered": rate, "self_us_per_pkt": 4.0}
        return calm | {"relayed_pps": 2 * rate} | changes

    def test_the_server_could_not(self) -> None:
        """With time left in the generator, it was the server."""
        trials = [self.trial(50_000), self.trial(60_000)]
        self.assertFalse(limited_by_generator(trials, 100_000))

    def test_the_generator_could_not(self) -> None:
        """A full core, packets left out, and nothing above what was carried all say so."""
        ends = [
            [self.trial(60_000, self_us_per_pkt=8.1)],
            [self.trial(60_000, skipped=2_000)],
            [],
        ]
        found = [limited_by_generator([self.trial(50_000), *end], 100_000) for end in ends]
        self.assertEqual(found, [True] * 3)
