"""Tests of settings made of suite.conf, the command line and the embedded default."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.config import Arguments, check, load
from suite.config_summary import summary
from suite.diagnostics import Diagnostic, Level, exit_code
from suite.machine import Machine, default_state_directory, local_addresses, this_machine
from suite.settings import LogLevel, LogOutput, SuiteSettings, TcpListen, TimeFormat
from tests.config.machines import MACHINE, ConfigTestCase
from turn.five_tuple import Address
from turn.settings import CredentialSettings, SecretDigest, TurnSettings

USER = "[turn]\nuser = alice:a long password\n"


def listeners(settings: SuiteSettings) -> dict[Address, TcpListen]:
    """TCP listeners by address."""
    return {each.address: each for each in settings.tcp}


class MisplacedTests(ConfigTestCase):
    """Options under the heading of another section."""

    def test_security_in_the_wrong_section_refuses(self) -> None:
        """A rule that would have no effect is an error; what only tunes stays a warning."""
        loaded = self.load(USER + "[log]\ndenied-peer-ip = 8.8.8.8\n")
        self.refused(loaded, "denied-peer-ip", "write it under [turn]")
        loaded = self.load(USER + "[log]\nlistening-prt = 3478\n")
        self.settings(loaded)
        self.said(loaded, "warning", "listening-prt")


class DefaultTests(ConfigTestCase):
    """What holds when a file says next to nothing."""

    def test_relay(self) -> None:
        """The table's defaults are those of TurnSettings."""
        turn = self.turn(self.load(USER))
        self.assertEqual(["check-page"], [users.name for users in turn.confined])
        self.assertEqual(
            TurnSettings(), replace(turn, credentials=CredentialSettings(), confined=())
        )

    def test_suite(self) -> None:
        """The table's defaults are those of SuiteSettings, and pages and status are on."""
        settings = self.settings(self.load(USER))
        bare = SuiteSettings(state_directory=Path("/state"))
        for name in (
            "name",
            "state_directory",
            "socket_buffer",
            "handshake_timeout",
            "frame_timeout",
            "unauthenticated_timeout",
            "stop_timeout",
            "max_connections",
            "log",
        ):
            self.assertEqual(getattr(bare, name), getattr(settings, name), name)
        self.assertTrue(settings.web)
        self.assertEqual(("127.0.0.1", 9641), settings.status and settings.status.address)

    def test_embedded(self) -> None:
        """Without any file everything is served to this machine, with a secret of this process."""
        loaded = load(Arguments(), machine=MACHINE)
        settings = self.settings(loaded)
        ports = (443, 3478, 5349, 8443)
        expected = {(host, port) for host in ("127.0.0.1", "::1") for port in ports}
        self.assertEqual(expected, {each.address for each in settings.udp})
        tcp = listeners(settings)
        gateway = tcp.pop(("127.0.0.1", 8086))
        self.assertEqual((False, True, True), (gateway.turn, gateway.web, gateway.plain_http))
        self.assertEqual(expected, set(tcp))
        self.assertTrue(all(each.turn and each.tls and each.plain for each in tcp.values()))
        web = {address for address, each in tcp.items() if each.web}
        self.assertEqual({address for address in expected if address[1] in (443, 8443)}, web)
        turn = self.turn(loaded)
        self.assertEqual(("127.0.0.1", "::1"), turn.relay_addresses)
        self.assertEqual(("made-at-random",), turn.credentials.secrets)
        self.assertTrue(turn.credentials.use_secrets)
        self.assertEqual("localhost", turn.realm)
        self.assertFalse(turn.peers.allow_loopback)
        self.assertEqual(("127.0.0.1", 9641), settings.status and settings.status.address)
        self.assertEqual(
            (LogLevel.TRACE, (LogOutput(level=LogLevel.DEBUG, target="stdout"),)),
            (settings.log.verbose, settings.log.outputs),
        )

    def test_embedded_without_ipv6(self) -> None:
        """A machine without IPv6 is served over IPv4, without an error."""
        machine = replace(MACHINE, addresses=("127.0.0.1", "192.0.2.1"))
        settings = self.settings(load(Arguments(), machine=machine))
        self.assertEqual({"127.0.0.1"}, {each.address[0] for each in settings.tcp})


