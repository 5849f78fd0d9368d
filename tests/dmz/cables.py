"""
Two networks with the suite between them, and every frame on both cables and on its loopback.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.programs import lack, require_program

PUBLIC, OUTSIDE = "198.51.100.1", "198.51.100.2"
PRIVATE, INSIDE = "10.20.0.1", "10.20.0.21"
PUBLIC_V6, OUTSIDE_V6 = "2001:db8:51::1", "2001:db8:51::2"
PRIVATE_V6, INSIDE_V6 = "2001:db8:20::1", "2001:db8:20::21"
"""Nobody serves on IPv6, though it is there."""
Address = tuple[str, int]
_ALL_FRAMES = 0x0003
_SOL_PACKET, _STATISTICS = 263, 6
"""The socket module does not name them (linux/if_packet.h)."""
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_HOP_BY_HOP, _ICMP, _ICMP_V6 = 0, 1, 58
_NAMES = {6: "TCP", 17: "UDP"}
_ERRORS = {_ICMP: {3, 11, 12}, _ICMP_V6: {1, 2, 3, 4}}
KERNELS_OWN = {
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    143: "multicast listener report, version 2",
}
"""What ICMPv6 the kernel sends for itself, by type; of IPv4 it is ARP."""


@dataclass(frozen=True)
class Seen:
    """A packet of TCP or UDP on a cable, or an ICMP error about one: that is the flow's own."""

    protocol: str
    source: Address
    target: Address

    @property
    def back(self) -> Seen:
        """The same the other way."""
        return Seen(self.protocol, self.target, self.source)

    def of(self, host: str) -> Address | None:
        """The end of it that ``host`` has, with its port; None if it has neither."""
        return next((each for each in (self.source, self.target) if each[0] == host), None)


@dataclass
class Cable:
    """What goes over one interface of the suite's network, both ways."""

    packets: list[Seen] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """Frames of anything else, unless the kernel sends them for itself."""
    _taken: int = 0
    _counted: int = 0

    @contextmanager
    def listening(self, device: str) -> Iterator[None]:
        """Take down all frames until the end of the block."""
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
        wake, sleeper = socket.socketpair()
        reader = threading.Thread(target=self._read, args=(raw, sleeper), daemon=True)
        with raw, wake, sleeper:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
            raw.bind((device, 0))
            self._raw = raw
            reader.start()
            try:
                yield
            finally:
                # Closed under it, the next socket of that number would lose a frame to it.
                wake.close()
                reader.join()

    def settle(self) -> None:
        """Wait until all that went over it has been looked at; what was lost fails the test."""
        deadline = time.monotonic() + 10
        while True:
            counted, lost = struct.unpack("II", self._raw.getsockopt(_SOL_PACKET, _STATISTICS, 8))
            self._counted += counted
            if lost:
                raise AssertionError(f"{lost} frames were not captured")
            if self._taken >= self._counted:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self._counted - self._taken} frames wait to be looked at")
            time.sleep(0.01)

    def _read(self, raw: socket.socket, sleeper: socket.socket) -> None:
        while sleeper not in select.select([raw, sleeper], [], [])[0]:
            frame = raw.recv(2048)
            try:
                self._take(frame)
            except (ValueError, IndexError, struct.error):
                self.strange.append(f"cannot be read: {frame.hex()}")
            self._taken += 1

    def _take(self, frame: bytes) -> None:
        (kind,) = struct.unpack_from("!H", frame, 12)
        if kind in (_IPV4, _IPV6):
            self._take_packet(frame[14:])
        elif kind != _ARP:
            self.strange.append(f"EtherType {kind:04x}: {frame.hex()}")

    def _take_packet(self, packet: bytes) -> None:
        source, target, number, rest = opened(packet)
        what = f"{source} to {target}"
        if number in _NAMES:
            ports = struct.unpack_from("!HH", rest)
            self.packets.append(Seen(_NAMES[number], (source, ports[0]), (target, ports[1])))
        elif rest[0] in _ERRORS.get(number, ()):
            self._take_error(rest[8:], what)
        elif number != _ICMP_V6 or rest[0] not in KERNELS_OWN:
            self.strange.append(f"protocol {number}, {rest[0]}: {what}")

    def _take_error(self, about: bytes, what: str) -> None:
        source, target, number, rest = opened(about)
        if number not in _NAMES:
            self.strange.append(f"ICMP about protocol {number}: {what}")
            return
        ports = struct.unpack_from("!HH", rest)
        # It goes back where the packet came from.
        self.packets.append(Seen(_NAMES[number], (target, ports[1]), (source, ports[0])))


