"""Tests of shared relay sockets, by the rules of ``turn.data_plane``."""

from __future__ import annotations

import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datapath.planes import NativeMade
from tests.datapath.shared import SharedTestCase, check
from tests.datapath.test_twin import StreamPath, send_indication
from turn.data_plane import (
    MAX_NAME,
    MAX_NAMES,
    MAX_NOTES,
    PeerPermission,
    PeerTaken,
    RelayPortBusy,
)
from turn.stun.attributes import COOKIE, Attribute
from turn.stun.channel_data import pack
from turn.stun.message import Class, Method, encode


class PairTests(SharedTestCase):
    """Rules 1 to 3: whose a peer on a shared socket is."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.socket()
        self.at = self.address(self.peer)

    def test_packets_leave_from_the_home(self) -> None:
        """A Send goes out there, and what is answered comes back as Data."""
        client = self.client(1)
        client.permit()
        client.send(self.at, b"ping")
        self.assertEqual(self.received(self.peer), (b"ping", client.home))
        self.peer.sendto(b"pong", client.home)
        self.assertEqual(client.heard(), [(self.at, b"pong")])
        self.assertEqual(self.plane.shared_totals().pairs, 1)

    def test_a_channel_both_ways(self) -> None:
        """A bound peer is heard on its channel, whatever the length."""
        client = self.client()
        client.channel(0x4000, self.at)
        for payload in (b"", b"x", b"P" * 1400):
            client.send_on(0x4000, payload)
            self.assertEqual(self.received(self.peer), (payload, client.home))
            self.peer.sendto(payload, client.home)
            self.assertEqual(client.heard(), [(0x4000, payload)])
        counters = self.plane.counters(client.flow)
        self.assertEqual(counters.peer_sent_bytes, 1401)
        self.assertEqual(counters.sent_packets, 3)

    def test_clients_of_one_home_have_peers_of_their_own(self) -> None:
        """What each peer answers reaches its own client only."""
        first, second = self.client(), self.client()
        other = self.socket()
        for client, sock in ((first, self.peer), (second, other)):
            client.permit()
            client.send(self.address(sock), b"hello")
            self.assertEqual(self.received(sock)[1], client.home)
        self.peer.sendto(b"1", first.home)
        other.sendto(b"2", first.home)
        self.assertEqual(first.heard(), [(self.at, b"1")])
        self.assertEqual(second.heard(), [(self.address(other), b"2")])

    def test_a_peer_that_is_taken_is_met_from_the_next_socket(self) -> None:
        """From the home onward and round, in the order of binding, each with its own answers."""
        clients = [self.client(2) for _ in range(4)]
        for client in clients:
            client.permit()
            client.send(self.at, b"me too")
        sources = [self.received(self.peer)[1] for _ in clients]
        self.assertEqual(sources, [self.homes[index] for index in (2, 3, 0, 1)])
        for number, source in enumerate(sources):
            self.peer.sendto(b"%d" % number, source)
        for number, client in enumerate(clients):
            self.assertEqual(client.heard(), [(self.at, b"%d" % number)])

    def test_no_socket_is_free(self) -> None:
        """A channel is refused, a Send is dropped, both count, and nothing else has changed."""
        for _ in range(4):
            self.client().channel(0x4000, self.at)
        late = self.client()
        self.assertRaises(PeerTaken, late.channel, 0x4000, self.at)
        # Nothing permits the peer now, so this one is not even a claim.
        late.send(self.at, b"not permitted")
        late.permit()
        late.send(self.at, b"permitted")
        self.assert_nothing_for(self.peer)
        totals = self.plane.shared_totals()
        self.assertEqual((totals.pairs, totals.refused), (4, 2))
        self.assertEqual(self.plane.counters(late.flow).dropped_packets, 2)

    def test_other_addresses_of_the_relay_are_not_used(self) -> None:
        """A peer that permits the relayed host would not hear from another one."""
        if ":" not in self.host:
            self.share("127.0.0.2")
        for _ in range(4):
            self.client().channel(0x4000, self.at)
        self.assertRaises(PeerTaken, self.client().channel, 0x4000, self.at)

    def test_an_allocation_has_so_many_peers(self) -> None:
        """The third is refused, by either way; those that it has go on."""
        client = self.client(max_peers=2)
        others = [self.socket(), self.socket()]
        client.permit()
        client.send(self.at, b"one")
        client.channel(0x4000, self.address(others[0]))
        self.assertRaises(PeerTaken, client.channel, 0x4001, self.address(others[1]))
        client.send(self.address(others[1]), b"three")
        self.assert_nothing_for(others[1])
        client.channel(0x4001, self.at)
        client.send_on(0x4001, b"still one")
        self.assertEqual([self.received(self.peer)[0] for _ in range(2)], [b"one", b"still one"])
        self.assertEqual(self.plane.shared_totals().refused, 2)

    def test_a_pair_ends_with_its_permission(self) -> None:
        """Then another client may have it; the late answers are nobody's."""
        first, second = self.client(), self.client()
        first.permit(until=100)
        first.send(self.at, b"mine")
        self.assertEqual(self.received(self.peer)[1], self.homes[0])
        self.plane.expire(101)
        self.assertEqual(self.plane.shared_totals().pairs, 0)
        self.peer.sendto(b"late", first.home)
        self.assertEqual(first.heard(), [])
        self.assertEqual(self.plane.shared_totals().unclaimed, 1)
        second.permit()
        second.send(self.at, b"now mine")
        self.assertEqual(self.received(self.peer), (b"now mine", self.homes[0]))

    def test_a_channel_keeps_its_pair(self) -> None:
        """Without permission its peer is silenced, and with a new one it is heard again."""
        client = self.client()
        client.permit(until=100)
        client.bind(0x4000, self.at, until=300)
        self.plane.expire(101)
        self.peer.sendto(b"silenced", client.home)
        self.assertEqual(client.heard(), [])
        self.assertEqual(self.plane.counters(client.flow).dropped_packets, 1)
        client.permit(until=400)
        self.peer.sendto(b"again", client.home)
        self.assertEqual(client.heard(), [(0x4000, b"again")])
        self.plane.expire(301)
        self.peer.sendto(b"as data", client.home)
        self.assertEqual(client.heard(), [(self.at, b"as data")])
        self.plane.expire(401)
        self.assertEqual(self.plane.shared_totals().pairs, 0)

    def test_a_channel_that_ends_last_takes_its_pair_along(self) -> None:
        """Whichever of the two ends last."""
        client = self.client()
        client.permit(until=100)
        client.bind(0x4000, self.at, until=200)
        self.plane.expire(150)
        self.assertEqual(self.plane.shared_totals().pairs, 1)
        self.plane.expire(201)
        self.assertEqual(self.plane.shared_totals().pairs, 0)

    def test_a_channel_number_is_bound_anew(self) -> None:
        """Its old peer stays a pair as long as it is permitted, and comes as Data."""
        client = self.client()
        other = self.socket()
        client.channel(0x4000, self.at)
        client.channel(0x4000, self.address(other))
        self.peer.sendto(b"old", client.home)
        other.sendto(b"new", client.home)
        self.assertEqual(client.heard(), [(self.at, b"old"), (0x4000, b"new")])

    def test_a_channel_number_is_bound_anew_without_permission(self) -> None:
        """Nothing keeps the old peer then."""
        client = self.client()
        client.permit(until=100)
        client.bind(0x4000, self.at)
        self.plane.expire(101)
        other = "2001:db8::9" if ":" in self.host else "127.0.0.9"
        client.channel(0x4000, (other, 9))
        self.assertEqual(self.plane.shared_totals().pairs, 1)

    def test_two_channels_of_one_peer(self) -> None:
        """The one that is bound last is heard, also when the elder ends."""
        client = self.client()
        client.permit()
        client.bind(0x4000, self.at, until=100)
        client.bind(0x4001, self.at)
        self.plane.expire(101)
        self.peer.sendto(b"hello", client.home)
        self.assertEqual(client.heard(), [(0x4001, b"hello")])

    def test_a_closed_flow_leaves_everything(self) -> None:
        """Its peers are free, the sockets stay open, and the client may come again."""
        first = self.client()
        first.channel(0x4000, self.at)
        self.assertEqual(self.plane.close(first.flow).received_packets, 0)
        self.assertEqual(self.plane.shared_totals().pairs, 0)
        first.send_on(0x4000, b"gone")
        self.assert_nothing_for(self.peer)
        second = self.client()
        second.channel(0x4000, self.at)
        second.send_on(0x4000, b"mine")
        self.assertEqual(self.received(self.peer), (b"mine", self.homes[0]))

    def test_one_family_may_be_dropped(self) -> None:
        """Its pairs and channels end, the socket stays for others."""
        first, second = self.client(), self.client()
        first.channel(0x4000, self.at)
        self.plane.drop_relay(first.flow, self.relays[0])
        self.assertEqual(self.plane.shared_totals().pairs, 0)
        first.send_on(0x4000, b"gone")
        first.send(self.at, b"gone")
        self.assert_nothing_for(self.peer)
        second.channel(0x4000, self.at)
        second.send_on(0x4000, b"here")
        self.assertEqual(self.received(self.peer), (b"here", self.homes[0]))
        self.plane.close(first.flow)

    def test_a_busy_port_is_told(self) -> None:
        """A shared socket is refused like any other."""
        self.assertRaises(RelayPortBusy, self.plane.bind_shared_relay, *self.homes[0])

    def test_a_released_socket_is_closed(self) -> None:
        """Its port can be bound again."""
        self.plane.release_relay(self.relays.pop())
        self.plane.bind_shared_relay(*self.homes.pop())

    def test_dont_fragment(self) -> None:
        """It is for one datagram, as on a socket of one's own."""
        client = self.client()
        client.permit()
        fragile = send_indication(self.at, b"df", (Attribute.DONT_FRAGMENT, b""))
        client.sock.sendto(fragile, self.server)
        client.send(self.at, b"any")
        self.assertEqual([self.received(self.peer)[0] for _ in range(2)], [b"df", b"any"])

    def test_a_limit_holds_bytes_back(self) -> None:
        """The bandwidth of a client is its own, both ways."""
        client, free = self.client(max_bps=1000), self.client()
        for each in (client, free):
            each.channel(0x4000, self.at)
        self.plane.expire(10.0)
        for _ in range(3):
            client.send_on(0x4000, b"x" * 400)
            self.peer.sendto(b"y" * 400, client.home)
        self.assertEqual(len(client.heard()), 2)
        self.assertEqual(len([self.received(self.peer) for _ in range(2)]), 2)
        self.assert_nothing_for(self.peer)
        self.assertEqual(self.plane.counters(client.flow).dropped_packets, 2)
        free.send_on(0x4000, b"x" * 4000)
        self.assertEqual(self.received(self.peer)[1], self.homes[1])

    def test_an_icmp_error_reaches_whose_the_peer_is(self) -> None:
        """Rule 8; the others on the socket hear nothing of it."""
        client, other = self.client(), self.client()
        closed = self.socket()
        target = self.address(closed)
        closed.close()
        for each in (client, other):
            each.permit()
        other.send(self.at, b"elsewhere")
        client.send(target, b"anyone?")
        self.assertEqual(client.heard(), [(target, b"ICMP")])
        self.assertEqual(other.heard(), [])
        other.send(self.at, b"undisturbed")
        self.assertEqual([self.received(self.peer)[0] for _ in range(2)][1], b"undisturbed")

    def test_a_public_face(self) -> None:
        """A peer that is named by the public address of this machine is shown by it."""
        public = "2001:4860::1" if ":" in self.host else "9.9.9.9"
        client = self.client()
        client.permit(public, reached_at=self.host)
        client.send((public, self.at[1]), b"in")
        self.assertEqual(self.received(self.peer), (b"in", client.home))
        self.peer.sendto(b"out", client.home)
        self.assertEqual(client.heard(), [((public, self.at[1]), b"out")])


