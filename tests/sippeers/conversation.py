"""What SIPp saw: the messages of its log, in their order, as whoever reads a test wants them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_ENTRY = re.compile(
    r"^-{20,} (?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\n"
    r"(?P<transport>UDP|TCP) message (?P<way>sent|received) [\[(](?P<size>\d+)[^\n]*:\n\n",
    re.MULTILINE,
)
_ORIGIN = re.compile(r"^o=(\S+) (\d+) (\d+) ", re.MULTILINE)
_DIRECTION = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", re.MULTILINE)
_COMPACT = {
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "v": "via",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One SIP message as SIPp sent or received it."""

    at: float
    """Seconds of the wall clock; only differences mean anything."""
    transport: str
    is_sent: bool
    data: bytes

    @property
    def text(self) -> str:
        """All of it."""
        return self.data.decode(errors="replace")

    @property
    def start_line(self) -> str:
        """Its first line."""
        return self.text.split("\r\n", 1)[0]

    @property
    def name(self) -> str:
        """``INVITE`` of a request, ``200 INVITE`` of a response."""
        if not self.start_line.startswith("SIP/2.0 "):
            return self.start_line.split(" ", 1)[0]
        return f"{self.start_line.split(' ')[1]} {self.header('CSeq').split()[-1]}"

    @property
    def body(self) -> str:
        """After the empty line."""
        return self.text.partition("\r\n\r\n")[2]

    def headers(self, name: str) -> list[str]:
        """The values of all its header fields of that name."""
        wanted = name.lower()
        fields = (line.partition(":") for line in self.text.split("\r\n\r\n")[0].split("\r\n")[1:])
        return [
            value.strip()
            for key, _, value in fields
            if _COMPACT.get(key.strip().lower(), key.strip().lower()) == wanted
        ]

    def header(self, name: str) -> str:
        """The first of them; "" where there is none."""
        return next(iter(self.headers(name)), "")

    @property
    def origin(self) -> tuple[str, int] | None:
        """The session id and the version in ``o=``; None without SDP."""
        found = _ORIGIN.search(self.body)
        return (f"{found[1]} {found[2]}", int(found[3])) if found else None

    @property
    def direction(self) -> str:
        """The first direction attribute of its SDP, sendrecv where there is none."""
        found = _DIRECTION.search(self.body)
        return found[1] if found else "sendrecv"


@dataclass(frozen=True, slots=True)
class Conversation:
    """All messages of one run of SIPp."""

    messages: tuple[Seen, ...]

    def received(self, *names: str) -> list[Seen]:
        """Those that came in, or only those with one of these names."""
        return [m for m in self.messages if not m.is_sent and (not names or m.name in names)]

    def sent(self, *names: str) -> list[Seen]:
        """Those that went out."""
        return [m for m in self.messages if m.is_sent and (not names or m.name in names)]

    def offers_and_answers(self) -> list[Seen]:
        """What came in with SDP, copies left out."""
        seen = [m for m in self.received() if m.origin]
        return [m for i, m in enumerate(seen) if i == 0 or m.data != seen[i - 1].data]

    def told(self) -> str:
        """A line for each message."""
        first = self.messages[0].at if self.messages else 0.0
        return "\n".join(
            f"{m.at - first:8.3f}  {'-->' if m.is_sent else '<--'}  {m.start_line}"
            f"  [{m.header('CSeq')}]"
            for m in self.messages
        )


def parse_log(log: str) -> Conversation:
    """Read what ``-trace_msg`` writes."""
    return Conversation(tuple(_entries(log)))


def _entries(log: str) -> Iterator[Seen]:
    entries = list(_ENTRY.finditer(log))
    ends = [entry.start() for entry in entries[1:]] + [len(log)]
    for entry, end in zip(entries, ends, strict=False):
        at = datetime.strptime(entry["at"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        # The log adds line ends of its own; the size tells where the message stops.
        data = log[entry.end() : end].encode()[: int(entry["size"])]
        yield Seen(at.timestamp(), entry["transport"], entry["way"] == "sent", data)
