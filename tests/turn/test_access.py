"""Tests of turn.access."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from timeit import timeit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.access import PeerRules, allow_line, canonical
from turn.address_range import parse_address_range
from turn.data_plane import PeerPermission
from turn.settings import AddressRange, PeerProfile, PeerSettings

LOW, HIGH = 49152, 65535


def between(first: str, last: str) -> AddressRange:
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    return AddressRange(low.version, int(low), int(high), f"{first}-{last}")


def rules(
    profile: PeerProfile = PeerProfile.SAFE,
    *,
    allowed: tuple[AddressRange, ...] = (),
    denied: tuple[AddressRange, ...] = (),
    allow_loopback: bool = False,
    deny_multicast: bool = True,
    open_ports: tuple[tuple[str, int, int], ...] = (),
    relay: tuple[str, ...] = (),
    external: dict[str, str] | None = None,
    listening: tuple[tuple[str, int], ...] = (),
) -> PeerRules:
    settings = PeerSettings(
        profile=profile,
        allowed=allowed,
        denied=denied,
        allow_loopback=allow_loopback,
        deny_multicast=deny_multicast,
        open_ports=open_ports,
    )
    return PeerRules(
        settings,
        relay_addresses=relay,
        external=external or {},
        min_port=LOW,
        max_port=HIGH,
        own_endpoints=listening,
    )


def _nat64_of_48(value: int) -> int:
    return 0x64FF9B0001 << 80 | (value >> 16) << 64 | (value & 0xFFFF) << 40


def _nat64_of_56(value: int) -> int:
    return 0x64FF9B0001 << 80 | (value >> 24) << 64 | (value & 0xFFFFFF) << 32


EMBEDDINGS: dict[str, Callable[[int], int]] = {
    "mapped": lambda value: 0xFFFF << 32 | value,
    "translated": lambda value: 0xFFFF0000 << 32 | value,
    "compatible": lambda value: value,
    "6to4": lambda value: 0x2002 << 112 | value << 80 | 1,
    "NAT64": lambda value: 0x64FF9B << 96 | value,
    "local NAT64, /96": lambda value: 0x64FF9B0001 << 80 | value,
    "local NAT64, /64": lambda value: 0x64FF9B0001 << 80 | value << 24,
    "local NAT64, /56": _nat64_of_56,
    "local NAT64, /48": _nat64_of_48,
    "Teredo": lambda value: 0x20010000 << 96 | 0xC0000201 << 64 | value ^ 0xFFFFFFFF,
}
ANY_V4 = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        ["0.0.0.1", "0.0.1.0", "127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"]
    ).map(lambda host: int(IPv4Address(host))),
)
DENIED_WHEN_SAFE = """
    0.0.0.0 0.255.255.255 127.0.0.1 127.255.255.255 169.254.169.254 10.0.0.0 10.255.255.255
    172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0 100.127.255.255 192.0.0.0
    192.0.0.255 192.0.2.0 192.0.2.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.255
    192.88.99.1 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255
    :: ::1 fe80::1 febf::1 fc00::1 fdff::1 fec0::1 feff::1 ff02::1 2001:db8::1 2001:db8:ffff::1
    100::1 100:0:0:1::1 2001::1 2001:1ff::1 3fff::1 64:ff9b:1::808:808 5f00::1 4000::1 1fff::1
    ::2 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 ::8.8.8.8 64:ff9b::10.0.0.1 2002:7f00:1::1
"""
DENIED_BY_COTURN = """
    0.1.2.3 127.0.0.1 169.254.169.254 224.0.0.5 :: ::1 fe80::1 fc00::1 fd00::1 fec0::1 ff02::1
    ::ffff:127.0.0.1 ::127.0.0.1 2002:7f00:1:: 64:ff9b::127.0.0.1
"""
ALLOWED_WHEN_SAFE = """
    1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0
    192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
    198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 8.8.8.8
    2001:200::1 2001:db7:ffff::1 2001:db9::1 2a00:1450::1 2606:4700::1111 3ffe::1
    64:ff9b::8.8.8.8 2002:808:808::1
