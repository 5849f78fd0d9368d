from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from tests.turn.relay import (
    PEER,
    REALM,
    RELAY,
    RELAY6,
    UDP_TRANSPORT,
    Client,
    Path,
    Relay,
    code,
    default_settings,
)
from turn.allocation_table import MAX_RESERVATIONS_OF_ONE
from turn.data_plane import RelaySocketsExhausted
from turn.events import (
    AllocationCreated,
    AllocationEnded,
    AuthenticationFailed,
    ChallengeSuppressed,
    PeerDenied,
)
from turn.five_tuple import Transport
from turn.settings import (
    ConfinedUsers,
    CredentialSettings,
    ExternalAddress,
    PasswordAlgorithm,
    PeerSettings,
)
from turn.stun.attributes import (
    Attribute,
    pack_password_algorithms,
    unpack_address,
    unpack_error,
    unpack_unknown,
    unpack_xor_address,
)
from turn.stun.integrity import md5_key, userhash
from turn.stun.message import Class, Integrity, Message, Method, encode

IPV4 = b"\x01\0\0\0"
IPV6 = b"\x02\0\0\0"
ALICE = ConfinedUsers(name="alice", quota=2)
FAMILY = Attribute.REQUESTED_ADDRESS_FAMILY
ADDITIONAL = Attribute.ADDITIONAL_ADDRESS_FAMILY


def lifetime_of(response: Message) -> int:
    return int.from_bytes(response.first(Attribute.LIFETIME) or b"", "big")


def relayed(response: Message) -> list[tuple[str, int]]:
    values = response.all(Attribute.XOR_RELAYED_ADDRESS)
    return [unpack_xor_address(value, response.transaction_id) for value in values]


