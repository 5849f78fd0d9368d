"""A real haproxy between browsers and the gateway, configured as docs/gateway.md has it."""

from __future__ import annotations

import http.client
import os
import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, lack, require_program, running

CLIENT = "127.0.0.77"
HOST = "127.0.0.1"
PAGE = "http://localhost:8443"
CONFIGURATION = """
[suite]
turn = false
web = false
status-address = 127.0.0.1
[rsmp]
http-port = 8086
sip-register = 1000-1999
[gateway]
proxy-networks = 127.0.0.1/32
proxy-port = 8087
strangers-per-address = 3
[lab]
enabled = true
[log]
verbose = debug
all = stdout
"""
FRONT = """
global
    maxconn 50
defaults
    mode http
    timeout connect 5s
    timeout client 180s
    timeout server 180s
frontend forwarded
    bind 127.0.0.1:8000
    default_backend gateways
frontend announced
    bind 127.0.0.1:8001
    default_backend announced
backend announced
    server one 127.0.0.1:8087 send-proxy-v2
"""


def documented() -> str:
    """The backend in docs/gateway.md, with the address of this test's gateway."""
    text = (CHECKOUT / "docs" / "gateway.md").read_text()
    found = re.search(r"^    backend gateways\n(?:        .*\n)+", text, re.MULTILINE)
    assert found is not None
    lines = textwrap.dedent(found[0]).replace("10.1.0.10", HOST).splitlines()
    return "\n".join(line for line in lines if "server two" not in line) + "\n"


class ProxyTests(SynchronousTestCase):
    """Whose address counts."""

    space: ClassVar[Namespace]
    program: ClassVar[RunningProgram]
    _stack: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        """Start both in a network of their own."""
        cls._stack = ExitStack()
        lack(None if may_make_namespaces() else "only root can make a network of its own")
        with ExitStack() as stack:
            cls.space = stack.enter_context(network_namespace([]))
            cls.program = stack.enter_context(cls.suite())
            stack.enter_context(cls.haproxy())
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """End them."""
        cls._stack.close()

    @classmethod
    @contextmanager
    def suite(cls) -> Iterator[RunningProgram]:
        """The suite with its lab."""
        with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
            configuration = Path(name, "suite.conf")
            configuration.write_text(
                CONFIGURATION.replace("[suite]", f"[suite]\nstate-directory = {name}")
            )
            command = cls.space.command(*twistd_command(["--config", str(configuration)]))
            variables = {**environment(os.environ, CHECKOUT), "HOME": name}
            with running(command, Path(name, "log"), variables) as program:
                program.wait_for(lambda: cls.ask(8086, "/ping")[0] == 200, "ready")
                yield program
                judge_suite(program, program.stop(), ())

    @classmethod
    @contextmanager
    def haproxy(cls) -> Iterator[None]:
        """What stands before it."""
        with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
            configuration = Path(name, "haproxy.cfg")
            configuration.write_text(FRONT + documented())
            command = [require_program("haproxy"), "-db", "-f", str(configuration)]
            with running(cls.space.command(*command), Path(name, "log"), os.environ) as program:
                for port in (8000, 8001):
                    program.wait_for(lambda port=port: cls.ask(port, "/ping")[0] == 200, "ready")
                yield
                program.stop()

    @classmethod
    def ask(cls, port: int, target: str, *, source: str = CLIENT, **more: str) -> tuple[int, str]:
        """A page's request, from an address; status 0 where nobody answers."""
        headers = {"Origin": PAGE, **{name.replace("_", "-"): text for name, text in more.items()}}
        with cls.space.inside():
            connection = http.client.HTTPConnection(
                HOST, port, timeout=5, source_address=(source, 0)
            )
            try:
                connection.request("GET", target, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                return 0, ""
            finally:
                connection.close()

    def signed_in(self, user: str) -> str:
        """The address that a user has signed in from, by the log."""
        pattern = rf'signed-in client=(\S+) anonymous=\w+ user="{user}"'
        self.program.wait_for(lambda: re.search(pattern, self.program.log()), f"sign-in of {user}")
        found = re.search(pattern, self.program.log())
        assert found is not None
        return found[1]

    def test_forwarded(self) -> None:
        """Behind the proxy the browser's own address counts, whatever the browser says itself."""
        self.assertEqual(200, self.ask(8000, "/sign_in?1101")[0])
        self.assertEqual(CLIENT, self.signed_in("1101"))
        self.ask(8000, "/sign_in?1102", X_Forwarded_For="203.0.113.9")
        self.assertEqual(CLIENT, self.signed_in("1102"))

    def test_announced(self) -> None:
        """So it does by the PROXY protocol."""
        self.assertEqual(200, self.ask(8001, "/sign_in?1103")[0])
        self.assertEqual(CLIENT, self.signed_in("1103"))

    def test_forged(self) -> None:
        """Who is no proxy has no say: neither by a header field nor on the proxies' port."""
        self.ask(8086, "/sign_in?1104", X_Forwarded_For="203.0.113.9")
        self.assertEqual(CLIENT, self.signed_in("1104"))
        self.assertEqual((0, ""), self.ask(8087, "/sign_in?1105"))
        self.assertNotIn('user="1105"', self.program.log())

    def test_sticky(self) -> None:
        """The proxy's cookie goes beside ours, and ours is for pages of other sites too."""
        with self.space.inside():
            connection = http.client.HTTPConnection(HOST, 8000, timeout=5)
            connection.request("GET", "/sign_in?1106", headers={"Origin": PAGE})
            answer = connection.getresponse()
            cookies = answer.headers.get_all("Set-Cookie") or []
            answer.read()
            connection.close()
        self.assertEqual(["GATEWAY", "sid"], sorted(each.partition("=")[0] for each in cookies))

    def test_strangers(self) -> None:
        """Busy connections of strangers are bounded for each address, and not for the proxy."""
        held = []
        with self.space.inside():
            for port, source, expected in ((8086, "127.0.0.88", 3), (8000, "127.0.0.88", 6)):
                answered = 0
                for _ in range(6):
                    connection = http.client.HTTPConnection(
                        HOST, port, timeout=5, source_address=(source, 0)
                    )
                    held.append(connection)
                    try:
                        connection.request("GET", "/ping")
                        answered += connection.getresponse().read() == b"up"
                        # The next head has begun: an idle one would give way to others.
                        connection.send(b"GET /ping")
                    except OSError:
                        continue
                self.assertEqual(expected, answered, port)
        for connection in held:
            connection.close()
