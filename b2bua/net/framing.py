"""
How messages lie in a stream of bytes: one after the other, or in WebSocket messages.
"""

from __future__ import annotations

from typing import Protocol

from b2bua.sip.stream import Item, KeepAlive, StreamFramer


class Framing(Protocol):
    """What a stream needs to know of its bytes. ``take_output`` is asked after every other call."""

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""

    @property
    def is_pending(self) -> bool:
        """Whether a message has begun and is not whole yet."""

    @property
    def end(self) -> str:
        """Why nothing more will come, as a fixed phrase; "" while that is not so."""

    def begin(self) -> None:
        """The bytes' way is open."""

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes and give what is whole. Raises StreamError."""

    def pack(self, message: bytes) -> bytes:
        """Give the bytes of one message of ours."""

    def keep_alive(self, kind: KeepAlive) -> bytes:
        """Give the bytes of a keep-alive."""

    def close(self) -> None:
        """Say good-bye, where there is a word for it."""

    def take_output(self) -> bytes:
        """Give what the framing itself has to send."""


class PlainFraming:
    """Messages cut by their Content-Length: TCP and TLS."""

    is_open = True
    end = ""

    def __init__(self) -> None:
        self._framer = StreamFramer()

    @property
    def is_pending(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return self._framer.pending

    def begin(self) -> None:
        """Nothing is said before the first message."""

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes and give what is whole. Raises StreamError."""
        return self._framer.feed(data)

    def pack(self, message: bytes) -> bytes:
        """Give the message as it is."""
        return message

    def keep_alive(self, kind: KeepAlive) -> bytes:
        """Give two line ends or one (RFC 5626, section 4.4.1)."""
        return kind.value

    def close(self) -> None:
        """There is no word for it."""

    def take_output(self) -> bytes:
        """Give nothing."""
        return b""