class BindingTests(SynchronousTestCase):
    """STUN Binding (RFC 8489, section 6; RFC 3489)."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.path = Path(("203.0.113.5", 4321))

    def binding(self, *attributes: tuple[int, bytes], **keywords: bool) -> Message | None:
        tid = b"t" * (16 if keywords.get("classic") else 12)
        data = encode(Method.BINDING, Class.REQUEST, tid, attributes, **keywords)
        return self.relay.send(data, self.path)

    def test_tells_the_client_its_address_and_nothing_else(self) -> None:
        """The response is XOR-MAPPED-ADDRESS alone, so that it hardly amplifies: 32 bytes."""
        data = encode(Method.BINDING, Class.REQUEST, b"t" * 12, [])
        response = self.relay.server.receive(data, self.path, 0, 0)
        assert response is not None
        self.assertEqual(len(response), 32)
        message = self.binding()
        assert message is not None
        value = message.first(Attribute.XOR_MAPPED_ADDRESS)
        assert value is not None
        self.assertEqual(unpack_xor_address(value, b"t" * 12), ("203.0.113.5", 4321))

    def test_answers_a_request_of_rfc_3489_in_its_own_form(self) -> None:
        """Without a cookie the answer is MAPPED-ADDRESS and echoes all 16 bytes of the id."""
        message = self.binding(classic=True)
        assert message is not None
        self.assertEqual(message.transaction_id, b"t" * 16)
        value = message.first(Attribute.MAPPED_ADDRESS)
        assert value is not None
        self.assertEqual(unpack_address(value), ("203.0.113.5", 4321))

    def test_rfc_3489_is_for_ipv4_only(self) -> None:
        """Over IPv6 a request without the cookie, which could only be a forged one, is ignored."""
        self.path = Path(("2001:db8::5", 4321))
        self.assertIsNone(self.binding(classic=True))
        self.assertIsNotNone(self.binding())

    def test_mirrors_fingerprint(self) -> None:
        """A request with FINGERPRINT gets one back; one without does not."""
        self.assertTrue(getattr(self.binding(fingerprint=True), "has_fingerprint"))  # noqa: B009
        self.assertFalse(getattr(self.binding(), "has_fingerprint"))  # noqa: B009

    def test_classic_answers_never_carry_fingerprint(self) -> None:
        """Where FINGERPRINT is always sent, a request of RFC 3489 is answered without one."""
        self.relay = Relay(default_settings(fingerprint=True))
        self.assertIsNotNone(self.binding(classic=True))
        self.assertTrue(getattr(self.binding(), "has_fingerprint"))  # noqa: B009

    def test_is_silent_when_another_address_should_answer(self) -> None:
        """CHANGE-REQUEST with a flag set gets no answer; with none it gets the usual one."""
        for flags in (2, 4, 6):
            self.assertIsNone(self.binding((Attribute.CHANGE_REQUEST, struct.pack("!I", flags))))

    def test_names_unknown_required_attributes(self) -> None:
        """420 lists each of them once."""
        message = self.binding((0x7FFE, b""), (0x7FFD, b""), (0x7FFE, b""), (0xFFFE, b""))
        assert message is not None
        self.assertEqual(code(message), 420)
        unknown = unpack_unknown(message.first(Attribute.UNKNOWN_ATTRIBUTES) or b"")
        self.assertEqual(unknown, [0x7FFE, 0x7FFD])

    def test_answers_one_source_only_so_often(self) -> None:
        """Beyond the rate a source gets silence; another source still gets answers."""
        relay = Relay(default_settings(binding_rate=5))
        data = encode(Method.BINDING, Class.REQUEST, b"t" * 12, [])
        answers = [relay.send(data, self.path) for _ in range(6)]
        self.assertEqual([answer is None for answer in answers], [False] * 5 + [True])
        self.assertIsNotNone(relay.send(data, Path(("203.0.113.6", 1))))

    def test_may_be_switched_off(self) -> None:
        """A relay without STUN answers no Binding."""
        relay = Relay(default_settings(stun=False))
        data = encode(Method.BINDING, Class.REQUEST, b"t" * 12, [])
        self.assertIsNone(relay.send(data, self.path))

    def test_may_need_authentication(self) -> None:
        """With secure-stun a Binding without credentials is challenged, with them answered."""
        relay = Relay(default_settings(authenticate_binding=True))
        client = relay.client()
        data = encode(Method.BINDING, Class.REQUEST, b"t" * 12, [])
        challenge = relay.send(data, client.path)
        assert challenge is not None
        self.assertEqual(code(challenge), 401)
        client.learn(challenge)
        self.assertEqual(code(client.request(Method.BINDING)), 0)

    def test_ignores_what_is_no_request(self) -> None:
        """Indications, responses and unknown methods get silence."""
        for method, message_class in (
            (Method.BINDING, Class.INDICATION),
            (Method.BINDING, Class.SUCCESS),
            (Method.BINDING, Class.ERROR),
            (Method.DATA, Class.INDICATION),
            (Method.CONNECT, Class.REQUEST),
            (0x0FF, Class.REQUEST),
        ):
            data = encode(method, message_class, b"t" * 12, [])
            self.assertIsNone(self.relay.send(data, self.path), (method, message_class))


class AuthenticationTests(SynchronousTestCase):
    """The long-term credential mechanism (RFC 8489, section 9.2)."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.client = self.relay.client()

    def test_challenges_a_request_without_credentials(self) -> None:
        """401 carries realm, nonce and the algorithms, no integrity, and is under 3.6 times."""
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT])
        raw = self.relay.server.receive(request, self.client.path, 0, self.relay.wall)
        assert raw is not None
        self.assertLessEqual(len(raw), 3.6 * len(request))
        challenge = self.client.challenge()
        self.assertEqual(code(challenge), 401)
        self.assertEqual(challenge.first(Attribute.REALM), REALM.encode())
        self.assertEqual(
            challenge.first(Attribute.PASSWORD_ALGORITHMS),
            pack_password_algorithms([(2, b""), (1, b"")]),
        )
        self.assertIsNone(challenge.integrity)

    def test_serves_every_kind_of_signed_request(self) -> None:
        """MD5 or SHA-256 keys under either integrity; the response is signed in kind."""
        for port, integrity in enumerate(Integrity, 6000):
            for offset, algorithm in enumerate((None, *PasswordAlgorithm)):
                client = self.relay.client(
                    port=port + 100 * offset, integrity=integrity, algorithm=algorithm
                )
                response = client.allocate()
                self.assertEqual(code(response), 0, (integrity, algorithm))
                self.assertIs(response.integrity, integrity)
                self.assertTrue(response.verify(client.key))

    def test_refuses_a_wrong_password_and_names_the_client(self) -> None:
        """401 again, and one event that says who, from where and why."""
        client = self.relay.client(password="guess")
        self.assertEqual(code(client.allocate()), 401)
        (failure,) = self.relay.events_of(AuthenticationFailed)
        assert isinstance(failure, AuthenticationFailed)
        self.assertEqual(failure.username, "alice")
        self.assertEqual(failure.client.client, ("203.0.113.9", 5000))

    def test_refuses_an_unknown_user(self) -> None:
        """A user who is in no list gets 401."""
        self.assertEqual(code(self.relay.client(username="mallory").allocate()), 401)

    def test_needs_all_of_name_realm_and_nonce(self) -> None:
        """Integrity without one of them is 400."""
        self.client.challenge()
        names = [
            (Attribute.USERNAME, b"alice"),
            (Attribute.REALM, REALM.encode()),
            (Attribute.NONCE, self.client.nonce),
        ]
        for missing in range(3):
            attributes = [UDP_TRANSPORT, *names[:missing], *names[missing + 1 :]]
            data = encode(
                Method.ALLOCATE, Class.REQUEST, b"t" * 12, attributes, key=self.client.key
            )
            self.assertEqual(code(self.relay.send(data, self.client.path)), 400, missing)

    def test_a_nonce_serves_only_the_address_it_was_made_for(self) -> None:
        """The nonce of one client is stale for another, and no user is looked up for it."""
        self.client.challenge()
        thief = self.relay.client(host="203.0.113.77", password="guess")
        thief.nonce = self.client.nonce
        self.assertEqual(code(thief.allocate()), 438)
        self.assertEqual(self.relay.events_of(AuthenticationFailed), [])

    def test_a_nonce_grows_stale(self) -> None:
        """After its life 438 brings a new one, with which the client goes on."""
        self.client.allocate()
        self.relay.now += 601
        response = self.client.permit(PEER)
        self.assertEqual(code(response), 438)
        self.assertIsNone(response.integrity)
        self.client.learn(response)
        self.assertEqual(code(self.client.permit(PEER)), 0)

    def test_a_forged_nonce_is_stale(self) -> None:
        """Any text but our own gets 438."""
        for nonce in (b"x", b"\xff\xfe", b"obMatJos2AAAA" + b"a" * 15, b"a" * 700):
            self.client.nonce = nonce
            self.assertEqual(code(self.client.allocate()), 438)
            self.client.path.five_tuple  # noqa: B018
            self.relay.now += 1

    def test_does_not_let_the_algorithms_be_bid_down(self) -> None:
        """A list that is not the one offered, or a choice without the list, is 400."""
        client = self.relay.client(algorithm=PasswordAlgorithm.MD5)
        client.challenge()
        client.offered = pack_password_algorithms([(1, b"")])
        self.assertEqual(code(client.allocate()), 400)
        client.offered = b""
        self.assertEqual(code(client.allocate()), 400)

    def test_finds_a_user_by_its_hash(self) -> None:
        """USERHASH stands for USERNAME."""
        self.client.challenge()
        data = encode(
            Method.ALLOCATE,
            Class.REQUEST,
            b"t" * 12,
            [
                UDP_TRANSPORT,
                (Attribute.USERHASH, userhash("alice", REALM)),
                (Attribute.REALM, REALM.encode()),
                (Attribute.NONCE, self.client.nonce),
            ],
            key=md5_key("alice", REALM, "wonderland"),
        )
        self.assertEqual(code(self.relay.send(data, self.client.path)), 0)

    def test_unauthenticated_replies_are_few(self) -> None:
        """Ten 401 a second for one source, then silence."""
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT])
        answers = [self.relay.send(request, self.client.path) for _ in range(11)]
        self.assertEqual([a is None for a in answers], [False] * 10 + [True])
        self.assertEqual(len(self.relay.events_of(ChallengeSuppressed)), 1)

    def test_a_request_without_attributes_is_ignored(self) -> None:
        """Over UDP a challenge for twenty bytes would amplify; over TCP nobody can be hit."""
        for method in (Method.ALLOCATE, Method.REFRESH, Method.CHANNEL_BIND):
            request = encode(method, Class.REQUEST, b"t" * 12, [])
            self.assertIsNone(self.relay.send(request, self.client.path))
            tcp = Path(("203.0.113.9", 5000), Transport.TCP)
            self.assertEqual(code(self.relay.send(request, tcp)), 401)

    def test_does_not_tell_whether_a_name_exists(self) -> None:
        """With reason phrases a wrong name and a wrong password get the same answer."""
        phrases = set()
        for name in ("alice", "nobody"):
            relay = Relay(default_settings(reason_phrases=True))
            answer = relay.client(username=name, password="wrong").allocate()
            phrases.add(unpack_error(answer.first(Attribute.ERROR_CODE) or b""))
        self.assertEqual(phrases, {(401, "Unauthorized: wrong credentials")})

    def test_so_are_refusals_of_what_is_signed_wrongly(self) -> None:
        """400 for a signature without name and nonce is no way around the budget."""
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT], key=b"k")
        answers = [self.relay.send(request, self.client.path) for _ in range(11)]
        self.assertEqual([a and code(a) for a in answers], [400] * 10 + [None])

    def test_authenticating_gives_the_budget_back(self) -> None:
        """Many clients behind one address who do authenticate are never starved."""
        for port in range(6000, 6040):
            self.assertEqual(code(self.relay.client(port=port).allocate()), 0)

    def test_a_stream_is_always_challenged(self) -> None:
        """A TCP source cannot be forged, so the budget is not for it."""
        path = Path(("203.0.113.9", 5000), Transport.TCP)
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT])
        self.assertEqual({code(self.relay.send(request, path)) for _ in range(30)}, {401})

    def test_another_user_cannot_use_an_allocation(self) -> None:
        """441, and the allocation stays."""
        self.client.allocate()
        other = Client(self.relay, self.client.path, username="bob", password="builder")
        self.assertEqual(code(other.refresh(0)), 441)
        self.assertEqual(len(self.relay.server.allocations), 1)

    def test_a_rest_user_keeps_its_allocation_beyond_the_expiry(self) -> None:
        """As with coTURN: the time in the name says until when one may begin."""
        relay = Relay(
            default_settings(
                credentials=CredentialSettings(use_secrets=True, secrets=("s3cret",)),
                nonce_lifetime=0,
            )
        )
        name = f"{int(relay.wall) + 60}:alice"
        password = "unused"
        client = relay.client(username=name, password=password)
        import base64
        import hmac

        digest = hmac.new(b"s3cret", name.encode(), "sha1").digest()
        client.password = base64.b64encode(digest).decode()
        self.assertEqual(code(client.allocate()), 0)
        relay.now += 120
        self.assertEqual(code(client.refresh()), 0)
        late = relay.client(port=5001, username=name, password=client.password)
        self.assertEqual(code(late.allocate()), 401)

    def test_a_database_answers_later(self) -> None:
        """The request waits, its retransmission does not double it, and one response comes."""
        relay = Relay(default_settings(credentials=CredentialSettings(database="users.sqlite")))
        client = relay.client()
        client.challenge()
        data = client.build(Method.ALLOCATE, [UDP_TRANSPORT])
        self.assertIsNone(relay.send(data, client.path))
        self.assertIsNone(relay.send(data, client.path))
        self.assertEqual(relay.asked, ["alice"])
        relay.credentials.database.learned(  # type: ignore[attr-defined]
            "alice", md5_key("alice", REALM, "wonderland"), relay.wall
        )
        answers = relay.server.credentials_known(relay.now, relay.wall)
        self.assertEqual(len(answers), 1)
        self.assertEqual(len(relay.server.allocations), 1)

    def test_an_open_relay_signs_nothing(self) -> None:
        """With no-auth nobody is asked, and responses carry no integrity."""
        relay = Relay(default_settings(credentials=CredentialSettings(anonymous=True)))
        request = encode(Method.ALLOCATE, Class.REQUEST, b"t" * 12, [UDP_TRANSPORT])
        response = relay.send(request, Path(("203.0.113.9", 5000)))
        assert response is not None
        self.assertEqual(code(response), 0)
        self.assertIsNone(response.integrity)

    def test_attributes_after_integrity_count_for_nothing(self) -> None:
        """A LIFETIME appended behind the signature does not delete the allocation."""
        self.client.allocate()
        data = bytearray(self.client.build(Method.REFRESH))
        data += struct.pack("!HHI", Attribute.LIFETIME, 4, 0)
        data[2:4] = (len(data) - 20).to_bytes(2, "big")
        response = self.relay.send(bytes(data), self.client.path)
        assert response is not None
        self.assertEqual(lifetime_of(response), 600)

    def test_says_more_when_asked_to(self) -> None:
        """Error phrases are the RFC's; with reason_phrases the cause stands behind."""
        relay = Relay(default_settings(reason_phrases=True))
        response = relay.client().allocate((Attribute.EVEN_PORT, b"\0\0"))
        value = response.first(Attribute.ERROR_CODE)
        self.assertEqual(unpack_error(value or b""), (400, "Bad Request: EVEN-PORT is malformed"))

    def test_what_it_says_has_an_end(self) -> None:
        """A request that gives much to complain of gets a phrase of the RFC's length at most."""
        relay = Relay(default_settings(reason_phrases=True))
        unknown = [(0x4000 + kind, b"") for kind in range(500)]
        data = encode(Method.BINDING, Class.REQUEST, b"t" * 12, unknown)
        response = relay.send(data, Path(("203.0.113.5", 4321)))
        self.assertEqual(code(response), 420)
        _, phrase = unpack_error(getattr(response, "first")(Attribute.ERROR_CODE))  # noqa: B009
        self.assertEqual(len(phrase), 127)


