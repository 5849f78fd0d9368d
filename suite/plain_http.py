"""
The answers to HTTP where nobody serves it: a redirect to HTTPS, and two refusals.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.interfaces import IProtocol, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

HEAD_MAXIMUM = 8 * 1024
HTTPS_PORT = 443
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
    b"This port does not serve HTTP.\n"
)
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 35\r\nConnection: close\r\n\r\n"
    b"SIP is not served here at present.\n"
)
_HOST = re.compile(
    rb"(?P<name>[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])"
    rb"(:(?P<port>[1-9][0-9]{0,4}))?"
)
_TARGET = re.compile(rb"/[\x21-\x7e]*")


class HttpRefusal(Protocol):
    """Says one fixed sentence, such as that this port serves no pages, and closes."""

    def __init__(self, response: bytes = BAD_REQUEST) -> None:
        self._response = response

    def connectionMade(self) -> None:
        """Answer without reading the request: whatever it is, it is in the wrong place."""
        answer(self.transport, self._response)

    def dataReceived(self, data: bytes) -> None:
        """Ignore the request."""


class HttpsRedirect(Protocol):
    """Sends the client to the same path over HTTPS, once the head of its request is here."""

    def __init__(self, port: int, *, always: bool = False) -> None:
        """``always``: this port is meant whatever port the client named."""
        self._port = port
        self._always = always
        self._head = b""
        self._answered = False

    def dataReceived(self, data: bytes) -> None:
        """Collect the head and answer it."""
        if self._answered:
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and len(self._head) <= HEAD_MAXIMUM:
            return
        self._answered = True
        location = None if end < 0 else self._location(self._head[:end])
        answer(self.transport, BAD_REQUEST if location is None else _moved(location))

    def _location(self, head: bytes) -> bytes | None:
        return https_location(head, self._port, always=self._always)


def answer(transport: ITransport | None, response: bytes) -> None:
    """Send a whole response and close."""
    if transport is not None:
        transport.write(response)
        transport.loseConnection()


def https_location(head: bytes, port: int, *, always: bool = False) -> bytes | None:
    """
    Where a request would be answered over TLS, or None for one that cannot be sent anywhere.

    ``port`` counts where the client names none, or ``always``.

    A Host header that is no host is not repeated, so nothing of it can reach the answer's head.
    """
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    hosts = [line[5:].strip(b" \t") for line in lines[1:] if line[:5].lower() == b"host:"]
    if len(words) != 3 or len(hosts) != 1 or not _TARGET.fullmatch(words[1]):
        return None
    host = _HOST.fullmatch(hosts[0])
    if host is None:
        return None
    if always and port == HTTPS_PORT:
        return b"https://%s%s" % (host["name"], words[1])
    named = None if always else host["port"]
    return b"https://%s:%s%s" % (host["name"], named or b"%d" % port, words[1])


def _moved(location: bytes) -> bytes:
    return (
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: %s\r\n"
        b"Content-Length: 0\r\nConnection: close\r\n\r\n" % location
    )


class HeadWatch:
    """
    Stands before an HTTP channel and calls ``finished`` when the first request's head has gone by.

    The channel's methods are looked up each time: Twisted's channels replace their own.
    """

    def __init__(self, channel: IProtocol, finished: Callable[[], None]) -> None:
        self._channel = channel
        self._finished = finished
        self._tail = b""
        self._is_watching = True

    def receive(self, data: bytes) -> None:
        """Pass the bytes on; they are looked at only until the empty line."""
        if self._is_watching:
            recent = self._tail + data
            if b"\r\n\r\n" in recent:
                self._is_watching = False
                self._finished()
            self._tail = recent[-3:]
        self._channel.dataReceived(data)

    def lost(self, reason: Failure) -> None:
        """Tell the channel."""
        self._channel.connectionLost(reason)
