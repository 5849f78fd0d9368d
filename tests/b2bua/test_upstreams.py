"""Tests of b2bua.upstreams."""

from __future__ import annotations

from itertools import pairwise
from random import Random

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

from b2bua.upstreams import (
    AllDown,
    Output,
    PoolTimes,
    Probe,
    Reason,
    Recovered,
    Sent,
    Server,
    ServerPool,
    State,
    Switched,
)

A = Server("sip-a.example", 5060)
B = Server("192.0.2.2", 5070, "TCP")
C = Server("2001:db8::3", 5061, "TLS")


class PoolTestCase(SynchronousTestCase):
    """A pool of two, at time 100, whose first probes were asked for and answered."""

    def setUp(self) -> None:
        self.make([A, B])

    def make(self, servers: list[Server], times: PoolTimes | None = None) -> None:
        """Make the pool; ``sip.example`` is the name of the pair."""
        names = ["SIP.example.", "pair.example"]
        self.pool = ServerPool(servers, Random(7).random, 100.0, pair_names=names, times=times)
        for probe in self.probes(100.0):
            self.pool.answered(probe, 100.0)

    def probes(self, now: float) -> list[Sent]:
        """Let the time come, and give the probes that it brings."""
        self.pool.handle_timeout(now)
        return [output.sent for output in self.pool.take_outputs() if isinstance(output, Probe)]

    def probe_of_first(self, now: float) -> Sent:
        """The probe of the first server, which must be due."""
        (probe,) = [sent for sent in self.probes(now) if sent.server == 0]
        return probe

    def news(self) -> list[Output]:
        """What the pool tells, but for probes."""
        return [output for output in self.pool.take_outputs() if not isinstance(output, Probe)]

    def send(self, now: float) -> Sent:
        """Send a request; there must be a server."""
        sent = self.pool.send(now)
        assert sent is not None
        return sent

    def silence(self, now: float) -> None:
        """Send a request that is not answered in time."""
        self.pool.failed(self.send(now), Reason.UNANSWERED, now + 4.0)


