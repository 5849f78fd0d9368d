"""Tests of turn.credentials."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import md5, sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.credentials import (
    PENDING,
    DatabaseUsers,
    Key,
    SharedSecrets,
    StaticThenDatabase,
    StaticUsers,
    Unknown,
    from_settings,
)
from turn.settings import CredentialSettings, PasswordAlgorithm, SecretDigest, StaticUser

REALM = "example.org"
NOW = 1_800_000_000.0
MD5_KEY = md5(b"alice:example.org:secret").digest()
SHA256_KEY = sha256(b"alice:example.org:secret").digest()
MALFORMED = ("", "a\r\nb", "a\x00", "\x1b[2J", "a\x7f", "a\x85b", "a\u2028b", "\ud800", "x" * 509)


class KeyTests(SynchronousTestCase):
    """Keys are chosen by algorithm and never shown."""

    def test_algorithms(self) -> None:
        """Each algorithm has its key, or none."""
        key = Key("alice", md5=b"m" * 16)
        self.assertEqual(key.for_algorithm(PasswordAlgorithm.MD5), b"m" * 16)
        self.assertIsNone(key.for_algorithm(PasswordAlgorithm.SHA256))

    def test_repr(self) -> None:
        """A key that is logged by mistake shows the name only."""
        key = Key("alice", b"m" * 16, b"s" * 32, (Key("alice", b"o" * 16),))
        self.assertEqual(repr(key), "Key(username='alice')")


class StaticUsersTests(SynchronousTestCase):
    """Users of the configuration."""

    def setUp(self) -> None:
        """One user with a password, one with a key, one with accents."""
        self.users = StaticUsers(
            [
                StaticUser("alice", password="secret"),
                StaticUser("bob", md5_key=b"k" * 16),
                StaticUser("Ren\u00e9", password="p"),
            ],
            REALM,
        )

    def test_password(self) -> None:
        """A password gives the keys of both algorithms."""
        self.assertEqual(self.users.find("alice", NOW), Key("alice", MD5_KEY, SHA256_KEY))

    def test_key(self) -> None:
        """An MD5 key serves MD5 alone."""
        self.assertEqual(self.users.find("bob", NOW), Key("bob", b"k" * 16))

    def test_unknown(self) -> None:
        """Others are unknown; case counts."""
        for name in ("Alice", "carol", "alice "):
            self.assertEqual(self.users.find(name, NOW), Unknown("unknown user"))

    def test_composed_and_decomposed(self) -> None:
        """The two spellings of an accent are one name (RFC 8265)."""
        composed, decomposed = self.users.find("Ren\u00e9", NOW), self.users.find("Rene\u0301", NOW)
        self.assertIsInstance(composed, Key)
        self.assertEqual(composed, decomposed)

    def test_userhash(self) -> None:
        """A user is found by the hash of name and realm."""
        digest = sha256(b"alice:example.org").digest()
        self.assertEqual(self.users.find_userhash(digest), "alice")
        self.assertIsNone(self.users.find_userhash(b"x" * 32))

    def test_malformed(self) -> None:
        """A name with controls or of the wrong length is none, whoever is configured."""
        for name in (*MALFORMED, "\u0378"):
            self.assertIsInstance(self.users.find(name, NOW), Unknown, name)
        self.assertEqual(self.users.quota_name("alice"), "alice")

    def test_bad_configuration(self) -> None:
        """A user without password and key, or with a name that can be none, is an error."""
        for user in (
            StaticUser("carol"),
            StaticUser("carol", md5_key=b"short"),
            StaticUser("", password="p"),
            StaticUser("a\x07b", password="p"),
        ):
            error = self.assertRaises(ValueError, StaticUsers, [user], REALM)
            self.assertIn(repr(user.name), str(error))

    def test_error_keeps_the_password(self) -> None:
        """The message about a password that can be none does not show it."""
        user = StaticUser("carol", password="hush\x07hush")
        error = self.assertRaises(ValueError, StaticUsers, [user], REALM)
        self.assertIn("carol", str(error))
        self.assertNotIn("hush", str(error))

    @given(st.text())
    def test_any_name(self, name: str) -> None:
        """Any text is answered."""
        self.assertIsInstance(self.users.find(name, NOW), Unknown)


def rest_keys(username: str, secret: str, digest: str = "sha1") -> tuple[bytes, bytes]:
    password = b64encode(hmac.digest(secret.encode(), username.encode(), digest))
    text = username.encode() + b":example.org:" + password
    return md5(text).digest(), sha256(text).digest()


class SharedSecretsTests(SynchronousTestCase):
    """REST users: the name says until when, the secret gives the password."""

    def test_known_password(self) -> None:
        """The key is that of the password base64(HMAC-SHA1(secret, name))."""
        name = "1800000100:alice"
        key = SharedSecrets(["s"], REALM).find(name, NOW)
        self.assertEqual(key, Key(name, *rest_keys(name, "s")))

    def test_sha256(self) -> None:
        """With the other digest it is HMAC-SHA256."""
        name = "1800000100:alice"
        secrets = SharedSecrets(["s"], REALM, ":", SecretDigest.SHA256)
        self.assertEqual(secrets.find(name, NOW), Key(name, *rest_keys(name, "s", "sha256")))

    def test_forms(self) -> None:
        """The time stands alone, before the user or after; the digits decide."""
        secrets = SharedSecrets(["s"], REALM)
        for name, expected in (
            ("1800000000", None),
            ("1800000000:alice", None),
            ("alice:1800000000", None),
            ("1800000000:@alice:example.org", None),
            ("@alice:example.org:1800000000", None),
            ("1800000000:1700000000", None),
            ("1800000000:", None),
            ("1799999999:alice", "expired"),
            ("alice:1799999999", "expired"),
            ("1799999999:1900000000", "expired"),
            ("1799999999", "expired"),
            ("0:alice", "expired"),
            ("alice", "not a REST user name"),
            (":1800000000", "not a REST user name"),
            ("alice:bob", "not a REST user name"),
            ("-1800000000:alice", "not a REST user name"),
            ("+1800000000", "not a REST user name"),
            (
                "\u0661\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
                "not a REST user name",
            ),
        ):
            found = secrets.find(name, NOW)
            reason = found.reason if isinstance(found, Unknown) else None
            self.assertEqual(reason, expected, name)

    def test_last_second(self) -> None:
        """A name is good through the second it names."""
        secrets = SharedSecrets(["s"], REALM)
        self.assertIsInstance(secrets.find("1800000000:a", NOW + 0.9), Key)
        self.assertEqual(secrets.find("1800000000:a", NOW + 1), Unknown("expired"))

    def test_separator(self) -> None:
        """Another separator takes the place of the colon."""
        secrets = SharedSecrets(["s"], REALM, "|")
        self.assertIsInstance(secrets.find("1800000000|a:b", NOW), Key)
        self.assertIsInstance(secrets.find("1800000000:a", NOW), Unknown)
        self.assertEqual(secrets.quota_name("1800000000|a:b"), "a:b")
        self.assertRaises(ValueError, SharedSecrets, ["s"], REALM, "")

    def test_several_secrets(self) -> None:
        """Each secret gives a key, in order; equal and empty ones do not count."""
        name = "1800000100:alice"
        key = SharedSecrets(["new", "old", "new", ""], REALM).find(name, NOW)
        assert isinstance(key, Key)
        keys = [(one.md5, one.sha256) for one in (key, *key.alternatives)]
        self.assertEqual(keys, [rest_keys(name, "new"), rest_keys(name, "old")])

    def test_replace(self) -> None:
        """After a replacement only the new secrets count."""
        name = "1800000100:alice"
        secrets = SharedSecrets([], REALM)
        self.assertEqual(secrets.find(name, NOW), Unknown("no shared secret"))
        secrets.replace(["one"])
        secrets.replace(["two"])
        self.assertEqual(secrets.find(name, NOW), Key(name, *rest_keys(name, "two")))

    def test_quota_name(self) -> None:
        """A user's names of different times count together; a bare time is its own name."""
        secrets = SharedSecrets(["s"], REALM)
        for name, user in (
            ("1800000000:alice", "alice"),
            ("1900000000:alice", "alice"),
            ("alice:1800000000", "alice"),
            ("1800000000:@alice:example.org", "@alice:example.org"),
            ("1800000000", "1800000000"),
            ("1800000000:", "1800000000:"),
            ("alice", "alice"),
        ):
            self.assertEqual(secrets.quota_name(name), user)

    def test_malformed(self) -> None:
        """Controls, half characters and overlong names are refused before any secret is used."""
        secrets = SharedSecrets(["s"], REALM)
        for name in MALFORMED:
            self.assertIsInstance(secrets.find(f"1900000000:{name}" if name else "", NOW), Unknown)

    def test_realm(self) -> None:
        """A realm that can be none is found out at once, not with the first user."""
        self.assertRaises(ValueError, SharedSecrets, ["s"], "a\x07b")

    def test_userhash(self) -> None:
        """Names that were never heard are not found by hash."""
        self.assertIsNone(SharedSecrets(["s"], REALM).find_userhash(b"x" * 32))

    @given(st.text())
    def test_any_name(self, name: str) -> None:
        """Any text is answered."""
        secrets = SharedSecrets(["s"], REALM)
        self.assertIsInstance(secrets.find(name, 10**600), Unknown)
        secrets.quota_name(name)


