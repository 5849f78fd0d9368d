"""
The server against a model small enough to be seen to be right: what is alive, and until when.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer
from tests.turn.relay import Client, Relay, code, default_settings
from turn.stun.attributes import Attribute

CLIENTS = 4
PORTS = 6
USER_QUOTA = 3
PEERS = [("8.8.8.8", 1), ("8.8.8.8", 2), ("9.9.9.9", 1)]
DENIED = ("10.0.0.1", 1)

clients = strategies.integers(0, CLIENTS - 1)
peers = strategies.sampled_from(PEERS)


@dataclass
class Expected:
    """What the model knows of one client's allocation."""

    ends: float
    channels: dict[int, tuple[tuple[str, int], float]] = field(default_factory=dict)


class RelayModel(RuleBasedStateMachine):
    """Random requests, in any order, at any time, beside the books the model keeps."""

    @initialize()
    def start(self) -> None:
        self.relay = Relay(
            default_settings(
                min_port=50000,
                max_port=50000 + PORTS - 1,
                user_quota=USER_QUOTA,
                nonce_lifetime=0,
                unauthorized_rate=0,
            )
        )
        self.clients = [self.relay.client(port=port + 1) for port in range(CLIENTS)]
        self.live: dict[int, Expected] = {}
        self.reserved: list[float] = []

    def settle(self) -> None:
        """What is over at this moment is over for the server too."""
        now = self.relay.now
        self.relay.server.handle_timeout(now)
        self.live = {n: e for n, e in self.live.items() if e.ends > now}
        self.reserved = [until for until in self.reserved if until > now]

    def client(self, number: int) -> Client:
        return self.clients[number]

    @rule(number=clients, reserve=strategies.booleans())
    def allocate(self, number: int, reserve: bool) -> None:
        even = [(Attribute.EVEN_PORT, b"\x80")] if reserve else []
        answer = code(self.client(number).allocate(*even))
        if number in self.live:
            assert answer == 437
        elif len(self.live) == USER_QUOTA:
            assert answer == 486
        elif len(self.live) + len(self.reserved) == PORTS:
            assert answer == 508
        elif reserve:
            assert answer in (0, 508), "pairs may be torn apart while single ports are free"
        else:
            assert answer == 0
        if answer == 0:
            self.live[number] = Expected(self.relay.now + 600)
            if reserve:
                self.reserved.append(self.relay.now + 30)

    @rule(number=clients, lifetime=strategies.sampled_from([0, 1, 700, 9999]))
    def refresh(self, number: int, lifetime: int) -> None:
        answer = code(self.client(number).refresh(lifetime))
        assert answer == (0 if number in self.live else 437)
        if number in self.live and lifetime == 0:
            del self.live[number]
        elif number in self.live:
            self.live[number].ends = self.relay.now + max(600, min(lifetime, 3600))

    @rule(number=clients, peer=peers, denied=strategies.booleans())
    def permit(self, number: int, peer: tuple[str, int], denied: bool) -> None:
        before = len(self.relay.plane.permitted)
        named = (peer, DENIED) if denied else (peer,)
        answer = code(self.client(number).permit(*named))
        assert answer == (437 if number not in self.live else 403 if denied else 0)
        assert len(self.relay.plane.permitted) == before + (answer == 0)

    @rule(number=clients, peer=peers, channel=strategies.integers(0x3FFF, 0x4001))
    def bind(self, number: int, peer: tuple[str, int], channel: int) -> None:
        answer = code(self.client(number).bind(channel, peer))
        if number not in self.live:
            assert answer == 437
            return
        bound = self.live[number].channels
        now = self.relay.now
        taken = {n: p for n, (p, until) in bound.items() if until > now}
        others = [n for n, p in taken.items() if p == peer and n != channel]
        conflict = channel < 0x4000 or taken.get(channel, peer) != peer or others
        assert answer == (400 if conflict else 0)
        if not conflict:
            bound[channel] = (peer, now + 600)

    @rule(number=clients)
    def disconnect(self, number: int) -> None:
        five_tuple = self.client(number).path.five_tuple
        self.relay.server.disconnected(five_tuple, "gone", self.relay.now)
        self.live.pop(number, None)

    @rule(seconds=strategies.sampled_from([1, 29, 31, 299, 600]))
    def wait(self, seconds: int) -> None:
        self.relay.now += seconds
        self.settle()

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "relay"):
            return
        held = len(self.live) + len(self.reserved)
        assert len(self.relay.server.allocations) == len(self.live)
        assert len(self.relay.plane.flows) == len(self.live)
        assert len(self.relay.plane.bound) == held
        assert self.relay.addresses.free_ports == PORTS - held
        assert self.relay.quota.in_use == len(self.live)


class ModelTests(SynchronousTestCase):
    """Hypothesis drives the server and the model side by side."""

    @pytest.mark.hypothesis
    def test_the_server_does_as_the_model_says(self) -> None:
        """Every answer is the predicted one, and ports, flows and quota always add up."""
        bounded = settings(fewer(3), stateful_step_count=40)
        run_state_machine_as_test(RelayModel, settings=bounded)
