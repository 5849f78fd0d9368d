"""A media plane between two phones: real sockets of the loopback interface, and a rigged clock."""

from __future__ import annotations

import os
import select
import socket
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import Address, StreamTerms
from b2bua.rtp.packet import Packet, build, parse
from b2bua.rtp.rtcp import (
    RtcpPacket,
    build_compound,
    parse_compound,
)
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from suite.datapath.media import TwinMediaPlane
from suite.datapath.media_end import PACKETS_PER_SOCKET
from suite.datapath.media_trace import MediaTrace
from suite.datapath.polled import PACKETS_PER_WAKE_UP
from tests.datapath.test_twin import ReactorStandIn

if TYPE_CHECKING:
    from suite.datapath.native_core import NativeCore
    from suite.datapath.native_media import NativeMediaPlane

# An address for each process, so that runs beside each other do not meet on one port.
LOOPBACK = f"127.83.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
OTHER_HOST = "127.0.0.2"
PCMU = {0: 0}
RATES = {0: 8000}
LONGEST_FIRST_INTERVAL = 3.1
LONGEST_INTERVAL = 6.2


Plane: TypeAlias = "TwinMediaPlane | NativeMediaPlane"


# They are imported where they are made, because they may not have been built.


def native_core(reactor: Any) -> NativeCore:
    """One that the reactor wakes, with its clock."""
    from suite.datapath.native_core import NativeCore

    return NativeCore(reactor, reactor.seconds)


def native_plane(reactor: Any, clock: Any, *values: Any, **more: Any) -> NativeMediaPlane:
    """One with a core of its own."""
    from suite.datapath.native_core import NativeCore
    from suite.datapath.native_media import NativeMediaPlane

    return NativeMediaPlane(NativeCore(reactor, clock.seconds), clock, *values, **more)


class Phone:
    """The peer of one end: an RTP socket and an RTCP socket beside it."""

    def __init__(self, host: str, ssrc: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.rtp = socket.socket(family, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(family, socket.SOCK_DGRAM)
        for sock in (self.rtp, self.rtcp):
            sock.bind((host, 0))
            sock.settimeout(5)
        self.ssrc = ssrc
        self.sequence = 0

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    def packet(self, payload: bytes = b"sound", number: int = 0, **more: object) -> bytes:
        """The next packet, 20 ms after the one before."""
        self.sequence += 1
        values: dict[str, object] = {
            "payload_type": number,
            "sequence": self.sequence & 0xFFFF,
            "timestamp": 160 * self.sequence,
            "ssrc": self.ssrc,
            "payload": payload,
        }
        return build(Packet(**(values | more)))  # type: ignore[arg-type]


def address(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return (host, port)


class MediaTestCase(SynchronousTestCase):
    """A plane between two phones on the loopback interface."""

    host = LOOPBACK
    first_port, last_port = 22000, 22399
    native = False
    budget = PACKETS_PER_WAKE_UP
    """Packets of one wake-up."""
    share = PACKETS_PER_SOCKET
    """Packets of one socket before others have their turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.reactor = ReactorStandIn()
        self.planes: list[Plane] = []
        self.addCleanup(self.shut_down)
        self.plane = self.make_plane()
        self.near, self.far = self.phone(0xAAAA), self.phone(0xBBBB)

    def make_plane(self, *, trace: MediaTrace | None = None, **settings: object) -> Plane:
        values: dict[str, object] = {
            "host": self.host,
            "first_port": self.first_port,
            "last_port": self.last_port,
            "rules": CodecRules(codecs=()),
        }
        reactor: Any = self.reactor
        whole = MediaSettings(**(values | settings))  # type: ignore[arg-type]
        below = Random(4).randrange
        made: Plane
        if self.native:
            made = native_plane(reactor, self.clock, whole, below, trace=trace)
        else:
            made = TwinMediaPlane(reactor, self.clock, whole, below, trace=trace)
        self.planes.append(made)
        return made

    def shut_down(self) -> None:
        for plane in self.planes:
            plane.shut_down()

    def phone(self, ssrc: int, host: str = "") -> Phone:
        made = Phone(host or self.host, ssrc)
        self.addCleanup(made.close)
        return made

    def terms(self, phone: Phone, **more: object) -> StreamTerms:
        values: dict[str, object] = {
            "remote": address(phone.rtp),
            "remote_rtcp": address(phone.rtcp),
            "payload_types": PCMU,
            "clock_rates": RATES,
        }
        return StreamTerms(**(values | more))  # type: ignore[arg-type]

    def bridge(self) -> tuple[int, int]:
        one, other = self.plane.open(), self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.set_terms(other, self.terms(self.far))
        self.plane.join(one, other)
        return one, other

    def turn(self) -> None:
        """Wake the plane as long as there is something to read now."""
        while self.is_readable:
            self.wake()

    @property
    def reader(self) -> Any:
        """What the reactor reads the plane by."""
        plane: Any = self.plane
        return plane.core if self.native else plane

    @property
    def is_readable(self) -> bool:
        return bool(select.select([self.reader], [], [], 0)[0])

    def wake(self) -> None:
        self.reader.doRead()

    def send(self, phone: Phone, end: int, *packets: bytes) -> None:
        for packet in packets:
            phone.rtp.sendto(packet, self.plane.local(end))
        self.turn()

    def send_control(self, phone: Phone, end: int, *packets: RtcpPacket) -> None:
        host, port = self.plane.local(end)
        phone.rtcp.sendto(build_compound(packets), (host, port + 1))
        self.turn()

    def received(self, phone: Phone) -> Packet:
        return parse(phone.rtp.recv(65535))

    def all_received(self, sock: socket.socket) -> list[bytes]:
        found = []
        sock.settimeout(0)
        try:
            while True:
                found.append(sock.recv(65535))
        except BlockingIOError:
            return found
        finally:
            sock.settimeout(5)

    def packets(self, phone: Phone) -> list[Packet]:
        return [parse(data) for data in self.all_received(phone.rtp)]

    def reports(self, phone: Phone) -> list[list[RtcpPacket]]:
        return [parse_compound(data) for data in self.all_received(phone.rtcp)]

    def dropped(self, end: int) -> dict[str, int]:
        return dict(self.plane.counters(end).dropped)