"""


class SafeProfileTests(SynchronousTestCase):
    """Only addresses of the Internet may be peers."""

    def test_denied(self) -> None:
        """Every block that is not routable is denied, from its first address to its last."""
        safe = rules()
        for host in DENIED_WHEN_SAFE.split():
            decision = safe.decide(host, 5000)
            self.assertIsNone(decision.permission, host)
            self.assertNotEqual(decision.rule, "", host)

    def test_allowed(self) -> None:
        """Their neighbours are allowed, on every port and where they are."""
        safe = rules()
        for host in ALLOWED_WHEN_SAFE.split():
            host = str(ipaddress.ip_address(host))
            decision = safe.decide(host, 5000)
            self.assertEqual(decision.permission, PeerPermission(host, host), decision.rule)

    def test_rule_in_words(self) -> None:
        """The decision names the block, and the embedding if there is one."""
        for host, rule in (
            ("169.254.169.254", "link-local (169.254.0.0/16)"),
            ("ff02::1", "multicast (ff00::/8)"),
            ("64:ff9b::7f00:1", "loopback (127.0.0.0/8), as NAT64 IPv6 address"),
            ("::ffff:808:808", "IPv4 address, as IPv4-mapped IPv6 address"),
            ("8.8.8.8", "allowed by the profile"),
        ):
            self.assertEqual(rules().decide(host, 1).rule, rule)

    @given(st.text())
    def test_no_address(self, host: str) -> None:
        """Text that is no address is denied; nothing is raised."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            decision = rules().decide(host, 1)
            self.assertEqual((decision.permission, decision.rule), (None, "not an IP address"))

    def test_zone(self) -> None:
        """An address with a zone is none that can be compared."""
        self.assertIsNone(rules().decide("2a00::1%lo", 1).permission)


class CoturnProfileTests(SynchronousTestCase):
    """coTURN's built-in rules, no more and no less."""

    def test_denied(self) -> None:
        """Loopback, link-local and the like are denied."""
        coturn = rules(PeerProfile.COTURN)
        for host in DENIED_BY_COTURN.split():
            self.assertIsNone(coturn.decide(host, 5000).permission, host)

    def test_allowed(self) -> None:
        """Private and reserved addresses are allowed."""
        coturn = rules(PeerProfile.COTURN)
        for host in ("10.0.0.1", "192.168.1.1", "100.64.0.1", "240.0.0.1", "2001:db8::1"):
            self.assertIsNotNone(coturn.decide(host, 5000).permission, host)

    def test_multicast(self) -> None:
        """Multicast is allowed unless denied by option."""
        coturn = rules(PeerProfile.COTURN, deny_multicast=False)
        for host in ("224.0.0.5", "ff02::1"):
            self.assertIsNotNone(coturn.decide(host, 5000).permission)
        self.assertIsNone(rules(deny_multicast=False).decide("224.0.0.5", 5000).permission)

    def test_loopback(self) -> None:
        """Loopback can be allowed by option, in both profiles; other spellings cannot."""
        for profile in PeerProfile:
            loose = rules(profile, allow_loopback=True)
            for host in ("127.0.0.1", "::1"):
                self.assertEqual(
                    loose.decide(host, 5000).permission, PeerPermission(host, host), profile
                )
            self.assertIsNone(loose.decide("::ffff:127.0.0.1", 5000).permission)

    def test_own_addresses(self) -> None:
        """An own address is open as coTURN has it, but not where this server listens."""
        coturn = rules(
            PeerProfile.COTURN, relay=("192.168.1.5",), listening=(("192.168.1.5", 3478),)
        )
        self.assertIsNotNone(coturn.decide("192.168.1.5", 3480).permission)
        self.assertIsNone(coturn.decide("192.168.1.5", 3478).permission)


