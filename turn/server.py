"""
The relay's server: one STUN request in, at most one response out (RFC 8489, RFC 8656).

``TurnServer.receive`` takes what the data plane could not forward by itself. Whatever depends on
time takes ``now`` (monotonic) and ``wall`` (wall clock, for credentials and nonces only). No
socket, no clock and no logger here; what happens is told to one subscriber.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from turn.allocation import Allocation, Credential
from turn.allocation_table import AllocationTable
from turn.authentication import ANONYMOUS, Authenticator, WrongCredentials
from turn.budget import SourceBudget
from turn.credentials import Pending
from turn.data_plane import ClientPath
from turn.errors import STANDARD_PHRASES, Challenge, Refusal, Silence
from turn.events import (
    AuthenticationFailed,
    BindingAnswered,
    BindingRefused,
    ChallengeSent,
    ChallengeSuppressed,
    DatagramIgnored,
    RequestRefused,
    Subscriber,
)
from turn.five_tuple import FiveTuple
from turn.relaying import Relaying
from turn.settings import TurnSettings
from turn.stun.attributes import (
    Attribute,
    pack_address,
    pack_error,
    pack_unknown,
    pack_xor_address,
)
from turn.stun.errors import MalformedMessage
from turn.stun.message import Class, Integrity, Message, Method, decode, encode

SOFTWARE = b"webrtc-suite"
LONGEST_PHRASE = 127
"""Characters of a reason phrase (RFC 8489, section 14.8); a request can make ours longer."""
MAX_PARKED = 1000
"""Requests that may wait for a user database at one time; more are dropped, clients retransmit."""

AUTHENTICATION_ATTRIBUTES = frozenset(
    {
        Attribute.USERNAME,
        Attribute.USERHASH,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.MESSAGE_INTEGRITY_SHA256,
        Attribute.PASSWORD_ALGORITHM,
        Attribute.REALM,
        Attribute.NONCE,
    }
)
UNDERSTOOD: dict[int, frozenset[int]] = {
    Method.BINDING: AUTHENTICATION_ATTRIBUTES,
    Method.ALLOCATE: AUTHENTICATION_ATTRIBUTES
    | {
        Attribute.REQUESTED_TRANSPORT,
        Attribute.REQUESTED_ADDRESS_FAMILY,
        Attribute.LIFETIME,
        Attribute.EVEN_PORT,
        Attribute.RESERVATION_TOKEN,
        Attribute.DONT_FRAGMENT,
    },
    Method.REFRESH: AUTHENTICATION_ATTRIBUTES
    | {Attribute.LIFETIME, Attribute.REQUESTED_ADDRESS_FAMILY},
    Method.CREATE_PERMISSION: AUTHENTICATION_ATTRIBUTES | {Attribute.XOR_PEER_ADDRESS},
    Method.CHANNEL_BIND: AUTHENTICATION_ATTRIBUTES
    | {Attribute.XOR_PEER_ADDRESS, Attribute.CHANNEL_NUMBER},
}
"""Comprehension-required attributes that each method's requests may carry."""


@dataclass(frozen=True, slots=True)
class _Parked:
    message: Message
    path: ClientPath


