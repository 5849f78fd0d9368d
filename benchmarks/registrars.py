"""
Phones in front of our B2BUA, and two Kamailio behind it that share what is registered with them.

SIPp plays the phones. The Kamailio are those of the tests, each on an address of its own; whom one
of them has bound is asked of it as any phone asks: by a REGISTER without a Contact.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks import sipp
from benchmarks.load import LoadFailed
from benchmarks.servers import ServerDidNotStart, descendants
from benchmarks.sip_servers import OurServer
from benchmarks.sipp import Address, Outcome
from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.kamailio import REALM, Kamailio, Settings, kamailio, kamailio_pair

T = TypeVar("T")
PASSWORD = "bench-password"
PHONES = "127.0.0.2"
"""Where SIPp's phones are; those of one server behind one port."""
SWEEP_RATE = 500.0
"""Questions to a registrar per second."""
QUESTION = (
    "REGISTER sip:{host} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK-sweep-{serial}\r\n"
    "From: <sip:{dn}@{host}>;tag=sweep\r\n"
    "To: <sip:{dn}@{host}>\r\n"
    "Call-ID: sweep-{serial}@{own}\r\n"
    "CSeq: 1 REGISTER\r\n"
    "Max-Forwards: 70\r\n"
    "{more}"
    "Content-Length: 0\r\n\r\n"
)


@contextlib.contextmanager
def registrars(cpu: int, expires: int = 140) -> Iterator[tuple[Kamailio, Kamailio]]:
    """Two SIP Servers on one CPU, with a password. Raises ServerDidNotStart."""
    with _started(kamailio_pair(PASSWORD, expires)) as pair:
        for one in pair:
            pin(one, cpu)
        yield pair


@contextlib.contextmanager
def registrar(cpu: int) -> Iterator[Kamailio]:
    """One alone. Raises ServerDidNotStart."""
    settings = Settings(at=Endpoint(own_address()), password=PASSWORD)
    with _started(kamailio(settings)) as one:
        pin(one, cpu)
        yield one


@contextlib.contextmanager
def _started(rig: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """A rig of the tests says with an AssertionError that something did not start."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(rig)
        except AssertionError as error:
            raise ServerDidNotStart(str(error)[:300]) from error
        yield found


def pin(one: Kamailio, cpu: int) -> None:
    """Keep all processes of a Kamailio on one CPU."""
    for pid in descendants(one.program.pid):
        os.sched_setaffinity(pid, {cpu})


def address_of(one: Kamailio) -> Address:
    """Where it listens."""
    return one.at.host, one.at.port


def sign_in(target: Address, dns: Sequence[str], rate: float, cpu: int) -> Outcome:
    """A phone for each DN registers. Raises LoadFailed where one could not."""
    with tempfile.TemporaryDirectory(prefix="sip-bench-") as name:
        users = Path(name) / "users"
        sipp.users(users, dns, PASSWORD)
        found = sipp.registrations(target, (PHONES, target[1] + 5), rate, users, len(dns), cpu)
    if found.failed or found.succeeded < len(dns):
        raise LoadFailed(
            f"{len(dns) - found.succeeded} of {len(dns)} phones did not register: "
            + next(iter(found.errors.splitlines()[1:]), "no error was noted")[:200]
        )
    return found


def await_bound(
    server: OurServer, dns: int, seconds: float, pause: Callable[[float], None] = time.sleep
) -> None:
    """Return when so many DNs are bound at the SIP Servers. Raises LoadFailed."""
    deadline = time.monotonic() + seconds
    while (bound := server.metric("sgw_sip_registered_dns")) < dns:
        if time.monotonic() > deadline:
            raise LoadFailed(f"{bound:.0f} of {dns} DNs were bound after {seconds:.0f} s")
        pause(0.5)


# --- what a registrar has ------------------------------------------------------------------------


@dataclass(slots=True)
class Sweep:
    """Asks one registrar for the bindings of DNs."""

    registrar: Address
    _authorization: str = ""
    _serial: int = 0

    def bound(self, dns: Sequence[str]) -> set[str]:
        """Those of the DNs that it has a binding of. Raises LoadFailed where it says nothing."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.connect(self.registrar)
            return {dn for dn in dns if self._is_bound(sock, dn)}

    def _is_bound(self, sock: socket.socket, dn: str) -> bool:
        began = time.monotonic()
        text = self._ask(sock, dn)
        if text.startswith("SIP/2.0 401"):
            self._authorization = authorization(text, self.registrar[0])
            text = self._ask(sock, dn)
        if not text.startswith("SIP/2.0 200"):
            raise LoadFailed(f"the registrar said of {dn}: {text.splitlines()[0]}")
        time.sleep(max(0.0, began + 1 / SWEEP_RATE - time.monotonic()))
        return "\r\nContact: <" in text

    def _ask(self, sock: socket.socket, dn: str) -> str:
        own = "{}:{}".format(*sock.getsockname())
        self._serial += 1
        question = QUESTION.format(
            host=self.registrar[0], own=own, dn=dn, serial=self._serial, more=self._authorization
        )
        for wait in (0.5, 1.0, 2.0):
            sock.settimeout(wait)
            sock.send(question.encode())
            with contextlib.suppress(TimeoutError):
                while True:
                    text = sock.recv(4096).decode()
                    if f"\r\nCall-ID: sweep-{self._serial}@" in text:
                        return text
        raise LoadFailed(f"the registrar {self.registrar[0]} is silent")


def authorization(challenge: str, host: str, user: str = "sweep") -> str:
    """The header that answers a challenge to REGISTER without qop (RFC 2617)."""
    found = re.search(r'nonce="([^"]+)"', challenge)
    if found is None:
        raise LoadFailed("a challenge without a nonce")
    nonce = found.group(1)
    secret = _md5(f"{user}:{REALM}:{PASSWORD}")
    response = _md5(f"{secret}:{nonce}:{_md5(f'REGISTER:sip:{host}')}")
    return (
        f'Authorization: Digest username="{user}", realm="{REALM}", nonce="{nonce}", '
        f'uri="sip:{host}", response="{response}"\r\n'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
