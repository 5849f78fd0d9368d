"""The library as far as it needs no browser, and its types."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.run import MODULES
from tests.programs import lack, require_program

HERE = Path(__file__).resolve().parent


class PureTests(SynchronousTestCase):
    """What node can run alone."""

    def passes(self, *command: str) -> str:
        """Run a command that must succeed."""
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def test_library(self) -> None:
        """Every case of the library's pure parts holds, and there are some."""
        summary = self.passes(require_program("node"), "--test", str(HERE / "pure.test.mjs"))
        self.assertRegex(summary, r"# pass [23]\d")

    def test_words_of_the_phone(self) -> None:
        """Every case of the phone's words holds, and there are some."""
        summary = self.passes(require_program("node"), "--test", str(HERE / "phonewords.test.mjs"))
        self.assertRegex(summary, r"# pass [1-9]")

    def test_types(self) -> None:
        """Applications of either kind compile, and what is wrong in them does not."""
        compiler = MODULES / "typescript" / "bin" / "tsc"
        lack(None if compiler.exists() else "typescript is not installed: run npm ci")
        self.passes(require_program("node"), str(compiler), "-p", str(HERE / "types"))
