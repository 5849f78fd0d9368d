"""Tests of multiplex-peer and its ports: settings, what contradicts them, what is told of them."""

from __future__ import annotations

import re
from pathlib import Path

from suite.build import describe_relay, shared_metrics
from suite.config_summary import summary
from suite.metrics import Metrics
from tests.config.machines import ConfigTestCase
from tests.turn.relay import NotingPlane
from turn.settings import SharedPorts

PAGE = Path(__file__).parents[2] / "docs" / "shared-ports.md"

USER = "[turn]\nlistening-ip = 192.0.2.1\nuser = alice:a long password\n"
SHARED = USER + "multiplex-peer\n"
SIP = "[rsmp]\nsip-proxy = 192.0.2.5\nhttp-port = 8086\nweb-ice-addresses = 192.0.2.1\n"


class SharedPortsTests(ConfigTestCase):
    """Section [turn] of a relay that shares its ports."""

    def test_off_by_default(self) -> None:
        """Every allocation has a port of its own, whatever the other options say."""
        turn = self.turn(self.load(USER + "multiplex-peer-port = 4000\n"))
        self.assertIsNone(turn.shared_ports)
        self.assertEqual(turn.relay_ports, (49152, 65535))

    def test_defaults(self) -> None:
        """Four ports from coTURN's first one on, and coTURN's limit."""
        loaded = self.load(SHARED)
        turn = self.turn(loaded)
        self.assertEqual(turn.shared_ports, SharedPorts(first=3480, last=3483, max_peers=256))
        self.assertEqual(turn.relay_ports, (3480, 3483))
        self.assertNotIn("multiplex", "".join(str(each) for each in loaded.diagnostics))

    def test_a_turnserver_conf(self) -> None:
        """coTURN's options are taken as they are; udp-gso asks for nothing."""
        loaded = self.load_turn(
            "user=alice:a long password\nmultiplex-peer\nmultiplex-peer-port=5000\n"
            "multiplex-peer-max-peers=9\nmultiplex-peer-ports=1\nudp-gso\n"
        )
        expected = SharedPorts(first=5000, last=5000, max_peers=9)
        self.assertEqual(self.turn(loaded).shared_ports, expected)

    def test_ports_that_do_not_exist(self) -> None:
        """The last one must be a port."""
        loaded = self.load(USER + "multiplex-peer\nmultiplex-peer-port = 65534\n")
        self.refused(loaded, "multiplex-peer-port", "65534 to 65537")

    def test_ports_that_are_listened_on(self) -> None:
        """A shared port is no listening port; without multiplex-peer nobody minds."""
        clash = "multiplex-peer-port = 3477\n"
        self.refused(self.load(USER + clash + "multiplex-peer\n"), "contain listening port 3478")
        self.turn(self.load(USER + clash))

    def test_what_browsers_media_seek(self) -> None:
        """Of this machine the gateway seeks the shared ports, and none of the others."""
        shared = "multiplex-peer\nmultiplex-peer-ports = 2\n"
        b2bua = self.settings(self.load(USER + shared + SIP)).b2bua
        assert b2bua is not None
        assert b2bua.web is not None
        seeks = b2bua.web.seeks_peer
        found = [port for port in (3479, 3480, 3481, 3482, 50000) if seeks("192.0.2.1", port)]
        self.assertEqual(found, [3480, 3481])

    def test_what_is_told(self) -> None:
        """The summary and the start log name the ports and say that the RFC has it otherwise."""
        settings = self.settings(self.load(SHARED))
        self.assertIn("ports 3480 to 3483 shared by all allocations", summary(settings))
        assert settings.turn is not None
        _, rules, shared = describe_relay(settings.turn, "pure Python")
        self.assertIn("reach each other on ports 3480 to 3483", rules)
        self.assertIn("RFC 8656", shared)
        other = self.turn(self.load(USER))
        self.assertEqual(len(describe_relay(other, "pure Python")), 2)

    def test_the_page(self) -> None:
        """Its configurations load, and its ports are those that the relay has."""
        page = PAGE.read_text()
        first, container = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
        assert isinstance(first, str)
        defaults = self.turn(self.load(first + USER.replace("[turn]\n", "")))
        self.assertEqual(defaults.shared_ports, self.turn(self.load(SHARED)).shared_ports)
        settings = self.settings(self.load(container))
        assert settings.turn is not None
        udp = {each.address[1] for each in settings.udp if each.address[1] != 5349}
        first_port, last_port = settings.turn.relay_ports
        needed = {str(port) for port in udp} | {f"{first_port}-{last_port}"}
        self.assertEqual(set(re.findall(r'"([0-9-]+):\1/udp"', page)), needed)

    def test_metrics(self) -> None:
        """The page lists what there is."""
        metrics = Metrics()
        shared_metrics(metrics, NotingPlane())
        shown = set(re.findall(r"sgw_turn_shared_[a-z]+", metrics.render().decode()))
        self.assertEqual(shown, set(re.findall(r"sgw_turn_shared_[a-z]+", PAGE.read_text())))
