"""
A phone in a web page, as far as SIP goes: the ``websockets`` package below, SIP text above.

Only what a test needs is spoken, and nothing is repeated: WebSocket loses nothing. RTP is offered
as plain phones offer it, to a port where nobody listens.

Of ``websockets`` it is the protocol without I/O: its client reads in a thread of its own, and
Python's TLS loses bytes where one thread reads while another writes.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from tests.sippeers.conversation import Seen
from tests.sippeers.suite import PASSWORD

CONTACT = "df7jal23ls0d.invalid"
"""What a page has in place of an address (RFC 7118, section 5.2)."""
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PATIENCE = 5.0
_numbers = count(1)


@dataclass
class Dialog:
    """What the requests of one session share."""

    target: str
    near: str
    """From of ours, with its tag."""
    far: str
    call_id: str = ""
    cseq: int = 0
    routes: list[str] = field(default_factory=list)


class WebSocket:
    """A connection whose every wait has an end."""

    def __init__(self, stream: socket.socket, protocol: ClientProtocol) -> None:
        self.protocol = protocol
        self._stream = stream
        self._frames: list[Frame] = []
        protocol.send_request(protocol.connect())
        self._flush()
        while protocol.handshake_exc is None and protocol.state is State.CONNECTING:
            self._read()
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc

    @property
    def close_code(self) -> int | None:
        """What the server closed it with."""
        return self.protocol.close_code

    def send(self, text: str) -> None:
        """Send a message."""
        self.protocol.send_text(text.encode())
        self._flush()

    def receive(self) -> bytes:
        """The next message; EOFError where there is none any more."""
        return self._frame(Opcode.TEXT)

    def ping(self) -> bytes:
        """Ask whether it lives; the answer."""
        self.protocol.send_ping(b"there?")
        self._flush()
        return self._frame(Opcode.PONG)

    def close(self) -> None:
        """Say good-bye and hear the other side's."""
        self.protocol.send_close(1000)
        self._flush()
        while self._read():
            pass
        self._stream.close()

    def _frame(self, kind: Opcode) -> bytes:
        while True:
            for frame in self._frames:
                if frame.opcode is kind:
                    self._frames.remove(frame)
                    return bytes(frame.data)
            if not self._read():
                raise EOFError(f"closed with {self.close_code}")

    def _read(self) -> bool:
        data = self._stream.recv(65536)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        self._frames += [e for e in self.protocol.events_received() if isinstance(e, Frame)]
        self._flush()
        return bool(data)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self._stream.sendall(data)


