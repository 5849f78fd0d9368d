"""
The two bridges that are compared: our media plane and Debian's rtpengine, in userspace.

Each runs on loopback, on the CPU it is given, with calls between the same endpoints, and is ended
by its own process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadFailed
from benchmarks.rtpengine import Control, delete_request, set_up
from benchmarks.sdes import new_key
from benchmarks.servers import (
    CHECKOUT,
    HOST,
    Running,
    ServerDidNotStart,
    asked_for,
    end,
    insist,
    plane_that_runs,
)

START_LIMIT = 20.0
NG_PORT = 42223
FIRST_PORT = 61000
"""Of the endpoints: above those that the kernel gives to others."""


@dataclass(frozen=True, slots=True)
class Bridge(Running):
    """A bridge whose calls stand; ``calls`` is the list of them that rtpload reads."""

    calls: Path
    control_port: int
    """Where the stall probe asks."""
    ask: str
    """What it asks there."""
    plane: str = ""
    """Which data plane ours runs."""


Start = Callable[[int, str], AbstractContextManager[Bridge]]
"""Takes how many calls, and the suite of their second endpoint's SRTP; see ``sdes``."""


def endpoints(count: int, suite: str, first_port: int) -> list[str]:
    """Calls as rtpload has them, without the bridge's ports."""
    ports = range(first_port, first_port + 4 * count, 4)
    return [f"{port} {port + 2} {HOST} 0 0 - - {new_key(suite)} {new_key(suite)}" for port in ports]


@contextlib.contextmanager
def ours(count: int, suite: str, cpu: int = 0, plane: str = "") -> Iterator[Bridge]:
    """
    This checkout's media plane, under this interpreter, with the data plane that is asked for.

    Raises ServerDidNotStart where it runs another one.
    """
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        calls = Path(name) / "calls"
        calls.write_text("\n".join(endpoints(count, suite, FIRST_PORT)) + "\n")
        command = ["taskset", "-c", str(cpu), sys.executable, "-m", "benchmarks.bridge_server"]
        process = subprocess.Popen(
            [*command, str(calls)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **asked_for(plane)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            said = until_ready(process)
            runs = plane_that_runs(process.pid, f"data plane: {said['data plane']}")
            insist(plane, runs)
            yield Bridge("ours", process, calls, int(said["stun-port"]), "stun", runs)
        finally:
            end(process)


def until_ready(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """What our media plane says of itself before it is ready. Raises ServerDidNotStart."""
    assert process.stdout is not None
    said: dict[str, str] = {}
    for line in process.stdout:
        if line.strip() == b"ready":
            return said
        name, _, value = line.decode().partition(": ")
        said[name] = value.strip()
    raise ServerDidNotStart("our media plane ended before it was ready")


@contextlib.contextmanager
def rtpengine(count: int, suite: str, cpu: int = 0) -> Iterator[Bridge]:
    """Debian's rtpengine without its kernel module, one thread for packets."""
    program = shutil.which("rtpengine")
    if program is None:
        raise LoadFailed("rtpengine is not installed: apt-get install rtpengine-daemon")
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        command = ["taskset", "-c", str(cpu), program, "-f", "-E", "-t", "-1", "-i", HOST]
        command += ["-n", f"{HOST}:{NG_PORT}", "-m", "10000", "-M", "29999", "-L", "3"]
        command += ["--num-threads=1", "--no-log-timestamps", f"--pidfile={name}/pid"]
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            with Control((HOST, NG_PORT)) as control:
                _await(control, process)
                calls = Path(name) / "calls"
                wanted = endpoints(count, suite, FIRST_PORT)
                made = [set_up(control, f"call-{at}", line) for at, line in enumerate(wanted)]
                calls.write_text("\n".join(made) + "\n")
                yield Bridge("rtpengine", process, calls, NG_PORT, "ng")
                for at in range(count):
                    control.ask(delete_request(f"call-{at}"))
        finally:
            end(process)


def _await(control: Control, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_LIMIT
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError, socket.timeout):
            if control.ask({"command": "ping"}).get("result") == "pong":
                return
        time.sleep(0.1)
    raise ServerDidNotStart("rtpengine did not answer")


def rtpengine_version() -> str:
    """What it says of itself, or a word for its absence."""
    program = shutil.which("rtpengine")
    if program is None:
        return "absent"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).split()
    return next((word for word in words if word[:1].isdigit()), "unknown")
