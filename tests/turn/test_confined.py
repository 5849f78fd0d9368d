"""Users of pages: what they reach, how much they may have, and who vouches for them."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from suite.web.credentials import (
    CONFINED_PAGE,
    CONFINED_SESSIONS,
    PAGE_ID,
    PAGE_QUOTA,
    SESSION_PREFIX,
    SESSION_QUOTA,
    VISITOR_QUOTA,
    PageCredentials,
    rest_credential,
    session_id,
    session_settings,
)
from tests.turn.relay import PEER, RELAY, SERVER, Client, NotingPlane, Relay, code, default_settings
from tests.turn.test_service import ServiceRelay
from turn.credentials import StaticUsers, Unknown
from turn.net.service import TurnService
from turn.settings import CredentialSettings, PeerSettings, StaticUser, TurnSettings
from turn.vouched import vouches, with_vouched

CONFINED = (CONFINED_PAGE, *CONFINED_SESSIONS)
SECRET = CredentialSettings(use_secrets=True, secrets=("north wind",))
USERS = CredentialSettings(users=(StaticUser("alice", "wonderland"),))
WALL = 1_700_000_000.0


@dataclass(frozen=True)
class Session:
    """One at the gateway."""

    sid: str
    user: str = "1001"
    host: str = "203.0.113.9"
    is_anonymous: bool = False


def settings(**changes: object) -> TurnSettings:
    """A relay with the gateway's users and a shared secret, and ports for many."""
    values = {"confined": CONFINED, "credentials": SECRET, "max_port": 50999}
    return default_settings(**(values | changes))


class Browsers:
    """Each allocation is of another port: by another URL, or of another browser."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._port = 5000

    def one(self, user_id: str) -> Client:
        """A client with a credential as pages get it."""
        self._port += 1
        wall = self.relay.wall
        credential = PageCredentials(self.relay.settings.credentials, lambda: wall).issue(user_id)
        assert credential is not None
        return self.relay.client(
            port=self._port, username=credential.username, password=credential.password
        )

    def fill(self, user_id: str, count: int) -> list[int]:
        """Make so many allocations; what became of each."""
        return [code(self.one(user_id).allocate()) for _ in range(count)]


class QuotaTests(SynchronousTestCase):
    """How many relays who may have."""

    def setUp(self) -> None:
        self.browsers = Browsers(Relay(settings()))

    def test_each_session_has_its_own(self) -> None:
        """Agents that sign in have relays each, however many they are together."""
        sessions = [session_id(Session(f"{number:032x}")) for number in range(60)]
        answers = [self.browsers.fill(one, 3) for one in sessions]
        self.assertEqual(answers, [[0, 0, 0]] * 60)
        self.assertEqual(self.browsers.relay.quota.in_use, 180)

    def test_a_session_has_no_more(self) -> None:
        """One that asks for too many is refused, and it alone."""
        one, other = (session_id(Session(sid)) for sid in ("one", "other"))
        answers = self.browsers.fill(one, SESSION_QUOTA + 1)
        self.assertEqual(answers, [0] * SESSION_QUOTA + [486])
        self.assertEqual(self.browsers.fill(other, 1), [0])

    def test_strangers_use_up_their_own(self) -> None:
        """Whoever opens the check page, or signs in as nobody, keeps nobody else out."""
        visitors = [session_id(Session(f"{n}", is_anonymous=True)) for n in range(VISITOR_QUOTA)]
        self.assertEqual(self.browsers.fill(PAGE_ID, PAGE_QUOTA + 1)[-2:], [0, 486])
        answers = [self.browsers.fill(one, 1) for one in visitors]
        self.assertEqual(answers, [[0]] * VISITOR_QUOTA)
        self.assertEqual(self.browsers.fill(visitors[0], 1), [486])
        self.assertEqual(self.browsers.fill(session_id(Session("agent")), 1), [0])
        elsewhere = Session("0", host="203.0.113.10", is_anonymous=True)
        self.assertEqual(self.browsers.fill(session_id(elsewhere), 1), [0])

    def test_a_network_of_addresses_is_one_visitor(self) -> None:
        """Of IPv6 a network counts, for anybody has all addresses of one."""
        hosts = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
        ids = {session_id(Session("", host=host, is_anonymous=True)) for host in hosts}
        self.assertEqual(len(ids), 2)


class ReachTests(SynchronousTestCase):
    """Whom they reach."""

    def test_only_this_server(self) -> None:
        """Relays and the gateway's media are open, nothing else."""
        peers = PeerSettings(open_ports=((RELAY, 36000, 36999),))
        browsers = Browsers(Relay(settings(peers=peers)))
        for one in (Session("agent"), Session("visitor", is_anonymous=True)):
            client = browsers.one(session_id(one))
            client.allocate()
            codes = [code(client.permit((RELAY, port))) for port in (36000, 36999, 37000, 50010)]
            self.assertEqual(codes, [0, 0, 403, 0])
            self.assertEqual(code(client.permit(PEER)), 403)
            self.assertEqual(code(client.bind(0x4000, PEER)), 403)

    def test_others_are_free(self) -> None:
        """A user of the operator's own, whose name is another one, is as free as ever."""
        client = Browsers(Relay(settings())).one("agent-1001")
        client.allocate()
        self.assertEqual(code(client.permit(PEER)), 0)