class DatabaseUsersTests(SynchronousTestCase):
    """Users of a database are remembered for a while."""

    def setUp(self) -> None:
        """Questions are kept in a list."""
        self.asked: list[str] = []
        self.users = DatabaseUsers(REALM, self.asked.append)

    def test_miss(self) -> None:
        """An unknown name is pending and asked for once; the answer serves."""
        for _ in range(3):
            self.assertIs(self.users.find("alice", NOW), PENDING)
        self.assertEqual(self.asked, ["alice"])
        self.users.learned("alice", MD5_KEY, NOW + 1)
        self.assertEqual(self.users.find("alice", NOW + 1), Key("alice", MD5_KEY))
        self.assertEqual(self.asked, ["alice"])

    def test_sha256_key(self) -> None:
        """A key of 32 bytes is the SHA-256 key."""
        self.users.learned("alice", SHA256_KEY, NOW)
        self.assertEqual(self.users.find("alice", NOW), Key("alice", sha256=SHA256_KEY))
        self.assertRaises(ValueError, self.users.learned, "alice", b"short", NOW)

    def test_no_such_user(self) -> None:
        """A name that the database does not know is refused, and asked for again later."""
        self.users.find("carol", NOW)
        self.users.learned("carol", None, NOW)
        self.assertEqual(self.users.find("carol", NOW + 4), Unknown("unknown user"))
        self.assertIs(self.users.find("carol", NOW + 5), PENDING)
        self.assertEqual(self.asked, ["carol", "carol"])

    def test_refresh(self) -> None:
        """An older entry goes on serving while it is asked for again, once."""
        self.users.learned("alice", MD5_KEY, NOW)
        self.users.find("alice", NOW + 4.9)
        self.assertEqual(self.asked, [])
        for _ in range(3):
            self.assertEqual(self.users.find("alice", NOW + 5), Key("alice", MD5_KEY))
        self.assertEqual(self.asked, ["alice"])
        self.users.learned("alice", b"n" * 16, NOW + 5.1)
        self.assertEqual(self.users.find("alice", NOW + 5.2), Key("alice", b"n" * 16))

    def test_deleted(self) -> None:
        """A user who is gone from the database is gone, by name and by hash."""
        self.users.learned("alice", MD5_KEY, NOW)
        self.users.find("alice", NOW + 6)
        self.users.learned("alice", None, NOW + 6)
        self.assertEqual(self.users.find("alice", NOW + 6), Unknown("unknown user"))
        self.assertIsNone(self.users.find_userhash(sha256(b"alice:example.org").digest()))

    def test_userhash(self) -> None:
        """Who was here lately is found by hash."""
        self.users.learned("alice", MD5_KEY, NOW)
        self.assertEqual(self.users.find_userhash(sha256(b"alice:example.org").digest()), "alice")

    def test_database_fails(self) -> None:
        """A known user is served for 300 s; the database is asked every few seconds."""
        self.users.learned("alice", MD5_KEY, NOW)
        for second in range(6, 300):
            before = len(self.asked)
            self.assertIsInstance(self.users.find("alice", NOW + second), Key, second)
            if len(self.asked) > before:
                self.users.failed("alice")
        self.assertEqual(len(self.asked), 59)
        self.users.find("alice", NOW + 301)
        self.users.failed("alice")
        self.assertEqual(self.users.find("alice", NOW + 301), Unknown("user database unavailable"))

    def test_failed_miss(self) -> None:
        """A new user is refused for a moment when the database fails, then asked for again."""
        self.users.find("alice", NOW)
        self.users.failed("alice")
        self.assertEqual(self.users.find("alice", NOW + 1), Unknown("user database unavailable"))
        self.assertIs(self.users.find("alice", NOW + 5), PENDING)
        self.users.learned("alice", MD5_KEY, NOW + 5)
        self.assertIsInstance(self.users.find("alice", NOW + 5), Key)

    def test_long_absent(self) -> None:
        """Who was not here for long is asked for before being served."""
        self.users.learned("alice", MD5_KEY, NOW)
        self.assertIs(self.users.find("alice", NOW + 301), PENDING)

    def test_clock_set_back(self) -> None:
        """After a small jump back the entry serves and is asked for; after a large one it waits."""
        self.users.learned("alice", MD5_KEY, NOW)
        self.assertIsInstance(self.users.find("alice", NOW - 100), Key)
        self.assertEqual(self.asked, ["alice"])
        self.assertIs(self.users.find("alice", NOW - 10_000), PENDING)

    def test_bounded(self) -> None:
        """Ten thousand users are remembered, the oldest goes; hashes go with them."""
        for number in range(10_001):
            self.users.learned(f"user{number}", MD5_KEY, NOW)
        self.assertEqual((len(self.users._known), len(self.users._names)), (10_000, 10_000))
        self.assertIs(self.users.find("user0", NOW), PENDING)
        self.assertIsInstance(self.users.find("user10000", NOW), Key)

    def test_invented_names(self) -> None:
        """A flood of names that do not exist is bounded and pushes out nobody."""
        self.users.learned("alice", MD5_KEY, NOW)
        for number in range(10_050):
            self.users.find(f"nobody{number}", NOW)
            self.users.learned(f"nobody{number}", None, NOW)
        self.assertEqual(len(self.users._refused), 10_000)
        self.assertIsInstance(self.users.find("alice", NOW), Key)

    def test_slow_database(self) -> None:
        """While a thousand names wait for the database, others are refused, not queued."""
        self.users.learned("alice", MD5_KEY, NOW)
        for number in range(1000):
            self.users.find(f"user{number}", NOW + 6)
        self.assertEqual(self.users.find("bob", NOW + 6), Unknown("user database busy"))
        self.assertIsInstance(self.users.find("alice", NOW + 6), Key)
        self.assertEqual(len(self.asked), 1000)

    def test_malformed(self) -> None:
        """The database is never asked about a name that is none."""
        for name in (*MALFORMED, "\u0378"):
            self.assertIsInstance(self.users.find(name, NOW), Unknown)
        self.assertEqual(self.asked, [])

    def test_quota_name(self) -> None:
        """Allocations count under the name as it is, digits or not."""
        self.assertEqual(self.users.quota_name("1800000000:bob"), "1800000000:bob")


