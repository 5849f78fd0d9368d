"""
Relay sockets of the pure-Python data plane: where packets go to peers and come from them.

Functions marked *per packet* run for every datagram; see ``benchmarks/run.py``.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import Protocol

from suite.datapath.flow import Channel, Flow
from suite.datapath.sockets import IcmpError, SocketAddress, read_icmp_error, set_dont_fragment
from turn.stun.channel_data import HEADER
from turn.stun.relayed import MAX_PAYLOAD, pack_data, pack_icmp_data

HEADER_SIZE = 4


class RelayPlane(Protocol):
    """What a relay socket needs of its plane."""

    relay_buffer: bytearray
    """For what a peer sent, behind room for a header of ChannelData."""
    relay_view: memoryview

    @property
    def share(self) -> int:
        """Packets for one socket now."""

    def new_transaction_id(self) -> bytes:
        """Twelve random bytes for an indication."""


def deliver(
    plane: RelayPlane, flow: Flow, channel: Channel | None, source: SocketAddress, size: int
) -> None:
    """Per packet: what ``source`` sent, in the plane's buffer, goes to the client of a flow."""
    if channel is not None and channel.peer.alive:
        HEADER.pack_into(plane.relay_buffer, 0, channel.number, size)
        flow.to_client(plane.relay_view[: HEADER_SIZE + size], size)
    else:
        _indicate(plane, flow, source, size)


def _indicate(plane: RelayPlane, flow: Flow, source: SocketAddress, size: int) -> None:
    peer = flow.heard(source)
    if peer is None or size > MAX_PAYLOAD:
        flow.counters.dropped_packets += 1
        return
    payload = bytes(plane.relay_view[HEADER_SIZE : HEADER_SIZE + size])
    shown = (peer.host, source[1])
    flow.to_client(pack_data(shown, payload, plane.new_transaction_id()), size)


class PeerSocket(ABC):
    """A socket toward peers."""

    __slots__ = ("_plane", "_receive_into", "sock")

    def __init__(self, plane: RelayPlane, sock: socket.socket) -> None:
        self.sock = sock
        self._plane = plane
        self._receive_into = sock.recvfrom_into

    def send(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        """Per packet: send to a peer. An ICMP error of an earlier packet costs one retry."""
        try:
            self.sock.sendto(payload, target)
        except ConnectionRefusedError:
            return self._send_again(payload, target)
        except OSError:
            return False
        return True

    def _send_again(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        try:
            self.sock.sendto(payload, target)
        except OSError:
            return False
        return True

    def send_unfragmented(self, payload: bytes, target: SocketAddress) -> bool:
        """Send one datagram with DF set (DONT-FRAGMENT in a Send indication)."""
        set_dont_fragment(self.sock, True)
        try:
            return self.send(payload, target)
        finally:
            set_dont_fragment(self.sock, False)

    def report_errors(self) -> None:
        """Tell clients of ICMP errors from peers that they may talk to (section 11.5)."""
        while (error := read_icmp_error(self.sock)) is not None:
            flow = self._flow_of(error.peer)
            if flow is not None:
                self._tell(flow, error)

    @abstractmethod
    def _flow_of(self, peer: SocketAddress) -> Flow | None:
        """Whose packets to this peer leave here."""

    def _tell(self, flow: Flow, error: IcmpError) -> None:
        peer = flow.heard(error.peer)
        if peer is not None:
            shown = (peer.host, error.peer[1])
            tid = self._plane.new_transaction_id()
            flow.to_client(pack_icmp_data(shown, error.type, error.code, error.mtu, tid), 0)


class OwnRelay(PeerSocket):
    """The relay socket of one flow, and the channels whose peers it hears."""

    __slots__ = ("channels", "flow")

    def __init__(self, plane: RelayPlane, sock: socket.socket) -> None:
        super().__init__(plane, sock)
        self.flow: Flow | None = None
        self.channels: dict[SocketAddress, Channel] = {}

    @property
    def is_ipv6(self) -> bool:
        """Whether this socket reaches IPv6 peers."""
        return self.sock.family == socket.AF_INET6

    def receive(self) -> int:
        """Per packet: one datagram of a peer goes to the client."""
        plane = self._plane
        try:
            size, source = self._receive_into(plane.relay_view[HEADER_SIZE:])
        except OSError:
            return 1
        flow = self.flow
        if flow is not None:
            deliver(plane, flow, self.channels.get(source), source, size)
        return 1

    def _flow_of(self, peer: SocketAddress) -> Flow | None:
        return self.flow
