"""
The two servers that are compared: ours and coTURN, from the same turnserver.conf.

Each runs on loopback, on the CPU it is given, in a directory that is thrown away, and is ended by
its own process id.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.stall_probe import answered, request

CHECKOUT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
START_LIMIT = 20.0
PLANE_VARIABLE = "WEBRTC_SUITE_DATA_PLANE"
NATIVE, PYTHON = "native", "python"
TWISTD = "from twisted.scripts.twistd import run; run()"

CONFIGURATION = """\
listening-ip={host}
relay-ip={host}
listening-port={port}
tls-listening-port={tls_port}
min-port={first_port}
max-port={last_port}
lt-cred-mech
user-quota=100000
total-quota=100000
user=user:pass
realm=bench.local
allow-loopback-peers
no-dtls
cert={directory}/cert.pem
pkey={directory}/key.pem
"""
SHARED_PORTS = "multiplex-peer\n"


class ServerDidNotStart(Exception):
    """The server ended, or answered no Binding in time; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """One running server."""

    name: str
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """Every process of the server, workers included."""
        return descendants(self.process.pid)

    def cpu_ms(self) -> float:
        """CPU time that all its threads have had so far."""
        return spent_ms(self.pids())

    def resident_kb(self) -> int:
        """Resident memory of all its processes."""
        pages = 0
        for pid in self.pids():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class Server(Running):
    """A relay."""

    port: int
    tls_port: int
    log: Path
    shares_ports: bool = False
    """Whether it was told to relay on a few ports for all allocations."""


Start = Callable[[], AbstractContextManager[Server]]
"""Starts a fresh server, which ends when the block does."""


def spent_ms(pids: Iterable[int]) -> float:
    """CPU time that all threads of some processes have had so far."""
    spent = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e6


def descendants(pid: int) -> list[int]:
    """``pid`` and every process below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += descendants(int(child))
    return found


@contextlib.contextmanager
def coturn(
    cpu: int = 0, port: int = 43478, tls_port: int = 45349, first_port: int = 10000
) -> Iterator[Server]:
    """Debian's coTURN with one relay thread."""
    with _directory(port, tls_port, first_port) as directory:
        command = ["turnserver", "-c", f"{directory}/turnserver.conf", "--relay-threads=1"]
        command += ["--no-cli", "--no-rfc5780", "--no-multicast-peers", "--simple-log"]
        command += [f"--pidfile={directory}/pid", f"--userdb={directory}/users.sqlite"]
        command += ["--no-stdout-log", f"--log-file={directory}/log"]
        with _running("coturn", command, cpu, port, tls_port, directory) as server:
            yield server


@contextlib.contextmanager
def ours(
    cpu: int = 0,
    port: int = 44478,
    tls_port: int = 46349,
    plane: str = "",
    shares_ports: bool = False,
) -> Iterator[Server]:
    """
    This checkout's relay, under this interpreter, with the data plane that is asked for.

    Raises ServerDidNotStart where it runs another one: its figures would be those of another row.
    """
    with _directory(port, tls_port, 20000) as directory:
        if shares_ports:
            with (directory / "turnserver.conf").open("a") as settings:
                settings.write(SHARED_PORTS)
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", f"--logfile={directory}/log"]
        command += ["webrtc-suite", "--turn-config", f"{directory}/turnserver.conf"]
        with _running("ours", command, cpu, port, tls_port, directory, plane) as server:
            insist(plane, data_plane(server))
            yield replace(server, shares_ports=shares_ports)


