"""
The suite's units: each part behind the one shape that the supervisor knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP

from suite.bind_failure import BindFailure, explain
from suite.logs import Log
from suite.parts import Plane, Relay, Stream, Watch
from suite.status import StatusSite
from suite.unit import Health, Unit
from turn.five_tuple import Address, joined

WELL = Health(True)


class NotOpened(Exception):
    """An address could not be opened. The text is the reason; ``failure`` has the remedy too."""

    def __init__(self, failure: BindFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Listening(Unit, Protocol):
    """A unit that holds one address open."""

    @property
    def transport(self) -> str:
        """``UDP`` or ``TCP``."""

    @property
    def address(self) -> Address:
        """Where it is bound, or is to be."""

    @property
    def serves(self) -> str:
        """What is served there, in words."""


class UdpUnit:
    """One UDP address of the relay."""

    required = True
    transport = "UDP"

    def __init__(self, plane: Plane, address: Address, serves: str) -> None:
        self.name = f"udp {joined(address)}"
        self.serves = serves
        self._plane = plane
        self._address = address
        self._handle: int | None = None

    @property
    def address(self) -> Address:
        """Where it is bound, or is to be."""
        return self._address if self._handle is None else self._plane.listening_on(self._handle)

    def start(self) -> None:
        """Open the address; raises NotOpened."""
        try:
            self._handle = self._plane.listen(self._address)
        except OSError as error:
            raise NotOpened(explain(error, "UDP", self._address)) from error

    def stop(self) -> None:
        """Close it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._plane.stop_listening(handle)

    def health(self) -> Health:
        """A bound socket is well."""
        return WELL


class TcpUnit:
    """One TCP address for the relay, the pages, or both."""

    required = True
    transport = "TCP"

    def __init__(self, make: Callable[[], Stream], address: Address, serves: str) -> None:
        """``make`` is called for each try, because it may need files that are not there yet."""
        self.name = f"tcp {joined(address)}"
        self.serves = serves
        self._make = make
        self._address = address
        self._stream: Stream | None = None

    @property
    def address(self) -> Address:
        """Where it is bound, or is to be."""
        return self._address if self._stream is None else self._stream.address

    def start(self) -> None:
        """Open the address; raises NotOpened, or what ``make`` raises."""
        self._stream = self._make()
        try:
            self._stream.start()
        except (CannotListenError, OSError) as error:
            raise NotOpened(explain(error, "TCP", self.address)) from error

    def stop(self) -> Deferred[None]:
        """Close it, and every connection."""
        stream, self._stream = self._stream, None
        if stream is None:
            return succeed(None)
        closed = stream.stop()
        stream.disconnect()
        return closed

    def health(self) -> Health:
        """A bound socket is well."""
        return WELL


class StatusUnit:
    """Health and metrics over HTTP."""

    required = False
    transport = "TCP"
    serves = "health and metrics"

    def __init__(self, site: StatusSite, address: Address, reactor: IReactorTCP) -> None:
        self.name = f"status {joined(address)}"
        self._site = site
        self._address = address
        self._reactor = reactor
        self._port: IListeningPort | None = None

    @property
    def address(self) -> Address:
        """Where it is bound, or is to be."""
        if self._port is None:
            return self._address
        return self._address[0], int(getattr(self._port.getHost(), "port", 0))

    def start(self) -> None:
        """Open the address; raises NotOpened."""
        host, port = self._address
        try:
            # Twisted's type for the factory is one that its own Site does not fit.
            self._port = self._reactor.listenTCP(
                port,
                self._site,  # type: ignore[arg-type]
                interface=host,
            )
        except CannotListenError as error:
            raise NotOpened(explain(error, "TCP", self._address)) from error

    def stop(self) -> Deferred[None]:
        """Close it."""
        port, self._port = self._port, None
        closed = None if port is None else port.stopListening()
        return closed or succeed(None)

    def health(self) -> Health:
        """Whoever can ask gets this answer."""
        return WELL


class RelayUnit:
    """The relay behind all its listeners."""

    name = "turn"
    required = True

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def start(self) -> Deferred[None] | None:
        """Begin to serve."""
        return self._relay.start()

    def stop(self) -> Deferred[None] | None:
        """End every allocation."""
        return self._relay.stop()

    def health(self) -> Health:
        """The relay keeps serving whom it knows; a database that fails is told as a complaint."""
        return Health(True, self._relay.complaint)


class PlaneUnit:
    """
    The data plane. It is there from the beginning; as a unit it is the last to go.
    """

    name = "data plane"
    required = True

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def start(self) -> None:
        """Nothing: a plane works from birth."""

    def stop(self) -> None:
        """Close every socket that is left."""
        self._plane.shut_down()

    def health(self) -> Health:
        """Say which one it is."""
        return Health(True, self._plane.kind)


@dataclass(slots=True)
class WatchUnit:
    """Something that looks now and then: certificates, the reactor's lag."""

    name: str
    watch: Watch
    required: bool = False
    tell: Callable[[], Health] = lambda: WELL

    def start(self) -> None:
        """Begin to look."""
        self.watch.start()

    def stop(self) -> None:
        """Look no more."""
        self.watch.stop()

    def health(self) -> Health:
        """What the watched thing says of itself."""
        return self.tell()


@dataclass(slots=True)
class LogUnit:
    """
    The log, for ``/health/ready``. It starts before the first unit and ends after the last.

    Calls do not need it, so a full disk does not make the suite unready.
    """

    log: Log
    name: str = "log"
    required: bool = False

    def start(self) -> None:
        """Nothing, see above."""

    def stop(self) -> None:
        """Nothing, see above."""

    def health(self) -> Health:
        """Name the outputs that take no records at present."""
        faults = self.log.faults
        return Health(not faults, "; ".join(faults))
