"""Tests of INVITE usages against a network that loses, doubles and reorders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import (
    Ended,
    InDialogRequest,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    Progress,
)
from b2bua.sip.usage_states import Exchange, SessionState, UsageState
from tests.sip.usages import ANSWER, OFFER, Side, Wire

BOTH = st.sampled_from(["alice", "bob"])


class Network(RuleBasedStateMachine):
    """One call between two usages; users do anything at any time."""

    transport = "UDP"

    @initialize(offer=st.booleans(), interval=st.sampled_from([0, 90]), stands=st.booleans())
    def begin(self, offer: bool, interval: int, stands: bool) -> None:
        profile = Profile(allow_events=("talk",), session_expires=interval)
        self.wire = Wire(profile, profile, self.transport)
        self.usages: dict[str, InviteUsage] = {}
        self.open: dict[str, list[OfferReceived | OfferRequested | Progress]] = {}
        # Without a session timer nobody learns of a BYE that was lost with all its copies.
        self.loses = False
        self.ends: dict[str, int] = {"alice": 0, "bob": 0}
        self.open = {"alice": [], "bob": []}
        self.must_agree = interval > 0
        if stands:
            alice, bob = self.wire.call(OFFER if offer else b"")
            self.usages = {"alice": alice, "bob": bob}
        else:
            self.usages["alice"] = self.wire.invite(OFFER if offer else b"")

    def side(self, name: str) -> Side:
        return self.wire.alice if name == "alice" else self.wire.bob

    def look(self) -> None:
        """Take what both users are told."""
        for name in ("alice", "bob"):
            side = self.side(name)
            self.wire.collect(side)
            events, side.events = side.events, []
            for event in events:
                assert self.ends[name] == 0, f"{event} after the end"
                if isinstance(event, Invited):
                    self.usages["bob"] = event.usage
                elif isinstance(event, Ended):
                    self.ends[name] += 1
                elif isinstance(event, OfferReceived | OfferRequested) or (
                    isinstance(event, Progress) and event.is_offer
                ):
                    self.open[name].append(event)
                elif isinstance(event, InDialogRequest):
                    event.usage.respond(event.transaction, 200, self.wire.now)

    def attempt(self, name: str, command: Callable[[InviteUsage], None]) -> None:
        usage = self.usages.get(name)
        if usage is not None:
            # What a state has no place for is said to be so, and must not have done harm.
            with contextlib.suppress(OutOfPlace):
                command(usage)
            self.look()

    @rule(reliable=st.booleans(), body=st.booleans())
    def ring(self, reliable: bool, body: bool) -> None:
        def command(usage: InviteUsage) -> None:
            assert isinstance(usage, InviteServerUsage)
            usage.ring(183, self.wire.now, ANSWER if body else b"", reliable=reliable)

        self.attempt("bob", command)

    @rule()
    def answer(self) -> None:
        def command(usage: InviteUsage) -> None:
            assert isinstance(usage, InviteServerUsage)
            answered = (Exchange.DONE, Exchange.OURS)
            done = any(session.exchange in answered for session in usage.sessions())
            usage.answer(self.wire.now, b"" if done else ANSWER)

        self.attempt("bob", command)

    @rule(name=BOTH, offer=st.booleans())
    def modify(self, name: str, offer: bool) -> None:
        given = (lambda: OFFER) if offer else None
        self.attempt(name, lambda usage: usage.modify(given, self.wire.now))

    @rule(name=BOTH, refuses=st.booleans())
    def decide(self, name: str, refuses: bool) -> None:
        if self.open[name]:
            event = self.open[name].pop(0)
            if refuses and not isinstance(event, Progress):
                self.attempt(name, lambda usage: usage.refuse(488, self.wire.now, event.dialog))
            else:
                self.attempt(name, lambda usage: usage.accept(ANSWER, self.wire.now, event.dialog))

    @rule(name=BOTH)
    def notify(self, name: str) -> None:
        self.attempt(name, lambda usage: usage.notify("talk", self.wire.now))

    @precondition(lambda self: self.ends == {"alice": 0, "bob": 0})
    @rule(name=BOTH, luck=st.integers(0, 4))
    def hang_up(self, name: str, luck: int) -> None:
        if luck == 0:
            self.attempt(name, lambda usage: usage.bye(self.wire.now))

    @rule(random=st.integers(0, 400))
    def other_luck(self, random: int) -> None:
        self.wire.alice.random = random
        self.wire.bob.random = 400 - random

    @precondition(lambda self: self.wire.flying)
    @rule(data=st.data(), copies=st.integers(1, 2))
    def arrive(self, data: st.DataObject, copies: int) -> None:
        index = data.draw(st.integers(0, len(self.wire.flying) - 1))
        self.wire.flying += [self.wire.flying[index]] * (copies - 1)
        self.wire.deliver(index)
        self.look()

    @rule()
    def flush(self) -> None:
        self.wire.run()
        self.look()

    @precondition(lambda self: self.wire.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.wire.flying[data.draw(st.integers(0, len(self.wire.flying) - 1))]
        self.loses = True

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 10.0, 40.0]), hold=st.booleans())
    def wait(self, seconds: float, hold: bool) -> None:
        self.wire.wait(seconds, hold=hold)
        if seconds > 5:
            # No message lives longer in the network than T4.
            self.loses = self.loses or bool(self.wire.flying)
            self.wire.flying.clear()
        self.look()

    @invariant()
    def tables_follow_usages(self) -> None:
        for side in (self.wire.alice, self.wire.bob):
            assert len(side.agent._deadlines) <= len(side.agent)

    def settle(self) -> None:
        """A network without loss, and users who answer what they are asked."""
        for _ in range(150):
            self.wire.run()
            self.wire.wait(2.0)
            self.look()
            for name in ("alice", "bob"):
                while self.open[name]:
                    self.decide(name, refuses=False)

    def teardown(self) -> None:
        """With the network whole again both ends agree; after a BYE nothing is left of it."""
        if not hasattr(self, "wire"):
            return
        self.settle()
        alice, bob = self.usages["alice"], self.usages.get("bob")
        if bob is not None and bob.state in (UsageState.RINGING, UsageState.WITHHELD):
            # A caller that gave up may have had no way to say so: its CANCEL was lost for 32 s.
            assert alice.state in (UsageState.CALLING, UsageState.ENDED), alice
        elif self.loses and not self.must_agree:
            pass
        elif UsageState.ESTABLISHED in (alice.state, bob and bob.state):
            assert bob is not None
            assert (alice.state, bob.state) == (UsageState.ESTABLISHED,) * 2, (alice, bob)
            for usage in (alice, bob):
                (session,) = usage.sessions()
                assert session.state is SessionState.IDLE, (usage, session.state)
                assert session.exchange is Exchange.DONE, usage
        if bob is not None:
            bob.bye(self.wire.now)
            self.settle()
        # Where the call never got through, or its end, the caller has to give up by itself.
        alice.bye(self.wire.now)
        self.settle()
        self.settle()
        assert self.ends["alice"] == 1, alice
        assert self.ends["bob"] == (1 if bob is not None else 0), bob
        assert self.wire.alice.is_clean, alice
        assert self.wire.bob.is_clean, bob


class StreamNetwork(Network):
    """The same over a transport that says it is reliable; then nothing may be lost but the 2xx."""

    transport = "TCP"

    @precondition(lambda self: self.wire.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A stream loses nothing."""

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0]), hold=st.booleans())
    def wait(self, seconds: float, hold: bool) -> None:
        self.wire.wait(seconds, hold=hold)
        self.look()


class NetworkTests(SynchronousTestCase):
    """Whatever the network does, both ends agree in the end."""

    def test_datagrams(self) -> None:
        """With loss, doubling and reorder both sides end up established, or both ended."""
        bounded = settings(max_examples=60, stateful_step_count=40, deadline=None)
        run_state_machine_as_test(Network, settings=bounded)

    def test_streams(self) -> None:
        """The same where only the order changes."""
        bounded = settings(max_examples=30, stateful_step_count=40, deadline=None)
        run_state_machine_as_test(StreamNetwork, settings=bounded)
