"""
A SIP Server of a few lines for what no program of others does on command: to be slow by seconds,
and to reset its connections.

It registers everybody and answers every call. At a named moment, those of ``pair-member.xml``, it
begins to fail: what it sends goes out seconds later, or each connection is reset as soon as
something comes in.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial

from tests.sippeers.addresses import Endpoint
from tests.sippeers.conversation import Conversation, Seen

_CHALLENGE = 'WWW-Authenticate: Digest realm="server", nonce="once", algorithm=MD5, qop="auth"'
_SDP = (
    "v=0\r\no=server 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
)
_RESET = struct.pack("ii", 1, 0)
Send = Callable[[bytes], None]


class Fault(Enum):
    """How it fails."""

    SLOW = "slow"
    RESET = "reset"


@dataclass(frozen=True)
class Reply:
    """One of the responses to a request, and the moment that it makes."""

    status: str
    moment: str = ""
    headers: str = ""
    direction: str = ""


class Responder:
    """One that runs, on UDP and TCP."""

    def __init__(self, at: Endpoint, fault: Fault, moment: str, delay: float) -> None:
        self.at = at
        self.failed_at = 0.0
        """When it began to fail, by the clock of SIPp's logs."""
        self._fault = fault
        self._moment = moment
        self._delay = delay
        self._messages: list[Seen] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timers: list[threading.Timer] = []
        self._is_challenged = moment != "challenged"

    @property
    def conversation(self) -> Conversation:
        """All messages so far; what goes out late stands where it went out."""
        with self._lock:
            return Conversation(tuple(self._messages))

    def wait_for(self, name: str, count: int = 1, timeout: float = 10) -> None:
        """Until it received ``count`` messages of that name."""
        deadline = time.monotonic() + timeout
        while len(self.conversation.received(name)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"not {count} x {name}\n{self.conversation.told()}")
            time.sleep(0.02)

    def fail(self) -> None:
        """Begin to."""
        if not self.failed_at:
            self.failed_at = _now()

    def reached(self, moment: str) -> None:
        """Fail, if this is the moment for it."""
        if moment and moment == self._moment:
            self.fail()

    # Sockets.

    def start(self) -> None:
        """Serve in threads of its own."""
        datagrams = self._socket(socket.SOCK_DGRAM)
        connections = self._socket(socket.SOCK_STREAM)
        connections.listen()
        for work in (lambda: self._read_datagrams(datagrams), lambda: self._accept(connections)):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        for timer in self._timers:
            timer.cancel()
        for one in self._sockets:
            # A thread that waits in recv would not hear of a mere close.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _socket(self, kind: socket.SocketKind) -> socket.socket:
        one = socket.socket(socket.AF_INET, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((self.at.host, self.at.port))
        self._sockets.append(one)
        return one

    def _read_datagrams(self, datagrams: socket.socket) -> None:
        with suppress(OSError):
            while True:
                data, source = datagrams.recvfrom(65536)
                self._take(data, "UDP", partial(_send_to, datagrams, source))

    def _accept(self, connections: socket.socket) -> None:
        with suppress(OSError):
            while True:
                one, _ = connections.accept()
                self._sockets.append(one)
                threading.Thread(target=self._read_stream, args=(one,), daemon=True).start()

    def _read_stream(self, one: socket.socket) -> None:
        held = b""
        with suppress(OSError):
            while data := one.recv(65536):
                held += data
                while (message := _whole(held)) is not None:
                    held = held[len(message) :]
                    self._take(message, "TCP", one.sendall)
                if self._fault is Fault.RESET and self.failed_at:
                    # What was sent before shall be read before.
                    time.sleep(0.05)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    break
            one.close()

    # Messages.

    def _take(self, data: bytes, transport: str, send: Send) -> None:
        message = self._note(data, transport, is_sent=False)
        if message is None or message.start_line.startswith("SIP/2.0 "):
            return
        self.reached(_moment_of(message))
        for reply in self._replies(message):
            if self._fault is Fault.RESET and self.failed_at:
                return
            self._answer(message, reply, transport, send)
            self.reached(reply.moment)

    def _note(self, data: bytes, transport: str, *, is_sent: bool) -> Seen | None:
        seen = Seen(_now(), transport, is_sent, data)
        if not data.strip():
            return None
        with self._lock:
            self._messages.append(seen)
        return seen

    def _replies(self, request: Seen) -> Iterator[Reply]:
        if request.name == "REGISTER" and not self._is_challenged:
            self._is_challenged = True
            yield Reply("401 Unauthorized", "challenged", _CHALLENGE)
        elif request.name == "REGISTER":
            contact = f"Contact: {request.header('Contact')}\r\nExpires: 140"
            yield Reply("200 OK", headers=contact)
        elif request.name == "INVITE" and ";tag=" in request.header("To"):
            yield Reply("200 OK", direction="recvonly")
        elif request.name == "INVITE":
            yield Reply("180 Ringing", "ringing")
            yield Reply("200 OK", "answered", direction="sendrecv")
        elif request.name != "ACK":
            yield Reply("200 OK")

    def _answer(self, request: Seen, reply: Reply, transport: str, send: Send) -> None:
        data = self._response(request, reply)

        def out() -> None:
            with suppress(OSError):
                send(data)
                self._note(data, transport, is_sent=True)

        if not self.failed_at:
            out()
            return
        timer = threading.Timer(self._delay, out)
        self._timers.append(timer)
        timer.start()

    def _response(self, request: Seen, reply: Reply) -> bytes:
        to = request.header("To")
        body = ""
        if reply.direction:
            body = _SDP.format(host=self.at.host, port=7000, direction=reply.direction)
        lines = [
            f"SIP/2.0 {reply.status}",
            *(f"Via: {via}" for via in request.headers("Via")),
            *(f"Record-Route: {route}" for route in request.headers("Record-Route")),
            f"From: {request.header('From')}",
            f"To: {to}" + ("" if ";tag=" in to else ";tag=responder"),
            f"Call-ID: {request.header('Call-ID')}",
            f"CSeq: {request.header('CSeq')}",
            *([reply.headers] if reply.headers else [f"Contact: <sip:{self.at}>"]),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def _send_to(datagrams: socket.socket, source: tuple[str, int], data: bytes) -> None:
    datagrams.sendto(data, source)


def _moment_of(request: Seen) -> str:
    if request.name == "INVITE":
        return "changing" if ";tag=" in request.header("To") else "invited"
    return {"REGISTER": "register", "ACK": "up", "BYE": "leaving"}.get(request.name, "")


def _whole(held: bytes) -> bytes | None:
    """The first message in a stream; a lone line end is one of its own."""
    if held.startswith(b"\r\n"):
        return held[:2]
    head, end, rest = held.partition(b"\r\n\r\n")
    if not end:
        return None
    length = int(Seen(0, "", False, head).header("Content-Length") or 0)
    return held[: len(head) + 4 + length] if len(rest) >= length else None


def _now() -> float:
    """Local time taken for UTC, as SIPp's logs have it."""
    now = time.time()
    return now + time.localtime(now).tm_gmtoff


@contextmanager
def responder(
    at: Endpoint, fault: Fault = Fault.SLOW, moment: str = "", delay: float = 5.0
) -> Iterator[Responder]:
    """Run one; without a moment it fails when it is told to."""
    one = Responder(at, fault, moment, delay)
    one.start()
    try:
        yield one
    finally:
        one.stop()
