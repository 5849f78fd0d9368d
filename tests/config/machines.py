"""Made-up machines and files for the tests of the configuration."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.config import Arguments, Loaded, load
from suite.machine import Machine
from suite.settings import SuiteSettings
from turn.settings import TurnSettings

MACHINE = Machine(
    addresses=("127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"),
    state_directory=Path("/state"),
    random_secret=lambda: "made-at-random",
)


class ConfigTestCase(SynchronousTestCase):
    """Writes files into a folder of the test and loads them on a made-up machine."""

    machine = MACHINE

    def write(self, content: str | bytes, name: str = "suite.conf", mode: int = 0o600) -> Path:
        """Make a file and give its path."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def load(self, content: str | bytes, *overrides: tuple[str, str]) -> Loaded:
        """Load a suite.conf."""
        arguments = Arguments(config=self.write(content), overrides=overrides)
        return load(arguments, machine=self.machine)

    def load_turn(self, content: str | bytes, *overrides: tuple[str, str]) -> Loaded:
        """Load a turnserver.conf alone."""
        path = self.write(content, "turnserver.conf")
        return load(Arguments(turn_config=path, overrides=overrides), machine=self.machine)

    def settings(self, loaded: Loaded) -> SuiteSettings:
        """The settings, which must be there."""
        problems = "\n".join(str(each) for each in loaded.diagnostics)
        self.assertIsNotNone(loaded.settings, problems)
        assert loaded.settings is not None
        return loaded.settings

    def turn(self, loaded: Loaded) -> TurnSettings:
        """The relay's settings, which must be there."""
        turn = self.settings(loaded).turn
        assert turn is not None
        return turn

    def refused(self, loaded: Loaded, *words: str) -> None:
        """It did not load, and one error holds all of these words."""
        self.assertIsNone(loaded.settings)
        self.said(loaded, "error", *words)

    def said(self, loaded: Loaded, *words: str) -> None:
        """One line among the diagnostics holds all of these words."""
        lines = [str(each) for each in loaded.diagnostics]
        self.assertTrue(
            any(all(word in line for word in words) for line in lines),
            f"{words} in none of:\n" + "\n".join(lines),
        )

    def silent(self, loaded: Loaded, *words: str) -> None:
        """No line among the diagnostics holds all of these words."""
        for each in loaded.diagnostics:
            self.assertFalse(all(word in str(each) for word in words), str(each))
