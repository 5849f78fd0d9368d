"""What the failover's benchmark makes of a capture."""

from __future__ import annotations

from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import plot
from benchmarks.failover import Outage, Seen, busiest, drawn, longest, parse, per_second, rows
from benchmarks.figures import Verdict
from benchmarks.load import LoadFailed
from benchmarks.sip import QUICK

OURS, FIRST, SECOND = ("127.0.0.1", 60560), ("127.1.1.1", 5060), ("127.2.2.2", 5060)


def request(at: float, dn: str, branch: str = "", target: tuple[str, int] = FIRST) -> Seen:
    """A REGISTER of ours."""
    return Seen(at, OURS, target, 0, dn, branch or f"{dn}-{at}")


def granted(at: float, dn: str, source: tuple[str, int] = FIRST) -> Seen:
    """A server's 200."""
    return Seen(at, source, OURS, 200, dn, f"{dn}-{at}")


def outage(*seen: Seen, held: tuple[int, ...] = (200,)) -> Outage:
    """Stopped at second 100, watched until 150."""
    return Outage(OURS, (FIRST, SECOND), 100.0, 150.0, seen, held)


class CountTests(SynchronousTestCase):
    """Moments are counted by the second."""

    def test_busiest_second_begins_anywhere(self) -> None:
        """Four within a second that no clock begins; the moment a second later is outside."""
        self.assertEqual(busiest([0.5, 0.9, 1.1, 1.4, 1.5, 3.0]), 4)
        self.assertEqual(busiest([]), 0)

    def test_per_second(self) -> None:
        """Seconds are counted from a zero, before it below 0; empty ones count as 0."""
        self.assertEqual(per_second([98.5, 100.0, 100.9, 102.1], 100.0), (-2, [1, 0, 2, 0, 1]))
        self.assertEqual(per_second([], 100.0), (0, []))

    def test_longest(self) -> None:
        """The longest wait between neighbours; one moment has no neighbour."""
        self.assertEqual(longest([1.0, 2.0, 5.0, 6.0]), 3.0)
        self.assertEqual(longest([1.0]), 0.0)


class OutageTests(SynchronousTestCase):
    """What is told of an outage."""

    def test_copies_count_apart(self) -> None:
        """A REGISTER is sent once, however often it is repeated to the silent server."""
        found = outage(request(101, "2000", "x"), request(101.5, "2000", "x"))
        self.assertEqual((found.sent(), found.with_copies()), ([101], [101, 101.5]))

    def test_others_do_not_count(self) -> None:
        """What the servers tell each other, and what others ask them, is not ours."""
        copy = Seen(101.0, FIRST, SECOND, 0, "2000", "c")
        question = Seen(101.0, ("127.0.0.1", 4444), SECOND, 0, "2000", "q")
        answered = Seen(101.0, SECOND, ("127.0.0.1", 4444), 200, "2000", "q")
        found = outage(copy, question, answered)
        self.assertEqual((found.sent(), found.granted()), ([], []))

    def test_first_success(self) -> None:
        """It is the survivor's, and after the stop."""
        seen = (granted(99, "1", SECOND), granted(100.1, "2"), granted(104.5, "3", SECOND))
        self.assertEqual(outage(*seen).first_success(), 4.5)
        self.assertRaises(LoadFailed, outage(*seen[:2]).first_success)

    def test_lapsed(self) -> None:
        """A DN lapses that has no 200 in time, be it between two or before the end."""
        seen = [granted(90, "1"), granted(131, "1", SECOND), granted(149, "1", SECOND)]
        seen += [granted(95, "2"), granted(120, "3"), granted(145, "3", SECOND)]
        self.assertEqual(outage(*seen).lapsed(40), {"1", "2"})

    def test_rows(self) -> None:
        """One DN that a sweep missed is a DN lost."""
        seen = [request(99, "1"), granted(99, "1"), granted(110, "1", SECOND)]
        lost, rate, first = rows(outage(*seen, held=(200, 199, 200)), QUICK)
        self.assertEqual((lost.measured, lost.verdict), (1, Verdict.MISSED))
        self.assertEqual((rate.measured, rate.verdict), (1, Verdict.AIM))
        self.assertEqual(first.measured, 10.0)

    def test_tshark(self) -> None:
        """A line of tshark is a request or an answer."""
        line = "12.5\t127.0.0.1\t60560\t127.1.1.1\t5060\t{}\t2000\tz9"
        self.assertEqual(parse(line.format("")), Seen(12.5, OURS, FIRST, 0, "2000", "z9"))
        self.assertEqual(parse(line.format("200")).status, 200)


class PlotTests(SynchronousTestCase):
    """The plot is SVG with a bar for each second that has something."""

    def test_bars(self) -> None:
        """Empty seconds have no bar; the limit, the moments and their names are there."""
        seen = [request(99, "1"), request(102, "2"), granted(104, "2", SECOND)]
        tree = ElementTree.fromstring(drawn(outage(*seen)))
        kinds = [element.get("class") for element in tree]
        counts = [kinds.count(kind) for kind in ("bar", "moment", "limit")]
        self.assertEqual(counts, [2, 2, 1])
        self.assertTrue(any("first 200" in (element.text or "") for element in tree))

    def test_text_is_escaped(self) -> None:
        """A title may have any character."""
        self.assertIn("a &lt; b", plot.bars([1], "a < b", limit=5, moments={}))
