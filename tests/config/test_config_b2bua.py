"""Tests of the B2BUA's and the lab's settings as options make them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from b2bua.origins import Origins
from b2bua.settings import B2buaSettings, EchoAnswer, SrtpMode
from b2bua.srv import IpVersion
from b2bua.upstreams import Server
from suite.config import Arguments, Loaded, check, load
from suite.lab.settings import LabSettings
from suite.reload import plan
from tests.certificates import write_certificate
from tests.config.machines import MACHINE, ConfigTestCase

RELAY = "[turn]\nuser = alice:a long password\nlistening-ip = 192.0.2.1\n"


class B2buaTestCase(ConfigTestCase):
    """Loads files that have a relay beside the B2BUA."""

    def of(self, rsmp: str, more: str = "", proxy: str = "192.0.2.5") -> Loaded:
        """Load [rsmp] with a SIP Server, and whatever sections follow."""
        server = f"sip-proxy = {proxy}\n" if proxy else ""
        return self.load(f"{RELAY}[rsmp]\n{server}{rsmp}\n{more}\n")

    def b2bua(self, loaded: Loaded) -> B2buaSettings:
        """The B2BUA's settings, which must be there."""
        found = self.settings(loaded).b2bua
        assert found is not None
        return found

    def bound(self, loaded: Loaded, transport: str = "UDP") -> list[tuple[str, int, str]]:
        """Host, port and what is shown, of each listener of a transport."""
        return [
            (each.host, each.port, each.advertised)
            for each in self.b2bua(loaded).listens
            if each.transport == transport
        ]


