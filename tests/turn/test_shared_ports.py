"""Tests of a relay whose allocations share a few ports (multiplex-peer)."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.turn.relay import (
    PEER,
    RELAY,
    RELAY6,
    SERVER,
    Client,
    NotingPlane,
    Relay,
    code,
    default_settings,
)
from turn.data_plane import RelayPortBusy, RelaySocketsExhausted
from turn.net.service import TurnService
from turn.settings import ExternalAddress, SharedPorts, TurnSettings
from turn.stun.attributes import Attribute, unpack_xor_address
from turn.stun.message import Message

IPV6 = b"\2\0\0\0"
EVEN = (Attribute.EVEN_PORT, b"\0")
EVEN_AND_NEXT = (Attribute.EVEN_PORT, b"\x80")


def shared_settings(first: int = 3480, last: int = 3483, **changes: object) -> TurnSettings:
    """Four shared ports."""
    ports = SharedPorts(first=first, last=last, max_peers=77)
    return default_settings(shared_ports=ports, **changes)


def ports_of(response: Message) -> list[int]:
    """The ports of the relayed addresses."""
    return [
        unpack_xor_address(value, response.transaction_id)[1]
        for value in response.all(Attribute.XOR_RELAYED_ADDRESS)
    ]


def token_of(response: Message) -> tuple[int, bytes]:
    """The attribute with which the next port is had."""
    return Attribute.RESERVATION_TOKEN, response.first(Attribute.RESERVATION_TOKEN) or b""


class SharedPortTests(SynchronousTestCase):
    """What clients of such a relay get."""

    def setUp(self) -> None:
        self.relay = Relay(shared_settings(), hosts=(RELAY, RELAY6))

    def allocate(self, number: int, *attributes: tuple[int, bytes]) -> tuple[Client, Message]:
        client = self.relay.client(port=5000 + number)
        response = client.allocate(*attributes)
        self.assertEqual(code(response), 0)
        return client, response

    def bound(self) -> list[tuple[str, int]]:
        return sorted(self.relay.plane.bound.values())

    def test_the_sockets_are_bound_once(self) -> None:
        """The same ports on each address, whatever is allocated and ends."""
        expected = sorted((host, port) for host in (RELAY, RELAY6) for port in range(3480, 3484))
        self.assertEqual(self.bound(), expected)
        clients = [self.allocate(number)[0] for number in range(9)]
        for client in clients:
            client.refresh(0)
        self.assertEqual(self.bound(), expected)

    def test_allocations_are_spread(self) -> None:
        """Each port has as many as the others, also after some ended."""
        made = [self.allocate(number) for number in range(8)]
        counts = Counter(port for _, response in made for port in ports_of(response))
        self.assertEqual(counts, {port: 2 for port in range(3480, 3484)})
        freed = {client: ports_of(response)[0] for client, response in made[:3]}
        for client in freed:
            client.refresh(0)
        again = [ports_of(self.allocate(20 + number)[1])[0] for number in range(3)]
        self.assertEqual(sorted(again), sorted(freed.values()))

    def test_the_plane_is_told_the_limit(self) -> None:
        """multiplex-peer-max-peers goes with every flow."""
        self.allocate(0)
        self.assertEqual(self.relay.plane.max_peers, 77)

    def test_both_families(self) -> None:
        """Each is dropped by itself, and its port has one allocation less."""
        client, response = self.allocate(0, (Attribute.ADDITIONAL_ADDRESS_FAMILY, IPV6))
        self.assertEqual(len(ports_of(response)), 2)
        client.refresh(0, (Attribute.REQUESTED_ADDRESS_FAMILY, IPV6))
        self.assertEqual(len(next(iter(self.relay.plane.flows.values()))), 1)
        client.refresh(0)
        self.assertEqual(len(self.bound()), 8)

    def test_even_ports_and_the_next(self) -> None:
        """An even port is one of the shared ones; the token gives the next."""
        self.assertEqual(ports_of(self.allocate(0, EVEN)[1])[0] % 2, 0)
        _, response = self.allocate(1, EVEN_AND_NEXT)
        (even,) = ports_of(response)
        self.assertEqual(even % 2, 0)
        self.assertEqual(ports_of(self.allocate(2, token_of(response))[1]), [even + 1])

    def test_tokens_of_one_port_are_apart(self) -> None:
        """The end of another allocation of that port gives no token back."""
        relay = Relay(shared_settings(3480, 3481))
        first = relay.client(port=1).allocate(EVEN_AND_NEXT)
        second = relay.client(port=2).allocate(EVEN_AND_NEXT)
        claimed = relay.client(port=3)
        self.assertEqual(ports_of(claimed.allocate(token_of(first))), [3481])
        other = relay.client(port=4)
        self.assertEqual(ports_of(other.allocate(token_of(second))), [3481])
        other.refresh(0)
        self.assertEqual(code(relay.client(port=5).allocate(token_of(first))), 508)
        claimed.refresh(0)
        self.assertEqual(ports_of(relay.client(port=6).allocate(token_of(first))), [3481])

    def test_reservations_hold_no_load_for_good(self) -> None:
        """One that nobody came for counts no more."""
        relay = Relay(shared_settings(3480, 3481))
        for number in range(3):
            relay.client(port=10 + number).allocate(EVEN_AND_NEXT)
        relay.now += 31
        relay.server.handle_timeout(relay.now)
        ports = [ports_of(relay.client(port=20 + number).allocate())[0] for number in range(3)]
        self.assertEqual(ports, [3481] * 3)

    def test_a_single_odd_port_is_not_even(self) -> None:
        """What cannot be had is refused with 508; any port can be had."""
        relay = Relay(shared_settings(3481, 3481))
        for number, attribute in enumerate((EVEN, EVEN_AND_NEXT)):
            self.assertEqual(code(relay.client(port=number + 1).allocate(attribute)), 508)
        self.assertEqual(ports_of(relay.client(port=9).allocate()), [3481])

    def test_the_public_address(self) -> None:
        """Is shown with the shared port."""
        settings = shared_settings(external_addresses=(ExternalAddress(public="9.9.9.9"),))
        response = Relay(settings).client().allocate()
        value = response.first(Attribute.XOR_RELAYED_ADDRESS) or b""
        self.assertEqual(unpack_xor_address(value, response.transaction_id), ("9.9.9.9", 3480))

    def test_a_peer_that_is_taken(self) -> None:
        """Its channel is refused with 508, and neither permission nor channel is installed."""
        client, _ = self.allocate(0)
        self.relay.plane.taken.add(PEER)
        self.assertEqual(code(client.bind(0x4000, PEER)), 508)
        plane = self.relay.plane
        self.assertEqual((plane.permitted, plane.channels), ([], []))
        plane.taken.clear()
        self.assertEqual(code(client.bind(0x4000, PEER)), 0)

    def test_relays_reach_each_other(self) -> None:
        """On the shared ports, and nowhere else on this machine."""
        client, _ = self.allocate(0)
        self.assertEqual(code(client.permit((RELAY, 3483))), 0)
        self.assertEqual(code(client.bind(0x4000, (RELAY, 3480))), 0)
        self.assertEqual(code(client.bind(0x4001, (RELAY, 50000))), 403)
        ports = {permission.ports for _, permission, _ in self.relay.plane.permitted}
        self.assertEqual(ports, {((3480, 3483),)})


class SharedServiceTests(SynchronousTestCase):
    """The service binds its shared ports when it starts."""

    def setUp(self) -> None:
        self.plane = NotingPlane()
        self.clock = Clock()
        self.service = TurnService(
            shared_settings(), self.plane, [SERVER], self.clock, self.clock.seconds, lambda _: None
        )

    def test_start_and_stop(self) -> None:
        """They are open in between, also a second time."""
        for _ in range(2):
            self.assertEqual(self.plane.bound, {})
            self.service.start()
            self.assertEqual(len(self.plane.bound), 4)
            self.assertEqual(self.service.free_ports, 4)
            self.service.stop()

    def test_a_port_is_taken(self) -> None:
        """The start fails, holds nothing, and succeeds later."""
        self.plane.busy.add(3482)
        self.assertRaises(RelayPortBusy, self.service.start)
        self.assertEqual((self.plane.bound, self.clock.getDelayedCalls()), ({}, []))
        self.service.stop()
        self.plane.refuse = RelaySocketsExhausted()
        self.assertRaises(RelaySocketsExhausted, self.service.start)
        self.plane.refuse = None
        self.plane.busy.clear()
        self.service.start()
        self.assertEqual(len(self.plane.bound), 4)
        self.service.stop()