class SwitchingTests(PoolTestCase):
    """Which failures change the server, and how often."""

    def test_start(self) -> None:
        """The first server is in use at the start, and all are probed at once."""
        pool = ServerPool([A, B], Random(1).random, 5.0)
        self.assertEqual(pool.active, A)
        self.assertEqual(pool.next_timeout(), 5.0)
        pool.handle_timeout(5.0)
        self.assertEqual(
            [p.sent.server for p in pool.take_outputs() if isinstance(p, Probe)], [0, 1]
        )
        self.assertRaises(ValueError, ServerPool, [], Random(1).random, 5.0)

    def test_silence(self) -> None:
        """A request without an answer brings the other server, and says from where to where."""
        self.silence(110.0)
        self.assertEqual(self.news(), [Switched(A, B, Reason.UNANSWERED)])
        self.assertEqual(self.pool.active, B)
        self.assertEqual(self.send(114.0).server, 1)

    def test_transport_error(self) -> None:
        """A transport error brings the other server in the same instant."""
        self.pool.failed(self.send(110.0), Reason.TRANSPORT, 110.1)
        self.assertEqual(self.news(), [Switched(A, B, Reason.TRANSPORT)])

    def test_unavailable(self) -> None:
        """503 does, with or without Retry-After."""
        for retry_after in (0.0, 30.0):
            self.make([A, B])
            self.pool.failed(self.send(110.0), Reason.UNAVAILABLE, 110.1, retry_after)
            self.assertEqual(self.news(), [Switched(A, B, Reason.UNAVAILABLE)])

    def test_one_outage_one_switch(self) -> None:
        """A thousand requests that time out in one outage are one switch."""
        requests = [self.send(110.0 + n / 1000) for n in range(1000)]
        for n, request in enumerate(requests):
            self.pool.failed(request, Reason.UNANSWERED, 114.0 + n / 1000)
        self.assertEqual(self.news(), [Switched(A, B, Reason.UNANSWERED)])
        self.assertEqual(self.pool.generation, 2)

    def test_back_and_forth(self) -> None:
        """When the second fails later, the first is used again."""
        self.silence(110.0)
        self.silence(200.0)
        self.assertEqual(
            self.news(), [Switched(A, B, Reason.UNANSWERED), Switched(B, A, Reason.UNANSWERED)]
        )

    def test_back_soon(self) -> None:
        """A server that has answered since it failed is used again, however soon."""
        self.silence(110.0)
        self.pool.answered(Sent(0, 2, 119.0, is_probe=True), 119.1)
        self.silence(120.0)
        self.assertEqual(self.news()[-1], Switched(B, A, Reason.UNANSWERED))

    def test_old_generation(self) -> None:
        """What fails after its server came back into use says nothing about that."""
        old = self.send(110.0)
        self.silence(110.0)
        self.silence(200.0)
        self.news()
        self.pool.failed(old, Reason.UNANSWERED, 205.0)
        self.assertEqual(self.news(), [])
        self.assertEqual(self.pool.active, A)

    def test_standby(self) -> None:
        """A standby that does not answer probes changes nothing, and is used when needed."""
        self.pool.failed(Sent(1, 1, 120.0, is_probe=True), Reason.UNANSWERED, 124.0)
        self.assertEqual(self.news(), [])
        self.silence(130.0)
        self.assertEqual(self.pool.active, B)

    def test_single_request_unanswered(self) -> None:
        """
        A request that alone is not answered, while later ones were, makes no switch.

        A probe decides; if it is not answered either, the server is left.
        """
        lost = self.send(110.0)
        self.pool.answered(self.send(111.0), 111.1)
        self.pool.failed(lost, Reason.UNANSWERED, 114.0)
        self.assertEqual(self.pool.active, A)
        self.pool.answered(self.probe_of_first(114.0), 114.1)
        self.assertEqual(self.pool.active, A)
        self.pool.failed(lost, Reason.UNANSWERED, 115.0)
        self.pool.failed(self.probe_of_first(115.0), Reason.UNANSWERED, 119.0)
        self.assertEqual(self.news(), [Switched(A, B, Reason.UNANSWERED)])

    def test_probe_proves_nothing_about_requests(self) -> None:
        """A server that answers OPTIONS and nothing else is left."""
        lost = self.send(110.0)
        self.pool.answered(Sent(0, 1, 111.0, is_probe=True), 111.1)
        self.pool.failed(lost, Reason.UNANSWERED, 114.0)
        self.assertEqual(self.pool.active, B)

    def test_idle_detection(self) -> None:
        """Without any request, an unanswered probe of the active server makes the switch."""
        probe = self.probe_of_first(130.0)
        self.pool.failed(probe, Reason.UNANSWERED, probe.at + 4.0)
        self.assertEqual(self.news(), [Switched(A, B, Reason.UNANSWERED)])

    def test_three_servers(self) -> None:
        """Three servers take over in turn; each one is tried before all count as down."""
        self.make([A, B, C])
        for expected in (B, C):
            self.pool.failed(self.send(110.0), Reason.TRANSPORT, 110.0)
            self.assertEqual(self.pool.active, expected)
        self.pool.failed(self.send(110.0), Reason.TRANSPORT, 110.0)
        self.assertEqual(self.news()[-1], AllDown())


