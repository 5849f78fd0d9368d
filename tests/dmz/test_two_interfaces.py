"""Nothing of one side of a DMZ is bound, or seen, on the other."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.dmz.cables import INSIDE, OUTSIDE, PRIVATE, PUBLIC, Between, Seen, between
from tests.dmz.doors import OPEN, Bound, Knocks, accepts, is_open, sockets_of
from tests.historic.client import ESTABLISHED, HistoricClient
from tests.historic.loop_thread import LoopThread
from tests.historic.waiting import until
from tests.historic.wire_http import Page as ScriptedPage
from tests.namespaces import Namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, running
from tests.sippeers.addresses import Endpoint
from tests.sippeers.outages import member
from tests.sippeers.responder import responder
from tests.sippeers.sipp import sipp
from tests.webrtc.browsers import Page, desk
from tests.webrtc.network import Network, names

PASSWORD = "seeded-password-71aa"
PAGE = "https://agents.example.com"
BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"twointerface"
TONE = 700
ALWAYS = {
    *(Bound("TCP", PUBLIC, port) for port in (80, 443, 3478, 5349, 8086)),
    *(Bound("UDP", PUBLIC, port) for port in (443, 3478, 5349)),
    *(Bound("TCP", PRIVATE, port) for port in (5066, 9641)),
    Bound("UDP", PRIVATE, 5066),
}
"""What is bound without any call."""
ICE = ("UDP", (36000, 36999))
RELAYED = ("UDP", (49152, 65535))
ENOUGH = 50
"""Packets: media, and not the checks of a path."""
RTP = ("UDP", (9000, 9999))
_WORDS = """async ([selector, words]) => {
  const begun = performance.now();
  const text = () => document.querySelector(selector).textContent;
  while (!text().includes(words) && performance.now() - begun < 10000) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return text();
}"""


def documented() -> str:
    """The configuration in docs/two-interfaces.md, as it stands there but for the secrets."""
    text = (CHECKOUT / "docs" / "two-interfaces.md").read_text()
    found = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1].replace("a password of this user", PASSWORD)


@contextmanager
def started(networks: Between, text: str) -> Iterator[tuple[RunningProgram, Path]]:
    """The suite, with that configuration and a folder for its state, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        configuration = Path(name, "suite.conf")
        configuration.touch(mode=0o600)
        configuration.write_text(text.replace("[suite]", f"[suite]\nstate-directory={name}"))
        command = networks.suite.command(*twistd_command(["--config", str(configuration)]))
        own = {"HOME": name, "XDG_STATE_HOME": name}
        variables = {**environment(os.environ, CHECKOUT), **own}
        with running(command, Path(name, "log"), variables) as program:
            program.wait_for(lambda: is_ready(networks.inside), "ready", 60)
            yield program, Path(name)
            judge_suite(program, program.stop(), (PASSWORD,))


def is_ready(inside: Namespace) -> bool:
    """Whether the status page, asked from the private side, says so."""
    with inside.inside():
        try:
            with urllib.request.urlopen(f"http://{PRIVATE}:9641/health/ready", timeout=2) as got:
                return bool(got.status == 200)
        except OSError:
            return False


def counted(packets: list[Seen], host: str, protocol: str, ports: tuple[int, int]) -> int:
    """How many packets are of these ports of ours."""
    table = {host: {protocol: [ports]}}
    return sum(
        one.protocol == protocol and is_open(protocol, one.of(host), table) for one in packets
    )


