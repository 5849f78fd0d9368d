"""
Why an address could not be opened, and what to do about it, in one line each.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from twisted.internet.error import CannotListenError

from turn.five_tuple import Address

_PROC = Path("/proc")
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class BindFailure:
    """What is wrong, and a line that says how to allow it (empty where there is none)."""

    reason: str
    remedy: str = ""


def explain(error: BaseException, transport: str, address: Address) -> BindFailure:
    """Put an exception of a bind into words; ``transport`` is ``UDP`` or ``TCP``."""
    number = _errno(error)
    port = address[1]
    if number == errno.EACCES:
        return BindFailure("permission denied", _how_to_allow(port))
    if number == errno.EADDRINUSE:
        owner = port_owner(transport, port)
        return BindFailure(f"in use by {owner}" if owner else "in use by another process")
    if number == errno.EADDRNOTAVAIL:
        return BindFailure(f"this machine has no address {address[0]}")
    if number == errno.EMFILE:
        return BindFailure("no file descriptor is left", "raise LimitNOFILE or ulimit -n")
    return BindFailure(os.strerror(number) if number else str(error) or type(error).__name__)


def port_owner(transport: str, port: int, proc: Path = _PROC) -> str:
    """
    Who holds a local port, as ``name (process 123)``; empty if this user may not know.

    Reads /proc, which takes milliseconds: for a failure that is about to be told, not for polling.
    """
    inodes = set(_holders(proc / "net", transport, port))
    if not inodes:
        return ""
    for process in proc.iterdir():
        if process.name.isdigit() and not inodes.isdisjoint(_sockets(process)):
            return f"{_read(process / 'comm').strip()} (process {process.name})"
    return ""


def _errno(error: BaseException) -> int:
    if isinstance(error, CannotListenError) and isinstance(error.socketError, OSError):
        error = error.socketError
    return error.errno or 0 if isinstance(error, OSError) else 0


def _how_to_allow(port: int) -> str:
    python = Path(sys.executable).resolve()
    return (
        f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
        " (in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE;"
        f" for this Python alone: sudo setcap cap_net_bind_service=+ep {python})"
    )


def _holders(net: Path, transport: str, port: int) -> Iterator[str]:
    """The inodes of sockets on the port: /proc/net/tcp has them in the tenth column."""
    for name in (transport.lower(), f"{transport.lower()}6"):
        for line in _read(net / name).splitlines()[1:]:
            columns = line.split()
            _, _, local_port = columns[1].rpartition(":")
            taken = transport == "UDP" or columns[3] == _LISTENING
            if taken and int(local_port, 16) == port:
                yield f"socket:[{columns[9]}]"


def _sockets(process: Path) -> Iterator[str]:
    for entry in _entries(process / "fd"):
        # A descriptor may be closed between the listing and the look.
        yield _or_empty(partial(os.readlink, entry))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # Another user's process, or one that has just ended.
        return []


def _read(path: Path) -> str:
    return _or_empty(path.read_text)


def _or_empty(read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError:
        return ""