class AllDownTests(PoolTestCase):
    """When no server is left."""

    def go_down(self, now: float = 110.0) -> None:
        """Have both fail."""
        for _ in range(2):
            self.pool.failed(self.send(now), Reason.TRANSPORT, now)
        self.assertEqual(self.news()[-1], AllDown())

    def test_down(self) -> None:
        """The second failure in a short time means that all are down: nothing can be sent."""
        self.go_down()
        self.assertIs(self.pool.state, State.ALL_DOWN)
        self.assertIsNone(self.pool.send(111.0))
        self.assertEqual(self.pool.active, B)

    def test_single_server(self) -> None:
        """A single server has nobody to take over; it is asked again soon."""
        self.make([A])
        self.silence(110.0)
        self.assertEqual(self.news(), [AllDown()])
        self.assertTrue(114.5 <= self.pool.next_timeout() <= 115.0)
        (probe,) = self.probes(115.0)
        self.pool.answered(probe, 115.1)
        self.assertEqual(self.news(), [Recovered(A)])

    def test_other_server_answers(self) -> None:
        """The first answer ends it, but the server that was just left not within 4 s."""
        self.go_down()
        self.pool.answered(Sent(0, 1, 109.0), 110.1)
        self.assertEqual(self.news(), [])
        self.pool.answered(self.probe_of_first(114.0), 114.1)
        self.assertEqual(self.news(), [Recovered(A)])
        self.assertEqual(self.send(114.2).server, 0)

    def test_late_answer(self) -> None:
        """An answer that came too late for the switch is welcome when there is no other server."""
        late = self.send(110.0)
        self.pool.failed(late, Reason.UNANSWERED, 114.0)
        self.silence(114.0)
        self.pool.answered(late, 119.0)
        self.assertEqual(self.news()[-1], Recovered(A))

    def test_probe_intervals(self) -> None:
        """Both are asked less and less often, and still often enough to notice a return in 9 s."""
        self.go_down()
        asked: dict[int, list[float]] = {0: [], 1: []}
        now = 110.0
        while now < 710.0:
            now = self.pool.next_timeout()
            for probe in self.probes(now):
                asked[probe.server].append(now)
                self.pool.failed(probe, Reason.TRANSPORT, now)
        for moments in asked.values():
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            self.assertTrue(all(0.5 <= gap <= 5.0 for gap in gaps))
            self.assertTrue(all(gap >= 2.5 for gap in gaps[4:]))
            self.assertTrue(gaps[0] < 2.1)

    def test_retry_after(self) -> None:
        """A server that said Retry-After is left alone so long, but for a minute at most."""
        self.make([A])
        for said, kept in ((20.0, 20.0), (3600.0, 60.0)):
            self.pool.failed(self.send(200.0), Reason.UNAVAILABLE, 200.0, said)
            self.assertEqual(self.pool.next_timeout(), 200.0 + kept)
            probe = self.probes(200.0 + kept)[0]
            self.pool.failed(probe, Reason.UNAVAILABLE, 260.0, 7.0)
            self.assertEqual(self.pool.next_timeout(), 267.0)
            self.pool.answered(self.probes(267.0)[0], 267.0)
            self.assertIs(self.pool.state, State.ACTIVE)
            self.make([A])

    def test_back_off_outlasts_an_empty_recovery(self) -> None:
        """A server that answers probes and fails each request is not asked ever faster."""
        self.make([A])
        self.pool.failed(self.send(110.0), Reason.UNANSWERED, 110.0)
        for _ in range(4):
            now = self.pool.next_timeout()
            self.pool.failed(self.probes(now)[0], Reason.UNANSWERED, now)
        now = self.pool.next_timeout()
        self.pool.answered(self.probes(now)[0], now)
        self.pool.failed(self.send(now), Reason.UNAVAILABLE, now)
        self.assertTrue(self.pool.next_timeout() - now >= 2.5)


class ProbeTests(PoolTestCase):
    """Probes while all is well."""

    def test_interval(self) -> None:
        """Each server is asked every 10 to 30 s, at uneven intervals."""
        asked: dict[int, list[float]] = {0: [100.0], 1: [100.0]}
        now = 100.0
        while now < 2000.0:
            now = self.pool.next_timeout()
            for probe in self.probes(now):
                asked[probe.server].append(now)
                self.pool.answered(probe, now)
        for moments in asked.values():
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            self.assertTrue(all(10.0 <= gap <= 30.0 for gap in gaps))
            self.assertTrue(max(gaps) - min(gaps) > 5.0)

    def test_busy(self) -> None:
        """A server that answers requests needs no probes."""
        now = 100.0
        probed = []
        while now < 400.0:
            now += 1.0
            self.pool.answered(self.send(now), now)
            probed += [probe.server for probe in self.probes(now)]
        self.assertNotIn(0, probed)
        self.assertTrue(8 <= probed.count(1) <= 31)

    def test_untold_probe(self) -> None:
        """A probe of which nothing is heard does not end the probing."""
        self.probes(130.0)
        self.assertTrue(130.0 < self.pool.next_timeout() <= 164.0)


