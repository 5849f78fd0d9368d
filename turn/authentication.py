"""
The long-term credential mechanism (RFC 8489, section 9.2).

The nonce is looked at before the user: until a client has echoed a nonce that we made for its own
address, nothing is stored, no user is looked up and no failure is logged against anybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from turn.allocation import Credential
from turn.credentials import EXPIRED, Credentials, Key, Pending, Unknown
from turn.errors import Challenge, Refusal
from turn.five_tuple import FiveTuple
from turn.nonce import NonceSource, NonceState
from turn.settings import PasswordAlgorithm, TurnSettings
from turn.stun.attributes import (
    Attribute,
    pack_password_algorithms,
    unpack_password_algorithm,
    unpack_password_algorithms,
)
from turn.stun.errors import MalformedMessage
from turn.stun.message import Message

ANONYMOUS = Credential("", PasswordAlgorithm.MD5, b"", "", 0.0, 0)
"""Stands for everybody where ``no-auth`` was asked for; replies then carry no integrity."""


class WrongCredentials(Challenge):
    """401 for credentials that are wrong, not merely absent; worth a line in the log."""

    def __init__(self, username: str, reason: str) -> None:
        super().__init__(401, reason)
        self.username = username


class Authenticator:
    """Checks requests against the user lists and makes the attributes of a challenge."""

    def __init__(
        self, settings: TurnSettings, credentials: Credentials, nonces: NonceSource
    ) -> None:
        self._realm = settings.realm
        self._anonymous = settings.credentials.anonymous
        self._offered = [(algorithm.value, b"") for algorithm in settings.credentials.algorithms]
        self._algorithms_value = pack_password_algorithms(self._offered)
        self._credentials = credentials
        self._nonces = nonces
        self.generation = 0

    def replace(self, credentials: Credentials) -> None:
        """Use other user lists from now on; keys of live allocations are looked up again."""
        self._credentials = credentials
        self.generation += 1

    def quota_name(self, username: str) -> str:
        """The name that quotas count, without a REST user name's time."""
        return self._credentials.quota_name(username)

    def challenge(self, client: FiveTuple, wall: float) -> list[tuple[int, bytes]]:
        """REALM, NONCE and what else a 401 or 438 must carry."""
        nonce = self._nonces.issue(client.client, self._realm, wall)
        attributes: list[tuple[int, bytes]] = [
            (Attribute.REALM, self._realm.encode()),
            (Attribute.NONCE, nonce.encode()),
        ]
        if self._is_choice_offered:
            attributes.append((Attribute.PASSWORD_ALGORITHMS, self._algorithms_value))
        return attributes

    def authenticate(
        self, message: Message, client: FiveTuple, known: Credential | None, wall: float
    ) -> Credential | Pending:
        """
        Tell who sent the request; ``known`` is the credential of the client's allocation.

        Raises Challenge (401, 438) or Refusal (400). Pending means that a user database was asked;
        the request must be handed in again when it has answered.
        """
        if self._anonymous:
            return ANONYMOUS
        if message.integrity is None:
            raise Challenge(401, "the request carries no credentials")
        self._check_nonce(message, client, wall)
        algorithm = self._algorithm(message)
        username = self._username(message)
        keys = self._keys(username, algorithm, known, wall)
        if isinstance(keys, Pending):
            return keys
        for key in keys:
            if message.verify(key.key):
                return key
        raise WrongCredentials(username, "wrong password")

    @property
    def _is_choice_offered(self) -> bool:
        return self._offered != [(PasswordAlgorithm.MD5.value, b"")]

    def _check_nonce(self, message: Message, client: FiveTuple, wall: float) -> None:
        has_name = message.has(Attribute.USERNAME) or message.has(Attribute.USERHASH)
        nonce = message.first(Attribute.NONCE)
        if not has_name or nonce is None or not message.has(Attribute.REALM):
            raise Refusal(400, "USERNAME, REALM and NONCE must come with MESSAGE-INTEGRITY")
        state = self._nonces.check(
            nonce.decode("ascii", "replace"), client.client, self._realm, wall
        )
        if state is not NonceState.VALID:
            raise Challenge(438, "the nonce is stale")

    def _algorithm(self, message: Message) -> PasswordAlgorithm:
        """The password algorithm of a request, with protection against bidding down."""
        listed = message.first(Attribute.PASSWORD_ALGORITHMS)
        chosen = message.first(Attribute.PASSWORD_ALGORITHM)
        if listed is None and chosen is None:
            return PasswordAlgorithm.MD5
        if listed is None or chosen is None:
            raise Refusal(400, "PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS come together")
        try:
            choice = unpack_password_algorithm(chosen)
            if unpack_password_algorithms(listed) != self._offered:
                raise Refusal(400, "PASSWORD-ALGORITHMS is not the list that was offered")
        except MalformedMessage as error:
            raise Refusal(400, "the password algorithms are malformed") from error
        if choice not in self._offered:
            raise Refusal(400, "PASSWORD-ALGORITHM was not offered")
        return PasswordAlgorithm(choice[0])

    def _username(self, message: Message) -> str:
        name = message.first(Attribute.USERNAME)
        if name is None:
            userhash = message.first(Attribute.USERHASH) or b""
            found = self._credentials.find_userhash(userhash)
            if found is None:
                raise WrongCredentials("", "unknown user hash")
            return found
        try:
            return name.decode()
        except UnicodeDecodeError as error:
            raise Refusal(400, "USERNAME is not UTF-8") from error

    def _keys(
        self, username: str, algorithm: PasswordAlgorithm, known: Credential | None, wall: float
    ) -> Iterable[Credential] | Pending:
        if known is not None and known.username != username:
            known = None
        if known and known.algorithm is algorithm and known.generation == self.generation:
            return (known,)
        found = self._credentials.find(username, wall)
        if known and found == EXPIRED:
            # A REST user name that was good when the allocation began stays good for it.
            wall = known.authenticated_at
            found = self._credentials.find(username, wall)
        if isinstance(found, Pending):
            return found
        if isinstance(found, Unknown):
            raise WrongCredentials(username, found.reason)
        return self._credentials_of(found, algorithm, wall)

    def _credentials_of(
        self, found: Key, algorithm: PasswordAlgorithm, wall: float
    ) -> list[Credential]:
        quota_name = self._credentials.quota_name(found.username)
        keys = (key.for_algorithm(algorithm) for key in (found, *found.alternatives))
        return [
            Credential(found.username, algorithm, key, quota_name, wall, self.generation)
            for key in keys
            if key is not None
        ]
