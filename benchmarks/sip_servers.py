"""
The servers whose calls are compared: our B2BUA, and Sippy's b2bua_simple. Neither logs calls.

Both take a call on UDP and place it at the callee's address: for Sippy that is its next hop, for
us the SIP Server, and the caller is a phone on an allowed network. Each runs on loopback, on the
CPU it is given, in a directory that is thrown away, and is ended by its own process id.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadFailed
from benchmarks.servers import CHECKOUT, TWISTD, Running, await_answer, started
from benchmarks.sipp import Address

LOOPBACK = "127.0.0.0/8"
SIPPY = CHECKOUT / ".cache" / "sippy" / "bin" / "python"
"""The interpreter of the environment that packaging/peers.sh makes for Sippy alone."""

CONFIGURATION = """\
[suite]
web = false
turn = false
status-address = 127.0.0.1
status-port = {status_port}
state-directory = {directory}

[rsmp]
sip-address = {host}
sip-port = {port}
sip-proxy = {proxies}
rtp-address = {host}
sip-rtp-min-port = 10000
sip-rtp-max-port = 59999
{rsmp}

[b2bua]
max-calls = 10000
calls-per-dn = 10000
{b2bua}

[users]
{users}

[log]
all = {directory}/log
verbose = standard
"""
OPTIONS = (
    "OPTIONS sip:{host}:{port} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{local};branch=z9hG4bK-ready;rport\r\n"
    "From: <sip:bench@127.0.0.1>;tag=ready\r\n"
    "To: <sip:{host}:{port}>\r\n"
    "Call-ID: ready@127.0.0.1\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\n"
    "Content-Length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class SipServer(Running):
    """A server under test: where calls go to, and where it sends them on to."""

    address: Address
    callee: Address
    log: Path


@dataclass(frozen=True, slots=True)
class OurServer(SipServer):
    """Ours, which tells how it is."""

    status_port: int

    def metric(self, name: str) -> float:
        """One of the figures that it shows, summed over its labels."""
        url = f"http://127.0.0.1:{self.status_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        if not found:
            raise LoadFailed(f"our server shows no {name}")
        return sum(map(float, found))


Start = Callable[[], AbstractContextManager[SipServer]]
"""Starts a fresh server, which ends when the block does."""


@contextlib.contextmanager
def sippy(
    cpu: int = 0, port: int = 60060, callee: Address = ("127.0.0.11", 60090)
) -> Iterator[SipServer]:
    """Sippy's b2bua_simple, with its log off."""
    address = ("127.0.0.1", port)
    code = "import sys; from sippy.b2bua_simple import main_func; sys.exit(main_func())"
    command = [str(sippy_python()), "-c", code, "-f", "-l", address[0], "-p", str(port)]
    command += ["-n", "{}:{}".format(*callee)]
    with tempfile.TemporaryDirectory(prefix="sip-bench-") as name:
        output = Path(name) / "output"
        with started(command, cpu, output, SIPLOG_BEND="none") as process:
            _await_options(process, address, [output])
            yield SipServer("sippy", process, address, callee, output)


@contextlib.contextmanager
def ours(
    cpu: int = 0,
    port: int = 60260,
    callee: Address = ("127.0.0.12", 60290),
    *,
    proxies: Sequence[Address] = (),
    rsmp: Sequence[str] = (),
    b2bua: Sequence[str] = (f"phone-networks = {LOOPBACK}",),
    users: Sequence[str] = (),
) -> Iterator[OurServer]:
    """
    This checkout's B2BUA, under this interpreter; the lines are added to its sections.

    The SIP Servers are ``proxies``, or the callee alone.
    """
    address, status_port = ("127.0.0.1", port), port + 1
    with tempfile.TemporaryDirectory(prefix="sip-bench-") as name:
        directory = Path(name)
        log, output = directory / "log", directory / "output"
        (directory / "suite.conf").write_text(
            CONFIGURATION.format(
                directory=name,
                status_port=status_port,
                host=address[0],
                port=port,
                proxies=", ".join("{}:{}".format(*each) for each in proxies or (callee,)),
                rsmp="\n".join(rsmp),
                b2bua="\n".join(b2bua),
                users="\n".join(users),
            )
        )
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", f"--logfile={output}"]
        command += ["webrtc-suite", "--config", f"{directory}/suite.conf"]
        with started(command, cpu, output) as process:
            _await_options(process, address, [log, output])
            yield OurServer("ours", process, address, callee, log, status_port)


def _await_options(process: subprocess.Popen[bytes], address: Address, logs: list[Path]) -> None:
    host, port = address
    question = OPTIONS.format(host=host, port=port, local=port).encode()
    await_answer(process, address, question, lambda data: data.startswith(b"SIP/2.0 "), logs)


def sippy_python() -> Path:
    """The interpreter that has Sippy: the bench's own environment, or this one."""
    return SIPPY if SIPPY.exists() else Path(sys.executable)


def sippy_version() -> str:
    """Which Sippy there is, or a word for its absence."""
    code = "from importlib.metadata import version; print(version('sippy'))"
    answer = subprocess.run([str(sippy_python()), "-c", code], capture_output=True, text=True)
    return answer.stdout.strip() or "absent"


def missing() -> list[str]:
    """The programs that the benchmarks need and this machine lacks."""
    absent = [name for name in ("sipp", "kamailio", "taskset") if not shutil.which(name)]
    return absent + (["sippy"] if sippy_version() == "absent" else [])
