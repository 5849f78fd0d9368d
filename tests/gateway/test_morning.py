"""A contact centre behind one address opens its pages at nine, and a stranger would keep it out."""

from __future__ import annotations

import heapq
import random
from bisect import insort
from collections.abc import Callable
from itertools import count
from math import ceil
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.settings import GatewaySettings
from suite.admission import Admission, ListenLimits
from suite.incoming import IncomingStream
from suite.listen import StreamListener
from suite.settings import TcpListen
from suite.web.gateway_pages import GatewayDoor
from suite.web.ice_servers import IceServers
from suite.web.site import build_site
from tests.gateway.stage import Answer, Stage
from tests.listen.streams import Wire

CENTRE, STRANGER, HOME = "203.0.113.77", "198.51.100.66", "192.0.2.15"
AGENTS = 500
FILES = (
    *("/static/page.css", "/static/phone.css", "/static/phone.mjs", "/static/icon.svg"),
    *("/jsapi/grtc.mjs", "/static/labdom.js", "/static/phonemedia.mjs", "/static/phonewords.mjs"),
)
TICK = 0.1
TRIP = 0.3
"""Seconds for a way there and back: a slow line."""


def no_offer(host: str) -> IceServers:
    """The check page is not asked."""
    raise AssertionError(host)


class ManyCalls(Clock):
    """A clock that keeps thousands of calls in order without sorting them for each."""

    def callLater(  # type: ignore[override]
        self, delay: float, what: Callable[..., object], *args: object, **named: object
    ) -> DelayedCall:
        """Put a call in its place."""
        call = DelayedCall(
            self.seconds() + delay,
            what,
            args,
            named,
            self.calls.remove,
            lambda _: self._sortCalls(),
            self.seconds,
        )
        insort(self.calls, call, key=DelayedCall.getTime)
        return call


class BusyStage(Stage):
    """A stage with such a clock."""

    make_clock = ManyCalls


class Street:
    """The listener before everything, as the defaults have it, and whoever comes to it in time."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.stage = BusyStage(settings)
        limits = ListenLimits(http_strangers=settings.strangers_per_address)
        self.admission = Admission(limits, self.stage.clock)
        site = build_site(no_offer, self.stage.clock, gateway=GatewayDoor(self.stage.web.pages))
        self._listener = StreamListener(
            TcpListen(address=("192.0.2.1", 8086), web=True, plain_http=True),
            turn=None,
            web=lambda _: cast(IProtocol, site.buildProtocol(None)),
            tls=None,
            clock=self.stage.clock,
            limits=self.admission,
            reactor=None,  # type: ignore[arg-type]
        )
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Plan something, to a tick."""
        when = ceil((self.stage.now + seconds) / TICK) * TICK
        heapq.heappush(self._plans, (when, next(self._numbers), what))

    def run(self, seconds: float) -> None:
        """Let time pass, and do what was planned."""
        end = self.stage.now + seconds
        while self._plans and self._plans[0][0] <= end:
            when, _, what = heapq.heappop(self._plans)
            if when > self.stage.now:
                self.stage.advance(when - self.stage.now)
            what()
        self.stage.advance(end - self.stage.now)

    def connect(self, host: str) -> Line | None:
        """Open a connection; None where nobody takes it."""
        client = (host, 1024 + next(self._numbers) % 60000)
        stream = self._listener.factory.buildProtocol(IPv4Address("TCP", *client))
        return None if stream is None else Line(self, stream, client)


class Line:
    """A connection."""

    def __init__(self, street: Street, stream: IncomingStream, client: tuple[str, int]) -> None:
        self._street = street
        self._stream: IProtocol = stream
        self.wire = Wire(stream, client, street.stage.clock)
        stream.makeConnection(self.wire)

    def ask(self, request: str) -> Answer | None:
        """Send a request, and take what there is of an answer."""
        self.wire.clear()
        self._stream.dataReceived(f"{request} HTTP/1.1\r\nHost: 192.0.2.1:8086\r\n\r\n".encode())
        self._street.stage.settle()
        data = self.wire.value()
        return Answer(data) if data else None

    def begin(self) -> None:
        """Send half of a head, which keeps the connection busy."""
        self._stream.dataReceived(b"GET /ping HTTP/1.1\r\n")


