"""What SIPp is told, and reading what it leaves behind."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import sipp
from benchmarks.load import LoadFailed
from benchmarks.sipp import Outcome

HEAD = "StartTime;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n"
TIMES = "Date_ms;response_time_ms;rtd_no\n1;4.0;1\n2;12.5;1\n3;900.0;2\n4;8.0;1\n"


@contextmanager
def left_behind(**files: str) -> Iterator[Path]:
    """A folder with files as SIPp names them: ``statistics``, ``times`` and ``errors``."""
    names = {"statistics": "caller_7_.csv", "times": "caller_7_rtt.csv"}
    with tempfile.TemporaryDirectory() as name:
        for kind, text in files.items():
            Path(name, names.get(kind, "caller_7_errors.log")).write_text(text)
        yield Path(name)


def outcome(**changes: object) -> Outcome:
    """A run of 400 calls that all succeeded."""
    figures: dict[str, object] = {
        "offered": 100.0,
        "calls": 400,
        "succeeded": 400,
        "failed": 0,
        "retransmissions": 0,
        "seconds": 4.5,
        "delays": (4.0, 8.0, 12.0),
    }
    return Outcome(**(figures | changes))  # type: ignore[arg-type]


class FilesTests(SynchronousTestCase):
    """SIPp's files say how a run went."""

    def test_the_last_row_counts(self) -> None:
        """The cumulative figures of the last row are those of the whole run."""
        text = HEAD + "a;5;5;0;0;\nb;395;400;2;7;\n"
        with left_behind(statistics=text, times=TIMES) as folder:
            found = sipp.outcome(folder, 100.0, 402, 4.5)
        self.assertEqual((found.succeeded, found.failed, found.retransmissions), (400, 2, 7))
        self.assertEqual((found.calls, found.offered), (402, 100.0))

    def test_delays_of_the_first_timer(self) -> None:
        """Delays are those of the timer INVITE to 200, in order; heads and other timers are not."""
        with left_behind(statistics=HEAD + "a;3;3;0;0;\n", times=TIMES) as folder:
            found = sipp.outcome(folder, 10.0, 3, 1.0)
        self.assertEqual(found.delays, (4.0, 8.0, 12.5))
        self.assertEqual(found.delay(1.0), 12.5)

    def test_errors_are_kept(self) -> None:
        """The beginning of what SIPp found unexpected goes with the outcome."""
        with left_behind(statistics=HEAD + "a;3;3;0;0;\n", errors="x" * 5000) as folder:
            found = sipp.outcome(folder, 10.0, 3, 1.0)
        self.assertEqual(found.errors, "x" * 2000)

    def test_no_statistics(self) -> None:
        """A SIPp that left no figures, or only their heading, made no run."""
        with left_behind() as folder:
            self.assertRaises(LoadFailed, sipp.outcome, folder, 10.0, 3, 1.0)
        with left_behind(statistics=HEAD) as folder:
            self.assertRaises(LoadFailed, sipp.outcome, folder, 10.0, 3, 1.0)


class CleanTests(SynchronousTestCase):
    """Which runs count."""

    def test_whole(self) -> None:
        """Every call succeeded, and at most one message in 200 calls went out twice."""
        self.assertTrue(outcome(retransmissions=2).is_clean)
        self.assertFalse(outcome(retransmissions=3).is_clean)

    def test_failed_or_missing(self) -> None:
        """A failed call spoils a run, and so does one that SIPp never ended."""
        self.assertFalse(outcome(succeeded=399, failed=1).is_clean)
        self.assertFalse(outcome(succeeded=399).is_clean)


class CommandTests(SynchronousTestCase):
    """How SIPp is started."""

    def test_command(self) -> None:
        """On its CPU, bound to its address, with one of our scenarios, whatever else is asked."""
        command = sipp.command("caller", ("127.0.0.2", 60020), {"-r": 50.0}, 1)
        self.assertEqual(command[:4], ["taskset", "-c", "1", "sipp"])
        pairs = list(itertools.pairwise(command))
        for pair in (("-i", "127.0.0.2"), ("-p", "60020"), ("-r", "50.0")):
            self.assertIn(pair, pairs)
        self.assertTrue(Path(command[command.index("-sf") + 1]).exists())

    def test_users(self) -> None:
        """The file of phones has a line for each, taken one after the other."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "users")
            sipp.users(path, ["2000", "2001"], "secret")
            first, second, _ = path.read_text().splitlines()
            self.assertEqual(first, "SEQUENTIAL")
            self.assertEqual(second, "2000;[authentication username=2000 password=secret]")
