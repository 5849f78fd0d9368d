"""
Our own suite as an install has it: relay and pages on port 443, with the certificate it made.

It runs in a network of its own, where port 443 is free and nothing reaches another machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.namespaces import program_namespace
from tests.programs import RunningProgram, require_program, running

CHECKOUT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "198.51.100.1"
SECRET = "seeded-page-secret-31d7"

CONFIGURATION = """\
[suite]
state-directory = {state}
web-ports = 443
status-port = 0
[turn]
listening-ip = {address}
listening-port = 443
tls-listening-port = 443
use-auth-secret
static-auth-secret = {secret}
"""


@dataclass(frozen=True)
class SuitePage:
    """A running suite."""

    folder: Path
    through: Sequence[str]
    """What to put before a command so that it runs in the suite's network."""
    program: RunningProgram

    url = f"https://{ADDRESS}/"

    @property
    def authority(self) -> Path:
        """The PEM that the install made for those who are to trust it."""
        return self.folder / "state" / "ca.pem"


@contextmanager
def suite_page() -> Iterator[SuitePage]:
    """Run the suite; at the end its log must hold no traceback and no secret."""
    with (
        tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name,
        program_namespace([f"{ADDRESS}/32"]) as space,
    ):
        # Chromium gathers on the address that its default route would use.
        route = space.command(require_program("ip"), "route", "add", "default", "dev", "lo")
        subprocess.run(route, check=True)
        folder = Path(name)
        configuration = folder / "suite.conf"
        configuration.write_text(
            CONFIGURATION.format(state=folder / "state", address=ADDRESS, secret=SECRET)
        )
        configuration.chmod(0o600)
        twistd = Path(sys.executable).with_name("twistd")
        command = [str(twistd), "--nodaemon", "--pidfile=", "webrtc-suite"]
        environment = {"PYTHONPATH": str(CHECKOUT), "HOME": name}
        with running(
            space.command(*command, "--config", str(configuration)), folder / "log", environment
        ) as program:
            program.wait_for(lambda: "is running" in program.log(), "ready")
            yield SuitePage(folder, space.command(), program)
            program.stop()
        judge(program.log())


def judge(log: str) -> None:
    """Fail for what a log must never hold."""
    for fault in ("Traceback", SECRET):
        if fault in log:
            raise AssertionError(f"{fault} in the log:\n{log}")
