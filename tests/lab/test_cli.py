"""``webrtc-suite lab`` in front of a suite that is none."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from suite import cli as suite_cli
from suite.config import Arguments
from suite.lab import cli
from suite.lab.commands import USAGE
from suite.metrics import Metrics
from suite.status import status_site
from suite.web.lab import LabWeb
from tests.lab.fake import FakeGateway, FakeLab
from tests.runtime.test_status import Standing
from tests.web.test_lab import HERE, HOST
from tests.web.test_site import Answer

Reply = Callable[[str, str, bytes], tuple[int, bytes]]


class Connection:
    """What the command line connects to: ``reply`` answers, or raises what a socket would."""

    def __init__(self, reply: Reply, asked: list[tuple[str, str, bytes]]) -> None:
        self._reply = reply
        self._asked = asked
        self._answer = b""
        self.status = 0

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Take a request."""
        self._asked.append((method, path, body or b""))
        self.status, self._answer = self._reply(method, path, body or b"")

    def getresponse(self) -> Connection:
        """The answer."""
        return self

    def read(self, limit: int) -> bytes:
        """Its body."""
        return self._answer[:limit]

    def close(self) -> None:
        """The end."""


class LabCommandTests(SynchronousTestCase):
    """The command line."""

    def setUp(self) -> None:
        """The real site over strings, with a fake lab."""
        self.lab = FakeLab()
        web = LabWeb(self.lab, FakeGateway())
        self.site = status_site(Standing(), Metrics(), lambda: 0.0, Clock(), lab=web)
        self.asked: list[tuple[str, str, bytes]] = []
        self.reply: Reply = self.ask_site
        self.patch(http.client, "HTTPConnection", self.connect)

    def connect(self, host: str, port: int, timeout: float) -> Connection:
        """Answer with ``reply`` on the address that the tests use."""
        self.assertEqual((host, port), ("127.0.0.1", 9641))
        return Connection(self.reply, self.asked)

    def ask_site(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Hand a request to the site."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        protocol, transport = self.site.buildProtocol(None), StringTransport(peerAddress=HERE)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(head.encode() + body)
        answer = Answer(transport.value())
        assert answer.code is not None
        return answer.code, answer.body

    def run_lab(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command; gives exit code, output and complaint."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = suite_cli.main(["lab", *arguments])
        return code, out.getvalue(), err.getvalue()

    def test_status(self) -> None:
        """Without a command it is status: an aligned table."""
        code, text, complaint = self.run_lab()
        self.assertEqual((code, complaint), (cli.DONE, ""))
        self.assertEqual(
            text.splitlines()[:3],
            [
                "SERVER  ADDRESS          STATE  IN USE  REGISTERED  REQUESTS",
                "A       127.0.0.11:5060  up     active  3           42",
                "B       127.0.0.12:5060  up     -       0           7",
            ],
        )
        self.assertEqual(self.run_lab("status")[1], text)

    def test_json(self) -> None:
        """--json gives the same for programs."""
        code, text, _ = self.run_lab("--json")
        self.assertEqual(code, cli.DONE)
        self.assertEqual(json.loads(text)["gateway"]["registered"], 2)

    def test_command(self) -> None:
        """A command is done, and what the lab says is printed."""
        code, text, _ = self.run_lab("kill", "A")
        self.assertEqual((code, text), (cli.DONE, "SIP Server A is killed.\n"))
        self.assertEqual(self.lab.asked, [["kill", "A"]])

    def test_named_address(self) -> None:
        """--url goes before the configuration, which need not be readable then."""
        given = ("-c", "/nowhere/suite.conf", "--url", "http://127.0.0.1:9641", "kill", "A")
        self.assertEqual(self.run_lab(*given)[0], cli.DONE)
        self.assertEqual(self.run_lab("-c", "/nowhere/suite.conf", "kill", "A")[0], cli.FAILED)

    def test_refused(self) -> None:
        """What the lab refuses is 1, and its sentence goes to standard error."""
        code, text, complaint = self.run_lab("explode")
        self.assertEqual((code, text), (cli.REFUSED, ""))
        self.assertIn("there is no command 'explode'; try: kill A", complaint)

    def test_ladder(self) -> None:
        """A ladder is printed as SVG; a call that is not kept is refused, a path is no name."""
        code, svg, _ = self.run_lab("ladder", "c2")
        self.assertEqual(code, cli.DONE)
        self.assertTrue(svg.startswith("<svg "))
        self.assertIn("OPTIONS", self.run_lab("ladder")[1])
        self.assertEqual(self.run_lab("ladder", "c9")[0], cli.REFUSED)
        asked = len(self.asked)
        self.assertEqual(self.run_lab("ladder", "../status")[0], cli.FAILED)
        self.assertEqual(len(self.asked), asked)

    def test_lab_is_off(self) -> None:
        """A suite without a lab is told from no suite."""
        self.site = status_site(Standing(), Metrics(), lambda: 0.0, Clock())
        for words in (("status",), ("--json",), ("kill", "A"), ("ladder",)):
            code, _, complaint = self.run_lab(*words)
            self.assertEqual(code, cli.FAILED)
            self.assertIn("its lab is off: set enabled = true in [lab]", complaint)

    def test_no_suite(self) -> None:
        """Nobody there, or nobody who answers, is 2, with what to do about it."""
        for fault, sentence in (
            (ConnectionRefusedError(111, "refused"), "no suite runs here"),
            (TimeoutError(), "did not answer within 30 s"),
            (OSError(101, "Network is unreachable"), "Network is unreachable"),
            (http.client.BadStatusLine("x"), "127.0.0.1:9641: "),
        ):
            self.reply = self.failing(fault)
            code, _, complaint = self.run_lab("status")
            self.assertEqual(code, cli.FAILED)
            self.assertIn(sentence, complaint)

    def failing(self, fault: Exception) -> Reply:
        """Answer with a fault of the connection."""

        def reply(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            raise fault

        return reply

    def test_somebody_else(self) -> None:
        """Whatever another program answers, it ends with a sentence and 2."""
        for body in (b"", b"<html>", b"[]", b'{"text": 1}', b"\xff", b"[" * 100_000):
            self.reply = lambda *_, body=body: (200, body)
            code, text, complaint = self.run_lab("kill", "A")
            self.assertEqual((code, text), (cli.FAILED, ""))
            self.assertIn("gave no answer of a lab", complaint)

    def test_terminal(self) -> None:
        """What is printed cannot steer a terminal."""
        evil = json.dumps({"text": "one\x1b[2J\ntwo"}).encode()
        self.reply = lambda *_: (200, evil)
        self.assertEqual(self.run_lab("x")[1], "one?[2J\ntwo\n")


class HelpTests(SynchronousTestCase):
    """What --help tells."""

    def test_every_command(self) -> None:
        """Every command of the lab is there."""
        for usage in USAGE:
            verb = usage.split()[0]
            self.assertRegex(cli.EPILOG, rf"(?m)(^  |\| ){verb}\b")


class FindTests(SynchronousTestCase):
    """Where the suite is, by its configuration."""

    def find(self, text: str, *overrides: tuple[str, str]) -> tuple[str, int]:
        """Write a configuration and look into it."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "suite.conf"
        path.write_text(text)
        path.chmod(0o600)
        return cli.find(Arguments(config=path, overrides=overrides))

    def test_default(self) -> None:
        """Without a configuration it is what make run starts."""
        self.assertEqual(cli.find(Arguments()), ("127.0.0.1", 9641))

    def test_status_port(self) -> None:
        """The status port, by the file and by -o."""
        text = "[suite]\nstatus-port = 9700\n[turn]\nlistening-ip = 127.0.0.1\nno-auth\n"
        self.assertEqual(self.find(text), ("127.0.0.1", 9700))
        self.assertEqual(self.find(text, ("suite.status-port", "9800")), ("127.0.0.1", 9800))
        wide = text.replace("[turn]", "status-address = 0.0.0.0\n[turn]")
        self.assertEqual(self.find(wide), ("127.0.0.1", 9700))

    def test_pages(self) -> None:
        """Without a status port the pages', if they are on this machine only or everywhere."""
        text = "[suite]\nstatus-port = 0\nweb-ports = 8500\nweb-address = {}\n[turn]\n{}\n"
        relay = "listening-ip = 127.0.0.1\nno-auth"
        self.assertEqual(self.find(text.format("127.0.0.1", relay)), ("127.0.0.1", 8500))
        with self.assertRaises(cli.CannotAsk) as caught:
            self.find(text.format("192.0.2.1", relay))
        self.assertIn("status-port", str(caught.exception))

    def test_mistakes(self) -> None:
        """A configuration with mistakes names them."""
        with self.assertRaises(cli.CannotAsk) as caught:
            self.find("[suite]\nstatus-port = many\n")
        self.assertIn("status-port", str(caught.exception))
        with self.assertRaises(cli.CannotAsk):
            cli.find(Arguments(config=Path("/nowhere/suite.conf")))

    def test_url(self) -> None:
        """--url takes what people type, and nothing that is no address."""
        self.assertEqual(cli.address_of("http://127.0.0.1:9641/"), ("127.0.0.1", 9641))
        self.assertEqual(cli.address_of("localhost:8443"), ("localhost", 8443))
        self.assertEqual(cli.address_of("http://[::1]:1"), ("::1", 1))
        for url in ("https://localhost", "http://", "http://h:x", "http://h/lab", "http://[::1"):
            with self.assertRaises(cli.CannotAsk):
                cli.address_of(url)
