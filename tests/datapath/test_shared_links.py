"""Tests of flows that reach each other over shared relay sockets (rules 9 to 12)."""

from __future__ import annotations

import random

from tests.datapath.planes import NativeMade
from tests.datapath.shared import Client, SharedTestCase, check
from tests.datapath.test_twin import StreamPath, send_indication
from turn.data_plane import LINK_SILENCE, PeerPermission, PeerTaken
from turn.five_tuple import Address
from turn.stun.attributes import Attribute, pack_xor_address
from turn.stun.message import Class, Method, decode, encode


class LinkTestCase(SharedTestCase):
    """Clients with names of ICE."""

    def named(self, name: str, home: int = 0) -> Client:
        """A client whose name the plane knows, and that permits its own relay's host."""
        client = self.client(home)
        client.permit()
        peer = self.socket()
        client.send(self.address(peer), check("peer", name))
        self.received(peer)
        return client

    def unclaimed(self) -> int:
        self.drain()
        return self.plane.shared_totals().unclaimed

    def links(self) -> int:
        return self.plane.shared_totals().links

    def shown_to(self, client: Client, by: Client, at: Address, name: str) -> Address | None:
        """Let ``by`` send a check to ``at``; tell from where it came to ``client``."""
        hello = check(name, "somebody")
        by.send(at, hello)
        heard = client.heard()
        if not heard:
            return None
        ((source, payload),) = heard
        self.assertEqual(payload, hello)
        assert isinstance(source, tuple)
        return source


