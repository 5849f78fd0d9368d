"""
Outages of a whole pair: Kamailios that are killed, frozen and come back, and a DNS that goes away.

Behind each Kamailio somebody takes calls, at a port of the same number, so that a call of the phone
is answered whichever of them it reaches. It is no SIPp: that one answers every request of a call
to where the first one came from, which is the server that is gone.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.conversation import Conversation, Seen
from tests.sippeers.dns_server import DOMAIN, Zone, dnsmasq
from tests.sippeers.kamailio import Kamailio, Settings, kamailio, kamailio_pair
from tests.sippeers.outages import (
    AT_ONCE,
    DN,
    FAILOVER,
    SLACK,
    Result,
    Unexpected,
    member,
    need,
    sip_log,
    switches,
)
from tests.sippeers.responder import responder
from tests.sippeers.sipp import Run, Sipp, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

_FAR_PORT = 5777
_MANY = 40
"""DNs that are registered from the start, where it is counted how they come back."""
_RATE, _BURST = 50, 20
_GRACE = 2.0
"""For how long a call that has met two silent servers waits for one of them to come back."""


class PairStage:
    """Two Kamailios, the suite, a phone of it, and whoever is called."""

    def __init__(
        self,
        stack: ExitStack,
        config: Callable[[Sequence[Endpoint]], Config] | None = None,
        name: str = "",
    ) -> None:
        self.stack = stack
        pair = stack.enter_context(kamailio_pair(PASSWORD, name=name))
        self.servers: list[Kamailio] = list(pair)
        self.at = [server.at for server in pair]
        self.far = [stack.enter_context(responder(at.at(_FAR_PORT))) for at in self.at]
        self.phone = Endpoint(own_address())
        told = config(self.at) if config else Config(servers=self.at)
        self.suite: Suite = stack.enter_context(suite(told))

    def revive(self, number: int) -> None:
        """One that was killed is there again, and knows nothing."""
        partner = self.at[1 - number].host
        settings = Settings(at=self.at[number], partner=partner, password=PASSWORD)
        self.servers[number] = self.stack.enter_context(kamailio(settings))

    def sign_in(self) -> None:
        """The phone registers, and its DN is registered."""
        self.register()
        self.suite.until_said(f'dn-registered dn="{DN}"')

    def register(self) -> Conversation:
        """The phone does."""
        return play(_registering(self.phone, self.suite))

    def call(self, scenario: str = "call", pause: float = 0.2) -> Conversation:
        """The phone calls."""
        return play(self.calling(scenario, pause))

    def calling(self, scenario: str, pause: float) -> Run:
        """The same, to be run beside something else."""
        return _calling(self.phone, self.suite, scenario, f"1{_FAR_PORT}", pause)

    def far_saw(self, number: int, name: str, count: int = 1) -> Seen:
        """A message that came to whom is called, through one of the servers."""
        self.far[number].wait_for(name, count)
        return self.far[number].conversation.received(name)[count - 1]

    def told(self) -> str:
        """What both of them saw."""
        return "\n".join(
            f"behind server {n + 1}\n{far.conversation.told()}" for n, far in enumerate(self.far)
        )


def _registering(phone: Endpoint, one: Suite) -> Run:
    return Run(scenario="phone-registers", at=phone, to=one.at, service=DN, password=PASSWORD)


def _calling(phone: Endpoint, one: Suite, scenario: str, number: str, pause: float) -> Run:
    return Run(
        scenario=scenario,
        at=phone,
        to=one.at,
        own=DN,
        service=number,
        timeout=60,
        patience=15,
        options=("-d", str(round(pause * 1000))),
    )


@dataclass(frozen=True)
class PairCase:
    """One row of the table."""

    name: str
    expected: str
    play: Callable[[ExitStack], Result]
    transport: str = "UDP"


def run(case: PairCase) -> Result:
    """Let it happen, and judge it."""
    with ExitStack() as stack:
        try:
            return case.play(stack)
        except AssertionError as error:
            first = str(error).splitlines()
            return Result(" ".join(first[:2])[:160], None, is_expected=False, told=str(error))


@contextmanager
def _explained(one: Suite, told: Callable[[], str] = str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise Unexpected(f"{error}\n{told()}\n{sip_log(one)}") from error


# The servers fail while nothing is under way.


def _signs_in(stack: ExitStack, fail: Callable[[Kamailio], None], limit: float) -> Result:
    stage = PairStage(stack)
    with _explained(stage.suite):
        fail(stage.servers[0])
        began = time.time()
        stage.sign_in()
        return Result("registered with the second server", _timed(time.time() - began, limit))


def _hangs_up(stack: ExitStack, fail: Callable[[Kamailio], None], limit: float) -> Result:
    stage = PairStage(stack)
    with _explained(stage.suite, stage.told):
        stage.sign_in()
        calling = stack.enter_context(sipp(stage.calling("call", 1.0)))
        stage.far_saw(0, "ACK")
        fail(stage.servers[0])
        said = calling.finish()
        # It was called through the first server; its BYE comes through the second.
        seconds = stage.far_saw(0, "BYE").at - said.sent("BYE")[0].at
        return Result("the called party has the BYE by the second server", _timed(seconds, limit))


def _holds(stack: ExitStack, fail: Callable[[Kamailio], None], limit: float) -> Result:
    stage = PairStage(stack)
    with _explained(stage.suite, stage.told):
        stage.sign_in()
        calling = stack.enter_context(sipp(stage.calling("caller-holds", 5.0)))
        stage.far_saw(0, "ACK")
        fail(stage.servers[0])
        said = calling.finish()
        held = stage.far_saw(0, "INVITE", 2)
        need(held.direction in ("sendonly", "inactive"), "the re-INVITE does not hold")
        seconds = held.at - said.sent("INVITE")[1].at
        need(stage.far_saw(0, "BYE").at - said.sent("BYE")[0].at <= AT_ONCE, "BYE came late")
        return Result("the called party is held, and has the BYE", _timed(seconds, limit))


def _timed(seconds: float, limit: float) -> float:
    early = limit - 0.1 if limit >= FAILOVER else 0.0
    need(early <= seconds <= limit + SLACK, f"took {seconds:.2f} s, not {limit:g} s")
    return seconds


# Flapping.


def _flaps(stack: ExitStack) -> Result:
    """Three times the server in use freezes, and is back a second after the other took over."""
    stage = PairStage(stack)
    waits = []
    with _explained(stage.suite, stage.told):
        stage.sign_in()
        for outage in range(3):
            old = outage % 2
            stage.servers[old].freeze()
            said = stage.call()
            waits.append(said.received("200 INVITE")[0].at - said.sent("INVITE")[0].at)
            time.sleep(1)
            stage.servers[old].thaw()
            need(len(switches(stage.suite)) == outage + 1, f"switches: {switches(stage.suite)}")
        said = stage.call()
        need(
            said.received("200 INVITE")[0].at - said.sent("INVITE")[0].at < 1, "the last call waits"
        )
        need(len(switches(stage.suite)) == 3, f"switches: {switches(stage.suite)}")
        longest = max(waits)
        need(longest <= FAILOVER + 1 + SLACK, f"a call took {longest:.2f} s")
        return Result("3 outages, 3 switches; each call was answered", longest)


# The DNS.


def by_name(name_server: Endpoint) -> Config:
    """The servers are those that the SRV records of a name tell."""
    return Config(
        more={
            "rsmp": [f"sip-proxy-srv = {DOMAIN}"],
            "b2bua": [f"dns-server = {name_server}"],
        }
    )


def _loses_dns(stack: ExitStack) -> Result:
    """The name server is gone for longer than the TTL when the first server freezes."""
    names = stack.enter_context(ExitStack())
    stage = PairStage(
        stack, lambda at: by_name(names.enter_context(dnsmasq(Zone(servers=at, ttl=1))))
    )
    with _explained(stage.suite, stage.told):
        stage.sign_in()
        names.close()
        time.sleep(4)
        stage.call()
        need(not switches(stage.suite), "another server without need")
        stage.servers[0].freeze()
        said = stage.call()
        seconds = stage.far_saw(1, "INVITE").at - said.sent("INVITE")[0].at
        need("gives no SIP Server" not in stage.suite.program.log(), "the servers were forgotten")
        return Result("last known servers: switched, and answered", _timed(seconds, FAILOVER))


# Both are down.


class _SippPair:
    """Two SIPps as the servers, since they write down every REGISTER, and many DNs."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.at = [Endpoint(own_address()) for _ in range(2)]
        self.servers: list[Sipp] = [stack.enter_context(sipp(member(at))) for at in self.at]
        numbers = ", ".join(str(7000 + n) for n in range(_MANY))
        self.suite: Suite = stack.enter_context(suite(Config(servers=self.at, echo=numbers)))
        self.phone = Endpoint(own_address())
        self.suite.program.wait_for(lambda: self.registered() == _MANY, "registered", 30)
        play(_registering(self.phone, self.suite))
        self.suite.until_said(f'dn-registered dn="{DN}"')

    def registered(self) -> float:
        """DNs with a binding."""
        return self.suite.metric("sgw_sip_registered_dns")

    def call(self, scenario: str) -> float:
        """Seconds from the phone's INVITE to its final response."""
        said = play(_calling(self.phone, self.suite, scenario, "9001", 0.2))
        final = next(m for m in said.received() if m.name in ("200 INVITE", "503 INVITE"))
        return final.at - said.sent("INVITE")[0].at

    def told(self) -> str:
        """What the servers saw last."""
        return "\n".join(one.conversation.told()[-1500:] for one in self.servers)


