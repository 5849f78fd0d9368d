"""Tests of b2bua.srv."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.srv import (
    AddressRecords,
    IpVersion,
    Problem,
    ServiceLocation,
    SrvRecord,
    in_order,
)

records_of_any_kind = st.lists(
    st.builds(
        SrvRecord,
        priority=st.integers(0, 3),
        weight=st.integers(0, 65535),
        port=st.just(5060),
        target=st.sampled_from(["a.example", "b.example.", "C.example", ".", ""]),
        ttl=st.floats(0, 2**31),
    ),
    max_size=40,
)


def record(target: str, priority: int = 0, weight: int = 0, ttl: float = 60.0) -> SrvRecord:
    return SrvRecord(priority, weight, 5060, target, ttl)


def firsts(records: list[SrvRecord], draws: int = 4000) -> Counter[str]:
    random = Random(5).random
    return Counter(in_order(records, random)[0].target for _ in range(draws))


class OrderTests(SynchronousTestCase):
    """The order of RFC 2782."""

    def test_priority(self) -> None:
        """A lower priority value always comes first, whatever the weights."""
        records = [record("b", 20, 65535), record("a", 10), record("c", 30, 1)]
        self.assertEqual([r.target for r in in_order(records, Random(1).random)], ["a", "b", "c"])

    def test_weight(self) -> None:
        """Within a priority the chance of being first is in proportion to the weight."""
        chosen = firsts([record("a", weight=300), record("b", weight=100)])
        self.assertTrue(2850 < chosen["a"] < 3150, chosen)

    def test_zero_weight_beside_others(self) -> None:
        """A record of weight 0 is first now and then, but rarely."""
        chosen = firsts([record("a", weight=30), record("none", weight=0)])
        self.assertTrue(0 < chosen["none"] < 4000 / 31 * 2, chosen)
        records = [record("a", weight=30), record("none", weight=0)]
        self.assertEqual(in_order(records, lambda: 0.0)[0].target, "none")

    def test_zero_weights_only(self) -> None:
        """Records of weight 0 among themselves take turns evenly."""
        chosen = firsts([record(name) for name in "abcd"])
        self.assertEqual(len(chosen), 4)
        self.assertTrue(all(800 < often < 1200 for often in chosen.values()), chosen)

    def test_extreme_draws(self) -> None:
        """The ends of the random range choose records too."""
        records = [record("a", weight=1), record("b", weight=2)]
        for draw in (0.0, 1 - 2**-53):
            self.assertEqual(len(in_order(records, lambda draw=draw: draw)), 2)

    @given(records_of_any_kind, st.randoms(use_true_random=False))
    def test_all_there(self, records: list[SrvRecord], random: Random) -> None:
        """Each record comes out once, priorities ascending."""
        ordered = in_order(records, random.random)
        self.assertEqual(Counter(ordered), Counter(records))
        priorities = [found.priority for found in ordered]
        self.assertEqual(priorities, sorted(priorities))


class LocationTests(SynchronousTestCase):
    """From answers of the DNS to targets, over time."""

    def setUp(self) -> None:
        self.location = ServiceLocation(Random(3).random)

    def answer(self, now: float = 100.0, ttl: float = 60.0) -> None:
        """A usual answer: two servers with an address each."""
        self.location.answered(
            [record("a.example", 1, ttl=ttl), record("b.example", 2, ttl=ttl)],
            {
                "A.example.": AddressRecords(("192.0.2.1",), ttl),
                "b.example": AddressRecords(("192.0.2.2",), ttl),
            },
            now,
        )

    def hosts(self) -> list[str]:
        return [target.host for target in self.location.targets()]

    def test_before_the_first_answer(self) -> None:
        """At first there is nothing, and the DNS is to be asked at once."""
        self.assertEqual(self.hosts(), [])
        self.assertEqual(self.location.next_lookup(), 0.0)
        self.assertEqual(self.location.problem, Problem.NOT_ASKED)

    def test_targets(self) -> None:
        """Targets come in order, with port and name; names match in any case, dot or not."""
        self.answer()
        target = self.location.targets()[0]
        self.assertEqual((target.host, target.port, target.name), ("192.0.2.1", 5060, "a.example"))
        self.assertEqual(self.hosts(), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.location.problem, Problem.NONE)

    def test_ttl(self) -> None:
        """The shortest TTL says when to ask again; 0 does not mean at once, a year not a year."""
        for ttl, expected in ((60.0, 60.0), (5.0, 5.0), (0.0, 5.0), (1.0, 5.0), (1e9, 86400.0)):
            self.answer(100.0, ttl)
            self.assertEqual(self.location.next_lookup(), 100.0 + expected)
        self.location.answered(
            [record("a", ttl=300)], {"a": AddressRecords(("192.0.2.1",), 20)}, 0.0
        )
        self.assertEqual(self.location.next_lookup(), 20.0)

    def test_change(self) -> None:
        """A new answer replaces the old one at once."""
        self.answer()
        self.location.answered([record("c")], {"c": AddressRecords(("192.0.2.9",))}, 200.0)
        self.assertEqual(self.hosts(), ["192.0.2.9"])

    def test_dns_down_for_a_day(self) -> None:
        """The last answer stays in use for as long as the DNS is silent; no storm of look-ups."""
        self.answer(0.0)
        now, lookups = 60.0, 0
        while now < 86400.0:
            self.location.failed(now)
            lookups += 1
            following = self.location.next_lookup()
            self.assertTrue(1.0 <= following - now <= 30.0)
            now = following
        self.assertEqual(self.hosts(), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.location.problem, Problem.DNS_SILENT)
        self.assertTrue(lookups < 86400 / 14, lookups)
        self.answer(now)
        self.assertEqual(self.location.problem, Problem.NONE)
        self.assertEqual(self.location.next_lookup(), now + 60.0)

    def test_dns_down_at_the_start(self) -> None:
        """There are no targets then, and the DNS is asked again within 30 s, sooner at first."""
        self.location.failed(0.0)
        self.assertEqual(self.hosts(), [])
        self.assertEqual(self.location.next_lookup(), 1.0)
        self.assertEqual(self.location.problem, Problem.DNS_SILENT)

    def test_denial(self) -> None:
        """That there is no such name is an answer: what was known is dropped."""
        self.answer()
        self.location.denied(160.0)
        self.assertEqual(self.hosts(), [])
        self.assertEqual(self.location.problem, Problem.NO_SUCH_NAME)
        self.assertEqual(self.location.next_lookup(), 165.0)
        self.location.denied(165.0, ttl=3600)
        self.assertEqual(self.location.next_lookup(), 195.0)

    def test_not_offered(self) -> None:
        """The target ``.`` says that there is no such service."""
        self.location.answered([record(".")], {}, 0.0)
        self.assertEqual(self.hosts(), [])
        self.assertEqual(self.location.problem, Problem.NOT_OFFERED)

    def test_dot_among_others(self) -> None:
        """A target ``.`` beside real ones is passed over."""
        self.location.answered(
            [record(".", 0), record("b", 1)], {"b": AddressRecords(("192.0.2.2",))}, 0.0
        )
        self.assertEqual(self.hosts(), ["192.0.2.2"])

    def test_target_without_address(self) -> None:
        """A target without an address is passed over; if all are, that is the problem."""
        self.location.answered(
            [record("a", 0), record("b", 1)],
            {"a": AddressRecords(()), "b": AddressRecords(("192.0.2.2",))},
            0.0,
        )
        self.assertEqual(self.hosts(), ["192.0.2.2"])
        self.location.answered([record("a", 0)], {}, 0.0)
        self.assertEqual(self.hosts(), [])
        self.assertEqual(self.location.problem, Problem.NO_ADDRESS)
        self.location.answered([], {}, 0.0)
        self.assertEqual(self.location.problem, Problem.NO_ADDRESS)

    def test_silence_about_one_target(self) -> None:
        """When the DNS is silent about one target's address, the one known before stays."""
        self.answer()
        records = [record("a.example", 1), record("b.example", 2), record("new.example", 3)]
        self.location.answered(
            records,
            {"a.example": None, "b.example": AddressRecords(("192.0.2.22",)), "new.example": None},
            200.0,
        )
        self.assertEqual(self.hosts(), ["192.0.2.1", "192.0.2.22"])
        self.assertEqual(self.location.next_lookup(), 205.0)

    def test_ip_version(self) -> None:
        """The preferred version comes first; the other one serves where it is the only one."""
        both = AddressRecords(("2001:db8::1", "192.0.2.1", "2001:db8::1"))
        for prefer, expected in (
            (IpVersion.IPV4, ["192.0.2.1", "2001:db8::1"]),
            (IpVersion.IPV6, ["2001:db8::1", "192.0.2.1"]),
        ):
            self.location = ServiceLocation(Random(1).random, prefer)
            self.location.answered([record("a")], {"a": both}, 0.0)
            self.assertEqual(self.hosts(), expected)
        self.location = ServiceLocation(Random(1).random)
        self.location.answered([record("a")], {"a": AddressRecords(("2001:db8::1",))}, 0.0)
        self.assertEqual(self.hosts(), ["2001:db8::1"])

    def test_too_many(self) -> None:
        """Of thousands of records or addresses the 16 most preferred stay."""
        records = [record(f"s{number}", 5000 - number) for number in range(4096)]
        addresses = tuple(f"192.0.2.{number}" for number in range(200))
        found = {f"s{number}": AddressRecords(addresses) for number in range(4096)}
        self.location.answered(records, found, 0.0)
        targets = self.location.targets()
        self.assertEqual(len(targets), 16 * 16)
        self.assertEqual(targets[0].name, "s4095")

    @given(
        records_of_any_kind,
        st.dictionaries(
            st.sampled_from(["a.example", "B.example", "c.example.", "."]),
            st.none() | st.builds(AddressRecords, st.just(("192.0.2.1", "2001:db8::1"))),
        ),
    )
    def test_any_answer(
        self, records: list[SrvRecord], addresses: dict[str, AddressRecords | None]
    ) -> None:
        """Whatever the answer is, there are targets or a problem, and no look-up at once."""
        location = ServiceLocation(Random(3).random)
        location.answered(records, addresses, 50.0)
        self.assertEqual(bool(location.targets()), location.problem is Problem.NONE)
        self.assertTrue(55.0 <= location.next_lookup() <= 50.0 + 86400.0)
