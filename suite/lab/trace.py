"""
The SIP messages of the last calls, for a ladder diagram.

What is kept of a message is a line for people: never a header field that proves who somebody is,
never a body.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from b2bua.sip.message import Message, Request, Response

LAST_CALLS = 20
MESSAGES_PER_CALL = 400
OTHER_MESSAGES = 400
LONGEST_SUMMARY = 120


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One arrow of a ladder."""

    at: float
    """Seconds, by the lab's clock."""
    source: str
    """A label: the name of a server or phone of the lab, else host and port."""
    target: str
    """A label."""
    summary: str
    """What it is, in one line."""
    call_id: str
    """The Call-ID; a call that the lab has made has several."""
    transport: str = "UDP"
    lost: bool = False
    """Whether the lab threw it away: no arrow head."""


@dataclass(slots=True)
class TracedCall:
    """One call, or the messages that belong to none."""

    name: str
    """The call's name: c1, c2, ..."""
    title: str
    """Who calls whom."""
    messages: deque[TracedMessage] = field(default_factory=lambda: deque(maxlen=MESSAGES_PER_CALL))

    @property
    def labels(self) -> list[str]:
        """Everybody in it, in the order of their first message."""
        ends = (end for message in self.messages for end in (message.source, message.target))
        return list(dict.fromkeys(ends))


class Trace:
    """
    The messages of the last calls, and the last of those that belong to no call.

    A call is begun by name; a Call-ID that nobody has joined to a call belongs to none.
    """

    def __init__(self, calls: int = LAST_CALLS) -> None:
        self._limit = calls
        self._calls: OrderedDict[str, TracedCall] = OrderedDict()
        self._names: dict[str, str] = {}
        self._others = TracedCall("", "outside calls", deque(maxlen=OTHER_MESSAGES))

    def begin(self, name: str, title: str) -> None:
        """Open a call, or give it another title; the oldest makes room."""
        if name in self._calls:
            self._calls[name].title = title
            return
        self._calls[name] = TracedCall(name, title)
        while len(self._calls) > self._limit:
            gone, _ = self._calls.popitem(last=False)
            self._names = {key: call for key, call in self._names.items() if call != gone}

    def join(self, call_id: str, name: str) -> None:
        """Note that the messages of this Call-ID belong to a call."""
        self._names[call_id] = name

    def add(self, message: TracedMessage) -> None:
        """Note a message."""
        call = self._calls.get(self._names.get(message.call_id, ""))
        (call or self._others).messages.append(message)

    def calls(self) -> list[TracedCall]:
        """The calls that are kept, oldest first."""
        return list(self._calls.values())

    def call(self, name: str) -> TracedCall | None:
        """The call of this name, while it is kept."""
        return self._calls.get(name)

    def others(self) -> TracedCall:
        """What belongs to no call: REGISTER and OPTIONS for the most part."""
        return self._others


def summary_of(message: Message) -> str:
    """Return one line about a message."""
    parts: Iterable[str] = ()
    if isinstance(message, Request):
        parts = (message.method, *_of_request(message))
    elif isinstance(message, Response):
        parts = (str(message.status), message.reason, f"({message.cseq.method})")
    line = " ".join(part for part in (*parts, *_of_body(message)) if part)
    return line if len(line) <= LONGEST_SUMMARY else line[: LONGEST_SUMMARY - 1] + "…"


def _of_request(request: Request) -> tuple[str, ...]:
    if request.method == "NOTIFY":
        return (request.get("Event") or "",)
    user = getattr(request.uri, "user_text", "")
    return (str(user),) if request.method in ("INVITE", "REFER", "MESSAGE") else ()


def _of_body(message: Message) -> tuple[str, ...]:
    """What the session description says of direction, or which other body there is."""
    if not message.body:
        return ()
    if "sdp" not in (message.get("Content-Type") or "").lower():
        return ("+ body",)
    words = {b"a=sendonly": "sendonly", b"a=recvonly": "recvonly", b"a=inactive": "inactive"}
    lines = message.body.splitlines()
    found = next((word for line, word in words.items() if line in lines), "sendrecv")
    if b"c=IN IP4 0.0.0.0" in lines:
        found = "c=0.0.0.0"
    return (f"[{found}]",)
