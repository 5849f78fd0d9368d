"""Whatever pages and SIP Servers do, in any order, nothing breaks and nothing is left."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from b2bua.gateway.mailbox import MOST_OF_CALLS
from b2bua.settings import GatewaySettings
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import InDialogRequest, Invited, OfferReceived, OfferRequested
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.stage import BrowserPage, Stage, Wire, roap

PEERS = st.sampled_from(["self", "2002", "2003", "5000", "5000~2", ""])
NUMBERS = st.integers(0, 6)
DIRECTIONS = st.sampled_from(["sendrecv", "inactive", "recvonly"])


class Disorder(RuleBasedStateMachine):
    """A page, a SIP Server, and no manners."""

    @initialize(several=st.booleans())
    def begin(self, several: bool) -> None:
        """Sign in."""
        self.stage = Stage(GatewaySettings())
        self.server = self.stage.a
        self.page = BrowserPage(self.stage)
        self.page.sign_in()
        self.version = 1
        self.last: dict[str, Any] = {}
        self.stage.gateway.sessions.find(self.page.sid).holds_several = several  # type: ignore[union-attr]

    def say(self, peer: str, kind: str, seq: int, **more: object) -> None:
        """Post a message of ROAP."""
        message = {"messageType": kind, "seq": seq, "offererSessionId": 103, **more}
        answer = self.page.post(peer, "RSMP " + json.dumps(message))
        assert answer.code in (200, 404), (answer.code, answer.text)

    @rule(peer=PEERS, seq=NUMBERS, direction=DIRECTIONS, draft=st.booleans(), new=st.booleans())
    def offer(self, peer: str, seq: int, direction: str, draft: bool, new: bool) -> None:
        """OFFER."""
        self.version += 1
        body = web_sdp(direction=direction, version=self.version)
        if new:
            body = body.replace(b"o=- 4711", b"o=- %d" % (5000 + self.version))
        key = "tieBreaker" if draft else "tiebreaker"
        self.say(peer, "OFFER", seq, sdp=body.decode(), Candidates=[], **{key: 6})

    @rule(peer=PEERS, seq=NUMBERS, direction=DIRECTIONS)
    def answer(self, peer: str, seq: int, direction: str) -> None:
        """ANSWER, of any number."""
        body = web_sdp(direction=direction, setup="active", version=self.version)
        self.say(peer, "ANSWER", seq, sdp=body.decode(), answererSessionId=103)

    @rule(direction=DIRECTIONS)
    def answer_it(self, direction: str) -> None:
        """ANSWER what was offered last."""
        if self.last.get("messageType") == "OFFER":
            body = web_sdp(direction=direction, setup="active", version=self.version)
            self.say(self.page.peer, "ANSWER", self.last["seq"], sdp=body.decode())

    @rule(peer=PEERS, seq=NUMBERS, kind=st.sampled_from(["OK", "SHUTDOWN"]))
    def confirm(self, peer: str, seq: int, kind: str) -> None:
        """OK, or SHUTDOWN."""
        self.say(peer, kind, seq)

    @rule(peer=PEERS, seq=NUMBERS, error=st.sampled_from(["REFUSED", "CONFLICT", "odd"]))
    def fail(self, peer: str, seq: int, error: str) -> None:
        """ERROR."""
        self.say(peer, "ERROR", seq, errorType=error)

    @rule(peer=PEERS, text=st.sampled_from(["BYE", "GET-STATS", "INFO-MAP a=b", "INFO-PEER a=b"]))
    def post(self, peer: str, text: str) -> None:
        """Any other text."""
        self.page.post(peer, text)

    @rule(drop=st.booleans())
    def poll(self, drop: bool) -> None:
        """Poll, and perhaps lose it."""
        text = self.page.got()
        if text is None:
            self.page.polls = Wire(self.stage)
            text = self.page.poll()
        if text is not None and "{" in text and not text.startswith("PUT"):
            self.last = roap(text)
        if drop and not self.page.polls.is_closed:
            self.page.polls.drop()
            self.page.polls.transport.disconnected = True

    # The SIP Server.

    @rule(offers=st.booleans())
    def call(self, offers: bool) -> None:
        """Call the page."""
        self.server.call("1001", sdp() if offers else b"")

    @rule(does=st.sampled_from(["ring", "early", "answer", "reject", "bye"]))
    def respond(self, does: str) -> None:
        """Do something with the latest call of the page."""
        if not self.server.has(Invited):
            return
        usage = self.server.called
        try:
            self.do(usage, does)
        except OutOfPlace:
            return
        self.stage.settle()

    def do(self, usage: InviteServerUsage, does: str) -> None:
        """Do it, if it has a place."""
        now = self.stage.now
        if does in ("ring", "early"):
            usage.ring(180, now, sdp() if does == "early" else b"")
        elif does == "answer":
            usage.answer(now, sdp())
        elif does == "reject":
            usage.reject(486, now)
        else:
            usage.bye(now)

    @rule(does=st.sampled_from(["hold", "resume", "ask", "talk", "hold event", "info", "bye"]))
    def change(self, does: str) -> None:
        """Do something in a call that stands."""
        usages = [u for u in self.server.agent._usages.values() if u.session is not None]
        if not usages:
            return
        usage, now = usages[-1], self.stage.now
        self.version += 1
        try:
            if does in ("hold", "resume"):
                direction = "sendonly" if does == "hold" else "sendrecv"
                body = sdp(direction=direction, version=self.version)
                usage.modify(lambda: body, now)
            elif does == "ask":
                usage.modify(None, now)
            elif does == "talk":
                usage.notify("talk", now)
            elif does == "hold event":
                usage.notify("hold", now)
            elif does == "info":
                usage.info([("Content-Type", "application/octet-stream")], b"a=b", now)
            else:
                usage.bye(now)
        except OutOfPlace:
            return
        self.stage.settle()

    @rule(refuses=st.booleans())
    def accept(self, refuses: bool) -> None:
        """Answer what was offered to it, or asked of it."""
        for event in self.server.events:
            try:
                if isinstance(event, OfferReceived | OfferRequested):
                    if refuses:
                        event.usage.refuse(488, self.stage.now)
                    else:
                        event.usage.accept(sdp(version=self.version), self.stage.now)
                elif isinstance(event, InDialogRequest):
                    event.usage.respond(event.transaction, 200, self.stage.now)
            except OutOfPlace:
                continue
        self.stage.settle()

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0, 6.0, 12.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.stage.advance(seconds)

    @invariant()
    def bounded(self) -> None:
        """No mailbox grows without end."""
        if hasattr(self, "stage"):
            assert all(len(one.mailbox) < MOST_OF_CALLS for one in self.stage.gateway.sessions)

    def teardown(self) -> None:
        """When the page is gone nothing is left, anywhere."""
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        self.page.ask("GET", f"/sign_out?id={self.page.sid}")
        for usage in list(self.server.agent._usages.values()):
            usage.bye(stage.now)
        stage.advance(250)
        assert not len(stage.gateway.agent), "calls"
        assert not len(stage.gateway.agent.registers), "registrations"
        assert not len(stage.gateway.agent.user_agent), "usages"
        assert not len(stage.gateway.agent._deadlines), "deadlines"
        assert not len(stage.gateway.sessions), "sessions"
        assert stage.is_clean(), "the B2BUA"
        assert not stage.plane.transports, "transports"  # type: ignore[attr-defined]


Disorder.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
DisorderTests = Disorder.TestCase