class EmbeddedAddressTests(SynchronousTestCase):
    """An IPv4 address hidden in an IPv6 one gains nothing."""

    @given(ANY_V4, st.sampled_from(sorted(EMBEDDINGS)), st.sampled_from(PeerProfile))
    def test_denied_in_every_spelling(
        self, value: int, embedding: str, profile: PeerProfile
    ) -> None:
        """What is denied as IPv4 is denied in every embedding, even if all IPv6 is allowed."""
        judge = rules(
            profile,
            denied=(between("8.8.0.0", "8.8.255.255"),),
            allowed=(between("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),),
        )
        if judge.decide(str(IPv4Address(value)), 1).permission is None:
            hidden = str(IPv6Address(EMBEDDINGS[embedding](value)))
            if hidden != "::1":
                self.assertIsNone(judge.decide(hidden, 1).permission, hidden)

    @given(ANY_V4, st.sampled_from(sorted(EMBEDDINGS)))
    def test_canonical(self, value: int, embedding: str) -> None:
        """The canonical form is the IPv4 address, where the length of the prefix is known."""
        hidden = EMBEDDINGS[embedding](value)
        if embedding not in ("local NAT64, /64", "local NAT64, /56", "local NAT64, /48"):
            expected = str(IPv6Address(value)) if hidden < 2 else str(IPv4Address(value))
            self.assertEqual(canonical(str(IPv6Address(hidden))), expected)

    def test_canonical_text(self) -> None:
        """Other addresses come out in the form of ``inet_ntop``."""
        for host, expected in (
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::1", "::1"),
            ("::", "::"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ):
            self.assertEqual(canonical(host), expected)
        for text in ("", "host", "1.2.3", "fe80::1%eth0", "0127.0.0.1"):
            self.assertRaises(ValueError, canonical, text)

    def test_mapped_is_refused_even_if_allowed(self) -> None:
        """Spellings that lead nowhere, or nobody knows where, are never peers."""
        judge = rules(allowed=(between("8.8.8.8", "8.8.8.8"), between("::", "2000::")))
        self.assertIsNotNone(judge.decide("8.8.8.8", 1).permission)
        for name in ("mapped", "translated", "compatible", "local NAT64, /96"):
            hidden = str(IPv6Address(EMBEDDINGS[name](int(IPv4Address("8.8.8.8")))))
            self.assertIsNone(judge.decide(hidden, 1).permission)

    def test_own_address_inside(self) -> None:
        """An own address is reached by its own name only."""
        judge = rules(relay=("9.9.9.9",))
        self.assertIsNone(judge.decide("64:ff9b::9.9.9.9", LOW).permission)


class ExplicitRangeTests(SynchronousTestCase):
    """The operator's ranges come before the table, allowed before denied."""

    def test_allowed_beats_denied(self) -> None:
        """A hole in a denied range is open, to its last address."""
        judge = rules(
            denied=(between("11.0.0.0", "11.255.255.255"),),
            allowed=(between("11.0.0.255", "11.0.1.1"),),
        )
        for host, allowed in (
            ("11.0.0.254", False),
            ("11.0.0.255", True),
            ("11.0.1.1", True),
            ("11.0.1.2", False),
        ):
            self.assertEqual(judge.decide(host, 1).permission is not None, allowed, host)

    def test_allowed_beats_the_profile(self) -> None:
        """A private or loopback range works if it is allowed."""
        judge = rules(allowed=(between("127.0.0.1", "127.0.0.1"), between("fd00::", "fd00::ff")))
        self.assertIsNotNone(judge.decide("127.0.0.1", 1).permission)
        self.assertIsNotNone(judge.decide("fd00::ff", 1).permission)
        self.assertIsNone(judge.decide("127.0.0.2", 1).permission)
        self.assertIsNone(judge.decide("fd00::100", 1).permission)

    def test_never_allowed(self) -> None:
        """0.0.0.0/8 and :: reach this machine's own services; no rule opens them."""
        judge = rules(
            allowed=(between("0.0.0.0", "255.255.255.255"), between("::", "ffff::")),
            allow_loopback=True,
        )
        for host in ("0.0.0.0", "0.0.0.1", "::"):
            self.assertIsNone(judge.decide(host, 1).permission, host)

    def test_denied_beats_loopback_option(self) -> None:
        """A denied range holds against allow_loopback and against own addresses."""
        judge = rules(
            denied=(between("127.0.0.0", "127.0.0.9"),), allow_loopback=True, relay=("127.0.0.2",)
        )
        self.assertIsNone(judge.decide("127.0.0.2", LOW).permission)
        self.assertIsNotNone(judge.decide("127.0.0.10", LOW).permission)

    @given(
        st.sampled_from([4, 6]),
        st.integers(0, 0x2FF),
        st.integers(0, 0x2FF),
        st.integers(0, 0x2FF),
    )
    def test_ranges_against_brute_force(self, family: int, one: int, two: int, host: int) -> None:
        """A range contains what lies between its ends, wherever bytes carry over."""
        base = int(IPv4Address("9.255.254.0")) if family == 4 else 0x2600 << 112 | 0xFFFE00
        kind = IPv4Address if family == 4 else IPv6Address
        first, last = sorted((one, two))
        judge = rules(denied=(between(str(kind(base + first)), str(kind(base + last))),))
        denied = judge.decide(str(kind(base + host)), 1).rule.startswith("denied")
        self.assertEqual(denied, host in range(first, last + 1))

    def test_families_are_apart(self) -> None:
        """An IPv4 range says nothing about IPv6 addresses of the same value."""
        judge = rules(allowed=(between("0.0.0.0", "255.255.255.255"),))
        self.assertIsNone(judge.decide("::1", 1).permission)


class OwnAddressTests(SynchronousTestCase):
    """This machine is open where relays are, and nowhere else."""

    def setUp(self) -> None:
        """A relay behind NAT, with a gateway beside it."""
        self.rules = rules(
            relay=("10.0.0.5",),
            external={"9.9.9.9": "10.0.0.5"},
            open_ports=(
                ("10.0.0.5", 36000, 36999),
                ("10.0.0.6", 36500, 36999),
                ("10.0.0.6", 36000, 36700),
            ),
            listening=(("9.9.9.9", 443), ("10.0.0.5", 50000), ("0.0.0.0", 60000)),
        )

    def test_public_address(self) -> None:
        """A peer at the public address is reached at the local one, on relay ports only."""
        decision = self.rules.decide("9.9.9.9", LOW)
        ports = ((LOW, 49999), (50001, 59999), (60001, HIGH))
        expected = PeerPermission("9.9.9.9", "10.0.0.5", ports)
        self.assertEqual(decision.permission, expected)
        for port in (22, 443, LOW - 1, 50000, 60000):
            self.assertIsNone(self.rules.decide("9.9.9.9", port).permission, port)

    def test_local_address(self) -> None:
        """The local address is open on the same ports and on those of the gateway."""
        for port, allowed in (
            (35999, False),
            (36000, True),
            (36999, True),
            (37000, False),
            (LOW, True),
            (50000, False),
            (60000, False),
            (HIGH, True),
        ):
            decision = self.rules.decide("10.0.0.5", port)
            self.assertEqual(decision.permission is not None, allowed, port)

    def test_neighbour(self) -> None:
        """Another private address is open on the ports that were opened, and denied beyond."""
        permission = PeerPermission("10.0.0.6", "10.0.0.6", ((36000, 36999),))
        self.assertEqual(self.rules.decide("10.0.0.6", 36500).permission, permission)
        beyond = self.rules.decide("10.0.0.6", LOW)
        self.assertIsNone(beyond.permission)
        self.assertEqual(beyond.rule, "private (10.0.0.0/8), port not open")
        self.assertIsNone(self.rules.decide("10.0.0.7", 36500).permission)

    def test_host_alone(self) -> None:
        """Port 0 asks for the host; the permission says which ports count."""
        permission = PeerPermission("10.0.0.6", "10.0.0.6", ((36000, 36999),))
        self.assertEqual(self.rules.decide("10.0.0.6", 0).permission, permission)
        self.assertIsNone(self.rules.decide("10.0.0.7", 0).permission)

    def test_open_ports_open_only(self) -> None:
        """Ports opened at a public address do not close its others."""
        judge = rules(open_ports=(("9.9.9.8", 36000, 36999),))
        self.assertEqual(
            judge.decide("9.9.9.8", 5).permission, PeerPermission("9.9.9.8", "9.9.9.8")
        )

    def test_confined(self) -> None:
        """A confined user reaches relays and opened ports of this server, and nothing else."""
        judge = rules(relay=("10.0.0.5",), open_ports=(("10.0.0.6", 36000, 36999),))
        for host, port, allowed in (
            ("10.0.0.5", LOW, True),
            ("10.0.0.6", 36000, True),
            ("10.0.0.6", 36999, True),
            ("10.0.0.6", 37000, False),
            ("10.0.0.6", LOW, False),
            ("10.0.0.5", 36000, False),
            ("9.9.9.9", 5, False),
        ):
            permission = judge.decide_confined(host, port).permission
            self.assertEqual(allowed, permission is not None, (host, port))
        permission = judge.decide_confined("10.0.0.6", 0).permission
        self.assertEqual(PeerPermission("10.0.0.6", "10.0.0.6", ((36000, 36999),)), permission)

    def test_explicitly_allowed(self) -> None:
        """An own address that the operator allows is open, and still reached at its local face."""
        judge = rules(
            relay=("10.0.0.5",),
            external={"9.9.9.9": "10.0.0.5"},
            allowed=(between("9.9.9.9", "9.9.9.9"),),
        )
        self.assertEqual(
            judge.decide("9.9.9.9", 80).permission, PeerPermission("9.9.9.9", "10.0.0.5")
        )

    def test_listening_beside_the_relay(self) -> None:
        """Where this server listens is closed also at addresses that are no relay addresses."""
        judge = rules(listening=(("9.9.9.7", 443), ("::", 8443)))
        self.assertIsNone(judge.decide("9.9.9.7", 443).permission)
        host_alone = judge.decide("9.9.9.7", 0).permission
        self.assertEqual(host_alone, PeerPermission("9.9.9.7", "9.9.9.7", ((1, 442), (444, 65535))))

    def test_addresses_of_the_machine_without_a_relay(self) -> None:
        """Whatever else listens there is no peer, unless its address was explicitly allowed."""
        for settings, expected in (
            (PeerSettings(), [None, None]),
            (PeerSettings(allowed=(parse_address_range("9.9.9.10"),)), [None, "9.9.9.10"]),
        ):
            judge = PeerRules(
                settings,
                relay_addresses=("9.9.9.9",),
                external={},
                min_port=50000,
                max_port=50099,
                machine_addresses=("9.9.9.9", "9.9.9.10", "127.0.0.1"),
            )
            decisions = [judge.decide("9.9.9.9", 161), judge.decide("9.9.9.10", 50001)]
            granted = [each.permission and each.permission.host for each in decisions]
            self.assertEqual(granted, expected)
            self.assertIsNotNone(judge.decide("9.9.9.9", 50001).permission)

    def test_wildcard_listener_on_loopback(self) -> None:
        """With loopback allowed, listeners on all addresses stay closed there."""
        judge = rules(allow_loopback=True, listening=(("::", 3478), ("0.0.0.0", 3479)))
        for host, port, allowed in (
            ("127.0.0.1", 3478, False),
            ("127.0.0.1", 3479, False),
            ("::1", 3478, False),
            ("::1", 3479, True),
            ("127.0.0.1", 3480, True),
        ):
            decision = judge.decide(host, port)
            self.assertEqual(decision.permission is not None, allowed, (host, port))

    def test_listening_everywhere(self) -> None:
        """If this server listens on all its relay ports, nothing is left to open."""
        judge = PeerRules(
            PeerSettings(),
            relay_addresses=("9.9.9.9",),
            external={},
            min_port=50000,
            max_port=50000,
            own_endpoints=(("9.9.9.9", 50000),),
        )
        self.assertIsNone(judge.decide("9.9.9.9", 0).permission)


class AllowLineTests(SynchronousTestCase):
    """What the operator would have to write."""

    def test_line(self) -> None:
        """The line names the address that is judged."""
        for host, line in (
            ("10.0.0.5", "allowed-peer-ip=10.0.0.5"),
            ("FD00::1", "allowed-peer-ip=fd00::1"),
            ("64:ff9b::10.0.0.5", "allowed-peer-ip=10.0.0.5"),
        ):
            self.assertEqual(allow_line(host), line)

    def test_no_line(self) -> None:
        """Where no rule helps there is no line."""
        for host in ("0.0.0.0", "0.1.2.3", "::", "nonsense"):
            self.assertEqual(allow_line(host), "")


class SpeedTests(SynchronousTestCase):
    """Deciding is on the path of every permission."""

    def test_repeated_decision(self) -> None:
        """A host that was judged before costs a look-up, and the memory for that is bounded."""
        judge = rules(denied=tuple(between(f"20.{n}.0.0", f"20.{n}.0.9") for n in range(256)))
        first = judge.decide("9.9.9.9", 5000)
        for n in range(10_000):
            judge.decide(f"9.8.{n >> 8}.{n & 255}", 5000)
        self.assertLessEqual(judge._judged.cache_info().currsize, 2048)
        self.assertEqual(judge.decide("9.9.9.9", 5000), first)
        self.assertIs(judge.decide("9.9.9.9", 5000), judge.decide("9.9.9.9", 5000))
        # Far above what it takes, so that a busy machine does not fail it.
        self.assertLess(timeit(lambda: judge.decide("9.9.9.9", 5000), number=1000) / 1000, 50e-6)
