"""Tests of what browsers need: the gateway's switch, its listeners, media, and old files."""

from __future__ import annotations

import tempfile
from ipaddress import ip_network
from pathlib import Path

from b2bua.settings import B2buaSettings, GatewaySettings, TurnAccess, WebMediaSettings
from suite.config import Arguments, Loaded, load
from suite.ice_peers import IcePeers
from suite.reload import plan
from suite.settings import LogLevel, SuiteSettings, TcpListen
from tests.certificates import write_certificate
from tests.config.machines import MACHINE, ConfigTestCase
from turn.access import PeerRules

RELAY = "[turn]\nuser = alice:a long password\nlistening-ip = 192.0.2.1\n"

PASTED = (Path(__file__).parent / "golden" / "suite_exported.conf").read_text()


class WebTestCase(ConfigTestCase):
    """Loads files with a gateway."""

    def of(self, rsmp: str = "", more: str = "") -> Loaded:
        """Load [rsmp] with a SIP Server and the gateway, and whatever sections follow."""
        return self.load(
            f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\nhttp-port = 8086\n{rsmp}\n{more}\n"
        )

    def b2bua(self, loaded: Loaded) -> B2buaSettings:
        """The B2BUA's settings, which must be there."""
        found = self.settings(loaded).b2bua
        assert found is not None
        return found

    def web(self, loaded: Loaded) -> WebMediaSettings:
        """Media of browsers."""
        found = self.b2bua(loaded).web
        assert found is not None
        return found

    def gateway(self, loaded: Loaded) -> GatewaySettings:
        """Their sessions."""
        found = self.b2bua(loaded).gateway
        assert found is not None
        return found

    def certificate(self) -> tuple[Path, Path]:
        """Make a certificate and its key."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        write_certificate(Path(folder.name), ())
        return Path(folder.name) / "cert.pem", Path(folder.name) / "key.pem"

    def on_port(self, settings: SuiteSettings, port: int) -> dict[str, TcpListen]:
        """Listeners on a port, by host."""
        return {each.address[0]: each for each in settings.tcp if each.address[1] == port}


class PastedFileTests(WebTestCase):
    """A file that was written for the old gateway, exported as it stood."""

    def test_starts(self) -> None:
        """It starts without a line of ours, and every option of it is known."""
        loaded = self.load(PASTED)
        settings = self.settings(loaded)
        self.silent(loaded, "no such option")
        self.silent(loaded, "error")
        b2bua = self.b2bua(loaded)
        self.assertEqual(["192.0.2.21", "192.0.2.22"], [s.host for s in b2bua.servers.addresses])
        self.assertTrue(b2bua.registered.matches("8150"))
        self.assertTrue(self.gateway(loaded).allow_anonymous)
        self.assertEqual({"127.0.0.1", "192.0.2.1"}, set(self.on_port(settings, 8086)))
        self.assertEqual(LogLevel.DEBUG, settings.log.verbose)
        self.assertIsNone(settings.turn)

    def test_what_is_said(self) -> None:
        """What is different here is said: the certificate, transcoding, the relay."""
        loaded = self.load(PASTED)
        self.said(loaded, "notice", "web-dtls-certificate", "certificate of this install")
        self.said(loaded, "notice", "enable-transcoding", "common codec")
        self.said(loaded, "notice", "'turn'", "no relay is started")
        self.said(loaded, "notice", "network", "no Message Server")
        self.said(loaded, "notice", "../logs/rsmplog", "go to stdout")
        self.assertEqual(["stdout"], [each.target for each in self.settings(loaded).log.outputs])
        self.said(loaded, "warning", "sip-register", "without a password")
        self.assertIsNone(self.web(loaded).dtls.certificate)

    def test_absent_folder(self) -> None:
        """That the old install's folder of logs is not here is said once."""
        names = ("all", "standard", "interaction", "trace", "debug")
        loaded = self.of("", "[log]\n" + "\n".join(f"{each} = ../logs/rsmplog" for each in names))
        told = [each for each in loaded.diagnostics if "no such folder" in str(each)]
        self.assertEqual(1, len(told), told)
        targets = {each.target for each in self.settings(loaded).log.outputs}
        self.assertEqual({"stdout"}, targets)

    def test_no_pem(self) -> None:
        """A file for DTLS that is neither certificate nor key is one mistake."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"no PEM")
            file.flush()
            loaded = self.of(f"web-dtls-certificate = {file.name}")
            self.refused(loaded, "no certificate in PEM form")
        absent = self.of("web-dtls-certificate = /nowhere/dtls.pem")
        for each in (loaded, absent):
            errors = [found for found in each.diagnostics if "error" in str(found)]
            self.assertEqual(1, len(errors), errors)

    def test_missing_file(self) -> None:
        """A file that is named by the operator must be there."""
        self.refused(self.of("web-dtls-certificate = /nowhere/dtls.pem"), "no such file")
        self.refused(
            self.of("enable-https = true\nhttps-cert = /no/c.pem\nhttps-cert-key = /no/k.pem"),
            "https-cert-key",
            "no such file",
        )

    def test_thumbprint(self) -> None:
        """What only Windows knows is refused, and the form that is taken is named."""
        for name in ("https-cert", "sip-tls-cert", "web-dtls-certificate"):
            loaded = self.of(
                f"{name} = a9 09 50 2d d8 2a e4 14 33 e6 f8 38 86 b0 0d 42 77 a3 2a 7b"
            )
            self.refused(loaded, name, "thumbprint", "PEM")


class SwitchTests(WebTestCase):
    """Whether the gateway runs."""

    def test_auto(self) -> None:
        """An option that only browsers need switches it on, with the B2BUA; SIP's do not."""
        for content in ("[rsmp]\nhttp-port = 8086", "[rsmp]\nstun-server = stun.example.com"):
            self.gateway(self.load(f"{RELAY}{content}\n"))
        for line in ("sip-no-avpf = false", "rtp-trace-level = 2", "sip-added-codecs = (vp8)"):
            loaded = self.load(f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n{line}\n")
            self.assertIsNone(self.b2bua(loaded).gateway)
            self.assertIsNone(self.b2bua(loaded).web)
            self.assertEqual({}, self.on_port(self.settings(loaded), 8086))

    def test_lab(self) -> None:
        """It comes with the lab, for this machine only."""
        loaded = self.load(f"{RELAY}[lab]\nenabled = true\n")
        self.assertEqual(("127.0.0.1", "192.0.2.1"), self.web(loaded).addresses)
        allows = self.web(loaded).allows_peer
        self.assertTrue(allows("127.0.0.1", 50000) and allows("192.0.2.1", 50000))
        self.assertFalse(allows("192.0.2.77", 50000))
        self.assertEqual({"127.0.0.1"}, set(self.on_port(self.settings(loaded), 8086)))
        beyond = f"{RELAY}[lab]\nenabled = true\n[gateway]\naddress = 192.0.2.1\n"
        self.refused(self.load(beyond), "address", "lab")

    def test_words(self) -> None:
        """It can be switched on and off in so many words."""
        self.assertIsNone(self.b2bua(self.of("", "[gateway]\nenabled = false")).gateway)
        self.gateway(
            self.load(f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n[gateway]\nenabled = true\n")
        )
        off = "[gateway]\nenabled = true\n[b2bua]\nenabled = false"
        self.refused(self.of("", off), "enabled", "B2BUA")

    def test_users_of_pages(self) -> None:
        """The relay confines whom the pages and the gateway give credentials to."""
        gateway = f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\nhttp-port = 8086\n"
        session, visitor = "gateway-session-", "gateway-visitor-"
        for text, expected in (
            (gateway, ["check-page", session, visitor]),
            (f"{gateway}[suite]\nweb = false\n", [session, visitor]),
            (RELAY, ["check-page"]),
            (f"{RELAY}[suite]\nweb = false\n", []),
        ):
            turn = self.settings(self.load(text)).turn
            assert turn is not None
            self.assertEqual(expected, [users.name for users in turn.confined])

    def test_own_pages(self) -> None:
        """Pages that speak SIP themselves have media on ws-port without the gateway."""
        loaded = self.load(f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n[b2bua]\nws-port = 5080\n")
        self.assertIsNone(self.b2bua(loaded).gateway)
        self.web(loaded)

    def test_idle_options(self) -> None:
        """Options of it that do nothing are remarked on."""
        loaded = self.load(f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n[gateway]\npoll-time = 60\n")
        self.said(loaded, "notice", "poll-time", "off")


class ListenTests(WebTestCase):
    """Where browsers sign in."""

    def test_plain(self) -> None:
        """Without enable-https http-port is plain HTTP for everybody, without the relay."""
        [listen] = self.on_port(
            self.settings(self.of("", "[gateway]\naddress = 192.0.2.1")), 8086
        ).values()
        self.assertTrue(listen.web and listen.plain_http)
        self.assertFalse(listen.tls or listen.turn or listen.plain)

    def test_https(self) -> None:
        """With it there is HTTPS only, with the pages' certificate where it has none."""
        loaded = self.of("enable-https = true")
        listen = self.on_port(self.settings(loaded), 8086)["192.0.2.1"]
        self.assertEqual(
            (True, False, False), (listen.tls, listen.plain_http, listen.https_certificate)
        )
        self.assertIsNone(self.settings(loaded).https)
        self.said(loaded, "notice", "enable-https", "certificate of the pages")

    def test_own_certificate(self) -> None:
        """https-cert is shown on http-port, https-trusted-ca behind it, and read again."""
        certificate, key = self.certificate()
        lines = (
            f"enable-https = true\nhttps-cert = {certificate}\nhttps-cert-key = {key}\n"
            f"https-trusted-ca = {certificate}"
        )
        settings = self.settings(self.of(lines))
        assert settings.https is not None
        self.assertEqual(
            (certificate, key, certificate),
            (settings.https.certificate, settings.https.private_key, settings.https.authorities),
        )
        self.assertTrue(self.on_port(settings, 8086)["192.0.2.1"].https_certificate)
        self.assertFalse(self.on_port(settings, 8443)["192.0.2.1"].https_certificate)
        other, other_key = self.certificate()
        changed = self.settings(
            self.of(f"enable-https = true\nhttps-cert = {other}\nhttps-cert-key = {other_key}")
        )
        self.assertEqual(("https",), plan(settings, changed).applied)
        self.refused(
            self.of(f"enable-https = true\nhttps-cert-key = {key}"), "https-cert is missing"
        )

    def test_addresses(self) -> None:
        """Its own, else the pages', else every one; IPv6 only where it is allowed."""
        self.assertEqual(
            {"127.0.0.1", "192.0.2.1"}, set(self.on_port(self.settings(self.of()), 8086))
        )
        six = self.on_port(self.settings(self.of("allow-ipv6 = true")), 8086)
        self.assertEqual(set(MACHINE.addresses), set(six))
        pages = self.of("", "[suite]\nweb-address = 192.0.2.1")
        self.assertEqual({"192.0.2.1"}, set(self.on_port(self.settings(pages), 8086)))
        own = self.of("", "[suite]\nweb-address = 192.0.2.1\n[gateway]\naddress = 127.0.0.1")
        self.assertEqual({"127.0.0.1"}, set(self.on_port(self.settings(own), 8086)))
        self.refused(self.of("", "[gateway]\naddress = 2001:db8::1"), "IPv6 is not allowed")

    def test_one_port_for_all(self) -> None:
        """http-port may be one of the pages and the relay; it then serves all of it."""
        loaded = self.load(
            "[suite]\nweb-ports = 443\n[turn]\nuser = a:a long password\nlistening-ip = 192.0.2.1\n"
            "aux-server = 192.0.2.1:443\n[rsmp]\nhttp-port = 443\nenable-https = true\n"
            "sip-proxy = 192.0.2.5\n[gateway]\naddress = 192.0.2.1\n"
        )
        [listen] = self.on_port(self.settings(loaded), 443).values()
        self.assertTrue(listen.turn and listen.web and listen.tls and listen.plain)
        self.assertFalse(listen.plain_http)

    def test_proxy_port(self) -> None:
        """A second port is for named proxies only."""
        more = "[gateway]\naddress = 192.0.2.1\nproxy-port = 8087\nproxy-networks = 10.1.0.5/32"
        loaded = self.of("", more)
        [listen] = self.on_port(self.settings(loaded), 8087).values()
        self.assertEqual((ip_network("10.1.0.5/32"),), listen.proxy_from)
        self.assertEqual((ip_network("10.1.0.5/32"),), self.gateway(loaded).proxies)
        self.refused(self.of("", "[gateway]\nproxy-port = 8087"), "proxy-networks is not set")
        self.refused(self.of("", f"{more}\nproxy-networks = 0.0.0.0/0"), "pass for any address")
        same = "[gateway]\nproxy-port = 8086\nproxy-networks = 10.1.0.5/32"
        self.refused(self.of("", same), "proxy-port", "http-port is the same")
        with_pages = "[gateway]\nproxy-port = 8443\nproxy-networks = 10.1.0.5/32"
        self.refused(self.of("", with_pages), "proxy-port", "without a PROXY header")

    def test_redirect(self) -> None:
        """A port of its own leads to HTTPS."""
        loaded = self.of("", "[suite]\nweb-redirect-port = 80\nweb-ports = 8443, 443")
        listen = self.on_port(self.settings(loaded), 80)["192.0.2.1"]
        self.assertEqual((443, False, False), (listen.redirect_to, listen.web, listen.tls))
        self.refused(self.of("", "[suite]\nweb-redirect-port = 8443"), "one of web-ports")
        self.refused(self.of("", "[suite]\nweb-redirect-port = 8086"), "something else")


class MediaTests(WebTestCase):
    """Addresses, ports, servers and keys of browsers' media."""

    def test_addresses(self) -> None:
        """Every address but loopback, or those that are named and are ours."""
        self.assertEqual(("192.0.2.1",), self.web(self.of()).addresses)
        six = self.web(self.of("allow-ipv6 = true"))
        self.assertEqual(("192.0.2.1", "2001:db8::1"), six.addresses)
        named = self.web(self.of("web-ice-addresses = 127.0.0.1,192.0.2.1"))
        self.assertEqual(("127.0.0.1", "192.0.2.1"), named.addresses)
        self.refused(self.of("web-ice-addresses = 198.51.100.9"), "external-ip")
        self.refused(self.of("web-ice-addresses = ::1"), "IPv6 is not allowed")

    def test_external(self) -> None:
        """The public address is the gateway's own, else the relay's."""
        relay = self.load(
            "[turn]\nuser = a:a long password\nexternal-ip = 198.51.100.7/192.0.2.1\n"
            "[rsmp]\nhttp-port = 8086\n"
        )
        self.assertEqual({"192.0.2.1": "198.51.100.7"}, self.web(relay).external)
        own = self.of("", "[gateway]\nexternal-ip = 198.51.100.8")
        self.assertEqual({"192.0.2.1": "198.51.100.8"}, self.web(own).external)
        self.refused(self.of("", "[gateway]\nexternal-ip = 198.51.100.8/10.0.0.1"), "external-ip")
        self.refused(self.of("", "[gateway]\nexternal-ip = auto"), "stun-server")

    def test_servers(self) -> None:
        """STUN and TURN as the guide writes them, as URLs too."""
        web = self.web(self.of("stun-server = stun:stun.example.com"))
        self.assertEqual(("stun.example.com", 3478), web.stun_server)
        turn = "turn-user = gateway\nturn-passwd = a long word\nturn-server = turn.example.com:443"
        expected = TurnAccess(
            host="turn.example.com", port=443, user="gateway", password="a long word"
        )
        self.assertEqual(expected, self.web(self.of(turn)).turn_server)
        for lines in (f"{turn}?transport=tcp", f"turn-relay-type = 1\n{turn}"):
            found = self.web(self.of(lines)).turn_server
            self.assertTrue(found and found.over_tcp)
        explicit = self.web(self.of(f"turn-relay-type = 0\n{turn}?transport=tcp")).turn_server
        self.assertFalse(explicit and explicit.over_tcp)
        self.refused(self.of("turn-server = turns:turn.example.com"), "TLS is not supported")
        self.refused(self.of("turn-server = turn.example.com"), "turn-user and turn-passwd")
        sample = "turn-server = t.example\nturn-user = genesys\nturn-passwd = genesys"
        self.said(self.of(sample), "warning", "turn-passwd", "known to everybody")

    def test_pictures(self) -> None:
        """How often a whole picture may be asked for, and how often it is."""
        for lines, expected in (
            ("", (1.0, 1.0)),
            ("web-pli-mintime = 1500", (1.5, 1.5)),
            ("web-pli-mintime = 0", (None, None)),
            ("web-pli-always = false", (1.0, None)),
            ("web-pli-mintime = 5000\nweb-pli-always = false", (5.0, None)),
        ):
            web = self.web(self.of(lines))
            self.assertEqual(expected, (web.picture_spacing, web.picture_interval), lines)

    def test_keys(self) -> None:
        """DTLS and SDES; what leaves no keys at all is refused."""
        dtls = self.web(self.of()).dtls
        self.assertEqual((True, False, True), (dtls.enabled, dtls.offers_sdes, dtls.accepts_sdes))
        self.assertEqual(Path("/state"), dtls.state_directory)
        self.assertTrue(self.web(self.of("web-disable-sdes = false")).dtls.offers_sdes)
        only_sdes = self.of("web-enable-dtls = false")
        self.assertTrue(self.web(only_sdes).dtls.offers_sdes)
        self.said(only_sdes, "warning", "web-enable-dtls", "no browser")
        refuse = "[gateway]\nrefuse-sdes = true"
        self.assertFalse(self.web(self.of("", refuse)).dtls.accepts_sdes)
        self.refused(self.of("web-enable-dtls = false", refuse), "refuse-sdes")
        self.refused(self.of("web-enable-dtls = false\nweb-disable-sdes = true"), "no keys at all")

    def test_dtls_files(self) -> None:
        """A certificate with its key in one file or in two; no key without one."""
        certificate, key = self.certificate()
        two = self.web(
            self.of(f"web-dtls-certificate = {certificate}\nweb-dtls-privatekey = {key}")
        )
        self.assertEqual((certificate, key), (two.dtls.certificate, two.dtls.key))
        both = self.write(certificate.read_bytes() + key.read_bytes(), "both.pem")
        one = self.web(self.of(f"web-dtls-certificate = {both}"))
        self.assertEqual((both, None), (one.dtls.certificate, one.dtls.key))
        self.refused(self.of(f"web-dtls-certificate = {certificate}"), "private key is not in it")
        self.refused(self.of(f"web-dtls-privatekey = {key}"), "belongs to no certificate")
        both.chmod(0o644)
        self.refused(self.of(f"web-dtls-certificate = {both}"), "may read the private key")

    def test_dtls_files_of_no_use(self) -> None:
        """What DTLS could not begin with is said before the start."""
        certificate, key = self.certificate()
        broken = self.write("-----BEGIN CERTIFICATE-----\nAAAA\n", "broken.pem")
        lines = f"web-dtls-certificate = {broken}\nweb-dtls-privatekey = {key}"
        self.refused(self.of(lines), "'web-dtls-certificate'", "no PEM certificate")
        _, other = self.certificate()
        lines = f"web-dtls-certificate = {certificate}\nweb-dtls-privatekey = {other}"
        self.refused(self.of(lines), "'web-dtls-privatekey'", "does not belong to")
        self.refused(self.of("web-dtls-cipherlist = NONE"), "'web-dtls-cipherlist'", "knows none")

    def test_ports(self) -> None:
        """The range is one that nothing else uses."""
        self.refused(self.of("web-rtp-min-port = 37000"), "above web-rtp-max-port")
        meets = "web-rtp-min-port = 9990\nsip-address = 192.0.2.1"
        self.refused(self.of(meets), "meet those of the SIP side")
        self.refused(self.of("web-rtp-min-port = 3000"), "web-rtp-min-port", "contain port")

    def test_multiplexing(self) -> None:
        """RTCP stays on the port of RTP; a bundle without it is a contradiction."""
        self.refused(self.of("web-rtcp-mux = false"), "web-rtcp-mux", "no bundle")
        loaded = self.of("web-rtcp-mux = false\nweb-media-bundle = false")
        self.assertFalse(self.web(loaded).bundle)
        self.said(loaded, "notice", "web-rtcp-mux", "it stays on")

    def test_feedback(self) -> None:
        """What the SIP side has of feedback."""
        self.assertEqual(
            (False, True), (self.b2bua(self.of()).avpf, self.b2bua(self.of()).feedback)
        )
        other = self.b2bua(self.of("sip-no-avpf = false\nsip-no-rtcpfb = true"))
        self.assertEqual((True, False), (other.avpf, other.feedback))


class SessionTests(WebTestCase):
    """Who may sign in."""

    def test_settings(self) -> None:
        """The options of [gateway] and of the guide."""
        found = self.gateway(
            self.of(
                "allow-anonymous-user = false\nuse-sid-from-url = false\nhttp-trace = true",
                "[gateway]\nclient-networks = 10.0.0.0/8, 192.168.0.0/16\npoll-time = 90\n"
                "session-time = 45\nmax-sessions = 10\nsessions-per-user = 2\nanonymous-calls = 3\n"
                "strangers-per-address = 7",
            )
        )
        self.assertEqual(
            (False, False, True), (found.allow_anonymous, found.sid_from_url, found.trace)
        )
        self.assertEqual((90, 45), (found.poll_seconds, found.reap_seconds))
        self.assertEqual((10, 2), (found.sessions, found.sessions_per_user))
        self.assertEqual((3, 7), (found.anonymous_calls_per_minute, found.strangers_per_address))
        self.assertEqual((ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16")), found.networks)

    def test_warnings(self) -> None:
        """What lets in others than the operator may think is said, beyond this machine."""
        loaded = self.of("sip-register = 1000-1999", "[users]\n1001 = a long password")
        self.said(loaded, "warning", "domain-whitelist", "every web site")
        self.said(loaded, "warning", "allow-anonymous-user", "any number")
        self.said(loaded, "warning", "sip-register", "without a password, but for 1 of [users]")
        self.said(loaded, "warning", "enable-https", "in the clear")
        quiet = self.of(
            "domain-whitelist = https://a.example\nallow-anonymous-user = false",
            "[suite]\nweb-address = 127.0.0.1",
        )
        self.silent(quiet, "warning")
        for everybody in ("*", "*:*", "https://*", "http://*", "*://*:*"):
            open_to_all = self.of(f"domain-whitelist = {everybody}")
            self.said(open_to_all, "warning", "domain-whitelist", "everybody is on it")
        by_pages = self.of("", "[gateway]\naddress = 127.0.0.1")
        self.said(by_pages, "warning", "allow-anonymous-user")
        guarded = self.of("sip-register = 1000", "[gateway]\nclient-networks = 10.0.0.0/8")
        self.silent(guarded, "sip-register")
        limited = self.of("", "[gateway]\nanonymous-destinations = 5000-5099")
        self.silent(limited, "allow-anonymous-user")


class PeerTests(WebTestCase):
    """What the relay and ICE may send to."""

    def test_relay_reaches_ice(self) -> None:
        """Exactly the ports of browsers' media are open to the relay, by the public face too."""
        loaded = self.of("", "[gateway]\nexternal-ip = 198.51.100.8/192.0.2.1")
        peers = self.turn(loaded).peers
        rules = PeerRules(
            peers,
            relay_addresses=("127.0.0.1",),
            external={},
            min_port=49152,
            max_port=65535,
            own_endpoints=(("192.0.2.1", 8086),),
            machine_addresses=MACHINE.addresses,
        )
        for host in ("192.0.2.1", "198.51.100.8"):
            for port, allowed in ((36000, True), (36999, True), (35999, False), (37000, False)):
                permission = rules.decide(host, port).permission
                self.assertEqual(allowed, permission is not None, (host, port))
                if permission is not None:
                    self.assertEqual("192.0.2.1", permission.reached_at)
        for port in (8086, 5066, 22, 49152):
            self.assertIsNone(rules.decide("192.0.2.1", port).permission, port)

    def test_relay_alone(self) -> None:
        """Without browsers nothing is opened."""
        self.assertEqual((), self.turn(self.load(RELAY)).peers.open_ports)

    def test_reload(self) -> None:
        """Ports that ICE will have after a restart are not opened before it."""
        before = self.settings(self.of())
        after = self.settings(self.of("web-rtp-max-port = 37999"))
        change = plan(before, after)
        self.assertEqual((), change.applied)
        self.assertEqual(before.turn, change.settings.turn)

    def test_candidates(self) -> None:
        """A browser cannot have us send to services, to many, or to this machine."""
        allows = IcePeers()
        for host, port in (("10.0.0.7", 50000), ("203.0.113.9", 1024), ("2001:db8::7", 65535)):
            self.assertTrue(allows(host, port), host)
        for host, port in (
            ("10.0.0.7", 53),
            ("127.0.0.1", 50000),
            ("::1", 50000),
            ("::ffff:127.0.0.1", 50000),
            ("224.0.0.5", 5000),
            ("0.0.0.0", 5000),
            ("::", 5000),
            ("255.255.255.255", 5000),
            ("host.local", 5000),
            ("10.0.0.7", 65536),
        ):
            self.assertFalse(allows(host, port), (host, port))
        self.assertTrue(IcePeers(loopback=True)("127.0.0.1", 50000))
        self.assertEqual(IcePeers(), IcePeers())

    def test_sought(self) -> None:
        """What is only named is sought where the relay would send too, and nowhere inside."""
        web = self.web(self.of("web-ice-addresses = 192.0.2.1"))
        seeks = web.seeks_peer
        for host in ("8.8.8.8", "2606:4700::7"):
            self.assertTrue(seeks(host, 50000), host)
            self.assertFalse(seeks(host, 53), host)
        for host in (
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "fe80::1",
            "fd00::1",
            "::127.0.0.1",
            "::ffff:10.0.0.7",
            "2002:a00:7::",
            "64:ff9b::a00:7",
            "192.0.2.1",
        ):
            self.assertFalse(seeks(host, 9641), host)
            self.assertTrue(web.allows_peer(host, 50000) or "::ffff" in host, host)


class EmbeddedTests(WebTestCase):
    """What is started without a file."""

    def test_browsers(self) -> None:
        """Browsers of this machine sign in and call, and nobody elsewhere is a peer of theirs."""
        loaded = load(Arguments(), machine=MACHINE)
        web = self.web(loaded)
        self.assertEqual((("127.0.0.1", "192.0.2.1"), {}), (web.addresses, web.external))
        self.assertTrue(web.allows_peer("127.0.0.1", 50000))
        self.assertFalse(web.allows_peer("192.0.2.77", 50000))
        self.gateway(loaded)
        self.silent(loaded, "warning")
