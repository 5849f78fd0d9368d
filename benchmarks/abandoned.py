"""
Callers that vanish: what is left of their calls in the whole B2BUA, without sockets.

    python -m benchmarks.abandoned [--calls 10000]

Every caller but one in eleven says nothing any more at some point: after its INVITE, while it
rings, when it should acknowledge the answer, or in the middle of a call, where a session timer
finds out, or the far end that hangs up. Only the one in eleven hangs up itself. The SIP Server
behind answers whatever it is asked, the clock is handed in, and after each half everything is
given the time to end by itself: what is in the tables and in memory then is what vanished callers
cost for ever.

Prints one line of JSON. Exit status 1: the tables were not empty.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import heapq
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_network
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from b2bua.call_events import CallEnded, Event
from b2bua.core import B2bua, Randomness
from b2bua.media_plane import Address, StreamCounters, StreamTerms
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import (
    B2buaSettings,
    CallLimits,
    MediaSettings,
    PhoneSettings,
    ServerSettings,
    SipAddress,
)
from b2bua.sip.hop import Hop
from b2bua.sip.outputs import Send
from b2bua.sip.parser import parse_datagram
from b2bua.upstreams import Server

RATE = 20.0
"""Calls that begin in a second of the clock that is handed in."""
RINGING = 2.0
TALKING = 3.0
SETTLE_LIMIT = 8000.0
"""Seconds of that clock in which everything must have ended by itself."""
OURS = "127.0.0.1"
PHONE = Hop("UDP", "127.0.0.11", 5060)
SERVER = Hop("UDP", "127.0.0.12", 5060)

SDP = b"""v=0\r
o=bench 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 46000 RTP/AVP 0 8 101\r
a=rtpmap:101 telephone-event/8000\r
"""
REQUEST = (
    "{method} {uri} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.11:5060;branch=z9hG4bK-v-{number}-{sequence}-{method}\r\n"
    'From: "Bench" <sip:bench@127.0.0.1>;tag=v{number}\r\n'
    "To: <sip:{number}@127.0.0.1>{tag}\r\n"
    "Call-ID: vanishing-{number}@127.0.0.11\r\n"
    "CSeq: {sequence} {method}\r\n"
    "Contact: <sip:bench@127.0.0.11:5060>\r\n"
    "Max-Forwards: 70\r\n"
    "{more}"
)
COPIED = ("Via", "From", "To", "Call-ID", "CSeq")


class Way(Enum):
    """Where a caller stops talking."""

    INVITED = "after its INVITE"
    RINGING = "after 180"
    ANSWERED = "after 200, without ACK"
    TIMED = "in the call, session timer of 90 s"
    TALKING = "in the call without a session timer, and the far end hangs up"
    NEVER = "never"


VANISHING = tuple(way for way in Way if way is not Way.NEVER)
ANSWERED = (Way.ANSWERED, Way.TIMED, Way.TALKING, Way.NEVER)
IN_CALL = (Way.TIMED, Way.TALKING, Way.NEVER)


class Ends:
    """The media plane's bookkeeping without its sockets."""

    def __init__(self) -> None:
        self.open_ends: set[int] = set()
        self._next = count(1)

    def open(self) -> int:
        """Give the next number."""
        end = next(self._next)
        self.open_ends.add(end)
        return end

    def local(self, end: int) -> Address:
        """Where an end would be."""
        return OURS, 10_000 + 2 * (end % 20_000)

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        """Nothing is sent."""

    def join(self, first: int, second: int) -> None:
        """Nothing is sent."""

    def ask_for_picture(self, end: int) -> None:
        """Nothing is sent."""

    def counters(self, end: int) -> StreamCounters:
        """Nothing was sent."""
        return StreamCounters()

    def close(self, end: int) -> StreamCounters:
        """Raise KeyError if it was closed before."""
        self.open_ends.remove(end)
        return StreamCounters()

    @property
    def free_pairs(self) -> int:
        """As many as anybody wants."""
        return 1_000_000


@dataclass(slots=True)
class Caller:
    """One caller, and how far it has come."""

    number: int
    way: Way
    uri: str = ""
    tag: str = ""
    is_answered: bool = False

    def request(self, method: str, sequence: int, body: bytes = b"") -> bytes:
        """One of its requests."""
        more = "Supported: timer\r\nSession-Expires: 90\r\n" if self.way is Way.TIMED else ""
        head = REQUEST.format(
            method=method,
            uri=self.uri or f"sip:{self.number}@{OURS}:5060",
            number=self.number,
            sequence=sequence,
            tag=f";tag={self.tag}" if self.tag else "",
            more=more if method == "INVITE" else "",
        )
        return with_body(head, body)


