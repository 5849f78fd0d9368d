"""Programs of others that tests run: where they are, how they are started and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest

# Debian keeps ip and haproxy where only root's PATH looks.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def require_program(name: str) -> str:
    """
    The path of a program that a test cannot do without.

    Where it is missing the test fails, for a run that leaves it out proves less than it says.
    Under ALLOW_MISSING_PEERS=1 it skips with that reason.
    """
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        lack(f"{name} is not installed")
        raise AssertionError("a program that is lacking ends the test")
    return path


def lack(reason: str | None) -> None:
    """
    End a test that cannot run here; None means that nothing is lacking.

    It fails, or skips with the reason under ALLOW_MISSING_PEERS=1.
    """
    if reason is None:
        return
    if os.environ.get("ALLOW_MISSING_PEERS") == "1":
        raise SkipTest(f"{reason} (ALLOW_MISSING_PEERS=1)")
    raise AssertionError(f"{reason}; packaging/peers.sh names the packages")


class RunningProgram:
    """One process of ours, what it printed, and the means to end it. Known by its pid only."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @property
    def pid(self) -> int:
        """Of the program itself: nothing stands between it and us."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for the signal that ended it; None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """All it printed so far, both streams."""
        return self._log_path.read_text(errors="replace")

    def resident_bytes(self) -> int:
        """What of its memory is in RAM."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets it holds open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float = 15) -> None:
        """Until ``condition`` holds; an early death or a late success is a failure with the log."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.exit_code is not None:
                raise AssertionError(f"exited with {self.exit_code} before {what}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} after {timeout} s:\n{self.log()}")
            time.sleep(0.02)

    def stop(self, timeout: float = 10) -> int:
        """Ask it to end (SIGTERM) and give its exit code; not obeying in time is a failure."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"still there {timeout} s after SIGTERM:\n{self.log()}") from None

    def wait(self, timeout: float) -> int:
        """Its exit code, once it ended by itself; subprocess.TimeoutExpired if it does not."""
        return self._process.wait(timeout)

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it for certain, whatever state it is in."""
        if self.exit_code is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(
    command: Sequence[str],
    log_path: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningProgram]:
    """
    A program in the folder of its log, with ``environment`` added to ours.

    It is gone at the end, and gone too should this process be killed.
    """
    die_with_us = [require_program("setpriv"), "--pdeathsig", "KILL", "--"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*die_with_us, *command],
            cwd=log_path.parent,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    program = RunningProgram(process, log_path)
    try:
        yield program
    finally:
        program.kill()