class CheckedLinkTests(LinkTestCase):
    """Clients that speak ICE."""

    def test_a_check_links_two_clients(self) -> None:
        """From then on everything crosses, both ways, each seeing the other's relayed address."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        hello = check("bob", "alice")
        alice.send(bob.home, hello)
        self.assertEqual(bob.heard(), [(alice.home, hello)])
        self.assertEqual(self.links(), 1)
        bob.send(alice.home, b"answer")
        alice.send(bob.home, b"\x16dtls")
        self.assertEqual(alice.heard(), [(bob.home, b"answer")])
        self.assertEqual(bob.heard(), [(alice.home, b"\x16dtls")])
        self.assertEqual(self.unclaimed(), 0)

    def test_channels(self) -> None:
        """A client hears on its channel, whether it was bound before the link or after."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        alice.channel(0x4000, bob.home)
        alice.send_on(0x4000, check("bob", "alice"))
        self.assertEqual(len(bob.heard()), 1)
        bob.channel(0x4007, alice.home)
        for payload in (b"", b"x", b"P" * 1400):
            alice.send_on(0x4000, payload)
            bob.send_on(0x4007, payload)
            self.assertEqual(bob.heard(), [(0x4007, payload)])
            self.assertEqual(alice.heard(), [(0x4000, payload)])
        counters = self.plane.counters(bob.flow)
        self.assertEqual(counters.peer_received_packets, 4)
        self.assertEqual(counters.peer_sent_packets, 1 + 3)
        crossed = self.plane.counters(alice.flow).peer_sent_bytes - len(check("peer", "alice"))
        self.assertEqual(counters.sent_bytes, crossed)

    def test_a_name_that_is_learnt_on_the_way(self) -> None:
        """The first check of a client toward another of this relay teaches its name, too."""
        alice, bob, other = self.client(0), self.client(1), self.client(0)
        for client in (alice, bob, other):
            client.permit(port=self.homes[1][1])
        alice.send(bob.home, check("bob", "alice"))
        self.assertEqual(bob.heard(), [])
        bob.send(alice.home, check("alice", "bob"))
        self.assertEqual(len(alice.heard()), 1)
        alice.send(bob.home, check("bob", "alice"))
        self.assertEqual(len(bob.heard()), 1)

    def test_two_clients_of_one_socket(self) -> None:
        """They are at home at the same address, and reach each other there."""
        alice, bob = self.named("alice", 2), self.named("bob", 2)
        self.assertEqual(self.shown_to(bob, alice, alice.home, "bob"), alice.home)
        bob.send(alice.home, b"answer")
        self.assertEqual(alice.heard(), [(alice.home, b"answer")])

    def test_nobody_is_its_own_partner(self) -> None:
        """A check that names its own sender is dropped."""
        alice = self.named("alice")
        alice.send(alice.home, check("alice", "alice"))
        alice.send(alice.home, b"echo")
        self.assertEqual(alice.heard(), [])
        self.assertEqual((self.unclaimed(), self.links()), (2, 0))

    def test_many_pairs_of_clients_on_the_same_two_sockets(self) -> None:
        """Names keep them apart, whoever asks first."""
        pairs = [(self.named(f"a{n}", 0), self.named(f"b{n}", 1)) for n in range(5)]
        for number, (left, right) in enumerate(pairs):
            right.send(left.home, check(f"a{number}", f"b{number}"))
        for number, (left, right) in enumerate(pairs):
            left.send(right.home, b"to %d" % number)
        for number, (left, right) in enumerate(pairs):
            self.assertEqual(len(left.heard()), 1)
            self.assertEqual(right.heard(), [(left.home, b"to %d" % number)])
        self.assertEqual((self.links(), self.unclaimed()), (5, 0))

    def test_partners_from_one_socket_are_shown_apart(self) -> None:
        """The second comes from another shared socket, and is answered there."""
        hub = self.named("hub", 0)
        others = [self.named(f"other{number}", 1) for number in range(4)]
        shown = [self.shown_to(hub, each, hub.home, "hub") for each in others]
        self.assertEqual(shown, [self.homes[index] for index in (1, 2, 3, 0)])
        for number, at in enumerate(shown):
            assert at is not None
            hub.send(at, b"for %d" % number)
        for number, each in enumerate(others):
            self.assertEqual(each.heard(), [(hub.home, b"for %d" % number)])
        fifth = self.named("fifth", 1)
        self.assertIsNone(self.shown_to(hub, fifth, hub.home, "hub"))
        self.assertEqual((self.links(), self.unclaimed()), (4, 1))

    def test_an_address_means_one_partner(self) -> None:
        """A check to a second one behind it is dropped, until the first was silent for long."""
        hub = self.named("hub", 0)
        first, second = self.named("first", 1), self.named("second", 1)
        self.plane.expire(100.0)
        self.assertEqual(self.shown_to(first, hub, first.home, "first"), hub.home)
        self.assertIsNone(self.shown_to(second, hub, second.home, "second"))
        self.plane.expire(100.0 + LINK_SILENCE - 1)
        hub.send(first.home, b"still there")
        self.plane.expire(100.0 + LINK_SILENCE + 1)
        self.assertIsNone(self.shown_to(second, hub, second.home, "second"))
        self.plane.expire(100.0 + 2 * LINK_SILENCE)
        self.assertEqual(self.shown_to(second, hub, second.home, "second"), hub.home)
        hub.send(second.home, b"for the second")
        self.assertEqual(second.heard(), [(hub.home, b"for the second")])
        self.assertEqual(first.heard(), [(hub.home, b"still there")])
        self.assertEqual((self.links(), self.unclaimed()), (1, 2))

    def test_a_silent_partner_gives_its_address_away(self) -> None:
        """Also where it is the one who was found."""
        hub = self.named("hub", 0)
        first, second = self.named("first", 1), self.named("second", 1)
        self.plane.expire(100.0)
        self.shown_to(hub, first, hub.home, "hub")
        self.plane.expire(100.0 + LINK_SILENCE)
        self.assertEqual(self.shown_to(hub, second, hub.home, "hub"), self.homes[1])
        first.send(hub.home, b"late")
        self.assertEqual((hub.heard(), self.links()), ([], 1))

    def test_linked_clients_find_each_other_by_name(self) -> None:
        """A check to a partner's home goes over the link, though that shows it elsewhere."""
        hub = self.named("hub", 0)
        first, second = self.named("first", 1), self.named("second", 1)
        self.shown_to(hub, first, hub.home, "hub")
        self.assertEqual(self.shown_to(hub, second, hub.home, "hub"), self.homes[2])
        self.assertEqual(self.shown_to(second, hub, second.home, "second"), hub.home)
        self.assertEqual(self.shown_to(second, hub, self.homes[2], "second"), hub.home)
        self.assertEqual(self.shown_to(hub, second, self.homes[3], "hub"), self.homes[2])
        self.assertEqual(self.links(), 2)

    def test_a_name_at_another_home_is_not_meant(self) -> None:
        """Who is neither at home there nor linked gets nothing."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        self.assertIsNone(self.shown_to(bob, alice, self.homes[2], "bob"))
        self.assertEqual(self.unclaimed(), 1)

    def test_both_must_permit(self) -> None:
        """A sender without permission reaches nobody, nor does one that is not permitted."""
        alice, bob = self.named("alice", 0), self.client(1)
        bob.permit(until=100)
        bob.send(self.homes[3], check("x", "bob"))
        self.plane.expire(101)
        self.assertIsNone(self.shown_to(bob, alice, bob.home, "bob"))
        self.assertIsNone(self.shown_to(alice, bob, alice.home, "alice"))
        dropped = self.plane.counters(bob.flow).dropped_packets
        self.assertEqual((self.unclaimed(), dropped), (2, 2))

    def test_a_link_ends_with_a_permission_of_either(self) -> None:
        """Until then it holds; then a new check makes a new one."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        bob.permit(until=100)
        self.shown_to(bob, alice, bob.home, "bob")
        self.plane.expire(101)
        self.assertEqual(self.links(), 0)
        alice.send(bob.home, b"late")
        self.assertEqual((bob.heard(), self.unclaimed()), ([], 1))
        bob.permit()
        self.assertEqual(self.shown_to(bob, alice, bob.home, "bob"), alice.home)

    def test_a_channel_keeps_a_link(self) -> None:
        """What comes while its permission is over is dropped and counted for its client."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        bob.permit(until=100)
        bob.bind(0x4000, alice.home)
        alice.send(bob.home, check("bob", "alice"))
        self.plane.expire(101)
        self.assertEqual(len(bob.heard()), 1)
        alice.send(bob.home, b"silenced")
        self.assertEqual(bob.heard(), [])
        self.assertEqual(self.plane.counters(bob.flow).dropped_packets, 1)
        self.assertEqual((self.links(), self.unclaimed()), (1, 0))
        bob.send_on(0x4000, b"upward")
        self.assertEqual(alice.heard(), [(bob.home, b"upward")])

    def test_a_link_ends_with_either_flow(self) -> None:
        """The other may be linked anew by the same address."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        self.shown_to(bob, alice, bob.home, "bob")
        self.plane.close(bob.flow)
        self.assertEqual(self.links(), 0)
        carol = self.named("carol", 1)
        self.assertEqual(self.shown_to(carol, alice, carol.home, "carol"), alice.home)

    def test_a_dropped_family_ends_its_links(self) -> None:
        """Its names find it no more."""
        alice, bob = self.named("alice", 0), self.named("bob", 1)
        self.shown_to(bob, alice, bob.home, "bob")
        self.plane.drop_relay(bob.flow, self.relays[1])
        self.assertEqual(self.links(), 0)
        self.assertIsNone(self.shown_to(bob, alice, self.homes[1], "bob"))

    def test_a_public_face(self) -> None:
        """Who knows this machine by its public address sees its partner there."""
        public = "2001:4860::1" if ":" in self.host else "9.9.9.9"
        alice, bob = self.named("alice", 0), self.client(1)
        bob.permit(public, reached_at=self.host)
        bob.send((public, alice.home[1]), check("alice", "bob"))
        self.assertEqual(len(alice.heard()), 1)
        alice.send(bob.home, b"answer")
        self.assertEqual(bob.heard(), [((public, alice.home[1]), b"answer")])

    def test_a_client_over_a_stream(self) -> None:
        """It hears at once, also of an indication with a checksum."""
        path = StreamPath()
        flow = self.plane.open(path, [self.relays[1]], 0)
        self.plane.permit(flow, PeerPermission(self.host, self.host), 1e9, self.homes[0][1])
        alice = self.client(0)
        alice.permit(port=self.homes[1][1])
        alice.send(self.homes[1], b"plain")
        sealed = [
            (Attribute.XOR_PEER_ADDRESS, pack_xor_address(self.homes[1], b"i" * 12)),
            (Attribute.DATA, b"sealed"),
        ]
        indication = encode(Method.SEND, Class.INDICATION, b"i" * 12, sealed, fingerprint=True)
        alice.sock.sendto(indication, self.server)
        self.drain()
        heard = [decode(frame).first(Attribute.DATA) for frame in path.frames]
        self.assertEqual(heard, [b"plain", b"sealed"])
        self.plane.from_stream(path, send_indication(alice.home, b"answer"))
        self.assertEqual(alice.heard(), [(self.homes[1], b"answer")])

    def test_bandwidth_is_limited_at_both_ends(self) -> None:
        """By the sender's limit on its way up and by the receiver's on its way down."""
        slow, fast = self.client(0, max_bps=1000), self.named("fast", 1)
        slow.channel(0x4000, fast.home)
        slow.send_on(0x4000, check("fast", "slow"))
        fast.channel(0x4000, slow.home)
        self.plane.expire(10.0)
        self.plane.expire(20.0)
        fast.heard()
        for _ in range(3):
            slow.send_on(0x4000, b"x" * 400)
            fast.send_on(0x4000, b"x" * 400)
        self.assertEqual((len(fast.heard()), len(slow.heard())), (2, 2))


