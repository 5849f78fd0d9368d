"""The page's own JavaScript, as far as it needs no browser."""

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import require_program

HERE = Path(__file__).resolve().parent


class WordsTests(SynchronousTestCase):
    """What the pages say, and the reading of addresses."""

    def test_check_page(self) -> None:
        """Every case of the check page's words holds, and there are some."""
        self.passes("words.test.mjs", r"# pass [1-9]\d")

    def test_lab_page(self) -> None:
        """Every case of the lab's words holds, and there are some."""
        self.passes("labwords.test.mjs", "# pass 9")

    def passes(self, script: str, summary: str) -> None:
        """Run a script's tests."""
        run = subprocess.run(
            [require_program("node"), "--test", str(HERE / script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, summary)