class TwoInterfacesTestCase(SynchronousTestCase):
    """The configuration of docs/two-interfaces.md, between two networks."""

    def setUp(self) -> None:
        """Make the networks."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.networks = self.stack.enter_context(between())
        self.knocks = Knocks(self.networks)

    def check_doors(self, program: RunningProgram, *opened: tuple[str, tuple[int, int]]) -> None:
        """
        In a call: every socket is where the table has it, and its port is closed elsewhere.

        ``opened`` has what is there for the call; each of it must be.
        """
        sockets = sockets_of(Path(f"/proc/{program.pid}"))
        self.assertEqual(set(), {one for one in sockets if not one.is_allowed})
        self.assertEqual(set(), ALWAYS - sockets)
        for protocol, (first, last) in opened:
            ports = [s for s in sockets if s.protocol == protocol and first <= s.port <= last]
            self.assertTrue(ports, f"{protocol} {first} to {last}")
        self.assertEqual([], self.knocks.answered(sockets))
        for port in (80, 443, 3478, 8086):
            self.assertTrue(accepts(self.networks.outside, PUBLIC, port), port)
        with self.networks.outside.inside(), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.settimeout(2)
            probe.sendto(BINDING, (PUBLIC, 3478))
            self.assertTrue(probe.recv(2048))

    def check_cables(self) -> tuple[list[Seen], list[Seen], list[Seen]]:
        """Nothing has been on the wrong cable; what was on the public, the private, and none."""
        networks = self.networks
        networks.settle()
        cables = (networks.out_cable, networks.in_cable, networks.loopback)
        for cable in cables:
            self.assertEqual([], cable.strange)
        out, inner, own = (self.knocks.others(cable.packets) for cable in cables)
        self.assertEqual(set(), self.strangers(out, PUBLIC, OUTSIDE))
        self.assertEqual(set(), self.strangers(inner, PRIVATE, INSIDE))
        # What the relay hands to the gateway stays within the machine: both ends are public.
        self.assertEqual(set(), self.strangers(own, PUBLIC, PUBLIC))
        self.assertEqual(set(), self.strangers([one.back for one in own], PUBLIC, PUBLIC))
        return out, inner, own

    def strangers(self, packets: list[Seen], host: str, far: str) -> set[str]:
        """Packets that are of other addresses than these, or of a port that is not expected."""
        table = {host: OPEN[host]}
        return {
            f"{one.protocol} {one.source} to {one.target}"
            for one in packets
            if {one.source[0], one.target[0]} != {host, far}
            or not is_open(one.protocol, one.of(host), table)
        }


class ScriptedTests(TwoInterfacesTestCase):
    """The old client, over plain HTTP."""

    def test_a_call(self) -> None:
        """A browser outside calls over a SIP Server inside; each cable has only its own."""
        with self.networks.inside.inside():
            server = self.stack.enter_context(responder(Endpoint(INSIDE)))
        # Plain HTTP for the scripted page, which has no TLS; the listener is the same one.
        text = documented().replace("enable-https = true", "enable-https = false")
        with started(self.networks, text) as (program, _):
            thread = LoopThread(self.networks.outside.inside())
            try:
                with mock.patch("aioice.ice.get_host_addresses", lambda **_: [OUTSIDE]):
                    client = thread.run(self.connected())
                self.check_doors(program, ICE, RTP)
                thread.run(self.ended(client))
            finally:
                thread.stop()
        self.assertTrue(server.conversation.received("INVITE"))
        self.assertTrue(server.conversation.received("BYE"))
        out, inner, _ = self.check_cables()
        self.assertGreater(counted(out, PUBLIC, *ICE), 10)
        self.assertGreater(counted(out, PUBLIC, "TCP", (8086, 8086)), 10)
        self.assertGreater(counted(inner, PRIVATE, "UDP", (5066, 5066)), 1)
        self.assertGreater(counted(inner, PRIVATE, *RTP), 10)

    async def connected(self) -> HistoricClient:
        """Sign in, call, and talk for a while."""
        client = HistoricClient((PUBLIC, 8086), ScriptedPage(origin=PAGE))
        await client.register("1001", PASSWORD)
        await client.make_offer("2000")
        await until(
            lambda: client.call.state == ESTABLISHED, lambda: f"{client.events} {client.texts}"
        )
        peer = client.call.browser
        assert peer is not None
        await until(lambda: peer.is_connected, "media")
        await asyncio.sleep(1.5)
        return client

    async def ended(self, client: HistoricClient) -> None:
        """Hang up and sign out."""
        await client.close_session()
        await client.disconnect()


class BrowserTests(TwoInterfacesTestCase):
    """Chromium on the public cable, with the phone page over HTTPS, and an echo inside."""

    def setUp(self) -> None:
        """Start the echo, the suite, and what starts browsers."""
        super().setUp()
        networks = self.networks
        with networks.inside.inside():
            run = replace(member(Endpoint(INSIDE)), options=("-rtp_echo",))
            self.server = self.stack.enter_context(sipp(run))
        self.service = self.stack.enter_context(ExitStack())
        self.program, folder = self.service.enter_context(started(networks, documented()))
        self.service.enter_context(names(networks.outside))
        network = Network(networks.suite, networks.outside)
        self.chromium = self.service.enter_context(desk(network, [folder / "ca.pem"])).chromium

    def talk(self, *opened: tuple[str, tuple[int, int]], **rig: object) -> None:
        """Sign in, call, hear oneself, hang up; the doors are tried meanwhile."""
        with self.chromium.page(f"https://{PUBLIC}/phone", tone=TONE, **rig) as page:
            self.dial(page)
            page.hears(TONE)
            kind = "relay" if rig else "host"
            self.assertEqual(page.stats()["local"]["type"], kind)
            self.check_doors(self.program, ICE, RTP, *opened)
            page.hears(TONE)
            self.program.wait_for(
                lambda: page.stats()["inbound"]["audio"]["packets"] > ENOUGH, "enough media"
            )
            page.press("#hang-up")
            self.server.wait_for("BYE")
            self.assertEqual(page.complaints(), [])
        self.service.close()

    def dial(self, page: Page) -> None:
        """The user signs in and calls."""
        page.type("#dn", "1001")
        page.type("#password", PASSWORD)
        page.press("#sign-in-form button[type=submit]")
        self.assertIn("1001", page.run(_WORDS, ["#signed-in-words", "1001"]))
        self.server.wait_for("REGISTER")
        page.type("#to", "2000")
        page.press("#dial-audio")

    def test_direct(self) -> None:
        """Its media go to the gateway's own ports."""
        self.talk()
        out, inner, _ = self.check_cables()
        self.assertGreater(counted(out, PUBLIC, *ICE), ENOUGH)
        self.assertGreater(counted(inner, PRIVATE, *RTP), ENOUGH)

    def test_relayed(self) -> None:
        """Its media go by the relay, and nothing of the call comes another way."""
        self.talk(RELAYED, relayOnly=True)
        out, inner, own = self.check_cables()
        relayed = sum(counted(out, PUBLIC, "UDP", (port, port)) for port in (443, 3478))
        self.assertGreater(relayed, ENOUGH)
        self.assertEqual(0, counted(out, PUBLIC, *ICE))
        self.assertGreater(counted(own, PUBLIC, *RELAYED), ENOUGH)
        self.assertGreater(counted(own, PUBLIC, *ICE), ENOUGH)
        self.assertGreater(counted(inner, PRIVATE, *RTP), ENOUGH)