class PlainLinkTests(LinkTestCase):
    """Clients that do not speak ICE."""

    def pair(self, left: int, right: int) -> tuple[Client, Client]:
        """Two clients with a channel to each other."""
        one, other = self.client(left), self.client(right)
        one.channel(0x4000, other.home)
        other.channel(0x4000, one.home)
        return one, other

    def assert_linked(self, one: Client, other: Client) -> None:
        for sender, receiver in ((one, other), (other, one)):
            sender.send_on(0x4000, b"hello")
            self.assertEqual(receiver.heard(), [(0x4000, b"hello")])

    def test_who_alone_can_be_meant(self) -> None:
        """Two that want each other are linked by their first packet."""
        self.assert_linked(*self.pair(0, 1))
        self.assertEqual((self.links(), self.unclaimed()), (1, 0))

    def test_on_one_socket(self) -> None:
        """The same where both are at home at one address."""
        self.assert_linked(*self.pair(3, 3))

    def test_one_after_another(self) -> None:
        """Those that are linked do not stand in the way of others on the same sockets."""
        for _ in range(3):
            self.assert_linked(*self.pair(0, 1))
            self.assert_linked(*self.pair(2, 2))
        self.assertEqual(self.links(), 6)

    def test_indications(self) -> None:
        """A packet is a wish, too: the answer crosses, and what was sent before it is lost."""
        one, other = self.client(0), self.client(1)
        for client in (one, other):
            client.permit()
        one.send(other.home, b"lost")
        other.send(one.home, b"answer")
        one.send(other.home, b"again")
        self.assertEqual(one.heard(), [(other.home, b"answer")])
        self.assertEqual(other.heard(), [(one.home, b"again")])
        self.assertEqual(self.unclaimed(), 1)

    def test_a_permission_that_names_a_port(self) -> None:
        """It tells whom its client means: nothing of what that one sends first is lost."""
        one, other = self.client(0), self.client(1)
        one.permit(port=other.home[1])
        other.permit(port=one.home[1])
        one.send(other.home, b"first")
        self.assertEqual(other.heard(), [(one.home, b"first")])
        self.assertEqual((self.links(), self.unclaimed()), (1, 0))
        one.permit(port=self.address(self.socket())[1])
        self.assertEqual(self.plane.shared_totals().pairs, 0)

    def test_two_who_may_be_meant(self) -> None:
        """Nothing is guessed where it could be wrong, from either side."""
        first, second = self.pair(0, 1), self.pair(0, 1)
        for client in (*first, *second):
            client.send_on(0x4000, b"hello")
        for client in (*first, *second):
            self.assertEqual(client.heard(), [])
        self.assertEqual((self.links(), self.unclaimed()), (0, 4))
        self.plane.close(second[0].flow)
        self.plane.close(second[1].flow)
        self.assert_linked(*first)

    def test_one_who_may_mean_either_of_two(self) -> None:
        """Nobody is linked then, whoever sends."""
        one, first, second = self.client(0), self.client(1), self.client(1)
        for client, home in ((one, first.home), (first, one.home), (second, one.home)):
            client.channel(0x4000, home)
        for client in (one, first, second):
            client.send_on(0x4000, b"hello")
        self.assertEqual((self.links(), self.unclaimed()), (0, 3))

    def test_two_of_one_socket_and_a_third(self) -> None:
        """Three that want each other at one address are too many."""
        one, _ = self.pair(0, 0)
        third = self.client(0)
        third.channel(0x4000, third.home)
        for client in (one, third):
            client.send_on(0x4000, b"hello")
        self.assertEqual((self.links(), self.unclaimed()), (0, 2))

    def test_a_wish_ends(self) -> None:
        """With its permission, if it has no channel."""
        one, other = self.client(0), self.client(1)
        one.permit(until=100)
        other.permit()
        one.send(other.home, b"wish")
        self.plane.expire(101)
        other.send(one.home, b"nobody's")
        self.assertEqual((one.heard(), self.links(), self.unclaimed()), ([], 0, 2))

    def test_both_must_permit(self) -> None:
        """A channel whose permission is over is no way in."""
        one, other = self.client(0), self.client(1)
        one.permit(until=100)
        one.bind(0x4000, other.home)
        other.channel(0x4000, one.home)
        self.plane.expire(101)
        other.send_on(0x4000, b"hello")
        one.send_on(0x4000, b"hello")
        self.assertEqual((one.heard(), other.heard(), self.links()), ([], [], 0))

    def test_wishes_are_no_peers(self) -> None:
        """They cannot be refused, and leave room for pairs."""
        client = self.client(0, max_peers=1)
        for number, home in enumerate(self.homes):
            client.channel(0x4000 + number, home)
        client.channel(0x4009, self.address(self.socket()))
        self.assertRaises(PeerTaken, client.channel, 0x400A, self.address(self.socket()))
        self.assertEqual(self.plane.shared_totals().pairs, 1)

    def test_a_closed_link_is_sought_anew(self) -> None:
        """A client whose partner went finds the next that wants it."""
        one, other = self.pair(0, 1)
        self.assert_linked(one, other)
        self.plane.close(other.flow)
        again = self.client(1)
        again.channel(0x4000, one.home)
        self.assert_linked(one, again)