@contextlib.contextmanager
def bare(cpu: int = 0, port: int = 45478, relay_port: int = 45479) -> Iterator[Server]:
    """What is no relay, but moves packets as one with a shared port would; see bare.c."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        directory = Path(name)
        command = [str(CHECKOUT / "benchmarks" / "bare"), str(port), str(relay_port)]
        with _running("bare", command, cpu, port, 0, directory) as server:
            yield replace(server, shares_ports=True)


@contextlib.contextmanager
def _directory(port: int, tls_port: int, first_port: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        directory = Path(name)
        _make_certificate(directory)
        ports = {"first_port": first_port, "last_port": first_port + 9999}
        text = CONFIGURATION.format(
            host=HOST, port=port, tls_port=tls_port, directory=name, **ports
        )
        (directory / "turnserver.conf").write_text(text)
        yield directory


def _make_certificate(directory: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost"]
    command += ["-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def _running(
    name: str,
    command: list[str],
    cpu: int,
    port: int,
    tls_port: int,
    directory: Path,
    plane: str = "",
) -> Iterator[Server]:
    output = directory / "output"
    with started(command, cpu, output, **asked_for(plane)) as process:
        _await_binding(process, port, [directory / "log", output])
        yield Server(name, process, port, tls_port, directory / "log")


@contextlib.contextmanager
def started(
    command: list[str], cpu: int, output: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one CPU, which ends when the block does; what it prints goes to a file."""
    with output.open("wb") as sink:
        process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force after ten seconds."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_binding(process: subprocess.Popen[bytes], port: int, logs: list[Path]) -> None:
    """Return when the server answers a Binding and its TLS port had a moment to open."""
    await_answer(process, (HOST, port), request(0), lambda data: answered(data) == 0, logs)
    time.sleep(0.5)


def await_answer(
    process: subprocess.Popen[bytes],
    address: tuple[str, int],
    question: bytes,
    is_answer: Callable[[bytes], bool],
    logs: list[Path],
) -> None:
    """Ask over UDP until there is an answer. Raises ServerDidNotStart."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect(address)
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError, TimeoutError):
                sock.send(question)
                if is_answer(sock.recv(2048)):
                    return
            time.sleep(0.05)
    text = "".join(log.read_text(errors="replace") for log in logs if log.exists())
    raise ServerDidNotStart(" / ".join(text.strip().splitlines()[-6:]) or "no output")


def asked_for(plane: str) -> dict[str, str]:
    """The environment that asks for a data plane; with "" it is as it was for us."""
    return {PLANE_VARIABLE: plane} if plane else {}


def insist(asked: str, runs: str) -> None:
    """Raises ServerDidNotStart where another data plane runs than the one asked for, if any."""
    if asked and asked != runs:
        raise ServerDidNotStart(f"the {asked} data plane was asked for; what runs is {runs}")


def data_plane(server: Server) -> str:
    """Which data plane our relay runs; its start log says so."""
    text = server.log.read_text(errors="replace") if server.log.exists() else ""
    return plane_that_runs(server.process.pid, text)


def plane_that_runs(pid: int, said: str) -> str:
    """
    Which data plane a process of ours runs: native, python, or words where that is in doubt.

    Who says native must have the native code in its memory as well.
    """
    plane = plane_in(said)
    if plane == NATIVE and not maps_native_code(pid):
        return "said to be native, without its code in memory"
    return plane


def plane_in(text: str) -> str:
    """Which data plane some output names; the first one counts."""
    found = re.search(r"data plane\W+(native|pure[ -]python)", text, re.IGNORECASE)
    if found is None:
        return "not stated"
    return NATIVE if found.group(1).lower() == NATIVE else PYTHON


def is_stale(folder: Path = CHECKOUT / "suite" / "datapath") -> bool:
    """Whether the native data plane was built before some of its sources were written."""
    built = [path.stat().st_mtime for path in folder.glob("_native*.so")]
    sources = [*folder.glob("_native.pyx"), *folder.glob("native/*")]
    return bool(built) and any(path.stat().st_mtime > max(built) for path in sources)


def stream_plane(server: Server, leg: str) -> str:
    """What moves the frames of clients over TCP or TLS, in the words of our start log."""
    return stream_plane_in(server.log.read_text(errors="replace"), leg)


def stream_plane_in(text: str, leg: str) -> str:
    """The same of some output; what it does not state is not native."""
    found = re.search(r"TURN over TCP: (?P<tcp>[^;\n]+); over TLS: (?P<tls>[^\n]+)", text)
    return found.group(leg).strip() if found else "not stated"


def maps_native_code(pid: int) -> bool:
    """Whether a process has the native data plane in its memory."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return "/suite/datapath/_native" in maps


def coturn_version() -> str:
    """What ``turnserver --version`` says, or a word for its absence."""
    if not shutil.which("turnserver"):
        return "absent"
    answer = subprocess.run(["turnserver", "--version"], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", answer.stdout + answer.stderr)
    return found.group() if found else "unknown"
