"""
What a person can tell the lab, word by word; each command ends with a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from suite.lab.errors import LabError
from suite.lab.third_party import Leg, Pending, ThirdPartyCall
from suite.lab.third_party_sdp import HoldForm

if TYPE_CHECKING:
    from suite.lab.lab import Lab
    from suite.lab.server import LabServer

MOMENT = 1.5
"""Seconds that somebody who rings is given to be answered before the command tells so."""
RING_TIME = 60.0
"""Seconds after which a call that nobody answers is given up."""
LONGEST_DELAY = 600.0

USAGE: Final = (
    "status",
    *("kill A|B", "freeze A|B", "slow A|B 5s", "503 A|B", "reset A|B", "revive A|B"),
    "dns off|on",
    *("call FROM TO", "talk CALL", "hold CALL [rfc3264|zero]", "retrieve CALL"),
    *("transfer CALL DN [WHO-LEAVES]", "hangup CALL"),
)
"""Every command, as a person writes it."""

_seconds = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)\s*(ms|s|)").fullmatch


class Commands:
    """Reads commands and carries them out."""

    def __init__(self, lab: Lab, clock: IReactorTime) -> None:
        self._lab = lab
        self._clock = clock
        self._timers: set[IDelayedCall] = set()
        self._waiting: set[Pending] = set()
        self._ready: list[tuple[Deferred[str], str]] = []

    def do(self, words: Sequence[str]) -> Deferred[str]:
        """Carry one out; fires with a sentence, or fails with LabError."""
        try:
            return self._do([word.strip() for word in words if word.strip()])
        except LabError as error:
            return fail(error)
        finally:
            self._lab.pump()

    def stop(self) -> None:
        """Answer whoever still waits."""
        for pending in list(self._waiting):
            pending.done("the lab is being stopped")
        for timer in list(self._timers):
            timer.cancel()
        self._timers.clear()
        self._tell_ready()

    def _tell_ready(self) -> None:
        ready, self._ready = self._ready, []
        for result, sentence in ready:
            result.callback(sentence)

    def _do(self, words: list[str]) -> Deferred[str]:
        if not words:
            raise LabError(f"a command is one of: {'; '.join(USAGE)}")
        verb, rest = words[0].lower(), words[1:]
        if verb == "status":
            return succeed(self._summary())
        if verb == "dns":
            return succeed(self._dns(rest))
        if verb in _SERVER_VERBS:
            return self._fail_server(verb, rest)
        if verb in _CALL_VERBS:
            return self._control(verb, rest)
        raise LabError(f"{words[0]} is no command; it is one of: {'; '.join(USAGE)}")

    # Servers and names.

    def _summary(self) -> str:
        status = self._lab.status()
        servers = [
            f"{s.name} ({s.address}) {s.state}{', active' if s.active else ''}"
            for s in status.servers
        ]
        live = [call for call in status.calls if not call.state.startswith("ended")]
        dns = "answers" if status.dns.on else "is off"
        return (
            f"{'; '.join(servers)}; DNS {dns}; "
            f"registered: {len(status.registrations)}; calls up: {len(live)}"
        )

    def _dns(self, words: list[str]) -> str:
        if len(words) != 1 or words[0].lower() not in ("on", "off"):
            raise LabError("it is: dns off, or dns on")
        self._lab.names.is_on = words[0].lower() == "on"
        return f"DNS {'answers' if self._lab.names.is_on else 'keeps silent'}"

    def _fail_server(self, verb: str, words: list[str]) -> Deferred[str]:
        usage = f"it is: {verb} A, or {verb} B" + (", and how many seconds" * (verb == "slow"))
        if len(words) != (2 if verb == "slow" else 1):
            raise LabError(usage)
        server = next((s for s in self._lab.servers if s.name == words[0].upper()), None)
        if server is None:
            raise LabError(f"{words[0]} is no server; {usage}")
        if verb == "revive":
            self._lab.observer.forget_flows(server.name)
            return server.revive().addCallback(lambda _: _said(server))
        if not server.is_running and server.state == "killed":
            raise LabError(f"{server.name} is killed: revive {server.name} first")
        if verb == "slow":
            server.slow_down(_delay(words[1]))
        else:
            _SERVER_VERBS[verb](server)
        return succeed(_said(server))

    # Calls.

    def _control(self, verb: str, words: list[str]) -> Deferred[str]:
        least, most, usage = _CALL_VERBS[verb]
        if not least <= len(words) <= most:
            raise LabError(f"it is: {usage}")
        if self._lab.serving() is None:
            raise LabError("no server is running: revive A or B first")
        result: Deferred[str] = Deferred()
        control, now = self._lab.controller, self._clock.seconds()
        if verb == "call":
            caller, callee = (self._number(word) for word in words)
            pending = self._pending(result, lambda: call.describe())
            call = self._open(pending, lambda: control.call(caller, callee, pending, now))
            self._later(RING_TIME, lambda: self._give_up(call, None))
            return result
        call = control.find(words[0].lower())
        pending = self._pending(result, call.describe)
        self._open(pending, lambda: self._control_call(verb, call, words[1:], pending, now))
        return result

    def _open(self, pending: Pending, start: Callable[[], ThirdPartyCall]) -> ThirdPartyCall:
        """Start what somebody waits for; where that cannot be, nobody waits."""
        try:
            return start()
        except LabError:
            pending.done("")
            raise

    def _control_call(
        self, verb: str, call: ThirdPartyCall, words: list[str], pending: Pending, now: float
    ) -> ThirdPartyCall:
        control = self._lab.controller
        if verb == "talk":
            control.talk(call, pending, now)
        elif verb == "hold":
            control.hold(call, _form(words), pending, now)
        elif verb == "retrieve":
            control.retrieve(call, pending, now)
        elif verb == "transfer":
            leaver = self._number(words[1]) if len(words) > 1 else ""
            control.transfer(call, self._number(words[0]), leaver, pending, now)
            target = call.target
            self._later(RING_TIME, lambda: self._give_up(call, target))
        else:
            control.hang_up(call, pending, now)
        return call

    def _number(self, word: str) -> str:
        """A DN; a phone of the lab may be called by its name too."""
        named = {phone.name: phone.dn for phone in self._lab.phones}
        return named.get(word.lower(), word)

    def _give_up(self, call: ThirdPartyCall, target: Leg | None) -> None:
        self._lab.controller.give_up(call, target, self._clock.seconds())
        self._lab.pump()

    # Waiting.

    def _pending(self, result: Deferred[str], describe: Callable[[], str]) -> Pending:
        """Somebody who waits, for as long as the settings say at most."""

        def done(sentence: str) -> None:
            self._waiting.discard(pending)
            if timer in self._timers:
                self._timers.discard(timer)
                timer.cancel()
            if sentence:
                # Not from within whatever brought it about, which may have more to send.
                self._ready.append((result, sentence))
                self._later(0, self._tell_ready)

        def soon() -> None:
            if timer in self._timers:
                timer.reset(min(MOMENT, max(0.0, timer.getTime() - self._clock.seconds())))

        pending = Pending(done, soon)
        timer = self._later(self._lab.settings.patience, lambda: pending.done(describe()))
        self._waiting.add(pending)
        return pending

    def _later(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        def run() -> None:
            self._timers.discard(timer)
            call()

        timer = self._clock.callLater(seconds, run)
        self._timers.add(timer)
        return timer


def _said(server: LabServer) -> str:
    return f"{server.name} ({server.address[0]}:{server.address[1]}) is {server.state}"


def _delay(text: str) -> float:
    found = _seconds(text.lower())
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else -1.0
    if not 0 < seconds <= LONGEST_DELAY:
        raise LabError(f"{text} is no delay; it is seconds, such as 5s, up to {LONGEST_DELAY:g}")
    return seconds


def _form(words: list[str]) -> HoldForm | None:
    if not words:
        return None
    try:
        return HoldForm(words[0].lower())
    except ValueError:
        forms = ", ".join(HoldForm)
        raise LabError(
            f"{words[0]} is no form of hold; it is {forms}, or none for NOTIFY"
        ) from None


_SERVER_VERBS: Final[dict[str, Callable[[LabServer], object]]] = {
    "kill": lambda server: server.kill(),
    "freeze": lambda server: server.freeze(),
    "slow": lambda server: None,
    "503": lambda server: server.refuse(),
    "reset": lambda server: server.reset(),
    "revive": lambda server: server.revive(),
}
_CALL_VERBS: Final[dict[str, tuple[int, int, str]]] = {
    "call": (2, 2, "call FROM TO"),
    "talk": (1, 1, "talk CALL"),
    "hold": (1, 2, "hold CALL, or hold CALL rfc3264, or hold CALL zero"),
    "retrieve": (1, 1, "retrieve CALL"),
    "transfer": (2, 3, "transfer CALL DN, and perhaps who leaves"),
    "hangup": (1, 1, "hangup CALL"),
}
