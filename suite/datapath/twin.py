"""
The data plane in pure Python: the twin of the native one, with the same behaviour.

All sockets sit in one epoll descriptor, and the reactor watches that one: ``polled``.

The functions marked *per packet* are what ``benchmarks/run.py`` measures.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from twisted.internet.interfaces import IReactorFDSet

from suite.datapath.flow import Flow
from suite.datapath.polled import PolledSockets
from suite.datapath.relay import HEADER_SIZE, OwnRelay
from suite.datapath.shared_flow import SharedFlow
from suite.datapath.shared_relay import SharedRelay, SharedRelays
from suite.datapath.sockets import SocketAddress, relay_socket, udp_five_tuple, udp_socket
from turn.data_plane import ClientPath, ControlReceiver, Counters, PeerPermission, SharedTotals
from turn.five_tuple import Address, FiveTuple
from turn.stun.errors import MalformedMessage
from turn.stun.message import is_message
from turn.stun.relayed import SendIndication, parse_send

PACKETS_PER_LISTENER = 32
"""Read from one listener before the others and the relay sockets get their turn."""
LARGEST_DATAGRAM = 65535
TRANSACTION_ID_SIZE = 12


class UdpPath:
    """The way back to a UDP client: the listener it reached and where it is."""

    __slots__ = ("_five_tuple", "listener", "target")

    def __init__(self, listener: _Listener, target: SocketAddress) -> None:
        self.listener = listener
        self.target = target
        self._five_tuple: FiveTuple | None = None

    @property
    def five_tuple(self) -> FiveTuple:
        """Where the client is."""
        if self._five_tuple is None:
            self._five_tuple = udp_five_tuple(self.target, self.listener.address)
        return self._five_tuple

    def send_control(self, message: bytes) -> None:
        """Send a STUN message; what the kernel does not take is lost, as UDP is."""
        self.listener.send(message, self.target)

    def send_media(self, frame: bytes) -> None:
        """Send ChannelData or a Data indication."""
        self.listener.send(frame, self.target)


class _Listener:
    """A UDP address that clients send to."""

    def __init__(self, plane: TwinPlane, address: Address, buffer: int) -> None:
        self.sock = udp_socket(address, buffer)
        host, port = self.sock.getsockname()[:2]
        self.address: Address = (host, port)
        self.flows: dict[SocketAddress, Flow] = {}
        self._plane = plane
        self._buffer = bytearray(LARGEST_DATAGRAM)
        self._view = memoryview(self._buffer)
        self._receive_into = self.sock.recvfrom_into

    def receive(self) -> int:
        """Per packet: ChannelData goes to its peer here, the rest further on."""
        buffer, flows = self._buffer, self.flows
        for taken in range(PACKETS_PER_LISTENER):
            try:
                size, source = self._receive_into(buffer)
            except OSError:
                return taken
            flow = flows.get(source)
            if flow is not None and buffer[0] & 0xC0 == 0x40 and size >= HEADER_SIZE:
                flow.channel_data(self._view[:size])
            elif size:
                self._other(bytes(self._view[:size]), source, flow)
        return PACKETS_PER_LISTENER

    def _other(self, data: bytes, source: SocketAddress, flow: Flow | None) -> None:
        if is_message(data):
            if data[:2] == b"\x00\x16":
                self._plane.send_indication(flow, data)
            else:
                self._plane.control(data, UdpPath(self, source))
        elif data[:2] == b"\x00\x01" and len(data) >= 20:
            self._plane.control(data, UdpPath(self, source))
        else:
            self._plane.ignored += 1

    def send(self, data: bytes | memoryview, target: SocketAddress) -> None:
        """Per packet: send to a client."""
        try:
            self.sock.sendto(data, target)
        except OSError:
            self._plane.unsent += 1

    def report_errors(self) -> None:
        """Nothing asks for errors of a listener; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


