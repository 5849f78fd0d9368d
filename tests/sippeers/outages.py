"""
The first server of a pair fails at one message, and what becomes of the request that meets it.

The servers are SIPps that follow ``pair-member.xml``: one that is killed or frozen does it to
itself, at the moment's message, and one that refuses says 503 there. What is slow or resets its
connections is a `responder`. The phone is a SIPp whose scenario is what a user must see: another
course of its call is a failure. What the second server saw, and when, is judged here.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.conversation import Conversation, Seen
from tests.sippeers.responder import Fault as Scripted
from tests.sippeers.responder import Responder, responder
from tests.sippeers.sipp import Run, Sipp, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

DN = "2001"
FAILOVER = 4.0
"""Seconds of silence after which a server is left."""
AT_ONCE = 0.5
SLACK = 0.7
"""For a machine with other work; what is measured stands in the table."""


_CHANGED = "is in use before="


class Fault(Enum):
    """What is wrong with the first server."""

    KILLED = "killed"
    FROZEN = "frozen"
    RESET = "reset"
    SLOW = "slow by 5 s"
    UNAVAILABLE = "503"


class Moment(Enum):
    """When it begins to be; the words are those of the table."""

    REGISTER = "before REGISTER"
    CHALLENGED = "between challenge and answer"
    INVITED = "before 1xx"
    RINGING = "after 1xx"
    ANSWERED = "after 200, before ACK"
    BYE = "mid-call, BYE"
    HOLD = "mid-call, hold"
    CHANGING = "during re-INVITE"


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen."""

    outcome: str
    seconds: float | None
    is_expected: bool = True
    told: str = ""
    """All messages, where it is not as expected."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    fault: Fault
    moment: Moment
    transport: str = "UDP"

    @property
    def name(self) -> str:
        """What it is about."""
        return f"{self.fault.value}, {self.moment.value}, {self.transport}"


class Missed(Exception):
    """A message was quicker than the fault; the case is to be run again."""


class Unexpected(AssertionError):
    """What was seen is not what is right."""


_STEPS = {
    Fault.KILLED: "kill -KILL [pid]",
    Fault.FROZEN: "kill -STOP [pid]",
}
_PLACES = {
    Moment.INVITED: "invited",
    Moment.RINGING: "ringing",
    Moment.ANSWERED: "answered",
    Moment.BYE: "up",
    Moment.HOLD: "up",
    Moment.CHANGING: "changing",
    Moment.REGISTER: "register",
    Moment.CHALLENGED: "challenged",
}
_CALLERS = {
    Moment.RINGING: "caller-rings-on",
    Moment.HOLD: "caller-holds",
    Moment.CHANGING: "caller-holds",
}
_CHALLENGE = """<send><![CDATA[
{{callee-reply 401 Unauthorized}}
WWW-Authenticate: Digest realm="server", nonce="[pid]-nonce", algorithm=MD5, qop="auth"
{{empty}}

]]></send>"""
_TRYING = """<send><![CDATA[
{{reply 100 Trying}}
{{empty}}

]]></send>"""


def _refusal(*, reply: str = "reply", then: str) -> str:
    lines = f"{{{{{reply} 503 Service Unavailable}}}}\n{{{{empty}}}}"
    return f"<send><![CDATA[\n{lines}\n\n]]></send>{then}"


_ACKED = '{{expect ACK}}<nop next="call"/>'
_OVER = '<nop next="over"/>'


def hooks(case: Case) -> dict[str, str]:
    """What the first server does otherwise than the second one."""
    if case.fault is Fault.UNAVAILABLE:
        return _refusals(case.moment)
    fail = f'<action><exec command="{_STEPS[case.fault]}"/></action>'
    wait = '<pause milliseconds="60000"/>'
    step = f"<nop>{fail}</nop>{wait}"
    if case.moment is Moment.REGISTER:
        return {}
    if case.moment is Moment.CHALLENGED:
        # The answer follows so soon that it cannot be helped to see it.
        return {"register": f'{_CHALLENGE}<recv request="REGISTER">{fail}</recv>{wait}'}
    if case.moment is Moment.CHANGING:
        step = _TRYING + step
    return {_PLACES[case.moment]: step}


def _refusals(moment: Moment) -> dict[str, str]:
    call = _refusal(reply="callee-reply", then=_ACKED)
    change = _refusal(then=_ACKED)
    leave = _refusal(then=_OVER)
    return {
        Moment.REGISTER: {"register": _refusal(reply="callee-reply", then=_OVER)},
        Moment.CHALLENGED: {
            "register": _CHALLENGE
            + "{{expect REGISTER}}"
            + _refusal(reply="callee-reply", then=_OVER)
        },
        Moment.INVITED: {"invited": call},
        Moment.RINGING: {"ringing": call},
        Moment.ANSWERED: {"leaving": leave},
        Moment.BYE: {"leaving": leave},
        Moment.HOLD: {"changing": change, "leaving": leave},
        Moment.CHANGING: {"changing": _TRYING + change, "leaving": leave},
    }[moment]


class Stage:
    """The two servers, the suite, and a phone of it."""

    def __init__(self, case: Case, stack: ExitStack) -> None:
        self.case = case
        self.phone = Endpoint(own_address())
        at = [Endpoint(own_address()) for _ in range(2)]
        self.first: Sipp | Responder = self._first(at[0], stack)
        self.second = stack.enter_context(sipp(member(at[1], case.transport)))
        config = Config(servers=at, transport=case.transport.lower())
        self.suite: Suite = stack.enter_context(suite(config))
        # What is asked of the servers at the start is not to be what finds the fault.
        self.suite.program.wait_for(
            lambda: bool(self.first.conversation.sent("200 OPTIONS")),
            "answered by the first server",
        )

    def _first(self, at: Endpoint, stack: ExitStack) -> Sipp | Responder:
        case = self.case
        if case.fault in (Fault.SLOW, Fault.RESET):
            kind = Scripted.SLOW if case.fault is Fault.SLOW else Scripted.RESET
            moment = "" if case.moment is Moment.REGISTER else _PLACES[case.moment]
            return stack.enter_context(responder(at, kind, moment))
        return stack.enter_context(sipp(member(at, case.transport, hooks(case))))

    def register(self) -> Conversation:
        """The phone does, and so its DN is to be registered with a server."""
        run = Run(
            scenario="phone-registers",
            at=self.phone,
            to=self.suite.at,
            service=DN,
            password=PASSWORD,
        )
        return play(run)

    def call(self, scenario: str, pause: float) -> Conversation:
        """The phone calls."""
        run = Run(
            scenario=scenario,
            at=self.phone,
            to=self.suite.at,
            own=DN,
            service="9001",
            timeout=40,
            patience=12,
            options=("-d", str(round(pause * 1000))),
        )
        return play(run)

    def fail(self) -> None:
        """The first server does now, if it is not to do so by itself."""
        if isinstance(self.first, Responder):
            self.first.fail()
        elif self.case.fault is Fault.KILLED:
            self.first.program.kill()
        elif self.case.fault is Fault.FROZEN:
            self.first.program.send_signal(signal.SIGSTOP)

    def told(self) -> str:
        """What the servers saw."""
        return (
            f"first server\n{self.first.conversation.told()}\n"
            f"second server\n{self.second.conversation.told()}"
        )

    def second_saw(self, name: str, timeout: float = 12) -> Seen:
        """The first message of that name at the second server."""
        self.second.wait_for(name, timeout=timeout)
        return self.second.conversation.received(name)[0]


def member(at: Endpoint, transport: str = "UDP", hooks: dict[str, str] | None = None) -> Run:
    """One server of a pair."""
    return Run(
        scenario="pair-member",
        at=at,
        transport=transport,
        calls=None,
        timeout=600,
        patience=120,
        hooks=hooks or {},
    )


@contextmanager
def staged(case: Case) -> Iterator[Stage]:
    """All that a case needs, until the end of the block."""
    with ExitStack() as stack:
        yield Stage(case, stack)


def expectation(case: Case) -> str:
    """What is right, in words for the table."""
    if case.moment in (Moment.REGISTER, Moment.CHALLENGED):
        return f"registered with the second server {_limit_in_words(case)}"
    if case.moment is Moment.INVITED:
        late = "; late answers end by ACK and BYE" if case.fault is Fault.SLOW else ""
        return f"INVITE re-sent to the second server {_limit_in_words(case)}{late}"
    if case.moment is Moment.RINGING:
        return {
            Fault.SLOW: "not re-sent; answered by the first server, late",
            Fault.UNAVAILABLE: "INVITE re-sent: by its own word the first server is done with it",
        }.get(case.fault, "never re-sent; the caller hears ringing, and gives up with 487 at once")
    what = "BYE" if case.moment in (Moment.ANSWERED, Moment.BYE) else "re-INVITE"
    if case.moment is Moment.CHANGING and case.fault in (Fault.KILLED, Fault.FROZEN):
        return (
            "call lives on; the re-INVITE with a 1xx is not re-sent, BYE goes to the second server"
        )
    return f"call lives on; {what} reaches the second server {_limit_in_words(case)}"


def limit(case: Case) -> float:
    """Seconds until the second server has what the first one did not take."""
    if case.fault in (Fault.FROZEN, Fault.SLOW):
        return FAILOVER
    taken = case.moment in (Moment.INVITED, Moment.CHALLENGED)
    if case.fault is Fault.KILLED and case.transport == "UDP" and taken:
        # It took the request; that it is gone shows when the first copy is sent.
        return AT_ONCE + 0.5
    return AT_ONCE


def _limit_in_words(case: Case) -> str:
    return f"<= {limit(case):g} s" if limit(case) < FAILOVER else f"after {FAILOVER:g} s"


def run(case: Case, tries: int = 8) -> Result:
    """Let it happen, and judge it."""
    for _ in range(tries - 1):
        with suppress(Missed):
            return _run(case)
    return _run(case)


def _run(case: Case) -> Result:
    with staged(case) as stage:
        try:
            result = _JUDGES[case.moment](stage)
            need(len(switches(stage.suite)) <= 1, f"switches: {switches(stage.suite)}")
            return result
        except AssertionError as error:
            told = f"{error}\n{stage.told()}\n{sip_log(stage.suite)}"
            first = str(error).splitlines()
            return Result(" ".join(first[:2])[:160], None, is_expected=False, told=told)


def switches(one: Suite) -> list[str]:
    """The lines of the log that tell of another server."""
    return [line for line in one.program.log().splitlines() if _CHANGED in line]


def sip_log(one: Suite) -> str:
    """The end of what the suite says."""
    return "\n".join(one.program.log().splitlines()[-40:])


def need(condition: bool, words: str) -> None:
    """Whatever is not so fails the case."""
    if not condition:
        raise Unexpected(words)


def _timed(stage: Stage, seconds: float) -> float:
    """Check how long it took."""
    wanted = limit(stage.case)
    early = wanted - 0.1 if wanted >= FAILOVER else 0.0
    need(early <= seconds <= wanted + SLACK, f"took {seconds:.2f} s, not {wanted:g} s")
    return seconds


def _registers(stage: Stage) -> Result:
    if stage.case.moment is Moment.REGISTER:
        stage.fail()
    said = stage.register()
    if stage.case.moment is Moment.REGISTER:
        # Not from the 200 on: ours may have gone out before the phone has read that.
        began = said.sent("REGISTER")[-1].at
    else:
        stage.second_saw("REGISTER")
        began = stage.first.conversation.sent("401 REGISTER")[0].at
    seconds = _timed(stage, stage.second_saw("REGISTER").at - began)
    stage.suite.until_said(f'dn-registered dn="{DN}"')
    return Result("registered with the second server", seconds)


def _resent(stage: Stage) -> Result:
    _signed_in(stage)
    said = stage.call("call", 2.5)
    copies = stage.second.conversation.received("INVITE")
    need(len({copy.header("Via") for copy in copies}) == 1, "not one INVITE at the second server")
    seconds = _timed(stage, copies[0].at - said.sent("INVITE")[0].at)
    outcome = "answered by the second server"
    if stage.case.fault is Fault.SLOW:
        first = stage.first.conversation
        need(bool(first.received("ACK")), "the late 200 has no ACK")
        need(bool(first.received("BYE")), "the late 200 has no BYE")
        outcome += "; the late 200 had ACK and BYE"
    return Result(outcome, seconds)


def _rings(stage: Stage) -> Result:
    _signed_in(stage)
    second = stage.second
    if stage.case.fault is Fault.UNAVAILABLE:
        stage.call("call", 0.3)
        refused = stage.first.conversation.sent("503 INVITE")[0].at
        seconds = _timed(stage, stage.second_saw("INVITE").at - refused)
        return Result("answered by the second server", seconds)
    if stage.case.fault is Fault.SLOW:
        said = stage.call("call", 0.3)
        seconds = said.received("200 INVITE")[0].at - said.received("180 INVITE")[0].at
        outcome = "answered by the first server"
    else:
        said = stage.call("caller-rings-on", 0)
        seconds = said.received("487 INVITE")[0].at - said.sent("CANCEL")[0].at
        need(seconds <= AT_ONCE, f"487 took {seconds:.2f} s")
        outcome = "rang until the caller gave up"
    need(not second.conversation.received("INVITE"), "the INVITE was re-sent")
    return Result(outcome, seconds)


def _leaves(stage: Stage) -> Result:
    """The phone hangs up; the BYE toward the servers is what is looked for."""
    _signed_in(stage)
    said = stage.call("call", 1.0)
    if stage.case.moment is Moment.ANSWERED and stage.case.fault in _STEPS:
        acked = stage.first.conversation.received("ACK")
        if acked:
            raise Missed
    seconds = stage.second_saw("BYE").at - said.sent("BYE")[0].at
    need(not stage.second.conversation.received("INVITE"), "a second call was made")
    return Result("hung up at the second server", _timed(stage, seconds))


def _changes(stage: Stage) -> Result:
    """The phone holds; the re-INVITE toward the servers is what is looked for."""
    _signed_in(stage)
    case = stage.case
    said = stage.call("caller-holds", 5.5)
    held, left = said.sent("INVITE")[1].at, said.sent("BYE")[0].at
    is_lost = case.moment is Moment.CHANGING and case.fault in (Fault.KILLED, Fault.FROZEN)
    bye = stage.second_saw("BYE").at - left
    changes = stage.second.conversation.received("INVITE")
    if is_lost:
        need(not changes, "a re-INVITE with a 1xx was re-sent")
        return Result("hung up at the second server", _timed(stage, bye))
    need(len({m.header("Via") for m in changes}) == 1, f"{len(changes)} re-INVITEs")
    need(changes[0].direction in ("sendonly", "inactive"), "the re-INVITE does not hold")
    need(bye <= AT_ONCE, f"BYE took {bye:.2f} s")
    return Result("held and hung up at the second server", _timed(stage, changes[0].at - held))


def _signed_in(stage: Stage) -> None:
    stage.register()
    stage.suite.until_said(f'dn-registered dn="{DN}"')


_JUDGES = {
    Moment.REGISTER: _registers,
    Moment.CHALLENGED: _registers,
    Moment.INVITED: _resent,
    Moment.RINGING: _rings,
    Moment.ANSWERED: _leaves,
    Moment.BYE: _leaves,
    Moment.HOLD: _changes,
    Moment.CHANGING: _changes,
}


def _cases() -> Iterator[Case]:
    for moment in Moment:
        for fault in Fault:
            yield Case(fault, moment, "TCP" if fault is Fault.RESET else "UDP")
        # An end of the process is told by the kernel, in another way than over UDP.
        yield Case(Fault.KILLED, moment, "TCP")


CASES = tuple(_cases())
