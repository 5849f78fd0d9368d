"""
The media plane in pure Python: the twin of the native one, with the same behaviour.

All sockets sit in one epoll descriptor, with a budget for each wake-up: ``polled``. What happens
to a packet is in ``media_end``; transports of browsers are in ``web_plane``.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from twisted.internet.interfaces import IReactorFDSet, IReactorTime

from b2bua.media_plane import (
    Address,
    LocalTransport,
    MediaPortsExhausted,
    RemoteTransport,
    StreamCounters,
    StreamTerms,
    TransportEvent,
)
from b2bua.net.ice_consent import IceTimes
from b2bua.rtp.ports import NoPorts, PortPairs
from b2bua.rtp.reports import interval
from b2bua.rtp.silence import SILENCES
from b2bua.rtp.stream import OutgoingStream
from b2bua.settings import MediaSettings, WebMediaSettings
from suite.datapath.media_end import MediaEnd
from suite.datapath.media_pictures import PictureTimer
from suite.datapath.media_plain import PlainEnd
from suite.datapath.media_reports import ReportTimer
from suite.datapath.media_silence import SilenceTimer
from suite.datapath.media_trace import MediaTrace
from suite.datapath.polled import PolledSockets
from suite.datapath.sockets import udp_socket
from suite.datapath.web_end import WebEnd
from suite.datapath.web_plane import WebTransports
from suite.datapath.web_transport import WebTransport

LARGEST_DATAGRAM = 65535
_HELD_BY_OTHERS = frozenset({errno.EADDRINUSE, errno.EACCES})
_NAME_BITS = 96
"""Of a CNAME that lives as long as its end (RFC 7022, section 4.2)."""


@dataclass(frozen=True, slots=True)
class MediaTotals:
    """RTP packets of many ends: by "received" and "sent", and what was dropped by reason."""

    packets: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, counters: StreamCounters) -> None:
        """Count those of one end."""
        self.packets["received"] += counters.received_packets
        self.packets["sent"] += counters.sent_packets
        self.dropped.update(counters.dropped)


TellOf = Callable[[TransportEvent, int, WebTransport], None]
"""Hears what becomes of which transport."""


class TwinMediaPlane(PolledSockets):
    """
    The media plane of ``b2bua.media_plane`` without native code.

    ``randbelow`` chooses ports, SSRCs, first numbers and names, and must be unpredictable. Without
    ``web`` there are no transports for browsers; with it ``loop`` is the one under the reactor, and
    making one raises DtlsIdentityError.
    """

    kind = "pure Python"

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: IReactorTime,
        settings: MediaSettings,
        randbelow: Callable[[int], int] = secrets.randbelow,
        *,
        web: WebMediaSettings | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        times: IceTimes | None = None,
        trace: MediaTrace | None = None,
        tell_of: TellOf = lambda event, number, transport: None,
    ) -> None:
        super().__init__(reactor)
        self.seconds = clock.seconds
        self.buffer = bytearray(LARGEST_DATAGRAM)
        self.view = memoryview(self.buffer)
        self._settings = settings
        self._randbelow = randbelow
        self._ports = PortPairs(
            settings.first_port, settings.last_port, randbelow, rest=settings.rest
        )
        self._ends: dict[int, MediaEnd] = {}
        self._moved = MediaTotals()
        self._held: dict[int, int] = {}
        self._numbers = count(1)
        self._silence = SilenceTimer(clock)
        self._reports = ReportTimer(clock, self._report, lambda: interval(randbelow))
        self._pictures = PictureTimer(clock)
        self._transports: dict[int, WebTransport] = {}
        self.transport_events: Counter[str] = Counter()
        """What became of transports, by the words of TransportEvent."""
        self._tell_of = tell_of
        self._trace = trace
        self._web: WebTransports | None = None
        if web is not None:
            if loop is None:
                raise ValueError("media of browsers need the loop under the reactor")
            self._web = WebTransports(web, clock, loop, randbelow, times or IceTimes())

    @property
    def free_pairs(self) -> int:
        """See b2bua.media_plane.MediaPlane."""
        return self._ports.free(self.seconds())

    def open(self) -> int:
        """See b2bua.media_plane.MediaPlane."""
        port, sockets = self._bind()
        end = PlainEnd(*sockets, self, OutgoingStream(self._randbelow), self._name())
        handle = self._add(end)
        self._held[handle] = port
        self._watch(end)
        self._watch(end.control)
        return handle

    def local(self, end: int) -> Address:
        """See b2bua.media_plane.MediaPlane."""
        found = self._ends[end]
        if isinstance(found, WebEnd):
            return found.transport.describe().default
        return self._settings.advertised or self._settings.host, self._held[end]

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        """See b2bua.media_plane.MediaPlane."""
        found = self._ends[end]
        silence = None if terms.silence is None else SILENCES[terms.silence]
        found.apply(terms)
        if silence is None:
            self._silence.stop(found)
        else:
            self._silence.start(found, silence)
        self._pictures.set(found, terms.picture_interval)

    def join(self, first: int, second: int) -> None:
        """See b2bua.media_plane.MediaPlane."""
        one, other = self._ends[first], self._ends[second]
        if one.peer is other:
            return
        _part(one)
        _part(other)
        one.peer, other.peer = other, one
        one.outgoing.interrupt()
        other.outgoing.interrupt()

    def counters(self, end: int) -> StreamCounters:
        """See b2bua.media_plane.MediaPlane."""
        return self._ends[end].counters()

    def close(self, end: int) -> StreamCounters:
        """See b2bua.media_plane.MediaPlane."""
        found = self._ends.pop(end)
        now = self.seconds()
        self._silence.stop(found)
        self._pictures.set(found, None)
        found.say_goodbye(now)
        _part(found)
        if isinstance(found, PlainEnd):
            self._forget(found)
            self._forget(found.control)
            self._ports.give_back(self._held.pop(end), now)
        elif isinstance(found, WebEnd):
            found.transport.remove(found)
        if found.trace is not None:
            found.trace.ended()
        counters = found.counters()
        self._moved.add(counters)
        return counters

    # Transports of browsers, see b2bua.media_plane.WebMediaPlane

    def open_transport(self, tell: Callable[[TransportEvent], None], *, controlling: bool) -> int:
        """See b2bua.media_plane.WebMediaPlane."""
        if self._web is None:
            raise MediaPortsExhausted("no media of browsers: there are no ports for them")
        handle = next(self._numbers)

        def told(event: TransportEvent) -> None:
            self.transport_events[event.value] += 1
            self._tell_of(event, handle, self._transports[handle])
            tell(event)

        transport = self._web.open(self, told, controlling=controlling)
        for sock in transport.sockets:
            self._watch(sock)
        self._transports[handle] = transport
        return handle

    def describe_transport(self, transport: int) -> LocalTransport:
        """See b2bua.media_plane.WebMediaPlane."""
        return self._transports[transport].describe()

    def set_remote(self, transport: int, remote: RemoteTransport) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        self._transports[transport].set_remote(remote)

    def restart(self, transport: int) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        self._transports[transport].restart()

    def close_transport(self, transport: int) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        found = self._transports[transport]
        if found.ends:
            raise ValueError("a transport is closed after its ends")
        del self._transports[transport]
        found.close()
        for sock in found.sockets:
            self._forget(sock)
        self._moved.dropped.update(found.dropped)
        if self._web is not None:
            self._web.give_back(found.port, self.seconds())

    def open_on(self, transport: int) -> int:
        """See b2bua.media_plane.WebMediaPlane."""
        on = self._transports[transport]
        end = WebEnd(on, self, OutgoingStream(self._randbelow), self._name())
        on.ends.append(end)
        return self._add(end)

    def source_of(self, end: int) -> tuple[int, str]:
        """See b2bua.media_plane.WebMediaPlane."""
        found = self._ends[end]
        return found.outgoing.ssrc, found.name.decode()

    def when_gathered(self, ufrag: str, then: Callable[[tuple[str, ...]], None]) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        for transport in self._transports.values():
            if transport.ice.has_ufrag(ufrag):
                transport.ice.when_gathered(then)
                return
        then(())

    @property
    def transports(self) -> int:
        """Transports of browsers that are open."""
        return len(self._transports)

    @property
    def handshakes(self) -> Counter[str]:
        """DTLS handshakes, by how they ended."""
        return Counter() if self._web is None else self._web.handshakes

    @property
    def free_web_ports(self) -> int:
        """Ports for transports of browsers that nobody holds."""
        return 0 if self._web is None else self._web.free(self.seconds())

    def totals(self) -> MediaTotals:
        """What all ends have moved, those that are closed included."""
        totals = MediaTotals(Counter(self._moved.packets), Counter(self._moved.dropped))
        for end in self._ends.values():
            totals.add(end.counters())
        return totals

    def shut_down(self) -> None:
        """Close every end; the plane is not used again."""
        for end in list(self._ends):
            self.close(end)
        for transport in list(self._transports):
            self.close_transport(transport)
        self._reports.clear()
        super().shut_down()

    def _add(self, end: MediaEnd) -> int:
        handle = next(self._numbers)
        self._ends[handle] = end
        end.trace = None if self._trace is None else self._trace.of(handle)
        self._reports.add(handle, interval(self._randbelow, first=True))
        return handle

    def _name(self) -> bytes:
        return b64encode(self._randbelow(1 << _NAME_BITS).to_bytes(_NAME_BITS // 8, "big"))

    def _bind(self) -> tuple[int, tuple[socket.socket, socket.socket]]:
        now, host = self.seconds(), self._settings.host
        while True:
            try:
                port = self._ports.take(now)
            except NoPorts:
                raise MediaPortsExhausted(f"{self._range}: no pair is left") from None
            try:
                return port, _bind_pair(host, port)
            except OSError as error:
                if error.errno in _HELD_BY_OTHERS:
                    self._ports.withdraw(port, now)
                    continue
                self._ports.give_back(port, now)
                raise MediaPortsExhausted(f"{self._range}: {error.strerror}") from error

    @property
    def _range(self) -> str:
        settings = self._settings
        return f"RTP ports {settings.first_port}-{settings.last_port} of {settings.host}"

    def _report(self, handle: int) -> bool:
        end = self._ends.get(handle)
        if end is None:
            return False
        end.send_control(self.seconds())
        return True


def _bind_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    rtp = udp_socket((host, port))
    try:
        return rtp, udp_socket((host, port + 1))
    except OSError:
        rtp.close()
        raise


def _part(end: MediaEnd) -> None:
    if end.peer is not None:
        end.peer.peer = None
        end.peer = None
