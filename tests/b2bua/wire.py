"""
A SIP Server that says exactly what a test wants, for what no user agent of ours would do.

It stands at the first server's address in ``network`` and keeps what it is sent.
"""

from __future__ import annotations

from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram
from tests.b2bua.network import OURS, SERVER_A, Network, Peer

Headers = tuple[tuple[str, str], ...]


class Wire(Peer):
    """Messages from and to one address, in the place of a user agent; probes are answered."""

    def __init__(self, network: Network, host: str = SERVER_A) -> None:
        super().__init__(network, "wire", host, None)
        network.peers[host] = self
        self._branches = 0

    def receive(self, message: Message) -> None:
        """Keep what came, and answer what only asks whether this server lives."""
        if isinstance(message, Request) and message.method in ("OPTIONS", "REGISTER"):
            bound = [(n, f"{v};expires=140") for n, v in message.headers if n == "Contact"]
            self.send(message.response(200, None, bound, to_tag="alive"))

    def got(self) -> list[Request | Response]:
        """Everything that came here, oldest first."""
        return [
            message
            for _, to, message in self.network.trace
            if to == self.hop.host and isinstance(message, Request | Response)
        ]

    def asked(self, method: str) -> list[Request]:
        """The requests of a method that came here, without copies."""
        found = [m for m in self.got() if isinstance(m, Request) and m.method == method]
        return list({m.via.branch: m for m in found}.values())

    def answers(self, method: str) -> list[Response]:
        """The responses to a method of ours that came here."""
        return [m for m in self.got() if isinstance(m, Response) and m.cseq.method == method]

    def send(self, message: Message) -> None:
        """Send a message, and let everything happen that follows from it."""
        self.network.flying.append((self.hop, self.network.ours, message.render()))
        self.network.settle()

    def respond(
        self, request: Request, status: int, tag: str, body: bytes = b"", headers: Headers = ()
    ) -> None:
        """Answer a request that came here."""
        contact = ("Contact", f"<sip:{tag}@{self.hop.host}>")
        typed = (("Content-Type", "application/sdp"),) if body else ()
        self.send(request.response(status, None, (contact, *typed, *headers), body, to_tag=tag))

    def request(
        self,
        method: str,
        *,
        number: str = "1001",
        sequence: int = 1,
        to_tag: str = "",
        call_id: str = "wired",
        body: bytes = b"",
        headers: Headers = (),
        branch: str = "",
        asks_for_port: bool = True,
    ) -> Request:
        """Make a request of this server, with a branch of its own unless one is given."""
        self._branches += 1
        via = f"SIP/2.0/UDP {self.hop.host};branch={branch or f'z9hG4bKw{self._branches}'}"
        typed = (("Content-Type", "application/sdp"),) if body and not _typed(headers) else ()
        lines: list[tuple[str, str]] = [
            ("Via", via + (";rport" if asks_for_port else "")),
            ("Max-Forwards", "70"),
            ("From", "sip:5000@sip.example.com;tag=theirs"),
            ("To", f"<sip:{number}@sip.example.com>" + (f";tag={to_tag}" if to_tag else "")),
            ("Call-ID", call_id),
            ("CSeq", f"{sequence} {method}"),
            ("Contact", f"<sip:5000@{self.hop.host}>"),
            *typed,
            *headers,
            ("Content-Length", str(len(body))),
        ]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        uri = f"sip:{number}@{OURS}:5066"
        parsed = parse_datagram(f"{method} {uri} SIP/2.0\r\n{head}\r\n".encode() + body)
        assert isinstance(parsed, Request)
        return parsed

    def invite(self, body: bytes, headers: Headers = (), number: str = "1001") -> None:
        """Send an INVITE."""
        self.send(self.request("INVITE", number=number, body=body, headers=headers))

    @property
    def tag(self) -> str:
        """Our tag in the call that this server has begun."""
        return next(m.to.tag for m in self.answers("INVITE") if m.to.tag)

    def within(
        self, method: str, sequence: int, body: bytes = b"", headers: Headers = ()
    ) -> Response | None:
        """Send a request inside the call; give the latest answer to it, if there is one yet."""
        self.send(
            self.request(method, sequence=sequence, to_tag=self.tag, body=body, headers=headers)
        )
        found = [m for m in self.answers(method) if m.cseq.number == sequence]
        return found[-1] if found else None

    def acknowledge(self, sequence: int = 1, body: bytes = b"") -> None:
        """Send the ACK of a 2xx."""
        self.within("ACK", sequence, body)


def _typed(headers: Headers) -> bool:
    return any(name.lower() == "content-type" for name, _ in headers)