class ListenTests(ConfigTestCase):
    """Listeners of relay and pages, merged."""

    def test_one_port_for_both(self) -> None:
        """A port that relay and pages ask for is one listener that serves both."""
        settings = self.settings(
            self.load("[suite]\nweb-ports = 443\n" + USER + "aux-server = 192.0.2.1:443\n")
        )
        tcp = listeners(settings)
        self.assertTrue(tcp["192.0.2.1", 443].turn and tcp["192.0.2.1", 443].web)
        self.assertTrue(tcp["192.0.2.1", 443].plain)
        only_web = tcp["127.0.0.1", 443]
        self.assertEqual((False, True, False), (only_web.turn, only_web.web, only_web.plain))
        self.assertNotIn(("127.0.0.1", 443), {each.address for each in settings.udp})

    def test_transports(self) -> None:
        """no-udp, no-tcp and no-tls each take away one."""
        head = "[suite]\nweb = off\n" + USER
        settings = self.settings(self.load(head + "no-udp\nno-tls\n"))
        self.assertEqual((), settings.udp)
        self.assertTrue(all(each.plain and not each.tls for each in settings.tcp))
        self.assertEqual({3478}, {each.address[1] for each in settings.tcp})
        self.assertIsNone(settings.tls)
        settings = self.settings(self.load(head + "no-tcp\n"))
        self.assertTrue(all(each.tls and not each.plain for each in settings.tcp))
        settings = self.settings(self.load(head + "no-tcp\nno-tls\n"))
        self.assertEqual((), settings.tcp)
        self.assertTrue(settings.udp)

    def test_tls_for_pages_only(self) -> None:
        """no-tls holds also on a port that has TLS for the pages."""
        head = "[suite]\nweb-ports = 443\n" + USER + "listening-ip = 192.0.2.1\n"
        settings = self.settings(self.load(head + "aux-server = 192.0.2.1:443\nno-tls\n"))
        shared = listeners(settings)["192.0.2.1", 443]
        self.assertTrue(shared.tls and shared.web and shared.turn and shared.plain)
        self.assertFalse(shared.secures_turn)
        self.assertNotIn("TURN over TLS", summary(settings))
        settings = self.settings(self.load(head + "aux-server = 192.0.2.1:443\n"))
        self.assertTrue(listeners(settings)["192.0.2.1", 443].secures_turn)

    def test_nothing_left(self) -> None:
        """A configuration that serves nothing is refused."""
        self.refused(self.load("[suite]\nweb = off\nturn = off\n"), "nothing is left to serve")
        self.refused(self.load("[suite]\nweb = off\n" + USER + "no-udp\nno-tcp\nno-tls\n"), "left")

    def test_pages_alone(self) -> None:
        """With the relay off no user is needed."""
        settings = self.settings(self.load("[suite]\nturn = off\nweb-address = 192.0.2.1\n"))
        self.assertIsNone(settings.turn)
        self.assertEqual({("192.0.2.1", 8443)}, set(listeners(settings)))

    def test_addresses(self) -> None:
        """Unspecified addresses stand for all of their family; a foreign one is warned of."""
        loaded = self.load(USER + "listening-ip = ::\nlistening-ip = 203.0.113.9\n")
        hosts = {each.address[0] for each in self.settings(loaded).udp}
        self.assertEqual({"::1", "2001:db8::1", "203.0.113.9"}, hosts)
        self.said(loaded, "warning", "'listening-ip' = '203.0.113.9'", "192.0.2.1")
        self.assertEqual(1, sum("203.0.113.9" in each.value for each in loaded.diagnostics))

    def test_no_such_family(self) -> None:
        """Listening on a family that the machine has not is refused if nothing else is left."""
        self.machine = replace(MACHINE, addresses=("127.0.0.1",))
        self.refused(self.load(USER + "listening-ip = ::\n"), "nothing to listen on")

    def test_relay_addresses(self) -> None:
        """relay-ip, else listening-ip as coTURN has it, else what the client reached."""
        self.assertEqual((), self.turn(self.load(USER)).relay_addresses)
        loaded = self.load(USER + "listening-ip = 192.0.2.1\nlistening-ip = 2001:db8::1\n")
        self.assertEqual(("192.0.2.1", "2001:db8::1"), self.turn(loaded).relay_addresses)
        loaded = self.load(USER + "listening-ip = 192.0.2.1\nrelay-ip = 127.0.0.1\n")
        self.assertEqual(("127.0.0.1",), self.turn(loaded).relay_addresses)

    def test_proxy_ports(self) -> None:
        """Ports behind a balancer name their sources; coTURN's takes no TLS, ours does."""
        loaded = self.load(
            USER + "tcp-proxy-port = 5555\nproxy-port = 5556, 8443\nproxy-from = 10.1.0.0/16\n"
        )
        tcp = listeners(self.settings(loaded))
        sources = [str(each) for each in tcp["192.0.2.1", 5555].proxy_from]
        self.assertEqual(["10.1.0.0/16"], sources)
        self.assertFalse(tcp["192.0.2.1", 5555].tls)
        self.assertTrue(tcp["192.0.2.1", 5556].tls)
        self.assertTrue(tcp["192.0.2.1", 8443].web and tcp["192.0.2.1", 8443].proxy_from)
        self.assertEqual((), tcp["192.0.2.1", 3478].proxy_from)

    def test_proxy_sources_default(self) -> None:
        """Unless sources are named only this machine is believed, and that is said."""
        loaded = self.load(USER + "tcp-proxy-port = 5555\n")
        sources = listeners(self.settings(loaded))["127.0.0.1", 5555].proxy_from
        self.assertEqual(["127.0.0.0/8", "::1/128"], [str(each) for each in sources])
        self.said(loaded, "warning", "proxy-from is not set")

    def test_status_off(self) -> None:
        """Port 0 switches health and metrics off."""
        self.assertIsNone(self.settings(self.load("[suite]\nstatus-port = 0\n" + USER)).status)

    def test_status_clash(self) -> None:
        """One port cannot serve metrics and the relay, on the same or on every address."""
        head = "[suite]\nstatus-port = 3478\nstatus-address = "
        self.refused(self.load(f"{head}127.0.0.1\n{USER}"), "port 3478 is taken")
        self.refused(self.load(f"{head}0.0.0.0\n{USER}"), "port 3478 is taken")
        self.settings(self.load(f"{head}127.0.0.1\n{USER}listening-ip = 192.0.2.1\n"))


