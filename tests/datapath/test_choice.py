from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.choice import (
    VARIABLE,
    DataPlaneChoice,
    DataPlaneUnavailable,
    choose,
    missing_reason,
)
from suite.diagnostics import EX_CONFIG

_WITH_AN_EMPTY_EXTENSION = """
import importlib.machinery, importlib.util, sys
spec = importlib.machinery.ModuleSpec("suite.datapath._native", None)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
from suite.datapath.choice import choose
print(choose({}).why)
"""


class ChoiceTests(SynchronousTestCase):
    """Which data plane serves."""

    def test_native_where_it_is(self) -> None:
        """Without a word from outside, what is there decides, and the log gets the reason."""
        chosen = choose({})
        self.assertEqual(chosen.is_native, not missing_reason())
        self.assertEqual(chosen.why, missing_reason())

    def test_python_by_force(self) -> None:
        """The environment has the last word, and is named in the log."""
        chosen = choose({VARIABLE: "python"})
        self.assertFalse(chosen.is_native)
        self.assertEqual(chosen.words, f"pure Python ({VARIABLE}=python)")

    def test_native_is_named_in_one_word(self) -> None:
        """There is nothing to explain then."""
        self.assertEqual(DataPlaneChoice(True).words, "native")

    def test_nonsense_is_refused(self) -> None:
        """A word that is neither is an error, not a default."""
        self.assertRaises(DataPlaneUnavailable, choose, {VARIABLE: "fast"})

    def test_native_by_force_but_absent(self) -> None:
        """Whoever insists is not served by something slower in silence."""
        self.patch(sys.modules["suite.datapath.choice"], "missing_reason", lambda: "it is gone")
        error = self.assertRaises(DataPlaneUnavailable, choose, {VARIABLE: "native"})
        self.assertIn("it is gone", str(error))
        self.assertEqual(choose({}).why, "it is gone")

    def test_an_extension_of_another_version(self) -> None:
        """One that was built from other sources, and lacks something, is as good as none."""
        asked = subprocess.run(
            [sys.executable, "-c", _WITH_AN_EMPTY_EXTENSION],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertIn("the native extension is not of this version", asked.stdout)

    def test_a_refused_start_is_a_configuration_error(self) -> None:
        """The process says why in one line and ends as with any error of its configuration."""
        ended = subprocess.run(
            [sys.executable, "-m", "twisted", "webrtc-suite", "--default"],
            env={**os.environ, VARIABLE: "fast"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(ended.returncode, EX_CONFIG, ended.stderr)
        self.assertIn("webrtc-suite: WEBRTC_SUITE_DATA_PLANE=fast", ended.stderr)
