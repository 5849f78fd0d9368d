"""
Who may relay: long-term users, REST users of a shared secret, users of a database
(RFC 8489, section 9.2; draft-uberti-behave-turn-rest).

Only keys are kept, never a password. Nothing here waits: a user of the database who is not known
yet is ``PENDING``, and whoever fetches the answer brings it with ``learned`` or ``failed``.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from turn.settings import CredentialSettings, PasswordAlgorithm, SecretDigest, StaticUser
from turn.stun.integrity import md5_key, opaque_string, sha256_key, userhash

_LONGEST_NAME = 508
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Controls, line separators and half characters: nothing that could break a log line."""

_KNOWN_USERS = 10_000
_UNKNOWN_USERS = 10_000
_QUESTIONS = 1_000
"""How many names the database may be asked about at once."""
_GRACE = 300.0
"""How long a user is served after the database was last heard of."""
_MD5_LENGTH = 16
_SHA256_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Key:
    """The long-term keys of a user; None where the algorithm's key is not known."""

    username: str
    md5: bytes | None = None
    sha256: bytes | None = None
    alternatives: tuple[Key, ...] = ()
    """Other keys of the same user that are also right, while a secret is being replaced."""

    def __repr__(self) -> str:
        return f"Key(username={self.username!r})"

    def for_algorithm(self, algorithm: PasswordAlgorithm) -> bytes | None:
        """Give the key that the client uses who chose ``algorithm``."""
        return self.md5 if algorithm is PasswordAlgorithm.MD5 else self.sha256


@dataclass(frozen=True, slots=True)
class Unknown:
    """There are no credentials for this name; ``reason`` is one of a few fixed phrases."""

    reason: str


EXPIRED = Unknown("expired")
"""The name was good until its time came; a live allocation of it goes on."""


class Pending(Enum):
    """The answer is not here yet."""

    PENDING = "pending"


PENDING: Literal[Pending.PENDING] = Pending.PENDING

Lookup = Key | Unknown | Pending


class Credentials(Protocol):
    """Finds keys. ``wall`` is wall-clock time."""

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of ``username``, which may be any text that a client sent."""

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give the name behind a USERHASH (RFC 8489, section 14.4) if it is known here."""

    def quota_name(self, username: str) -> str:
        """Give the name that a user's allocations are counted under."""


def unfit(username: str) -> Unknown | None:
    """Say what makes ``username`` no user name at all; None if it may be one."""
    if not username or _UNFIT.search(username):
        return Unknown("malformed user name")
    if len(username.encode()) > _LONGEST_NAME:
        return Unknown("user name too long")
    return None


def _prepared(username: str) -> str | None:
    """Give the name as OpaqueString (RFC 8265, section 4.2), or None if it cannot be one."""
    if username.isascii():
        return username
    try:
        return opaque_string(username)
    except ValueError:
        return None


class StaticUsers:
    """
    The users of the configuration.

    Raises ValueError for a name, realm or password that can be none (RFC 8265, section 4.2).
    """

    def __init__(self, users: Iterable[StaticUser], realm: str) -> None:
        self._keys: dict[str, Key] = {}
        self._names: dict[bytes, str] = {}
        for user in users:
            try:
                name = opaque_string(user.name)
                self._keys[name] = _static_key(name, user, realm)
                self._names[userhash(name, realm)] = name
            except ValueError as error:
                raise ValueError(f"user {user.name!r}: {error}") from error

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of a configured user."""
        malformed = unfit(username)
        if malformed:
            return malformed
        name = _prepared(username)
        key = self._keys.get(name) if name is not None else None
        return key or Unknown("unknown user")

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give the configured user with this hash."""
        return self._names.get(userhash)

    def quota_name(self, username: str) -> str:
        """Give the name itself."""
        return username


