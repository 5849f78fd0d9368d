"""
The cable between desk and data centre with somebody at it, who sends in others' names.

What a browser says of DTLS, and what the gateway answers to its checks of ICE, waits until he has
had his say: the kernel drops it, he sees it before that, and passes it on himself. So it is no race
what comes first.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import TypeVar

from tests.namespaces import Namespace
from tests.programs import require_program
from tests.webrtc.network import DESK, SUITE, Network

_TTL = 77
"""Of what he sends; nobody else has this one."""
_DEVICE = "desk"
_IN = f"""table inet cable {{
chain in {{
type filter hook prerouting priority raw;
iifname "{_DEVICE}" ip saddr {DESK} udp dport != 443 @th,64,8 20-63 drop
}}
}}
"""
_OUT = f"""table inet cable {{
chain in {{
type filter hook prerouting priority raw;
ip saddr {SUITE} ip ttl != {_TTL} udp sport != 443 @th,64,16 0x0101 drop
}}
}}
"""
_ETHERNET, _IPV4, _UDP = 14, 20, 8
_ETH_P_ALL = 3
_LOOK_SECONDS = 0.1
_RELAY = 443

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Datagram:
    """One on the cable."""

    at: float
    source: Address
    target: Address
    data: bytes

    @property
    def is_browsers(self) -> bool:
        """Whether it goes to the data centre."""
        return self.source[0] == DESK

    @property
    def is_dtls(self) -> bool:
        """By its first byte (RFC 7983)."""
        return bool(self.data) and 20 <= self.data[0] <= 63

    @property
    def is_success(self) -> bool:
        """Whether it answers a check of ICE."""
        return self.data[:2] == b"\x01\x01"

    @property
    def is_held_answer(self) -> bool:
        """Whether it is the gateway's answer to one."""
        return self.is_success and not self.is_browsers


class Cable:
    """Passes on what waits; what else is done about it ``meet`` says."""

    def __init__(self) -> None:
        self.passed: list[Datagram] = []
        """What the two have said that was DTLS."""
        self.forged: list[Datagram] = []
        self._end = Event()
        self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._tap.bind((_DEVICE, _ETH_P_ALL))
        self._tap.settimeout(_LOOK_SECONDS)
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def meet(self, datagram: Datagram) -> None:
        """Take note of a datagram, before it gets to where it goes if it is one that waits."""
        self.pass_on(datagram)

    def pass_on(self, datagram: Datagram) -> None:
        """Let it go, if it waits."""
        if datagram.is_held_answer or (datagram.is_browsers and datagram.is_dtls):
            self._send(datagram.source, datagram.target, datagram.data)

    def forge(self, source: Address, target: Address, datagrams: Sequence[bytes]) -> None:
        """Send these in somebody's name."""
        for data in datagrams:
            self.forged.append(Datagram(time.monotonic(), source, target, data))
            self._send(source, target, data)

    def run(self) -> None:
        """Until ``stop``."""
        while not self._end.is_set():
            try:
                frame = self._tap.recv(65536)
            except TimeoutError:
                continue
            datagram = _datagram(frame)
            if datagram is None or _RELAY in (datagram.source[1], datagram.target[1]):
                continue
            if datagram.is_dtls:
                self.passed.append(datagram)
            self.meet(datagram)

    def stop(self) -> None:
        """End ``run``."""
        self._end.set()

    def close(self) -> None:
        """Be gone."""
        self._tap.close()
        self._raw.close()

    def _send(self, source: Address, target: Address, data: bytes) -> None:
        length = _UDP + len(data)
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
        # The kernel fills in lengths and checksum of IP; UDP over IPv4 may be without one.
        ip = struct.pack("!BBHHHBBH", 0x45, 0, _IPV4 + length, 0, 0, _TTL, socket.IPPROTO_UDP, 0)
        udp = struct.pack("!HHHH", source[1], target[1], length, 0)
        self._raw.sendto(ip + addresses + udp + data, (target[0], 0))


_AnyCable = TypeVar("_AnyCable", bound=Cable)


@contextmanager
def laid(network: Network, cable: _AnyCable) -> Iterator[_AnyCable]:
    """Have all go by it until the end of the block."""
    thread = Thread(target=cable.run, daemon=True)
    thread.start()
    try:
        with _filtered(network.centre, _IN), _filtered(network.desk, _OUT):
            yield cable
    finally:
        cable.stop()
        thread.join()
        cable.close()


@contextmanager
def _filtered(space: Namespace, rules: str) -> Iterator[None]:
    command = space.command(require_program("nft"), "-f", "-")
    subprocess.run(command, input=rules.encode(), check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(command, input=b"delete table inet cable\n", check=True, timeout=10)


def _datagram(frame: bytes) -> Datagram | None:
    """The UDP over IPv4 in an Ethernet frame."""
    if frame[12:14] != b"\x08\x00" or frame[_ETHERNET + 9] != socket.IPPROTO_UDP:
        return None
    if frame[_ETHERNET + 8] == _TTL:
        return None
    here, there = (socket.inet_ntoa(frame[at : at + 4]) for at in (_ETHERNET + 12, _ETHERNET + 16))
    at = _ETHERNET + (frame[_ETHERNET] & 0x0F) * 4
    source, target, length = struct.unpack_from("!HHH", frame, at)
    data = frame[at + _UDP : at + length]
    return Datagram(time.monotonic(), (here, source), (there, target), data)
