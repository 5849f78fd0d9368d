"""
SIPp: a caller, a callee or a whole SIP Server that follows a scenario to the letter.

A scenario is a file of ``scenarios/`` or the name of one that SIPp brings along. Those of ours are
SIPp's own XML with one abbreviation: ``{{name arguments}}`` stands for lines that `parts` has, so
that a file shows what its scenario is about. SIPp gets the whole text.

Each message that does not come, or comes and is not expected, fails the run, and the failure tells
SIPp's reason and all messages.
"""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs import RunningProgram, require_program, running
from tests.sippeers.addresses import Endpoint
from tests.sippeers.conversation import Conversation, parse_log
from tests.sippeers.parts import expand

SCENARIOS = Path(__file__).with_name("scenarios")
BUILT_IN = frozenset({"uac", "uas", "3pcc-C-A", "3pcc-C-B", "3pcc-A", "3pcc-B"})
TRANSPORTS = {"UDP": "u1", "TCP": "t1"}
_NO_CALLS = 99
_EXIT_CODES = {
    0: "all calls succeeded",
    1: "a call failed",
    97: "ended by its scenario",
    99: "no call was made",
    253: "it could not start: scenario or options",
    254: "its socket could not be bound",
    255: "fatal error",
}
_media_ports = itertools.cycle(range(6000, 9000, 10))


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one SIPp is told."""

    scenario: str
    at: Endpoint
    to: Endpoint | None = None
    service: str = "7001"
    """Who is called, and who a phone registers as."""
    own: str = "4711"
    """Who calls."""
    calls: int | None = 1
    """After which it ends; None: when it is told to."""
    rate: int = 10
    transport: str = "UDP"
    timeout: float = 15.0
    """Of the whole run."""
    patience: float = 6.0
    """With each single message, unless the scenario says otherwise."""
    password: str = "nobody's"
    """What a challenge to it is answered with; the user is ``service``."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Words in square brackets of the scenario."""
    hooks: Mapping[str, str] = field(default_factory=dict)
    """Steps for the places in a scenario that are marked ``{{hook NAME}}``; others stay empty."""
    twin: Endpoint | None = None
    """Where the two controllers of SIPp's third-party call control talk to each other."""
    options: Sequence[str] = ()

    def command(self, scenario: Sequence[str], directory: Path) -> list[str]:
        """How SIPp is started."""
        keys = [
            word
            for key, value in {"own": self.own, "expires": "300", **self.keys}.items()
            for word in ("-key", key, value)
        ]
        calls = [] if self.calls is None else ["-m", str(self.calls)]
        return [
            require_program("sipp"),
            *([str(self.to)] if self.to else []),
            *scenario,
            *("-nostdin", "-skip_rlimit", "-bind_local", "-t", TRANSPORTS[self.transport]),
            *("-i", self.at.host, "-p", str(self.at.port)),
            *("-ci", self.at.host, "-mi", self.at.host, "-mp", str(next(_media_ports))),
            *(
                "-s",
                self.service,
                "-ap",
                self.password,
                "-r",
                str(self.rate),
                "-deadcall_wait",
                "0",
            ),
            *("-trace_err", "-error_file", str(directory / "errors")),
            *("-trace_msg", "-message_file", str(directory / "messages")),
            *("-timeout", f"{self.timeout:.0f}s", "-timeout_error"),
            *("-recv_timeout", f"{self.patience * 1000:.0f}"),
            *calls,
            *(["-3pcc", str(self.twin)] if self.twin else []),
            *keys,
            *self.options,
        ]


class Sipp:
    """A SIPp that runs. ``finish`` waits for the end of its calls and judges them."""

    def __init__(self, run: Run, program: RunningProgram, directory: Path) -> None:
        self.run = run
        self.program = program
        self._directory = directory

    @property
    def conversation(self) -> Conversation:
        """All messages so far."""
        return parse_log(self._read("messages"))

    def wait_for(self, name: str, count: int = 1, timeout: float = 10) -> None:
        """Until it received ``count`` messages of that name, such as ``200 INVITE``."""
        self.program.wait_for(
            lambda: len(self.conversation.received(name)) >= count, f"{count} x {name}", timeout
        )

    def finish(self) -> Conversation:
        """Wait for its end; a failed call is a failure with everything that SIPp tells of it."""
        try:
            code = self.program.wait(self.run.timeout + 5)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._failure("it does not end")) from None
        return self._judge(code)

    def dismiss(self) -> Conversation:
        """End one that serves until it is told to: calls that run are finished first."""
        if self.program.exit_code is None:
            self.program.send_signal(signal.SIGUSR1)
        return self.finish()

    def _judge(self, code: int) -> Conversation:
        if code == 0 or (code == _NO_CALLS and self.run.calls is None):
            return self.conversation
        raise AssertionError(self._failure(_EXIT_CODES.get(code, f"exit code {code}")))

    def _failure(self, outcome: str) -> str:
        errors = self._read("errors").strip() or self.program.log()[-2000:]
        return (
            f"SIPp {self.run.scenario} at {self.run.at} to {self.run.to}: {outcome}\n"
            f"{errors[:3000]}\n{self.conversation.told()}"
        )

    def _read(self, name: str) -> str:
        path = self._directory / name
        # In binary: newline translation would change what was on the wire.
        return path.read_bytes().decode(errors="replace") if path.exists() else ""


@contextmanager
def sipp(run: Run) -> Iterator[Sipp]:
    """Start it; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        directory = Path(name)
        scenario = _scenario(run, directory)
        command = run.command(scenario, directory)
        with running(command, directory / "screen", {"TERM": "dumb", "LC_ALL": "C"}) as program:
            if run.to is None:
                program.wait_for(lambda: _listens(run.transport, run.at), "listening")
            if run.twin and run.scenario == "3pcc-C-B":
                twin = run.twin
                program.wait_for(lambda: _listens("TCP", twin), "open to its twin")
            yield Sipp(run, program, directory)


def _listens(transport: str, at: Endpoint) -> bool:
    """Seen in the kernel's list: a probe could take the port away from it."""
    is_six = ":" in at.host
    packed = socket.inet_pton(socket.AF_INET6 if is_six else socket.AF_INET, at.host)
    words = [packed[first : first + 4][::-1].hex() for first in range(0, len(packed), 4)]
    table = Path("/proc/net", transport.lower() + ("6" if is_six else "")).read_text()
    bound = ("".join(words).upper(), "0" * 8 * len(words))
    return any(f" {one}:{at.port:04X} {bound[1]}:0000 " in table for one in bound)


def play(run: Run) -> Conversation:
    """Run it to its end."""
    with sipp(run) as one:
        return one.finish()


def _scenario(run: Run, directory: Path) -> list[str]:
    if run.scenario in BUILT_IN:
        return ["-sn", run.scenario]
    path = directory / f"{run.scenario}.xml"
    path.write_text(expand((SCENARIOS / path.name).read_text(), run.hooks))
    return ["-sf", str(path)]
