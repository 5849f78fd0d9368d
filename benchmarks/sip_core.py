"""
What the SIP stack costs without sockets: messages in, messages out, one process.

    python -m benchmarks.sip_core [--calls 4000] [--profile]

Two far ends of plain text hold calls through the subject: INVITE, 180, 200, ACK, BYE, 200, and
the same on the other leg. Only what the subject does is timed: reading bytes, transactions,
dialogs, usages, rendering, and the timers that fire afterwards. The clock is handed in, so a run
with thousands of calls takes as long as its work and no longer.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.outputs import Send
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import parse_uri
from b2bua.sip.usage_events import Ended, Established, Invitation, Invited, Progress, UsageEvent
from b2bua.sip.user_agent import AgentOutput, UserAgent

CALLER = Hop("UDP", "127.0.0.11", 5060)
CALLEE = Hop("UDP", "127.0.0.12", 5060)
RATE = 100.0
"""Calls that begin in a second of the clock that is handed in."""

SDP = b"""v=0\r
o=user1 53655765 2353687637 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 46000 RTP/AVP 0 8 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=ptime:20\r
a=sendrecv\r
"""
FROM_CALLER = (
    "{method} {uri} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.11:5060;branch=z9hG4bK-7-{number}-{step}\r\n"
    'From: "Bench" <sip:bench@127.0.0.11:5060>;tag=7UAC{number}\r\n'
    "To: <sip:7001@127.0.0.1:5060>{tag}\r\n"
    "Call-ID: {number}-7@127.0.0.11\r\n"
    "CSeq: {sequence} {method}\r\n"
    "{more}"
    "Max-Forwards: 70\r\n"
)
FIRST = (
    "Contact: <sip:bench@127.0.0.11:5060;transport=UDP>\r\n"
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
    "User-Agent: sipp-bench\r\n"
)
COPIED = (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
Sent = list[tuple[bytes, Hop]]


class Subject(Protocol):
    """What is measured."""

    def receive(self, data: bytes, hop: Hop, now: float) -> Sent:
        """Take one datagram; give what is sent for it."""

    def handle_timeout(self, now: float) -> Sent:
        """Let every timer fire that is due."""

    def left(self) -> int:
        """How much is kept of calls and transactions."""


class JoinedUsages:
    """The stack alone: each INVITE that comes is answered as the one it causes is."""

    def __init__(self) -> None:
        words = count(1)

        def sent_by(hop: Hop) -> str:
            return "127.0.0.1:5060"

        def token() -> str:
            return f"{next(words):016x}"

        contact = parse_name_addr("<sip:127.0.0.1:5060>")
        self._table = TransactionTable(sent_by, token, limit=1_000_000)
        self._agent = UserAgent(
            self._table,
            sent_by=sent_by,
            token=token,
            contact=lambda hop: contact,
            route=lambda uri, hop: hop,
            random_below=lambda bound: 0,
        )
        self._uri = parse_uri("sip:7001@127.0.0.12:5060")
        self._to = parse_name_addr("<sip:7001@127.0.0.12>")
        self._joined: dict[InviteUsage, InviteUsage] = {}

    def receive(self, data: bytes, hop: Hop, now: float) -> Sent:
        """Take one datagram; give what is sent for it."""
        self._agent.receive(parse_datagram(data), hop, now)
        return self._drain(now)

    def handle_timeout(self, now: float) -> Sent:
        """Let every timer fire that is due."""
        due = self._agent.next_timeout()
        if due is None or due > now:
            return []
        self._agent.handle_timeout(now)
        return self._drain(now)

    def left(self) -> int:
        """How much is kept of calls and transactions."""
        return len(self._agent) + len(self._table) + len(self._agent.dialogs) + len(self._joined)

    def _drain(self, now: float) -> Sent:
        sent: Sent = []
        while outputs := self._agent.take_outputs():
            for output in outputs:
                self._take(output, sent, now)
        return sent

    def _take(self, output: AgentOutput, sent: Sent, now: float) -> None:
        if isinstance(output, Send):
            sent.append((output.message.render(), output.hop))
        elif isinstance(output, UsageEvent):
            self._join(output, now)

    def _join(self, event: UsageEvent, now: float) -> None:
        if isinstance(event, Invited):
            self._forward(event, now)
            return
        other = self._joined.get(event.usage)
        if isinstance(event, Progress) and isinstance(other, InviteServerUsage):
            other.ring(event.response.status, now)
        elif isinstance(event, Established) and isinstance(other, InviteServerUsage):
            other.answer(now, event.message.body)
        elif isinstance(event, Ended):
            self._joined.pop(event.usage, None)
            if other is not None and self._joined.pop(other, None) is not None:
                _end(other, event.status, now)

    def _forward(self, event: Invited, now: float) -> None:
        body = event.request.body
        invitation = Invitation(self._uri, event.request.from_, self._to, body)
        called = self._agent.invite(invitation, CALLEE, now)
        self._joined[event.usage] = called
        self._joined[called] = event.usage


def _end(usage: InviteUsage, status: int, now: float) -> None:
    if isinstance(usage, InviteServerUsage):
        usage.reject(status if status >= 300 else 480, now)
    usage.bye(now)


# --- the far ends ------------------------------------------------------------------------------


class CallWentWrong(Exception):
    """The subject did not send what a plain call needs; the text says what it sent instead."""


@dataclass(slots=True)
class Meter:
    """The subject, and the time that it took."""

    subject: Subject
    profile: cProfile.Profile | None = None
    seconds: float = 0.0
    received: int = 0
    sent: int = 0

    def give(self, data: bytes, hop: Hop, now: float) -> Sent:
        """Hand a datagram to the subject, by the clock."""
        self.received += 1
        return self._timed(lambda: self.subject.receive(data, hop, now))

    def wait(self, now: float) -> Sent:
        """Let the subject's timers fire, by the clock."""
        return self._timed(lambda: self.subject.handle_timeout(now))

    def _timed(self, work: Callable[[], Sent]) -> Sent:
        if self.profile is not None:
            self.profile.enable()
        began = time.thread_time()
        sent = work()
        self.seconds += time.thread_time() - began
        if self.profile is not None:
            self.profile.disable()
        self.sent += len(sent)
        return sent


