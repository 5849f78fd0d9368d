"""What the other tests here rely on: that an open door and a packet are seen."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.dmz.cables import (
    INSIDE,
    OUTSIDE,
    OUTSIDE_V6,
    PRIVATE,
    PUBLIC,
    PUBLIC_V6,
    Address,
    Seen,
    between,
)
from tests.dmz.doors import Bound, Knocks, sockets_of
from tests.namespaces import Namespace

SIP = Bound("UDP", PRIVATE, 5066)
ECHO_REPLY_V6 = 129
ECHO_V6 = b"\x80\x00\x00\x00\x00\x01\x00\x01"


class RigTests(SynchronousTestCase):
    """The networks without the suite."""

    def setUp(self) -> None:
        """Make them."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.networks = self.stack.enter_context(between())
        self.knocks = Knocks(self.networks)

    def bound(self, space: Namespace, host: str, port: int = 0, **more: int) -> socket.socket:
        """One that is bound there."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with space.inside():
            one = self.stack.enter_context(
                socket.socket(family, more.get("kind", socket.SOCK_DGRAM), more.get("number", 0))
            )
        one.bind((host, port))
        return one

    def test_sockets(self) -> None:
        """A socket is told with its own address, of either version of IP, or none."""
        self.bound(self.networks.suite, PRIVATE, 5066)
        self.bound(self.networks.suite, "0.0.0.0", 5070)
        self.bound(self.networks.suite, PUBLIC_V6, 5071)
        self.bound(self.networks.suite, "::", 9641, kind=socket.SOCK_STREAM).listen()
        with self.networks.suite.inside():
            sockets = sockets_of(Path("/proc/thread-self"))
        wrong = {
            Bound("UDP", "0.0.0.0", 5070),
            Bound("UDP", PUBLIC_V6, 5071),
            Bound("TCP", "::", 9641),
        }
        self.assertEqual(wrong | {SIP}, sockets)
        self.assertEqual(wrong, {one for one in sockets if not one.is_allowed})

    def test_closed(self) -> None:
        """Where a port is bound on the right address only, every other door says it is closed."""
        self.bound(self.networks.suite, PRIVATE, 5066)
        self.assertEqual([], self.knocks.answered([SIP, Bound("TCP", PUBLIC, 443)]))
        self.networks.settle()
        for cable in (self.networks.out_cable, self.networks.in_cable):
            self.assertNotEqual([], cable.packets)
            self.assertEqual([], self.knocks.others(cable.packets))
            self.assertEqual([], cable.strange)

    def test_open(self) -> None:
        """One on every address is found from the wrong side, of either version of IP."""
        self.bound(self.networks.suite, "::", 5066)
        doors = self.knocks.answered([SIP])
        self.assertEqual(3, len(doors), doors)
        self.assertIn(f"UDP {PUBLIC} port 5066: timed out", doors)

    def test_packets(self) -> None:
        """A packet is seen on its cable, and so is the refusal that it meets, as the flow's own."""
        probe = self.bound(self.networks.suite, "0.0.0.0")
        six = self.bound(self.networks.suite, PUBLIC_V6)
        self.assert_refused(self.networks.out_cable.packets, PUBLIC, probe, OUTSIDE)
        self.assert_refused(self.networks.out_cable.packets, PUBLIC_V6, six, OUTSIDE_V6)
        self.assertEqual([], self.networks.in_cable.packets)
        self.assertEqual([], self.networks.out_cable.strange)

    def assert_refused(
        self, packets: list[Seen], host: str, probe: socket.socket, far: str
    ) -> None:
        """It goes there, and the answer comes from there."""
        probe.settimeout(5)
        probe.connect((far, 7000))
        probe.send(b"lost")
        self.assertRaises(ConnectionRefusedError, probe.recv, 1)
        self.networks.settle()
        own: Address = (host, probe.getsockname()[1])
        there = Seen("UDP", own, (far, 7000))
        self.assertEqual(
            [there, there.back], [one for one in packets if own in (one.source, one.target)]
        )

    def test_strange(self) -> None:
        """What is neither TCP nor UDP is told, unless the kernel sends it for itself."""
        raw = self.bound(
            self.networks.suite, PRIVATE, kind=socket.SOCK_RAW, number=socket.IPPROTO_SCTP
        )
        raw.settimeout(5)
        raw.connect((INSIDE, 0))
        raw.send(b"no protocol of ours")
        with self.assertRaises(OSError) as refusal:
            raw.recv(64)
        self.assertEqual(errno.ENOPROTOOPT, refusal.exception.errno)
        six = self.bound(
            self.networks.suite, PUBLIC_V6, kind=socket.SOCK_RAW, number=socket.IPPROTO_ICMPV6
        )
        six.settimeout(5)
        six.sendto(ECHO_V6, (OUTSIDE_V6, 0))
        while six.recv(64)[0] != ECHO_REPLY_V6:
            pass
        self.networks.settle()
        told = [self.networks.in_cable.strange, self.networks.out_cable.strange]
        self.assertIn(f"protocol 132, 110: {PRIVATE} to {INSIDE}", told[0])
        self.assertIn(f"protocol 58, 128: {PUBLIC_V6} to {OUTSIDE_V6}", told[1])
