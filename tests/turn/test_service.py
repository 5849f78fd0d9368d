from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, capturedLogs, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from suite.web.credentials import rest_credential
from tests.turn.relay import (
    PEER,
    REALM,
    RELAY,
    SERVER,
    UDP_TRANSPORT,
    Client,
    NotingPlane,
    Path,
    code,
    default_settings,
)
from turn.address_range import parse_address_range
from turn.events import AllocationEnded, Event
from turn.five_tuple import FiveTuple, Transport
from turn.net.external_address import ExternalAddressFinder
from turn.net.service import TurnService
from turn.net.userdb import UserDatabaseError
from turn.net.userlists import DatabaseLists
from turn.settings import (
    CredentialSettings,
    PasswordAlgorithm,
    PeerSettings,
    StaticUser,
    TurnSettings,
)
from turn.stun.attributes import Attribute, pack_xor_address, unpack_xor_address
from turn.stun.integrity import md5_key
from turn.stun.message import Class, Message, Method, decode, encode

WALL = 1_700_000_000.0


class AnsweringPath(Path):
    """A path that keeps what is sent to it."""

    def __init__(self, port: int, transport: Transport = Transport.UDP) -> None:
        super().__init__(("203.0.113.9", port), transport)
        self.answers: list[bytes] = []

    def send_control(self, message: bytes) -> None:
        self.answers.append(message)


class ServiceRelay:
    """Lets the clients of ``tests.turn.relay`` talk to a whole service."""

    def __init__(self, service: TurnService) -> None:
        self.service = service

    def send(self, data: bytes, path: Path) -> Message | None:
        assert isinstance(path, AnsweringPath)
        self.service.control(data, path)
        return decode(path.answers.pop()) if path.answers else None

    def client(self, port: int = 5000, **keywords: object) -> Client:
        return Client(self, AnsweringPath(port), **keywords)  # type: ignore[arg-type]