class RelayTests(ConfigTestCase):
    """Ports, external addresses and switches of the relay."""

    def test_external_auto(self) -> None:
        """auto needs a server to ask and stands beside no address."""
        loaded = self.load(USER + "external-ip = auto\nexternal-stun-server = stun.example.org\n")
        turn = self.turn(loaded)
        self.assertTrue(turn.external_auto)
        self.assertEqual(("stun.example.org", 3478), turn.external_stun_server)
        self.refused(self.load(USER + "external-ip = auto\n"), "external-stun-server")

    def test_every_option_arrives(self) -> None:
        """Numbers and switches reach the setting that they name."""
        turn = self.turn(
            self.load(
                USER + "min-port = 50000\nmax-port = 50100\nuser-quota = 3\ntotal-quota = 9\n"
                "max-bps = 100\nbps-capacity = 1000\nmax-allocate-lifetime = 7200\n"
                "max-permissions = 7\nmax-channels = 8\nstale-nonce = 60\nsecure-stun\n"
                "stateless-nonce-secret = fleet\nunauthorized-ratelimit-rps = 5\nno-stun\n"
                "binding-ratelimit-rps = 6\nfingerprint\ninclude-reason-string\n"
                "rfc5766-channel-numbers\nrfc3489-compatibility = no\nsoftware-attribute\n"
                "no-multicast-peers\nprofile = coturn\nallow-loopback-peers\n"
                "allowed-peer-ip = 10.0.0.1\ndenied-peer-ip = 10.0.0.0/8\n"
            )
        )
        self.assertEqual((50000, 50100), (turn.min_port, turn.max_port))
        self.assertEqual((3, 9), (turn.user_quota, turn.total_quota))
        self.assertEqual((100, 1000), (turn.max_bps, turn.bps_capacity))
        self.assertEqual((7200, 7, 8), (turn.max_lifetime, turn.max_permissions, turn.max_channels))
        self.assertEqual((60, "fleet"), (turn.nonce_lifetime, turn.nonce_secret))
        self.assertEqual((5, 6), (turn.unauthorized_rate, turn.binding_rate))
        self.assertTrue(turn.authenticate_binding and turn.fingerprint and turn.reason_phrases)
        self.assertTrue(turn.legacy_channel_numbers and turn.software)
        self.assertFalse(turn.stun or turn.classic_stun)
        self.assertTrue(turn.peers.deny_multicast and turn.peers.allow_loopback)
        self.assertEqual(
            (["10.0.0.1"], ["10.0.0.0/8"]),
            ([each.text for each in turn.peers.allowed], [each.text for each in turn.peers.denied]),
        )

    def test_rate_limit_off(self) -> None:
        """unauthorized-ratelimit = false means no limit."""
        turn = self.turn(self.load(USER + "unauthorized-ratelimit = false\n"))
        self.assertEqual(0, turn.unauthorized_rate)

    def test_software(self) -> None:
        """The older spelling forbids, and permits when it is false."""
        both = "software-attribute\nno-software-attribute\n"
        self.assertFalse(self.turn(self.load(USER + both)).software)
        self.assertTrue(self.turn(self.load(USER + "no-software-attribute = no\n")).software)

    def test_process(self) -> None:
        """Limits of the process, and coTURN's names for two of them."""
        settings = self.settings(
            self.load(
                "[suite]\nname = here\nstate-directory = /elsewhere\nstop-timeout = 3\n"
                "handshake-timeout = 4\nframe-timeout = 5\nmax-connections = 6\n"
                + USER
                + "sock-buf-size = 65536\nmax-allocate-timeout = 60\n"
            )
        )
        self.assertEqual(("here", Path("/elsewhere")), (settings.name, settings.state_directory))
        self.assertEqual((3.0, 4.0), (settings.stop_timeout, settings.handshake_timeout))
        self.assertEqual((5.0, 6), (settings.frame_timeout, settings.max_connections))
        self.assertEqual((65536, 60.0), (settings.socket_buffer, settings.unauthenticated_timeout))

    def test_short_and_privileged(self) -> None:
        """A lifetime below the standard one is raised; privileged relay ports are warned of."""
        loaded = self.load(USER + "max-allocate-lifetime = 60\nmin-port = 500\n")
        self.assertEqual(600, self.turn(loaded).max_lifetime)
        self.said(loaded, "warning", "max-allocate-lifetime")
        self.said(loaded, "warning", "privileged")

    def test_gateway_contradictions(self) -> None:
        """A certificate of [rsmp] without its key is refused."""
        self.refused(self.load(USER + "[rsmp]\nhttps-cert = /c.pem\n"), "https-cert-key")


