"""
The whole without sockets: SIP Servers, the B2BUA, the gateway, its HTTP interface, and pages.

Pages are connections that are strings, to a site that serves the interface, at a set time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from b2bua.call_events import DnRegistered, DnUnregistered, Event
from b2bua.core import Randomness, Vouched
from b2bua.gateway.gateway import Gateway, HopClosed, Ready
from b2bua.net.web import FLUSHED_AFTER, WebInterface
from b2bua.settings import GatewaySettings, MediaSettings, WebMediaSettings
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.outputs import Send
from suite.web.gateway_pages import GatewayDoor
from suite.web.site import build_gateway_root, site_of
from tests.b2bua.browsers import RULES, web_sdp
from tests.b2bua.network import OURS, Network
from tests.b2bua.web_plane import FakeWebPlane
from tests.sip.exchanges import counted

BROWSER_HOST = "203.0.113.77"
ORIGIN = "https://agents.example.com"


class Answer:
    """A response taken apart."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(status.split()[1]) if status else None
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Wire:
    """One connection to the site."""

    def __init__(self, stage: Stage, host: str = BROWSER_HOST) -> None:
        self.stage = stage
        self.protocol: Any = stage.site.buildProtocol(None)
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", host, 50000))
        self.protocol.makeConnection(self.transport)

    def send(self, method: str, path: str, body: str | bytes = "", **headers: str) -> None:
        """Send a request."""
        data = body.encode() if isinstance(body, str) else body
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway.example.com:8086"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if data or method == "POST":
            lines.append(f"Content-Length: {len(data)}")
        self.protocol.dataReceived(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        self.stage.settle()

    def take(self) -> Answer | None:
        """The answer, if there is one."""
        data = self.transport.value()
        if not data:
            return None
        self.transport.clear()
        self.stage.flush()
        return Answer(data)

    @property
    def is_closed(self) -> bool:
        """Whether the other side has closed it."""
        return self.transport.disconnecting or self.transport.disconnected

    def drop(self) -> None:
        """Lose the connection."""
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.stage.settle()


class Stage(Network):
    """A network with a gateway beside its core."""

    make_clock: Callable[[], Clock] = Clock

    def __init__(self, gateway: GatewaySettings | None = None, **changes: object) -> None:
        self.clock = type(self).make_clock()
        self.clock.advance(1000.0)
        self.gateway: Gateway | None = None
        self.candidates: tuple[str, ...] = ()
        self.gathering: list[Any] | None = None
        web = WebMediaSettings(addresses=(OURS,), rules=RULES)
        media = MediaSettings(host=OURS, rules=RULES)
        super().__init__(**({"web": web, "media": media, "plane": FakeWebPlane()} | changes))
        settings = gateway or GatewaySettings()
        octets = iter(range(1, 2**62))
        self.gateway = Gateway(
            dataclasses.replace(self.core.settings, gateway=settings),
            settings,
            Randomness(
                token=counted("page"),
                below=lambda bound: 5 % bound,
                fraction=lambda: 0.5,
                octets=lambda size: next(octets).to_bytes(size, "big"),
            ),
            emit=super().tell,
            lend=self.core.lend,
            proved=self.core.proved,
            is_registered=self.core.servers.is_registered,
            is_registering=self.core.is_registering,
            gathered=self._gathered,
            counters=self.core.media_counters,
            wall=lambda: 1_700_000_000.5,
        )
        self.web = WebInterface(
            self.gateway,
            settings,
            self.core.settings.allowed_origins,
            self.clock,
            self.settle,
        )
        self.site = site_of(build_gateway_root(GatewayDoor(self.web.pages)), self.clock)

    def tell(self, event: Event) -> None:
        """Keep an event; the gateway hears of DNs."""
        super().tell(event)
        if self.gateway is not None and isinstance(event, DnRegistered | DnUnregistered):
            self.gateway.judged(event.dn, getattr(event, "status", 200))
            self.web.judged(event.dn)

    def has_left(self, hop: Hop, now: float) -> bool:
        """Whether the page at a hop is gone."""
        return self.gateway is not None and self.gateway.has_left(hop, now)

    def _gathered(self, fragment: str, then: Any) -> None:
        if self.gathering is None:
            then(self.candidates)
        else:
            self.gathering.append((fragment, then))

    def _collect(self) -> None:
        gateway = self.gateway
        if gateway is None:
            super()._collect()
            return
        for peer in self.peers.values():
            if peer.works:
                peer.collect()
        while True:
            of_core = self.core.take_outputs()
            for output in of_core:
                if output.hop.transport == BROWSER:
                    if isinstance(output, Send):
                        gateway.receive(output.message, output.hop, self.now)
                elif not isinstance(output, Vouched):
                    self.send(self.ours, output.hop, output.message)
            of_gateway = gateway.take_outputs()
            for told in of_gateway:
                if isinstance(told, Ready):
                    self.web.deliver(told.session)
                elif isinstance(told, HopClosed):
                    self.web.session_ended(told.session)
                    self.core.flow_closed(told.session.hop, self.now)
                else:
                    self.core.receive(told.message, told.hop, self.now)
            if not of_core and not of_gateway:
                return

    def flush(self) -> None:
        """Let answers of polls be sent for good."""
        self.clock.advance(FLUSHED_AFTER)
        self.now = self.clock.seconds()
        self.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self.now + seconds
        while self.now < end:
            agents = [peer.agent for peer in self.peers.values() if peer.works]
            moments = [agent.next_timeout() for agent in agents] + [self.core.next_timeout()]
            if self.gateway is not None:
                moments.append(self.gateway.next_timeout())
            moments += [call.getTime() for call in self.clock.getDelayedCalls()]
            due = min((m for m in moments if m is not None), default=end)
            self.clock.advance(max(0.0, min(due, end) - self.clock.seconds()))
            self.now = self.clock.seconds()
            self.core.handle_timeout(self.now)
            if self.gateway is not None:
                self.gateway.handle_timeout(self.now)
            for agent in agents:
                agent.handle_timeout(self.now)
            self.settle()
            if due > end:
                break
        self.now = end


class BrowserPage:
    """A page that speaks to the interface, on one connection for posts and one for polls."""

    def __init__(self, stage: Stage, host: str = BROWSER_HOST) -> None:
        self.stage = stage
        self.host = host
        self.sid = ""
        self.posts = Wire(stage, host)
        self.polls = Wire(stage, host)
        self.peer = ""
        self.seq = 0

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        """Ask for something that is answered at once."""
        wire = Wire(self.stage, self.host)
        wire.send(method, path, body, Origin=ORIGIN, **headers)
        answer = wire.take()
        assert answer is not None, "no answer"
        return answer

    def sign_in(self, user: str = "1001", password: str | None = None) -> Answer:
        """Sign in."""
        if password is None:
            answer = self.ask("GET", f"/sign_in?{user}")
        else:
            answer = self._ask_patiently("/sign_in", f"{user}:{password}")
        if answer.code == 200:
            self.sid = answer.text.splitlines()[0].partition("=")[2]
        return answer

    def _ask_patiently(self, path: str, body: str) -> Answer:
        """Ask for what the SIP Server may have a say in."""
        wire = Wire(self.stage, self.host)
        wire.send("POST", path, body, Origin=ORIGIN)
        for _ in range(40):
            # What follows from the SIP Server's word follows with the next turn of the loop.
            self.stage.advance(0)
            answer = wire.take()
            if answer is not None:
                return answer
            self.stage.advance(0.1)
        raise AssertionError("no answer")

    def poll(self) -> str | None:
        """Poll, and give the message if there is one; the poll is held else."""
        if self.polls.is_closed:
            self.polls = Wire(self.stage, self.host)
        self.polls.send("GET", f"/wait?id={self.sid}", Origin=ORIGIN)
        return self.got()

    def got(self) -> str | None:
        """The message that the poll has brought, if it has."""
        answer = self.polls.take()
        if answer is None:
            return None
        assert answer.code == 200, answer.code
        self.peer = answer.headers.get("pragma", "")
        return answer.text

    def next(self) -> str:
        """The next message."""
        found = self.poll()
        assert found is not None, "no message"
        return found

    def post(self, peer: str, text: str) -> Answer:
        """Post a message."""
        return self.ask("POST", f"/message?from={self.sid}&to={peer}", text)

    def offer(self, peer: str, body: bytes | None = None, **more: object) -> Answer:
        """Offer."""
        self.seq += 1
        message = {
            "messageType": "OFFER",
            "sdp": (web_sdp() if body is None else body).decode(),
            "Candidates": [],
            "offererSessionId": 103,
            "answererSessionId": None,
            "seq": self.seq,
            "tiebreaker": 7,
            **more,
        }
        return self.post(peer, "RSMP " + json.dumps(message))

    def reply(self, peer: str, kind: str, to: dict[str, Any], **more: object) -> Answer:
        """Answer, or confirm."""
        self.seq = to["seq"]
        message = {
            "messageType": kind,
            "offererSessionId": to["offererSessionId"],
            "answererSessionId": 103,
            "seq": to["seq"],
            **more,
        }
        return self.post(peer, "RSMP " + json.dumps(message))


def roap(text: str) -> dict[str, Any]:
    """The JSON of a message."""
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found