class ChanceTests(LinkTestCase):
    """Clients that come, talk to whomever and go."""

    def test_nothing_is_left_behind(self) -> None:
        """However it went, what is over holds nothing, and totals add up in between."""
        chance = random.Random(20)
        peers = [self.address(self.socket()) for _ in range(6)]
        clients: list[tuple[str, Client]] = []
        now = 0.0
        for step in range(600):
            now += chance.choice((0.0, 0.0, 0.0, 0.5, 10.0))
            self.plane.expire(now)
            if len(clients) < 3 or chance.random() < 0.08:
                client = self.client(chance.randrange(self.size), max_peers=2)
                clients.append((f"n{step % 7}", client))
            name, client = chance.choice(clients)
            target = chance.choice([*peers, *self.homes])
            match chance.randrange(5):
                case 0:
                    client.permit(until=now + chance.choice((5, 60)))
                case 1:
                    try:
                        client.permit(until=now + 60)
                        client.bind(0x4000 + chance.randrange(3), target, now + 40)
                    except PeerTaken:
                        pass
                case 2:
                    client.send(target, check(f"n{chance.randrange(7)}", name))
                case 3:
                    client.send(target, b"data")
                case _ if chance.random() < 0.3 and len(clients) > 3:
                    clients.remove((name, client))
                    self.plane.close(client.flow)
                    client.sock.close()
            totals = self.plane.shared_totals()
            self.assertLessEqual(totals.pairs, 2 * len(clients))
            self.assertLessEqual(totals.links, self.size * len(clients) / 2)
        self.assertGreater(self.plane.shared_totals().refused, 0)
        for _, client in clients:
            self.plane.close(client.flow)
        self.assert_nothing_held()
        self.assertEqual(self.flushLoggedErrors(), [])


class IPv6CheckedLinkTests(CheckedLinkTests):
    """The same over IPv6."""

    host = "::1"


class IPv6PlainLinkTests(PlainLinkTests):
    """The same over IPv6."""

    host = "::1"


class NativeCheckedLinkTests(NativeMade, CheckedLinkTests):
    """The native data plane does the same."""


class NativePlainLinkTests(NativeMade, PlainLinkTests):
    """The native data plane does the same."""


class NativeChanceTests(NativeMade, ChanceTests):
    """The native data plane does the same."""


class NativeIPv6CheckedLinkTests(NativeMade, IPv6CheckedLinkTests):
    """The native data plane does the same over IPv6."""


class NativeIPv6PlainLinkTests(NativeMade, IPv6PlainLinkTests):
    """The native data plane does the same over IPv6."""
