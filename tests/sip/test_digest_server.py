"""Tests of b2bua.sip.digest_server."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.digest import Algorithm, DigestClient, Login
from b2bua.sip.digest_server import DigestServer, NotAuthenticated
from b2bua.sip.grammar import quote
from b2bua.sip.headers import parse_challenge, parse_credentials
from b2bua.sip.message import Request
from tests.sip.exchanges import UDP, answer, counted, request

REALM = 'phones "here"'
NOW = 1_000_000.5
PASSWORDS = {"alice": "open sesame", "ünï": "pä"}


def secret_of(username: str, algorithm: Algorithm) -> str | None:
    password = PASSWORDS.get(username)
    return None if password is None else algorithm.secret(username, REALM, password)


def salts() -> Callable[[int], bytes]:
    words = counted("")
    return lambda length: words().encode().rjust(length, b"s")


def new_server(key: bytes = b"k" * 32, limit: int = 100, **other: float) -> DigestServer:
    return DigestServer(REALM, key, salts(), limit=limit, **other)


class Phone:
    """A phone that knows a password, and is challenged."""

    def __init__(self, username: str = "alice", password: str = "open sesame") -> None:
        login = Login(username, password)
        self.client = DigestClient(lambda realm, hop: login, counted("c"))

    def challenged(self, server: DigestServer, now: float = NOW) -> Request:
        ours = request("REGISTER", uri="sip:example.com")
        return self.client.answer(ours, answer(ours, 401, *server.challenges(now)), UDP, 2)

    def next(self) -> Request:
        message = request("REGISTER", uri="sip:example.com")
        self.client.authorize(message, UDP)
        return message


def changed(message: Request, name: str, value: str) -> Request:
    """The same request with one of its credentials changed on the way."""
    credentials = parse_credentials(message.get_rows("Authorization")[0])
    parameters = credentials.parameters.with_value(name, value)
    again = Request(message.method, message.uri, message.headers, message.body)
    again.replace("Authorization", f"Digest {str(parameters)[1:].replace(';', ', ')}")
    return again


class DigestServerTests(SynchronousTestCase):
    """Who is believed."""

    def refused(self, server: DigestServer, message: Request, now: float = NOW) -> tuple[str, bool]:
        error = self.assertRaises(NotAuthenticated, server.authenticate, message, secret_of, now)
        return (error.reason, error.stale)

    def test_challenges(self) -> None:
        """SHA-256 and MD5 are both offered, SHA-256 first, with qop and one nonce."""
        (name, first), (_, second) = new_server().challenges(NOW)
        self.assertEqual(name, "WWW-Authenticate")
        offered = [parse_challenge(value) for value in (first, second)]
        self.assertEqual([c.text("algorithm") for c in offered], ["SHA-256", "MD5"])
        self.assertEqual([c.text("realm") for c in offered], [REALM, REALM])
        self.assertEqual([c.text("qop") for c in offered], ["auth", "auth"])
        self.assertEqual(len({c.text("nonce") for c in offered}), 1)
        self.assertIsNone(offered[0].text("stale"))

    def test_stale_is_said(self) -> None:
        """A challenge for a nonce that grew old says so."""
        for _, value in new_server().challenges(NOW, stale=True):
            self.assertEqual(parse_challenge(value).text("stale"), "true")

    def test_nonces_differ(self) -> None:
        """No two challenges share a nonce, be they of the same moment."""
        server = new_server()
        nonces = {
            parse_challenge(value).text("nonce")
            for _ in range(3)
            for _, value in server.challenges(NOW)
        }
        self.assertEqual(len(nonces), 3)

    def test_right_password(self) -> None:
        """Whoever proves the password is believed, in UTF-8 too, with each algorithm."""
        for username, password in PASSWORDS.items():
            for algorithm in (Algorithm.MD5, Algorithm.SHA_256):
                server = DigestServer(REALM, b"k" * 32, salts(), algorithms=[algorithm])
                message = Phone(username, password).challenged(server)
                self.assertEqual(server.authenticate(message, secret_of, NOW + 1), username)

    def test_wrong(self) -> None:
        """A wrong password and an unknown user are challenged again, and nothing is stale."""
        server = new_server()
        for phone, reason in ((Phone(password="guess"), "password"), (Phone("bob"), "user")):
            message = phone.challenged(server)
            self.assertEqual(self.refused(server, message), (reason, False))

    def test_nothing_to_judge(self) -> None:
        """Without credentials of our realm there is nothing to judge."""
        server = new_server()
        for headers, reason in (
            ((), "missing"),
            ((("Authorization", 'Digest realm="elsewhere", nonce="n"'),), "realm"),
            ((("Authorization", f"Basic realm={quote(REALM)}"),), "realm"),
            ((("Authorization", "Digest realm"),), "malformed"),
        ):
            message = request("REGISTER", *headers)
            self.assertEqual(self.refused(server, message), (reason, False))

    def test_incomplete(self) -> None:
        """Credentials without qop, count, cnonce, URI or nonce prove nothing."""
        server = new_server()
        message = Phone().challenged(server)
        for name, value in (
            ("qop", "auth-int"),
            ("nc", "1"),
            ("nc", "0000000g"),
            ("cnonce", '""'),
            ("uri", '""'),
            ("nonce", '""'),
        ):
            self.assertEqual(
                self.refused(server, changed(message, name, value)), ("malformed", False)
            )
        odd = changed(message, "algorithm", "MD5-sess")
        self.assertEqual(self.refused(server, odd), ("algorithm", False))

    def test_any_change_is_seen(self) -> None:
        """Whatever is hashed cannot be changed on the way."""
        server = new_server()
        message = Phone().challenged(server)
        for name, value in (
            ("uri", '"sip:other"'),
            ("nc", "00000002"),
            ("cnonce", '"x"'),
            ("username", '"ünï"'),
            ("response", '"\u00e9"'),
        ):
            self.assertEqual(
                self.refused(server, changed(message, name, value)), ("password", False), name
            )
        message.method = "INVITE"
        self.assertEqual(self.refused(server, message), ("password", False))

    def test_client(self) -> None:
        """A nonce is good for the client that it was made for; of others' nothing is looked at."""
        server = new_server()
        message = Phone().challenged(server)
        with self.assertRaises(NotAuthenticated) as caught:
            server.authenticate(message, lambda user, algorithm: self.fail(), NOW, client="b")
        self.assertEqual((caught.exception.reason, caught.exception.stale), ("nonce", True))

    def test_count(self) -> None:
        """Each count of a nonce is good once; the next is good, an older one is stale."""
        server = new_server()
        phone = Phone()
        first = phone.challenged(server)
        second, third = phone.next(), phone.next()
        server.authenticate(first, secret_of, NOW)
        self.assertEqual(self.refused(server, first), ("replay", True))
        server.authenticate(third, secret_of, NOW)
        self.assertEqual(self.refused(server, second), ("replay", True))

    def test_age(self) -> None:
        """A nonce that has grown old is stale, for those who know the password only."""
        server = new_server(lifetime=60.0)
        message = Phone().challenged(server)
        self.assertEqual(self.refused(server, message, NOW + 62), ("stale", True))
        wrong = Phone(password="guess").challenged(server)
        self.assertEqual(self.refused(server, wrong, NOW + 62), ("password", False))
        server.authenticate(message, secret_of, NOW + 59)

    def test_restart(self) -> None:
        """A nonce of another key, as after a restart, costs one silent round, no question."""
        message = Phone().challenged(new_server(b"old" * 10))
        self.assertEqual(self.refused(new_server(), message), ("nonce", True))

    def test_whole_way(self) -> None:
        """A phone whose nonce grew old is told so, answers again, and is believed."""
        server = new_server(lifetime=60.0)
        phone = Phone()
        server.authenticate(phone.challenged(server), secret_of, NOW)
        later = phone.next()
        self.assertEqual(self.refused(server, later, NOW + 100), ("stale", True))
        response = answer(later, 401, *server.challenges(NOW + 100, stale=True))
        again = phone.client.answer(later, response, UDP, 3)
        self.assertEqual(server.authenticate(again, secret_of, NOW + 100), "alice")

    def test_memory(self) -> None:
        """Counts are kept for nonces in use, dropped with them, and never more than so many."""
        server = new_server(limit=10, lifetime=60.0)
        for n in range(30):
            moment = NOW + n
            server.authenticate(Phone().challenged(server, moment), secret_of, moment)
            self.assertLessEqual(len(server._counts), 10)
        server.authenticate(Phone().challenged(server, NOW + 500), secret_of, NOW + 500)
        self.assertEqual(len(server._counts), 1)

    def test_forgotten_is_not_replayed(self) -> None:
        """What was dropped for lack of room is stale, not good again."""
        server = new_server(limit=2)
        first = Phone().challenged(server)
        server.authenticate(first, secret_of, NOW)
        for n in range(1, 4):
            server.authenticate(Phone().challenged(server, NOW + n), secret_of, NOW + n)
        self.assertEqual(self.refused(server, first, NOW + 5), ("stale", True))

    @given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
    def test_any_nonce(self, nonce: str) -> None:
        """Any text in place of a nonce is refused, and nothing else is raised."""
        server = new_server()
        message = Phone().challenged(server)
        self.refused(server, changed(message, "nonce", quote(nonce)))
        self.assertIsNone(server._time_of(nonce, ""))