class FailBackTests(PoolTestCase):
    """The way back to the first server."""

    def probe_until(self, end: float) -> None:
        """Answer all probes until then."""
        while (now := self.pool.next_timeout()) < end:
            for probe in self.probes(now):
                self.pool.answered(probe, now)

    def test_off(self) -> None:
        """By default nothing leads back while the second server answers."""
        self.silence(110.0)
        self.probe_until(5000.0)
        self.assertEqual(self.pool.active, B)

    def test_on(self) -> None:
        """If wanted, the first server is used again once it has answered for long enough."""
        self.make([A, B], PoolTimes(fail_back=120.0))
        self.silence(110.0)
        self.news()
        self.probe_until(200.0)
        self.assertEqual(self.pool.active, B)
        self.pool.failed(Sent(0, 2, 200.0, is_probe=True), Reason.UNANSWERED, 204.0)
        self.probe_until(320.0)
        self.assertEqual(self.pool.active, B)
        while self.pool.active == B:
            (probe, *_) = self.probes(self.pool.next_timeout())
            self.pool.answered(probe, probe.at)
        self.assertTrue(324.0 <= probe.at <= 400.0, probe.at)
        self.assertEqual(self.news(), [Switched(B, A, Reason.FAIL_BACK)])


class NextHopTests(PoolTestCase):
    """Which names and addresses mean the active server."""

    def test_pair_name(self) -> None:
        """The SRV name and its aliases do, in any case, whatever the port; before and after."""
        for expected in (A, B):
            for name in ("sip.example", "SIP.EXAMPLE.", "Pair.example"):
                for port in (None, 5060, 6000):
                    self.assertEqual(self.pool.next_hop(name, port, "udp"), expected)
            self.silence(110.0)

    def test_members(self) -> None:
        """So does the address of either server with its port, for calls that outlive it."""
        self.pool.resolved(0, ["192.0.2.1", "2001:DB8::1"])
        for host, port in (
            ("sip-a.example", None),
            ("192.0.2.1", 5060),
            ("[2001:db8::1]", None),
            ("192.0.2.2", 5070),
        ):
            self.assertEqual(self.pool.next_hop(host, port, "UDP"), A)

    def test_strangers(self) -> None:
        """Other hosts, and other ports of a server, do not."""
        for host, port in (("192.0.2.9", None), ("192.0.2.2", None), ("sip-a.example", 5080)):
            self.assertIsNone(self.pool.next_hop(host, port, "UDP"))

    def test_security(self) -> None:
        """What is meant to be secure is not sent to a server that is not."""
        self.assertIsNone(self.pool.next_hop("sip.example", None, "tls"))
        self.make([C, A])
        self.assertEqual(self.pool.next_hop("sip.example", None, "TLS"), C)
        self.assertEqual(self.pool.next_hop("2001:db8::3", None, "TLS"), C)

    def test_sources(self) -> None:
        """Requests come from both servers, active or not, and from nobody else."""
        self.pool.resolved(0, ["192.0.2.1"])
        for host in ("192.0.2.1", "192.0.2.2"):
            self.assertTrue(self.pool.is_server(host))
        for host in ("192.0.2.3", "pair.example", ""):
            self.assertFalse(self.pool.is_server(host))
        self.pool.resolved(0, ["192.0.2.7"])
        self.assertFalse(self.pool.is_server("192.0.2.1"))