class CredentialTests(ConfigTestCase):
    """Who may relay."""

    def credentials(self, content: str) -> CredentialSettings:
        """Those of a [turn] section."""
        return self.turn(self.load(f"[turn]\n{content}\n")).credentials

    def test_nobody(self) -> None:
        """coTURN would be open to all; here it is an error that says what to add."""
        for content in ("", "lt-cred-mech", "use-auth-secret", "static-auth-secret ="):
            loaded = self.load(f"[turn]\n{content}\n")
            self.refused(loaded, "nobody could relay", "static-auth-secret", "user =")

    def test_stun_only(self) -> None:
        """STUN needs nobody, unless Binding is to be authenticated."""
        self.assertFalse(self.turn(self.load("[turn]\nstun-only\n")).turn)
        self.refused(self.load("[turn]\nstun-only\nsecure-stun\n"), "nobody")

    def test_open_relay(self) -> None:
        """no-auth is done and warned of at every start."""
        loaded = self.load("[turn]\nno-auth\n")
        self.assertTrue(self.turn(loaded).credentials.anonymous)
        self.said(loaded, "warning", "OPEN RELAY")

    def test_open_and_closed(self) -> None:
        """no-auth together with credentials is refused, each of them named."""
        loaded = self.load("[turn]\nno-auth\nuser = a:b c\nstatic-auth-secret = x\n")
        self.refused(loaded, "no-auth", "static-auth-secret, user")

    def test_secrets_win(self) -> None:
        """With a secret, users are not looked at; use-auth-secret = false turns that round."""
        loaded = self.load("[turn]\nuser = a:b c\nstatic-auth-secret = long word\n")
        self.assertTrue(self.turn(loaded).credentials.use_secrets)
        self.said(loaded, "warning", "'user'", "not looked at")
        users = self.credentials(
            "user = a:b c\nstatic-auth-secret = long word\nuse-auth-secret = no"
        )
        self.assertFalse(users.use_secrets)

    def test_rotation_and_digest(self) -> None:
        """Secrets add up; separator and digest follow their options."""
        found = self.credentials(
            "static-auth-secret = one\nstatic-auth-secret = random\n"
            "secret-digest = sha256\nrest-api-separator = !"
        )
        self.assertEqual(("one", "made-at-random"), found.secrets)
        self.assertEqual((SecretDigest.SHA256, "!"), (found.secret_digest, found.separator))

    def test_random_survives_reload(self) -> None:
        """The random secret is one per process, so a second reading finds the same."""
        first = this_machine().random_secret()
        self.assertEqual(first, this_machine().random_secret())
        self.assertGreater(len(first), 30)

    def test_database(self) -> None:
        """userdb must be there; then no user is needed."""
        path = self.write(b"", "turndb")
        self.assertEqual(str(path), self.credentials(f"userdb = {path}").database)
        self.refused(self.load("[turn]\nuserdb = /nowhere/turndb\n"), "no such file")

    def test_empty_password(self) -> None:
        """A user with an empty password is warned of and left out."""
        loaded = self.load("[turn]\nuser = a:\nuser = b:password\n")
        self.assertEqual(["b"], [each.name for each in self.turn(loaded).credentials.users])
        self.said(loaded, "warning", "empty password")

    def test_keys_without_realm(self) -> None:
        """Ready-made keys without a realm are warned of."""
        loaded = self.load(f"[turn]\nuser = a:0x{'0' * 32}\n")
        self.said(loaded, "warning", "realm is not set")
        self.silent(self.load(f"[turn]\nrealm = r\nuser = a:0x{'0' * 32}\n"), "realm is not set")


