"""Medians, goals and the table of the benchmarks."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import plot
from benchmarks.figures import Goal, Row, Verdict, number, paired_ratio, percentile, table


class GoalTests(SynchronousTestCase):
    """A figure is judged by what it must reach and what it should."""

    def test_lower_is_better(self) -> None:
        """The mark itself reaches the goal; what lies above it does not."""
        goal = Goal(must=3.0, aim=2.0)
        verdicts = [goal.verdict(measured) for measured in (2.0, 2.01, 3.0, 3.01)]
        expected = [Verdict.AIM, Verdict.MUST, Verdict.MUST, Verdict.MISSED]
        self.assertEqual(verdicts, expected)

    def test_higher_is_better(self) -> None:
        """With ``at_least`` the marks are lower bounds, and the table says so."""
        goal = Goal(must=0.5, aim=1.0, at_least=True)
        verdicts = [goal.verdict(measured) for measured in (1.0, 0.5, 0.49)]
        self.assertEqual(verdicts, [Verdict.AIM, Verdict.MUST, Verdict.MISSED])
        self.assertEqual(goal.texts(), (">= 0.5", ">= 1"))

    def test_not_a_number_misses(self) -> None:
        """A figure that could not be formed reaches no goal of either kind."""
        for goal in (Goal(3.0, 2.0), Goal(0.5, 1.0, at_least=True)):
            self.assertIs(goal.verdict(math.nan), Verdict.MISSED)


class StatisticsTests(SynchronousTestCase):
    """Ratios are taken between neighbours, percentiles from what was seen."""

    def test_paired_ratio_is_the_median_of_quotients(self) -> None:
        """A slow moment that hits both runs of a pair does not move the ratio."""
        self.assertEqual(paired_ratio([20.0, 60.0, 22.0], [10.0, 30.0, 11.0]), 2.0)

    def test_paired_ratio_needs_pairs(self) -> None:
        """Sides of different length are a mistake of the caller."""
        self.assertRaises(ValueError, paired_ratio, [1.0], [1.0, 2.0])

    def test_paired_ratio_without_a_divisor(self) -> None:
        """Where the other side measured nothing there is no ratio."""
        self.assertTrue(math.isnan(paired_ratio([1.0, 2.0], [0.0, 0.0])))

    def test_percentile_is_a_value_that_was_seen(self) -> None:
        """Of a hundred values the 99th percentile is the 99th, and the last is the maximum."""
        values = [float(value) for value in range(1, 101)]
        marks = [percentile(values, mark) for mark in (0.0, 0.5, 0.99, 0.999, 1.0)]
        self.assertEqual(marks, [1.0, 50.0, 99.0, 100.0, 100.0])

    def test_percentile_of_nothing(self) -> None:
        """Without values there is no percentile."""
        self.assertTrue(math.isnan(percentile([], 0.5)))


class TableTests(SynchronousTestCase):
    """The table is Markdown that people can read unrendered."""

    def test_numbers_have_three_digits(self) -> None:
        """Three significant digits, whole numbers whole, never an exponent."""
        texts = [number(value) for value in (0.0, 0.01234, 1.5, 12.345, 123456.7, math.nan)]
        self.assertEqual(texts, ["0", "0.0123", "1.50", "12.3", "123457", "nan"])

    def test_columns_line_up(self) -> None:
        """Every line of the table is as long as the others."""
        rows = [
            Row(name="a", figure="cost", goal=Goal(3, 2), measured=2.5, ours="5 us", note="x" * 30),
            Row(name="longer", figure="failed", note="no answer"),
        ]
        lines = table(rows, "coturn").splitlines()
        self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertEqual(len(lines), 4)

    def test_verdicts_in_the_table(self) -> None:
        """A row without a figure has failed; one without a goal is not judged."""
        failed = Row(name="a", figure="failed", goal=Goal(3, 2))
        unjudged = Row(name="b", figure="cost", measured=1.0)
        self.assertIs(failed.verdict, Verdict.FAILED)
        self.assertIs(unjudged.verdict, Verdict.NONE)
        self.assertIn("| FAILED ", table([failed], "coturn"))


class PlotTests(SynchronousTestCase):
    """Lines over a count that grows."""

    def test_a_line_for_each_name(self) -> None:
        """Each series is one line with a mark for each count, and is named."""
        svg = plot.lines({"a": [1, 2, 3], "b<": [3, 3, 3]}, (1, 10, 100), title="t", across="calls")
        root = ElementTree.fromstring(svg)
        lines = root.findall("{http://www.w3.org/2000/svg}polyline")
        marks = root.findall("{http://www.w3.org/2000/svg}circle")
        self.assertEqual((len(lines), len(marks)), (2, 6))
        self.assertIn("b&lt;", svg)

    def test_a_dearer_packet_is_higher(self) -> None:
        """And stays within the plot."""
        svg = plot.lines({"a": [1, 2]}, (1, 1000), title="t", across="calls")
        found = ElementTree.fromstring(svg).findall("{http://www.w3.org/2000/svg}circle")
        heights = [float(mark.attrib["cy"]) for mark in found]
        self.assertGreater(heights[0], heights[1])
        self.assertGreater(heights[1], plot.TOP)
