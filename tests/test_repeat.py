"""The scenarios that `make flake` repeats."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

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
        """A report is called after the last part of its target: two alike would share one."""
        names = [Path(each).name for each in self.targets]
        self.assertEqual(sorted(set(names)), sorted(names))