class CertificateTests(ConfigTestCase):
    """cert and pkey."""

    CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    ENCRYPTED = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")

    def pair(self, certificate: Path, key: Path, *more: str) -> str:
        """A suite.conf that names them."""
        lines = [f"cert = {certificate}", f"pkey = {key}", *more]
        return USER + "".join(f"{line}\n" for line in lines)

    def test_named_pair(self) -> None:
        """Both files are taken, with password, ciphers and minimum."""
        certificate = self.write(self.CERTIFICATE, mode=0o644)
        key = self.write(self.ENCRYPTED)
        more = ("pkey-pwd = open it", "cipher-list = ECDHE+AESGCM", "no-tlsv1_2")
        tls = self.settings(self.load(self.pair(certificate, key, *more))).tls
        assert tls is not None
        self.assertEqual((certificate, key), (tls.certificate, tls.private_key))
        self.assertEqual(
            ("open it", "ECDHE+AESGCM", "1.3"), (tls.key_password, tls.cipher_list, tls.minimum)
        )

    def test_exposed_key(self) -> None:
        """A private key that the group or others may read refuses the start."""
        certificate = self.write(self.CERTIFICATE)
        for mode in (0o640, 0o604):
            key = self.write(self.KEY, mode=mode)
            self.refused(self.load(self.pair(certificate, key)), "'pkey'", "chmod 600")

    def test_wrong_files(self) -> None:
        """Missing files, folders, the wrong kind of PEM and a missing password are told apart."""
        certificate, key = self.write(self.CERTIFICATE), self.write(self.KEY)
        encrypted = self.write(self.ENCRYPTED)
        for pair, words in (
            ((key, key), ("'cert'", "no certificate in PEM form")),
            ((certificate, certificate), ("'pkey'", "no private key in PEM form")),
            ((Path("/nowhere"), key), ("'cert'", "no such file")),
            ((certificate.parent, key), ("'cert'", "directory")),
            ((certificate, encrypted), ("'pkey'", "encrypted", "pkey-pwd")),
        ):
            self.refused(self.load(self.pair(*pair)), *words)

    def test_half_a_pair(self) -> None:
        """A certificate without key, or a key without certificate, is refused."""
        certificate, key = self.write(self.CERTIFICATE), self.write(self.KEY)
        self.refused(self.load(USER + f"cert = {certificate}\n"), "pkey is missing")
        self.refused(self.load(USER + f"pkey = {key}\n"), "cert is missing")

    def test_relative_names(self) -> None:
        """A name without a folder is looked for beside the file, then where coTURN looks."""
        path = self.write(USER + "cert = c.pem\npkey = k.pem\n")
        elsewhere = self.write(self.KEY, "k.pem")
        (path.parent / "c.pem").write_text(self.CERTIFICATE)
        machine = replace(MACHINE, certificate_folders=(elsewhere.parent,))
        tls = self.settings(load(Arguments(config=path), machine=machine)).tls
        assert tls is not None
        self.assertEqual((path.parent / "c.pem", elsewhere), (tls.certificate, tls.private_key))


