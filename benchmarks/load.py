"""The load generators, started and read: turnload, garbage and the stall probe."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.servers import HOST, Server

HERE = Path(__file__).resolve().parent
Record = dict[str, float]
"""The figures of one JSON line; words and lists are dropped or unfolded."""

PERCENTILES = ("p50", "p99", "p999", "max")


class LoadFailed(Exception):
    """The generator could not do what it was told; the text says at which step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What turnload is told to do."""

    leg: str = "udp"
    mode: str = "echo"
    clients: int = 200
    size: int = 172
    rate: int = 10_000
    seconds: float = 3.0
    cpu: int = 0
    tick: int = 1000
    """Microseconds between two sendings."""
    shares_ports: bool = False
    """The server has a few relay ports for all: a peer gets packets from any of them."""
    options: tuple[str, ...] = ()

    def with_options(self, more: tuple[str, ...]) -> Traffic:
        """The same, with more options of turnload."""
        return replace(self, options=self.options + more)

    def at(self, rate: int, seconds: float) -> Traffic:
        """The same at another rate for another time."""
        return replace(self, rate=rate, seconds=seconds)

    def command(self, server: Server) -> list[str]:
        """The command line against ``server``."""
        port = server.tls_port if self.leg == "tls" else server.port
        pids = ",".join(map(str, server.pids()))
        options = {"-H": HOST, "-P": port, "-u": "user", "-w": "pass", "-p": pids}
        options |= {"-t": self.leg, "-m": self.mode, "-n": self.clients, "-s": self.size}
        options |= {"-r": self.rate, "-d": self.seconds, "-c": self.cpu, "-q": self.tick}
        pairs = [text for key, value in options.items() for text in (key, str(value))]
        shared = ["-M"] if self.shares_ports else []
        return [str(HERE / "turnload"), *pairs, *shared, *self.options]


def build() -> None:
    """Compile the generators where that is still to be done."""
    subprocess.run(["make", "-s", "-C", str(HERE)], check=True)


def figures(line: str) -> tuple[str, Record]:
    """The kind and the numbers of one JSON line; lists of four become name_p50 and so on."""
    fields = json.loads(line)
    found: Record = {}
    for name, value in fields.items():
        if isinstance(value, int | float):
            found[name] = float(value)
        elif isinstance(value, list):
            found |= {f"{name}_{p}": float(v) for p, v in zip(PERCENTILES, value, strict=False)}
    return str(fields["kind"]), found


def turnload(server: Server, traffic: Traffic) -> dict[str, Record]:
    """Run the traffic to its end; one record a phase (setup, run, release)."""
    return checked(*output(server, traffic, traffic.seconds + 60), traffic)


def search(
    server: Server, traffic: Traffic, lowest: int, highest: int
) -> tuple[list[Record], float]:
    """Each trial of a search for the highest rate with next to no loss; what was relayed then."""
    told = traffic.with_options(("-S", f"{lowest},{highest}"))
    text, errors = output(server, told, 20 * traffic.seconds + 120)
    found = checked(text, errors, traffic).get("max")
    if found is None:
        raise LoadFailed(f"turnload ended before its search did: {errors.strip()}")
    lines = (figures(line) for line in text.splitlines() if line.startswith("{"))
    trials = [record for kind, record in lines if kind.startswith("search")]
    return trials, found["max_relayed_pps"]


def output(server: Server, traffic: Traffic, limit: float) -> tuple[str, str]:
    """What turnload printed, and its complaints. Raises LoadFailed if it takes too long."""
    command = traffic.command(server)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"turnload did not end within {limit:.0f} s") from None
    return done.stdout, done.stderr


def checked(output: str, errors: str, traffic: Traffic) -> dict[str, Record]:
    """
    The records of a run in which every allocation was made and no packet went astray.

    Raises LoadFailed, also where relay ports were to be shared and are not: its figures would be
    those of another row.
    """
    records = dict(figures(line) for line in output.splitlines() if line.startswith("{"))
    setup = records.get("setup", {})
    if setup.get("ready", 0) < traffic.clients:
        reason = errors.strip() or f"last error {setup.get('last_error', 0):.0f}"
        made = f"{setup.get('ready', 0):.0f} of {traffic.clients}"
        raise LoadFailed(f"{made} allocations over {traffic.leg}: {reason}")
    if traffic.shares_ports and traffic.clients > 1 and setup["relay_ports"] >= setup["ready"]:
        raise LoadFailed(f"{setup['relay_ports']:.0f} relay ports, one for each allocation")
    run = records.get("run") or records.get("search")
    if run is not None and run["bad_chan"] + run["bad_src"] > 0:
        raise LoadFailed(
            f"{run['bad_chan'] + run['bad_src']:.0f} packets on a wrong channel or port"
        )
    return records


@contextlib.contextmanager
def background(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A generator that runs beside the block, is waited for, and is ended where it lingers."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def relaying(server: Server, traffic: Traffic, into: Record) -> Iterator[None]:
    """Traffic beside the block, from when it flows; the figures of the run go ``into``."""
    with background(traffic.command(server)) as process:
        assert process.stdout is not None
        setup = process.stdout.readline()
        time.sleep(1.0)  # turnload's own warm-up second
        yield
        output, errors = process.communicate(timeout=traffic.seconds + 60)
        into |= checked(setup + output, errors, traffic)["run"]


@contextlib.contextmanager
def flood(server: Server, rate: int, seconds: float, cpu: int, into: Record) -> Iterator[None]:
    """Garbage beside the block; the generator's figures go ``into``."""
    command = [str(HERE / "garbage"), "-H", HOST, "-P", str(server.port), "-c", str(cpu)]
    with background([*command, "-r", str(rate), "-d", str(seconds)]) as process:
        yield
        output, errors = process.communicate(timeout=seconds + 30)
        if process.returncode:
            raise LoadFailed(f"garbage: {errors.strip()}")
        into |= figures(output)[1]


def probe(port: int, seconds: float, cpu: int, ask: str = "stun") -> Record:
    """Bindings, or other questions of the stall probe, at 50 Hz for so long."""
    command = [sys.executable, str(HERE / "stall_probe.py"), "--host", HOST, "--ask", ask]
    command += ["--port", str(port), "--seconds", str(seconds), "--cpu", str(cpu)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode:
        raise LoadFailed(f"stall probe: {done.stderr.strip()}")
    return {name: float(value) for name, value in json.loads(done.stdout).items()}
