"""
coTURN's SQLite user database, read as it is and never written.

Every question runs in one worker thread of its own, so that neither a slow disk nor a writer that
holds the lock stops the reactor, and no other part of the process waits behind it. The database is
opened anew for each question: replacing the file needs no signal, and nothing stays open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_Answer = TypeVar("_Answer")
_Row = tuple[object, ...]

LOCK_TIMEOUT = 2.0
"""How many seconds a question waits for somebody who writes to the database."""

_KEY_LENGTHS = (16, 32)

_USER = "SELECT hmackey FROM turnusers_lt WHERE realm = ? AND name = ?"
_SECRETS = "SELECT value FROM turn_secret WHERE realm = ? ORDER BY rowid DESC"
_ALLOWED = "SELECT ip_range FROM allowed_peer_ip WHERE realm IN ('', ?) ORDER BY rowid"
_DENIED = "SELECT ip_range FROM denied_peer_ip WHERE realm IN ('', ?) ORDER BY rowid"


class UserDatabaseError(Exception):
    """The database gave no answer; the text names the file and says why."""


class UserDatabase:
    """
    Reads users, secrets and peer rules of one realm.

    Answers come in the reactor's thread, in the order of the questions; a question that cannot be
    answered fails with ``UserDatabaseError``. Nothing may be asked before ``start`` or after
    ``stop``. A ``pool`` that is handed in belongs to the caller, who starts and stops it.
    """

    def __init__(
        self,
        path: str,
        realm: str,
        reactor: IReactorFromThreads,
        pool: ThreadPool | None = None,
    ) -> None:
        self._path = path
        self._realm = realm
        self._reactor = reactor
        self._owns_pool = pool is None
        self._pool = pool or ThreadPool(1, 1, name="userdb")
        self._running = False

    def start(self) -> None:
        """Begin to answer. The file is not touched yet."""
        self._running = True
        if self._owns_pool:
            self._pool.start()

    def stop(self) -> Deferred[None]:
        """Answer what was asked, then end the thread. It fires when no thread is left."""
        if not self._running:
            return succeed(None)
        self._running = False
        # The pool's own stop waits for the thread, so it is called when the thread has nothing
        # left to do.
        ended: Deferred[None] = deferToThreadPool(self._reactor, self._pool, _nothing)
        return ended.addCallback(self._stop_pool)

    def find_user(self, name: str) -> Deferred[bytes | None]:
        """Give a user's key (16 bytes MD5, or 32 bytes SHA-256 of older releases), or None."""
        return self._ask(lambda database: self._user(database, name))

    def secrets(self) -> Deferred[list[str]]:
        """Give the shared secrets, the newest first."""
        return self._ask(lambda database: _texts(database, _SECRETS, self._realm))

    def peer_rules(self) -> Deferred[tuple[list[str], list[str]]]:
        """Give the allowed and the denied peer ranges, as the operator spelled them."""
        return self._ask(
            lambda database: (
                _texts(database, _ALLOWED, self._realm),
                _texts(database, _DENIED, self._realm),
            )
        )

    def _user(self, database: sqlite3.Connection, name: str) -> bytes | None:
        try:
            row: _Row | None = database.execute(_USER, (self._realm, name)).fetchone()
        except UnicodeEncodeError:
            # Half of a surrogate pair: no text of the database can equal it.
            return None
        return None if row is None else self._key(row[0], name)

    def _key(self, value: object, name: str) -> bytes:
        try:
            key = bytes.fromhex(str(value))
        except ValueError:
            key = b""
        if len(key) not in _KEY_LENGTHS:
            raise UserDatabaseError(f"user database {self._path}: bad hmackey of user {name!r}")
        return key

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> Deferred[_Answer]:
        if not self._running:
            return fail(UserDatabaseError(f"user database {self._path}: not started"))
        return deferToThreadPool(self._reactor, self._pool, self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Run in the worker thread."""
        uri = f"file:{quote(self._path)}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT)) as database:
                return question(database)
        except sqlite3.Error as error:
            raise UserDatabaseError(f"user database {self._path}: {error}") from error

    def _stop_pool(self, _: None) -> None:
        if self._owns_pool:
            self._pool.stop()


def _nothing() -> None:
    """Pass through the thread when all before it is done."""


def _texts(database: sqlite3.Connection, query: str, realm: str) -> list[str]:
    return [str(value) for (value,) in database.execute(query, (realm,))]