class NameTests(SharedTestCase):
    """Rules 4 to 7: packets that no pair explains."""

    def setUp(self) -> None:
        super().setUp()
        self.peer, self.stranger = self.socket(), self.socket()
        self.at, self.from_ = self.address(self.peer), self.address(self.stranger)
        self.alice = self.client()
        self.alice.permit()
        self.alice.send(self.at, check("peer", "alice"))
        self.received(self.peer)

    def unclaimed(self) -> int:
        self.drain()
        return self.plane.shared_totals().unclaimed

    def test_an_unknown_port_of_a_permitted_host_is_nobodys(self) -> None:
        """Without a check of ICE nobody can tell whose it is; it is dropped and counted."""
        for payload in (b"", b"\x16dtls", check("nobody", "x"), b"\0\1\0\0" + b"\x21\x12\xa4\x42"):
            self.stranger.sendto(payload, self.alice.home)
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(self.unclaimed(), 4)

    def test_a_name_without_a_sender(self) -> None:
        """USERNAME of ICE has two parts."""
        half = encode(Method.BINDING, Class.REQUEST, b"c" * 12, [(Attribute.USERNAME, b"alice")])
        self.stranger.sendto(half, self.alice.home)
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(self.unclaimed(), 1)

    def test_a_check_finds_its_client_by_name(self) -> None:
        """It comes as Data, and claims nothing: the client's answer does."""
        hello = check("alice", "stranger")
        self.stranger.sendto(hello, self.alice.home)
        self.assertEqual(self.alice.heard(), [(self.from_, hello)])
        self.stranger.sendto(b"too early", self.alice.home)
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(self.plane.shared_totals().pairs, 1)
        self.alice.send(self.from_, b"come in")
        self.assertEqual(self.received(self.stranger), (b"come in", self.alice.home))
        self.stranger.sendto(b"now", self.alice.home)
        self.assertEqual(self.alice.heard(), [(self.from_, b"now")])
        self.assertEqual(self.unclaimed(), 1)

    def test_a_name_is_worth_nothing_without_a_permission(self) -> None:
        """A check from a host that the client does not permit is nobody's."""
        bob = self.client()
        bob.channel(0x4000, self.at)
        bob.send_on(0x4000, check("peer", "bob"))
        self.plane.permit(bob.flow, PeerPermission(self.host, self.host, ((1, 2),)), 1e9)
        self.stranger.sendto(check("bob", "stranger"), bob.home)
        self.assertEqual((bob.heard(), self.alice.heard()), ([], []))
        self.assertEqual(self.unclaimed(), 1)

    def test_names_are_learnt_from_every_frame(self) -> None:
        """ChannelData, and what comes over a stream."""
        path = StreamPath()
        flow = self.plane.open(path, [self.relays[1]], 0)
        permission = PeerPermission(self.host, self.host)
        self.plane.permit(flow, permission, 1e9)
        self.plane.claim(flow, self.at, permission)
        self.plane.bind_channel(flow, 0x4000, self.at, permission, 1e9)
        self.plane.from_stream(path, pack(0x4000, check("peer", "carol"), padded=True))
        self.plane.from_stream(path, send_indication(self.at, check("peer", "carla")))
        for name in ("carol", "carla"):
            self.stranger.sendto(check(name, "stranger"), self.homes[1])
        self.drain()
        self.assertEqual(len(path.frames), 2)

    def test_what_is_no_check_teaches_nothing(self) -> None:
        """Another type, no cookie, another length, no colon, an empty or a long name."""
        request = Class.REQUEST
        long = b"peer:" + b"n" * (MAX_NAME + 1)
        whole = check("peer", "mallory")
        for payload in (
            encode(Method.BINDING, Class.SUCCESS, b"c" * 12, [(6, b"peer:mallory")]),
            encode(Method.BINDING, request, b"c" * 16, [(6, b"peer:mallory")], classic=True),
            encode(Method.BINDING, request, b"c" * 12, [(6, b"mallory"), (6, b"peer:mallory")]),
            encode(Method.BINDING, request, b"c" * 12, [(6, b"peer:")]),
            encode(Method.BINDING, request, b"c" * 12, [(6, long)]),
            whole + b"more",
            whole[:-4],
        ):
            self.alice.send(self.at, payload)
        for name in ("mallory", "", "n" * (MAX_NAME + 1)):
            self.stranger.sendto(check(name, "stranger"), self.alice.home)
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(self.unclaimed(), 3)

    def test_the_longest_name(self) -> None:
        """The longest that ICE allows serves."""
        name = "n" * MAX_NAME
        self.alice.send(self.at, check("peer", name))
        self.stranger.sendto(check(name, "stranger"), self.alice.home)
        self.assertEqual(len(self.alice.heard()), 1)

    def test_what_was_not_sent_teaches_nothing(self) -> None:
        """A peer that is not permitted, or not to be had."""
        bob = self.client()
        bob.send(self.at, check("peer", "bob"))
        bob.permit()
        self.stranger.sendto(check("bob", "stranger"), bob.home)
        self.assertEqual(bob.heard(), [])

    def test_the_newest_names_are_kept(self) -> None:
        """One more pushes the eldest out; the name of a flow that ended is nobody's."""
        for number in range(MAX_NAMES):
            self.alice.send(self.at, check("peer", f"alice{number}"))
        self.stranger.sendto(check("alice", "stranger"), self.alice.home)
        self.assertEqual(self.unclaimed(), 1)
        self.stranger.sendto(check("alice0", "stranger"), self.alice.home)
        self.assertEqual(len(self.alice.heard()), 1)
        self.plane.close(self.alice.flow)
        self.stranger.sendto(check("alice0", "stranger"), self.alice.home)
        self.assertEqual(self.unclaimed(), 2)

    def test_a_name_that_two_clients_have(self) -> None:
        """Both get the check: only one can answer it. The peer is whose client answers first."""
        bob = self.client(1)
        bob.permit()
        bob.send(self.at, check("peer", "alice"))
        hello = check("alice", "stranger")
        self.stranger.sendto(hello, self.alice.home)
        self.assertEqual(self.alice.heard(), [(self.from_, hello)])
        self.assertEqual(bob.heard(), [(self.from_, hello)])
        self.assertEqual(self.plane.shared_totals().pairs, 2)

    def test_not_all_clients_of_one_name_are_looked_at(self) -> None:
        """The ones that have had it longest count, so nobody can make a check cost much."""
        others = []
        for _ in range(MAX_NAMES):
            other = self.client()
            other.permit()
            other.send(self.address(self.socket()), check("peer", "alice"))
            others.append(other)
        self.stranger.sendto(check("alice", "stranger"), self.alice.home)
        counts = [len(client.heard()) for client in (self.alice, *others)]
        self.assertEqual(counts, [1] * MAX_NAMES + [0])

    def test_a_check_on_a_known_pair_for_another_client(self) -> None:
        """It goes to whom it names, if that one permits its source; the pair stays."""
        bob = self.client()
        bob.permit()
        bob.send(self.from_, check("peer", "bob"))
        self.assertEqual(self.received(self.stranger)[1], bob.home)
        for_bob = check("bob", "peer")
        self.peer.sendto(for_bob, self.alice.home)
        self.assertEqual(bob.heard(), [(self.at, for_bob)])
        self.assertEqual(self.alice.heard(), [])
        self.peer.sendto(b"media", self.alice.home)
        self.assertEqual(self.alice.heard(), [(self.at, b"media")])
        bob.channel(0x4000, self.at)
        self.peer.sendto(for_bob, self.alice.home)
        self.assertEqual(bob.heard(), [(0x4000, for_bob)])

    def test_a_check_on_a_known_pair_whose_name_two_have(self) -> None:
        """The one who has the pair gets it alone."""
        bob = self.client(1)
        bob.permit()
        bob.send(self.from_, check("peer", "alice"))
        hello = check("alice", "peer")
        self.peer.sendto(hello, self.alice.home)
        self.assertEqual((self.alice.heard(), bob.heard()), ([(self.at, hello)], []))

    def test_other_checks_on_a_known_pair_stay_there(self) -> None:
        """Those that name its own client, nobody, or one that does not permit the source."""
        bob = self.client()
        bob.permit(until=100)
        bob.send(self.from_, check("peer", "bob"))
        self.plane.expire(101)
        checks = [check(name, "peer") for name in ("alice", "nobody", "bob")]
        for each in checks:
            self.peer.sendto(each, self.alice.home)
        self.assertEqual(self.alice.heard(), [(self.at, each) for each in checks])
        self.assertEqual(bob.heard(), [])

    def test_the_answer_leaves_where_a_stranger_was_heard(self) -> None:
        """A peer behind a NAT of its own kind answers a moved pair from another port."""
        bob = self.client()
        bob.permit()
        bob.send(self.at, check("peer", "bob"))
        self.assertEqual(self.received(self.peer)[1], self.homes[1])
        self.stranger.sendto(check("bob", "peer"), self.homes[1])
        self.assertEqual(len(bob.heard()), 1)
        bob.send(self.from_, b"answer")
        self.assertEqual(self.received(self.stranger), (b"answer", self.homes[1]))

    def test_few_strangers_are_noted(self) -> None:
        """The newest: the answer to an older one leaves from the home."""
        strangers = [self.socket() for _ in range(MAX_NOTES + 1)]
        for each in (*strangers[:-1], strangers[0], strangers[-1]):
            each.sendto(check("alice", "stranger"), self.homes[2])
            self.drain()
        for each, index in ((strangers[0], 2), (strangers[1], 0), (strangers[-1], 2)):
            self.alice.send(self.address(each), b"answer")
            self.assertEqual(self.received(each)[1], self.homes[index])

    def test_another_address_of_the_relay_is_no_way_in(self) -> None:
        """A name counts on the host of the client's home only."""
        if ":" in self.host:
            return
        self.share("127.0.0.2")
        self.stranger.sendto(check("alice", "stranger"), self.homes[4])
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(self.unclaimed(), 1)


