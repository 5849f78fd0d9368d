"""The lab over HTTP, as bytes over a connection."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from suite.lab.errors import LabError
from suite.metrics import Metrics
from suite.status import status_site
from suite.web.ice_servers import IceServers
from suite.web.lab import MOST_BODY, MOST_WORDS, LabWeb
from suite.web.lab_access import is_loopback
from suite.web.site import build_site
from tests.lab.fake import FakeGateway, FakeLab
from tests.runtime.test_status import Standing
from tests.web.test_site import Answer

HERE = IPv4Address("TCP", "127.0.0.1", 50000)
HOST = "localhost:8443"


def no_offer(host: str) -> IceServers:
    """Offer no relay."""
    raise AssertionError("nobody asks for a relay")


class LabTestCase(SynchronousTestCase):
    """A site with a lab, and connections to it that are strings."""

    def setUp(self) -> None:
        """Serve a fake lab."""
        self.lab = FakeLab()
        self.web = LabWeb(self.lab, FakeGateway())
        self.site = build_site(no_offer, Clock(), self.web)

    def send(
        self, request: str, headers: dict[str, str], body: bytes, client: IAddress
    ) -> tuple[Any, StringTransport]:
        """Send a request over a connection of its own."""
        lines = [f"{request} HTTP/1.1", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        protocol, transport = self.site.buildProtocol(None), StringTransport(peerAddress=client)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        return protocol, transport

    def get(self, path: str, client: IAddress = HERE, **headers: str) -> Answer:
        """Read an address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        _, transport = self.send(f"GET {path}", {"Host": HOST, **named}, b"", client)
        return Answer(transport.value())

    def post(
        self, value: object, client: IAddress = HERE, *, raw: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a command, as the command line does unless ``headers`` say otherwise."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        given = {"Host": HOST, "Content-Type": "application/json", **named}
        body = json.dumps(value).encode() if raw is None else raw
        _, transport = self.send("POST /api/lab/command", given, body, client)
        return Answer(transport.value())

    def refused(self, answer: Answer, code: int) -> str:
        """It was refused with a sentence, and nothing was done."""
        self.assertEqual(answer.code, code, answer.body)
        self.assertEqual(self.lab.asked, [])
        self.assertNotIn("access-control-allow-origin", answer.headers)
        sentence: str = json.loads(answer.body)["error"]
        return sentence


class PictureTests(LabTestCase):
    """What is shown."""

    def test_status(self) -> None:
        """The lab's status, the B2BUA's view and the ladders there are."""
        answer = self.get("/api/lab/status")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        picture = json.loads(answer.body)
        self.assertEqual([each["name"] for each in picture["lab"]["servers"]], ["A", "B"])
        self.assertEqual(picture["gateway"]["dns"], ["7001", "7002"])
        self.assertEqual(
            picture["ladders"],
            [
                {"name": "c1", "title": "7001 to 7999", "messages": 0, "latest": 0.0},
                {"name": "c2", "title": "7002 to echo", "messages": 17, "latest": 9.2007},
                {"name": "others", "title": "outside calls", "messages": 1, "latest": 1.0},
            ],
        )

    def test_no_gateway(self) -> None:
        """Without a B2BUA the lab is shown all the same."""
        self.site = build_site(no_offer, Clock(), LabWeb(self.lab))
        self.assertIsNone(json.loads(self.get("/api/lab/status").body)["gateway"])
        self.assertIn("is not running", json.loads(self.post({"words": ["status"]}).body)["text"])
        self.assertEqual(self.get("/api/lab/ladder/c2.svg").code, 200)

    def test_not_started(self) -> None:
        """A lab that does not run says so."""
        self.lab.fault = LabError("the lab has not been started")
        for path in ("/api/lab/status", "/api/lab/ladder/c2.svg"):
            self.assertEqual(self.refused(self.get(path), 503), "the lab has not been started")
        self.assertEqual(self.post({"words": ["status"]}).code, 409)

    def test_ladder(self) -> None:
        """A call is drawn with the names that people know."""
        answer = self.get("/api/lab/ladder/c2.svg")
        self.assertEqual(answer.headers["content-type"], "image/svg+xml")
        for name in (b">gateway<", b">SIP Server A<", b">echo phone<"):
            self.assertIn(name, answer.body)
        self.assertIn(b"OPTIONS", self.get("/api/lab/ladder/others.svg").body)

    def test_no_such_ladder(self) -> None:
        """Other names are 404, and are not repeated."""
        self.assertIn("No such call", self.refused(self.get("/api/lab/ladder/c9.svg"), 404))
        for path in ("c2", "%3Cx%3E.svg", "%FF.svg", "..%2Fstatus.svg", "c2.svg/x"):
            answer = self.get(f"/api/lab/ladder/{path}")
            self.assertEqual(answer.code, 404, path)
            self.assertNotIn(b"<x>", answer.body)

    def test_page(self) -> None:
        """The page is there, the start page leads to it, and all that it names is served."""
        page = self.get("/lab")
        self.assertIn(b"<title>Lab</title>", page.body)
        for name in ("lab.js", "lab.css", "labdom.js", "labwords.js"):
            self.assertEqual(self.get(f"/static/{name}").code, 200)
        self.assertIn(b'<a href="/lab">', self.get("/").body)
        self.assertNotRegex(page.body, rb"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)")

    def test_off(self) -> None:
        """Without a lab there is no page, no link and no address of it."""
        self.site = build_site(no_offer, Clock())
        for path in ("/lab", "/api/lab/status", "/static/lab.html"):
            self.assertEqual(self.get(path).code, 404)
        self.assertNotIn(b'"/lab"', self.get("/").body)

    def test_status_port(self) -> None:
        """The status port has the same addresses, where the lab is on."""
        self.site = status_site(
            Standing(), Metrics(), lambda: 0.0, Clock(), "/metrics", lab=self.web
        )
        self.assertEqual(self.get("/api/lab/status").code, 200)
        self.assertEqual(self.post({"words": ["kill", "A"]}).code, 200)
        self.assertEqual(self.get("/ping").body, b"up")
        self.assertEqual(self.get("/api/lab/status", Host="evil.example").code, 403)


class CommandTests(LabTestCase):
    """What is done."""

    def test_done(self) -> None:
        """The lab is asked, and what it says comes back."""
        answer = self.post({"words": ["kill", "A"]})
        self.assertEqual(answer.code, 200)
        self.assertEqual(json.loads(answer.body), {"text": "SIP Server A is killed."})
        self.assertEqual(self.lab.asked, [["kill", "A"]])

    def test_status(self) -> None:
        """``status`` is answered with both views as tables."""
        text = json.loads(self.post({"words": ["status"]}).body)["text"]
        self.assertIn("A       127.0.0.11:5060  up     active", text)
        self.assertIn("The B2BUA uses 127.0.0.11:5060 UDP (in use, generation 1)", text)

    def test_later(self) -> None:
        """A command may take its time."""
        self.lab.later = Deferred()
        given = {"Host": HOST, "Content-Type": "application/json"}
        body = b'{"words": ["call", "1", "2"]}'
        _, transport = self.send("POST /api/lab/command", given, body, HERE)
        self.assertEqual(transport.value(), b"")
        self.lab.later.callback("done")
        self.assertEqual(json.loads(Answer(transport.value()).body), {"text": "done"})

    def test_client_is_gone(self) -> None:
        """Who hung up gets no answer, and that is no fault."""
        self.lab.later = Deferred()
        given = {"Host": HOST, "Content-Type": "application/json"}
        protocol, transport = self.send(
            "POST /api/lab/command", given, b'{"words": ["call", "1", "2"]}', HERE
        )
        protocol.connectionLost(Failure(ConnectionDone()))
        self.lab.later.callback("done")
        self.assertEqual(transport.value(), b"")

    def test_refused_by_the_lab(self) -> None:
        """What the lab cannot do comes back as its sentence."""
        answer = self.post({"words": ["explode"]})
        self.assertEqual(answer.code, 409)
        self.assertIn("try: kill A", json.loads(answer.body)["error"])

    def test_fault_of_the_lab(self) -> None:
        """A fault is logged, and nothing of it is told."""
        answer = self.post({"words": ["fail"]})
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"fault of the lab", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ForeignTests(LabTestCase):
    """Who is not welcome."""

    COMMAND = {"words": ["kill", "A"]}

    def test_other_machines(self) -> None:
        """Clients from elsewhere see nothing and do nothing."""
        for client in (
            IPv4Address("TCP", "192.0.2.7", 5000),
            IPv6Address("TCP", "2001:db8::7", 5000),
            IPv6Address("TCP", "::ffff:192.0.2.7", 5000),
            UNIXAddress("/tmp/x"),
        ):
            self.assertIn("this machine only", self.refused(self.post(self.COMMAND, client), 403))
            self.refused(self.get("/api/lab/status", client), 403)
            self.refused(self.get("/api/lab/ladder/c2.svg", client), 403)
            self.assertEqual(self.get("/lab", client).code, 403)

    def test_proxies(self) -> None:
        """A proxy on this machine may speak for anybody, so it is not this machine."""
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            self.refused(self.post(self.COMMAND, **{name: "127.0.0.1"}), 403)

    def test_other_names(self) -> None:
        """A name that its owner leads here by DNS is not ours, whatever else is right."""
        for host in ("evil.example:8443", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]"):
            same = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
            self.refused(self.post(self.COMMAND, **same), 403)
            self.refused(self.get("/api/lab/status", Host=host), 403)
            self.assertEqual(self.get("/lab", Host=host).code, 403)
        self.assertIn(self.post(self.COMMAND, Host="").code, (400, 403))
        self.assertEqual(self.lab.asked, [])

    def test_own_names(self) -> None:
        """localhost and the addresses of the loopback interface are."""
        for host in ("localhost", "LOCALHOST:8443", "127.0.0.1:9641", "127.0.0.5", "[::1]:8443"):
            self.assertEqual(self.get("/api/lab/status", Host=host).code, 200, host)

    def test_other_pages(self) -> None:
        """A page of another origin can neither read nor do anything."""
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:3000"},
            {"Origin": "https://localhost:8443"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:8443"},
        ):
            self.refused(self.post(self.COMMAND, **headers), 403)
            self.refused(self.get("/api/lab/status", **headers), 403)
        self.refused(self.post(self.COMMAND, Sec_Fetch_Site="none"), 403)

    def test_own_page(self) -> None:
        """The page itself can."""
        own = {"Origin": f"http://{HOST}", "Sec_Fetch_Site": "same-origin"}
        self.assertEqual(self.post(self.COMMAND, **own).code, 200)

    def test_forms(self) -> None:
        """What a form of any page could send is refused by its type."""
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "text/plain; application/json",
            "multipart/form-data; boundary=application/json",
            "",
        ):
            self.refused(self.post(self.COMMAND, Content_Type=kind), 415)
        self.assertEqual(self.lab.asked, [])
        kind = "Application/JSON; charset=utf-8"
        self.assertEqual(self.post(self.COMMAND, Content_Type=kind).code, 200)

    def test_asking_first(self) -> None:
        """A browser that asks whether another origin may send JSON is told no."""
        headers = {"Host": HOST, "Origin": "https://evil.example"}
        _, transport = self.send("OPTIONS /api/lab/command", headers, b"", HERE)
        answer = Answer(transport.value())
        self.assertEqual((answer.code, answer.headers["allow"]), (405, "POST"))
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(self.get("/api/lab/command").code, 405)

    def test_no_command(self) -> None:
        """What is not a short list of short words is no command."""
        for value in (
            [],
            {},
            "kill A",
            {"words": "kill A"},
            {"words": []},
            {"words": [1]},
            {"words": ["kill", ""]},
            {"words": ["kill\n"]},
            {"words": ["x" * 129]},
            {"words": ["x"] * (MOST_WORDS + 1)},
        ):
            self.refused(self.post(value), 400)
        for raw in (b"", b"{", b"\xff", b"[" * MOST_BODY, b" " * MOST_BODY + b'{"words": ["a"]}'):
            self.refused(self.post(None, raw=raw), 400)

    def test_loopback(self) -> None:
        """Which addresses are of this machine only."""
        for host in ("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("", "localhost", "0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"):
            self.assertFalse(is_loopback(host), host)