class AllocateTests(SynchronousTestCase):
    """Allocate (RFC 8656, section 7)."""

    def setUp(self) -> None:
        self.relay = Relay(hosts=(RELAY, RELAY6))
        self.client = self.relay.client()

    def test_gives_a_relayed_address(self) -> None:
        """On our address, in our range, for ten minutes, with the client's own address."""
        response = self.client.allocate()
        ((host, port),) = relayed(response)
        self.assertEqual(host, RELAY)
        self.assertIn(port, range(50000, 50100))
        self.assertEqual(lifetime_of(response), 600)
        mapped = response.first(Attribute.XOR_MAPPED_ADDRESS) or b""
        self.assertEqual(unpack_xor_address(mapped, response.transaction_id), ("203.0.113.9", 5000))

    def test_a_retransmission_gets_the_same_answer(self) -> None:
        """Same transaction: the very same response; another transaction: 437, signed."""
        first = self.client.allocate(tid=b"r" * 12)
        again = self.client.allocate(tid=b"r" * 12)
        self.assertEqual(first.attributes, again.attributes)
        other = self.client.allocate()
        self.assertEqual(code(other), 437)
        self.assertTrue(other.verify(self.client.key))
        self.relay.now += 41
        self.assertEqual(code(self.client.allocate(tid=b"r" * 12)), 437)
        self.assertEqual(len(self.relay.plane.flows), 1)

    def test_refuses_in_the_order_of_the_rfc(self) -> None:
        """Each of the checks of section 7.2, with its code."""
        even, even_reserve = (
            (Attribute.EVEN_PORT, b"\0"),
            (Attribute.EVEN_PORT, b"\x80"),
        )
        token = (Attribute.RESERVATION_TOKEN, b"t" * 8)
        udp = UDP_TRANSPORT
        cases: list[tuple[list[tuple[int, bytes]], int]] = [
            ([], 400),
            ([(Attribute.REQUESTED_TRANSPORT, b"\x11")], 400),
            ([(Attribute.REQUESTED_TRANSPORT, b"\x06\0\0\0")], 442),
            ([(Attribute.REQUESTED_TRANSPORT, b"\x63\0\0\0"), even, token], 442),
            ([udp, even, token], 400),
            ([udp, token, (FAMILY, IPV4)], 400),
            ([udp, token, (ADDITIONAL, IPV6)], 400),
            ([udp, (Attribute.RESERVATION_TOKEN, b"short")], 400),
            ([udp, (FAMILY, IPV4), (ADDITIONAL, IPV6)], 400),
            ([udp, (FAMILY, b"\x09\0\0\0")], 440),
            ([udp, (ADDITIONAL, IPV4)], 400),
            ([udp, (ADDITIONAL, IPV6), even_reserve], 400),
            ([udp, token], 508),
            ([udp, (Attribute.LIFETIME, b"\0")], 400),
            ([udp, (0x7FFE, b"")], 420),
        ]
        for attributes, expected in cases:
            response = self.client.request(Method.ALLOCATE, attributes)
            self.assertEqual(code(response), expected, attributes)
            self.assertTrue(response.verify(self.client.key))
        self.assertEqual(self.relay.plane.bound, {})
        self.assertEqual(self.relay.quota.in_use, 0)

    def test_gives_the_family_asked_for(self) -> None:
        """IPv6 where REQUESTED-ADDRESS-FAMILY says so, IPv4 without it."""
        self.assertEqual(relayed(self.client.allocate((FAMILY, IPV6)))[0][0], RELAY6)

    def test_refuses_a_family_it_does_not_have(self) -> None:
        """440 on a relay without IPv6."""
        client = Relay().client()
        self.assertEqual(code(client.allocate((FAMILY, IPV6))), 440)

    def test_gives_both_families_at_once(self) -> None:
        """ADDITIONAL-ADDRESS-FAMILY gives two relayed addresses, under coTURN's number too."""
        for port, kind in (
            (7000, ADDITIONAL),
            (7001, Attribute.COTURN_ADDITIONAL_ADDRESS_FAMILY),
        ):
            response = self.relay.client(port=port).allocate((kind, IPV6))
            self.assertEqual([host for host, _ in relayed(response)], [RELAY, RELAY6])

    def test_half_a_dual_allocation_is_better_than_none(self) -> None:
        """Without IPv6 the IPv4 half stands, and ADDRESS-ERROR-CODE says 440."""
        response = Relay().client().allocate((ADDITIONAL, IPV6))
        self.assertEqual(code(response), 0)
        self.assertEqual(len(relayed(response)), 1)
        self.assertEqual(
            (response.first(Attribute.ADDRESS_ERROR_CODE) or b"")[:4], b"\x02\0\x04\x28"
        )

    def test_an_even_port_reserves_the_next(self) -> None:
        """The token gives the same user the odd port above, once."""
        response = self.client.allocate((Attribute.EVEN_PORT, b"\x80"))
        ((_, even),) = relayed(response)
        self.assertEqual(even % 2, 0)
        token = (
            Attribute.RESERVATION_TOKEN,
            response.first(Attribute.RESERVATION_TOKEN) or b"",
        )
        thief = self.relay.client(port=5001, username="bob", password="builder")
        self.assertEqual(code(thief.allocate(token)), 508)
        claimed = self.relay.client(port=5002).allocate(token)
        self.assertEqual(relayed(claimed)[0][1], even + 1)
        self.assertEqual(code(self.relay.client(port=5003).allocate(token)), 508)

    def test_one_user_reserves_only_so_many(self) -> None:
        """Reserved ports count for no quota, so a user may hold but a few; another still can."""
        relay = Relay(default_settings(max_port=50999))
        for port in range(MAX_RESERVATIONS_OF_ONE):
            client = relay.client(port=6000 + port)
            self.assertEqual(code(client.allocate((Attribute.EVEN_PORT, b"\x80"))), 0)
            client.refresh(0)
        greedy = relay.client(port=7000)
        self.assertEqual(code(greedy.allocate((Attribute.EVEN_PORT, b"\x80"))), 508)
        bob = relay.client(port=7001, username="bob", password="builder")
        self.assertEqual(code(bob.allocate((Attribute.EVEN_PORT, b"\x80"))), 0)

    def test_a_reservation_outlives_the_allocation_made_of_it(self) -> None:
        """Deleted within the thirty seconds, the token gives the same port again; not after."""
        response = self.client.allocate((Attribute.EVEN_PORT, b"\x80"))
        ((_, even),) = relayed(response)
        token = (
            Attribute.RESERVATION_TOKEN,
            response.first(Attribute.RESERVATION_TOKEN) or b"",
        )
        other = self.relay.client(port=5001)
        for _ in range(2):
            self.assertEqual(relayed(other.allocate(token))[0][1], even + 1)
            self.assertEqual(code(other.refresh(0)), 0)
        self.relay.now += 31
        self.relay.server.handle_timeout(self.relay.now)
        self.assertEqual(code(other.allocate(token)), 508)
        self.assertEqual(len(self.relay.plane.bound), 1)

    def test_a_reservation_ends_after_thirty_seconds(self) -> None:
        """The odd port is free again and the token worth nothing."""
        response = self.client.allocate((Attribute.EVEN_PORT, b"\x80"))
        token = (
            Attribute.RESERVATION_TOKEN,
            response.first(Attribute.RESERVATION_TOKEN) or b"",
        )
        self.assertEqual(len(self.relay.plane.bound), 2)
        self.relay.now += 31
        self.relay.server.handle_timeout(self.relay.now)
        self.assertEqual(len(self.relay.plane.bound), 1)
        self.assertEqual(code(self.relay.client(port=5001).allocate(token)), 508)

    def test_lifetimes_lie_between_the_default_and_the_maximum(self) -> None:
        """1 becomes 600, 777 stays, 99999 becomes 3600."""
        for port, (asked, given) in enumerate([(1, 600), (777, 777), (99999, 3600)], 7000):
            value = (Attribute.LIFETIME, asked.to_bytes(4, "big"))
            response = self.relay.client(port=port).allocate(value)
            self.assertEqual(lifetime_of(response), given)

    def test_shows_the_public_address(self) -> None:
        """With external-ip the relayed address is the public one, for each family its own."""
        relay = Relay(
            default_settings(
                external_addresses=(
                    ExternalAddress(public="9.9.9.9"),
                    ExternalAddress(public="2001:4860::1", local=RELAY6),
                )
            ),
            hosts=(RELAY, RELAY6),
        )
        response = relay.client().allocate((ADDITIONAL, IPV6))
        self.assertEqual([host for host, _ in relayed(response)], ["9.9.9.9", "2001:4860::1"])
        self.assertEqual({host for host, _ in relay.plane.bound.values()}, {RELAY, RELAY6})

    def test_skips_ports_that_other_programs_hold(self) -> None:
        """A busy port is passed over; when all are busy the answer is 508."""
        relay = Relay(default_settings(min_port=50000, max_port=50007))
        relay.plane.busy = set(range(50000, 50007))
        self.assertEqual(relayed(relay.client().allocate())[0][1], 50007)
        self.assertEqual(code(relay.client(port=5001).allocate()), 508)

    def test_no_descriptors_is_no_catastrophe(self) -> None:
        """508 while the machine gives no sockets; afterwards everything is as before."""
        self.relay.plane.refuse = RelaySocketsExhausted()
        free = self.relay.addresses.free_ports
        self.assertEqual(code(self.client.allocate()), 508)
        even = (Attribute.EVEN_PORT, b"\x80")
        self.assertEqual(code(self.client.allocate(even)), 508)
        self.assertEqual(self.relay.addresses.free_ports, free)
        self.relay.plane.refuse = None
        self.assertEqual(code(self.client.allocate()), 0)

    def test_a_user_has_a_quota(self) -> None:
        """486 beyond it; an ended allocation makes room."""
        relay = Relay(default_settings(user_quota=2, total_quota=3))
        first, second, third = (relay.client(port=port) for port in (1, 2, 3))
        self.assertEqual([code(c.allocate()) for c in (first, second, third)], [0, 0, 486])
        first.refresh(0)
        self.assertEqual(code(third.allocate()), 0)
        others = [relay.client(port=port, username="bob", password="builder") for port in (4, 5)]
        self.assertEqual([code(c.allocate()) for c in others], [0, 486])

    def test_bandwidth_is_promised_until_it_is_gone(self) -> None:
        """Each session gets max-bps; when the capacity is promised the next is refused."""
        relay = Relay(default_settings(max_bps=1000, bps_capacity=2000))
        codes = [code(relay.client(port=port).allocate()) for port in (1, 2, 3)]
        self.assertEqual(codes, [0, 0, 486])
        self.assertEqual(list(relay.plane.granted.values()), [1000, 1000])


