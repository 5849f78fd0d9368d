"""Runs the scripts beside it once, and gives what came of each of their scenarios."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.run import missing
from tests.programs import lack, require_program

HERE = Path(__file__).resolve().parent
LIMIT = 240


@functools.cache
def played(script: str, wishes: str) -> dict[str, Any]:
    """Run a script in a home of its own; ``wishes`` is its argument."""
    with tempfile.TemporaryDirectory(
        prefix="webrtc-suite-test-", ignore_cleanup_errors=True
    ) as home:
        run = subprocess.run(
            [require_program("node"), str(HERE / script), *([wishes] if wishes else [])],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            env={**os.environ, "HOME": home},
        )
    if run.returncode != 0:
        raise AssertionError(f"{script} ended with {run.returncode}:\n{run.stderr}\n{run.stdout}")
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


class ScriptTestCase(SynchronousTestCase):
    """One script in Chromium; its scenarios are played once for all tests."""

    script = ""
    wishes = ""

    def setUp(self) -> None:
        """There must be a browser."""
        lack(missing("jquery"))

    def outcome(self, scenario: str, *, complaints: bool = False) -> Any:
        """What came of a scenario, which must not have failed; nor may the page complain."""
        answer = played(self.script, self.wishes)[scenario]
        self.assertNotIn("error", answer, answer)
        if not complaints:
            self.assertEqual(answer["complaints"], [])
        return answer["result"]
