"""The page's own JavaScript, as far as it needs no browser."""

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import require_program

HERE = Path(__file__).resolve().parent


class WordsTests(SynchronousTestCase):
    """The verdicts' words and the reading of addresses."""

    def test_words(self) -> None:
        """Every case of words.test.mjs holds, and there are some."""
        run = subprocess.run(
            [require_program("node"), "--test", str(HERE / "words.test.mjs")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, r"# pass [1-9]\d")