class RefreshTests(SynchronousTestCase):
    """Refresh and the end of allocations (RFC 8656, section 8)."""

    def setUp(self) -> None:
        self.relay = Relay(hosts=(RELAY, RELAY6))
        self.client = self.relay.client()

    def test_extends_the_lifetime(self) -> None:
        """Refreshed in time it lives on; not refreshed it ends at its moment."""
        self.client.allocate()
        self.relay.now += 590
        self.assertEqual(lifetime_of(self.client.refresh(1000)), 1000)
        self.relay.now += 999
        self.relay.server.handle_timeout(self.relay.now)
        self.assertEqual(len(self.relay.server.allocations), 1)
        self.relay.now += 2
        self.relay.server.handle_timeout(self.relay.now)
        self.assertEqual(len(self.relay.server.allocations), 0)
        (ended,) = self.relay.events_of(AllocationEnded)
        assert isinstance(ended, AllocationEnded)
        self.assertEqual(ended.reason, "expired")

    def test_lifetime_zero_deletes(self) -> None:
        """Everything is given back; a second Refresh gets 437."""
        free = self.relay.addresses.free_ports
        self.client.allocate()
        self.assertEqual(lifetime_of(self.client.refresh(0)), 0)
        self.assertEqual(code(self.client.refresh(0)), 437)
        self.assertEqual(self.relay.plane.bound, {})
        self.assertEqual(self.relay.addresses.free_ports, free)
        self.assertEqual(self.relay.quota.in_use, 0)

    def test_a_family_that_is_not_there_is_a_mismatch(self) -> None:
        """443 for IPv6 on an IPv4 allocation."""
        self.client.allocate()
        self.assertEqual(code(self.client.refresh(600, (FAMILY, IPV6))), 443)

    def test_one_family_of_two_may_be_deleted(self) -> None:
        """The other one lives on, and its peers stay permitted."""
        self.client.allocate((ADDITIONAL, IPV6))
        self.assertEqual(code(self.client.refresh(0, (FAMILY, IPV6))), 0)
        self.assertEqual([h for h, _ in self.relay.plane.bound.values()], [RELAY])
        self.assertEqual(code(self.client.permit(PEER)), 0)
        self.assertEqual(code(self.client.permit(("2620:fe::fe", 1))), 443)

    def test_nothing_can_be_done_without_an_allocation(self) -> None:
        """437 for Refresh, CreatePermission and ChannelBind."""
        self.client.challenge()
        answers = [self.client.refresh(), self.client.permit(PEER), self.client.bind(0x4000, PEER)]
        self.assertEqual([code(answer) for answer in answers], [437] * 3)

    def test_a_stream_takes_its_allocation_along(self) -> None:
        """When the connection is gone the allocation ends at once."""
        client = Client(self.relay, Path(("203.0.113.9", 5000), Transport.TLS))
        client.allocate()
        self.relay.server.disconnected(client.path.five_tuple, "client gone", self.relay.now)
        self.assertEqual(self.relay.plane.bound, {})

    def test_stopping_ends_everything(self) -> None:
        """Allocations and reservations are gone, and each allocation's end is told."""
        for port in range(5):
            self.relay.client(port=port + 1).allocate((Attribute.EVEN_PORT, b"\x80"))
        self.relay.server.stop(self.relay.now)
        self.assertEqual(self.relay.plane.bound, {})
        self.assertEqual(len(self.relay.events_of(AllocationEnded)), 5)

    def test_ten_thousand_cycles_lose_no_port(self) -> None:
        """Over every way to end, the ports and the quota are those of the start."""
        relay = Relay(default_settings(min_port=50000, max_port=50007, nonce_lifetime=0))
        clients = [relay.client(port=port) for port in range(1, 5)]
        for cycle in range(2500):
            client = clients[cycle % 4]
            even = [(Attribute.EVEN_PORT, b"\x80")] if cycle % 3 == 0 else []
            self.assertEqual(code(client.allocate(*even)), 0, cycle)
            if cycle % 2:
                client.refresh(0)
            else:
                relay.server.disconnected(client.path.five_tuple, "gone", relay.now)
            relay.now += 31
            relay.server.handle_timeout(relay.now)
        self.assertEqual(relay.addresses.free_ports, 8)
        self.assertEqual(relay.quota.in_use, 0)
        self.assertEqual(relay.plane.bound, {})