def _static_key(name: str, user: StaticUser, realm: str) -> Key:
    if user.password is None:
        if user.md5_key is None or len(user.md5_key) != _MD5_LENGTH:
            raise ValueError("neither a password nor an MD5 key of 16 bytes")
        return Key(name, md5=user.md5_key)
    return _key(name, realm, user.password)


def _key(name: str, realm: str, password: str) -> Key:
    return Key(name, md5_key(name, realm, password), sha256_key(name, realm, password))


class SharedSecrets:
    """
    REST users: the name holds the time it expires, the password is a MAC over the name.

    Names are ``expiry``, ``expiry:id`` or ``id:expiry``; the digits decide which half is the time,
    and if both are digits it is the first. A name is good through the second it names, and is
    hashed as it came. Raises ValueError for a realm that can be none and for an empty separator.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        realm: str,
        separator: str = ":",
        digest: SecretDigest = SecretDigest.SHA1,
    ) -> None:
        opaque_string(realm)
        if not separator:
            raise ValueError("the separator between time and user is empty")
        self._realm = realm
        self._separator = separator
        self._digest = digest.value
        self._secrets: tuple[bytes, ...] = ()
        self.replace(secrets)

    def replace(self, secrets: Sequence[str]) -> None:
        """
        From now on exactly these secrets count.

        Whoever has some from the configuration and some from a database gives both. Name the
        newest first: each is tried in turn.
        """
        self._secrets = tuple(dict.fromkeys(secret.encode() for secret in secrets if secret))

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of a REST user: one for each secret, the others as alternatives."""
        malformed = unfit(username)
        if malformed:
            return malformed
        expiry, _ = self._split(username)
        if expiry is None:
            return Unknown("not a REST user name")
        if expiry < int(wall):
            return EXPIRED
        keys = [self._key(username, secret) for secret in self._secrets]
        if not keys:
            return Unknown("no shared secret")
        first, *others = keys
        return Key(first.username, first.md5, first.sha256, tuple(others))

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give None: REST names are not known before they are used."""
        return None

    def quota_name(self, username: str) -> str:
        """Give the name without its time; a name that is only a time stands for itself."""
        _, identity = self._split(username)
        return identity or username

    def _split(self, username: str) -> tuple[int | None, str]:
        first, _, rest = username.partition(self._separator)
        if _is_time(first):
            return int(first), rest
        identity, _, last = username.rpartition(self._separator)
        if identity and _is_time(last):
            return int(last), identity
        return None, username

    def _key(self, username: str, secret: bytes) -> Key:
        mac = hmac.digest(secret, username.encode(), self._digest)
        return _key(username, self._realm, b64encode(mac).decode())


def _is_time(text: str) -> bool:
    # str.isdigit alone also takes digits of other scripts.
    return text.isascii() and text.isdigit()


@dataclass(slots=True)
class _Known:
    key: Key
    learned_at: float
    userhash: bytes


class DatabaseUsers:
    """
    The users of a database, remembered for a while.

    A name that is not known is asked for once, by ``request``, and the answer comes by ``learned``
    or ``failed`` at some time after ``request`` has returned. A known user is served from memory;
    after ``ttl`` seconds the name is asked for again while the old keys go on serving, so that a
    changed password or a deleted user takes effect within seconds, and the database sees at most
    one question per name in that time. If the database fails, known users are served for 300
    seconds more. All tables are bounded; the oldest entry goes first, and names that do not exist
    never push out those that do.

    All times are wall-clock time. After a jump of the clock names are asked for again.
    """

    def __init__(self, realm: str, request: Callable[[str], None], ttl: float = 5.0) -> None:
        self._realm = realm
        self._request = request
        self._ttl = ttl
        self._now = 0.0
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._names: dict[bytes, str] = {}
        self._refused: OrderedDict[str, tuple[Unknown, float]] = OrderedDict()
        self._asked: set[str] = set()

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of a user, or PENDING if the database has to be asked first."""
        self._now = wall
        malformed = unfit(username)
        if malformed:
            return malformed
        name = _prepared(username)
        if name is None:
            return Unknown("malformed user name")
        known = self._known.get(name)
        refused = self._refusal(name)
        if known and abs(wall - known.learned_at) <= _GRACE:
            if not refused and not 0 <= wall - known.learned_at < self._ttl:
                self._ask(name)
            return known.key
        if refused:
            return refused
        return PENDING if self._ask(name) else Unknown("user database busy")

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give the name behind a hash if that user was here lately."""
        return self._names.get(userhash)

    def quota_name(self, username: str) -> str:
        """Give the name itself."""
        return username

    def learned(self, username: str, hmackey: bytes | None, now: float) -> None:
        """
        Take the database's answer: the user's key (16 bytes MD5, 32 bytes SHA-256), or None.

        Raises ValueError for a key of another length.
        """
        if hmackey is not None and len(hmackey) not in (_MD5_LENGTH, _SHA256_LENGTH):
            raise ValueError(f"the key of a user has {len(hmackey)} bytes")
        self._now = now
        self._asked.discard(username)
        self._refused.pop(username, None)
        self._forget(username)
        if hmackey is None:
            self._refuse(username, Unknown("unknown user"))
            return
        is_md5 = len(hmackey) == _MD5_LENGTH
        key = Key(username, md5=hmackey) if is_md5 else Key(username, sha256=hmackey)
        entry = _Known(key, now, userhash(username, self._realm))
        self._known[username] = entry
        self._names[entry.userhash] = username
        if len(self._known) > _KNOWN_USERS:
            self._forget(next(iter(self._known)))

    def failed(self, username: str) -> None:
        """Take note that the database gave no answer; it is not asked again for ``ttl``."""
        self._asked.discard(username)
        self._refuse(username, Unknown("user database unavailable"))

    def _ask(self, name: str) -> bool:
        """See to it that the name is asked for; say False if too many are already."""
        if name in self._asked:
            return True
        if len(self._asked) >= _QUESTIONS:
            return False
        self._asked.add(name)
        self._request(name)
        return True

    def _refuse(self, name: str, answer: Unknown) -> None:
        self._refused.pop(name, None)
        self._refused[name] = (answer, self._now)
        if len(self._refused) > _UNKNOWN_USERS:
            self._refused.popitem(last=False)

    def _refusal(self, name: str) -> Unknown | None:
        answer, since = self._refused.get(name, (None, 0.0))
        return answer if 0 <= self._now - since < self._ttl else None

    def _forget(self, name: str) -> None:
        entry = self._known.pop(name, None)
        if entry:
            self._names.pop(entry.userhash, None)


class StaticThenDatabase:
    """Users of the configuration and, for names that are not there, those of the database."""

    def __init__(self, static: StaticUsers, database: DatabaseUsers) -> None:
        self.static = static
        self.database = database

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of a user; the configuration wins where both know the name."""
        found = self.static.find(username, wall)
        return found if isinstance(found, Key) else self.database.find(username, wall)

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give the name behind a hash if either knows it."""
        return self.static.find_userhash(userhash) or self.database.find_userhash(userhash)

    def quota_name(self, username: str) -> str:
        """Give the name itself."""
        return username


def from_settings(
    settings: CredentialSettings, realm: str, request: Callable[[str], None]
) -> Credentials:
    """
    Give the credentials that ``settings`` ask for.

    With REST credentials no other user exists, and secrets of a database are brought by
    ``SharedSecrets.replace``. Otherwise, with a database, ``request`` is called for each name to
    ask for, and the answer goes to ``StaticThenDatabase.database``.
    """
    if settings.use_secrets:
        return SharedSecrets(settings.secrets, realm, settings.separator, settings.secret_digest)
    static = StaticUsers(settings.users, realm)
    if not settings.database:
        return static
    return StaticThenDatabase(static, DatabaseUsers(realm, request))