class WebPhone:
    """One that is connected, for a DN at a domain."""

    def __init__(self, socket: WebSocket, dn: str, domain: str) -> None:
        self.socket = socket
        self.dn = dn
        self.domain = domain
        self._binding = f"binding-{next(_numbers)}@{CONTACT}"
        self._cseq = 0

    def say(self, text: str) -> None:
        """Send a message as it is."""
        self.socket.send(text)

    def hear(self) -> Seen:
        """The next message."""
        return Seen(0.0, "WS", False, self.socket.receive())

    def hear_final(self) -> Seen:
        """The next message that is no provisional response."""
        while True:
            message = self.hear()
            if not message.start_line.startswith("SIP/2.0 1"):
                return message

    def register(self, expires: int = 120) -> Seen:
        """Register the DN, with its password where that is asked; the last response."""
        answer = self._register(expires, "")
        if answer.name == "401 REGISTER":
            answer = self._register(expires, self._authorization(answer, "REGISTER"))
        return answer

    def _register(self, expires: int, authorization: str) -> Seen:
        self._cseq += 1
        own = f"<sip:{self.dn}@{self.domain}>"
        dialog = Dialog(f"sip:{self.domain}", f"{own};tag=r", own, self._binding, self._cseq)
        self.request(dialog, "REGISTER", f"Expires: {expires}\r\n{authorization}")
        return self.hear_final()

    def _authorization(self, challenge: Seen, method: str) -> str:
        wanted = {k: a or b for k, a, b in _PARAMETER.findall(challenge.header("WWW-Authenticate"))}
        algorithm, uri = wanted.get("algorithm", "MD5"), f"sip:{self.domain}"

        def digest(*parts: str) -> str:
            return _HASHES[algorithm](":".join(parts).encode()).hexdigest()

        secret = digest(self.dn, wanted["realm"], PASSWORD)
        asked = digest(method, uri)
        response = digest(secret, wanted["nonce"], "00000001", "cnonce", "auth", asked)
        given = {
            "username": self.dn,
            "realm": wanted["realm"],
            "nonce": wanted["nonce"],
            "uri": uri,
            "response": response,
            "cnonce": "cnonce",
            "opaque": wanted.get("opaque", ""),
        }
        told = ", ".join(f'{name}="{value}"' for name, value in given.items())
        return f"Authorization: Digest {told}, algorithm={algorithm}, qop=auth, nc=00000001\r\n"

    def request(self, dialog: Dialog, method: str, more: str = "", body: str = "") -> None:
        """Send a request of a dialog; ``more`` are header lines."""
        routes = "".join(f"Route: {route}\r\n" for route in dialog.routes)
        self.say(
            f"{method} {dialog.target} SIP/2.0\r\n"
            f"Via: SIP/2.0/WSS {CONTACT};branch=z9hG4bK{next(_numbers)}\r\n"
            f"Max-Forwards: 70\r\nFrom: {dialog.near}\r\nTo: {dialog.far}\r\n"
            f"Call-ID: {dialog.call_id}\r\nCSeq: {dialog.cseq} {method}\r\n{routes}"
            f"Contact: <sip:{self.dn}@{CONTACT};transport=ws>\r\n{more}"
            f"{_body(body)}"
        )

    def call(self, number: str) -> Dialog:
        """Call a number until it is answered and acknowledged."""
        own = f"<sip:{self.dn}@{self.domain}>;tag={next(_numbers)}"
        target = f"sip:{number}@{self.domain}"
        dialog = Dialog(target, own, f"<{target}>", f"call-{next(_numbers)}@{CONTACT}", 1)
        self.request(dialog, "INVITE", body=description("sendrecv"))
        self._take_answer(dialog)
        return dialog

    def offer(self, dialog: Dialog, direction: str) -> Seen:
        """Ask for another direction of the media; the answer."""
        dialog.cseq += 1
        self.request(dialog, "INVITE", body=description(direction))
        return self._take_answer(dialog)

    def hang_up(self, dialog: Dialog) -> Seen:
        """End a call."""
        dialog.cseq += 1
        self.request(dialog, "BYE")
        return self.hear_final()

    def _take_answer(self, dialog: Dialog) -> Seen:
        answer = self.hear_final()
        if answer.name != "200 INVITE":
            raise AssertionError(answer.text)
        dialog.far = answer.header("To")
        dialog.target = answer.header("Contact").partition("<")[2].partition(">")[0]
        self.request(dialog, "ACK")
        return answer

    def reply(self, request: Seen, status: str, body: str = "") -> None:
        """Answer a request that came."""
        kept = ["Via", "Record-Route", "From", "Call-ID", "CSeq"]
        lines = [f"{name}: {value}" for name in kept for value in request.headers(name)]
        to = request.header("To")
        lines.append(f"To: {to}" if ";tag=" in to else f"To: {to};tag=web")
        head = "\r\n".join(lines)
        self.say(
            f"SIP/2.0 {status}\r\n{head}\r\n"
            f"Contact: <sip:{self.dn}@{CONTACT};transport=ws>\r\n{_body(body)}"
        )


def description(direction: str) -> str:
    """SDP of one medium."""
    lines = (
        *("v=0", f"o=- 1 {next(_numbers)} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"),
        *("m=audio 9 RTP/AVP 0", f"a={direction}"),
    )
    return "".join(f"{line}\r\n" for line in lines)


def _body(body: str) -> str:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"


@contextmanager
def web_phone(
    url: str, dn: str, domain: str, *, context: ssl.SSLContext | None = None, origin: str = ""
) -> Iterator[WebPhone]:
    """Connect until the end of the block; raises what ``websockets`` says of a refusal."""
    uri = parse_uri(url)
    protocol = ClientProtocol(
        uri,
        origin=Origin(origin) if origin else None,
        subprotocols=[Subprotocol("sip")],
    )
    with socket.create_connection((uri.host, uri.port), _PATIENCE) as stream:
        if context is not None:
            stream = context.wrap_socket(stream, server_hostname=uri.host)
        with stream:
            web_socket = WebSocket(stream, protocol)
            if protocol.subprotocol != "sip":
                raise AssertionError(f"subprotocol {protocol.subprotocol}")
            yield WebPhone(web_socket, dn, domain)
