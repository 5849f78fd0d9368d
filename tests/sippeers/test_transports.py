"""
TCP, TLS and WebSocket with peers that nobody here wrote: baresip, Kamailio, websockets.

Kamailio decides with OpenSSL, baresip with libre, the WebSocket client with its own codec.
"""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import InvalidStatus

from b2bua.net.tls import OwnCertificate
from tests.browser.run import missing, run_browser, temporary_folder, trust
from tests.programs import lack
from tests.sipnet.authority import Authority, address, dns
from tests.sippeers.addresses import SIP_PORT, Endpoint, own_address
from tests.sippeers.baresip import Account, Baresip, baresip
from tests.sippeers.dns_server import DOMAIN, Zone, dnsmasq
from tests.sippeers.kamailio import Kamailio, Settings, kamailio
from tests.sippeers.sipp import Run, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite
from tests.sippeers.web_phone import WebPhone, description, web_phone

DN = "2001"
ECHO = "7001"
TLS_PORT = 5061
WEB_PORT = 8443


def tls_options(own: OwnCertificate, trusted: Path | None = None) -> list[str]:
    """The lines of [rsmp] that switch TLS on."""
    lines = [
        f"sip-tls-port = {TLS_PORT}",
        f"sip-tls-cert = {own.certificate}",
        f"sip-tls-cert-key = {own.key}",
    ]
    return lines + ([f"sip-tls-trusted-ca = {trusted}"] if trusted else [])


