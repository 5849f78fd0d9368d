"""
Keeps the relay's user lists fed from coTURN's user database.

Users are asked for one by one, when they first appear; secrets and peer rules are read every five
seconds, as coTURN does. While the database fails, what was read last goes on serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from turn.address_range import parse_address_range
from turn.credentials import Credentials, DatabaseUsers, SharedSecrets, StaticThenDatabase
from turn.net.userdb import UserDatabase, UserDatabaseError
from turn.settings import AddressRange

READ_AGAIN = 5.0


class DatabaseLists:
    """Secrets, peer rules and users of one database, for one relay."""

    log = Logger(namespace="turn")

    def __init__(
        self, database: UserDatabase, clock: IReactorTime, wall: Callable[[], float]
    ) -> None:
        self.allowed: tuple[AddressRange, ...] = ()
        self.denied: tuple[AddressRange, ...] = ()
        self.changed: Callable[[], None] = _nothing
        """Called when the peer rules are others than before."""
        self._database = database
        self._clock = clock
        self._wall = wall
        self._users: DatabaseUsers | None = None
        self._secrets: SharedSecrets | None = None
        self._own_secrets: tuple[str, ...] = ()
        self._read_secrets: tuple[str, ...] = ()
        self._timer: IDelayedCall | None = None
        self._running = False
        self.failure = ""
        """Why the database could not be read the last time; empty when it could."""
        self._malformed: set[str] = set()

    def attach(self, lists: Credentials, own_secrets: Sequence[str]) -> None:
        """Feed these lists; ``own_secrets`` are the configuration's and stay valid."""
        self._users = lists.database if isinstance(lists, StaticThenDatabase) else None
        self._secrets = lists if isinstance(lists, SharedSecrets) else None
        self._own_secrets = tuple(own_secrets)
        # Lists that a reload made are fed at once, not when the database is read the next time.
        self._take_secrets(self._read_secrets)

    def start(self) -> Deferred[None]:
        """Open the database and read it once."""
        self._running = True
        self._database.start()
        return self._read_again()

    def stop(self) -> Deferred[None] | None:
        """Read no more."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._database.stop()

    def ask(self, username: str, answered: Callable[[], None]) -> None:
        """Look up one user, then call ``answered``; the answer is in the attached list by then."""
        users = self._users
        if users is None:
            return
        answer = self._database.find_user(username)
        answer.addCallbacks(
            lambda key: users.learned(username, key, self._wall()),
            lambda failure: self._user_failed(users, username, failure),
        )
        answer.addCallback(lambda _: answered())
        answer.addErrback(lambda failure: self.log.failure("user database", failure))

    def _user_failed(self, users: DatabaseUsers, username: str, failure: Failure) -> None:
        self._note_failure(failure)
        users.failed(username)

    async def _read(self) -> None:
        try:
            if self._secrets is not None:
                self._take_secrets(await self._database.secrets())
            self._take_rules(await self._database.peer_rules())
        except UserDatabaseError:
            self._note_failure(Failure())
        else:
            self._note_success()
        if self._running:
            self._timer = self._clock.callLater(READ_AGAIN, self._read_again)

    def _read_again(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._read())

    def _take_secrets(self, secrets: Sequence[str]) -> None:
        self._read_secrets = tuple(secrets)
        if self._secrets is not None:
            self._secrets.replace((*self._own_secrets, *self._read_secrets))

    def _take_rules(self, rules: tuple[list[str], list[str]]) -> None:
        allowed, denied = (tuple(self._ranges(texts)) for texts in rules)
        if (allowed, denied) != (self.allowed, self.denied):
            self.allowed, self.denied = allowed, denied
            self.changed()

    def _ranges(self, texts: list[str]) -> Iterator[AddressRange]:
        """Read each rule for itself: one that is malformed must not open what the others close."""
        for text in texts:
            try:
                yield parse_address_range(text)
            except ValueError as error:
                if text not in self._malformed:
                    self._malformed.add(text)
                    self.log.error("user database: peer rule left out: {error}", error=error)

    def _note_success(self) -> None:
        if self.failure:
            self.failure = ""
            self.log.info("the user database can be read again")

    def _note_failure(self, failure: Failure) -> None:
        reason = failure.getErrorMessage()
        if reason != self.failure:
            self.failure = reason
            self.log.error(
                "the user database cannot be read, what was read before stays in force: {reason}",
                reason=reason,
            )


def _nothing() -> None:
    """Nobody wants to know."""
