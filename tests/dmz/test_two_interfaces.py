"""Nothing of one side of a DMZ is seen on the other."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.dmz.cables import INSIDE, OUTSIDE, PRIVATE, PUBLIC, Between, Seen, between
from tests.historic.client import ESTABLISHED, HistoricClient
from tests.historic.loop_thread import LoopThread
from tests.historic.waiting import until
from tests.historic.wire_http import Page
from tests.namespaces import Namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, running
from tests.sippeers.addresses import Endpoint
from tests.sippeers.responder import Responder, responder

PASSWORD = "seeded-password-71aa"
PAGE = "https://agents.example.com"
BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"twointerface"
Ranges = dict[str, list[tuple[int, int]]]
OPEN_OUTSIDE: Ranges = {
    "TCP": [(80, 80), (443, 443), (3478, 3478), (5349, 5349), (8086, 8086)],
    "UDP": [(443, 443), (3478, 3478), (5349, 5349), (36000, 36999), (49152, 65535)],
}
OPEN_INSIDE: Ranges = {
    "TCP": [(5066, 5066), (9641, 9641)],
    "UDP": [(5066, 5066), (9000, 9999)],
}


def documented() -> str:
    """The configuration in docs/two-interfaces.md, as it stands there but for the secrets."""
    text = (CHECKOUT / "docs" / "two-interfaces.md").read_text()
    found = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    assert found is not None
    # Plain HTTP for the scripted page, which has no TLS; the listener is the same one.
    text = found[1].replace("enable-https = true", "enable-https = false")
    return text.replace("a password of this user", PASSWORD)


@contextmanager
def started(networks: Between) -> Iterator[RunningProgram]:
    """The suite, with that configuration, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        configuration = Path(name, "suite.conf")
        configuration.touch(mode=0o600)
        configuration.write_text(
            documented().replace("[suite]", f"[suite]\nstate-directory={name}")
        )
        command = networks.suite.command(*twistd_command(["--config", str(configuration)]))
        own = {"HOME": name, "XDG_STATE_HOME": name}
        variables = {**environment(os.environ, CHECKOUT), **own}
        with running(command, Path(name, "log"), variables) as program:
            program.wait_for(lambda: is_ready(networks.inside), "ready")
            yield program
            judge_suite(program, program.stop(), (PASSWORD,))


def is_ready(inside: Namespace) -> bool:
    """Whether the status page, asked from the private side, says so."""
    with inside.inside():
        try:
            with urllib.request.urlopen(f"http://{PRIVATE}:9641/health/ready", timeout=2) as got:
                return bool(got.status == 200)
        except OSError:
            return False


def accepts(space: Namespace, host: str, port: int) -> bool:
    """Whether a connection from there is taken."""
    with space.inside(), socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def strangers(
    packets: list[Seen], host: str, expected: dict[str, list[tuple[int, int]]]
) -> set[str]:
    """Packets that are of another address of ours, or of a port that is not expected."""
    found = set()
    for packet in packets:
        ours = packet.of(host)
        ranges = expected[packet.protocol]
        if ours is None or not any(first <= ours[1] <= last for first, last in ranges):
            found.add(f"{packet.protocol} {packet.source} to {packet.target}")
    return found


class TwoInterfacesTests(SynchronousTestCase):
    """The configuration of docs/two-interfaces.md, between two networks."""

    def test_a_call(self) -> None:
        """A browser outside calls over a SIP Server inside; each cable has only its own."""
        with ExitStack() as stack:
            networks = stack.enter_context(between())
            with networks.inside.inside():
                server = stack.enter_context(responder(Endpoint(INSIDE)))
            stack.enter_context(started(networks))
            self.call(networks, server)
            self.check_doors(networks)
            for cable in (networks.out_cable, networks.in_cable):
                self.assertEqual([], cable.strange)
            out = [p for p in networks.out_cable.packets if not self.is_refused(p, PUBLIC)]
            inner = [p for p in networks.in_cable.packets if not self.is_refused(p, PRIVATE)]
            self.assertEqual(set(), strangers(out, PUBLIC, OPEN_OUTSIDE))
            self.assertEqual(set(), strangers(inner, PRIVATE, OPEN_INSIDE))
            self.assert_seen(out, PUBLIC, OPEN_OUTSIDE, ("UDP", 36000), ("TCP", 8086))
            self.assert_seen(inner, PRIVATE, OPEN_INSIDE, ("UDP", 5066), ("UDP", 9000))

    def call(self, networks: Between, server: Responder) -> None:
        """Sign in, call, talk for a while, hang up."""
        thread = LoopThread(networks.outside.inside())
        try:
            with mock.patch("aioice.ice.get_host_addresses", lambda **_: [OUTSIDE]):
                thread.run(self.conversation())
        finally:
            thread.stop()
        self.assertTrue(server.conversation.received("INVITE"))
        self.assertTrue(server.conversation.received("BYE"))

    async def conversation(self) -> None:
        """What the page does."""
        client = HistoricClient((PUBLIC, 8086), Page(origin=PAGE))
        await client.register("1001", PASSWORD)
        await client.make_offer("2000")
        await until(
            lambda: client.call.state == ESTABLISHED, lambda: f"{client.events} {client.texts}"
        )
        peer = client.call.browser
        assert peer is not None
        await until(lambda: peer.is_connected, "media")
        await asyncio.sleep(1.5)
        await client.close_session()
        await client.disconnect()

    def check_doors(self, networks: Between) -> None:
        """What is knocked at on the wrong side is closed."""
        for port in (5066, 9641):
            self.assertFalse(accepts(networks.outside, PUBLIC, port), port)
        for port in (80, 443, 3478, 8086):
            self.assertTrue(accepts(networks.outside, PUBLIC, port), port)
            self.assertFalse(accepts(networks.inside, PRIVATE, port), port)
        with networks.outside.inside(), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.settimeout(2)
            probe.sendto(BINDING, (PUBLIC, 3478))
            self.assertTrue(probe.recv(2048))

    def is_refused(self, packet: Seen, host: str) -> bool:
        """Whether it is one of our knocks at a closed door, or its answer, a reset."""
        ours = packet.of(host)
        knocked = {PUBLIC: (5066, 9641), PRIVATE: (80, 443, 3478, 8086)}[host]
        return packet.protocol == "TCP" and ours is not None and ours[1] in knocked

    def assert_seen(
        self,
        packets: list[Seen],
        host: str,
        ranges: Ranges,
        *expected: tuple[str, int],
    ) -> None:
        """There was traffic of each kind, so that its absence elsewhere means something."""
        for protocol, first in expected:
            last = next(end for begin, end in ranges[protocol] if begin == first)
            seen = [
                packet
                for packet in packets
                if packet.protocol == protocol
                and (ours := packet.of(host)) is not None
                and first <= ours[1] <= last
            ]
            self.assertGreater(len(seen), 1, f"{protocol} {first}")
