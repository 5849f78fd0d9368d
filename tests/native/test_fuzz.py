from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from unittest import SkipTest, TestCase

from tests.native.harness import HARNESSES, REPLAY, build
from tests.native.inputs import inputs, kept

MADE = 3_000
"""Inputs that are made of those that are kept; the same ones each time."""
ALL_KEPT = 200_000
"""Bytes."""


class FuzzTests(TestCase):
    """The C core on a simulated kernel, under the address and undefined behaviour sanitizers."""

    _folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        if REPLAY.missing:
            raise SkipTest(REPLAY.missing)
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)

    def _replay(self, name: str) -> None:
        program = build(name, REPLAY, Path(self._folder.name))
        files = []
        for number, data in enumerate(inputs(name)):
            files.append(Path(self._folder.name, f"{name}-{number}.input"))
            files[-1].write_bytes(data)
        done = subprocess.run(
            [program, str(MADE), *files], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"{len(files)} seeds and {MADE} inputs\n")

    def test_table(self) -> None:
        """The table holds what a list holds."""
        self._replay("table")

    def test_plane(self) -> None:
        """What is sent was asked for, or is counted; packets stay as they are until then."""
        self._replay("plane")

    def test_relay(self) -> None:
        """Nothing goes where no permission or channel leads, and counters add up."""
        self._replay("relay")

    def test_shared(self) -> None:
        """Flows on shared sockets hear only whom they may, and nothing is left of them."""
        self._replay("shared")

    def test_stream(self) -> None:
        """Frames in any pieces are the same frames, and a slow reader gets whole ones."""
        self._replay("stream")

    def test_media(self) -> None:
        """Packets go to the joined end only, as they came, and each is counted once."""
        self._replay("media")


class InputTests(TestCase):
    """What every run begins with."""

    def test_each_has_some(self) -> None:
        """No harness begins with nothing."""
        for name in HARNESSES:
            self.assertGreater(len(kept(name)), 20, name)

    def test_they_are_few(self) -> None:
        """A checkout is not to grow by what fuzzers find."""
        size = sum(len(data) for name in HARNESSES for data in kept(name))
        self.assertLess(size, ALL_KEPT)
