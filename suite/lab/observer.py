"""
Who sends what to whom in the lab: the trace, the calls, and which server is in use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request
from suite.lab.calls import CallBook, SeenCall
from suite.lab.trace import Trace, TracedMessage, summary_of

FLOWS_KEPT = 1000


class Observer:
    """
    Takes note of every message that one of the lab sends or gets.

    What goes from one of the lab to another is noted where it is sent. ``is_deaf`` tells of a
    name whether messages to it are lost at the moment.
    """

    def __init__(
        self,
        trace: Trace,
        book: CallBook,
        clock: Callable[[], float],
        is_deaf: Callable[[str], bool],
    ) -> None:
        self.trace = trace
        self.book = book
        self.active = ""
        """The server that the latest REGISTER or INVITE from outside came to."""
        self._clock = clock
        self._is_deaf = is_deaf
        self._names: dict[tuple[str, int], str] = {}
        self._flows: OrderedDict[tuple[str, int], str] = OrderedDict()

    def name(self, host: str, port: int, label: str) -> None:
        """Note that an address is one of the lab."""
        self._names[host, port] = label

    def forget_flows(self, label: str) -> None:
        """The connections of one of the lab are gone, and their numbers will be used again."""
        for key in [key for key in self._flows if key[0] == label]:
            del self._flows[key]

    def taken(self, label: str, message: Message, hop: Hop, *, is_server: bool) -> None:
        """Note a message that came to one of the lab."""
        source, is_ours = self._source(label, message, hop)
        if is_ours:
            return
        if is_server and isinstance(message, Request) and message.method in ("REGISTER", "INVITE"):
            self.active = label
        self._note(label if is_server else "", source, label, message, hop, lost=False)

    def sent(self, label: str, message: Message, hop: Hop, *, is_server: bool) -> None:
        """Note a message that one of the lab sends."""
        target = self._flows.get((label, hop.flow)) if hop.flow and hop.is_reliable else None
        target = target or self._names.get((hop.host, hop.port)) or f"{hop.host}:{hop.port}"
        lost = self._is_deaf(target)
        self._note(label if is_server else "", label, target, message, hop, lost=lost)

    def _source(self, label: str, message: Message, hop: Hop) -> tuple[str, bool]:
        """Whose message it is, and whether that is one of the lab."""
        known = self._names.get((hop.host, hop.port))
        if known is None and hop.is_reliable:
            known = self._source_of_stream(label, message, hop)
        if known is None:
            return f"{hop.host}:{hop.port}", False
        return known, known in self._names.values()

    def _source_of_stream(self, label: str, message: Message, hop: Hop) -> str | None:
        """Who is at the other end of a connection: it says so in the Via of its requests."""
        key = (label, hop.flow)
        if key not in self._flows and isinstance(message, Request):
            via = message.via
            port = via.port or 5060
            self._flows[key] = self._names.get((via.host, port)) or f"{via.host}:{port}"
            if len(self._flows) > FLOWS_KEPT:
                self._flows.popitem(last=False)
        return self._flows.get(key)

    def _note(
        self, server: str, source: str, target: str, message: Message, hop: Hop, *, lost: bool
    ) -> None:
        now = self._clock()
        if server:
            call = self.book.see(message, server, now)
            if call is not None:
                self.begin(call, message.call_id)
        self.trace.add(
            TracedMessage(
                *(now, source, target, summary_of(message), message.call_id),
                transport=hop.transport,
                lost=lost,
            )
        )

    def begin(self, call: SeenCall, call_id: str) -> None:
        """Let messages of a Call-ID stand in a call's ladder."""
        self.trace.begin(call.id, f"{call.caller} → {call.callee}")
        self.trace.join(call_id, call.id)
