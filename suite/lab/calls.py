"""
The calls that pass through the lab, as its servers see them go by.

What a caller, a callee or the lab itself does is read off the messages; nothing here takes part.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from b2bua.sip.message import Message, Request, Response
from suite.lab.registry import user_of

ENDED_KEPT = 20
MOST_CALLS = 500
"""Calls that are watched at once; above, the oldest is forgotten, whatever became of it."""


@dataclass(slots=True)
class SeenCall:
    """One call. ``holding`` are those whose own description says that they take no media."""

    id: str
    caller: str
    callee: str
    server: str
    since: float
    state: str = "calling"
    is_third_party: bool = False
    call_ids: set[str] = field(default_factory=set)
    holding: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state.startswith("ended")


class CallBook:
    """All calls, by Call-ID and by the short name that commands use."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, SeenCall] = OrderedDict()
        self._by_call_id: dict[str, SeenCall] = {}
        self._count = 0

    def open(self, caller: str, callee: str, server: str, now: float) -> SeenCall:
        """Note a call under a new name."""
        self._count += 1
        call = SeenCall(f"c{self._count}", caller, callee, server, now)
        self._calls[call.id] = call
        self._make_room()
        return call

    def join(self, call_id: str, call: SeenCall) -> None:
        """Note a Call-ID of a call."""
        call.call_ids.add(call_id)
        self._by_call_id[call_id] = call

    def find(self, name: str) -> SeenCall | None:
        """The call of a name."""
        return self._calls.get(name)

    def of(self, call_id: str) -> SeenCall | None:
        """The call that a Call-ID belongs to."""
        return self._by_call_id.get(call_id)

    def all(self) -> list[SeenCall]:
        """Every call that is known, oldest first."""
        return list(self._calls.values())

    def change(self, call: SeenCall, state: str, now: float) -> None:
        """Note a call's state."""
        if call.state != state and not call.is_over:
            call.state, call.since = state, now

    def see(self, message: Message, server: str, now: float) -> SeenCall | None:
        """Take note of a message; gives the call that it is of, made if it begins one."""
        call = self._by_call_id.get(message.call_id)
        if call is None:
            call = self._begin(message, server, now)
        if call is None:
            return None
        call.server = server
        if not call.is_third_party:
            self._follow(call, message, now)
        return call

    def _begin(self, message: Message, server: str, now: float) -> SeenCall | None:
        if not isinstance(message, Request) or message.method != "INVITE" or message.to.tag:
            return None
        call = self.open(user_of(message.from_.uri), user_of(message.uri), server, now)
        self.join(message.call_id, call)
        return call

    def _follow(self, call: SeenCall, message: Message, now: float) -> None:
        if isinstance(message, Request):
            self._follow_request(call, message, now)
        elif isinstance(message, Response) and message.cseq.method == "INVITE":
            self._follow_response(call, message, now)
        if call.state in ("talking", "held"):
            self.change(call, "held" if call.holding else "talking", now)

    def _follow_request(self, call: SeenCall, request: Request, now: float) -> None:
        if request.method == "INVITE" and not request.to.tag and call.is_over:
            # Tried again: with credentials, or at the other server.
            call.state, call.since = "calling", now
        if request.method == "BYE":
            self.change(call, f"ended: {user_of(request.from_.uri)} hung up", now)
        elif request.method in ("INVITE", "UPDATE", "ACK") and request.body:
            self._note_hold(call, request.from_.tag, request.body)

    def _follow_response(self, call: SeenCall, response: Response, now: float) -> None:
        if response.is_success:
            self.change(call, "talking", now)
            if response.body:
                self._note_hold(call, response.to.tag, response.body)
        elif call.state in ("calling", "ringing"):
            if 100 < response.status < 200:
                self.change(call, "ringing", now)
            elif response.status >= 300 and response.status not in (401, 407, 422):
                self.change(call, f"ended: {response.status} {response.reason}", now)

    def _note_hold(self, call: SeenCall, tag: str, body: bytes) -> None:
        if takes_media(body):
            call.holding.discard(tag)
        else:
            call.holding.add(tag)

    def _make_room(self) -> None:
        over = [call for call in self._calls.values() if call.is_over]
        excess = over[: max(0, len(over) - ENDED_KEPT)]
        if len(self._calls) - len(excess) > MOST_CALLS:
            excess.append(next(iter(self._calls.values())))
        for call in excess:
            self._calls.pop(call.id, None)
            for call_id in call.call_ids:
                self._by_call_id.pop(call_id, None)


def takes_media(body: bytes) -> bool:
    """Whether whoever wrote a session description takes media, by a look at its lines."""
    lines = body.splitlines()
    return not (
        b"a=sendonly" in lines
        or b"a=inactive" in lines
        or any(line.startswith(b"c=IN IP4 0.0.0.0") for line in lines)
    )
