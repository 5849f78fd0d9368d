"""
What authenticated requests do: Allocate, Refresh, CreatePermission, ChannelBind.

Every way in which an allocation ends goes through ``Relaying.end``, which closes its flow, gives
its ports back and returns its quota, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from turn.access import Decision, PeerRules
from turn.allocate import (
    AllocateRequest,
    granted_lifetime,
    read,
    read_allocate,
    read_lifetime,
    read_requested_family,
)
from turn.allocation import Allocation, Credential, RelayedAddress
from turn.allocation_table import RESERVATION_LIFETIME, AllocationTable, Reservation
from turn.data_plane import (
    ClientPath,
    DataPlane,
    PeerPermission,
    PeerTaken,
    RelaySocketsExhausted,
)
from turn.errors import Refusal
from turn.events import (
    AllocationCreated,
    AllocationEnded,
    AllocationRefreshed,
    PeerDenied,
    Subscriber,
)
from turn.five_tuple import Address
from turn.quota import Quota
from turn.relay_addresses import BoundRelay, RelayAddresses
from turn.relay_ports import NoPorts
from turn.settings import TurnSettings
from turn.shared_relay_addresses import SharedRelayAddresses
from turn.stun.attributes import (
    Attribute,
    Family,
    pack_address_error,
    pack_xor_address,
    unpack_channel_number,
    unpack_xor_address,
)
from turn.stun.errors import MalformedMessage
from turn.stun.message import Message

Attributes = list[tuple[int, bytes]]


class Relaying:
    """The allocations, and the rules by which they come, change and go."""

    def __init__(
        self,
        settings: TurnSettings,
        plane: DataPlane,
        addresses: RelayAddresses | SharedRelayAddresses,
        rules: PeerRules,
        quota: Quota,
        token_bytes: Callable[[int], bytes],
        emit: Subscriber,
    ) -> None:
        self.table = AllocationTable()
        self.addresses = addresses
        self.rules = rules
        self.quota = quota
        self.settings = settings
        self._plane = plane
        self._token_bytes = token_bytes
        self._emit = emit
        self._numbers = count(1)

    # Allocate

    def allocate(
        self, message: Message, path: ClientPath, credential: Credential, now: float
    ) -> tuple[Allocation, Attributes]:
        """
        Make an allocation for a client that has none; return it and the response's attributes.

        Raises Refusal; nothing is held then.
        """
        request = read_allocate(message, self.settings)
        for family in request.families[:1]:
            if not self.addresses.has_family(family is Family.IPV6):
                raise Refusal(440, f"the relay has no {family.name} address")
        self._check_confined_quota(credential)
        granted = self.quota.admit(credential.quota_name)
        if granted is None:
            raise Refusal(486, "the quota is used up")
        try:
            bound, extra = self._bind(request, path, credential, now)
        except BaseException:
            self.quota.release(credential.quota_name, granted)
            raise
        lifetime = granted_lifetime(request.lifetime, self.settings)
        allocation = self._enter(message, path, credential, bound, granted, lifetime, now)
        return allocation, self._allocated(message, path, allocation, lifetime) + extra

    def _check_confined_quota(self, credential: Credential) -> None:
        confined = self.settings.confined_as(credential.quota_name)
        if confined and self.quota.in_use_by(credential.quota_name) >= confined.quota:
            raise Refusal(486, "the quota of the confined user is used up")

    def _enter(
        self,
        message: Message,
        path: ClientPath,
        credential: Credential,
        bound: list[BoundRelay],
        granted: int,
        lifetime: int,
        now: float,
    ) -> Allocation:
        relays = [
            RelayedAddress(each.relay, each.local, each.public, now + lifetime, each.token)
            for each in bound
        ]
        allocation = Allocation(
            number=next(self._numbers),
            path=path,
            credential=credential,
            flow=self._plane.open(
                path, [relay.relay for relay in relays], granted, self.addresses.max_peers
            ),
            relays=relays,
            created=now,
            transaction_id=message.transaction_id,
            granted_bps=granted,
        )
        self.table.add(allocation)
        self._emit(
            AllocationCreated(
                allocation.number,
                path.five_tuple,
                credential.username,
                tuple(relay.public for relay in relays),
                lifetime,
            )
        )
        return allocation

    def _bind(
        self, request: AllocateRequest, path: ClientPath, credential: Credential, now: float
    ) -> tuple[list[BoundRelay], Attributes]:
        """Bind what was asked for. Raises Refusal (508) with nothing left bound."""
        reached = path.five_tuple.server[0]
        try:
            if request.token is not None:
                return [self._claim(request.token, credential, now)], []
            first_is_ipv6 = request.families[0] is Family.IPV6
            if request.reserve_next:
                return self._bind_reserving(first_is_ipv6, reached, credential, now)
            bind = self.addresses.bind_even if request.even_port else self.addresses.bind
            bound = [bind(first_is_ipv6, reached, now)]
        except (NoPorts, RelaySocketsExhausted) as error:
            raise Refusal(508, "no relay port is free") from error
        if len(request.families) == 1:
            return bound, []
        return self._bind_additional(bound, reached, now)

    def _bind_additional(
        self, bound: list[BoundRelay], reached: str, now: float
    ) -> tuple[list[BoundRelay], Attributes]:
        """The IPv6 half of a dual allocation; its failure leaves the IPv4 half standing."""
        try:
            return [*bound, self.addresses.bind(True, reached, now)], []
        except (NoPorts, RelaySocketsExhausted):
            code = 508 if self.addresses.has_family(True) else 440
            value = pack_address_error(Family.IPV6, code)
            return bound, [(Attribute.ADDRESS_ERROR_CODE, value)]

    def _bind_reserving(
        self, is_ipv6: bool, reached: str, credential: Credential, now: float
    ) -> tuple[list[BoundRelay], Attributes]:
        if not self.table.has_room_for_reservation(credential.quota_name):
            raise Refusal(508, "too many ports are held in reserve")
        even, odd = self.addresses.bind_pair(is_ipv6, reached, now)
        token = self._token_bytes(8)
        until = now + RESERVATION_LIFETIME
        name, quota_name = credential.username, credential.quota_name
        odd = replace(odd, token=token)
        self.table.reserve(Reservation(token, odd, name, quota_name, until))
        return [even], [(Attribute.RESERVATION_TOKEN, token)]

    def _claim(self, token: bytes, credential: Credential, now: float) -> BoundRelay:
        reservation = self.table.claim(token, credential.username, now)
        if reservation is None:
            raise Refusal(508, "the reservation is unknown or over")
        return reservation.bound

    def _allocated(
        self, message: Message, path: ClientPath, allocation: Allocation, lifetime: int
    ) -> Attributes:
        tid = message.transaction_id
        relayed = [
            (Attribute.XOR_RELAYED_ADDRESS, pack_xor_address(relay.public, tid))
            for relay in allocation.relays
        ]
        return [
            *relayed,
            (Attribute.LIFETIME, lifetime.to_bytes(4, "big")),
            (Attribute.XOR_MAPPED_ADDRESS, pack_xor_address(path.five_tuple.client, tid)),
        ]

    # Refresh

    def refresh(self, message: Message, allocation: Allocation, now: float) -> Attributes:
        """Refresh or delete an allocation, or one family of a dual one (RFC 8656, section 8.2)."""
        wanted = read_lifetime(message)
        relays = self._relays_meant(message, allocation)
        lifetime = 0 if wanted == 0 else granted_lifetime(wanted, self.settings)
        if lifetime:
            for relay in relays:
                relay.expires = now + lifetime
            self.table.schedule(allocation)
            name = allocation.credential.username
            self._emit(AllocationRefreshed(allocation.number, name, lifetime))
        elif len(relays) == len(allocation.relays):
            self.end(allocation, "refreshed with lifetime 0", now)
        else:
            self._end_relays(allocation, relays, now)
        return [(Attribute.LIFETIME, lifetime.to_bytes(4, "big"))]

    def _relays_meant(self, message: Message, allocation: Allocation) -> list[RelayedAddress]:
        family = read_requested_family(message)
        if family is None:
            return list(allocation.relays)
        relay = allocation.relay_for(family is Family.IPV6)
        if relay is None:
            raise Refusal(443, "the allocation has no relay of this family")
        return [relay]

    # Permissions and channels

    def create_permission(self, message: Message, allocation: Allocation, now: float) -> Attributes:
        """Install or refresh permissions for all peers named, or for none (section 10.2)."""
        values = message.all(Attribute.XOR_PEER_ADDRESS)
        if not values:
            raise Refusal(400, "XOR-PEER-ADDRESS is missing")
        peers = [self._peer(value, message) for value in values]
        permissions = [self._permission(allocation, peer) for peer in peers]
        hosts = {permission.host for permission in permissions}
        if not allocation.has_room_for(hosts, now, self.settings.max_permissions):
            raise Refusal(508, "too many permissions")
        for permission, (_, port) in zip(permissions, peers, strict=True):
            self._permit(allocation, permission, now, port)
        return []

    def channel_bind(self, message: Message, allocation: Allocation, now: float) -> Attributes:
        """Bind or refresh a channel and its permission (section 12.2)."""
        number = self._channel_number(message)
        value = message.first(Attribute.XOR_PEER_ADDRESS)
        if value is None:
            raise Refusal(400, "XOR-PEER-ADDRESS is missing")
        peer = self._peer(value, message)
        if not peer[1]:
            raise Refusal(400, "a channel needs a port")
        conflict = allocation.channel_conflict(number, peer, now)
        if conflict is not None:
            raise Refusal(400, conflict)
        permission = self._permission(allocation, peer)
        if number not in allocation.channels:
            self._check_room(allocation, permission, now)
        self._claim_peer(allocation, peer, permission)
        self._permit(allocation, permission, now)
        until = now + self.settings.channel_lifetime
        allocation.bind(number, peer, until)
        self._plane.bind_channel(allocation.flow, number, peer, permission, until)
        return []

    def _check_room(self, allocation: Allocation, permission: PeerPermission, now: float) -> None:
        if allocation.channels_in_use(now) >= self.settings.max_channels:
            raise Refusal(508, "too many channels")
        if not allocation.has_room_for({permission.host}, now, self.settings.max_permissions):
            raise Refusal(508, "too many permissions")

    def _claim_peer(
        self, allocation: Allocation, peer: Address, permission: PeerPermission
    ) -> None:
        try:
            self._plane.claim(allocation.flow, peer, permission)
        except PeerTaken as error:
            raise Refusal(508, "no shared relay port is free for this peer") from error

    def _permit(
        self, allocation: Allocation, permission: PeerPermission, now: float, port: int = 0
    ) -> None:
        until = now + self.settings.permission_lifetime
        allocation.permissions[permission.host] = until
        self._plane.permit(allocation.flow, permission, until, port)

    def _channel_number(self, message: Message) -> int:
        number = read(message, Attribute.CHANNEL_NUMBER, unpack_channel_number)
        if number is None:
            raise Refusal(400, "CHANNEL-NUMBER is missing")
        highest = 0x7FFF if self.settings.legacy_channel_numbers else 0x4FFF
        if not 0x4000 <= number <= highest:
            raise Refusal(400, f"channel 0x{number:04x} is out of range")
        return number

    def _peer(self, value: bytes, message: Message) -> Address:
        try:
            return unpack_xor_address(value, message.transaction_id)
        except MalformedMessage as error:
            raise Refusal(400, "XOR-PEER-ADDRESS is malformed") from error

    def _permission(self, allocation: Allocation, peer: Address) -> PeerPermission:
        """What the peer rules grant. Raises Refusal: 443 wrong family, 403 denied."""
        if allocation.relay_for(":" in peer[0]) is None:
            raise Refusal(443, "the allocation has no relay of the peer's family")
        name = allocation.credential.username
        is_confined = self.settings.confined_as(allocation.credential.quota_name) is not None
        decide = self.rules.decide_confined if is_confined else self.rules.decide
        decision: Decision = decide(*peer)
        if decision.permission is None:
            client = allocation.path.five_tuple
            self._emit(PeerDenied(allocation.number, client, name, peer[0], decision.rule))
            raise Refusal(403, f"the peer is denied: {decision.rule}")
        return decision.permission

    # The end

    def expire(self, now: float) -> None:
        """End allocations, families of dual allocations and reservations whose time has come."""
        for allocation in self.table.take_due(now):
            over = [relay for relay in allocation.relays if relay.expires <= now]
            if len(over) == len(allocation.relays):
                self.end(allocation, "expired", now)
            else:
                self._end_relays(allocation, over, now)
        for reservation in self.table.take_expired_reservations(now):
            self.addresses.release(reservation.bound, now)

    def end(self, allocation: Allocation, reason: str, now: float) -> None:
        """End an allocation for good."""
        self.table.remove(allocation)
        counters = self._plane.close(allocation.flow)
        for relay in allocation.relays:
            if not self._is_reserved_again(relay, now):
                self.addresses.give_back(relay.local, now)
        credential = allocation.credential
        self.quota.release(credential.quota_name, allocation.granted_bps)
        self._emit(
            AllocationEnded(
                allocation.number,
                allocation.path.five_tuple,
                credential.username,
                reason,
                now - allocation.created,
                counters,
            )
        )

    def _is_reserved_again(self, relay: RelayedAddress, now: float) -> bool:
        """
        Hold a port that was had by a token for the rest of the token's thirty seconds.

        Clients that hear nothing for a moment ask again as a new transaction, are told 437, delete
        what they have and come back with the same token.
        """
        reservation = self.table.take_claimed(relay.token, now)
        bound = None if reservation is None else self.addresses.bind_again(reservation.bound)
        if reservation is None or bound is None:
            return False
        self.table.reserve(replace(reservation, bound=bound))
        return True

    def drop_reservations(self, now: float) -> None:
        """Let go of every reserved port."""
        for reservation in self.table.take_expired_reservations(now + RESERVATION_LIFETIME + 1):
            self.addresses.release(reservation.bound, now)

    def _end_relays(self, allocation: Allocation, over: list[RelayedAddress], now: float) -> None:
        for relay in over:
            self._plane.drop_relay(allocation.flow, relay.relay)
            self.addresses.give_back(relay.local, now)
            allocation.relays.remove(relay)
        self.table.schedule(allocation)
