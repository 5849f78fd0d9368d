"""
Where the relay sends nothing, seen from where it would arrive.

In a network of our own, whose loopback carries "public" and "internal" addresses alike, a
listener waits on all of them. A reply that says no is not enough: nothing may come either.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.trial.unittest import SynchronousTestCase

from tests.namespaces import may_make_namespaces, network_namespace
from tests.peers import Place, SuiteProcess
from tests.probe import Probe, Transport, describe, error_code, probing
from turn.stun.attributes import Attribute, Family, pack_family

SERVER = "11.22.0.1"
SERVER_V6 = "2a00:22::1"
PUBLIC = "11.33.0.1"
PUBLIC_V6 = "2a00:33::1"

# One or two of each block that must not be reached (IANA's special-purpose registries).
INTERNAL = (
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "240.0.0.1",
)
# Denied too, but no address that a listener could have.
UNREACHABLE = ("0.0.0.0", "0.1.2.3", "224.0.0.5", "239.1.1.1", "255.255.255.255")

INTERNAL_V6 = ("::1", "fc00::1", "fd00:1::1", "fec0::1", "2001:db8::1")
# Other spellings of 127.0.0.1, 10.0.0.1 and 169.254.169.254, and what no listener can have.
UNREACHABLE_V6 = (
    "::",
    "fe80::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2001:0:7f00:1::f5ff:fffe",
)
# 403 by rule; 443 where the address is refused as one of the other family.
REFUSED = (403, 443)


@contextmanager
def _network() -> Iterator[tuple[Place, tuple[str, ...], tuple[str, ...]]]:
    """Where to run, and which internal addresses of each family exist there."""
    if not may_make_namespaces():
        print("reduced: without root, only 127.0.0.1 and ::1 are listened on", file=sys.stderr)
        yield Place(addresses=("127.0.0.1", "::1")), ("127.0.0.1",), ("::1",)
        return
    own = (f"{SERVER}/32", f"{SERVER_V6}/128")
    v4 = [f"{host}/32" for host in INTERNAL if not host.startswith("127.")]
    v6 = [f"{host}/128" for host in INTERNAL_V6 if host != "::1"]
    # The public peers are no addresses of the machine's, or the rules would see that they are.
    with network_namespace([*own, *v4, *v6], [PUBLIC, PUBLIC_V6]) as namespace:
        place = Place(addresses=(SERVER, SERVER_V6), namespace=namespace)
        yield place, INTERNAL, INTERNAL_V6


class _Listener:
    """One socket on every address of a family, and on one port."""

    def __init__(self, place: Place, wildcard: str) -> None:
        self.socket = place.socket(socket.SOCK_DGRAM, wildcard)
        self._place = place
        if ":" in wildcard:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind((wildcard, 0))
        self.socket.settimeout(0.3)
        self.port = int(self.socket.getsockname()[1])

    def hears(self) -> bytes | None:
        """The next packet, or None."""
        try:
            return self.socket.recv(2048)
        except TimeoutError:
            return None

    def hears_directly(self, host: str) -> bool:
        """Whether something sent to ``host`` without the relay gets here."""
        with self._place.socket(socket.SOCK_DGRAM, host) as sender:
            sender.sendto(b"direct", (host, self.port))
        return self.hears() == b"direct"


def _attempts(probe: Probe, peer: tuple[str, int], channel: int) -> Iterator[str]:
    """Everything a client can try; yields what was not refused."""
    for name, answer in (
        ("CreatePermission", probe.permit(peer)),
        ("ChannelBind", probe.bind(channel, peer)),
    ):
        if error_code(answer) not in REFUSED:
            yield f"{name} for {peer[0]}: {describe(answer)}"
    probe.send_indication(peer, b"by Send")
    probe.send(channel.to_bytes(2, "big") + b"\0\x08by bind.")


class PeerRuleTests(SynchronousTestCase):
    """The rules that hold when a configuration names no peers."""

    def _check(self, family: Family) -> None:
        with _network() as (place, internal, internal_v6):
            reachable, others, public, wildcard = (
                (internal, UNREACHABLE, PUBLIC, "0.0.0.0")
                if family is Family.IPV4
                else (internal_v6, UNREACHABLE_V6, PUBLIC_V6, "::")
            )
            listener = _Listener(place, wildcard)
            self.addCleanup(listener.socket.close)
            for host in reachable:
                self.assertTrue(listener.hears_directly(host), f"nobody listens on {host}")
            with SuiteProcess.started(place=place) as relay:
                for transport in (Transport.UDP, Transport.TCP):
                    with probing(relay, transport) as probe:
                        probe.allocated([(Attribute.REQUESTED_ADDRESS_FAMILY, pack_family(family))])
                        if place.namespace:
                            self._public_peer_hears(probe, (public, listener.port), listener)
                        wrong = [
                            line
                            for number, host in enumerate((*reachable, *others))
                            for line in _attempts(probe, (host, listener.port), 0x4001 + number)
                        ]
                        # An answer to this means that all before it was dealt with.
                        probe.refresh(600)
                        self.assertEqual(wrong, [], "\n".join(wrong))
                        self.assertIsNone(listener.hears())

    def _public_peer_hears(self, probe: Probe, peer: tuple[str, int], listener: _Listener) -> None:
        """The same attempts get through to a peer that is allowed, so silence means something."""
        refused = [error_code(probe.permit(peer)), error_code(probe.bind(0x4000, peer))]
        self.assertEqual(refused, [None, None])
        probe.send_indication(peer, b"by Send")
        self.assertEqual(listener.hears(), b"by Send")
        probe.send(b"\x40\x00\x00\x08by bind.")
        self.assertEqual(listener.hears(), b"by bind.")

    def test_ipv4(self) -> None:
        """Neither CreatePermission nor ChannelBind nor Send reaches an internal address."""
        self._check(Family.IPV4)

    def test_ipv6(self) -> None:
        """Nor over IPv6, however an IPv4 address is wrapped."""
        self._check(Family.IPV6)

    def test_allowed_by_name(self) -> None:
        """allowed-peer-ip opens what it names and no neighbour."""
        with _network() as (place, internal, _):
            host = internal[-1]
            listener = _Listener(place, "0.0.0.0")
            self.addCleanup(listener.socket.close)
            options = [f"allowed-peer-ip={host}"]
            if host.startswith("127."):
                options.append("allow-loopback-peers")
            with SuiteProcess.started(options, place=place) as relay, probing(relay) as probe:
                probe.allocated()
                self.assertIsNone(error_code(probe.permit((host, listener.port))))
                probe.send_indication((host, listener.port), b"by Send")
                self.assertEqual(listener.hears(), b"by Send")
                self.assertEqual(error_code(probe.permit(("10.0.0.2", listener.port))), 403)
