"""Our answers beside those of Debian's turnserver."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.differences import Difference, Extra, contrast, unlisted
from tests.interop.oracle import Answer, Comparison, compare
from tests.interop.requests import REQUESTS
from tests.probe import Transport


def _comparison(ours: Answer, coturn: Answer) -> Comparison:
    return Comparison(REQUESTS[0], Transport.UDP, ours, coturn)


class UnlistedTests(SynchronousTestCase):
    """The comparison itself notices what it is there for."""

    name = REQUESTS[0].name

    def test_same(self) -> None:
        """Equal answers need no entry."""
        answer = Answer("success", frozenset(["LIFETIME 600"]))
        self.assertEqual(unlisted([_comparison(answer, answer)], (), ()), [])

    def test_unlisted(self) -> None:
        """Another code, another value or another attribute is told unless it is listed."""
        coturn = Answer("success", frozenset(["LIFETIME 600"]))
        for ours in (
            Answer("error 400"),
            Answer("success", frozenset(["LIFETIME 601"])),
            Answer("success", frozenset(["LIFETIME 600", "NONCE"])),
        ):
            found = unlisted([_comparison(ours, coturn)], (), ())
            self.assertEqual(len(found), 1, found)
            entry = Difference(self.name, *contrast(ours, coturn), "because")
            self.assertEqual(unlisted([_comparison(ours, coturn)], (entry,), ()), [])

    def test_not_seen(self) -> None:
        """An entry that no answer bears out any more is told."""
        answer = Answer("success")
        entries = (Difference(self.name, "error 400", "success", "because"),)
        extras = (Extra("SOFTWARE", False, "because"),)
        self.assertEqual(len(unlisted([_comparison(answer, answer)], entries, extras)), 2)

    def test_extra(self) -> None:
        """An attribute of one side is put aside wherever it occurs, on that side only."""
        plain, more = Answer("success"), Answer("success", frozenset(["SOFTWARE"]))
        extras = (Extra("SOFTWARE", False, "because"),)
        self.assertEqual(unlisted([_comparison(plain, more)], (), extras), [])
        self.assertEqual(len(unlisted([_comparison(more, plain)], (), extras)), 2)


class OracleTests(SynchronousTestCase):
    """Both servers run from the same configuration and get the same requests."""

    def test_differences(self) -> None:
        """Our answer is coturn's wherever docs/differences-from-coturn.md names no reason."""
        comparisons = compare()
        broken = [one for one in comparisons if one.coturn.headline.startswith("failed")]
        self.assertEqual(broken, [], "coturn itself did not get that far")
        wrong = unlisted(comparisons)
        self.assertEqual(wrong, [], "\n".join(wrong))
