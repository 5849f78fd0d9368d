"""SIPp on both sides of a server: started, waited for, read."""

from __future__ import annotations

import contextlib
import csv
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import percentile
from benchmarks.load import LoadFailed

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
Address = tuple[str, int]
HOLD = 0.5
"""Seconds between ACK and BYE."""
ANSWER_LIMIT = 8.0
"""Seconds that SIPp waits for any one message before its call counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What SIPp made of one run."""

    offered: float
    calls: int
    succeeded: int
    failed: int
    retransmissions: int
    seconds: float
    delays: tuple[float, ...]
    """Milliseconds from INVITE to 200, in order."""
    errors: str = ""
    """What SIPp found unexpected, the beginning of it."""

    @property
    def is_clean(self) -> bool:
        """No call failed, and at most one message in 200 calls went out twice."""
        whole = self.succeeded == self.calls and not self.failed
        return whole and self.retransmissions <= self.calls / 200

    def delay(self, fraction: float) -> float:
        """A percentile of the delays, in milliseconds."""
        return percentile(self.delays, fraction)


def command(scenario: str, local: Address, options: dict[str, object], cpu: int) -> list[str]:
    """SIPp with one scenario, on one CPU, bound to one address."""
    host, port = local
    given = {"-sf": SCENARIOS / f"{scenario}.xml", "-i": host, "-p": port, "-t": "u1"}
    given |= {"-mi": host, "-buff_size": 8_000_000, **options}
    pairs = [text for name, value in given.items() for text in (name, str(value))]
    return ["taskset", "-c", str(cpu), "sipp", *pairs, "-nostdin", "-nd"]


def callee(local: Address, cpu: int = 1) -> AbstractContextManager[None]:
    """Whoever is called, until the block ends."""
    return playing("callee", local, {"-mp": 46000}, cpu)


def vanishing(
    target: Address, local: Address, rate: float, number: int, cpu: int = 1
) -> AbstractContextManager[None]:
    """So many callers of whom nothing is heard after the INVITE, until the block ends."""
    options: dict[str, object] = {"-s": "7001", "-mp": 48000, "-r": rate, "-m": number}
    return playing("vanishing", local, options | {"-l": number}, cpu, target)


@contextlib.contextmanager
def playing(
    scenario: str,
    local: Address,
    options: dict[str, object],
    cpu: int,
    target: Address | None = None,
) -> Iterator[None]:
    """One scenario, until the block ends."""
    to = [] if target is None else ["{}:{}".format(*target)]
    with tempfile.TemporaryDirectory(prefix="sipp-") as directory:
        process = subprocess.Popen(
            [*command(scenario, local, options, cpu), *to],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(0.3)
            if process.poll() is not None:
                raise LoadFailed(f"SIPp with {scenario} ended with status {process.returncode}")
            yield
        finally:
            process.kill()
            process.wait()


def calls(
    target: Address, local: Address, rate: float, number: int, *, hold: float = HOLD, cpu: int = 1
) -> Outcome:
    """So many calls at that rate through ``target``; returns when the last one has ended."""
    options: dict[str, object] = {"-s": "7001", "-d": round(1000 * hold), "-mp": 47000}
    return run("caller", target, local, rate, number, options, hold, cpu)


def registrations(
    target: Address, local: Address, rate: float, users: Path, number: int, cpu: int = 1
) -> Outcome:
    """So many phones of the file ``users`` register at that rate, each once with a challenge."""
    return run("phone", target, local, rate, number, {"-inf": users}, 0.0, cpu)


def run(
    scenario: str,
    target: Address,
    local: Address,
    rate: float,
    number: int,
    options: dict[str, object],
    hold: float,
    cpu: int,
) -> Outcome:
    """One scenario to its end."""
    limit = number / rate + hold + 30
    given: dict[str, object] = {
        "-r": rate,
        "-m": number,
        "-l": round(rate * (hold + ANSWER_LIMIT)) + 50,
    }
    given |= {"-recv_timeout": round(1000 * ANSWER_LIMIT), "-timeout": f"{limit:.0f}s", **options}
    given |= {"-fd": 1, "-rtt_freq": 1}
    with tempfile.TemporaryDirectory(prefix="sipp-") as directory:
        traces = ["-trace_stat", "-trace_rtt", "-trace_err"]
        began = time.monotonic()
        done = subprocess.run(
            [*command(scenario, local, given, cpu), *traces, "{}:{}".format(*target)],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit + 30,
            text=True,
        )
        seconds = time.monotonic() - began
        if done.returncode not in (0, 1):  # 1: a call failed, which the figures tell
            raise LoadFailed(f"SIPp ended with status {done.returncode}: {done.stderr[-300:]}")
        return outcome(Path(directory), rate, number, seconds)


def outcome(directory: Path, rate: float, number: int, seconds: float) -> Outcome:
    """Read the files that SIPp left behind."""
    statistics = [path for path in directory.glob("*_.csv")]
    rows = list(csv.DictReader(statistics[0].open(), delimiter=";")) if statistics else []
    if not rows:
        raise LoadFailed("SIPp left no statistics")
    last = rows[-1]
    errors = "".join(path.read_text(errors="replace") for path in directory.glob("*_errors.log"))
    return Outcome(
        offered=rate,
        calls=number,
        succeeded=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
        seconds=seconds,
        delays=tuple(sorted(_delays(directory))),
        errors=errors[:2000],
    )


def _delays(directory: Path) -> Iterator[float]:
    for path in directory.glob("*_rtt.csv"):
        for row in csv.reader(path.open(), delimiter=";"):
            if len(row) >= 3 and row[2].strip().strip('"') == "1":
                yield float(row[1])


def version() -> str:
    """What SIPp says of itself, or a word for its absence."""
    with contextlib.suppress(FileNotFoundError):
        said = subprocess.run(["sipp", "-v"], capture_output=True, text=True)
        words = (said.stdout + said.stderr).split()
        return next((word.strip(".v") for word in words if word.startswith("v3")), "unknown")
    return "absent"


def users(path: Path, numbers: Sequence[str], password: str) -> None:
    """Write the file of phones that ``registrations`` reads."""
    with path.open("w") as file:
        file.write("SEQUENTIAL\n")
        for number in numbers:
            file.write(f"{number};[authentication username={number} password={password}]\n")