def opened(packet: bytes) -> tuple[str, str, int, bytes]:
    """A packet of IP: source, target, protocol, and what is in it."""
    if packet[0] >> 4 == 4:
        length = 4 * (packet[0] & 0x0F)
        hosts = (str(ipaddress.IPv4Address(packet[at : at + 4])) for at in (12, 16))
        return *hosts, packet[9], packet[length:]  # type: ignore[return-value]
    hosts = (str(ipaddress.IPv6Address(packet[at : at + 16])) for at in (8, 24))
    number, rest = packet[6], packet[40:]
    if number == _HOP_BY_HOP:
        number, rest = rest[0], rest[8 * (rest[1] + 1) :]
    return *hosts, number, rest  # type: ignore[return-value]


@dataclass(frozen=True)
class Between:
    """The suite's network, and those on both sides of it."""

    suite: Namespace
    outside: Namespace
    inside: Namespace
    out_cable: Cable
    in_cable: Cable
    loopback: Cable
    """What the suite sends to itself."""

    def settle(self) -> None:
        """Wait until every frame has been looked at."""
        for cable in (self.out_cable, self.in_cable, self.loopback):
            cable.settle()


@contextmanager
def between() -> Iterator[Between]:
    """Make the three networks, joined by two cables that are listened to."""
    lack(None if may_make_namespaces() else "only root can make networks and join them")
    with ExitStack() as stack:
        suite, outside, inside = (stack.enter_context(network_namespace([])) for _ in range(3))
        cables = Cable(), Cable(), Cable()
        with suite.inside():
            stack.enter_context(cables[2].listening("lo"))
        _join(suite, "out", (PUBLIC, PUBLIC_V6), outside, (OUTSIDE, OUTSIDE_V6))
        _join(suite, "in", (PRIVATE, PRIVATE_V6), inside, (INSIDE, INSIDE_V6))
        with suite.inside():
            for cable, device in zip(cables, ("out", "in"), strict=False):
                stack.enter_context(cable.listening(device))
        for space in (suite, outside, inside):
            _answer_at_once(space)
        # Whoever is outside is the rest of the world.
        _ip(suite, "route", "add", "default", "via", OUTSIDE)
        for space, over in ((outside, PUBLIC), (inside, PRIVATE)):
            _ip(space, "route", "add", "default", "via", over)
        yield Between(suite, outside, inside, *cables)


def _join(
    suite: Namespace,
    device: str,
    hosts: tuple[str, str],
    other: Namespace,
    far: tuple[str, str],
) -> None:
    _ip(suite, *f"link add {device} type veth peer name cable netns {other.name}".split())
    for space, name, (four, six) in ((suite, device, hosts), (other, "cable", far)):
        _ip(space, "address", "add", f"{four}/24", "dev", name)
        _ip(space, "-6", "address", "add", f"{six}/64", "dev", name, "nodad")
        # An address of the link's own is there a second after the others, and Chromium takes
        # that for a change of networks: it drops what it is loading.
        _ip(space, "link", "set", name, "addrgenmode", "none")
        _ip(space, "link", "set", name, "up")


def _answer_at_once(space: Namespace) -> None:
    """Let closed doors be told of however many there are: the kernel saves on such answers."""
    with space.inside():
        for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
            Path("/proc/sys/net", name).write_text("0")


def _ip(space: Namespace, *arguments: str) -> None:
    command = [require_program("ip"), "-n", space.name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