class TwinPlane(PolledSockets):
    """
    The data plane of ``turn.data_plane`` without native code.

    ``control`` takes the STUN messages that are not forwarded; it may be replaced until the first
    listener is open. ``transaction_id`` makes 12 random bytes for Data indications; ``buffer`` is
    the size of a listener's kernel buffers in bytes.
    """

    kind = "pure Python"

    def __init__(
        self,
        reactor: IReactorFDSet,
        control: ControlReceiver,
        transaction_id: Callable[[], bytes] | None = None,
        buffer: int = 0,
    ) -> None:
        self.control = control
        self.transaction_id = random_ids().__next__ if transaction_id is None else transaction_id
        self.ignored = 0
        """Datagrams that were neither STUN nor known ChannelData."""
        self.unsent = 0
        """Datagrams to clients that the kernel refused."""
        self.relay_buffer = bytearray(LARGEST_DATAGRAM + HEADER_SIZE)
        self.relay_view = memoryview(self.relay_buffer)
        self._socket_buffer = buffer
        self._listeners: dict[int, _Listener] = {}
        self._relays: dict[int, OwnRelay] = {}
        self._shared_relays: dict[int, SharedRelay] = {}
        self._shared = SharedRelays(self)
        self._flows: dict[int, Flow] = {}
        self._stream_flows: dict[ClientPath, Flow] = {}
        self._limited: set[Flow] = set()
        self._numbers = count(1)
        self._refilled: float | None = None
        super().__init__(reactor)

    def new_transaction_id(self) -> bytes:
        """Twelve random bytes for an indication."""
        return self.transaction_id()

    # Listeners

    def listen(self, address: Address) -> int:
        """Receive from clients on a UDP address. Raises OSError."""
        listener = _Listener(self, address, self._socket_buffer)
        handle = next(self._numbers)
        self._listeners[handle] = listener
        self._watch(listener)
        return handle

    def listening_on(self, handle: int) -> Address:
        """Where a listener is bound, the port that the system chose included."""
        return self._listeners[handle].address

    def stop_listening(self, handle: int) -> None:
        """Close a listener. Flows of its clients stay until they are closed."""
        self._forget(self._listeners.pop(handle))

    # Relay sockets and flows

    def bind_relay(self, host: str, port: int) -> int:
        """See turn.data_plane.DataPlane."""
        relay = OwnRelay(self, relay_socket((host, port)))
        handle = next(self._numbers)
        self._relays[handle] = relay
        self._watch(relay)
        return handle

    def bind_shared_relay(self, host: str, port: int) -> int:
        """See turn.data_plane.DataPlane."""
        relay = self._shared.add(relay_socket((host, port)))
        handle = next(self._numbers)
        self._shared_relays[handle] = relay
        self._watch(relay)
        return handle

    def release_relay(self, relay: int) -> None:
        """See turn.data_plane.DataPlane."""
        shared = self._shared_relays.pop(relay, None)
        if shared is not None:
            self._shared.remove(shared)
            self._forget(shared)
            return
        found = self._relays.pop(relay)
        if found.flow is not None:
            found.flow.drop_relay(found)
        self._forget(found)

    def open(
        self, path: ClientPath, relays: Sequence[int], max_bps: int, max_peers: int = 0
    ) -> int:
        """See turn.data_plane.DataPlane."""
        handle = next(self._numbers)
        flow = self._flow(handle, path, relays, max_bps, max_peers)
        self._flows[handle] = flow
        if isinstance(path, UdpPath):
            path.listener.flows[path.target] = flow
        else:
            self._stream_flows[path] = flow
        if max_bps:
            self._limited.add(flow)
        return handle

    def _flow(
        self, handle: int, path: ClientPath, relays: Sequence[int], max_bps: int, max_peers: int
    ) -> Flow:
        if not self._shared_relays.keys().isdisjoint(relays):
            sharing = SharedFlow(handle, path, max_bps, max_peers, self._shared)
            for relay in relays:
                sharing.add_home(relay, self._shared_relays[relay])
            return sharing
        flow = Flow(handle, path, max_bps)
        for relay in relays:
            flow.add_relay(relay, self._relays[relay])
        return flow

    def drop_relay(self, flow: int, relay: int) -> None:
        """See turn.data_plane.DataPlane."""
        found = self._flows[flow]
        if isinstance(found, SharedFlow):
            found.drop_home(relay)
        else:
            self.release_relay(relay)

    def close(self, flow: int) -> Counters:
        """See turn.data_plane.DataPlane."""
        found = self._flows.pop(flow)
        self._forget_client(found)
        self._limited.discard(found)
        for relay in found.relay_handles:
            self._forget(self._relays.pop(relay))
        found.close()
        return found.counters

    def _forget_client(self, flow: Flow) -> None:
        # A newer flow may have the client by now.
        path = flow.path
        if isinstance(path, UdpPath):
            if path.listener.flows.get(path.target) is flow:
                del path.listener.flows[path.target]
        elif self._stream_flows.get(path) is flow:
            del self._stream_flows[path]

    def counters(self, flow: int) -> Counters:
        """See turn.data_plane.DataPlane."""
        return self._flows[flow].snapshot()

    def permit(self, flow: int, permission: PeerPermission, until: float, port: int = 0) -> None:
        """See turn.data_plane.DataPlane."""
        found = self._flows[flow]
        found.permit(permission, until)
        if port and isinstance(found, SharedFlow):
            found.want((permission.reached_at, port))

    def claim(self, flow: int, peer: Address, permission: PeerPermission) -> None:
        """See turn.data_plane.DataPlane."""
        found = self._flows[flow]
        if isinstance(found, SharedFlow):
            found.claim(peer, permission)

    def bind_channel(
        self, flow: int, number: int, peer: Address, permission: PeerPermission, until: float
    ) -> None:
        """See turn.data_plane.DataPlane."""
        self._flows[flow].bind_channel(number, peer, permission, until)

    def from_stream(self, path: ClientPath, frame: bytes) -> None:
        """See turn.data_plane.DataPlane."""
        flow = self._stream_flows.get(path)
        if frame[0] & 0xC0 == 0x40:
            if flow is not None:
                flow.channel_data(memoryview(frame))
        else:
            self.send_indication(flow, frame)

    def send_indication(self, flow: Flow | None, data: bytes) -> None:
        """Forward a Send indication; what is wrong with it is dropped (section 11.2)."""
        try:
            indication: SendIndication = parse_send(data)
        except MalformedMessage:
            self.ignored += 1
            return
        if flow is None or indication.payload is None or indication.unknown_required:
            self.ignored += 1
            return
        flow.send(indication.peer, indication.payload, indication.dont_fragment)

    def shared_totals(self) -> SharedTotals:
        """See turn.data_plane.DataPlane."""
        return self._shared.snapshot()

    def expire(self, now: float) -> None:
        """See turn.data_plane.DataPlane."""
        self._shared.at(now)
        for flow in self._flows.values():
            flow.expire(now)
        elapsed = 0.0 if self._refilled is None else now - self._refilled
        self._refilled = now
        for flow in self._limited:
            flow.refill(elapsed)


def random_ids() -> Iterator[bytes]:
    """Transaction ids for indications (RFC 8489, section 5), drawn 256 at a time."""
    while True:
        block = os.urandom(256 * TRANSACTION_ID_SIZE)
        for start in range(0, len(block), TRANSACTION_ID_SIZE):
            yield block[start : start + TRANSACTION_ID_SIZE]