class IPv6PairTests(PairTests):
    """The same over IPv6."""

    host = "::1"


class IPv6NameTests(NameTests):
    """The same over IPv6."""

    host = "::1"


_FRAMED = st.binary(max_size=60).map(
    lambda body: b"\0\1" + len(body).to_bytes(2, "big") + COOKIE + b"c" * 12 + body
)
"""Binding requests by their header, with anything inside."""


_GARBAGE = st.lists(st.binary(max_size=80) | _FRAMED, max_size=4)


class GarbageTestCase(SharedTestCase):
    """Bytes that are nothing."""

    def bring(self, packets: list[bytes]) -> None:
        """From a stranger, a peer and a client: no fault of ours comes of it."""
        client = self.client()
        with (
            socket.socket(type=socket.SOCK_DGRAM) as peer,
            socket.socket(type=socket.SOCK_DGRAM) as stranger,
        ):
            for each in (peer, stranger):
                each.bind((self.host, 0))
            client.channel(0x4000, self.address(peer))
            for packet in packets:
                peer.sendto(packet, client.home)
                stranger.sendto(packet, client.home)
                client.send_on(0x4000, packet)
                client.send(self.homes[1], packet)
            self.drain()
        self.plane.close(client.flow)
        client.sock.close()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assert_nothing_held()


class GarbageTests(GarbageTestCase):
    """Bytes that are nothing, for the pure-Python plane."""

    @settings(max_examples=60, deadline=None)
    @given(_GARBAGE)
    def test_any_bytes(self, packets: list[bytes]) -> None:
        """No fault of ours comes of it."""
        self.bring(packets)


class NativeGarbageTests(NativeMade, GarbageTestCase):
    """Bytes that are nothing, for the native plane."""

    @settings(max_examples=60, deadline=None)
    @given(_GARBAGE)
    def test_any_bytes(self, packets: list[bytes]) -> None:
        """No fault of ours comes of it."""
        self.bring(packets)


class NativePairTests(NativeMade, PairTests):
    """The native data plane does the same."""


class NativeNameTests(NativeMade, NameTests):
    """The native data plane does the same."""


class NativeIPv6PairTests(NativeMade, IPv6PairTests):
    """The native data plane does the same over IPv6."""


class NativeIPv6NameTests(NativeMade, IPv6NameTests):
    """The native data plane does the same over IPv6."""
