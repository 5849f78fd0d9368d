"""Tests of turn.net.userdb."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from hashlib import md5
from pathlib import Path
from queue import Queue
from tempfile import mkdtemp
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from tests.programs import require_program
from turn.net import userdb
from turn.net.userdb import UserDatabase, UserDatabaseError

REALM = "example.org"
KEY = md5(b"alice:example.org:secret").digest()
SCHEMA = """
    CREATE TABLE turnusers_lt (realm varchar(127) default '', name varchar(512),
        hmackey char(128), PRIMARY KEY (realm,name));
    CREATE TABLE turn_secret (realm varchar(127) default '', value varchar(127),
        primary key (realm,value));
    CREATE TABLE allowed_peer_ip (realm varchar(127) default '', ip_range varchar(256),
        primary key (realm,ip_range));
    CREATE TABLE denied_peer_ip (realm varchar(127) default '', ip_range varchar(256),
        primary key (realm,ip_range));
"""


class QueueReactor:
    """A reactor whose thread is the test's: what other threads send waits until it is run."""

    def __init__(self) -> None:
        self.calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(
        self, call: Callable[..., object], *args: object, **keywords: object
    ) -> None:
        self.calls.put(lambda: call(*args, **keywords))

    def run_one(self) -> None:
        self.calls.get(timeout=20)()