@dataclass(slots=True)
class Call:
    """One call between the far ends; each step is what one of them sends."""

    meter: Meter
    number: int
    now: float
    uri: str = "sip:7001@127.0.0.1:5060"
    tag: str = ""
    invite: bytes = b""
    sequence: int = field(default=1)

    def ring(self) -> None:
        """INVITE, and 180 from the other side."""
        sent = self.meter.give(self._request("INVITE", 0, FIRST, SDP), CALLER, self.now)
        self.invite = _one(sent, b"INVITE ")
        _one(self._callee(180), b"SIP/2.0 180")

    def answer(self) -> None:
        """200 to the INVITE, and the callee's ACK."""
        sent = self._callee(200, SDP)
        _one(sent, b"ACK ")
        success = _one(sent, b"SIP/2.0 200")
        self.tag = ";tag=" + _line(success, b"To").decode().partition(";tag=")[2]
        self.uri = _line(success, b"Contact").decode().partition("<")[2].partition(">")[0]

    def acknowledge(self) -> None:
        """The caller's ACK."""
        self.meter.give(self._request("ACK", 1), CALLER, self.now)

    def hang_up(self) -> None:
        """BYE of the caller, and the callee's answer to the one that it causes."""
        self.sequence = 2
        sent = self.meter.give(self._request("BYE", 2), CALLER, self.now)
        _one(sent, b"SIP/2.0 200")
        bye = _one(sent, b"BYE ")
        self.meter.give(_answer(bye, 200, "", b""), CALLEE, self.now)

    def _callee(self, status: int, body: bytes = b"") -> Sent:
        answer = _answer(self.invite, status, f";tag=7UAS{self.number}", body)
        return self.meter.give(answer, CALLEE, self.now)

    def _request(self, method: str, step: int, more: str = "", body: bytes = b"") -> bytes:
        head = FROM_CALLER.format(
            method=method,
            uri=self.uri,
            number=self.number,
            step=step,
            tag=self.tag,
            sequence=self.sequence,
            more=more,
        )
        return _with_body(head.encode(), body)


def _one(sent: Sent, start: bytes) -> bytes:
    found = [data for data, _ in sent if data.startswith(start)]
    if len(found) != 1:
        lines = [data.partition(b"\r\n")[0] for data, _ in sent]
        raise CallWentWrong(f"wanted {start!r}, got {lines}")
    return found[0]


def _line(data: bytes, name: bytes) -> bytes:
    return data.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]


def _answer(request: bytes, status: int, tag: str, body: bytes) -> bytes:
    lines = [b"SIP/2.0 %d OK" % status]
    lines += [name + b": " + _line(request, name) for name in COPIED]
    lines[3] += tag.encode()
    lines.append(b"Contact: <sip:127.0.0.12:5060;transport=UDP>\r\n")
    return _with_body(b"\r\n".join(lines), body)


def _with_body(head: bytes, body: bytes) -> bytes:
    kind = b"Content-Type: application/sdp\r\n" if body else b""
    return head + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


# --- runs --------------------------------------------------------------------------------------


def calls(meter: Meter, numbers: range) -> Iterator[float]:
    """Whole calls at RATE by the handed-in clock; gives the seconds that each took."""
    for number in numbers:
        before = meter.seconds
        now = number / RATE
        call = Call(meter, number, now)
        call.ring()
        call.answer()
        call.acknowledge()
        call.hang_up()
        meter.wait(now)
        yield meter.seconds - before


def settle(meter: Meter, now: float, seconds: float = 80.0) -> int:
    """Let time pass, a second a step, until every transaction is over; give what is left."""
    for step in range(int(seconds)):
        meter.wait(now + step)
    return meter.subject.left()


def main() -> int:
    """Hold the calls, print what they cost; exit status 1 if the tables are not empty after."""
    parser = argparse.ArgumentParser(description="the SIP stack without sockets")
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    chosen = parser.parse_args()
    meter = Meter(JoinedUsages(), cProfile.Profile() if chosen.profile else None)
    gc.collect()
    each = list(calls(meter, range(chosen.calls)))
    left = settle(meter, chosen.calls / RATE)
    each.sort()
    print(
        f"{chosen.calls} calls: {1e6 * meter.seconds / chosen.calls:.0f} us each "
        f"with all timers, median {1e6 * each[len(each) // 2]:.0f} us; "
        f"{meter.received / chosen.calls:.1f} messages in, {meter.sent / chosen.calls:.1f} out; "
        f"left in the tables: {left}"
    )
    if meter.profile is not None:
        pstats.Stats(meter.profile).sort_stats("tottime").print_stats(30)
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
