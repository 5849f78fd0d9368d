"""
What the suite's units need of the parts that other packages bring.

Named here as Protocols, so that the composition can be tested without a socket.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol

from turn.five_tuple import Address, FiveTuple
from turn.settings import TurnSettings


class Plane(Protocol):
    """The suite's side of a data plane: its listeners and its end."""

    @property
    def kind(self) -> str:
        """Which implementation this is, for the start log."""

    def listen(self, address: Address) -> int:
        """Receive from clients on a UDP address. Raises OSError."""

    def listening_on(self, handle: int) -> Address:
        """Where a listener is bound."""

    def stop_listening(self, handle: int) -> None:
        """Close a listener."""

    def shut_down(self) -> None:
        """Close every socket, for good."""


class Relay(Protocol):
    """A relay as a whole."""

    @property
    def complaint(self) -> str:
        """What is wrong although it serves; empty if nothing is."""

    def start(self) -> Deferred[None] | None:
        """Begin to serve."""

    def stop(self) -> Deferred[None] | None:
        """End every allocation."""

    def reload(self, settings: TurnSettings) -> None:
        """Take over what can change while running, or raise and change nothing."""

    def stream_client(self, five_tuple: FiveTuple) -> IProtocol:
        """A protocol for one TCP or TLS client that was just accepted."""


class Stream(Protocol):
    """One TCP listener."""

    @property
    def address(self) -> Address:
        """Where it is bound, or is to be."""

    def start(self) -> None:
        """Bind and listen. Raises CannotListenError."""

    def stop(self) -> Deferred[None]:
        """Close the port and whoever is not served yet."""

    def disconnect(self) -> None:
        """Close every connection that is left."""


class Certificates(Protocol):
    """What the TLS listeners show."""

    def reload(self) -> None:
        """Read the files again; raises CertificateError and changes nothing if they are bad."""

    def seconds_left(self) -> float:
        """How long the certificate is valid yet."""


class Watch(Protocol):
    """Something that looks now and then."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""
