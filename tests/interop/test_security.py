"""What an attacker gets out of the relay: little, seldom, and never for free."""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.malformed import WRONG, mutations
from tests.peers import Place, RelayProcess, SuiteProcess
from tests.probe import Closed, Probe, Transport, error_code, probing, transport_attribute
from turn.stun.attributes import Attribute, unpack_text
from turn.stun.message import Class, Method, decode, encode

MIB = 1024 * 1024
UNAUTHORIZED_PER_SECOND = 10
SPOOFED_SOURCES = 65_000
_IP_PKTINFO = 8


def _allocate(number: int = 0) -> bytes:
    """The shortest Allocate that gets a challenge."""
    identity = number.to_bytes(12, "big")
    return encode(Method.ALLOCATE, Class.REQUEST, identity, [transport_attribute()])


def _replies(probe: Probe, quiet: float = 0.3) -> list[bytes]:
    """Everything that comes until nothing does."""
    replies = []
    while (reply := probe.receive(quiet)) is not None:
        replies.append(reply)
    return replies


class ReflectionTests(SynchronousTestCase):
    """A forged source gets hardly more than it sends."""

    def _size(self, relay: RelayProcess, host: str, data: bytes) -> int:
        with probing(relay, host=host) as probe:
            probe.send(data)
            reply = probe.receive()
        assert reply is not None
        return len(reply)

    def test_binding(self) -> None:
        """20 bytes of Binding get 32 over IPv4 and 44 over IPv6: the address and nothing else."""
        binding = encode(Method.BINDING, Class.REQUEST, b"twelve bytes", [])
        with SuiteProcess.started(place=Place(addresses=("127.0.0.1", "::1"))) as relay:
            self.assertEqual(self._size(relay, "127.0.0.1", binding), 32)
            self.assertEqual(self._size(relay, "::1", binding), 44)

    def test_challenge(self) -> None:
        """A challenge is at most 3.6 times its request."""
        with SuiteProcess.started() as relay:
            size = self._size(relay, relay.host, _allocate())
        self.assertLessEqual(size / len(_allocate()), 3.6)

    def test_challenges_per_second(self) -> None:
        """Of a burst from one source ten are challenged, and a second later it may ask again."""
        with SuiteProcess.started() as relay, probing(relay) as probe:
            for number in range(3 * UNAUTHORIZED_PER_SECOND):
                probe.send(_allocate(number))
            burst = [decode(reply) for reply in _replies(probe)]
            # The budget fills up by one in a tenth of a second, so a slow burst sees one more.
            self.assertIn(len(burst), (UNAUTHORIZED_PER_SECOND, UNAUTHORIZED_PER_SECOND + 1))
            self.assertEqual({error_code(reply) for reply in burst}, {401})
            time.sleep(1)
            probe.send(_allocate())
            self.assertEqual(len(_replies(probe)), 1)

    def test_challenges_of_others(self) -> None:
        """One source that used up its budget takes nothing from another."""
        with SuiteProcess.started() as relay, probing(relay, source="127.0.5.1") as greedy:
            for number in range(3 * UNAUTHORIZED_PER_SECOND):
                greedy.send(_allocate(number))
            with probing(relay, source="127.0.5.2") as modest:
                self.assertEqual(error_code(modest.learn_challenge()), 401)

    def test_forged_sources(self) -> None:
        """65,000 sources that ask once leave at most 3 MiB behind."""
        with SuiteProcess.started() as relay:
            flood = _Flood(relay)
            self.addCleanup(flood.socket.close)
            flood.run(0, 1000)
            before = relay.program.resident_bytes()
            answered = flood.run(1000, SPOOFED_SOURCES)
            growth = relay.program.resident_bytes() - before
        # Sources that share a cell of the budget may go without; most must have been looked at.
        self.assertGreater(answered, SPOOFED_SOURCES // 2)
        self.assertLessEqual(growth, 3 * MIB)


class _Flood:
    """One socket that sends from any address of 127.22.0.0/16, in step with the answers."""

    BATCH = 64

    def __init__(self, relay: RelayProcess) -> None:
        self._server = (relay.host, relay.port)
        self.socket = relay.place.socket(socket.SOCK_DGRAM, relay.host)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.settimeout(0.02)

    def run(self, first: int, last: int) -> int:
        """Ask once from each of these sources; how many were answered."""
        answered = 0
        for start in range(first, last, self.BATCH):
            for number in range(start, min(start + self.BATCH, last)):
                self._ask(number)
            answered += self._drain(self.BATCH)
        return answered

    def _ask(self, number: int) -> None:
        source = socket.inet_aton(f"127.22.{number >> 8 & 255}.{number & 255}")
        chosen = struct.pack("=i4s4s", 0, source, bytes(4))
        control = [(socket.IPPROTO_IP, _IP_PKTINFO, chosen)]
        self.socket.sendmsg([_allocate(number)], control, 0, self._server)

    def _drain(self, most: int) -> int:
        for count in range(most):
            try:
                self.socket.recv(2048)
            except TimeoutError:
                return count
        return most


class NonceTests(SynchronousTestCase):
    """A nonce is of use to the client that got it, and to nobody else."""

    def test_of_another_source(self) -> None:
        """The nonce of one client is stale (438) in the hands of another, even on one host."""
        for source in ("127.0.0.1", "127.0.5.3"):
            with SuiteProcess.started() as relay, probing(relay, source="127.0.0.1") as first:
                first.learn_challenge()
                with probing(relay, source=source) as second:
                    second.challenge, second.key = first.challenge, first.key
                    answer = second.request(Method.ALLOCATE, [transport_attribute()])
                    self.assertEqual(error_code(answer), 438)
                    fresh = answer.first(Attribute.NONCE)
                    self.assertNotEqual(fresh, first.challenge[-1][1])
                self.assertEqual(first.allocate().message_class, Class.SUCCESS)

    def test_forged(self) -> None:
        """Whatever is sent for a nonce is answered with a new one, and nothing breaks."""
        with SuiteProcess.started() as relay, probing(relay) as probe:
            probe.learn_challenge()
            realm, (_, issued) = probe.challenge
            text = unpack_text(issued)
            for number, forged in enumerate(
                (
                    b"x",
                    issued[:-1],
                    issued + b"x",
                    text.swapcase().encode(),
                    b"\xff" * 28,
                    bytes(28),
                )
            ):
                with probing(relay, source=f"127.0.5.{10 + number}") as other:
                    other.key = probe.key
                    other.challenge = [realm, (Attribute.NONCE, forged)]
                    answer = other.request(Method.ALLOCATE, [transport_attribute()])
                    self.assertEqual(error_code(answer), 438, forged)


class MalformedTests(SynchronousTestCase):
    """Nothing that is wrong in itself is answered twice, stops the relay or makes it stumble."""

    def _cases(self) -> list[tuple[str, bytes]]:
        return [*WRONG.items(), *mutations(200, seed=1)]

    def test_udp(self) -> None:
        """At most one answer to each datagram, and the next Binding is served."""
        binding = encode(Method.BINDING, Class.REQUEST, b"are you here", [])
        with SuiteProcess.started() as relay:
            for number, (name, data) in enumerate(self._cases()):
                with probing(relay, source=f"127.0.6.{1 + number % 250}") as probe:
                    probe.send(data)
                    # What is read first was sent first, so this ends the wait for answers.
                    probe.send(binding)
                    replies: list[bytes] = []
                    while not replies or replies[-1][8:20] != b"are you here":
                        reply = probe.receive()
                        assert reply is not None, f"no answer to a Binding after {name}"
                        replies.append(reply)
                self.assertLessEqual(len(replies), 2, name)

    def test_tcp(self) -> None:
        """At most one answer on a connection that says nothing else, and others are served."""
        with SuiteProcess.started() as relay:
            for name, data in self._cases():
                with probing(relay, Transport.TCP) as probe:
                    probe.send(data)
                    self._finish(probe)
                    self.assertLessEqual(self._frames(probe), 1, name)
            with probing(relay, Transport.TCP) as probe:
                answer = probe.request(Method.BINDING, signed=False)
                self.assertEqual(answer.message_class, Class.SUCCESS)

    def _finish(self, probe: Probe) -> None:
        """Say no more; the server may have closed on what it was sent already."""
        try:
            probe.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def _frames(self, probe: Probe) -> int:
        """
        How many answers come before the server closes, which it does when we have.

        Two requests in one go are two requests, so an answer per whole frame would be right too:
        no case has two.
        """
        count = 0
        try:
            while probe.receive(1) is not None:
                count += 1
        except Closed:
            pass
        return count


class ClassicClientTests(SynchronousTestCase):
    """A client of RFC 3489, by others."""

    def test_pystun3(self) -> None:
        """
        pystun3 learns its address.

        Its look for the kind of NAT is left out: to be told that CHANGE-REQUEST is unknown makes
        it ask again without end, with coturn too.
        """
        program = """
import socket, stun, sys
stun._initialize()
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(2)
client.bind(("127.0.0.1", 0))
found = stun.stun_test(client, "127.0.0.1", int(sys.argv[1]), "127.0.0.1", 0)
print((found["ExternalIP"], found["ExternalPort"]) == client.getsockname(), found)
"""
        with SuiteProcess.started() as relay:
            ended = subprocess.run(
                [sys.executable, "-c", program, str(relay.port)],
                capture_output=True,
                text=True,
                timeout=10,
            )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertTrue(ended.stdout.startswith("True"), ended.stdout)
