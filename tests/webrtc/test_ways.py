"""Browsers behind firewalls, proxies and on IPv6: who is signed in is heard, too."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import ClassVar

from tests.sippeers.addresses import Endpoint
from tests.sippeers.outages import member
from tests.sippeers.sipp import Sipp, sipp
from tests.webrtc.browsers import Browser
from tests.webrtc.installation import ECHO, SECRET, Installation
from tests.webrtc.network import DESK, DESK_V6, SERVER_V6, SUITE, SUITE_V6
from tests.webrtc.phone import Phone
from tests.webrtc.squid import squid
from tests.webrtc.stage import StageTestCase

TONE = 660
HTTPS = f"ip daddr {SUITE} tcp dport 443"
_UDP = f"ip daddr {SUITE} udp dport 443"


class WaysTestCase(StageTestCase):
    """A user who calls the echo."""

    def hears_himself(self, browser: Browser, **rig: object) -> Phone:
        """Sign in and call the echo."""
        one = self.phone(browser, "1001", TONE, **rig)
        one.dial(ECHO)
        one.is_answered(20)
        one.page.hears(TONE)
        return one

    def relayed(self, browser: Browser, transport: str) -> None:
        """Be heard by the relay, over that transport and nothing else."""
        relay = self.installed.relay(transport)
        one = self.hears_himself(browser, iceServers=relay)
        local = one.page.stats()["local"]
        self.assertEqual((local["type"], local["relay"]), ("relay", transport))


class RelayTests(WaysTestCase):
    """One port is open, 443, and media go by the relay."""

    def test_udp(self) -> None:
        """With port 443 open for UDP too, by UDP."""
        with self.network.firewall(HTTPS, _UDP):
            self.relayed(self.desk.chromium, "udp")

    def test_tcp(self) -> None:
        """With TCP only, without TLS."""
        with self.network.firewall(HTTPS):
            self.relayed(self.desk.chromium, "tcp")

    def test_tls(self) -> None:
        """With TCP only, by TLS as web pages have it."""
        with self.network.firewall(HTTPS):
            self.relayed(self.desk.chromium, "tls")

    def test_firefox(self) -> None:
        """Firefox by TLS."""
        with self.network.firewall(HTTPS):
            self.relayed(self.desk.firefox, "tls")


class OfferedRelayTests(WaysTestCase):
    """
    An application of another origin, whose browser may use nothing but a relay.

    It names none: the gateway tells it of its own.
    """

    def test_call(self) -> None:
        """It is heard."""
        with self.network.firewall(HTTPS, _UDP):
            one = self.hears_himself(self.desk.chromium, relayOnly=True)
            self.assertEqual(one.page.stats()["local"]["type"], "relay")
        self.assertNotEqual(one.page.run("() => location.origin"), self.installed.url)


class OfferedRelayOfUsersTests(OfferedRelayTests):
    """The same where the relay knows users with passwords only."""

    installation: ClassVar[Installation] = Installation(relay=(f"user = operator:{SECRET}",))


class SharedPortsTests(WaysTestCase):
    """The relay has four ports for all its clients."""

    PORTS: ClassVar[range] = range(3480, 3484)
    installation: ClassVar[Installation] = Installation(
        more={"turn": ["multiplex-peer", f"multiplex-peer-port = {PORTS.start}"]}
    )

    def test_call(self) -> None:
        """A call with the gateway goes by one of them."""
        with self.network.firewall(HTTPS, _UDP):
            self.relayed(self.desk.chromium, "udp")

    def test_each_other(self) -> None:
        """Two browsers that both have nothing but the relay hear each other."""
        with self.network.firewall(HTTPS, _UDP):
            relay = self.installed.relay("udp")
            chromium, firefox = self.direct(
                self.desk.chromium, self.desk.firefox, relayOnly=True, iceServers=relay
            )
            chromium.hears(880)
            firefox.hears(440)
            for one in (chromium, firefox):
                local = one.stats()["local"]
                self.assertEqual(local["type"], "relay")
                self.assertIn(local["port"], self.PORTS)


class ProxyTests(WaysTestCase):
    """Squid is the only way out."""

    def through_squid(self, *flags: str) -> None:
        """A Chromium with these flags signs in and is heard."""
        with squid() as proxy:
            pac = f'function FindProxyForURL(url, host) {{ return "PROXY {proxy.server}"; }}'
            self.desk.driver.ask("serve", path="/proxy.pac", text=pac)
            told = [flag.format(server=proxy.server, url=self.desk.driver.url) for flag in flags]
            browser = self.stack.enter_context(self.desk.launched("chromium", flags=told))
            with self.network.firewall(proxy.passes):
                self.relayed(browser, "tls")

    def test_proxy(self) -> None:
        """The browser was told of the proxy."""
        self.through_squid("--proxy-server=http://{server}")

    def test_pac(self) -> None:
        """The browser was told of a PAC file that names it."""
        self.through_squid("--proxy-pac-url={url}/proxy.pac")


class SixTests(WaysTestCase):
    """Pages and media on IPv6, and SIP on IPv4."""

    installation: ClassVar[Installation] = Installation(
        web=SUITE_V6, more={"rsmp": ["allow-ipv6 = true"]}
    )

    def test_call(self) -> None:
        """A browser that has IPv6 only signs in and is heard."""
        with self.network.firewall(f"ip6 daddr {SUITE_V6}"):
            one = self.hears_himself(self.desk.chromium)
            self.assertEqual(one.page.stats()["local"]["address"], DESK_V6)


class SixServerTests(WaysTestCase):
    """Pages and media on IPv4, and a SIP Server on IPv6."""

    installation: ClassVar[Installation] = Installation(
        at=Endpoint(SUITE_V6),
        servers=(Endpoint(SERVER_V6),),
        more={"rsmp": ["allow-ipv6 = true", "sip-preferred-ipversion = ipv6"]},
    )
    server: ClassVar[Sipp]

    @classmethod
    def surround(cls, stack: ExitStack) -> None:
        """SIPp is the SIP Server, and sends back what it hears."""
        run = replace(member(Endpoint(SERVER_V6)), options=("-rtp_echo",))
        cls.server = stack.enter_context(sipp(run))

    def until_registered(self, dn: str) -> None:
        """It sees the REGISTER itself."""
        self.server.wait_for("REGISTER")

    def test_call(self) -> None:
        """A browser that has IPv4 only signs in and is heard."""
        with self.network.firewall(f"ip daddr {SUITE}"):
            one = self.hears_himself(self.desk.chromium)
            self.assertEqual(one.page.stats()["local"]["address"], DESK)
            one.hang_up()
            self.server.wait_for("BYE")
