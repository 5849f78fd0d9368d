"""
Ports, addresses and the identity of the transports for browsers.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from b2bua.media_plane import MediaPortsExhausted, TransportEvent
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.ice_agent import IceTerms
from b2bua.net.ice_candidates import HIGHEST_PREFERENCE, Address
from b2bua.net.ice_consent import IceTimes
from b2bua.net.ice_gathering import IceServers
from b2bua.rtp.ports import NoPorts, Ports
from b2bua.settings import WebMediaSettings
from suite.datapath.web_transport import WebBase, WebTerms, WebTransport

_HELD_BY_OTHERS = frozenset({errno.EADDRINUSE, errno.EACCES})
Base = TypeVar("Base", bound=WebBase)
Transport = TypeVar("Transport", bound=WebTransport)
_Base = TypeVar("_Base", bound=WebBase, contravariant=True)
_Transport = TypeVar("_Transport", bound=WebTransport, covariant=True)


class MakesTransport(Protocol[_Base, _Transport]):
    """Makes a transport of sockets that are bound."""

    def __call__(
        self,
        sockets: Sequence[_Base],
        terms: WebTerms,
        tell: Callable[[TransportEvent], None],
        *,
        controlling: bool,
    ) -> _Transport: ...


class WebTransports:
    """
    Opens transports: one port of the range, the same on every address.

    ``randbelow`` chooses ports and must be unpredictable. Making one raises DtlsIdentityError.
    """

    _log = Logger(namespace="datapath")

    def __init__(
        self,
        settings: WebMediaSettings,
        clock: IReactorTime,
        loop: asyncio.AbstractEventLoop,
        randbelow: Callable[[int], int],
        times: IceTimes,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ports = Ports(settings.first_port, settings.last_port, randbelow, settings.rest)
        self._unbound: set[str] = set()
        self._terms = WebTerms(
            clock=clock,
            identity=DtlsIdentity.load(settings.dtls),
            ice=IceTerms(
                loop=loop,
                times=times,
                allows_peer=settings.allows_peer,
                seeks_peer=settings.seeks_peer,
            ),
            servers=IceServers(stun=settings.stun_server, turn=settings.turn_server),
            external=dict(settings.external),
        )

    @property
    def handshakes(self) -> Counter[str]:
        """DTLS handshakes, by how they ended."""
        return self._terms.handshakes

    def free(self, now: float) -> int:
        """Ports that nobody holds."""
        return self._ports.free(now)

    def open(
        self,
        bind: Callable[[Address, int], Base],
        make: MakesTransport[Base, Transport],
        tell: Callable[[TransportEvent], None],
        *,
        controlling: bool,
    ) -> Transport:
        """
        Bind a port on each address, and make a transport of them. Raises MediaPortsExhausted.

        ``bind`` takes an address and its local preference, and raises OSError.
        """
        return make(self._bind(bind), self._terms, tell, controlling=controlling)

    def give_back(self, port: int, now: float) -> None:
        """Let a port rest."""
        self._ports.give_back(port, now)

    def _bind(self, bind: Callable[[Address, int], Base]) -> list[Base]:
        now = self._clock.seconds()
        while True:
            try:
                port = self._ports.take(now)
            except NoPorts:
                raise MediaPortsExhausted(f"{self._range}: no port is left") from None
            try:
                return self._bind_each(port, bind)
            except OSError as error:
                if error.errno in _HELD_BY_OTHERS:
                    self._ports.withdraw(port, now)
                    continue
                self._ports.give_back(port, now)
                raise MediaPortsExhausted(f"{self._range}: {error.strerror}") from error

    def _bind_each(self, port: int, bind: Callable[[Address, int], Base]) -> list[Base]:
        """Bind it on every address that can be bound. Raises OSError."""
        sockets: list[Base] = []
        missing: OSError | None = None
        for place, host in enumerate(self._settings.addresses):
            try:
                sockets.append(bind((host, port), HIGHEST_PREFERENCE - place))
            except OSError as error:
                if error.errno in _HELD_BY_OTHERS:
                    _close(sockets)
                    raise
                missing = error
                if host not in self._unbound:
                    self._unbound.add(host)
                    self._log.warn("no media of browsers on {host}: {why}", host=host, why=error)
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, "there is no address for them")
        return sockets

    @property
    def _range(self) -> str:
        settings = self._settings
        return f"ports {settings.first_port}-{settings.last_port} for browsers"


def _close(sockets: Sequence[WebBase]) -> None:
    for sock in sockets:
        sock.close()
