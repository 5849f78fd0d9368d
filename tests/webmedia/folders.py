"""Folders that are gone after a test."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


def temporary_folder(case: SynchronousTestCase) -> Path:
    """Make a folder that lives as long as the test."""
    folder = tempfile.TemporaryDirectory(prefix="webmedia-test-")
    case.addCleanup(folder.cleanup)
    return Path(folder.name)