def _both_killed(stack: ExitStack) -> Result:
    pair = _SippPair(stack)
    with _explained(pair.suite, pair.told):
        for one in pair.servers:
            one.program.kill()
        first = pair.call("caller-meets-no-server")
        need(first <= AT_ONCE, f"the first 503 took {first:.2f} s")
        second = pair.call("caller-meets-no-server")
        need(second <= AT_ONCE, f"the second 503 took {second:.2f} s")
        return _recovery(pair, f"503 after {first:.2f} s, then {second:.2f} s", 6.0)


def _both_frozen(stack: ExitStack) -> Result:
    pair = _SippPair(stack)
    with _explained(pair.suite, pair.told):
        for one in pair.servers:
            one.program.send_signal(signal.SIGSTOP)
        first = pair.call("caller-meets-no-server")
        need(first <= 2 * FAILOVER + _GRACE + SLACK, f"the first 503 took {first:.2f} s")
        second = pair.call("caller-meets-no-server")
        need(second <= AT_ONCE, f"the second 503 took {second:.2f} s")
        for one in pair.servers:
            one.program.kill()
        return _recovery(pair, f"503 after {first:.2f} s, then {second:.2f} s", FAILOVER + 6.0)


def _recovery(pair: _SippPair, outcome: str, limit: float) -> Result:
    """The second server comes back, and nobody else."""
    time.sleep(4)
    back = pair.stack.enter_context(sipp(member(pair.at[1])))
    pair.servers.append(back)
    began = time.time()
    pair.suite.until_said("reason=recovered", limit)
    seconds = time.time() - began
    need(pair.call("call") <= 1, "a call takes long")
    time.sleep(3)
    registers = [m.at for m in back.conversation.received("REGISTER")]
    busiest = max(Counter(int(at) for at in registers).values(), default=0)
    need(busiest <= _RATE + _BURST, f"{busiest} REGISTERs in a second")
    need(pair.registered() == _MANY + 1, f"{pair.registered():g} DNs are registered")
    need(len(switches(pair.suite)) <= 2, f"switches: {switches(pair.suite)}")
    return Result(f"{outcome}; back in use, at most {busiest} REGISTER/s, no DN lost", seconds)


