"""
The transport of a browser: ICE finds the way, DTLS the keys, and SRTP uses both (RFC 5764).

Nothing is sent in the clear, nor anywhere but to the selected pair, nor without consent. What
comes in counts only from where ICE has found the peer, and media only if they are authentic: what
is not is counted, and never ends anything. What becomes of media is told by ``web_end`` in Python,
and by ``native_web`` in C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from b2bua.media_plane import LocalTransport, RemoteTransport, SrtpKeys, TransportEvent
from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.ice import Ice
from b2bua.net.ice_agent import IceBase, IceTerms
from b2bua.net.ice_candidates import Address
from b2bua.net.ice_gathering import IceServers
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.errors import MalformedRtp
from b2bua.rtp.packet import HEADER_SIZE
from b2bua.rtp.rtcp import parse_compound
from suite.datapath.media_end import MediaEnd, why_sealed

MOST_EARLY = 16
"""Datagrams of DTLS that wait for ICE: a few flights of a hello in two pieces."""


class _State(Enum):
    NEW = "new"
    CONNECTED = "connected"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebTerms:
    """What holds for every transport of a plane."""

    clock: IReactorTime
    identity: DtlsIdentity
    ice: IceTerms
    servers: IceServers
    external: dict[str, str]
    handshakes: Counter[str] = field(default_factory=Counter)
    """How DTLS handshakes ended: connected or failed."""


class WebBase(IceBase, Protocol):
    """A socket of a transport."""

    def close(self) -> None:
        """Close it; nobody reads it any more."""


class WebTransport(ABC):
    """One transport, its ends, and what becomes of it; see b2bua.media_plane.WebMediaPlane."""

    def __init__(
        self,
        sockets: Sequence[WebBase],
        terms: WebTerms,
        tell: Callable[[TransportEvent], None],
        *,
        controlling: bool,
    ) -> None:
        self.port = sockets[0].address[1]
        self.ends: list[MediaEnd] = []
        self._terms = terms
        self._tell = tell
        self._state = _State.NEW
        self._srtp: SrtpSession | None = None
        self._keys: SrtpKeys | None = None
        self._dtls: DtlsAssociation | None = None
        self._fingerprints: frozenset[tuple[str, str]] = frozenset()
        self._early: deque[tuple[bytes, IceBase, Address]] = deque(maxlen=MOST_EARLY)
        self._dtls_timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._telling: set[IDelayedCall] = set()
        self._base: IceBase | None = None
        """The one of the selected pair."""
        self._target: Address | None = None
        """Where media go, of all its ends; None while nowhere."""
        self.client: Address | None = None
        """Where the browser is, or was last; None if it has never been reached."""
        self.ice = Ice(
            sockets,
            terms.ice,
            terms.servers,
            controlling=controlling,
            external=terms.external,
            changed=self._ice_changed,
            arrived=self._arrived,
        )

    # What SDP says

    def describe(self) -> LocalTransport:
        """See b2bua.media_plane.WebMediaPlane.describe_transport."""
        return self.ice.describe(self._terms.identity.fingerprint)

    def set_remote(self, remote: RemoteTransport) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        if self._state is _State.FAILED:
            return
        if self.ice.set_remote(remote):
            self._expect()
        if remote.fingerprints:
            self._agree_by_handshake(remote)
        elif remote.keys is not None:
            self._agree_by_keys(remote.keys)

    @property
    def trouble(self) -> str:
        """What keeps media from flowing, in words for a log."""
        state = None if self._dtls is None else self._dtls.state
        if self._dtls is not None and state is DtlsState.FAILED:
            return f"DTLS: {self._dtls.failure or 'failed'}"
        if state is DtlsState.CLOSED:
            return "DTLS: the browser has closed it"
        if self.ice.path is None:
            return "ICE: no way to the browser, or its consent has expired"
        hint = "" if self._dtls is None else self._dtls.hint
        return f"DTLS: not finished in time{hint and f' ({hint})'}"

    def restart(self) -> None:
        """See b2bua.media_plane.WebMediaPlane."""
        if self._state is not _State.FAILED:
            self.ice.restart()

    def close(self) -> None:
        """Say good-bye, and stop everything; the sockets are the plane's to close."""
        if self._dtls is not None:
            self._dtls.close()
            self._send_handshake(self._dtls)
        self.ice.close()
        self._state = _State.FAILED
        for call in (self._dtls_timer, self._deadline, *self._telling):
            if call is not None and call.active():
                call.cancel()

    def add(self, end: MediaEnd) -> None:
        """An end is opened."""
        self.ends.append(end)

    def remove(self, end: MediaEnd) -> None:
        """An end is closed."""
        self.ends.remove(end)
        self.sort_numbers()

    @abstractmethod
    def sort_numbers(self) -> None:
        """Take note of which payload types are whose."""

    def _agree_by_handshake(self, remote: RemoteTransport) -> None:
        fingerprints = frozenset(
            (name.lower(), value.upper()) for name, value in remote.fingerprints
        )
        dtls = self._dtls
        ended = dtls is None or dtls.state in (DtlsState.CLOSED, DtlsState.FAILED)
        # One that is the same means the same certificate, whatever else is listed beside it.
        if fingerprints & self._fingerprints and not ended:
            return
        self._fingerprints = fingerprints
        self._srtp = None
        if self._state is not _State.NEW:
            # Another peer takes over: that is no loss, but it has its time like the first one.
            self._state = _State.NEW
            self._expect()
        self._settle()
        self._dtls = DtlsAssociation(
            self._terms.identity,
            is_client=not remote.begins_handshake,
            fingerprints=remote.fingerprints,
        )
        self._begin_handshake()

    def _agree_by_keys(self, keys: SrtpKeys) -> None:
        if keys != self._keys:
            self._keys = keys
            self._dtls = None
            self._set_session(self.make_session(keys, self._srtp))

    # Datagrams in

    @abstractmethod
    def receive_media(self, data: bytes, now: float) -> int:
        """Take RTP or RTCP of a peer; say what that took from the budget."""

    def receive_control(self, data: bytes, now: float) -> None:
        """Take RTCP of the peer, as it came."""
        plain = None if self._srtp is None else self._srtp.unprotect_rtcp(data)
        if plain is None:
            self.drop(why_sealed(len(data)))
            return
        try:
            packets = parse_compound(plain)
        except MalformedRtp:
            self.drop("malformed")
            return
        if self.ends and self.ends[0].trace is not None:
            # Which end it is about is told within; the first one stands for all.
            self.ends[0].trace.rtcp("in", plain)
        for end in self.ends:
            end.heard_reports(packets, now)

    def receive_other(self, data: bytes, base: IceBase, source: Address) -> None:
        """Take STUN and DTLS (RFC 7983); anything else is nothing for us."""
        first = data[0]
        if first < 4:
            self.ice.receive(data, base, source)
        elif 20 <= first <= 63:
            self._receive_handshake(data, base, source)
        else:
            self.drop("malformed")

    def _arrived(self, data: bytes, base: IceBase, source: Address) -> None:
        """What came in by a relay goes the same ways."""
        if not data:
            self.drop("malformed")
        elif data[0] & 0xC0 != 0x80:
            self.receive_other(data, base, source)
        elif source not in base.valid:
            self.drop("source")
        elif len(data) < HEADER_SIZE - 4:
            self.drop("malformed")
        else:
            self.receive_media(data, self._terms.clock.seconds())

    def drop(self, reason: str) -> None:
        """Count a packet that is no end's at the first one."""
        if self.ends:
            self.ends[0].drop(reason)
        else:
            self.count_dropped(reason)

    @property
    @abstractmethod
    def dropped(self) -> Mapping[str, int]:
        """What came while there was no end to count it."""

    @abstractmethod
    def count_dropped(self, reason: str) -> None:
        """Count it here."""

    # Datagrams out

    def send_control(self, datagram: bytes) -> bool:
        """Encrypt RTCP and send it; tell whether it left."""
        base, target = self._base, self._target
        data = None if self._srtp is None else self._srtp.protect_rtcp(datagram)
        if data is None or base is None or target is None:
            return False
        try:
            base.put(data, target)
        except OSError:
            return False
        return True

    # Handshake

    def _receive_handshake(self, data: bytes, base: IceBase, source: Address) -> None:
        if self._dtls is not None and source in base.valid:
            before = self._dtls.dropped
            self._dtls.receive(data, self._terms.clock.seconds())
            for _ in range(self._dtls.dropped - before):
                self.drop("malformed")
            self._handshake_moved(self._dtls)
        elif self.ice.is_authentic((base, source)):
            # The peer has found the way, and we have not yet: it need not say all that again.
            self._early.append((data, base, source))
        else:
            self.drop("source")

    def _begin_handshake(self) -> None:
        """Go on with it, if the peer can be reached now."""
        dtls = self._dtls
        if dtls is None or self.ice.path is None or dtls.state is not DtlsState.HANDSHAKING:
            return
        dtls.start(self._terms.clock.seconds())
        early, self._early = self._early, deque(maxlen=MOST_EARLY)
        for data, base, source in early:
            self._receive_handshake(data, base, source)
        self._handshake_moved(dtls)

    def _handshake_moved(self, dtls: DtlsAssociation) -> None:
        self._send_handshake(dtls)
        self._plan_handshake(dtls)
        if dtls.state is DtlsState.CONNECTED and self._srtp is None and dtls.keys is not None:
            self._terms.handshakes["connected"] += 1
            self._set_session(self.make_session(dtls.keys, None))
        elif dtls.state is DtlsState.FAILED:
            if self._state is not _State.FAILED:
                self._terms.handshakes["failed"] += 1
            self._fail()
        elif dtls.state is DtlsState.CLOSED:
            self._set_session(None)

    def _send_handshake(self, dtls: DtlsAssociation) -> None:
        path = self.ice.path
        for datagram in dtls.take_datagrams():
            if path is not None:
                path[0].send(datagram, path[1])

    def _plan_handshake(self, dtls: DtlsAssociation) -> None:
        if self._dtls_timer is not None and self._dtls_timer.active():
            self._dtls_timer.cancel()
        self._dtls_timer = None
        at = dtls.next_timeout()
        if at is not None:
            clock = self._terms.clock
            wait = max(0.0, at - clock.seconds())
            self._dtls_timer = clock.callLater(wait, self._handshake_timeout, dtls)

    def _handshake_timeout(self, dtls: DtlsAssociation) -> None:
        if dtls is self._dtls:
            dtls.handle_timeout(self._terms.clock.seconds())
            self._handshake_moved(dtls)

    # What becomes of it

    @abstractmethod
    def way_changed(self) -> None:
        """Where media go may be another place, or keys may be others."""

    @abstractmethod
    def peers_changed(self) -> None:
        """Whose media may come in, at which base, may be others."""

    @abstractmethod
    def make_session(self, keys: SrtpKeys, before: SrtpSession | None) -> SrtpSession:
        """Begin with keys."""

    def _set_session(self, session: SrtpSession | None) -> None:
        self._srtp = session
        self._settle()

    def _ice_changed(self) -> None:
        self.peers_changed()
        if self._state is not _State.FAILED:
            self._begin_handshake()
            self._settle()

    def _settle(self) -> None:
        """Let media flow where they may, and tell when that is news."""
        selected = self.ice.selected
        if selected is not None:
            self.client = selected[1]
        if self._srtp is None:
            selected = None
        if self._state is _State.FAILED or selected is None:
            self._base = self._target = None
        else:
            self._base, self._target = selected
        self.way_changed()
        if selected is not None and self._state in (_State.NEW, _State.LOST):
            self._become(_State.CONNECTED, TransportEvent.CONNECTED)
        elif selected is None and self._state is _State.CONNECTED:
            self._become(_State.LOST, TransportEvent.LOST)

    def _expect(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = self._terms.clock.callLater(
            self._terms.ice.times.connecting, self._overdue
        )

    def _overdue(self) -> None:
        if self._state is not _State.CONNECTED:
            self._fail()

    def _fail(self) -> None:
        if self._state is not _State.FAILED:
            self._become(_State.FAILED, TransportEvent.FAILED)
            self.ice.rest()
            self._set_session(None)

    def _become(self, state: _State, event: TransportEvent) -> None:
        self._state = state
        call = self._terms.clock.callLater(0, lambda: self._say(call, event))
        self._telling.add(call)

    def _say(self, call: IDelayedCall, event: TransportEvent) -> None:
        self._telling.discard(call)
        self._tell(event)
