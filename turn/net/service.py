"""
The relay as the suite runs it: the server, its timer, its streams and its user database.

No rule of TURN is here. The reactor, the clocks and the data plane are handed in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from turn.access import PeerRules
from turn.allocation_table import AllocationTable
from turn.authentication import Authenticator
from turn.credentials import Credentials, from_settings
from turn.data_plane import ClientPath, DataPlane
from turn.events import AllocationCreated, AllocationEnded, Event, Subscriber
from turn.five_tuple import Address, FiveTuple
from turn.net.external_address import ExternalAddressFinder
from turn.net.stream import (
    StreamClient,
    StreamLimits,
    StreamService,
    StreamTotals,
    TurnStream,
)
from turn.net.userlists import DatabaseLists
from turn.nonce import NonceSource, derive_key
from turn.quota import Quota
from turn.relay_addresses import RelayAddresses, public_faces
from turn.relaying import Relaying
from turn.server import TurnServer
from turn.settings import ExternalAddress, PasswordAlgorithm, TurnSettings
from turn.shared_relay_addresses import SharedRelayAddresses
from turn.vouched import vouches, with_vouched

TICK = 0.5
"""Seconds between looks at what has expired."""


StreamMaker = Callable[[FiveTuple, StreamService, StreamTotals], TurnStream]
"""Makes the protocol of a client over TCP or TLS."""


class TurnService:
    """
    One relay. ``control`` and ``media`` are what its data plane and its streams call.

    ``listening`` are the addresses that clients reach, ``machine`` all that this machine has:
    peers may not be among them, relays excepted. ``wall`` is the time of day in seconds,
    for credentials and nonces only. ``make_stream`` is None where Twisted moves the bytes of
    streams.
    """

    log = Logger(namespace="turn")

    def __init__(
        self,
        settings: TurnSettings,
        plane: DataPlane,
        listening: Sequence[Address],
        clock: IReactorTime,
        wall: Callable[[], float],
        emit: Subscriber,
        limits: StreamLimits | None = None,
        database: DatabaseLists | None = None,
        finder: ExternalAddressFinder | None = None,
        machine: Sequence[str] = (),
        make_stream: StreamMaker | None = None,
    ) -> None:
        self.stream_totals = StreamTotals()
        self.secret = secrets.token_urlsafe(32)
        """Vouches for pages where the configuration has no shared secret, see ``turn.vouched``."""
        self._settings = settings
        self._plane = plane
        self._listening = tuple(listening)
        self._machine = tuple(machine)
        self._clock = clock
        self._wall = wall
        self._subscriber = emit
        self._limits = StreamLimits() if limits is None else limits
        self._database = database
        self._finder = finder
        self._found: tuple[ExternalAddress, ...] = ()
        self._streams: dict[FiveTuple, TurnStream] = {}
        self._make_stream = make_stream or self._twisted_stream
        self._tick: IDelayedCall | None = None
        self._build()

    def _build(self) -> None:
        settings = self._settings
        hosts = settings.relay_addresses or tuple(dict.fromkeys(h for h, _ in self._listening))
        addresses = self._addresses(hosts)
        self._relaying = Relaying(
            settings,
            self._plane,
            addresses,
            self._rules(addresses),
            Quota(
                settings.user_quota, settings.total_quota, settings.bps_capacity, settings.max_bps
            ),
            secrets.token_bytes,
            self._emit,
        )
        self._authenticator = Authenticator(settings, self._user_lists(settings), self._nonces())
        self._server = TurnServer(
            settings, self._authenticator, self._relaying, secrets.token_bytes(16), self._emit
        )

    def _addresses(self, hosts: Sequence[str]) -> RelayAddresses | SharedRelayAddresses:
        settings, public = self._settings, public_faces(hosts, self._external)
        if settings.shared_ports is not None:
            shared = settings.shared_ports
            return SharedRelayAddresses(self._plane, hosts, public, shared, secrets.randbelow)
        own = (settings.min_port, settings.max_port)
        return RelayAddresses(self._plane, hosts, public, own, secrets.randbelow)

    @property
    def allocations(self) -> AllocationTable:
        """The live allocations."""
        return self._server.allocations

    @property
    def free_ports(self) -> int:
        """Relay ports that nobody holds."""
        return self._relaying.addresses.free_ports

    @property
    def complaint(self) -> str:
        """What is wrong although the relay serves; empty if nothing is."""
        failure = "" if self._database is None else self._database.failure
        return f"the user database cannot be read: {failure}" if failure else ""

    def start(self) -> Deferred[None] | None:
        """
        Bind the shared relay ports if there are any, start the timer, and read the user database.

        Raises RelayPortBusy or RelaySocketsExhausted, with nothing started.
        """
        self._relaying.addresses.open()
        self._tick = self._clock.callLater(TICK, self._on_tick)
        if self._finder is not None:
            self._finder.start(self._external_found)
        if self._database is not None:
            self._database.changed = self._rules_changed
            return self._database.start()
        return None

    def stop(self) -> Deferred[None] | None:
        """End every allocation and let go of the database."""
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        self._server.stop(self._clock.seconds())
        self._relaying.addresses.close()
        if self._finder is not None:
            self._finder.stop()
        return None if self._database is None else self._database.stop()

    def reload(self, settings: TurnSettings) -> None:
        """
        Take over users, secrets, peer rules, quotas and limits. Live allocations go on.

        A user who is no longer listed is refused at the next request. What else differs takes
        effect at the next start.
        """
        # First what may raise, so that nothing has changed then.
        lists = self._user_lists(settings)
        self._settings = settings
        self._server.reload(settings)
        self._authenticator.replace(lists)
        self._relaying.rules = self._rules(self._relaying.addresses)
        quota = self._relaying.quota
        quota.user_quota = settings.user_quota
        quota.total_quota = settings.total_quota
        quota.bps_capacity = settings.bps_capacity
        quota.max_bps = settings.max_bps

    # What the data plane and the streams call

    def control(self, message: bytes, path: ClientPath) -> None:
        """Take one STUN message that the data plane does not forward."""
        response = self._server.receive(message, path, self._clock.seconds(), self._wall())
        if response is not None:
            path.send_control(response)

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Take one ChannelData message or Send indication of a stream."""
        self._plane.from_stream(path, frame)

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """End what belongs to a stream that is gone."""
        stream = self._streams.get(path.five_tuple)
        if stream is not None and stream is not path:
            # A proxy announced the same client again: what is there belongs to the new stream.
            return
        self._streams.pop(path.five_tuple, None)
        self._server.disconnected(path.five_tuple, reason, self._clock.seconds())

    def stream_client(self, five_tuple: FiveTuple) -> TurnStream:
        """A protocol for one TCP or TLS client that was just accepted."""
        if five_tuple in self._streams:
            # Only a proxy can announce a client twice; the elder is as good as gone.
            self._server.disconnected(five_tuple, "replaced", self._clock.seconds())
        stream = self._make_stream(five_tuple, self, self.stream_totals)
        self._streams[five_tuple] = stream
        return stream

    # Inside

    def _twisted_stream(
        self, five_tuple: FiveTuple, service: StreamService, totals: StreamTotals
    ) -> TurnStream:
        return StreamClient(five_tuple, service, self._clock, self._limits, totals)

    def _emit(self, event: Event) -> None:
        if isinstance(event, AllocationCreated | AllocationEnded):
            stream = self._streams.get(event.client)
            if stream is not None and isinstance(event, AllocationCreated):
                stream.set_authenticated()
            elif stream is not None:
                stream.allocation_ended()
        self._subscriber(event)

    def _on_tick(self) -> None:
        self._tick = self._clock.callLater(TICK, self._on_tick)
        now = self._clock.seconds()
        self._server.handle_timeout(now)
        self._plane.expire(now)

    def _user_lists(self, settings: TurnSettings) -> Credentials:
        request = self._ask_database if self._database is not None else _nobody_to_ask
        lists = from_settings(settings.credentials, settings.realm, request)
        if self._database is not None:
            self._database.attach(lists, settings.credentials.secrets)
        return with_vouched(lists, settings, self.secret)

    def _ask_database(self, username: str) -> None:
        if self._database is not None:
            self._database.ask(username, self._user_known)

    def _user_known(self) -> None:
        answers = self._server.credentials_known(self._clock.seconds(), self._wall())
        for path, response in answers:
            path.send_control(response)

    def _nonces(self) -> NonceSource:
        settings = self._settings
        return NonceSource(
            derive_key(settings.nonce_secret, secrets.token_bytes(32)),
            settings.nonce_lifetime,
            password_algorithms=settings.credentials.algorithms != (PasswordAlgorithm.MD5,),
            username_anonymity=_are_names_listed(settings),
        )

    @property
    def _external(self) -> tuple[ExternalAddress, ...]:
        return (*self._found, *self._settings.external_addresses)

    def _rules(self, addresses: RelayAddresses | SharedRelayAddresses) -> PeerRules:
        settings = self._settings
        first, last = settings.relay_ports
        peers = settings.peers
        if self._database is not None:
            peers = replace(
                peers,
                allowed=(*peers.allowed, *self._database.allowed),
                denied=(*peers.denied, *self._database.denied),
            )
        faces = public_faces(addresses.hosts, self._external)
        return PeerRules(
            peers,
            relay_addresses=addresses.hosts,
            external={public: local for local, public in faces.items()},
            min_port=first,
            max_port=last,
            own_endpoints=self._listening,
            machine_addresses=self._machine,
        )

    def _rules_changed(self) -> None:
        self._relaying.rules = self._rules(self._relaying.addresses)

    def _external_found(self, public: str) -> None:
        found = (ExternalAddress(public=public),)
        if found == self._found:
            return
        self._found = found
        self.log.info("the public address of the relay is {public}", public=public)
        addresses = self._relaying.addresses
        addresses.show_as(public_faces(addresses.hosts, self._external))
        self._rules_changed()


def _nobody_to_ask(username: str) -> None:
    """There is no user database."""


def _are_names_listed(settings: TurnSettings) -> bool:
    """Whether a user hash can be turned back into a name (RFC 8489, section 9.2.2)."""
    credentials = settings.credentials
    return not (credentials.use_secrets or credentials.database or vouches(settings))
