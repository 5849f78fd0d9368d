"""
Finding our own public address by asking a STUN server (``external-ip = auto``).

Asked at the start and again every ten minutes, so that a changed address is noticed. Until the
first answer the local address is given out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IReactorUDP,
    IResolverSimple,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from turn.five_tuple import Address
from turn.stun.attributes import Attribute, unpack_xor_address
from turn.stun.errors import MalformedMessage
from turn.stun.message import Class, Method, decode, encode

ASK_AGAIN = 600.0
RETRY = 30.0
RETRANSMISSIONS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait after each sending (RFC 8489, section 6.2.1, shortened at the end)."""


class ExternalAddressFinder(DatagramProtocol):
    """
    Tells ``found(public address)`` at every answer; a server that is silent is asked again.

    ``server`` is a host name or address and a port. One address family is asked about: that of
    ``local``, the address to ask from.
    """

    log = Logger(namespace="turn")
    transport: IUDPTransport

    def __init__(
        self,
        reactor: IReactorUDP,
        clock: IReactorTime,
        resolver: IResolverSimple,
        server: Address,
        local: str,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._resolver = resolver
        self._server = server
        self._local = local
        self._found: Callable[[str], None] | None = None
        self._transaction_id = b""
        self._timer: IDelayedCall | None = None
        self._listening = False
        self._target: Address | None = None

    def start(self, found: Callable[[str], None]) -> None:
        """Begin to ask; where no UDP port can be had it is tried again later."""
        self._found = found
        self._listen()

    def _listen(self) -> None:
        try:
            self._reactor.listenUDP(0, self, self._local, 2048)
        except CannotListenError as error:
            self.log.warn("external-ip = auto: {error}", error=error)
            self._timer = self._clock.callLater(RETRY, self._listen)
            return
        self._listening = True
        self._resolve()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._listening:
            self._listening = False
            self.transport.stopListening()

    def _resolve(self) -> None:
        answer = self._resolver.getHostByName(self._server[0], timeout=(5,))
        answer.addCallbacks(self._resolved, self._unresolved)

    def _resolved(self, host: str) -> None:
        if self._listening:
            self._target = (host, self._server[1])
            self._transaction_id = secrets.token_bytes(12)
            self._send(0)

    def _unresolved(self, failure: Failure) -> None:
        self.log.warn(
            "external-ip = auto: the STUN server {server} has no address: {reason}",
            server=self._server[0],
            reason=failure.getErrorMessage(),
        )
        self._ask_in(RETRY)

    def _send(self, attempt: int) -> None:
        if attempt == len(RETRANSMISSIONS):
            self.log.warn(
                "external-ip = auto: no answer from the STUN server {server}", server=self._server
            )
            self._ask_in(RETRY)
            return
        request = encode(Method.BINDING, Class.REQUEST, self._transaction_id, [])
        self.transport.write(request, self._target)
        self._timer = self._clock.callLater(RETRANSMISSIONS[attempt], self._send, attempt + 1)

    def _ask_in(self, seconds: float) -> None:
        if self._listening:
            self._timer = self._clock.callLater(seconds, self._resolve)

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """Take the answer to our own question, from whom it was put to."""
        if addr[:2] != self._target:
            return
        try:
            message = decode(datagram)
            value = message.first(Attribute.XOR_MAPPED_ADDRESS)
            if message.transaction_id != self._transaction_id or value is None:
                return
            public = unpack_xor_address(value, message.transaction_id)[0]
        except MalformedMessage:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._transaction_id = b""
        self._ask_in(ASK_AGAIN)
        if self._found is not None:
            self._found(public)
