"""
Two networks joined by a cable: the data centre, with the suite and all that speaks SIP, and the
desk, with browsers.

A firewall can be put around the desk, so that only what it lets through reaches the data centre.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.programs import lack, require_program

SUITE = "198.51.100.1"
"""The address in the data centre that the desk reaches."""
NAME = socket.gethostname()
"""The suite's name at the desk."""
DESK = "198.51.100.2"
MOVED = "198.51.100.4"
"""Of the desk, after it has moved."""
PROXY = "198.51.100.3"
"""Another one in the data centre, for a proxy."""
SUITE_V6, DESK_V6 = "2001:db8:51::1", "2001:db8:51::2"
SERVER_V6 = "2001:db8:51::5"
"""Of a SIP Server in the data centre."""


@dataclass(frozen=True)
class Network:
    """Where things run. The thread that made it is in the data centre itself."""

    centre: Namespace
    desk: Namespace

    def at_the_desk(self, *arguments: str) -> list[str]:
        """What to execute so that a program runs at the desk."""
        return self.desk.command(*arguments)

    @contextmanager
    def firewall(self, *passes: str) -> Iterator[None]:
        """
        Let nothing leave the desk but what a rule of nftables ``passes``; the desk itself is free.

        Refused packets get no answer, as at most firewalls.
        """
        rules = [
            'oifname "lo" accept',
            "icmpv6 type {nd-neighbor-solicit, nd-neighbor-advert} accept",
        ]
        rules += [f"{each} accept" for each in passes]
        lines = ["type filter hook output priority 0; policy drop;", *rules]
        self._nft("table inet desk {\nchain out {\n" + "\n".join(lines) + "\n}\n}\n")
        try:
            yield
        finally:
            self._nft("delete table inet desk\n")

    @contextmanager
    def moved_desk(self) -> Iterator[None]:
        """The desk has another address, as after a change of networks; the old one is gone."""
        self._readdress(DESK, MOVED)
        try:
            yield
        finally:
            self._readdress(MOVED, DESK)

    def _readdress(self, old: str, new: str) -> None:
        _ip(self.desk, "address", "delete", f"{old}/24", "dev", "centre")
        _ip(self.desk, "address", "add", f"{new}/24", "dev", "centre")
        _ip(self.desk, "route", "replace", "default", "via", SUITE)

    def _nft(self, rules: str) -> None:
        command = self.desk.command(require_program("nft"), "-f", "-")
        done = subprocess.run(command, input=rules, text=True, capture_output=True, timeout=10)
        if done.returncode != 0:
            raise AssertionError(f"nft: {done.stderr}\n{rules}")


@contextmanager
def network() -> Iterator[Network]:
    """Make both, and be in the data centre until the end: all that is started here runs there."""
    lack(None if may_make_namespaces() else "only root can make two networks and join them")
    with network_namespace([]) as centre, network_namespace([]) as desk:
        joined = ["link", "add", "desk", "type", "veth", "peer", "name", "centre"]
        _ip(centre, *joined, "netns", desk.name)
        for space, device, hosts in (
            (centre, "desk", (SUITE, PROXY, SUITE_V6, SERVER_V6)),
            (desk, "centre", (DESK, DESK_V6)),
        ):
            for host in hosts:
                prefix = (
                    ["-6", "address", "add", f"{host}/64"]
                    if ":" in host
                    else [*("address", "add", f"{host}/24")]
                )
                _ip(space, *prefix, "dev", device, *(["nodad"] if ":" in host else []))
            # An address of the link's own is there a second after the others, and Chromium takes
            # that for a change of networks: it drops what it is loading.
            _ip(space, "link", "set", device, "addrgenmode", "none")
            _ip(space, "link", "set", device, "up")
        # A capture shows what left as one run (UDP GSO) as one packet, unless it is cut before.
        _ip(centre, "link", "set", "lo", "gso_max_segs", "1")
        # Browsers gather on the addresses that their default routes would use.
        _ip(desk, "route", "add", "default", "via", SUITE)
        _ip(desk, "-6", "route", "add", "default", "via", SUITE_V6)
        with names(desk), centre.inside():
            yield Network(centre, desk)


@contextmanager
def names(space: Namespace) -> Iterator[None]:
    """Let programs of the desk know the suite by its name, which stands in its certificate."""
    folder = Path("/etc/netns", space.name)
    folder.mkdir(parents=True)
    try:
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{SUITE} {NAME}\n")
        # Nobody is there: whoever asks for another name is refused at once.
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        yield
    finally:
        shutil.rmtree(folder)


def _ip(space: Namespace, *arguments: str) -> None:
    command = [require_program("ip"), "-n", space.name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