class TurnServer:
    """
    Answers Binding, Allocate, Refresh, CreatePermission and ChannelBind.

    Not safe for threads. A response is returned, not sent, so there can never be two.
    """

    def __init__(
        self,
        settings: TurnSettings,
        authenticator: Authenticator,
        relaying: Relaying,
        budget_key: bytes,
        emit: Subscriber,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._relaying = relaying
        self._emit = emit
        self._challenges = SourceBudget(settings.unauthorized_rate, budget_key)
        self._bindings = SourceBudget(settings.binding_rate, budget_key)
        self._parked: list[_Parked] = []

    @property
    def allocations(self) -> AllocationTable:
        """The live allocations."""
        return self._relaying.table

    def receive(self, data: bytes, path: ClientPath, now: float, wall: float) -> bytes | None:
        """Take one STUN message from a client; return the response to send back, if any."""
        try:
            message = decode(data)
        except MalformedMessage as error:
            self._emit(DatagramIgnored(str(error)))
            return None
        return self._respond(message, path, now, wall)

    def credentials_known(self, now: float, wall: float) -> list[tuple[ClientPath, bytes]]:
        """Try the requests again that waited for a user database; return what they get."""
        parked, self._parked = self._parked, []
        answered = ((p.path, self._respond(p.message, p.path, now, wall)) for p in parked)
        return [(path, response) for path, response in answered if response is not None]

    def disconnected(self, five_tuple: FiveTuple, reason: str, now: float) -> None:
        """End what a gone stream client had, and what it waited for (RFC 8656, section 5)."""
        self._parked = [each for each in self._parked if each.path.five_tuple != five_tuple]
        allocation = self.allocations.find(five_tuple)
        if allocation is not None:
            self._relaying.end(allocation, reason, now)

    def handle_timeout(self, now: float) -> None:
        """End what has expired."""
        self._relaying.expire(now)

    def reload(self, settings: TurnSettings) -> None:
        """Use other limits and phrases from now on; what exists already stays as it is."""
        self._settings = settings
        self._relaying.settings = settings
        self._challenges.rate = settings.unauthorized_rate
        self._bindings.rate = settings.binding_rate

    def stop(self, now: float) -> None:
        """End every allocation."""
        for allocation in self.allocations:
            self._relaying.end(allocation, "server stopped", now)
        self._relaying.drop_reservations(now)

    def _respond(self, message: Message, path: ClientPath, now: float, wall: float) -> bytes | None:
        try:
            if message.message_class is not Class.REQUEST:
                raise Silence("not a request")
            if message.method == Method.BINDING:
                return self._binding(message, path, now, wall)
            return self._relay_request(message, path, now, wall)
        except Silence as silence:
            self._emit(DatagramIgnored(silence.reason))
            return None

    # Binding

    def _binding(self, message: Message, path: ClientPath, now: float, wall: float) -> bytes | None:
        if not self._settings.stun or (message.classic and not self._settings.classic_stun):
            raise Silence("STUN is off")
        self._check_change_request(message)
        client = path.five_tuple
        if message.classic and ":" in client.client[0]:
            # RFC 3489 knows IPv4 only, and its three addresses make the longest answer of all.
            raise Silence("classic STUN over IPv6")
        if not client.transport.is_stream and not self._bindings.take(client.client[0], now):
            raise Silence("binding rate")
        try:
            credential = ANONYMOUS
            if self._settings.authenticate_binding:
                credential = self._authenticated(message, path, None, now, wall)
            self._check_understood(message)
        except Challenge as challenge:
            return self._challenge(message, path, challenge, now, wall)
        except Refusal as refusal:
            self._emit(BindingRefused(client, refusal.code))
            return self._error(message, refusal, ANONYMOUS)
        self._emit(BindingAnswered(client))
        return self._success(message, self._mapped(message, client), credential)

    def _check_change_request(self, message: Message) -> None:
        """
        Stay silent where another address or port should answer (RFC 5780 is not served).

        Old clients take an error for an answer and ask again without end.
        """
        if message.has(Attribute.CHANGE_REQUEST):
            value = message.first(Attribute.CHANGE_REQUEST)
            if value is None or len(value) != 4 or value[3] & 0x06:
                raise Silence("change request")

    def _mapped(self, message: Message, client: FiveTuple) -> list[tuple[int, bytes]]:
        if not message.classic:
            mapped = pack_xor_address(client.client, message.transaction_id)
            return [(Attribute.XOR_MAPPED_ADDRESS, mapped)]
        return [
            (Attribute.MAPPED_ADDRESS, pack_address(client.client)),
            (Attribute.SOURCE_ADDRESS, pack_address(client.server)),
            (Attribute.CHANGED_ADDRESS, pack_address(client.server)),
        ]

    # TURN

    def _relay_request(
        self, message: Message, path: ClientPath, now: float, wall: float
    ) -> bytes | None:
        method = message.method
        if message.classic or not self._settings.turn or method not in UNDERSTOOD:
            raise Silence("unknown method")
        if not message.attributes and not path.five_tuple.transport.is_stream:
            # No client asks so; a challenge would be five times as long as the question.
            raise Silence("bare request")
        allocation = self.allocations.find(path.five_tuple)
        try:
            known = None if allocation is None else allocation.credential
            credential = self._authenticated(message, path, known, now, wall)
        except Challenge as challenge:
            return self._challenge(message, path, challenge, now, wall)
        except Refusal as refusal:
            if not self._answers_stranger(path.five_tuple, now):
                return None
            return self._refuse(message, path, refusal, ANONYMOUS)
        try:
            self._check_understood(message)
            return self._serve(message, path, allocation, credential, now)
        except Refusal as refusal:
            return self._refuse(message, path, refusal, credential)

    def _serve(
        self,
        message: Message,
        path: ClientPath,
        allocation: Allocation | None,
        credential: Credential,
        now: float,
    ) -> bytes:
        if message.method == Method.ALLOCATE:
            return self._allocate(message, path, allocation, credential, now)
        if allocation is None:
            raise Refusal(437, "there is no allocation")
        if allocation.credential.username != credential.username:
            raise Refusal(441, "the allocation is another user's")
        allocation.credential = credential
        serve: Callable[[Message, Allocation, float], Sequence[tuple[int, bytes]]] = {
            Method.REFRESH: self._relaying.refresh,
            Method.CREATE_PERMISSION: self._relaying.create_permission,
            Method.CHANNEL_BIND: self._relaying.channel_bind,
        }[Method(message.method)]
        return self._success(message, serve(message, allocation, now), credential)

    def _allocate(
        self,
        message: Message,
        path: ClientPath,
        allocation: Allocation | None,
        credential: Credential,
        now: float,
    ) -> bytes:
        if allocation is not None:
            if allocation.is_retransmission(message.transaction_id, now):
                return allocation.reply
            raise Refusal(437, "the five-tuple has an allocation")
        allocation, attributes = self._relaying.allocate(message, path, credential, now)
        allocation.reply = self._success(message, attributes, credential)
        return allocation.reply

    def _authenticated(
        self,
        message: Message,
        path: ClientPath,
        known: Credential | None,
        now: float,
        wall: float,
    ) -> Credential:
        credential = self._authenticator.authenticate(message, path.five_tuple, known, wall)
        if isinstance(credential, Pending):
            raise self._parked_silence(message, path)
        self._challenges.refund(path.five_tuple.client[0])
        self._bindings.refund(path.five_tuple.client[0])
        return credential

    def _parked_silence(self, message: Message, path: ClientPath) -> Silence:
        """Keep a request until the user database has answered; a retransmission is not kept."""
        waiting = any(
            p.message.transaction_id == message.transaction_id
            and p.path.five_tuple == path.five_tuple
            for p in self._parked
        )
        if not waiting and len(self._parked) < MAX_PARKED:
            self._parked.append(_Parked(message, path))
        return Silence("waiting for the user database")

    def _check_understood(self, message: Message) -> None:
        unknown = message.unknown_required(UNDERSTOOD[message.method])
        if unknown:
            raise Refusal(
                420,
                "unknown attributes " + ", ".join(f"0x{kind:04x}" for kind in unknown),
                [(Attribute.UNKNOWN_ATTRIBUTES, pack_unknown(unknown))],
            )

    # Responses

    def _challenge(
        self,
        message: Message,
        path: ClientPath,
        challenge: Challenge,
        now: float,
        wall: float,
    ) -> bytes | None:
        client = path.five_tuple
        if isinstance(challenge, WrongCredentials):
            self._emit(AuthenticationFailed(client, challenge.username, challenge.reason))
            # Whether the name or the password is wrong is for the log only.
            challenge = Challenge(401, "wrong credentials")
        if not self._answers_stranger(client, now):
            return None
        self._emit(ChallengeSent(client, challenge.code))
        attributes = self._authenticator.challenge(client, wall)
        return self._error(
            message, Refusal(challenge.code, challenge.reason, attributes), ANONYMOUS
        )

    def _answers_stranger(self, client: FiveTuple, now: float) -> bool:
        """Whether one more reply may go to a source that has proved nothing."""
        if client.transport.is_stream or self._challenges.take(client.client[0], now):
            return True
        self._emit(ChallengeSuppressed(client))
        return False

    def _refuse(
        self, message: Message, path: ClientPath, refusal: Refusal, credential: Credential
    ) -> bytes:
        name = Method(message.method).name
        self._emit(RequestRefused(path.five_tuple, name, refusal.code, refusal.reason))
        return self._error(message, refusal, credential)

    def _error(self, message: Message, refusal: Refusal, credential: Credential) -> bytes:
        phrase = STANDARD_PHRASES[refusal.code]
        if self._settings.reason_phrases:
            phrase = f"{phrase}: {refusal.reason}"[:LONGEST_PHRASE]
        attributes = [(Attribute.ERROR_CODE, pack_error(refusal.code, phrase))]
        return self._encode(message, Class.ERROR, (*attributes, *refusal.attributes), credential)

    def _success(
        self, message: Message, attributes: Iterable[tuple[int, bytes]], credential: Credential
    ) -> bytes:
        return self._encode(message, Class.SUCCESS, attributes, credential)

    def _encode(
        self,
        message: Message,
        message_class: Class,
        attributes: Iterable[tuple[int, bytes]],
        credential: Credential,
    ) -> bytes:
        extra = [(Attribute.SOFTWARE, SOFTWARE)] if self._settings.software else []
        # Classic STUN knows no FINGERPRINT, whatever the settings say.
        fingerprint = message.has_fingerprint or self._settings.fingerprint
        return encode(
            message.method,
            message_class,
            message.transaction_id,
            [*attributes, *extra],
            key=credential.key or None,
            integrity=message.integrity or Integrity.SHA1,
            fingerprint=fingerprint and not message.classic,
            classic=message.classic,
        )