class LogTests(ConfigTestCase):
    """Section [log]."""

    def test_outputs(self) -> None:
        """Each level's option names outputs for it and rarer ones; network is left out."""
        loaded = self.load(
            "[log]\nverbose = all\nstandard = stderr, Network\ntrace = /var/log/t.log\n" + USER
        )
        self.assertEqual(
            {
                LogOutput(level=LogLevel.STANDARD, target="stderr"),
                LogOutput(level=LogLevel.TRACE, target="/var/log/t.log"),
            },
            set(self.settings(loaded).log.outputs),
        )
        self.said(loaded, "notice", "Message Server")

    def test_the_rest(self) -> None:
        """Every other served option reaches its setting."""
        log = self.settings(
            self.load(
                "[log]\nverbose = none\njson = true\nsegment = 2 hr\nexpire = 3 day\n"
                "check-point = 0\nmessage_format = full\ntime_format = locale\n"
                "time_convert = utc\nmemory = /tmp/snapshot\nall = memory\n" + USER
            )
        ).log
        self.assertIsNone(log.verbose)
        self.assertEqual((True, True, True), (log.json, log.full_headers, log.utc))
        self.assertEqual((0, 7200), (log.segment_bytes, log.segment_seconds))
        self.assertEqual((0, 3), (log.expire_files, log.expire_days))
        self.assertEqual(0, log.check_point_hours)
        self.assertEqual(TimeFormat.LOCALE, log.time_format)
        self.assertEqual(Path("/tmp/snapshot"), log.memory_file)

    def test_memory_without_a_file(self) -> None:
        """Output to memory that is written nowhere is mentioned."""
        loaded = self.load("[log]\nall = memory\n" + USER)
        self.settings(loaded)
        self.said(loaded, "notice", "memory = the path of a file")

    def test_log_section_wins(self) -> None:
        """[log] counts before coTURN's log options."""
        log = self.settings(
            self.load("[log]\nall = stderr\nverbose = debug\n" + USER + "syslog\nverbose = no\n")
        ).log
        self.assertEqual(["stderr"], [each.target for each in log.outputs])
        self.assertEqual(LogLevel.DEBUG, log.verbose)


