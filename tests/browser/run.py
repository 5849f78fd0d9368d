"""Runs one of the browser's scripts and gives its JSON to a test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

HERE = Path(__file__).resolve().parent
MODULES = HERE.parent.parent / "node_modules"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LIMIT = 120


def missing(*packages: str) -> str | None:
    """
    Say what keeps a browser test from running here, None where nothing does.

    ``packages`` are those of npm that it needs besides.
    """
    if shutil.which("node") is None:
        return "node is not installed"
    if not Path(CHROMIUM).exists():
        return f"{CHROMIUM} is not installed"
    for package in ("playwright-core", *packages):
        if not (MODULES / package).is_dir():
            return f"{package} is not installed: run npm ci in the top folder"
    return None


def run_browser(
    script: str, url: str, *, home: Path, through: Sequence[str] = (), **wishes: object
) -> dict[str, Any]:
    """
    Run ``tests/browser/<script>`` against ``url`` and give what it printed.

    ``home`` is the browser's home directory; the authorities in its NSS database are trusted.
    ``through`` is put before the command, to run it in a network of its own.
    """
    arguments = [*through, "node", str(HERE / script), url, json.dumps(wishes)]
    run = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, "HOME": str(home)},
    )
    if run.returncode != 0:
        raise AssertionError(f"{script} ended with {run.returncode}:\n{run.stderr}\n{run.stdout}")
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def temporary_folder(case: SynchronousTestCase) -> Path:
    """Make a folder that is gone, whatever a browser put into it, when the test has ended."""
    folder = tempfile.TemporaryDirectory(prefix="webrtc-suite-test-", ignore_cleanup_errors=True)
    case.addCleanup(folder.cleanup)
    return Path(folder.name)


def trust(authority: Path, home: Path) -> None:
    """Put ``authority`` (PEM) into the NSS database that Chromium reads under ``home``."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for arguments in (
        ["-N", "--empty-password"],
        ["-A", "-t", "C,,", "-n", "test authority", "-i", str(authority)],
    ):
        subprocess.run(
            ["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True
        )
