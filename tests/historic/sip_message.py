"""SIP text, as far as a phone of a test has to read and write it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SipMessage:
    """A request or a response."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, datagram: bytes) -> SipMessage:
        """Take one apart."""
        head, _, body = datagram.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(first, tuple((name.strip(), value.strip()) for name, _, value in pairs), body)

    def all(self, name: str) -> list[str]:
        """Every value of a header field."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Its first value, or ""."""
        return next(iter(self.all(name)), "")

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.first.split(" ")[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a request, or of what a response answers."""
        return self.one("CSeq").split(" ")[1]

    @property
    def key(self) -> tuple[str, str]:
        """What tells one transaction from others."""
        return self.one("Via"), self.one("CSeq")

    def response(self, status: str, tag: str, more: tuple[str, ...] = (), body: str = "") -> str:
        """The response to a request."""
        kept = ("Via", "Record-Route", "From", "Call-ID", "CSeq")
        lines = [f"{name}: {value}" for name in kept for value in self.all(name)]
        to = self.one("To")
        lines.append(f"To: {to}" if ";tag=" in to else f"To: {to};tag={tag}")
        return rendered(f"SIP/2.0 {status}", [*lines, *more], body)


def rendered(first: str, lines: list[str], body: str = "", kind: str = "application/sdp") -> str:
    """The whole text."""
    more = [f"Content-Type: {kind}"] if body else []
    more.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join([first, *lines, *more]) + "\r\n\r\n" + body


def uri_of(value: str) -> str:
    """The URI in a name-addr."""
    return value.partition("<")[2].partition(">")[0] or value.partition(";")[0]
