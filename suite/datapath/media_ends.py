"""
What both media planes have in common: ports, ends, timers, transports, counts.

How sockets are read and packets forwarded is not told here: ``media`` does it in Python,
``native_media`` in C. Transports of browsers are in ``web_plane``.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from abc import ABC, abstractmethod
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from twisted.internet.interfaces import IReactorTime

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
from b2bua.settings import MediaSettings, WebMediaSettings
from suite.datapath.media_end import MediaEnd
from suite.datapath.media_pictures import PictureTimer
from suite.datapath.media_reports import ReportTimer
from suite.datapath.media_silence import SilenceTimer
from suite.datapath.media_trace import MediaTrace
from suite.datapath.sockets import udp_socket
from suite.datapath.web_plane import WebTransports
from suite.datapath.web_transport import WebTransport

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


End = TypeVar("End", bound=MediaEnd)
Transport = TypeVar("Transport", bound=WebTransport)


class MediaEnds(ABC, Generic[End, Transport]):
    """
    Everything of b2bua.media_plane but the way of packets.

    ``randbelow`` chooses ports, SSRCs, first numbers and names, and must be unpredictable. Without
    ``web`` there are no transports for browsers; with it ``loop`` is the one under the reactor, and
    making one raises DtlsIdentityError.
    """

    kind: str

    def __init__(
        self,
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
        self.seconds = clock.seconds
        self._settings = settings
        self._randbelow = randbelow
        self._ports = PortPairs(
            settings.first_port, settings.last_port, randbelow, rest=settings.rest
        )
        self._ends: dict[int, End] = {}
        self._on: dict[End, Transport] = {}
        """The transports of those that have no sockets of their own."""
        self._moved = MediaTotals()
        self._held: dict[int, int] = {}
        self._numbers = count(1)
        self._silence = SilenceTimer(clock)
        self._reports = ReportTimer(clock, self._report, lambda: interval(randbelow))
        self._pictures = PictureTimer(clock)
        self._transports: dict[int, Transport] = {}
        self.transport_events: Counter[str] = Counter()
        """What became of transports, by the words of TransportEvent."""
        self._tell_of = tell_of
        self._trace = trace
        self._web: WebTransports | None = None
        if web is not None:
            if loop is None:
                raise ValueError("media of browsers need the loop under the reactor")
            self._web = WebTransports(web, clock, loop, randbelow, times or IceTimes())

    # The way of packets

    @abstractmethod
    def _make_end(self, sockets: tuple[socket.socket, socket.socket], name: bytes) -> End:
        """Make an end of two sockets, and read them. Raises OSError."""

    @abstractmethod
    def _make_web_end(self, transport: Transport, name: bytes) -> End:
        """Make an end on a transport."""

    @abstractmethod
    def _close_end(self, end: End) -> None:
        """Close its sockets, or take it from its transport."""

    @abstractmethod
    def _make_transport(
        self, web: WebTransports, tell: Callable[[TransportEvent], None], *, controlling: bool
    ) -> Transport:
        """Open a transport, and read its sockets. Raises MediaPortsExhausted."""

    @abstractmethod
    def _close_transport(self, transport: Transport) -> None:
        """Close its sockets."""

    @property
    def free_pairs(self) -> int:
        """See b2bua.media_plane.MediaPlane."""
        return self._ports.free(self.seconds())

    def open(self) -> int:
        """See b2bua.media_plane.MediaPlane."""
        port, end = self._bind()
        handle = self._add(end)
        self._held[handle] = port
        return handle

    def local(self, end: int) -> Address:
        """See b2bua.media_plane.MediaPlane."""
        if end in self._held:
            return self._settings.advertised or self._settings.host, self._held[end]
        return self._on[self._ends[end]].describe().default

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
        one.part()
        other.part()
        one.join(other)

    def ask_for_picture(self, end: int) -> None:
        """See b2bua.media_plane.MediaPlane."""
        self._ends[end].ask_for_picture(self.seconds())

    def counters(self, end: int) -> StreamCounters:
        """See b2bua.media_plane.MediaPlane."""
        return self._ends[end].counters()

    def close(self, end: int) -> StreamCounters:
        """See b2bua.media_plane.MediaPlane."""
        found = self._ends.pop(end)
        now = self.seconds()
        self._silence.stop(found)
        self._pictures.forget(found)
        found.say_goodbye(now)
        found.part()
        if found.trace is not None:
            found.trace.ended()
        counters = found.counters()
        on = self._on.pop(found, None)
        if on is None:
            self._ports.give_back(self._held.pop(end), now)
        else:
            on.remove(found)
        self._close_end(found)
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

        self._transports[handle] = self._make_transport(self._web, told, controlling=controlling)
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
        self._moved.dropped.update(found.dropped)
        self._close_transport(found)
        if self._web is not None:
            self._web.give_back(found.port, self.seconds())

    def open_on(self, transport: int) -> int:
        """See b2bua.media_plane.WebMediaPlane."""
        on = self._transports[transport]
        end = self._make_web_end(on, self._name())
        on.add(end)
        self._on[end] = on
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

    def _add(self, end: End) -> int:
        handle = next(self._numbers)
        self._ends[handle] = end
        end.ask_later = self._pictures.wait
        end.begin_trace(None if self._trace is None else self._trace.of(handle))
        self._reports.add(handle, interval(self._randbelow, first=True))
        return handle

    def _name(self) -> bytes:
        return b64encode(self._randbelow(1 << _NAME_BITS).to_bytes(_NAME_BITS // 8, "big"))

    def _bind(self) -> tuple[int, End]:
        now, host = self.seconds(), self._settings.host
        while True:
            try:
                port = self._ports.take(now)
            except NoPorts:
                raise MediaPortsExhausted(f"{self._range}: no pair is left") from None
            try:
                return port, self._make_end(_bind_pair(host, port), self._name())
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


AnyMediaPlane: TypeAlias = MediaEnds[Any, Any]
"""Whoever moves the packets."""