class SwitchTests(B2buaTestCase):
    """Whether it runs."""

    def test_auto(self) -> None:
        """A SIP Server or the lab switches it on; nothing else does."""
        for content in (
            "[rsmp]\nsip-proxy = 192.0.2.5",
            "[rsmp]\nsip-proxy-srv = sip.example.com",
            "[lab]\nenabled = true",
        ):
            self.b2bua(self.load(f"{RELAY}{content}\n"))
        self.assertIsNone(self.settings(self.load(RELAY)).b2bua)

    def test_idle_options(self) -> None:
        """Options of it that can do nothing are remarked on once, unless it is switched off."""
        content = f"{RELAY}[rsmp]\nsip-port = 5070\nsip-register = 10*\n"
        loaded = self.load(content)
        self.assertIsNone(self.settings(loaded).b2bua)
        self.said(loaded, "suite.conf:5: notice", "the B2BUA is off")
        self.silent(loaded, "sip-register")
        self.silent(self.load(content + "[b2bua]\nenabled = false\n"), "B2BUA is off")

    def test_by_hand(self) -> None:
        """Switched on without a SIP Server it expects one here; switched off it is off."""
        loaded = self.load(f"{RELAY}[b2bua]\nenabled = yes\n")
        self.assertEqual((Server("127.0.0.1"),), self.b2bua(loaded).servers.addresses)
        self.said(loaded, "notice", "expected on this machine")
        off = self.of("", "[b2bua]\nenabled = false")
        self.assertIsNone(self.settings(off).b2bua)

    def test_without_relay_or_pages(self) -> None:
        """It alone is enough to serve; without it, relay and pages there is nothing."""
        off = "[suite]\nturn = false\nweb = false\n"
        settings = self.settings(self.load(off + "[rsmp]\nsip-proxy = 192.0.2.5\n"))
        self.assertIsNone(settings.turn)
        self.assertEqual(((), ()), (settings.udp, settings.tcp))
        self.assertIsNotNone(settings.b2bua)
        self.refused(self.load(off), "nothing is left to serve")

    def test_turnserver_conf(self) -> None:
        """A turnserver.conf alone starts the relay alone."""
        self.assertIsNone(self.settings(self.load_turn("user=alice:a password\n")).b2bua)

    def test_reload(self) -> None:
        """Reading the same again changes nothing; what differs waits for a start."""
        rsmp, more = "sip-register = 10*,2000-2010", "[users]\n1020 = a long word"
        running = self.settings(self.of(rsmp, more))
        self.assertEqual(((), ()), self.changed(running, self.settings(self.of(rsmp, more))))
        other = self.settings(self.of(rsmp, more + "er"))
        self.assertEqual(((), ("b2bua",)), self.changed(running, other))
        self.assertEqual(((), ("b2bua",)), self.changed(running, self.settings(self.load(RELAY))))

    def changed(self, one: object, other: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a reload applies and what waits."""
        change = plan(one, other)  # type: ignore[arg-type]
        return change.applied, change.waiting


class AddressTests(B2buaTestCase):
    """Where SIP and RTP are taken in."""

    def test_every_address(self) -> None:
        """Without sip-address each IPv4 address is bound, by UDP and TCP, and shown as it is."""
        loaded = self.of("")
        expected = [("127.0.0.1", 5066, ""), ("192.0.2.1", 5066, "")]
        self.assertEqual(expected, self.bound(loaded))
        self.assertEqual(expected, self.bound(loaded, "TCP"))
        self.assertEqual(4, len(self.b2bua(loaded).listens))

    def test_ipv6(self) -> None:
        """IPv6 is bound only where it is allowed; its addresses are refused otherwise."""
        hosts = [host for host, _, _ in self.bound(self.of("allow-ipv6 = true"))]
        self.assertEqual(list(MACHINE.addresses), hosts)
        for line in (
            "sip-address = 2001:db8::1",
            "rtp-address = 2001:db8::1",
            "sip-preferred-ipversion = ipv6",
        ):
            self.refused(self.of(line), "IPv6 is not allowed")
            self.settings(self.of(f"{line}\nallow-ipv6 = true"))
        self.refused(self.of("", proxy="[2001:db8::5]"), "sip-proxy", "IPv6 is not allowed")
        self.refused(self.of("", "[b2bua]\nlocal-address = ::1"), "IPv6 is not allowed")
        servers = self.b2bua(self.of("allow-ipv6 = true\nsip-preferred-ipversion = ipv6")).servers
        self.assertEqual((True, IpVersion.IPV6), (servers.ipv6, servers.prefer))

    def test_one_address(self) -> None:
        """An address of this machine is the only one, and where connections and RTP come from."""
        loaded = self.of("sip-address = 192.0.2.1\nsip-port = 5060")
        self.assertEqual([("192.0.2.1", 5060, "")], self.bound(loaded))
        settings = self.b2bua(loaded)
        self.assertEqual(("192.0.2.1", "192.0.2.1"), (settings.local_host, settings.media.host))
        self.assertEqual("", settings.media.advertised)

    def test_any_loopback(self) -> None:
        """Every address of 127.0.0.0/8 is this machine's; localhost is those of its interface."""
        self.assertEqual([("127.0.0.9", 5066, "")], self.bound(self.of("sip-address = 127.0.0.9")))
        self.assertEqual([("127.0.0.1", 5066, "")], self.bound(self.of("sip-address = localhost")))

    def test_unspecified(self) -> None:
        """0.0.0.0 is every address of IPv4, each by its own name."""
        loaded = self.of("sip-address = 0.0.0.0\nallow-ipv6 = true")
        hosts = [host for host, _, _ in self.bound(loaded)]
        self.assertEqual(["127.0.0.1", "192.0.2.1"], hosts)

    def test_behind_nat(self) -> None:
        """A foreign address is shown by all but loopback; RTP's must be named too."""
        loaded = self.of("sip-address = 203.0.113.9\nallow-ipv6 = true")
        self.assertEqual(
            [
                ("127.0.0.1", 5066, ""),
                ("192.0.2.1", 5066, "203.0.113.9"),
                ("::1", 5066, ""),
                ("2001:db8::1", 5066, ""),
            ],
            self.bound(loaded),
        )
        self.said(loaded, "notice", "203.0.113.9", "only shown to peers")
        self.said(loaded, "warning", "rtp-address", "SDP names 192.0.2.1")
        self.assertEqual("", self.b2bua(loaded).local_host)

    def test_name(self) -> None:
        """A name is shown, whichever address it has."""
        loaded = self.of("sip-address = Gateway.example.com\nallow-ipv6 = true")
        shown = {host: name for host, _, name in self.bound(loaded)}
        self.assertEqual("gateway.example.com", shown["2001:db8::1"])
        self.assertEqual("", shown["127.0.0.1"])

    def test_rtp_address(self) -> None:
        """One of ours is bound; any other is named in SDP, over an address that leads out."""
        own = self.b2bua(self.of("rtp-address = 127.0.0.1")).media
        self.assertEqual(("127.0.0.1", ""), (own.host, own.advertised))
        media = self.b2bua(self.of("rtp-address = 203.0.113.9")).media
        self.assertEqual(("192.0.2.1", "203.0.113.9"), (media.host, media.advertised))
        self.refused(self.of("rtp-address = ::"), "nobody can send there")

    def test_rtp_toward_the_servers(self) -> None:
        """Of several addresses RTP takes the one that leads to the SIP Server."""
        self.machine = replace(
            MACHINE,
            addresses=("127.0.0.1", "192.0.2.1", "198.51.100.1"),
            toward=lambda host: "198.51.100.1" if host == "198.51.100.5" else "",
        )
        self.assertEqual("198.51.100.1", self.b2bua(self.of("", proxy="198.51.100.5")).media.host)
        unknown = self.of("", proxy="sip.example.com")
        self.assertEqual("192.0.2.1", self.b2bua(unknown).media.host)
        self.said(unknown, "notice", "rtp-address", "several addresses")

    def test_local_address(self) -> None:
        """Where connections come from can be told, but only to an address that is here."""
        more = "[b2bua]\nlocal-address = 127.0.0.1\nlocal-ports = 20000-20100"
        settings = self.b2bua(self.of("", more))
        self.assertEqual("127.0.0.1", settings.local_host)
        self.assertEqual((20000, 20100), settings.local_ports)
        self.refused(self.of("", "[b2bua]\nlocal-address = 203.0.113.1"), "no address of this")

    def test_ports_differ(self) -> None:
        """Two services on one port are refused, whichever they are."""
        self.refused(self.of("sip-port = 8443"), "sip-port", "port 8443 is taken")
        self.refused(self.of("sip-port = 3478"), "sip-port", "port 3478 is taken")
        self.refused(self.of("", "[b2bua]\nws-port = 9641"), "ws-port", "port 9641 is taken")
        self.refused(self.of("", "[b2bua]\nws-port = 5066"), "ws-port", "without WebSocket")
        self.refused(self.of("sip-tls-port = 5066"), "sip-tls-port", "sip-port is 5066 too")

    def test_rtp_ports(self) -> None:
        """The range holds a pair at least, and no port of another service."""
        self.refused(self.of("sip-port = 9500"), "contain port 9500")
        narrow = "sip-rtp-min-port = 9001\nsip-rtp-max-port = {}"
        self.refused(self.of(narrow.format(9002)), "no pair")
        self.refused(self.of(narrow.format(9000)), "sip-rtp-min-port 9001 is above")
        self.settings(self.of(narrow.format(9003)))
        loaded = self.of("", "[b2bua]\nmax-calls = 300")
        self.said(loaded, "warning", "max-calls", "ports for 250 calls")


class ServerTests(B2buaTestCase):
    """The SIP Servers."""

    def test_in_order(self) -> None:
        """Several servers, in the order of use, with the transport's own port."""
        servers = self.b2bua(self.of("", proxy="a.example, 192.0.2.9:5070, [192.0.2.8]")).servers
        self.assertEqual(
            (Server("a.example"), Server("192.0.2.9", 5070), Server("192.0.2.8")),
            servers.addresses,
        )
        self.assertEqual(("UDP", "a.example"), (servers.srv_transport, servers.domain))
        tcp = self.b2bua(self.of("", "[b2bua]\ntransport = tcp", "a.example")).servers
        self.assertEqual((Server("a.example", 5060, "TCP"),), tcp.addresses)

    def test_bad_servers(self) -> None:
        """Nobody, the same twice, no address, and too many are refused."""
        many = ",".join(f"192.0.2.{number}" for number in range(10, 27))
        for proxy in ("a,,b", "a, A", "0.0.0.0", "a:0", "a:b", "a b", many):
            self.refused(self.of("", proxy=proxy), "sip-proxy")

    def test_service_name(self) -> None:
        """The name alone is looked up; beside addresses it only stands for them."""
        alone = self.b2bua(self.of("sip-proxy-srv = Sip.Example.com.", proxy="")).servers
        for empty in ("sip-proxy =", 'sip-proxy = ""'):
            exported = self.of(f"{empty}\nsip-proxy-srv = Sip.Example.com.", proxy="")
            self.assertEqual(alone, self.b2bua(exported).servers)
        self.assertEqual(((), "sip.example.com"), (alone.addresses, alone.srv_name))
        both = self.b2bua(self.of("sip-proxy-srv = sip.example.com", proxy="a,b")).servers
        self.assertEqual((Server("a"), Server("b")), both.addresses)
        self.assertEqual("sip.example.com", both.domain)

    def test_bad_service_names(self) -> None:
        """A port, an address and the prefix of the records are refused, and why."""
        for name, word in (
            ("sip.example.com:5060", "no port"),
            ("192.0.2.5", "no SRV records"),
            ("_sip._udp.example.com", "put before it"),
            ("a b", "not a DNS name"),
        ):
            self.refused(self.of(f"sip-proxy-srv = {name}"), "sip-proxy-srv", word)

    def test_name_servers(self) -> None:
        """They are addresses, at port 53 unless it is told."""
        servers = self.b2bua(self.of("", "[b2bua]\ndns-server = 192.0.2.53, [::1]:5353")).servers
        self.assertEqual((("192.0.2.53", 53), ("::1", 5353)), servers.name_servers)

    def test_times(self) -> None:
        """Failover, fail-back and the pace of REGISTER."""
        more = "[b2bua]\nfailover-time = 1.5\nfail-back = 300\nregister-expires = 60\n"
        servers = self.b2bua(self.of("", more + "register-rate = 10")).servers
        self.assertEqual((1.5, 300.0), (servers.times.failover, servers.times.fail_back))
        self.assertEqual(60, servers.register_expires)
        self.assertEqual((10, 10), (servers.register_rate, servers.register_burst))
        default = self.b2bua(self.of("")).servers
        self.assertEqual((4.0, None), (default.times.failover, default.times.fail_back))
        self.assertEqual((140, 50, 20), self.pace(self.of("")))

    def pace(self, loaded: Loaded) -> tuple[int, int, int]:
        """Expiry, rate and burst."""
        servers = self.b2bua(loaded).servers
        return servers.register_expires, servers.register_rate, servers.register_burst

    def test_times_that_do_not_fit(self) -> None:
        """An expiry without room for a second try, and a burst above the rate, are refused."""
        self.refused(
            self.of("", "[b2bua]\nfailover-time = 32\nregister-expires = 60"), "more than 66"
        )
        self.refused(
            self.of("", "[b2bua]\nregister-rate = 5\nregister-burst = 6"), "register-burst"
        )

    def test_ourselves(self) -> None:
        """A SIP Server at our own address is a loop."""
        self.refused(self.of("sip-port = 5060", proxy="127.0.0.1"), "our own address")
        self.refused(
            self.of("sip-address = 203.0.113.9", proxy="203.0.113.9:5066"), "our own address"
        )
        self.settings(self.of("", proxy="127.0.0.1"))


class PhoneTests(B2buaTestCase):
    """Who may register, and what calls are like."""

    def test_users(self) -> None:
        """Each DN has its own password; blanks and signs in it stay."""
        phones = self.b2bua(self.of("", "[users]\n1020 = a #b; c\n+4989 = d\n003000 = e")).phones
        self.assertEqual({"1020": "a #b; c", "+4989": "d", "003000": "e"}, phones.users)

    def test_bad_users(self) -> None:
        """No password, no DN, and one DN twice are refused without showing a password."""
        for line in ("1020 =", "1020", "alice = hunter2", "10* = hunter2", "1020:hunter2"):
            loaded = self.of("", f"[users]\n{line}")
            self.assertIsNone(loaded.settings, line)
            self.silent(loaded, "hunter2")
        self.refused(self.of("", "[users]\n1020 = hunter2\n1020 = hunter2"), "set already")

    def test_misplaced_user(self) -> None:
        """A DN in another section belongs to [users]; neither it nor its password is shown."""
        loaded = self.of("1020 = hunter2")
        self.refused(loaded, "suite.conf:6", "write it under [users]")
        self.silent(loaded, "hunter2")
        self.silent(loaded, "1020 =")
        digits = self.of("90817263544")
        self.said(digits, "suite.conf:6: warning", "no such option")
        self.silent(digits, "90817263544")

    def test_weak_password(self) -> None:
        """A password that is its DN is warned of."""
        self.said(self.of("", "[users]\n1020 = 1020"), "warning", "1020", "easily guessed")

    def test_readable_file(self) -> None:
        """Who else may read a phone's password is said."""
        content = f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n"
        content = content.replace("user = alice:a long password\n", "no-auth\nstun-only\n")
        path = self.write(content + "[users]\n1020 = hunter2\n", mode=0o644)
        self.said(load(Arguments(config=path), machine=MACHINE), "warning", "everybody")

    def test_networks(self) -> None:
        """Networks add up; one that is everybody is warned of."""
        more = "[b2bua]\nphone-networks = 10.0.0.0/8, fd00::/8\nphone-networks = 0.0.0.0/0"
        loaded = self.of("", more)
        expected = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8", "0.0.0.0/0")))
        self.assertEqual(expected, self.b2bua(loaded).phones.networks)
        self.said(loaded, "warning", "0.0.0.0/0", "everybody may register")
        self.refused(self.of("", "[b2bua]\nphone-networks = 10.0.0.1/8"), "10.0.0.0/8 meant")

    def test_registered(self) -> None:
        """sip-register is the filter of DNs; without it nobody can be called, which is said."""
        self.assertTrue(self.b2bua(self.of("sip-register = 10*")).registered.matches("1020"))
        self.said(self.of(""), "notice", "sip-register", "can be called")

    def test_calls(self) -> None:
        """Limits, echo, talk and hold, and the service type."""
        more = (
            "[b2bua]\nmax-calls = 10\ncalls-per-dn = 2\nring-time = 20\ntalk-hold = off\n"
            "echo = 9*\necho-answer = on-talk\nrealm = here"
        )
        settings = self.b2bua(self.of("reporting-service-type = Sales", more))
        limits = settings.limits
        self.assertEqual((10, 2, 20.0), (limits.calls, limits.calls_per_dn, limits.ringing_seconds))
        self.assertEqual((False, EchoAnswer.ON_TALK), (settings.talk_hold, settings.echo_answer))
        self.assertTrue(settings.echo.matches("99"))
        self.assertEqual(("Sales", "here"), (settings.service_type, settings.phones.realm))
        self.assertEqual("WebRTC", self.b2bua(self.of("")).service_type)

    def test_codecs(self) -> None:
        """The guide's list by default; what is disallowed stays disallowed; nothing is added."""
        rules = self.b2bua(self.of("sip-disallowed-codecs = (g729)\nsip-added-codecs = (opus)"))
        names = [codec.name for codec in rules.media.rules.codecs]
        self.assertEqual(["g722", "pcmu", "pcma"], names[:3])
        self.assertEqual(["g729"], [codec.name for codec in rules.media.rules.disallowed])
        self.assertEqual((), rules.media.rules.added)

    def test_encryption(self) -> None:
        """SRTP of phones as it is asked for; keys that anybody can read are warned of."""
        for word, mode in (("none", SrtpMode.NONE), ("Optional", SrtpMode.OPTIONAL)):
            self.assertIs(self.b2bua(self.of(f"sip-srtp-mode = {word}")).srtp, mode)
        self.assertIs(self.b2bua(self.of("")).srtp, SrtpMode.NONE)
        loaded = self.of("sip-srtp-mode = strict")
        self.assertIs(self.b2bua(loaded).srtp, SrtpMode.STRICT)
        self.said(loaded, "warning", "sip-srtp-mode", "the keys go to the SIP Server in the clear")
        secured = self.of("sip-srtp-mode = strict", "[b2bua]\ntransport = tls")
        for quiet in (secured, self.of("sip-srtp-mode = none"), self.of("")):
            self.silent(quiet, "sip-srtp-mode")

    def test_secrets(self) -> None:
        """Passwords are in no repr and no summary."""
        more = "[b2bua]\nregister-password = hunter2\n[users]\n1020 = hunter2\n"
        path = self.write(f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\n{more}")
        loaded = load(Arguments(config=path), machine=MACHINE)
        self.assertEqual("hunter2", self.b2bua(loaded).servers.password)
        written: list[str] = []
        check(Arguments(config=path), machine=MACHINE, write=written.append)
        for text in (repr(loaded), *written):
            self.assertNotIn("hunter2", text)


class TlsTests(B2buaTestCase):
    """Certificates of SIP."""

    def setUp(self) -> None:
        """Make a certificate, which is its own CA."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        write_certificate(self.folder, ["192.0.2.1"])

    def files(self, *, trusted: bool = True) -> str:
        """Options that name them."""
        folder = self.folder
        lines = f"sip-tls-cert = {folder}/cert.pem\nsip-tls-cert-key = {folder}/key.pem\n"
        return lines + (f"sip-tls-trusted-ca = {folder}/cert.pem\n" if trusted else "")

    def test_listeners(self) -> None:
        """The port of TLS has the certificate, and that of WebSocket is secured by it."""
        loaded = self.of(self.files() + "sip-tls-port = 5061", "[b2bua]\nws-port = 5443")
        self.assertEqual(("192.0.2.1", 5061, ""), self.bound(loaded, "TLS")[1])
        self.assertEqual(("192.0.2.1", 5443, ""), self.bound(loaded, "WSS")[1])
        tls = self.b2bua(loaded).tls
        self.assertEqual(("cert.pem", "key.pem"), (tls.certificate.name, tls.key.name))  # type: ignore[union-attr]
        self.assertFalse(tls.ask_clients)

    def test_toward_the_servers(self) -> None:
        """TLS has its own port; without a CA anybody is believed, which is warned of."""
        more = "[b2bua]\ntransport = tls"
        rsmp = self.files() + "sip-tls-port = 5061"
        self.assertEqual(
            (Server("192.0.2.5", 5061, "TLS"),), self.b2bua(self.of(rsmp, more)).servers.addresses
        )
        anybody = self.of(self.files(trusted=False) + "sip-tls-port = 5061", more)
        self.said(anybody, "warning", "transport", "is believed")
        self.refused(self.of(self.files(), more), "transport", "sip-tls-port is 0")

    def test_what_is_missing(self) -> None:
        """A port without certificate, a half pair, and clients asked without a CA are refused."""
        self.refused(self.of("sip-tls-port = 5061"), "sip-tls-port", "no certificate")
        lines = self.files(trusted=False).splitlines()
        self.refused(self.of(lines[0]), "sip-tls-cert", "sip-tls-cert-key is missing")
        self.refused(self.of(lines[1]), "sip-tls-cert-key", "sip-tls-cert is missing")
        ask = "[b2bua]\nask-client-certificates = true"
        self.refused(self.of("\n".join(lines), ask), "sip-tls-trusted-ca is missing")
        self.assertTrue(self.b2bua(self.of(self.files(), ask)).tls.ask_clients)

    def test_bad_files(self) -> None:
        """A key that others may read, and a file of the wrong kind, are refused."""
        (self.folder / "key.pem").chmod(0o644)
        self.refused(self.of(self.files()), "sip-tls-cert-key", "others than its owner")
        (self.folder / "key.pem").chmod(0o600)
        swapped = self.files().replace("cert.pem", "x").replace("key.pem", "cert.pem")
        self.refused(self.of(swapped), "sip-tls-cert-key", "no private key")

    def test_encrypted_key(self) -> None:
        """There is no option for its password, so a key must do without."""
        key = self.folder / "key.pem"
        key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        self.refused(self.of(self.files()), "sip-tls-cert-key", "encrypted")

    def test_relative_names(self) -> None:
        """A name without a folder is looked for beside the file that holds it."""
        path = self.folder / "suite.conf"
        path.write_text(
            f"{RELAY}[rsmp]\nsip-proxy = 192.0.2.5\nsip-tls-cert = cert.pem\n"
            "sip-tls-cert-key = key.pem\nsip-tls-port = 5061\n"
        )
        loaded = load(Arguments(config=path), machine=MACHINE)
        self.assertEqual(self.folder / "cert.pem", self.b2bua(loaded).tls.certificate)

    def test_open_websocket(self) -> None:
        """WebSockets for pages of every site, and in the clear, are remarked on."""
        loaded = self.of("", "[b2bua]\nws-port = 5080\nws-path = /ws")
        self.assertEqual(2, len(self.bound(loaded, "WS")))
        self.said(loaded, "warning", "ws-port", "every web site")
        self.said(loaded, "notice", "ws-port", "not secured")
        settings = self.b2bua(
            self.of("domain-whitelist = https://*.example.com", "[b2bua]\nws-port = 5080")
        )
        self.assertEqual(("https://*.example.com",), settings.allowed_origins)
        self.assertEqual("/sip", settings.web_socket_path)

    def test_beside_the_pages(self) -> None:
        """WebSockets on the ports of the pages need a path of their own, and care for who asks."""
        for path in ("/", "/lab", "/api/sip"):
            more = f"[b2bua]\nws-path = {path}"
            self.refused(self.of("", more), "ws-path", "a page of ours")
            self.settings(self.load(f"[suite]\nweb = false\n{RELAY}[rsmp]\nsip-proxy = a\n{more}"))
        loaded = self.of("", "[b2bua]\nphone-networks = 10.0.0.0/8")
        self.said(loaded, "warning", "phone-networks", "every web site")
        self.silent(self.of(""), "every web site")
        with_sites = self.of(
            "domain-whitelist = https://a.example", "[b2bua]\nphone-networks = 10.0.0.0/8"
        )
        self.silent(with_sites, "every web site")


class LabTests(B2buaTestCase):
    """The lab, in place of real SIP Servers."""

    LAB = "[lab]\nenabled = true\n"

    def test_pages(self) -> None:
        """Only pages of this machine speak SIP with it, unless others are named."""
        local = Origins(self.b2bua(self.load(RELAY + self.LAB)).allowed_origins)
        for origin in ("https://localhost:8443", "http://127.0.0.1:9641", "https://[::1]", ""):
            self.assertTrue(local.allows(origin), origin)
        for origin in ("https://a.example", "https://localhost.a.example", "null"):
            self.assertFalse(local.allows(origin), origin)
        named = RELAY + self.LAB + "[rsmp]\ndomain-whitelist = https://a.example\n"
        self.assertEqual(("https://a.example",), self.b2bua(self.load(named)).allowed_origins)

    def test_encryption(self) -> None:
        """It has none, so calls cannot be held to it; where either is taken, they work."""
        strict = self.load(RELAY + self.LAB + "[rsmp]\nsip-srtp-mode = strict\n")
        self.refused(strict, "sip-srtp-mode", "its SIP Servers have no SRTP")
        optional = self.load(RELAY + self.LAB + "[rsmp]\nsip-srtp-mode = optional\n")
        self.assertIs(self.b2bua(optional).srtp, SrtpMode.OPTIONAL)

    def test_on(self) -> None:
        """It is found by SRV at its own name server; phones of this machine need no password."""
        loaded = self.of("sip-register = 1*", self.LAB, proxy="")
        settings, lab = self.b2bua(loaded), self.settings(loaded).lab
        self.assertEqual(LabSettings(password="lab"), lab)
        servers = settings.servers
        self.assertEqual(((), "siplab.test"), (servers.addresses, servers.srv_name))
        self.assertEqual(((("127.0.0.10", 5353),), "lab"), self.asked(settings))
        self.assertEqual((ip_network("127.0.0.0/8"),), settings.phones.networks)
        self.assertEqual([("127.0.0.1", 5066, "")], self.bound(loaded))
        self.assertEqual("127.0.0.1", settings.media.host)

    def asked(self, settings: B2buaSettings) -> tuple[object, str | None]:
        """Name servers, and the password of DNs."""
        return settings.servers.name_servers, settings.servers.password

    def test_off(self) -> None:
        """Nothing of it is there unless it is asked for, and no network is open."""
        settings = self.settings(self.of(""))
        self.assertIsNone(settings.lab)
        self.assertEqual((), self.b2bua(self.of("")).phones.networks)

    def test_beside_real_servers(self) -> None:
        """It never stands beside real ones, nor beside what finds or convinces them."""
        self.refused(self.of("", self.LAB), "sip-proxy", "the lab is on")
        name = self.of("sip-proxy-srv = a.example", self.LAB, proxy="")
        self.refused(name, "sip-proxy-srv", "the lab is on")
        for line in ("dns-server = 192.0.2.53", "register-password = hunter2", "transport = tcp"):
            loaded = self.of("", f"[b2bua]\n{line}\n{self.LAB}", proxy="")
            self.refused(loaded, line.partition(" ")[0], "the lab is on")

    def test_beyond_this_machine(self) -> None:
        """SIP stays on loopback addresses while it is on."""
        for host in ("192.0.2.1", "0.0.0.0", "203.0.113.9", "gateway.example.com"):
            loaded = self.of(f"sip-address = {host}", self.LAB, proxy="")
            self.refused(loaded, "sip-address", "beyond this machine")
        self.settings(self.of("sip-address = localhost", self.LAB, proxy=""))

    def test_ports_of_the_lab(self) -> None:
        """The B2BUA does not sit where a server of the lab does."""
        loaded = self.of("sip-address = 127.0.0.11\nsip-port = 5060", self.LAB, proxy="")
        self.refused(loaded, "sip-port", "port 5060 is taken")

    def test_started_without_a_file(self) -> None:
        """What is started when nobody names a file has the lab, on loopback alone."""
        loaded = load(Arguments(), machine=MACHINE)
        self.assertIsNotNone(self.settings(loaded).lab)
        hosts = {each.host for each in self.b2bua(loaded).listens}
        self.assertEqual({"127.0.0.1"}, hosts)
        self.assertTrue(self.b2bua(loaded).registered.matches("1020"))

    def test_summary(self) -> None:
        """The check shows SIP's addresses, the servers and the lab."""
        written: list[str] = []
        check(Arguments(), machine=MACHINE, write=written.append)
        for words in ("127.0.0.1:5066 UDP: SIP", "siplab.test by SRV", "SIP Servers A 127.0.0.11"):
            self.assertIn(words, written[-1])
