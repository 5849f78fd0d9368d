"""A lab that is none: it shows what it is told to, and notes what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred

from suite.lab.errors import LabError
from suite.lab.gateway import GatewayCall, GatewayServer, GatewaySnapshot
from suite.lab.status import (
    CallStatus,
    DnsStatus,
    LabStatus,
    PhoneStatus,
    RegistrationStatus,
    ServerStatus,
)
from suite.lab.trace import Trace, TracedMessage

GATEWAY = "127.0.0.1:5060"

STATUS = LabStatus(
    servers=(
        ServerStatus("A", "127.0.0.11:5060", "up", 3, 42, True),
        ServerStatus("B", "127.0.0.12:5060", "up", 0, 7, False),
    ),
    dns=DnsStatus("lab.test", "127.0.0.10:5353", True, 12),
    registrations=(
        RegistrationStatus("7001", f"sip:7001@{GATEWAY}", "A", 131),
        RegistrationStatus("7002", f"sip:7002@{GATEWAY}", "A", 96),
        RegistrationStatus("7999", "sip:7999@127.0.0.13:5060", "A", 3400),
    ),
    calls=(
        CallStatus("c1", "7001", "7999", "ended: normal", 340.0, "A", True),
        CallStatus("c2", "7002", "echo", "talking", 75.0, "A", True),
        CallStatus("c3", "7001", "music", "ringing", 3.0, "A", True),
    ),
    phones=(
        PhoneStatus("echo", "7999", "127.0.0.13:5060", "1 call"),
        PhoneStatus("music", "7998", "127.0.0.14:5060", "idle"),
    ),
)

SNAPSHOT = GatewaySnapshot(
    active="127.0.0.11:5060 UDP",
    state="in use",
    generation=1,
    servers=(
        GatewayServer(address="127.0.0.11:5060 UDP", state="in use"),
        GatewayServer(address="127.0.0.12:5060 UDP", state="spare"),
    ),
    registered=2,
    dns=("7001", "7002"),
    calls=(
        GatewayCall(id="k3f9", caller="7002", callee="7999", state="talking", since=75.0),
        GatewayCall(
            id="k3fa", caller="7001", callee="7998", state="held", since=3.0, held_by="server"
        ),
    ),
    call_count=2,
    addresses=(GATEWAY,),
)

FAILOVER = (
    (0.0, GATEWAY, "A", "INVITE 7999 [sendrecv]", True),
    (0.5, GATEWAY, "A", "INVITE 7999 [sendrecv]", True),
    (1.5, GATEWAY, "A", "INVITE 7999 [sendrecv]", True),
    (4.001, GATEWAY, "B", "INVITE 7999 [sendrecv]", False),
    (4.0015, "B", GATEWAY, "407 Proxy Authentication Required (INVITE)", False),
    (4.0020, GATEWAY, "B", "ACK", False),
    (4.0031, GATEWAY, "B", "INVITE 7999 [sendrecv]", False),
    (4.0040, "B", GATEWAY, "100 Trying (INVITE)", False),
    (4.0045, "B", "echo", "INVITE 7999 [sendrecv]", False),
    (4.0060, "echo", "B", "180 Ringing (INVITE)", False),
    (4.0066, "B", GATEWAY, "180 Ringing (INVITE)", False),
    (6.5, "echo", "B", "200 OK (INVITE) [sendrecv]", False),
    (6.5009, "B", GATEWAY, "200 OK (INVITE) [sendrecv]", False),
    (6.5021, GATEWAY, "B", "ACK", False),
    (6.5029, "B", "echo", "ACK", False),
    (9.2, "music", "B", "NOTIFY talk", False),
    (9.2007, "B", "music", "489 Bad Event (NOTIFY)", False),
)


class FakeLab:
    """Commands change what the status shows, as far as the page can see it."""

    def __init__(self) -> None:
        self.shown = STATUS
        self.asked: list[list[str]] = []
        self.trace = Trace()
        self.fault: LabError | None = None
        """What asking for the status ends with."""
        self.later: Deferred[str] | None = None
        """What the next command gives instead of its answer."""
        for name, title in (("c1", "7001 to 7999"), ("c2", "7002 to echo")):
            self.trace.begin(name, title)
            self.trace.join(f"{name}@lab", name)
        for at, source, target, summary, lost in FAILOVER:
            self.say(at, source, target, summary, "c2@lab", lost=lost)
        self.say(1.0, GATEWAY, "A", "OPTIONS", "ping@lab")

    def say(
        self, at: float, source: str, target: str, summary: str, call_id: str, *, lost: bool = False
    ) -> None:
        """Let a message be seen."""
        self.trace.add(TracedMessage(at, source, target, summary, call_id, lost=lost))

    def status(self) -> LabStatus:
        """What is shown now."""
        if self.fault is not None:
            raise self.fault
        return self.shown

    def command(self, words: Sequence[str]) -> str | Deferred[str]:
        """Note it, and let kill, freeze and revive be seen."""
        self.asked.append(list(words))
        if self.later is not None:
            return self.later
        states = {"kill": "killed", "freeze": "frozen", "revive": "up"}
        match words:
            case ["fail"]:
                raise ZeroDivisionError("a fault of the lab")
            case ["dns", state]:
                self.shown = replace(self.shown, dns=replace(self.shown.dns, on=state == "on"))
                return f"The name server is {state}."
            case [verb, name] if verb in states and name in ("A", "B"):
                self._set(name, states[verb])
                return f"SIP Server {name} is {states[verb]}."
            case ["call", caller, callee]:
                return f"c4: {caller} calls {callee}."
        raise LabError(f"there is no command {' '.join(words)!r}; try: kill A")

    def _set(self, name: str, state: str) -> None:
        up = next((each.name for each in self.shown.servers if each.name != name), "")
        servers = tuple(
            replace(
                each,
                state=state if each.name == name else each.state,
                active=each.name == (name if state == "up" else up),
            )
            for each in self.shown.servers
        )
        self.shown = replace(self.shown, servers=servers)


class FakeGateway:
    """A B2BUA that says what it was told to."""

    def __init__(self, snapshot: GatewaySnapshot = SNAPSHOT) -> None:
        self.shown = snapshot

    def snapshot(self) -> GatewaySnapshot:
        """What is shown now."""
        return self.shown