def _pair_cases() -> Iterator[PairCase]:
    for name, fail, limit, within in (
        ("killed", Kamailio.kill, AT_ONCE, f"<= {AT_ONCE:g} s"),
        ("frozen", Kamailio.freeze, FAILOVER, f"after {FAILOVER:g} s"),
    ):
        for moment, expected, course in (
            ("before REGISTER", "registered with the second server", _signs_in),
            ("mid-call, BYE", "the BYE goes through the second server", _hangs_up),
            ("mid-call, hold", "the re-INVITE goes through the second server", _holds),
        ):
            yield PairCase(
                f"{name}, {moment}", f"{expected} {within}", partial(course, fail=fail, limit=limit)
            )
    yield PairCase("flapping: 3 freezes in turn", "one switch per outage, no call lost", _flaps)
    yield PairCase(
        "DNS gone, then frozen", "last known servers serve; switch after 4 s", _loses_dns
    )
    yield PairCase(
        "both killed, one back",
        "callers get 503 at once; back in use within 6 s, no storm",
        _both_killed,
    )
    yield PairCase(
        "both frozen, one back",
        "503 after twice 4 s and 2 s in which one may come back, then at once; "
        "back in use within 10 s, no storm",
        _both_frozen,
    )


CASES = tuple(_pair_cases())