class TransportTestCase(SynchronousTestCase):
    """Has a CA, and whatever is started ends with the test."""

    def setUp(self) -> None:
        """Make the CA."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        folder = tempfile.TemporaryDirectory(prefix="webrtc-suite-test-")
        self.folder = Path(self.stack.enter_context(folder))
        self.authority = Authority(self.folder, "authority")


class PhoneTests(TransportTestCase):
    """baresip as the phone of a DN, with a Kamailio behind us."""

    def setUp(self) -> None:
        """Start the SIP Server, and a suite with a certificate for its address."""
        super().setUp()
        self.at, self.server = Endpoint(own_address()), Endpoint(own_address())
        own = self.authority.issue(address(self.at.host))
        self.stack.enter_context(kamailio(Settings(at=self.server, password=PASSWORD)))
        config = Config(
            at=self.at, servers=(self.server,), echo=ECHO, more={"rsmp": tls_options(own)}
        )
        self.suite = self.stack.enter_context(suite(config))

    def test_tls(self) -> None:
        """Over TLS; baresip knows the CA."""
        self.works("tls", self.at.at(TLS_PORT), self.authority.path)

    def test_tcp(self) -> None:
        """Over TCP."""
        self.works("tcp", self.at)

    def works(self, transport: str, server: Endpoint, trusted: Path | None = None) -> None:
        """Register, call, hold, resume, hang up; then be called."""
        account = Account(
            dn=DN,
            server=server,
            password=PASSWORD,
            transport=transport,
            trusted=trusted,
            answer_mode="auto",
        )
        with baresip(account) as phone:
            phone.registered()
            self.suite.until_said(f'dn-registered dn="{DN}"')
            phone.command("dial", f"sip:{ECHO}@{server}")
            phone.event("CALL_ESTABLISHED")
            for command, said in (
                ("hold", "call-held"),
                ("resume", "call-retrieved"),
                ("hangup", "call-ended"),
            ):
                phone.command(command)
                self.suite.until_said(f"{said} call={self.call()}")
            self.is_called(phone)
        self.suite.until_said(f'phone-gone dn="{DN}" reason=')
        self.suite.program.wait_for(lambda: self.suite.metric("sgw_sip_phones") == 0, "forgotten")

    def is_called(self, phone: Baresip) -> None:
        """A call from behind the SIP Server takes the connection that the phone opened."""
        play(Run(scenario="call", at=Endpoint(own_address()), to=self.server, service=DN))
        phone.event("CALL_ESTABLISHED")
        phone.event("CALL_CLOSED")
        for port in (SIP_PORT, TLS_PORT):
            self.assertFalse(_has_connection(phone.at.at(port)), "a connection of ours to it")

    def call(self) -> str:
        """The first call that has a phone in it."""
        self.suite.until_said(" legs=phone-server")
        found = re.search(r"call-started call=(\w+) .* legs=phone-server", self.suite.program.log())
        assert found is not None
        return found[1]


class ServerTests(TransportTestCase):
    """Kamailio as the SIP Server, reached over TLS only."""

    def server(
        self,
        *names: str,
        issuer: Authority | None = None,
        demands: bool = False,
        checks: bool = True,
    ) -> Kamailio:
        """One with a certificate for these names, or for its address."""
        at = Endpoint(own_address())
        issuer = issuer or self.authority
        own = issuer.issue(dns(*names) if names else address(at.host))
        settings = Settings(
            at=at,
            password=PASSWORD,
            certificate=(own.certificate, own.key),
            trusted=self.authority.path if checks else None,
            demands=demands,
        )
        return self.stack.enter_context(kamailio(settings))

    def start(
        self, *servers: Kamailio, by_name: bool = True, issuer: Authority | None = None
    ) -> Suite:
        """A suite whose servers these are, by SRV records or by their addresses."""
        places = [server.tls_at for server in servers]
        at = Endpoint(own_address())
        own = (issuer or self.authority).issue(address(at.host))
        rsmp, b2bua = tls_options(own, self.authority.path), ["failover-time = 2"]
        if by_name:
            zone = Zone(servers=places, service="sips", transport="tcp")
            b2bua.append(f"dns-server = {self.stack.enter_context(dnsmasq(zone))}")
            rsmp.append(f"sip-proxy-srv = {DOMAIN}")
        config = Config(
            at=at,
            servers=() if by_name else places,
            transport="tls",
            echo=ECHO,
            more={"rsmp": rsmp, "b2bua": b2bua},
        )
        return self.stack.enter_context(suite(config))

    def assert_serves(self, one: Suite, server: Kamailio) -> None:
        """Both ways over TLS: a DN is registered, and somebody behind the SIP Server calls it."""
        one.until_said(f'dn-registered dn="{ECHO}"')
        play(Run(scenario="call", at=Endpoint(own_address()), to=server.at, service=ECHO))
        one.until_said("cause=remote by=server")
        for way in ("sent", "received"):
            counted = one.metrics(f"sgw_sip_{way}_total")
            self.assertEqual(set(counted), {'{transport="TLS"}'})

    def test_by_address(self) -> None:
        """A certificate for the SIP Server's address; ours is checked by Kamailio in its turn."""
        server = self.server(demands=True)
        self.assert_serves(self.start(server, by_name=False), server)

    def test_by_name(self) -> None:
        """One for the domain of the SRV records; the server demands ours."""
        server = self.server(DOMAIN, demands=True)
        self.assert_serves(self.start(server), server)

    def test_wrong_name(self) -> None:
        """The name that the DNS gives a host is not the domain: the next server is taken."""
        wrong, right = self.server(f"a.{DOMAIN}"), self.server(DOMAIN)
        one = self.start(wrong, right)
        self.assert_serves(one, right)
        self.assert_said_once(one, wrong, f"the certificate is for a.{DOMAIN}")

    def test_unknown_authority(self) -> None:
        """A chain that leads elsewhere is refused."""
        other = Authority(self.folder, "other")
        wrong, right = self.server(DOMAIN, issuer=other), self.server(DOMAIN)
        one = self.start(wrong, right)
        self.assert_serves(one, right)
        self.assert_said_once(one, wrong, "trusted")

    def test_wrong_certificate_of_ours(self) -> None:
        """A server that does not take our certificate is passed over."""
        strict, lenient = self.server(DOMAIN, demands=True), self.server(DOMAIN, checks=False)
        one = self.start(strict, lenient, issuer=Authority(self.folder, "other"))
        self.assert_serves(one, lenient)
        self.assert_said_once(one, strict, "it does not accept our certificate")

    def assert_said_once(self, one: Suite, server: Kamailio, fault: str) -> None:
        """The log tells which server of which domain, and why."""
        told = re.findall(rf"TLS to {server.tls_at} for {DOMAIN}: .*", one.program.log())
        self.assertEqual(len(told), 1, one.program.log())
        self.assertIn(fault, told[0])
        self.assertIn(f"before={server.tls_at}/TLS reason=transport", one.program.log())


class WebTestCase(TransportTestCase):
    """Has a suite with pages, and SIP over WebSocket beside them."""

    more: ClassVar[Mapping[str, Sequence[str]]] = {}

    def setUp(self) -> None:
        """Start the SIP Server, and a suite with pages."""
        super().setUp()
        self.server = Endpoint(own_address())
        self.stack.enter_context(kamailio(Settings(at=self.server, password=PASSWORD)))
        at = Endpoint(own_address())
        self.place = f"{at.host}:{WEB_PORT}"
        config = Config(at=at, servers=(self.server,), echo=ECHO, web_port=WEB_PORT, more=self.more)
        self.suite = self.stack.enter_context(suite(config))
        self.trusting = ssl.create_default_context(cafile=str(self.suite.authority))

    def connect(self, path: str = "/sip", origin: str = "") -> WebPhone:
        """A phone over TLS, which checks the certificate of the install."""
        url = f"wss://{self.place}{path}"
        phone = web_phone(url, DN, DOMAIN, context=self.trusting, origin=origin)
        return self.stack.enter_context(phone)