class PrecedenceTests(ConfigTestCase):
    """Files, then the command line."""

    def test_override(self) -> None:
        """The command line replaces single options and adds to lists."""
        loaded = self.load(
            USER + "realm = file\ndenied-peer-ip = 10.0.0.1\n",
            ("realm", "line"),
            ("denied-peer-ip", "10.0.0.2"),
            ("web", "off"),
            ("log.verbose", "debug"),
        )
        turn = self.turn(loaded)
        self.assertEqual("line", turn.realm)
        self.assertEqual(["10.0.0.1", "10.0.0.2"], [each.text for each in turn.peers.denied])
        self.assertFalse(self.settings(loaded).web)
        self.assertEqual(LogLevel.DEBUG, self.settings(loaded).log.verbose)

    def test_wrong_override(self) -> None:
        """A wrong one is placed on the command line."""
        loaded = self.load(USER, ("min-port", "x"), ("no-such", "y"))
        self.refused(loaded, "command line: error: option 'min-port' = 'x'")
        self.said(loaded, "command line: warning: option 'no-such'")

    def test_secret_override(self) -> None:
        """A secret on the command line is taken with a warning that does not show it."""
        loaded = self.load("[turn]\nrealm = r\n", ("user", "alice:hunter2"))
        self.assertEqual(1, len(self.turn(loaded).credentials.users))
        self.said(loaded, "command line: warning", "process list")
        self.silent(loaded, "hunter2")

    def test_both_files(self) -> None:
        """turnserver.conf counts after suite.conf, lists add up, and the pages stay on."""
        config = self.write(USER + "realm = suite\n")
        turn_config = self.write("realm=coturn\nuser=bob:password\n", "turnserver.conf")
        loaded = load(Arguments(config=config, turn_config=turn_config), machine=MACHINE)
        turn = self.turn(loaded)
        self.assertEqual("coturn", turn.realm)
        self.assertEqual(["alice", "bob"], [each.name for each in turn.credentials.users])
        self.assertTrue(self.settings(loaded).web)

    def test_comments_and_quotes(self) -> None:
        """Both marks begin comments of whole lines; quotes keep what they hold."""
        loaded = self.load("; one\n# two\n" + USER + 'realm = "a # b; c"\n')
        self.assertEqual("a # b; c", self.turn(loaded).realm)
        self.silent(loaded, "'realm'")

    def test_section_names(self) -> None:
        """The guide's other spelling of [rsmp], and capitals, are understood."""
        loaded = self.load("[RSM]\nhttp-port = 9000\n" + USER)
        self.assertIn(9000, [each.address[1] for each in self.settings(loaded).tcp])


class CheckTests(ConfigTestCase):
    """--check-config."""

    def test_good(self) -> None:
        """All that was found and what would be started is printed; the exit code is 0."""
        written: list[str] = []
        path = self.write(USER + "mobility\nlistening-ip = 2001:db8::1\n")
        code = check(Arguments(config=path), machine=MACHINE, write=written.append)
        text = "".join(written)
        self.assertEqual(0, code)
        self.assertIn("notice: option 'mobility'", text)
        self.assertIn("[2001:db8::1]:3478 UDP: TURN", text)
        self.assertIn("1 users", text)
        self.assertIn("profile safe", text)

    def test_other_services(self) -> None:
        """A balancer's port, an open relay and a STUN server are told as what they are."""
        for content, words in (
            ("[turn]\nno-auth\ntcp-proxy-port = 5555\n", ("OPEN TO EVERYBODY", "PROXY header")),
            ("[turn]\nstun-only\nno-tls\n", ("STUN only",)),
            ("[turn]\nstatic-auth-secret = x\n", ("1 shared secrets",)),
        ):
            written: list[str] = []
            path = self.write(content)
            self.assertEqual(
                0, check(Arguments(config=path), machine=MACHINE, write=written.append)
            )
            for word in words:
                self.assertIn(word, written[-1])

    def test_bad(self) -> None:
        """An error gives 78 and no summary."""
        written: list[str] = []
        path = self.write("[turn]\nrealm = x\n")
        self.assertEqual(78, check(Arguments(config=path), machine=MACHINE, write=written.append))
        self.assertIn("would not start", written[-1])

    def test_sample_loads(self) -> None:
        """The sample file with one user added loads without a word about its own lines."""
        sample = Path(__file__).parent.parent.parent / "conf" / "suite.conf"
        text = sample.read_text().replace("#user =\n", "user = alice:a long password\n")
        loaded = self.load(text)
        self.settings(loaded)
        self.assertEqual(["cert"], [each.option for each in loaded.diagnostics])

    def test_sample_uncommented_is_valid(self) -> None:
        """Every default that the sample shows is accepted when the mark before it is removed."""
        sample = Path(__file__).parent.parent.parent / "conf" / "suite.conf"
        lines = [
            line[1:]
            if line.startswith("#") and not line.startswith("# ") and len(line) > 1
            else line
            for line in sample.read_text().splitlines()
        ]
        text = "\n".join(lines).replace("\nuser =\n", "\nuser = a:b c\n")
        loaded = self.load(text.replace("\n1020 =\n", "\n1020 = a b c\n"))
        errors = [str(each) for each in loaded.diagnostics if each.level is Level.ERROR]
        self.assertEqual([], errors)


