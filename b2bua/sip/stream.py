"""
Cutting a stream into messages by Content-Length (RFC 3261, section 18.3; RFC 5626, section 3.5.1).

A message that is broken but whole is given as its ParseError, and the next one is read. What
leaves the length in doubt ends the stream: two readers that disagree on it see two different
messages in the bytes that follow.
"""

from __future__ import annotations

from enum import Enum

from b2bua.sip.errors import ParseError, StreamError
from b2bua.sip.message import Message
from b2bua.sip.parser import MAX_BODY, MAX_HEAD, Head, oversized, read_head


class KeepAlive(Enum):
    """
    Line ends between messages (RFC 5626).

    Two in a row are a ping, which is answered with one. The first of the two is given as a pong:
    nobody can know whether a second one follows.
    """

    PING = b"\r\n\r\n"
    PONG = b"\r\n"


Item = Message | KeepAlive | ParseError


class StreamFramer:
    """
    Keeps the message that has begun, within the parser's limits, and gives whole ones.

    After a StreamError nothing more is read; every further ``feed`` raises it again.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._head: Head | None = None
        self._wanted = 0
        self._half_ping = False
        self._fault: ParseError | None = None

    @property
    def pending(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> list[Item]:
        """
        Take what the stream gave and return what is whole now.

        Raises StreamError, which carries what stood before the fault.
        """
        items: list[Item] = []
        if self._fault is not None:
            raise StreamError(self._fault, items)
        self._buffer += data
        try:
            while (item := self._next()) is not None:
                items.append(item)
        except ParseError as error:
            self._fault = error
            self._buffer.clear()
            raise StreamError(error, items) from None
        return items

    def _next(self) -> Item | None:
        if self._head is None:
            if self._buffer[:1] == b"\r":
                return self._line_end()
            if not self._read_head():
                return None
        return self._body()

    def _line_end(self) -> KeepAlive | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer[1:2] != b"\n":
            raise ParseError("line-end", status=None)
        del self._buffer[:2]
        self._half_ping = not self._half_ping
        return KeepAlive.PONG if self._half_ping else KeepAlive.PING

    def _read_head(self) -> bool:
        """Take the head from the buffer once it is whole, and learn how long the body is."""
        end = self._buffer.find(b"\r\n\r\n", max(0, self._scanned - 3), MAX_HEAD)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned >= MAX_HEAD:
                raise oversized(bytes(self._buffer[:MAX_HEAD]))
            return False
        head = read_head(bytes(self._buffer[:end]))
        try:
            length = head.content_length()
            if length is None:
                raise ParseError("length", "missing")
            if length > MAX_BODY:
                raise ParseError("body-size", status=513)
        except ParseError as error:
            raise head.refusal(error) from None
        del self._buffer[: end + 4]
        self._scanned = 0
        self._head, self._wanted = head, length
        return True

    def _body(self) -> Message | ParseError | None:
        head = self._head
        if head is None or len(self._buffer) < self._wanted:
            return None
        body = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._head = None
        self._half_ping = False
        try:
            return head.message(body)
        except ParseError as error:
            return head.refusal(error)
