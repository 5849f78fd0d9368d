"""
Networks of our own: a Linux network namespace whose loopback carries any address we like.

Inside one, an "internal" address of RFC 1918 and a "public" one are both this machine, so it can
be seen from outside what a relay lets through, and nothing leaves the machine. Sockets of a test
can be made in it by root only; programs can be run in one by anybody whom the kernel gives a user
namespace.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.programs import lack, require_program

CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


class Namespace:
    """One network namespace. ``command`` runs a program in it, ``inside`` makes sockets in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/run/netns", name)

    def command(self, *arguments: str) -> list[str]:
        """What to execute so that the program sees this network only; its pid is the child's."""
        return [require_program("ip"), "netns", "exec", self.name, *arguments]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets made by this thread in the meantime belong to the namespace, for good."""
        with Path("/proc/self/ns/net").open() as home, self.path.open() as away:
            _enter(away.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def may_make_namespaces() -> bool:
    """Whether this process has the rights to a network of its own."""
    return os.geteuid() == 0


@contextmanager
def network_namespace(
    addresses: Sequence[str], reachable: Sequence[str] = ()
) -> Iterator[Namespace]:
    """
    A namespace whose loopback is up and carries ``addresses``, each with its prefix length.

    Packets to ``reachable`` get to wildcard sockets too, though no interface has these addresses.

    Every address of such a prefix can be bound, and is deleted with the namespace.
    """
    space = Namespace(f"webrtc-suite-{os.getpid()}-{next(_numbers)}")
    _ip("netns", "add", space.name)
    try:
        _ip("-n", space.name, "link", "set", "lo", "up")
        for address in addresses:
            family = "-6" if ":" in address else "-4"
            options = ["nodad"] if family == "-6" else []
            _ip("-n", space.name, family, "address", "add", address, "dev", "lo", *options)
        for host in reachable:
            family = "-6" if ":" in host else "-4"
            _ip("-n", space.name, family, "route", "add", "local", host, "dev", "lo")
        yield space
    finally:
        _ip("netns", "delete", space.name)


class UserNamespace:
    """A network that belongs to an ordinary user, who is root in it. Only programs enter it."""

    def __init__(self, holder: int) -> None:
        self._holder = holder

    def command(self, *arguments: str) -> list[str]:
        """What to execute so that the program sees this network only."""
        enter = ["--preserve-credentials", "--user", "--net", "--target", str(self._holder)]
        return [require_program("nsenter"), *enter, *arguments]


@contextmanager
def program_namespace(addresses: Sequence[str]) -> Iterator[Namespace | UserNamespace]:
    """A namespace to run programs in, with ``addresses`` on its loopback; root or not."""
    if may_make_namespaces():
        with network_namespace(addresses) as space:
            yield space
        return
    # cat ends with its standard input, so nothing is left behind whatever becomes of us.
    holder = subprocess.Popen(
        [require_program("unshare"), "--map-root-user", "--net", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(b"here\n")
        holder.stdin.flush()
        lack(None if holder.stdout.readline() else "the kernel gives no user namespaces")
        own = UserNamespace(holder.pid)
        for options in (
            ["link", "set", "lo", "up"],
            *(["address", "add", a, "dev", "lo"] for a in addresses),
        ):
            subprocess.run(own.command("ip", *options), check=True, timeout=10)
        yield own
    finally:
        holder.communicate(timeout=10)


def _ip(*arguments: str) -> None:
    subprocess.run([require_program("ip"), *arguments], check=True, capture_output=True, timeout=10)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
