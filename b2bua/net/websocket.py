"""
SIP over WebSocket, the server's end (RFC 7118 over RFC 6455).

Pure: bytes in, messages and bytes out. Frames and handshake are wsproto's; ours are the
subprotocol ``sip``, the limits, and who may connect from which web page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from b2bua.sip.errors import ParseError
from b2bua.sip.parser import MAX_BODY, MAX_HEAD, parse_datagram
from b2bua.sip.stream import Item, KeepAlive

SUBPROTOCOL: Final = "sip"
_MAX_MESSAGE: Final = MAX_HEAD + MAX_BODY
_MAX_HTTP_HEAD: Final = 8192
_HEAD_END: Final = b"\r\n\r\n"


class WebSocketFraming:
    """
    One browser's connection, from its HTTP request on.

    Each WebSocket message is one SIP message or a keep-alive. ``allows_origin`` is asked with the
    Origin of the page, "" where there is none. ``path`` is the only one that there is, "" for any.
    """

    def __init__(
        self, allows_origin: Callable[[str], bool] = lambda origin: True, path: str = ""
    ) -> None:
        self._allows_origin = allows_origin
        self._path = path
        self._socket = WSConnection(ConnectionType.SERVER)
        self._head: bytearray | None = bytearray()
        self._parts: list[bytes] = []
        self._size = 0
        self._output = bytearray()
        self.end = ""

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and nobody has said good-bye."""
        return self._head is None and self._socket.state is ConnectionState.OPEN

    @property
    def is_pending(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return bool(self._head or self._parts)

    def begin(self) -> None:
        """The client speaks first."""

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes and give what is whole."""
        items: list[Item] = []
        if self._head is not None:
            data = self._feed_head(data)
        if not data or self.end:
            return items
        try:
            self._socket.receive_data(data)
            events = self._socket.events()
            while not self.end and (event := next(events, None)) is not None:
                self._take(event, items)
        except ProtocolError:
            self._finish(CloseReason.PROTOCOL_ERROR, "WebSocket error")
        return items

    def pack(self, message: bytes) -> bytes:
        """
        Give the frames of one message, as text wherever it is text; none after a good-bye, which
        may have come in the very bytes that brought what is answered.
        """
        if not self.is_open:
            return b""
        try:
            return self._socket.send(TextMessage(message.decode()))
        except UnicodeDecodeError:
            return self._socket.send(BytesMessage(message))

    def keep_alive(self, kind: KeepAlive) -> bytes:
        """Give a message of line ends."""
        return self.pack(kind.value)

    def close(self) -> None:
        """Say good-bye."""
        self._finish(CloseReason.NORMAL_CLOSURE, "closed by us")

    def take_output(self) -> bytes:
        """Give handshake, pongs and good-byes."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def _feed_head(self, data: bytes) -> bytes:
        """Complete the HTTP request and answer it; return what follows it."""
        assert self._head is not None
        self._head += data
        end = self._head.find(_HEAD_END, 0, _MAX_HTTP_HEAD)
        if end < 0:
            if len(self._head) >= _MAX_HTTP_HEAD:
                self._reject(RejectConnection(status_code=431), "HTTP request too long")
            return b""
        rest = bytes(self._head[end + len(_HEAD_END) :])
        head = bytes(self._head[: end + len(_HEAD_END)])
        self._head = None
        self._shake_hands(head)
        return rest

    def _shake_hands(self, head: bytes) -> None:
        try:
            self._socket.receive_data(head)
            request = next(self._socket.events(), None)
        except RemoteProtocolError as error:
            hint = error.event_hint
            refusal = hint if isinstance(hint, RejectConnection) else RejectConnection()
            self._reject(refusal, "no WebSocket request")
            return
        except UnicodeError:
            # wsproto decodes Host and the target before it looks at them.
            self._reject(RejectConnection(), "no WebSocket request")
            return
        if not isinstance(request, Request):
            self._reject(RejectConnection(), "no WebSocket request")
        elif self._path and request.target.partition("?")[0] != self._path:
            self._reject(RejectConnection(status_code=404), "no such path")
        elif SUBPROTOCOL not in request.subprotocols:
            self._reject(RejectConnection(), "subprotocol sip not offered")
        elif not self._allows_origin(_origin(request)):
            self._reject(RejectConnection(status_code=403), "origin not allowed")
        else:
            self._output += self._socket.send(AcceptConnection(subprotocol=SUBPROTOCOL))

    def _reject(self, refusal: RejectConnection, reason: str) -> None:
        self._head = None
        self.end = reason
        try:
            self._output += self._socket.send(refusal)
        except ProtocolError:
            # Bytes that are no HTTP at all leave wsproto nothing to answer.
            self._output += b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"

    def _take(self, event: Event, items: list[Item]) -> None:
        if isinstance(event, TextMessage):
            self._take_part(event.data.encode(), event.message_finished, items)
        elif isinstance(event, BytesMessage):
            self._take_part(bytes(event.data), event.message_finished, items)
        elif isinstance(event, Ping):
            self._output += self._socket.send(event.response())
        elif isinstance(event, Pong):
            items.append(KeepAlive.PONG)
        elif isinstance(event, CloseConnection):
            if self._socket.state is ConnectionState.REMOTE_CLOSING:
                self._output += self._socket.send(event.response())
                self.end = "peer closed"
            else:
                self._finish(event.code, "WebSocket error")

    def _take_part(self, part: bytes, is_last: bool, items: list[Item]) -> None:
        self._size += len(part)
        if self._size > _MAX_MESSAGE:
            self._finish(CloseReason.MESSAGE_TOO_BIG, "message too big")
            return
        self._parts.append(part)
        if not is_last:
            return
        message = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        items.append(_read(message))

    def _finish(self, code: int, reason: str) -> None:
        if self._head is None and self._socket.state is ConnectionState.OPEN:
            self._output += self._socket.send(CloseConnection(code))
        self.end = self.end or reason


def _read(message: bytes) -> Item:
    if message == KeepAlive.PING.value:
        return KeepAlive.PING
    if message == KeepAlive.PONG.value:
        return KeepAlive.PONG
    try:
        return parse_datagram(message)
    except ParseError as error:
        return error


def _origin(request: Request) -> str:
    """The page that opened the connection; of several Origins none is believed."""
    origins = [value for name, value in request.extra_headers if name == b"origin"]
    if not origins:
        return ""
    return origins[0].decode("latin-1") if len(origins) == 1 else "null"
