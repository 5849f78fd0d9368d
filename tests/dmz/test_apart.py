"""A gateway that cannot run keeps nobody else from running, and comes when it can."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, lack, running

PAGE = "http://localhost:8443"
BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"standaloneok"
CONFIGURATION = """
[suite]
web-address = localhost
status-address = 127.0.0.1
[turn]
listening-ip = localhost
relay-ip = localhost
user = alice:a long password
[rsmp]
allow-ipv6 = true
sip-address = 127.0.0.1
sip-register = 1000-1999
http-port = 8086
web-ice-addresses = 127.0.0.1, ::1
[gateway]
address = localhost
[lab]
enabled = true
[log]
verbose = debug
all = stdout
"""


@contextmanager
def started(space: Namespace) -> Iterator[RunningProgram]:
    """The suite, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        configuration = Path(name, "suite.conf")
        configuration.touch(mode=0o600)
        configuration.write_text(CONFIGURATION + f"[suite]\nstate-directory = {name}\n")
        command = space.command(*twistd_command(["--config", str(configuration)]))
        variables = {**environment(os.environ, CHECKOUT), "HOME": name}
        with running(command, Path(name, "log"), variables) as program:
            program.wait_for(lambda: "05060" in program.log(), "started")
            yield program
            judge_suite(program, program.stop(), ("a long password",))


def ask(space: Namespace, host: str, port: int, target: str) -> int:
    """The status of the answer; 0 where nobody answers."""
    return answered(space, host, port, target)[0]


def answered(space: Namespace, host: str, port: int, target: str) -> tuple[int, str]:
    """The same, and whose page may read it."""
    with space.inside():
        connection = http.client.HTTPConnection(host, port, timeout=5)
        try:
            connection.request("GET", target, headers={"Origin": PAGE})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Access-Control-Allow-Origin", "")
        except OSError:
            return 0, ""
        finally:
            connection.close()


class ApartTests(SynchronousTestCase):
    """One part is down, the others serve."""

    def setUp(self) -> None:
        """A network of its own."""
        lack(None if may_make_namespaces() else "only root can make a network of its own")
        space = network_namespace([])
        self.space = space.__enter__()
        self.addCleanup(space.__exit__, None, None, None)

    def bound(self, kind: socket.SocketKind, port: int) -> socket.socket:
        """Somebody else's socket on a port of ours."""
        with self.space.inside():
            other = socket.socket(socket.AF_INET, kind)
        self.addCleanup(other.close)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        return other

    def relays(self) -> bool:
        """Whether the relay answers."""
        with self.space.inside(), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.settimeout(2)
            probe.sendto(BINDING, ("127.0.0.1", 3478))
            try:
                return bool(probe.recv(2048))
            except OSError:
                return False

    def test_without_sip(self) -> None:
        """Without SIP's port the gateway says 503, the relay relays; it serves when it has it."""
        other = self.bound(socket.SOCK_DGRAM, 5066)
        with started(self.space) as program:
            for port in (8086, 8443):
                answer = answered(self.space, "127.0.0.1", port, "/sign_in?1001")
                self.assertEqual((503, PAGE), answer, port)
            self.assertEqual(503, ask(self.space, "127.0.0.1", 8086, "/ping"))
            self.assertEqual(200, ask(self.space, "127.0.0.1", 8443, "/"))
            self.assertTrue(self.relays())
            other.close()
            program.wait_for(
                lambda: ask(self.space, "127.0.0.1", 8086, "/ping") == 200, "the gateway", 15
            )
            for host in ("127.0.0.1", "::1"):
                self.assertEqual(200, ask(self.space, host, 8086, "/sign_in?1001"), host)

    def test_without_http_port(self) -> None:
        """Without http-port browsers sign in on the pages' ports; the guide's record says why."""
        other = self.bound(socket.SOCK_STREAM, 8086)
        with started(self.space) as program:
            said = "Std 20011 Failed to start ROAP server. Check the [rsmp]:[http-port] parameter"
            self.assertIn(said, program.log())
            self.assertEqual(200, ask(self.space, "127.0.0.1", 8443, "/sign_in?1001"))
            self.assertEqual(200, ask(self.space, "::1", 8086, "/sign_in?1002"))
            self.assertTrue(self.relays())
            other.close()
            program.wait_for(
                lambda: ask(self.space, "127.0.0.1", 8086, "/ping") == 200, "http-port", 15
            )
