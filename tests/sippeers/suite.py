"""Our suite as it is installed, with a suite.conf of a test's making and nothing on but SIP."""

from __future__ import annotations

import os
import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from suite.cli import environment, twistd_command
from tests.peers import CHECKOUT, Place, free_port, judge_suite
from tests.programs import RunningProgram, running
from tests.sippeers.addresses import Endpoint, own_address

PASSWORD = "seeded-password-9d41"
"""Of every DN, toward the SIP Servers and for phones."""
USERS = ("2001", "2002", "2003")
ECHO = "7000-7099"
_PORTS_OF_MEDIA = 400


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a test wants of it; ``more`` has lines of suite.conf by section."""

    servers: Sequence[Endpoint] = ()
    at: Endpoint = field(default_factory=lambda: Endpoint(own_address()))
    transport: str = "udp"
    echo: str = ECHO
    """DNs that echo; single ones are registered from the start."""
    echo_answer: str = "at-once"
    web_port: int = 0
    """The pages are there, at this port of its address."""
    video: bool = False
    """SIPp's descriptions are fixed, and so is the number of media in their answers: one."""
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, folder: Path, status_port: int) -> str:
        """The whole suite.conf."""
        media = 10_000 + (hash(self.at.host) % 50) * _PORTS_OF_MEDIA
        proxies = ", ".join(str(one) for one in self.servers)
        sections = {
            "suite": [
                *self._pages(),
                "turn = false",
                "status-address = 127.0.0.1",
                f"status-port = {status_port}",
                f"state-directory = {folder}",
            ],
            "rsmp": [
                f"sip-address = {self.at.host}",
                f"sip-port = {self.at.port}",
                f"rtp-address = {self.at.host}",
                f"sip-rtp-min-port = {media}",
                f"sip-rtp-max-port = {media + _PORTS_OF_MEDIA - 1}",
                *([f"sip-proxy = {proxies}"] if proxies else []),
                *([] if self.video else ["sip-disallowed-codecs = (vp8,h264)"]),
                f"sip-register = 2000-2999, {self.echo}",
            ],
            "b2bua": [
                f"transport = {self.transport}",
                f"echo = {self.echo}",
                f"echo-answer = {self.echo_answer}",
                f"register-password = {PASSWORD}",
            ],
            "users": [f"{dn} = {PASSWORD}" for dn in USERS],
            "log": ["verbose = debug", "all = stdout"],
        }
        for name, lines in self.more.items():
            sections.setdefault(name, []).extend(lines)
        return "".join(
            f"[{name}]\n" + "".join(f"{line}\n" for line in lines)
            for name, lines in sections.items()
        )

    def _pages(self) -> list[str]:
        if not self.web_port:
            return ["web = false"]
        return [f"web-address = {self.at.host}", f"web-ports = {self.web_port}"]


class Suite:
    """One that runs."""

    def __init__(
        self, at: Endpoint, status_port: int, program: RunningProgram, folder: Path
    ) -> None:
        self.at = at
        self.authority = folder / "ca.pem"
        """Of the certificate that the pages show, where there are pages."""
        self.program = program
        self.is_stopping = False
        self.status_port = status_port

    def begin_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        self.is_stopping = True
        self.program.send_signal(signal.SIGTERM)

    def is_ready(self) -> bool:
        """Whether it says that it serves."""
        return self.get("/health/ready")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Ask the status pages; code 0 where nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.status_port}{path}", timeout=5
            ) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels; 0 where it was never counted."""
        return sum(self.metrics(name).values())

    def metrics(self, name: str) -> dict[str, float]:
        """A metric by its labels, as they are written: ``{transport="TLS"}``."""
        rows = (line.rsplit(" ", 1) for line in self.get("/metrics")[1].splitlines())
        found = (row for row in rows if len(row) == 2 and row[0].split("{")[0] == name)
        return {row[0].removeprefix(name): float(row[1]) for row in found}

    def until_said(self, words: str, timeout: float = 15) -> None:
        """Wait for a line of its log."""
        self.program.wait_for(lambda: words in self.program.log(), f"log line: {words}", timeout)


@contextmanager
def suite(config: Config) -> Iterator[Suite]:
    """Run it until the end of the block; a traceback or a secret in its log fails the test."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        status_port = free_port(Place())
        configuration = folder / "suite.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(config.text(folder, status_port))
        command = twistd_command(["--config", str(configuration)])
        own = {"HOME": name, "XDG_STATE_HOME": name}
        with running(
            command, folder / "log", {**environment(os.environ, CHECKOUT), **own}
        ) as program:
            one = Suite(config.at, status_port, program, folder)
            program.wait_for(one.is_ready, "ready")
            yield one
            if program.exit_code is not None and not one.is_stopping:
                raise AssertionError(f"the suite ended by itself:\n{program.log()}")
            judge_suite(program, program.stop(), (PASSWORD,))
