"""
What the relay needs of whoever moves its packets.

A data plane owns every UDP socket of the relay: those that clients send to and those that peers
send to. It forwards ChannelData, Send and Data by itself (RFC 8656, sections 11 and 12) and hands
every other STUN message to the relay's server. It decides nothing: ports, permissions, channels
and limits are set from outside, and what was not permitted is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from turn.five_tuple import Address, FiveTuple


class RelayPortBusy(Exception):
    """The transport address is taken by another socket of this machine."""


class RelaySocketsExhausted(Exception):
    """The machine gives no more sockets (descriptors or memory)."""


class ClientPath(Protocol):
    """
    The way back to one client.

    Two paths of one five-tuple are interchangeable; nothing is kept for a path that has no flow.
    """

    @property
    def five_tuple(self) -> FiveTuple:
        """Where the client is."""

    def send_control(self, message: bytes) -> None:
        """Send one STUN message. It is never dropped in favour of media."""

    def send_media(self, frame: bytes) -> None:
        """Send one ChannelData message or Data indication, framed for the transport."""


@dataclass(slots=True)
class Counters:
    """Packets and payload bytes of one flow, as coTURN counts them."""

    received_packets: int = 0
    received_bytes: int = 0
    sent_packets: int = 0
    sent_bytes: int = 0
    peer_received_packets: int = 0
    peer_received_bytes: int = 0
    peer_sent_packets: int = 0
    peer_sent_bytes: int = 0
    dropped_packets: int = 0


@dataclass(frozen=True, slots=True)
class PeerPermission:
    """
    One peer address that a flow may exchange packets with.

    ``host`` is the address as the client names it; ``reached_at`` the one to send to, which
    differs where ``host`` is the public face of an address of this machine. ``ports`` are the
    inclusive ranges that count; an empty tuple means every port (the RFC's permission).
    """

    host: str
    reached_at: str
    ports: tuple[tuple[int, int], ...] = ()


ControlReceiver = Callable[[bytes, ClientPath], None]
"""Takes a STUN message (first two bits zero, at least 20 bytes) and the way back to its sender."""


class DataPlane(Protocol):
    """
    Moves packets between clients and peers.

    Handles are small integers that are never reused while the plane lives. Every method returns
    at once. Times are seconds of the suite's monotonic clock.
    """

    def bind_relay(self, host: str, port: int) -> int:
        """
        Bind the relay socket ``host:port``; nothing is forwarded until a flow owns it.

        Raises RelayPortBusy or RelaySocketsExhausted.
        """

    def release_relay(self, relay: int) -> None:
        """Close one relay socket: an unused reservation, or one family of a dual allocation."""

    def open(self, path: ClientPath, relays: Sequence[int], max_bps: int) -> int:
        """
        Start a flow between a client and its relay sockets, at most one for each address family.

        ``max_bps`` is the most payload in bytes per second for each direction; 0 is no limit.
        """

    def close(self, flow: int) -> Counters:
        """End a flow, close its relay sockets and return what it moved."""

    def permit(self, flow: int, permission: PeerPermission, until: float) -> None:
        """Install or refresh a permission (RFC 8656, section 9)."""

    def bind_channel(
        self, flow: int, number: int, peer: Address, permission: PeerPermission, until: float
    ) -> None:
        """
        Install or refresh a channel (RFC 8656, section 12); ``peer`` is named as the client does.

        The permission is not refreshed by this: call ``permit`` as well.
        """

    def from_stream(self, path: ClientPath, frame: bytes) -> None:
        """
        Forward one ChannelData message or Send indication that came over a stream.

        Frames of a path that has no flow are dropped.
        """

    def counters(self, flow: int) -> Counters:
        """What a live flow has moved so far (a copy)."""

    def expire(self, now: float) -> None:
        """Forget permissions and channels whose time has come, and refill the byte budgets."""
