"""
The relay's data plane in C, seen from Python: ``native/relay*.c`` behave as ``twin`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from suite.datapath._native import Turn
from suite.datapath.native_core import CONTROL, SEND, TO_STREAM, NativeCore
from suite.datapath.native_stream import NativeStream
from suite.datapath.sockets import relay_socket, udp_five_tuple, udp_socket
from turn.data_plane import (
    ClientPath,
    ControlReceiver,
    Counters,
    PeerPermission,
    PeerTaken,
    SharedTotals,
)
from turn.five_tuple import Address, FiveTuple
from turn.stun.errors import MalformedMessage
from turn.stun.relayed import parse_send


class Listener:
    """A UDP address that clients send to: its number in the core, and where it is."""

    __slots__ = ("address", "number")

    def __init__(self, number: int, address: Address) -> None:
        self.number = number
        self.address = address


class NativePath:
    """The way back to a UDP client: the listener it reached and where it is."""

    __slots__ = ("_five_tuple", "_turn", "listener", "target")

    def __init__(self, turn: Turn, listener: Listener, target: Address) -> None:
        self.listener = listener
        self.target = target
        self._turn = turn
        self._five_tuple: FiveTuple | None = None

    @property
    def five_tuple(self) -> FiveTuple:
        """Where the client is."""
        if self._five_tuple is None:
            self._five_tuple = udp_five_tuple(self.target, self.listener.address)
        return self._five_tuple

    def send_control(self, message: bytes) -> None:
        """Send a STUN message; what the kernel does not take is lost, as UDP is."""
        self._turn.answer(self.listener.number, *self.target, message)

    def send_media(self, frame: bytes) -> None:
        """Send ChannelData or a Data indication."""
        self._turn.answer(self.listener.number, *self.target, frame)


class NativePlane:
    """
    The data plane of ``turn.data_plane`` in C, in a core that other planes may share.

    ``control`` takes the STUN messages that are not forwarded; it may be replaced until the first
    listener is open. ``buffer`` is the size of a listener's kernel buffers in bytes.
    """

    kind = "native"

    def __init__(self, core: NativeCore, control: ControlReceiver, buffer: int = 0) -> None:
        self.control = control
        self._core = core
        self._socket_buffer = buffer
        self._turn = Turn(core.core)
        self._listeners: dict[int, Listener] = {}
        self._shared: set[int] = set()
        """Relay sockets that flows share."""
        self._streams: dict[ClientPath, int] = {}
        self._paths: dict[int, ClientPath] = {}
        core.join({CONTROL: self._control, SEND: self._send, TO_STREAM: self._to_stream})

    # The reactor's reader; planes of one core share it.

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self._core.fileno()

    def doRead(self) -> None:
        """One wake-up."""
        self._core.doRead()

    def shut_down(self) -> None:
        """Close every socket; the plane is not used again."""
        self._core.leave()
        self._turn.shut_down()

    # What metrics show

    @property
    def ignored(self) -> int:
        """Datagrams that were neither STUN nor known ChannelData."""
        return self._turn.ignored

    @property
    def unsent(self) -> int:
        """Datagrams to clients that the kernel refused."""
        return self._turn.unsent

    @property
    def budget_exhausted(self) -> int:
        """Wake-ups that left packets for the next one."""
        return self._core.core.budget_exhausted

    # Listeners

    def listen(self, address: Address) -> int:
        """Receive from clients on a UDP address. Raises OSError."""
        sock = udp_socket(address, self._socket_buffer)
        host, port = sock.getsockname()[:2]
        number = self._turn.listen(sock.detach())
        self._listeners[number] = Listener(number, (host, port))
        return number

    def listening_on(self, handle: int) -> Address:
        """Where a listener is bound, the port that the system chose included."""
        return self._listeners[handle].address

    def stop_listening(self, handle: int) -> None:
        """Close a listener. Flows of its clients stay until they are closed."""
        del self._listeners[handle]
        self._turn.stop_listening(handle)

    # Relay sockets and flows

    def bind_relay(self, host: str, port: int) -> int:
        """See turn.data_plane.DataPlane."""
        return self._turn.bind(relay_socket((host, port)).detach())

    def release_relay(self, relay: int) -> None:
        """See turn.data_plane.DataPlane."""
        self._turn.release(relay)
        self._shared.discard(relay)

    def bind_shared_relay(self, host: str, port: int) -> int:
        """See turn.data_plane.DataPlane."""
        number = self._turn.bind_shared(relay_socket((host, port)).detach())
        self._shared.add(number)
        return number

    def drop_relay(self, flow: int, relay: int) -> None:
        """See turn.data_plane.DataPlane."""
        self._turn.drop_relay(flow, relay)

    def open(
        self, path: ClientPath, relays: Sequence[int], max_bps: int, max_peers: int = 0
    ) -> int:
        """See turn.data_plane.DataPlane."""
        flow = self._turn.open(max_bps)
        if not self._shared.isdisjoint(relays):
            self._turn.share(flow, max_peers)
        for relay in relays:
            self._turn.add_relay(flow, relay)
        if isinstance(path, NativePath):
            self._turn.set_udp(flow, path.listener.number, *path.target)
        elif isinstance(path, NativeStream):
            path.join(self._turn, flow)
        else:
            self._turn.set_python(flow)
            self._streams[path] = flow
            self._paths[flow] = path
        return flow

    def close(self, flow: int) -> Counters:
        """See turn.data_plane.DataPlane."""
        counters = self._turn.close(flow)
        path = self._paths.pop(flow, None)
        if path is not None:
            self._streams.pop(path, None)
        return Counters(*counters)

    def counters(self, flow: int) -> Counters:
        """See turn.data_plane.DataPlane."""
        return Counters(*self._turn.count(flow))

    def permit(self, flow: int, permission: PeerPermission, until: float, port: int = 0) -> None:
        """See turn.data_plane.DataPlane."""
        reached_at = permission.reached_at
        self._turn.permit(flow, permission.host, reached_at, permission.ports, until)
        if port and self._shared:
            self._turn.want(flow, reached_at, port)

    def claim(self, flow: int, peer: Address, permission: PeerPermission) -> None:
        """See turn.data_plane.DataPlane."""
        if not self._turn.claim(flow, permission.reached_at, peer[1]):
            raise PeerTaken

    def bind_channel(
        self, flow: int, number: int, peer: Address, permission: PeerPermission, until: float
    ) -> None:
        """See turn.data_plane.DataPlane."""
        self._turn.bind_channel(flow, number, *peer, until)

    def from_stream(self, path: ClientPath, frame: bytes) -> None:
        """See turn.data_plane.DataPlane."""
        self._turn.from_stream(self._streams.get(path, 0), frame)
        self._core.hand_out()

    def shared_totals(self) -> SharedTotals:
        """See turn.data_plane.DataPlane."""
        return SharedTotals(*self._turn.totals())

    def expire(self, now: float) -> None:
        """See turn.data_plane.DataPlane."""
        self._turn.expire(now)

    # What the core tells

    def _control(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        listener = self._listeners.get(owner)
        if listener is not None and source is not None:
            self.control(data, NativePath(self._turn, listener, source))

    def _send(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        """A Send indication with a checksum or a digest; what is wrong with it is dropped."""
        try:
            indication = parse_send(data)
        except MalformedMessage:
            self._turn.ignore()
            return
        if indication.payload is None or indication.unknown_required:
            self._turn.ignore()
            return
        self._turn.send(owner, *indication.peer, indication.payload, indication.dont_fragment)
        # Over shared sockets it may have gone to a stream that Python writes.
        self._core.hand_out()

    def _to_stream(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        path = self._paths.get(owner)
        if path is not None:
            path.send_media(data)