class Database:
    """A user database that answers when told to."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, Deferred[bytes | None]]] = []
        self.rules: tuple[list[str], list[str]] = ([], [])
        self.secret_list: list[str] = []
        self.broken = False

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def find_user(self, name: str) -> Deferred[bytes | None]:
        answer: Deferred[bytes | None] = Deferred()
        self.questions.append((name, answer))
        return answer

    def secrets(self) -> Deferred[list[str]]:
        return succeed(self.secret_list)

    def peer_rules(self) -> Deferred[tuple[list[str], list[str]]]:
        return fail(UserDatabaseError("locked")) if self.broken else succeed(self.rules)


class ServiceTests(SynchronousTestCase):
    """The relay's Twisted shell: its timer, reload, streams and user database."""

    def service(
        self, settings: TurnSettings | None = None, database: Database | None = None
    ) -> TurnService:
        self.clock = Clock()
        self.plane = NotingPlane()
        self.events: list[Event] = []
        lists = None
        if database is not None:
            lists = DatabaseLists(
                database,  # type: ignore[arg-type]
                self.clock,
                lambda: WALL + self.clock.seconds(),
            )
        service = TurnService(
            settings or default_settings(),
            self.plane,
            [SERVER],
            self.clock,
            lambda: WALL + self.clock.seconds(),
            self.events.append,
            database=lists,
        )
        service.start()
        self.addCleanup(service.stop)
        return service

    def test_relays_on_the_addresses_it_listens_on(self) -> None:
        """Without relay-ip the relayed address is the one that the client reached."""
        relay = ServiceRelay(self.service())
        self.assertEqual(code(relay.client().allocate()), 0)
        self.assertEqual([host for host, _ in self.plane.bound.values()], [RELAY])

    def test_ends_allocations_in_time(self) -> None:
        """The timer does it; nobody has to ask."""
        relay = ServiceRelay(self.service())
        relay.client().allocate()
        self.clock.pump([1.0] * 602)
        self.assertEqual(self.plane.bound, {})

    def test_stopping_ends_everything(self) -> None:
        """No port and no timer is left."""
        service = self.service()
        ServiceRelay(service).client().allocate()
        service.stop()
        self.assertEqual(self.plane.bound, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reload_takes_over_users_rules_and_quotas(self) -> None:
        """A removed user is refused from then on, a new peer rule holds, a quota counts."""
        service = self.service()
        relay = ServiceRelay(service)
        alice = relay.client()
        bob = relay.client(port=5001, username="bob", password="builder")
        for client in (alice, bob):
            self.assertEqual(code(client.allocate()), 0)
        users = CredentialSettings(users=(StaticUser("bob", "builder"),))
        denied = PeerSettings(denied=(parse_address_range("8.8.8.8"),))
        service.reload(default_settings(credentials=users, peers=denied, user_quota=1))
        self.assertEqual(code(alice.refresh()), 401)
        self.assertEqual(code(bob.refresh()), 0)
        self.assertEqual(code(bob.permit(PEER)), 403)
        second = relay.client(port=5002, username="bob", password="builder")
        self.assertEqual(code(second.allocate()), 486)

    def test_reload_takes_over_limits(self) -> None:
        """Lifetimes, caps and rates count from then on."""
        service = self.service()
        relay = ServiceRelay(service)
        client = relay.client()
        client.allocate()
        service.reload(default_settings(max_lifetime=60, max_permissions=1, unauthorized_rate=2))
        lifetime = client.refresh(3600).first(Attribute.LIFETIME)
        self.assertEqual(lifetime, (60).to_bytes(4, "big"))
        self.assertEqual(code(client.permit(PEER, ("9.9.9.9", 1))), 508)
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT])
        answers = [relay.send(request, AnsweringPath(9)) for _ in range(3)]
        self.assertIsNone(answers[-1])

    def test_reload_is_whole_or_not_at_all(self) -> None:
        """Users that cannot be taken over leave limits and rules as they were, too."""
        service = self.service()
        client = ServiceRelay(service).client()
        client.allocate()
        users = CredentialSettings(users=(StaticUser("alice", "wo\u00b7rd"),))
        denied = PeerSettings(denied=(parse_address_range("8.8.8.8"),))
        settings = default_settings(credentials=users, peers=denied, max_lifetime=60)
        self.assertRaises(ValueError, service.reload, settings)
        self.assertEqual(code(client.permit(PEER)), 0)
        lifetime = client.refresh(3600).first(Attribute.LIFETIME)
        self.assertEqual(lifetime, (3600).to_bytes(4, "big"))

    def test_a_stream_that_goes_takes_its_allocation_along(self) -> None:
        """The plane's ports are free and the end says why."""
        service = self.service()
        path = AnsweringPath(5000, Transport.TCP)
        client = Client(ServiceRelay(service), path)  # type: ignore[arg-type]
        client.allocate()
        service.disconnected(path, "client disconnected")
        self.assertEqual(self.plane.bound, {})
        (ended,) = [e for e in self.events if isinstance(e, AllocationEnded)]
        self.assertEqual(ended.reason, "client disconnected")

    def test_the_end_of_an_older_stream_takes_nothing_of_the_newer(self) -> None:
        """Two streams that a proxy announces alike: the allocation is the last one's."""
        service = self.service()
        five_tuple = FiveTuple(Transport.TCP, ("203.0.113.9", 5000), SERVER)
        older = service.stream_client(five_tuple)
        client = Client(ServiceRelay(service), AnsweringPath(5000, Transport.TCP))  # type: ignore[arg-type]
        client.allocate()
        newer = service.stream_client(five_tuple)
        self.assertEqual(code(client.allocate()), 0)
        service.disconnected(older, "client disconnected")
        self.assertEqual(len(service.allocations), 1)
        service.disconnected(newer, "client disconnected")
        self.assertEqual(len(service.allocations), 0)

    def test_a_stream_is_accepted_for_good_with_its_allocation(self) -> None:
        """The deadline for strangers is lifted, and is back when the allocation has ended."""
        service = self.service()
        five_tuple = FiveTuple(Transport.TCP, ("203.0.113.9", 5000), SERVER)
        stream = service.stream_client(five_tuple)
        transport = StringTransport()
        stream.makeConnection(transport)
        changes: list[bool] = []
        stream.authentication_changed = changes.append
        client = Client(ServiceRelay(service), AnsweringPath(5000, Transport.TCP))  # type: ignore[arg-type]
        client.allocate()
        self.clock.advance(60)
        self.assertFalse(transport.disconnecting)
        client.refresh(0)
        self.assertEqual(changes, [True, False])
        self.clock.advance(31)
        self.assertTrue(transport.disconnecting)
        stream.connectionLost()

    def test_asks_the_database_once_and_answers_then(self) -> None:
        """The request waits, whatever is retransmitted; then there is one response."""
        database = Database()
        settings = default_settings(
            credentials=CredentialSettings(database="x", algorithms=(PasswordAlgorithm.MD5,))
        )
        service = self.service(settings, database)
        client = ServiceRelay(service).client()
        client.challenge()
        request = client.build(Method.ALLOCATE, [UDP_TRANSPORT])
        path = client.path
        assert isinstance(path, AnsweringPath)
        for _ in range(3):
            service.control(request, path)
        ((name, answer),) = database.questions
        self.assertEqual((name, path.answers), ("alice", []))
        answer.callback(md5_key("alice", REALM, "wonderland"))
        (response,) = path.answers
        self.assertEqual(code(decode(response)), 0)

    def test_a_database_user_of_an_old_allocation_is_looked_up_once_after_a_reload(self) -> None:
        """However long ago the allocation began, one question gives the key anew."""
        database = Database()
        settings = default_settings(
            credentials=CredentialSettings(database="x", algorithms=(PasswordAlgorithm.MD5,)),
            nonce_lifetime=0,
        )
        service = self.service(settings, database)
        client = ServiceRelay(service).client()
        client.challenge()
        path = client.path
        assert isinstance(path, AnsweringPath)
        key = md5_key("alice", REALM, "wonderland")
        for method, attributes in ((Method.ALLOCATE, [UDP_TRANSPORT]), (Method.REFRESH, [])):
            service.control(client.build(method, attributes), path)
            ((_, answer),) = database.questions
            database.questions.clear()
            answer.callback(key)
            self.assertEqual(code(decode(path.answers.pop())), 0)
            self.clock.advance(400)
            service.reload(settings)
        self.assertEqual(database.questions, [])

    def test_a_request_dies_with_the_stream_that_it_came_by(self) -> None:
        """A client that leaves before the database has answered leaves no allocation behind."""
        database = Database()
        settings = default_settings(
            credentials=CredentialSettings(database="x", algorithms=(PasswordAlgorithm.MD5,))
        )
        service = self.service(settings, database)
        path = AnsweringPath(5000, Transport.TCP)
        client = Client(ServiceRelay(service), path)  # type: ignore[arg-type]
        client.challenge()
        service.control(client.build(Method.ALLOCATE, [UDP_TRANSPORT]), path)
        service.disconnected(path, "client disconnected")
        database.questions[0][1].callback(md5_key("alice", REALM, "wonderland"))
        self.assertEqual((len(service.allocations), path.answers), (0, []))

    def test_a_broken_database_refuses_and_says_so_once(self) -> None:
        """Strangers get 401, the log one line, health a complaint, and the relay goes on."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        database = Database()
        settings = default_settings(credentials=CredentialSettings(database="x"))
        service = self.service(settings, database)
        client = ServiceRelay(service).client()
        client.challenge()
        path = client.path
        assert isinstance(path, AnsweringPath)
        service.control(client.build(Method.ALLOCATE, [UDP_TRANSPORT]), path)
        database.questions[0][1].errback(UserDatabaseError("locked"))
        self.assertEqual(code(decode(path.answers.pop())), 401)
        database.broken = True
        self.clock.pump([5.0] * 3)
        said = [event for event in logged if "cannot be read" in event["log_format"]]
        self.assertEqual(len(said), 1)
        self.assertIn("locked", service.complaint)
        database.broken = False
        self.clock.advance(5)
        self.assertEqual(service.complaint, "")

    def test_secrets_of_the_database_outlive_a_reload(self) -> None:
        """They count beside those of the configuration, at once, also after a reload."""
        database = Database()
        database.secret_list = ["north wind"]
        users = CredentialSettings(database="x", use_secrets=True, secrets=("south wind",))
        settings = default_settings(credentials=users)
        service = self.service(settings, database)
        service.reload(replace(settings, user_quota=9))
        relay = ServiceRelay(service)
        for port, secret in enumerate(("north wind", "south wind", "no wind"), 5000):
            page = rest_credential(secret, int(WALL) + 60, "alice")
            client = relay.client(port, username=page.username, password=page.password)
            self.assertEqual(code(client.allocate()), 401 if secret == "no wind" else 0)

    def test_a_malformed_rule_of_the_database_leaves_the_others_in_force(self) -> None:
        """One typing error opens nothing that other rules close, and is logged once."""
        database = Database()
        database.rules = ([], ["10.0.0.0-", "8.8.8.8", "::ffff:9.9.9.9"])
        service = self.service(
            default_settings(
                credentials=CredentialSettings(
                    database="x", users=(StaticUser("alice", "wonderland"),)
                )
            ),
            database,
        )
        client = ServiceRelay(service).client()
        client.allocate()
        with capturedLogs() as events:
            self.clock.advance(5)
        self.assertEqual(events, [])
        for denied in (PEER, ("9.9.9.9", 1)):
            self.assertEqual(code(client.permit(denied)), 403)

    def test_reads_rules_of_the_database_again(self) -> None:
        """Every five seconds; a failure in between leaves what was read last in force."""
        database = Database()
        database.rules = ([], ["8.8.8.8"])
        service = self.service(
            default_settings(
                credentials=CredentialSettings(
                    database="x", users=(StaticUser("alice", "wonderland"),)
                )
            ),
            database,
        )
        client = ServiceRelay(service).client()
        client.allocate()
        self.assertEqual(code(client.permit(PEER)), 403)
        database.broken = True
        self.clock.advance(5)
        self.assertEqual(code(client.permit(PEER)), 403)
        database.broken, database.rules = False, ([], [])
        self.clock.advance(5)
        self.assertEqual(code(client.permit(PEER)), 0)


class ExternalAddressTests(SynchronousTestCase):
    """external-ip = auto: asking a STUN server who we are."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.found: list[str] = []
        self.finder = ExternalAddressFinder(
            self,  # type: ignore[arg-type]
            self.reactor,
            self,  # type: ignore[arg-type]
            ("stun.example.org", 3478),
            "192.0.2.1",
        )

    def listenUDP(self, port: int, protocol: object, interface: str, size: int) -> None:
        self.finder.transport = self  # type: ignore[assignment]

    def getHostByName(self, name: str, timeout: object) -> Deferred[str]:
        return succeed("198.51.100.77")

    def write(self, data: bytes, target: tuple[str, int]) -> None:
        self.sent.append((data, target))

    def stopListening(self) -> None: ...

    def test_waits_for_a_port(self) -> None:
        """Without a UDP port the relay starts all the same, and it is tried again."""
        listen, self.listenUDP = self.listenUDP, self.refuse  # type: ignore[method-assign]
        self.finder.start(self.found.append)
        self.assertEqual(self.sent, [])
        self.listenUDP = listen  # type: ignore[method-assign]
        self.reactor.advance(30)
        self.assertEqual(len(self.sent), 1)

    def refuse(self, port: int, protocol: object, interface: str, size: int) -> None:
        raise CannotListenError(interface, port, OSError("no"))

    def answer(self, public: str, source: tuple[str, int] = ("198.51.100.77", 3478)) -> None:
        tid = decode(self.sent[-1][0]).transaction_id
        value = pack_xor_address((public, 1234), tid)
        data = encode(Method.BINDING, Class.SUCCESS, tid, [(Attribute.XOR_MAPPED_ADDRESS, value)])
        self.finder.datagramReceived(data, source)

    def test_finds_the_address_and_asks_again_later(self) -> None:
        """Ten minutes later a changed address is noticed."""
        self.finder.start(self.found.append)
        self.answer("9.9.9.9")
        self.reactor.advance(600)
        self.answer("8.8.4.4")
        self.assertEqual(self.found, ["9.9.9.9", "8.8.4.4"])
        self.finder.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_retransmits_and_then_waits(self) -> None:
        """Five sendings without an answer, then a pause of half a minute, then again."""
        self.finder.start(self.found.append)
        self.reactor.pump([0.5, 1, 2, 4, 8])
        self.assertEqual(len(self.sent), 5)
        self.reactor.advance(30)
        self.assertEqual(len(self.sent), 6)
        self.flushWarnings()

    def test_believes_nobody_else(self) -> None:
        """Another source, another transaction and junk are ignored."""
        self.finder.start(self.found.append)
        self.answer("6.6.6.6", ("203.0.113.66", 3478))
        self.finder.datagramReceived(b"junk", ("198.51.100.77", 3478))
        tid = b"x" * 12
        value = pack_xor_address(("6.6.6.6", 1), tid)
        forged = encode(Method.BINDING, Class.SUCCESS, tid, [(Attribute.XOR_MAPPED_ADDRESS, value)])
        self.finder.datagramReceived(forged, ("198.51.100.77", 3478))
        self.assertEqual(self.found, [])

    def test_the_relay_shows_what_was_found(self) -> None:
        """Allocations made from then on carry the public address."""
        clock, plane = Clock(), NotingPlane()
        service = TurnService(
            default_settings(external_auto=True),
            plane,
            [SERVER],
            clock,
            lambda: WALL,
            lambda event: None,
            finder=self.finder,
        )
        service.start()
        self.addCleanup(service.stop)
        self.answer("9.9.9.9")
        response = ServiceRelay(service).client().allocate()
        value = response.first(Attribute.XOR_RELAYED_ADDRESS) or b""
        self.assertEqual(unpack_xor_address(value, response.transaction_id)[0], "9.9.9.9")
