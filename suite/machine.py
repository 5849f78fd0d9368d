"""
What a configuration depends on outside of its files: addresses, folders, randomness.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import ifaddr

from suite.option_kinds import LOCALHOST

PROGRAM = "webrtc-suite"
COTURN_DATABASES = (
    Path("/usr/local/var/db/turndb"),
    Path("/var/db/turndb"),
    Path("/var/lib/turn/turndb"),
)
COTURN_FOLDERS = tuple(
    Path(folder)
    for folder in ("etc", "etc/turnserver", "etc/coturn", "/etc", "/etc/turnserver", "/etc/coturn")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """This machine and user, or the ones that a test makes up."""

    addresses: tuple[str, ...]
    """Addresses of all interfaces, link-local ones left out."""
    state_directory: Path
    """Where state goes unless the configuration names a folder."""
    random_secret: Callable[[], str]
    """Always the same while the process lives, so that a reload does not invalidate it."""
    user_databases: tuple[Path, ...] = ()
    """Where coTURN keeps its users."""
    certificate_folders: tuple[Path, ...] = ()
    """Where coTURN looks for files named without a folder."""

    toward: Callable[[str], str] = lambda host: ""
    """Which of our addresses packets to an address come from; empty where none leads there."""

    def expand(self, host: str) -> tuple[str, ...]:
        """The addresses that a word or an unspecified address stands for."""
        if host == LOCALHOST:
            return tuple(each for each in self.addresses if ip_address(each).is_loopback)
        if host in ("0.0.0.0", "::"):
            version = ip_address(host).version
            return tuple(each for each in self.addresses if ip_address(each).version == version)
        return (host,)


def this_machine() -> Machine:
    """The machine and the user that this process runs as."""
    return Machine(
        addresses=local_addresses(),
        state_directory=default_state_directory(os.environ, superuser=os.geteuid() == 0),
        random_secret=_secret_of_this_process,
        user_databases=COTURN_DATABASES,
        certificate_folders=COTURN_FOLDERS,
        toward=address_toward,
    )


def local_addresses() -> tuple[str, ...]:
    """Every address of this machine that needs no zone, IPv4 first."""
    texts = {
        address.ip if isinstance(address.ip, str) else address.ip[0]
        for adapter in ifaddr.get_adapters()
        for address in adapter.ips
    }
    found = sorted((ip_address(text) for text in texts), key=lambda a: (a.version, int(a)))
    return tuple(str(each) for each in found if not each.is_link_local)


def address_toward(host: str) -> str:
    """The address that packets to ``host``, an IP address, come from. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return ""  # No route, which may come with time.
        return str(probe.getsockname()[0])


def default_state_directory(variables: Mapping[str, str], *, superuser: bool) -> Path:
    """systemd's folder, else the system's for root, else the user's."""
    given = variables.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if superuser:
        return Path("/var/lib") / PROGRAM
    home = Path(variables.get("HOME") or "/")
    return Path(variables.get("XDG_STATE_HOME") or home / ".local" / "state") / PROGRAM


@cache
def _secret_of_this_process() -> str:
    return secrets.token_urlsafe(32)