class ReplacingTests(PoolTestCase):
    """Servers that come and go."""

    def test_one_stays(self) -> None:
        """The server in use stays in use, with what is known of it, wherever it stands now."""
        self.silence(110.0)
        self.news()
        self.pool.replace_servers({C: [], B: ["b.example"], A: []}, 120.0)
        self.assertEqual(self.news(), [])
        self.assertEqual((self.pool.active, self.pool.generation), (B, 2))
        self.assertEqual(self.pool.servers, (C, B, A))
        self.assertTrue(self.pool.is_suspect(A, 120.0))
        self.assertFalse(self.pool.is_suspect(C, 120.0))
        self.assertTrue(self.pool.is_server("B.example"))
        self.assertRaises(ValueError, self.pool.replace_servers, {}, 120.0)

    def test_new_one_is_probed(self) -> None:
        """At once, as at the start."""
        self.pool.replace_servers({A: [], C: []}, 120.0)
        (probe,) = [sent for sent in self.probes(120.0) if self.pool.server_of(sent) == C]
        self.assertEqual(probe.at, 120.0)

    def test_one_in_use_goes(self) -> None:
        """Another takes over in a new generation, one that has not failed if there is one."""
        old = self.send(110.0)
        self.pool.replace_servers({B: [], C: []}, 111.0)
        self.assertEqual(self.news(), [Switched(A, B, Reason.REMOVED)])
        self.assertEqual(self.pool.generation, 2)
        self.assertIsNone(self.pool.server_of(old))
        self.pool.failed(old, Reason.TRANSPORT, 112.0)
        self.pool.answered(old, 112.0)
        self.assertEqual(self.news(), [])
        self.assertEqual(self.pool.active, B)

    def test_only_suspects_are_left(self) -> None:
        """Then all are down, and probed until one answers."""
        self.silence(110.0)
        self.news()
        self.pool.replace_servers({A: []}, 115.0)
        self.assertEqual(self.news(), [AllDown()])
        probe = self.probe_of_first(118.0)
        self.pool.answered(probe, 119.0)
        self.assertEqual(self.news(), [Recovered(A)])

    def test_while_all_are_down(self) -> None:
        """A new server recovers the pool by its answer, not by being there."""
        self.silence(110.0)
        self.silence(115.0)
        self.news()
        self.pool.replace_servers({C: []}, 120.0)
        self.assertEqual(self.news(), [])
        self.assertIsNone(self.pool.send(120.0))
        (probe,) = self.probes(120.0)
        self.pool.answered(probe, 120.1)
        self.assertEqual(self.news(), [Recovered(C)])

    def test_number_is_never_given_again(self) -> None:
        """A server that comes back starts anew: old failures are not its own."""
        old = self.send(110.0)
        self.pool.replace_servers({B: []}, 111.0)
        self.pool.replace_servers({A: [], B: []}, 112.0)
        self.assertIsNone(self.pool.server_of(old))
        self.assertFalse(self.pool.is_suspect(A, 112.0))

    def test_fail_back_by_order(self) -> None:
        """An earlier server is one that stands earlier now."""
        self.make([A, B], PoolTimes(fail_back=20.0))
        self.pool.replace_servers({C: [], A: [], B: []}, 101.0)
        for now in (101.0, 125.0, 160.0, 200.0):
            for sent in self.probes(now):
                self.pool.answered(sent, now + 0.1)
        self.assertEqual(self.pool.active, C)


class ReplacingModel(RuleBasedStateMachine):
    """Servers come, go and fail, in any order."""

    @initialize(seed=st.integers(0, 99), steady=st.sampled_from([None, 20]))
    def start(self, seed: int, steady: float | None) -> None:
        self.now = 100.0
        times = PoolTimes(fail_back=steady)
        self.pool = ServerPool([A, B], Random(seed).random, self.now, times=times)
        self.out: list[Sent] = []
        self.state, self.generation, self.active = State.ACTIVE, 1, A

    @rule(
        servers=st.lists(st.sampled_from([A, B, C]), min_size=1, unique=True),
    )
    def replace(self, servers: list[Server]) -> None:
        self.pool.replace_servers(dict.fromkeys(servers, ()), self.now)
        assert self.pool.servers == tuple(servers)
        if self.active in servers:
            assert self.pool.active == self.active and self.pool.generation == self.generation

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pool.handle_timeout(self.now)

    @rule()
    def send(self) -> None:
        sent = self.pool.send(self.now)
        self.out += [sent] if sent else []

    @precondition(lambda self: self.out)
    @rule(data=st.data(), reason=st.sampled_from([*Reason][:3]))
    def fail(self, data: st.DataObject, reason: Reason) -> None:
        self.pool.failed(self.drawn(data), reason, self.now, 9.0)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.pool.answered(self.drawn(data), self.now)

    def drawn(self, data: st.DataObject) -> Sent:
        return self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))

    @invariant()
    def consistent(self) -> None:
        pool = self.pool
        for output in pool.take_outputs():
            match output:
                case Probe(sent):
                    assert pool.server_of(sent) in pool.servers
                    self.out.append(sent)
                case Switched(old, new, _):
                    assert self.state is State.ACTIVE and old == self.active != new
                    self.active = new
                    self.generation += 1
                case AllDown():
                    assert self.state is State.ACTIVE
                    self.state = State.ALL_DOWN
                case Recovered(server):
                    assert self.state is State.ALL_DOWN
                    self.state, self.active = State.ACTIVE, server
                    self.generation += 1
        assert (pool.state, pool.generation) == (self.state, self.generation)
        assert pool.active in pool.servers
        assert pool.active == self.active or pool.state is State.ALL_DOWN
        self.active = pool.active


