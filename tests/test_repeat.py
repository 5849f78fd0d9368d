"""The scenarios that `make flake` repeats."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.repeat import report_of

ROOT = Path(__file__).resolve().parents[1]


class ScenariosTests(SynchronousTestCase):
    """What the Makefile names."""

    def setUp(self) -> None:
        """Read it."""
        text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
        found = re.search(r"^SCENARIOS \?= (.*)$", text, re.MULTILINE)
        assert found is not None
        self.targets = found[1].split()

    def test_they_are_there(self) -> None:
        """A target that was moved would end every run as one failure."""
        self.assertEqual([each for each in self.targets if not (ROOT / each).exists()], [])

    def test_reports_have_names_of_their_own(self) -> None:
        """Two targets that shared a report would be read one for the other."""
        reports = {report_of(each, 1) for each in self.targets}
        self.assertEqual(len(reports), len(self.targets))
