"""
Two networks with the suite between them, and every packet on both cables.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.programs import lack, require_program

PUBLIC, OUTSIDE = "198.51.100.1", "198.51.100.2"
PRIVATE, INSIDE = "10.20.0.1", "10.20.0.21"
_ALL_FRAMES = 0x0003
_IPV4 = 0x0800
_TCP, _UDP = 6, 17


@dataclass(frozen=True)
class Seen:
    """A packet of TCP or UDP on a cable."""

    protocol: str
    source: tuple[str, int]
    target: tuple[str, int]

    def of(self, host: str) -> tuple[str, int] | None:
        """The end of it that ``host`` has, with its port; None if it has neither."""
        return next((each for each in (self.source, self.target) if each[0] == host), None)


@dataclass
class Cable:
    """What goes over one interface of the suite's network, both ways."""

    packets: list[Seen] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """IPv4 of other protocols than TCP, UDP and ICMP."""

    def listen(self, device: str) -> socket.socket:
        """Take down all packets until the socket is closed."""
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
        raw.bind((device, 0))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        threading.Thread(target=self._read, args=(raw,), daemon=True).start()
        return raw

    def _read(self, raw: socket.socket) -> None:
        try:
            while True:
                self._take(raw.recv(2048))
        except OSError:
            return

    def _take(self, frame: bytes) -> None:
        if len(frame) < 34 or int.from_bytes(frame[12:14], "big") != _IPV4:
            return
        length = 4 * (frame[14] & 0x0F)
        source, target = (socket.inet_ntoa(frame[at : at + 4]) for at in (26, 30))
        protocol = {_TCP: "TCP", _UDP: "UDP"}.get(frame[23])
        if protocol is None:
            if frame[23] != 1:
                self.strange.append(f"protocol {frame[23]} {source} to {target}")
            return
        ports = struct.unpack_from("!HH", frame, 14 + length)
        self.packets.append(Seen(protocol, (source, ports[0]), (target, ports[1])))


@dataclass(frozen=True)
class Between:
    """The suite's network, and those on both sides of it."""

    suite: Namespace
    outside: Namespace
    inside: Namespace
    out_cable: Cable
    in_cable: Cable


@contextmanager
def between() -> Iterator[Between]:
    """Make the three networks, joined by two cables that are listened to."""
    lack(None if may_make_namespaces() else "only root can make networks and join them")
    with ExitStack() as stack:
        suite, outside, inside = (stack.enter_context(network_namespace([])) for _ in range(3))
        _join(suite, "out", PUBLIC, outside, OUTSIDE)
        _join(suite, "in", PRIVATE, inside, INSIDE)
        # Whoever is outside is the rest of the world.
        _ip(suite, "route", "add", "default", "via", OUTSIDE)
        for space, over in ((outside, PUBLIC), (inside, PRIVATE)):
            _ip(space, "route", "add", "default", "via", over)
        cables = Cable(), Cable()
        with suite.inside():
            for cable, device in zip(cables, ("out", "in"), strict=True):
                stack.callback(cable.listen(device).close)
        yield Between(suite, outside, inside, *cables)


def _join(suite: Namespace, device: str, host: str, other: Namespace, far: str) -> None:
    _ip(suite, *f"link add {device} type veth peer name cable netns {other.name}".split())
    for space, name, address in ((suite, device, host), (other, "cable", far)):
        _ip(space, "address", "add", f"{address}/24", "dev", name)
        _ip(space, "link", "set", name, "up")


def _ip(space: Namespace, *arguments: str) -> None:
    command = [require_program("ip"), "-n", space.name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