class WebSocketTests(WebTestCase):
    """A page's SIP, over the port that the pages themselves have."""

    def test_phone(self) -> None:
        """Register, keep alive, call, hold, retrieve, hang up; then the page is closed."""
        phone = self.connect()
        self.assertEqual(phone.register().name, "200 REGISTER")
        self.suite.until_said("phone-bound proto=WSS")
        self.suite.until_said(f'dn-registered dn="{DN}"')
        phone.say("\r\n\r\n")
        self.assertEqual(phone.hear().data, b"\r\n")
        self.assertEqual(phone.socket.ping(), b"there?")
        call = phone.call(ECHO)
        self.assertEqual(phone.offer(call, "sendonly").direction, "recvonly")
        self.assertEqual(phone.offer(call, "sendrecv").direction, "sendrecv")
        self.assertEqual(phone.hang_up(call).name, "200 BYE")
        phone.socket.close()
        self.suite.until_said(f'phone-gone dn="{DN}" reason=')
        self.suite.until_said(f'dn-unregistered dn="{DN}"')

    def test_is_called(self) -> None:
        """An INVITE from behind the SIP Server reaches the page over its own connection."""
        phone = self.connect()
        phone.register()
        self.suite.until_said(f'dn-registered dn="{DN}"')
        caller = Run(scenario="call", at=Endpoint(own_address()), to=self.server, service=DN)
        with sipp(caller) as calling:
            invite = phone.hear()
            self.assertEqual(invite.name, "INVITE")
            phone.reply(invite, "180 Ringing")
            phone.reply(invite, "200 OK", description("sendrecv"))
            self.assertEqual(phone.hear().name, "ACK")
            bye = phone.hear()
            self.assertEqual(bye.name, "BYE")
            phone.reply(bye, "200 OK")
            calling.finish()

    def test_without_tls(self) -> None:
        """On this machine a WebSocket needs no TLS."""
        with web_phone(f"ws://{self.place}/sip", DN, DOMAIN) as phone:
            self.assertEqual(phone.register().name, "200 REGISTER")
            self.suite.until_said("phone-bound proto=WS ")

    def test_stops_with_a_call(self) -> None:
        """When the suite ends, a call over a WebSocket has its BYE before the connection closes."""
        phone = self.connect()
        phone.register()
        phone.call(ECHO)
        self.suite.begin_to_stop()
        bye = phone.hear()
        self.assertEqual(bye.name, "BYE")
        phone.reply(bye, "200 OK")
        self.assertRaises(EOFError, phone.hear)
        self.assertEqual(phone.socket.close_code, 1000)

    def test_pages_beside_it(self) -> None:
        """The pages and another path are as they were."""
        with urllib.request.urlopen(f"https://{self.place}/ping", context=self.trusting) as got:
            self.assertEqual(got.read(), b"up")
        refusal = self.assertRaises(InvalidStatus, self.connect, "/other")
        self.assertEqual(refusal.response.status_code, 404)


class OriginTests(WebTestCase):
    """A list of web sites."""

    more = {"rsmp": ("domain-whitelist = https://a.example",)}

    def test_origins(self) -> None:
        """Pages of other sites are refused."""
        self.connect(origin="https://a.example")
        refusal = self.assertRaises(InvalidStatus, self.connect, origin="https://b.example")
        self.assertEqual(refusal.response.status_code, 403)


class PageTests(WebTestCase):
    """JsSIP in Chromium, in a page of ours, over the WebSocket beside it."""

    def test_jssip(self) -> None:
        """
        It registers, asks, and is called; its own offer is refused, for it demands DTLS-SRTP.

        When the browser is gone, so is the binding, and the registration with the SIP Server.
        """
        lack(missing("jssip"))
        home = temporary_folder(self)
        trust(self.suite.authority, home)
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(self.calls_the_page)
            told = run_browser(
                "jssip.mjs",
                f"https://{self.place}/",
                home=home,
                dn=DN,
                password=PASSWORD,
                number=ECHO,
            )
            calling.result()
        self.assertEqual(told["complaints"], [])
        self.assertEqual(told["invited"]["from"], "4711")
        self.assertIn(f"c=IN IP4 {self.suite.at.host}\r\n", told["invited"]["body"])
        self.assertEqual((told["registered"], told["options"], told["call"]), (200, 200, 488))
        self.suite.until_said(f'phone-gone dn="{DN}" reason=')
        self.suite.until_said(f'dn-unregistered dn="{DN}"')

    def calls_the_page(self) -> None:
        """Somebody behind the SIP Server calls it, and hears that it is busy."""
        self.suite.until_said(f'dn-registered dn="{DN}"', 30)
        at = Endpoint(own_address())
        play(Run(scenario="caller-meets-busy", at=at, to=self.server, service=DN))


def _has_connection(to: Endpoint) -> bool:
    host = int.from_bytes(socket.inet_aton(to.host), "little")
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[2] == f"{host:08X}:{to.port:04X}" for row in rows)