class PermissionTests(SynchronousTestCase):
    """CreatePermission (RFC 8656, section 10)."""

    def setUp(self) -> None:
        self.relay = Relay(hosts=(RELAY, RELAY6))
        self.client = self.relay.client()
        self.client.allocate()

    def test_installs_permissions_for_five_minutes(self) -> None:
        """For every peer that is named."""
        self.assertEqual(code(self.client.permit(PEER, ("9.9.9.9", 1))), 0)
        hosts = {(p.host, until - self.relay.now) for _, p, until in self.relay.plane.permitted}
        self.assertEqual(hosts, {("8.8.8.8", 300), ("9.9.9.9", 300)})

    def test_is_all_or_nothing(self) -> None:
        """One denied peer among several: 403 and none is installed."""
        self.assertEqual(code(self.client.permit(PEER, ("10.0.0.1", 1))), 403)
        self.assertEqual(self.relay.plane.permitted, [])
        (denied,) = self.relay.events_of(PeerDenied)
        assert isinstance(denied, PeerDenied)
        self.assertEqual(denied.peer, "10.0.0.1")

    def test_refuses_what_makes_no_sense(self) -> None:
        """No peer 400, a malformed one 400, the other family 443."""
        self.assertEqual(code(self.client.permit()), 400)
        malformed = self.client.request(
            Method.CREATE_PERMISSION, [(Attribute.XOR_PEER_ADDRESS, b"\0\x01\0")]
        )
        self.assertEqual(code(malformed), 400)
        self.assertEqual(code(self.client.permit(("2620:fe::fe", 1))), 443)

    def test_there_may_be_only_so_many(self) -> None:
        """508 beyond the limit; expired ones make room."""
        relay = Relay(default_settings(max_permissions=3))
        client = relay.client()
        client.allocate()
        self.assertEqual(code(client.permit(*[(f"8.8.4.{n}", 1) for n in range(3)])), 0)
        self.assertEqual(code(client.permit(("9.9.9.9", 1))), 508)
        relay.now += 301
        self.assertEqual(code(client.permit(("9.9.9.9", 1))), 0)

    def test_the_check_page_reaches_only_relays_of_this_server(self) -> None:
        """Its credentials go to whoever opens the page, so they open nothing else."""
        relay = Relay(default_settings(confined=(ALICE,)))
        alice, bob = relay.client(), relay.client(port=2, username="bob", password="builder")
        for client in (alice, bob):
            client.allocate()
        self.assertEqual([code(c.permit(PEER)) for c in (alice, bob)], [403, 0])
        self.assertEqual(code(alice.bind(0x4000, PEER)), 403)
        self.assertEqual(code(alice.permit((RELAY, 50010))), 0)

    def test_the_check_page_reaches_what_is_opened_here(self) -> None:
        """Its credentials are those of the phone page, too: media of browsers are opened."""
        peers = PeerSettings(open_ports=((RELAY, 36000, 36999),))
        alice = Relay(default_settings(confined=(ALICE,), peers=peers)).client()
        alice.allocate()
        codes = [code(alice.permit((RELAY, port))) for port in (36000, 36999, 37000, 50010)]
        self.assertEqual(codes, [0, 0, 403, 0])

    def test_the_check_page_has_a_quota_of_its_own(self) -> None:
        """Its credentials go to whoever opens the page: they must not use up the relay."""
        relay = Relay(default_settings(confined=(ALICE,)))
        answers = [code(relay.client(port=6000 + port).allocate()) for port in range(3)]
        self.assertEqual(answers, [0, 0, 486])
        bob = relay.client(port=2, username="bob", password="builder")
        self.assertEqual(code(bob.allocate()), 0)

    def test_relays_of_this_server_reach_each_other(self) -> None:
        """Our own relay range is open although our address is not routable, other ports not."""
        self.assertEqual(code(self.client.permit((RELAY, 50010))), 0)
        self.assertEqual(code(self.client.permit((RELAY, 22))), 403)