class SessionIdTests(SynchronousTestCase):
    """The names."""

    def test_names(self) -> None:
        """The DN can be read, the session's secret cannot; another session has another."""
        one, other = (session_id(Session(sid)) for sid in ("a" * 32, "b" * 32))
        self.assertTrue(one.startswith(f"{SESSION_PREFIX}1001-"))
        self.assertNotIn("a" * 8, one)
        self.assertNotEqual(one, other)

    def test_names_of_visitors(self) -> None:
        """A name that somebody anonymous made up is not in it, nor is the session."""
        names = {
            session_id(Session(sid, user=user, is_anonymous=True)) for sid in "ab" for user in "cd"
        }
        self.assertEqual(len(names), 1)


class VouchedTests(SynchronousTestCase):
    """A relay that knows no secret of others."""

    def test_when(self) -> None:
        """A shared secret goes first; and nobody vouches where there is no gateway."""
        for credentials, expected in (
            (USERS, True),
            (CredentialSettings(use_secrets=True, database="/users"), True),
            (SECRET, False),
            (CredentialSettings(anonymous=True), False),
        ):
            self.assertEqual(vouches(settings(credentials=credentials)), expected)
        self.assertFalse(vouches(settings(credentials=USERS, confined=(CONFINED_PAGE,))))

    def test_names_of_sessions_only(self) -> None:
        """The relay's own secret is good for sessions and for nobody else; users stay users."""
        wanted = settings(credentials=USERS)
        lists = with_vouched(StaticUsers(USERS.users, wanted.realm), wanted, "own")
        for identity, secret, known in (
            (f"{SESSION_PREFIX}1001-x", "own", True),
            (f"{SESSION_PREFIX}1001-x", "north wind", False),
            (PAGE_ID, "own", False),
            ("alice", "own", False),
        ):
            credential = rest_credential(secret, int(WALL) + 60, identity)
            relay = Relay(wanted, credentials=lists)
            relay.now = WALL - 1_700_000_000
            client = relay.client(username=credential.username, password=credential.password)
            self.assertEqual(code(client.allocate()), 0 if known else 401, (identity, secret))
        name = f"{int(WALL) + 60}:{SESSION_PREFIX}1001-x"
        self.assertEqual(lists.quota_name(name), f"{SESSION_PREFIX}1001-x")
        self.assertIsInstance(lists.find(f"{SESSION_PREFIX}1001-x", WALL), Unknown)
        alice = Relay(wanted, credentials=lists).client()
        self.assertEqual(code(alice.allocate()), 0)

    def test_service(self) -> None:
        """A relay with users only takes what it made for a session, after a reload too."""
        clock = Clock()
        wanted = settings(credentials=USERS)
        service = TurnService(
            wanted, NotingPlane(), [SERVER], clock, lambda: WALL, lambda event: None
        )
        service.start()
        self.addCleanup(service.stop)
        made = PageCredentials(session_settings(wanted, service.secret), lambda: WALL)
        credential = made.issue(session_id(Session("agent")))
        assert credential is not None
        words = {"username": credential.username, "password": credential.password}
        relay = ServiceRelay(service)
        first = relay.client(5000, **words)
        self.assertEqual(code(first.allocate()), 0)
        service.reload(wanted)
        self.assertEqual(code(first.refresh()), 0)
        self.assertEqual(code(relay.client(5001, **words).allocate()), 0)
        self.assertEqual(code(relay.client(5002).allocate()), 0)
