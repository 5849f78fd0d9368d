"""
Relays and their clients as real processes: ours, Debian's coturn, and coturn's own tools.

Ours and coturn start from the same ``turnserver.conf``, so a test can be put to both::

    for kind in (SuiteProcess, Coturn):
        with kind.started() as relay:
            uclient(relay, "-X", "-c")
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.certificates import write_certificate
from tests.namespaces import Namespace
from tests.programs import RunningProgram, require_program, running

CHECKOUT = Path(__file__).resolve().parent.parent
USER = "interop-user"
PASSWORD = "seeded-password-4f81"
OTHER_USER = "second-user"
OTHER_PASSWORD = "seeded-password-b307"
SECRET = "seeded-secret-9c20"
REALM = "interop.test"
SEEDED_SECRETS = (PASSWORD, OTHER_PASSWORD, SECRET)

# A Binding request; whoever answers it, even with an error, serves.
_BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"readyprobe12"
# Below what the kernel itself hands out (ip_local_port_range).
_LISTENERS = range(20_000, 24_000)
_RELAYS = range(24_000, 32_000)
_RELAYS_EACH = 400


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a relay is to run: its network, and the addresses it listens and relays on."""

    addresses: tuple[str, ...] = ("127.0.0.1",)
    namespace: Namespace | None = None

    def command(self, *arguments: str) -> list[str]:
        """How a program is started there."""
        return self.namespace.command(*arguments) if self.namespace else list(arguments)

    def socket(self, kind: socket.SocketKind, host: str) -> socket.socket:
        """An unbound socket there, of the family of ``host``."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with self.namespace.inside() if self.namespace else nullcontext():
            return socket.socket(family, kind)


def free_port(place: Place) -> int:
    """A port that is free for UDP and TCP on all addresses of ``place``."""
    for port in random.sample(_LISTENERS, 100):
        with ExitStack() as held:
            try:
                for host in place.addresses:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        held.enter_context(place.socket(kind, host)).bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port of the tests' range is free")


@dataclass(kw_only=True)
class RelayProcess:
    """A relay that runs and answers. Make one with ``started``."""

    place: Place
    port: int
    tls_port: int
    min_port: int
    directory: Path
    program: RunningProgram = field(init=False)

    @property
    def host(self) -> str:
        """The first address it listens on."""
        return self.place.addresses[0]

    @property
    def max_port(self) -> int:
        """The last port of its relays; `min_port` is the first."""
        return self.min_port + _RELAYS_EACH - 1

    @property
    def ca_file(self) -> Path:
        """What its TLS certificate can be verified with."""
        return self.directory / "cert.pem"

    @classmethod
    @contextmanager
    def started(
        cls, options: Sequence[str] = (), *, place: Place | None = None, rest: bool = False
    ) -> Iterator[Self]:
        """
        A relay with the common configuration and ``options``, lines of turnserver.conf, added.

        ``rest`` makes it take REST credentials of SECRET instead of USER and PASSWORD. At the end
        it is asked to stop, and whatever `judge` minds fails the test.
        """
        place = place or Place()
        with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
            first = random.randrange(_RELAYS.start, _RELAYS.stop, _RELAYS_EACH)
            port = free_port(place)
            relay = cls(
                place=place,
                port=port,
                tls_port=_another(place, port),
                min_port=first,
                directory=Path(name),
            )
            write_certificate(relay.directory, place.addresses)
            configuration = relay.directory / "turnserver.conf"
            configuration.touch(mode=0o600)
            configuration.write_text(relay.configuration(options, rest=rest))
            with running(
                place.command(*relay.command(configuration)),
                relay.directory / "log.txt",
                relay.environment(),
            ) as program:
                relay.program = program
                program.wait_for(relay.answers, "ready")
                yield relay
                relay.judge(program.stop())

    def configuration(self, options: Sequence[str], *, rest: bool) -> str:
        """The whole of its turnserver.conf."""
        credentials = (
            ["use-auth-secret", f"static-auth-secret={SECRET}"]
            if rest
            else [
                "lt-cred-mech",
                f"user={USER}:{PASSWORD}",
                f"user={OTHER_USER}:{OTHER_PASSWORD}",
            ]
        )
        lines = [
            *(f"listening-ip={host}" for host in self.place.addresses),
            *(f"relay-ip={host}" for host in self.place.addresses),
            f"listening-port={self.port}",
            f"tls-listening-port={self.tls_port}",
            f"min-port={self.min_port}",
            f"max-port={self.max_port}",
            f"realm={REALM}",
            *credentials,
            f"cert={self.directory / 'cert.pem'}",
            f"pkey={self.directory / 'key.pem'}",
            "log-file=stdout",
            "simple-log",
            "verbose",
            "no-cli",
            "no-dtls",
            "no-rfc5780",
            *options,
        ]
        return "".join(f"{line}\n" for line in lines)

    def command(self, configuration: Path) -> list[str]:
        """What to execute."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What its environment has beside ours."""
        return {}

    def judge(self, exit_code: int) -> None:
        """Fail for what no test may leave behind, now that it has stopped."""

    def answers(self) -> bool:
        """Whether a datagram on every address and a connection on both ports are served."""
        return all(
            self._answers_udp(host)
            and self._accepts(host, self.port)
            and self._accepts(host, self.tls_port)
            for host in self.place.addresses
        )

    def _answers_udp(self, host: str) -> bool:
        with self.place.socket(socket.SOCK_DGRAM, host) as probe:
            probe.settimeout(0.2)
            try:
                probe.connect((host, self.port))
                probe.send(_BINDING)
                return bool(probe.recv(2048))
            except OSError:
                return False

    def _accepts(self, host: str, port: int) -> bool:
        with self.place.socket(socket.SOCK_STREAM, host) as probe:
            probe.settimeout(1)
            return probe.connect_ex((host, port)) == 0