class PoolModel(RuleBasedStateMachine):
    """Requests fare as they will, in any order, at any time."""

    @initialize(
        servers=st.integers(1, 3), seed=st.integers(0, 99), steady=st.sampled_from([None, 20])
    )
    def start(self, servers: int, seed: int, steady: float | None) -> None:
        self.now = 100.0
        chosen = [A, B, C][:servers]
        times = PoolTimes(fail_back=steady)
        self.pool = ServerPool(chosen, Random(seed).random, self.now, times=times)
        self.out: list[Sent] = []
        self.active = 0
        self.left: dict[int, float] = {}
        self.closed: dict[int, float] = {}

    def settle(self, cause: Sent | None) -> None:
        """Look at what came out of one input."""
        generation, was_down = self.generation, self.down
        for output in self.pool.take_outputs():
            match output:
                case Probe(sent):
                    self.out.append(sent)
                case Switched(old, new, reason):
                    assert not was_down and old is not new
                    if reason is not Reason.FAIL_BACK:
                        assert cause and cause.generation == generation
                    self.check_entry(new)
                case Recovered(server):
                    assert was_down
                    self.check_entry(server)
                case AllDown():
                    assert not was_down and cause and cause.generation == generation

    def check_entry(self, server: Server) -> None:
        index = self.pool.servers.index(server)
        assert self.now >= self.closed.get(index, 0.0), "used within its Retry-After"
        if index != self.active:
            assert self.now >= self.left.get(index, 0.0) + 4.0, "back within 4 s"
            self.left[self.active] = self.now
        self.active = index

    @precondition(lambda self: self.pool.send(self.now))
    @rule()
    def send(self) -> None:
        self.out.append(self.pool.send(self.now))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.0, 10.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.remember()
        self.now += seconds
        self.pool.handle_timeout(self.now)
        self.settle(None)
        assert self.pool.next_timeout() > self.now

    @precondition(lambda self: self.out)
    @rule(data=st.data(), reason=st.sampled_from([*Reason][:3]), rest=st.sampled_from([0, 9, 900]))
    def fail(self, data: st.DataObject, reason: Reason, rest: float) -> None:
        self.remember()
        sent = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        rest = rest if reason is Reason.UNAVAILABLE else 0.0
        self.pool.failed(sent, reason, self.now, rest)
        until = self.now + min(rest, 60.0)
        self.closed[sent.server] = max(self.closed.get(sent.server, 0.0), until)
        self.settle(sent)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.remember()
        sent = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.pool.answered(sent, self.now)
        self.settle(sent)

    def remember(self) -> None:
        self.generation, self.down = self.pool.generation, self.pool.state is State.ALL_DOWN

    @invariant()
    def consistent(self) -> None:
        assert self.pool.active is self.pool.servers[self.active]
        sent = self.pool.send(self.now)
        assert (sent is None) == (self.pool.state is State.ALL_DOWN)
        if sent:
            assert (sent.server, sent.generation) == (self.active, self.pool.generation)


class PoolModelTests(SynchronousTestCase):
    """The pool under any sequence of events."""

    def test_model(self) -> None:
        """
        Only failures of the current generation move the pool; no server is returned to within
        4 s or within its Retry-After; probing never stops.
        """
        run_state_machine_as_test(PoolModel, settings=settings(stateful_step_count=40))

    def test_replacing(self) -> None:
        """With servers that come and go, one in use is always one there is, by one generation."""
        run_state_machine_as_test(ReplacingModel, settings=settings(stateful_step_count=40))