class ChannelTests(SynchronousTestCase):
    """ChannelBind (RFC 8656, section 12)."""

    def setUp(self) -> None:
        self.relay = Relay()
        self.client = self.relay.client()
        self.client.allocate()

    def test_binds_and_permits(self) -> None:
        """Ten minutes for the channel, five for the permission, and again on refresh."""
        for _ in range(2):
            self.assertEqual(code(self.client.bind(0x4000, PEER)), 0)
        (_, number, peer, until), _ = self.relay.plane.channels
        self.assertEqual((number, peer, until - self.relay.now), (0x4000, PEER, 600))
        self.assertEqual(len(self.relay.plane.permitted), 2)

    def test_numbers_have_a_range(self) -> None:
        """0x4000 to 0x4FFF; up to 0x7FFF only where old clients are let in."""
        codes = [code(self.client.bind(number, PEER)) for number in (0x3FFF, 0x5000, 0x7FFF)]
        self.assertEqual(codes, [400] * 3)
        relay = Relay(default_settings(legacy_channel_numbers=True))
        client = relay.client()
        client.allocate()
        codes = [code(client.bind(n, (PEER[0], n))) for n in (0x5000, 0x7FFF, 0x8000)]
        self.assertEqual(codes, [0, 0, 400])

    def test_a_number_has_one_peer_and_a_peer_one_number(self) -> None:
        """400 for both conflicts, until the binding has expired."""
        self.client.bind(0x4000, PEER)
        self.assertEqual(code(self.client.bind(0x4000, ("9.9.9.9", 1))), 400)
        self.assertEqual(code(self.client.bind(0x4001, PEER)), 400)
        self.relay.now += 599
        self.client.learn(self.client.challenge())
        self.assertEqual(code(self.client.refresh(3600)), 0)
        self.relay.now += 2
        self.assertEqual(code(self.client.bind(0x4001, PEER)), 0)

    def test_refuses_what_makes_no_sense(self) -> None:
        """No number, no peer or no port 400, the other family 443, a denied peer 403."""
        self.assertEqual(code(self.client.bind(0x4000, (PEER[0], 0))), 400)
        self.assertEqual(code(self.client.request(Method.CHANNEL_BIND)), 400)
        number = (Attribute.CHANNEL_NUMBER, b"\x40\0\0\0")
        self.assertEqual(code(self.client.request(Method.CHANNEL_BIND, [number])), 400)
        self.assertEqual(code(self.client.bind(0x4000, ("2620:fe::fe", 1))), 443)
        self.assertEqual(code(self.client.bind(0x4000, ("127.0.0.1", 1))), 403)

    def test_there_may_be_only_so_many(self) -> None:
        """508 beyond the limit, but a refresh is always possible."""
        relay = Relay(default_settings(max_channels=2))
        client = relay.client()
        client.allocate()
        codes = [code(client.bind(0x4000 + n, (PEER[0], n + 1))) for n in range(3)]
        self.assertEqual(codes, [0, 0, 508])
        self.assertEqual(code(client.bind(0x4000, (PEER[0], 1))), 0)


class EventTests(SynchronousTestCase):
    """What the relay tells about itself."""

    def test_an_allocation_is_told_from_birth_to_death(self) -> None:
        """Both events carry the same id, the client and the user."""
        relay = Relay()
        client = relay.client()
        client.allocate()
        relay.now += 10
        client.refresh(0)
        (created,) = relay.events_of(AllocationCreated)
        (ended,) = relay.events_of(AllocationEnded)
        assert isinstance(created, AllocationCreated)
        assert isinstance(ended, AllocationEnded)
        self.assertEqual(created.allocation, ended.allocation)
        self.assertEqual((ended.username, ended.duration), ("alice", 10))
