"""
Debian's Kamailio as a SIP Server, alone or as one of a pair that shares its registrations.

Its configuration is kamailio.cfg beside this file. A number of the form 1PPPP is routed to port
PPPP of the server's own address, where SIPp plays whoever is called.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.programs import RunningProgram, require_program, running
from tests.sippeers.addresses import Endpoint, own_address

_TEMPLATE = Path(__file__).with_suffix(".cfg")
REALM = "kamailio.test"
_OPTIONS = (
    "OPTIONS sip:{to} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK-ready\r\n"
    "From: <sip:ready@{own}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: ready@{own}\r\n"
    "CSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one is configured."""

    at: Endpoint
    partner: str = ""
    """The address of the other one of the pair."""
    name: str = ""
    """The name of the pair, which it puts into Record-Route instead of its own address."""
    password: str = ""
    """REGISTER is challenged, and this is everybody's password."""
    certificate: tuple[Path, Path] | None = None
    """PEM files of its chain and key; with them it speaks TLS on port 5061."""
    trusted: Path | None = None
    """The CA of whoever connects, and of whom it connects to."""
    demands: bool = False
    """Nobody connects over TLS without a certificate."""
    expires: int = 140


class Kamailio:
    """One that runs, with all its processes."""

    def __init__(self, settings: Settings, program: RunningProgram) -> None:
        self.settings = settings
        self.program = program

    @property
    def at(self) -> Endpoint:
        """Where it listens on UDP and TCP."""
        return self.settings.at

    @property
    def tls_at(self) -> Endpoint:
        """Where it listens on TLS."""
        return self.at.at(5061)

    def freeze(self) -> None:
        """It is there and silent: its sockets take everything and nobody reads."""
        frozen: set[int] = set()
        # It answers before the last of its processes is there: none is left to make another.
        while new := {self.program.pid, *_descendants(self.program.pid)} - frozen:
            for pid in new:
                _kill(pid, signal.SIGSTOP)
            while not all(map(_is_stopped, new)):
                time.sleep(0.001)
            frozen |= new

    def thaw(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone at once: UDP is answered by ICMP, connections are reset."""
        self._signal(signal.SIGKILL)
        self.program.kill()

    def answers(self) -> bool:
        """Whether OPTIONS gets an answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.3)
            probe.bind(("127.0.0.1", 0))
            own = f"127.0.0.1:{probe.getsockname()[1]}"
            try:
                probe.sendto(
                    _OPTIONS.format(to=self.at, own=own).encode(), (self.at.host, self.at.port)
                )
                return probe.recv(4096).startswith(b"SIP/2.0 200")
            except OSError:
                return False

    def _signal(self, number: signal.Signals) -> None:
        # It forks a process per socket and some more; the first one is known to us, and
        # /proc knows whose children the others are.
        for pid in (*_descendants(self.program.pid), self.program.pid):
            _kill(pid, number)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        return []
    found = [int(child) for child in children.read_text().split()]
    return found + [one for child in found for one in _descendants(child)]


def _is_stopped(pid: int) -> bool:
    """Whether a process does nothing any more; one that has ended does nothing either."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "TtZX"


def _kill(pid: int, number: signal.Signals) -> None:
    # One that ended a moment ago, because its parent did, is as it should be.
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def kamailio(settings: Settings | None = None) -> Iterator[Kamailio]:
    """Start one and wait until it answers; without settings on an address of its own."""
    settings = settings or Settings(at=Endpoint(own_address()))
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        command = _command(settings, folder)
        with running(command, folder / "log") as program:
            one = Kamailio(settings, program)
            try:
                program.wait_for(one.answers, "ready")
                yield one
            finally:
                if program.exit_code is None:
                    one.kill()


@contextmanager
def kamailio_pair(
    password: str = "", expires: int = 140, name: str = ""
) -> Iterator[tuple[Kamailio, Kamailio]]:
    """Two that tell each other whatever is registered with one of them."""
    hosts = (own_address(), own_address())
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                kamailio(
                    Settings(
                        at=Endpoint(own),
                        partner=other,
                        name=name,
                        password=password,
                        expires=expires,
                    )
                )
            )
            for own, other in (hosts, hosts[::-1])
        )
        yield first, second


def _command(settings: Settings, folder: Path) -> Sequence[str]:
    configuration = folder / "kamailio.cfg"
    configuration.write_text(_configuration(settings, folder))
    if settings.certificate:
        (folder / "tls.cfg").write_text(_tls(settings, settings.certificate))
    defines = {
        "WITH_AUTH": bool(settings.password),
        "WITH_TLS": bool(settings.certificate),
        "WITH_PARTNER": bool(settings.partner),
        "WITH_NAME": bool(settings.name),
    }
    return [
        require_program("kamailio"),
        *("-f", str(configuration), "-DD", "-E", "-w", str(folder), "-Y", str(folder)),
        # Little memory, so that a start is quick.
        *("-m", "32", "-M", "4"),
        *(word for name, wanted in defines.items() if wanted for word in ("-A", name)),
    ]


def _configuration(settings: Settings, folder: Path) -> str:
    text = _TEMPLATE.read_text()
    for name, value in {
        "HOST": settings.at.host,
        "PORT": str(settings.at.port),
        "TLS_PORT": "5061",
        "FOLDER": str(folder),
        "PARTNER": settings.partner or "0.0.0.0",
        "NAME": settings.name,
        "REALM": REALM,
        "PASSWORD": settings.password,
        "EXPIRES": str(settings.expires),
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def _tls(settings: Settings, certificate: tuple[Path, Path]) -> str:
    chain, key = certificate
    trusted = settings.trusted
    required = "yes" if settings.demands else "no"
    own = f"private_key = {key}\ncertificate = {chain}\n"
    check = f"ca_list = {trusted}\nverify_certificate = yes\n" if trusted else ""
    # Whoever connects may show a certificate, or must; what is shown is verified.
    return (
        f"[server:default]\nmethod = TLSv1.2+\nrequire_certificate = {required}\n{own}{check}"
        f"[client:default]\nmethod = TLSv1.2+\n{own}{check}"
    )
