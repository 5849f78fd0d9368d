"""
Debian's coTURN on loopback with the check page beside it: a relay that is not ours.

The page must tell the truth about any relay; this one is also the measure for our own.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.authority import make_authority

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SECRET = "north"
USER, PASSWORD = "alice", "wonderland"


@dataclass(frozen=True)
class CoturnPage:
    """A running relay and its page."""

    url: str
    port: int
    tls_port: int
    folder: Path

    @property
    def authority(self) -> Path:
        """The PEM of the authority that signed the relay's certificate."""
        return self.folder / "ca.pem"


@contextmanager
def coturn_page(
    *, secret: bool = True, arguments: tuple[str, ...] = (), days: int = 2
) -> Iterator[CoturnPage]:
    """Run coTURN and the page; with ``secret`` it takes REST credentials, else one fixed user."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_authority(folder, days=days)
        page_port, port, tls_port = free_ports(3)
        known = (
            ("--use-auth-secret", f"--static-auth-secret={SECRET}")
            if secret
            else ("--lt-cred-mech", f"--user={USER}:{PASSWORD}")
        )
        relay = stack.enter_context(
            process(coturn_command(folder, port, tls_port, (*known, *arguments)))
        )
        wait_for(port, relay)
        page = stack.enter_context(
            process(
                [
                    sys.executable,
                    "-m",
                    "tests.browser.serve_page",
                    *map(str, (page_port, port, tls_port)),
                    SECRET if secret else "",
                ]
            )
        )
        wait_for(page_port, page)
        yield CoturnPage(f"http://127.0.0.1:{page_port}/", port, tls_port, folder)


def coturn_command(folder: Path, port: int, tls_port: int, arguments: tuple[str, ...]) -> list[str]:
    """Write the command line that keeps coTURN on loopback and its files in ``folder``."""
    (folder / "none.conf").touch()
    return [
        "turnserver",
        *("-c", str(folder / "none.conf")),
        *("--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"),
        *(f"--listening-port={port}", f"--tls-listening-port={tls_port}"),
        *("--min-port=40000", "--max-port=40999", "--realm=test.invalid"),
        *("--allow-loopback-peers", "--no-cli", "--no-dtls", "--no-rfc5780"),
        *(f"--cert={folder / 'cert.pem'}", f"--pkey={folder / 'key.pem'}"),
        *(f"--pidfile={folder / 'pid'}", f"--userdb={folder / 'users.sqlite'}"),
        *(f"--log-file={folder / 'log'}", "--simple-log"),
        *arguments,
    ]


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process while the block runs."""
    running = subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_ports(count: int) -> list[int]:
    """Find ports that nobody has at this moment, different from each other."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        return ports


def wait_for(port: int, running: subprocess.Popen[bytes], limit: float = 15) -> None:
    """Return when ``running`` takes TCP connections on ``port``."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if running.poll() is not None:
            raise AssertionError(f"{running.args!r} ended with {running.returncode}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after {limit} s")