class MachineTests(SynchronousTestCase):
    """What is asked of the real machine."""

    def test_state_directory(self) -> None:
        """systemd's, root's, XDG's, home's, in this order."""
        self.assertEqual(
            Path("/s"), default_state_directory({"STATE_DIRECTORY": "/s:/t"}, superuser=True)
        )
        self.assertEqual(Path("/var/lib/webrtc-suite"), default_state_directory({}, superuser=True))
        self.assertEqual(
            Path("/x/webrtc-suite"),
            default_state_directory({"XDG_STATE_HOME": "/x", "HOME": "/h"}, superuser=False),
        )
        self.assertEqual(
            Path("/h/.local/state/webrtc-suite"),
            default_state_directory({"HOME": "/h"}, superuser=False),
        )

    def test_local_addresses(self) -> None:
        """Loopback is among them; link-local addresses, which need a zone, are not."""
        found = local_addresses()
        self.assertIn("127.0.0.1", found)
        self.assertFalse([each for each in found if each.startswith(("169.254.", "fe80"))])

    def test_expand(self) -> None:
        """Words stand for what the machine has; an address for itself."""
        machine: Machine = MACHINE
        self.assertEqual(("127.0.0.1", "::1"), machine.expand("localhost"))
        self.assertEqual(("::1", "2001:db8::1"), machine.expand("::"))
        self.assertEqual(("203.0.113.1",), machine.expand("203.0.113.1"))


class DiagnosticTests(SynchronousTestCase):
    """The line that is printed."""

    def test_form(self) -> None:
        """Place, level, option, value, what is wrong, what is accepted."""
        found = Diagnostic("a.conf", 3, Level.ERROR, "port", "x", "not a number", "1 to 9")
        self.assertEqual("a.conf:3: error: option 'port' = 'x': not a number; 1 to 9", str(found))
        bare = Diagnostic("a.conf", 0, Level.NOTICE, "", "", "odd")
        self.assertEqual("a.conf: notice: odd", str(bare))

    def test_exit_code(self) -> None:
        """Only an error gives 78."""
        found = [Diagnostic("a", 1, level, "", "", "p") for level in Level]
        self.assertEqual(78, exit_code(found))
        self.assertEqual(0, exit_code(found[:2]))


class SampleCommandTests(SynchronousTestCase):
    """The command that renews the sample."""

    def test_prints(self) -> None:
        """``python -m suite.sample_conf`` prints the file."""
        root = Path(__file__).parent.parent.parent
        done = subprocess.run(
            [sys.executable, "-m", "suite.sample_conf"],
            cwd=root,
            capture_output=True,
            check=True,
            timeout=60,
        )
        self.assertEqual((root / "conf" / "suite.conf").read_bytes(), done.stdout)