@dataclass(slots=True)
class Stage:
    """The B2BUA, the callers in front of it and the SIP Server behind it."""

    core: B2bua
    plane: Ends
    now: float = 1000.0
    causes: Counter[str] = field(default_factory=Counter)
    callers: dict[int, Caller] = field(default_factory=dict)
    invites: dict[str, str] = field(default_factory=dict)
    """What the SIP Server got for them, by Call-ID."""
    invites_of: dict[int, str] = field(default_factory=dict)
    """The same, by the number that was called."""
    sent: int = 0
    _plan: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _serial: count[int] = field(default_factory=count)

    # Time.

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._plan, (self.now + seconds, next(self._serial), action))

    def run_until(self, end: float) -> None:
        """Let time pass, stopping wherever something is due."""
        while True:
            due = self.core.next_timeout()
            planned = self._plan[0][0] if self._plan else end + 1
            moment = planned if due is None else min(due, planned)
            if moment > end:
                break
            self.now = max(self.now, moment)
            if planned <= self.now:
                heapq.heappop(self._plan)[2]()
            else:
                self.core.handle_timeout(self.now)
            self.pump()
        self.now = end

    def settle(self) -> int:
        """Let time pass until nothing is left, or for too long; give what is left."""
        end = self.now + SETTLE_LIMIT
        while self.left() and self.now < end:
            self.run_until(self.now + 1.0)
        return self.left()

    def left(self) -> int:
        """How many entries of any kind there are."""
        core = self.core
        of_calls = len(core.calls) + core.calls.residue + len(self.plane.open_ends)
        agent = core.agent
        return of_calls + len(agent) + len(agent.dialogs) + len(agent.table)

    # Messages.

    def give(self, data: bytes, hop: Hop) -> None:
        """Hand a datagram to the B2BUA, and what it sends to the far ends."""
        self.core.receive(parse_datagram(data), hop, self.now)
        self.pump()

    def pump(self) -> None:
        """Deliver what the B2BUA sends."""
        while outputs := self.core.take_outputs():
            for output in outputs:
                if isinstance(output, Send):
                    self.sent += 1
                    text = output.message.render().decode()
                    if output.hop == SERVER:
                        self.to_server(text)
                    else:
                        self.to_phone(text)

    def to_server(self, text: str) -> None:
        """The SIP Server answers whatever it is asked."""
        if text.startswith(("ACK ", "SIP/2.0 ")):
            return
        if text.startswith("INVITE ") and ";tag=" not in value(text, "To"):
            self._ring(text)
            return
        body = SDP if text.startswith("INVITE ") else b""
        self._answer(text, 200, body)
        if text.startswith("CANCEL "):
            self._answer(self.invites[value(text, "Call-ID")], 487)

    def _ring(self, invite: str) -> None:
        call_id = value(invite, "Call-ID")
        if call_id in self.invites:
            return
        self.invites[call_id] = invite
        caller = self.callers[number_in(invite)]
        self.invites_of[caller.number] = invite
        self._answer(invite, 100 if caller.way is Way.INVITED else 180)
        if caller.way in ANSWERED:
            self._answer(invite, 200, SDP, RINGING)

    def _answer(self, request: str, status: int, body: bytes = b"", wait: float = 0.0) -> None:
        self.after(wait, lambda: self.give(answer(request, status, body), SERVER))

    def to_phone(self, text: str) -> None:
        """A caller takes its answer, unless it is gone; what it is asked, nobody hears."""
        if not text.startswith("SIP/2.0 200") or value(text, "CSeq") != "1 INVITE":
            return
        caller = self.callers[number_in(value(text, "To"))]
        if caller.is_answered or caller.way not in IN_CALL:
            return
        caller.is_answered = True
        caller.tag = value(text, "To").partition(";tag=")[2]
        caller.uri = value(text, "Contact").partition("<")[2].partition(">")[0]
        self._say(caller, "ACK", 1, 0.0)
        if caller.way is Way.NEVER:
            self._say(caller, "BYE", 2, TALKING)
        elif caller.way is Way.TALKING:
            invite = self.invites_of[caller.number]
            self.after(TALKING, lambda: self.give(hang_up(invite), SERVER))

    def _say(self, caller: Caller, method: str, sequence: int, wait: float) -> None:
        self.after(wait, lambda: self.give(caller.request(method, sequence), PHONE))

    # Callers.

    def call(self, numbers: range) -> None:
        """So many callers begin, at RATE; of eleven in a row one hangs up."""
        for number in numbers:
            at = number % (len(VANISHING) * 2 + 1)
            way = VANISHING[at // 2] if at < 2 * len(VANISHING) else Way.NEVER
            caller = self.callers[number] = Caller(number, way)
            self.give(caller.request("INVITE", 1, SDP), PHONE)
            self.run_until(self.now + 1 / RATE)

    def forget(self) -> None:
        """Let the far ends keep nothing either."""
        self.callers.clear()
        self.invites.clear()
        self.invites_of.clear()


def value(text: str, name: str) -> str:
    """The first row of a header field."""
    return text.partition(f"\r\n{name}: ")[2].partition("\r\n")[0]


def number_in(text: str) -> int:
    """The number in the first URI."""
    return int(text.partition("sip:")[2].partition("@")[0])


def hang_up(invite: str) -> bytes:
    """BYE of whoever was called by an INVITE."""
    lines = [
        f"BYE {value(invite, 'Contact').strip('<>')} SIP/2.0",
        f"Via: SIP/2.0/UDP {SERVER.host}:{SERVER.port};branch=z9hG4bK-{value(invite, 'Call-ID')}",
        f"From: {far_tagged(invite)}",
        f"To: {value(invite, 'From')}",
        f"Call-ID: {value(invite, 'Call-ID')}",
        "CSeq: 1 BYE",
        "Max-Forwards: 70\r\n",
    ]
    return with_body("\r\n".join(lines), b"")


def far_tagged(request: str) -> str:
    """The To of a request, with the tag that the SIP Server gives it."""
    to = value(request, "To")
    return to if ";tag=" in to else to + ";tag=far" + value(request, "Call-ID")[:24]


def answer(request: str, status: int, body: bytes = b"") -> bytes:
    """A response of the SIP Server."""
    rows = {name: value(request, name) for name in COPIED}
    if status > 100:
        rows["To"] = far_tagged(request)
    lines = [f"SIP/2.0 {status} Said", *(f"{name}: {row}" for name, row in rows.items())]
    lines.append(f"Contact: <sip:far@{SERVER.host}:{SERVER.port}>\r\n")
    return with_body("\r\n".join(lines), body)


def with_body(head: str, body: bytes) -> bytes:
    """A message, with what says how long its body is."""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def settings() -> B2buaSettings:
    """One SIP Server, phones without passwords, no limit that is near."""
    codecs = parse_codec_list("(pcmu,pcma,telephone-event=101)")
    return B2buaSettings(
        listens=(SipAddress(transport="UDP", host=OURS, port=5060),),
        servers=ServerSettings(addresses=(Server(SERVER.host, SERVER.port),)),
        phones=PhoneSettings(networks=(ip_network("127.0.0.0/8"),)),
        media=MediaSettings(host=OURS, rules=CodecRules(codecs=codecs, transcoding=False)),
        limits=CallLimits(calls=100_000, calls_per_dn=100_000, transactions=1_000_000),
    )


def stage() -> Stage:
    """The whole, with a clock and randomness of ours."""
    plane, words, numbers = Ends(), count(1), count(7)
    causes: Counter[str] = Counter()

    def tell(event: Event) -> None:
        if isinstance(event, CallEnded):
            causes[event.cause] += 1

    core = B2bua(
        settings(),
        plane,
        Randomness(
            token=lambda: f"{next(words):024x}",
            below=lambda bound: next(numbers) % bound,
            fraction=lambda: 0.5,
            octets=lambda size: bytes(size),
        ),
        sent_by=lambda hop: f"{OURS}:5060",
        own_names=lambda: frozenset({f"{OURS}:5060"}),
        emit=tell,
        now=1000.0,
    )
    made = Stage(core, plane, causes=causes)
    made.pump()
    return made


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is once everything had the time to end."""

    entries: int
    blocks: int
    """Objects of the interpreter, all of them."""
    resident_kb: int

    @classmethod
    def of(cls, stage: Stage) -> Kept:
        """Wait, by the clock of the stage, and count."""
        entries = stage.settle()
        stage.forget()
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(entries, sys.getallocatedblocks(), pages * os.sysconf("SC_PAGE_SIZE") // 1024)


def main() -> int:
    """Let callers vanish in two halves, print what is left after each."""
    parser = argparse.ArgumentParser(description="what callers that vanish leave behind")
    parser.add_argument("--calls", type=int, default=10_000, help="abandoned ones")
    chosen = parser.parse_args()
    number_of_calls = chosen.calls * 11 // 10
    made, half = stage(), number_of_calls // 2
    began = time.process_time()
    made.call(range(1, half + 1))
    most = made.left()
    first = Kept.of(made)
    made.call(range(half + 1, number_of_calls + 1))
    second = Kept.of(made)
    found = {
        "calls": number_of_calls,
        "abandoned": number_of_calls - number_of_calls // 11,
        "first": dataclasses.asdict(first),
        "second": dataclasses.asdict(second),
        "most": most,
        "sent": made.sent,
        "cpu_seconds": time.process_time() - began,
        "causes": dict(made.causes),
    }
    print(json.dumps(found))
    return int(first.entries + second.entries > 0)


if __name__ == "__main__":
    sys.exit(main())