class FromSettingsTests(SynchronousTestCase):
    """Which credentials the settings ask for."""

    def make(self, settings: CredentialSettings) -> object:
        return from_settings(settings, REALM, lambda name: None)

    def test_secrets_alone(self) -> None:
        """With REST credentials static users are not looked at."""
        settings = CredentialSettings(
            use_secrets=True,
            secrets=("s",),
            separator="|",
            secret_digest=SecretDigest.SHA256,
            users=(StaticUser("alice", "secret"),),
            database="/users",
        )
        found = self.make(settings)
        assert isinstance(found, SharedSecrets)
        self.assertEqual(found.find("alice", NOW), Unknown("not a REST user name"))
        name = "1900000000|a"
        self.assertEqual(found.find(name, NOW), Key(name, *rest_keys(name, "s", "sha256")))

    def test_static(self) -> None:
        """Without a database there are the static users."""
        found = self.make(CredentialSettings(users=(StaticUser("alice", "secret"),)))
        self.assertIsInstance(found, StaticUsers)

    def test_static_then_database(self) -> None:
        """A user of the configuration hides one of the database; the rest is asked for."""
        settings = CredentialSettings(users=(StaticUser("alice", "secret"),), database="/users")
        found = self.make(settings)
        assert isinstance(found, StaticThenDatabase)
        found.database.learned("alice", b"d" * 16, NOW)
        found.database.learned("bob", b"d" * 16, NOW)
        self.assertEqual(found.find("alice", NOW), Key("alice", MD5_KEY, SHA256_KEY))
        self.assertEqual(found.find("bob", NOW), Key("bob", b"d" * 16))
        self.assertIs(found.find("carol", NOW), PENDING)
        for name in ("alice", "bob"):
            digest = sha256(f"{name}:{REALM}".encode()).digest()
            self.assertEqual(found.find_userhash(digest), name)
        self.assertEqual(found.quota_name("1800000000:bob"), "1800000000:bob")