class Agent:
    """A browser that loads the phone's page over six connections, signs in and polls."""

    def __init__(self, street: Street, dn: str, host: str = CENTRE) -> None:
        self._street = street
        self._dn = dn
        self._host = host
        self._lines: list[Line] = []
        self.failed: list[str] = []
        self.is_in = False

    def load(self) -> None:
        """Open the page."""
        self._open()
        self._street.later(TRIP, self._read)

    def _open(self) -> None:
        line = self._street.connect(self._host)
        if line is None:
            self.failed.append("no connection")
        else:
            self._lines.append(line)

    def _read(self) -> None:
        self._get("/phone")
        for _ in range(5):
            self._open()
        self._street.later(2 * TRIP, lambda: self._get(*FILES[:6]))
        self._street.later(3 * TRIP, lambda: self._get(*FILES[6:]))
        self._street.later(10.0, self._sign_in)

    def _get(self, *paths: str) -> None:
        for path, line in zip(paths, self._lines, strict=False):
            answer = line.ask(f"GET {path}")
            if answer is None or answer.code != 200:
                self.failed.append(path)

    def _line(self) -> Line:
        """One that the server has left open, as browsers do it, or another."""
        self._lines = [line for line in self._lines if not line.wire.is_closed]
        if not self._lines:
            self._open()
        return self._lines.pop(0)

    def _sign_in(self) -> None:
        answer = self._line().ask(f"GET /sign_in?{self._dn}")
        if answer is None or answer.code != 200:
            self.failed.append("sign in")
            return
        sid = answer.text.splitlines()[0].partition("=")[2]
        poll = self._line()
        self.is_in = poll.ask(f"GET /wait?id={sid}") is None and not poll.wire.is_closed


class Stranger:
    """Opens connections at will, and anonymous sessions, and keeps all that it gets."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._user = 0

    def come(self) -> None:
        """Take some more of both, and go on with that."""
        self._user += 1
        line = self._street.connect(STRANGER)
        if line is not None:
            line.ask(f"GET /sign_in?anon{self._user}")
        for _ in range(6):
            line = self._street.connect(STRANGER)
            if line is not None:
                line.begin()
        self._street.later(TICK, self.come)


class MorningTests(SynchronousTestCase):
    """Five hundred page loads in a minute, over six connections each."""

    def agents(self, street: Street, many: int, within: float) -> list[Agent]:
        """Let them come at random moments."""
        moments = random.Random(9)
        agents = [Agent(street, str(1000 + number)) for number in range(many)]
        for agent in agents:
            street.later(moments.uniform(0, within), agent.load)
        return agents

    def check(self, agents: list[Agent]) -> None:
        """Everybody has got everything."""
        self.assertEqual([], [agent.failed for agent in agents if agent.failed])
        self.assertTrue(all(agent.is_in for agent in agents))

    def test_centre(self) -> None:
        """All of them get in."""
        street = Street(GatewaySettings())
        agents = self.agents(street, AGENTS, 60.0)
        street.run(75.0)
        self.check(agents)
        self.assertEqual({}, street.admission.refused)

    def test_stranger(self) -> None:
        """So do as many in the fifth of a minute, though a stranger wants all places for itself."""
        street = Street(GatewaySettings(sessions=120))
        Stranger(street).come()
        street.run(20.0)
        self.assertEqual(61, len(street.stage.gateway.sessions))
        agents = self.agents(street, AGENTS // 5, 12.0)
        agents.append(Agent(street, "1999", HOME))
        street.later(15.0, agents[-1].load)
        street.run(27.0)
        self.check(agents)
        refused = ["HTTP head not finished in time", "too many HTTP connections of one address"]
        self.assertEqual(refused, sorted(street.admission.refused))
        anonymous = [each.is_anonymous for each in street.stage.gateway.sessions]
        self.assertEqual(120 - len(agents), sum(anonymous))