class UserDatabaseTests(SynchronousTestCase):
    """Questions to a database as coTURN makes it."""

    def setUp(self) -> None:
        """A database with two realms, and a started reader of one."""
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "turndb"
        with closing(sqlite3.connect(self.path)) as database:
            database.executescript(SCHEMA)
            database.executemany(
                "INSERT INTO turnusers_lt VALUES (?, ?, ?)",
                [
                    (REALM, "alice", KEY.hex()),
                    ("other.org", "bob", KEY.hex()),
                    (REALM, "padded", KEY.hex() + " " * 96),
                    (REALM, "long", (KEY * 2).hex()),
                    (REALM, "broken", "0xzz"),
                    (REALM, "short", "0102"),
                    (REALM, "null", None),
                    (REALM, "it's %s", KEY.hex()),
                ],
            )
            database.executemany(
                "INSERT INTO turn_secret VALUES (?, ?)",
                [(REALM, "old"), ("other.org", "foreign"), (REALM, "new")],
            )
            database.executemany(
                "INSERT INTO allowed_peer_ip VALUES (?, ?)",
                [("", "10.0.0.1"), (REALM, "10.0.0.2-10.0.0.9"), ("other.org", "10.9.9.9")],
            )
            database.execute("INSERT INTO denied_peer_ip VALUES (?, ?)", (REALM, "11.0.0.0"))
            database.commit()
        self.reactor = QueueReactor()
        self.database = self.open(self.path)

    def open(self, path: Path, pool: ThreadPool | None = None) -> UserDatabase:
        reactor = cast(IReactorFromThreads, self.reactor)
        database = UserDatabase(str(path), REALM, reactor, pool)
        database.start()
        self.addCleanup(self.close, database)
        return database

    def close(self, database: UserDatabase) -> None:
        ended = database.stop()
        while not ended.called:
            self.reactor.run_one()
        self.successResultOf(ended)

    def answer(self, question: Deferred[bytes | None]) -> bytes | None:
        self.assertNoResult(question)
        self.reactor.run_one()
        return self.successResultOf(question)

    def error(self, question: Deferred[bytes | None]) -> str:
        self.reactor.run_one()
        return str(self.failureResultOf(question, UserDatabaseError).value)

    def test_user(self) -> None:
        """A user of the realm has a key; others are None."""
        self.assertEqual(self.answer(self.database.find_user("alice")), KEY)
        for name in ("bob", "carol", "ALICE", ""):
            self.assertIsNone(self.answer(self.database.find_user(name)), name)

    def test_forms_of_keys(self) -> None:
        """Padding of a fixed-width column does not count; older releases have SHA-256 keys."""
        self.assertEqual(self.answer(self.database.find_user("padded")), KEY)
        self.assertEqual(self.answer(self.database.find_user("long")), KEY * 2)

    def test_bad_key(self) -> None:
        """A key that is none is an error that names the user."""
        for name in ("broken", "short", "null"):
            self.assertIn(
                f"bad hmackey of user '{name}'", self.error(self.database.find_user(name))
            )

    def test_names_are_bound(self) -> None:
        """A name is data, whatever stands in it."""
        self.assertEqual(self.answer(self.database.find_user("it's %s")), KEY)
        for name in ("' OR '1'='1", "alice'--", "%", "a\x00b", "\ud800", "x" * 100_000):
            self.assertIsNone(self.answer(self.database.find_user(name)))

    def test_secrets(self) -> None:
        """The secrets of the realm, the newest first."""
        secrets = self.database.secrets()
        self.reactor.run_one()
        self.assertEqual(self.successResultOf(secrets), ["new", "old"])

    def test_peer_rules(self) -> None:
        """Peer rules of the realm and of all realms."""
        rules = self.database.peer_rules()
        self.reactor.run_one()
        expected = (["10.0.0.1", "10.0.0.2-10.0.0.9"], ["11.0.0.0"])
        self.assertEqual(self.successResultOf(rules), expected)

    def test_change_is_seen(self) -> None:
        """A user added by another program is found by the next question."""
        self.assertIsNone(self.answer(self.database.find_user("carol")))
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("INSERT INTO turnusers_lt VALUES (?, 'carol', ?)", (REALM, KEY.hex()))
            database.commit()
        self.assertEqual(self.answer(self.database.find_user("carol")), KEY)

    def test_missing_file(self) -> None:
        """A file that is not there is an error with its name, and is not made."""
        missing = self.folder / "missing"
        error = self.error(self.open(missing).find_user("alice"))
        self.assertEqual(error, f"user database {missing}: unable to open database file")
        self.assertFalse(missing.exists())

    def test_corrupt_file(self) -> None:
        """A file that is no database is an error."""
        self.path.write_bytes(b"not a database " * 100)
        self.assertIn("file is not a database", self.error(self.database.find_user("alice")))

    def test_missing_table(self) -> None:
        """A database of something else is an error that names the table."""
        empty = self.folder / "empty"
        empty.touch()
        self.assertIn("no such table: turnusers_lt", self.error(self.open(empty).find_user("a")))

    def test_locked(self) -> None:
        """A writer that does not end is an error after the time-out, and no longer afterwards."""
        self.patch(userdb, "LOCK_TIMEOUT", 0.0)
        with closing(sqlite3.connect(self.path)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            self.assertIn("database is locked", self.error(self.database.find_user("alice")))
        self.assertEqual(self.answer(self.database.find_user("alice")), KEY)

    def test_read_only(self) -> None:
        """No question can write."""

        def write(database: sqlite3.Connection) -> bytes | None:
            database.execute("DELETE FROM turnusers_lt")
            return None

        self.assertIn("readonly", self.error(self.database._ask(write)))

    def test_awkward_path(self) -> None:
        """Characters that mean something in a URI are only characters of the path."""
        awkward = self.folder / "a ?mode=rwc&x#%41"
        shutil.copy(self.path, awkward)
        self.assertEqual(self.answer(self.open(awkward).find_user("alice")), KEY)

    def test_own_thread(self) -> None:
        """Questions run in one thread, which is not the reactor's."""
        threads: list[threading.Thread] = []

        def note(database: sqlite3.Connection) -> bytes | None:
            threads.append(threading.current_thread())
            return None

        for _ in range(3):
            self.answer(self.database._ask(note))
        self.assertEqual(len(set(threads)), 1)
        self.assertNotIn(threading.current_thread(), threads)

    def test_slow_question_blocks_nobody(self) -> None:
        """Asking returns at once though the thread is busy, and answers keep their order."""
        gate = threading.Event()

        def wait(database: sqlite3.Connection) -> bytes | None:
            gate.wait(20)
            return b"waited"

        slow, quick = self.database._ask(wait), self.database.find_user("alice")
        self.assertNoResult(slow)
        self.assertNoResult(quick)
        gate.set()
        self.reactor.run_one()
        self.assertEqual(self.successResultOf(slow), b"waited")
        self.assertEqual(self.answer(quick), KEY)

    def test_stop(self) -> None:
        """What was asked is answered, then the thread is gone and questions fail."""
        question = self.database.find_user("alice")
        ended = self.database.stop()
        self.reactor.run_one()
        self.assertEqual(self.successResultOf(question), KEY)
        self.assertNoResult(ended)
        self.reactor.run_one()
        self.successResultOf(ended)
        self.assertFalse(any(thread.is_alive() for thread in self.database._pool.threads))
        late = self.failureResultOf(self.database.find_user("alice"), UserDatabaseError)
        self.assertIn("not started", str(late.value))
        self.successResultOf(self.database.stop())

    def test_pool_of_the_caller(self) -> None:
        """A pool that was handed in is used and left running."""
        pool = ThreadPool(1, 1)
        pool.start()
        self.addCleanup(pool.stop)
        database = self.open(self.path, pool)
        self.assertEqual(self.answer(database.find_user("alice")), KEY)
        self.close(database)
        self.assertEqual(len(pool.threads), 1)

    def test_made_by_turnadmin(self) -> None:
        """Users and secrets that turnadmin wrote are read, and its keys are right."""
        tool = require_program("turnadmin")
        made = str(self.folder / "made")
        for arguments in (
            ["-a", "-u", "alice", "-p", "secret"],
            ["-a", "-u", "Ren\u00e9", "-p", "p\u00e4ss"],
            ["-s", "north"],
        ):
            subprocess.run(
                [tool, *arguments, "-r", REALM, "-b", made], check=True, capture_output=True
            )
        database = self.open(Path(made))
        self.assertEqual(self.answer(database.find_user("alice")), KEY)
        accented = md5("Ren\u00e9:example.org:p\u00e4ss".encode()).digest()
        self.assertEqual(self.answer(database.find_user("Ren\u00e9")), accented)
        secrets = database.secrets()
        self.reactor.run_one()
        self.assertEqual(self.successResultOf(secrets), ["north"])