def _another(place: Place, port: int) -> int:
    while (other := free_port(place)) == port:
        pass
    return other


class SuiteProcess(RelayProcess):
    """Our suite from this checkout, run by twistd with a turnserver.conf."""

    def command(self, configuration: Path) -> list[str]:
        twistd = Path(sys.executable).with_name("twistd")
        pid_file = self.directory / "twistd.pid"
        return [
            str(twistd),
            "--nodaemon",
            f"--pidfile={pid_file}",
            "webrtc-suite",
            f"--turn-config={configuration}",
        ]

    def environment(self) -> Mapping[str, str]:
        own = str(self.directory)
        return {"PYTHONPATH": str(CHECKOUT), "HOME": own, "XDG_STATE_HOME": own}

    def judge(self, exit_code: int) -> None:
        judge_suite(self.program, exit_code, SEEDED_SECRETS)


def judge_suite(program: RunningProgram, exit_code: int, secrets: Sequence[str]) -> None:
    """Fail for a fault of ours or a secret in the log, or an end that was not orderly."""
    log = program.log()
    for fault in ("Traceback", "could not be handled"):
        if fault in log:
            raise AssertionError(f"{fault}:\n{log}")
    for secret in secrets:
        if secret in log:
            raise AssertionError(f"the log tells the secret {secret}:\n{log}")
    # twistd ends itself by the signal that it was given, once all is stopped.
    if exit_code not in (0, -signal.SIGTERM):
        raise AssertionError(f"exit code {exit_code} after SIGTERM:\n{log}")


class Coturn(RelayProcess):
    """Debian's turnserver."""

    def command(self, configuration: Path) -> list[str]:
        return [
            require_program("turnserver"),
            *["-c", str(configuration)],
            # Files that it would make elsewhere.
            f"--userdb={self.directory / 'userdb.sqlite'}",
            f"--pidfile={self.directory / 'turnserver.pid'}",
        ]


@contextmanager
def turn_peer(host: str = "127.0.0.1", place: Place | None = None) -> Iterator[int]:
    """coturn's own UDP echo peer; gives its port."""
    place = place or Place(addresses=(host,))
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        port = free_port(place)
        command = [require_program("turnutils_peer"), "-L", host, "-p", str(port)]
        with running(place.command(*command), Path(name) / "log.txt") as program:
            program.wait_for(lambda: _is_bound(place, host, port), "bound")
            yield port


def _is_bound(place: Place, host: str, port: int) -> bool:
    with place.socket(socket.SOCK_DGRAM, host) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def run_tool(
    place: Place, name: str, *arguments: str, timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run one of coturn's tools to its end; running into ``timeout`` is exit code 124."""
    command = place.command(require_program(name), *arguments)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if late.stdout else ""
        return subprocess.CompletedProcess(command, 124, output)
