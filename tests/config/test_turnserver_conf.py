"""Tests of coTURN's line rules, and of how far a turnserver.conf carries."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.option_table import OPTIONS
from suite.settings import LogLevel, LogOutput, TimeFormat
from suite.turnserver_conf import split_line
from tests.config.machines import MACHINE, ConfigTestCase
from tests.programs import require_program
from turn.settings import ExternalAddress, PeerProfile, StaticUser

ALICE = "user=alice:password\n"


class LineTests(SynchronousTestCase):
    """One line at a time."""

    def test_separators(self) -> None:
        """Blanks, tabs and equal signs part, in any mixture; the value may hold more of them."""
        for line in ("realm=a b=c", "realm a b=c", "realm = a b=c", "realm\t==\ta b=c"):
            self.assertEqual(("realm", "a b=c"), split_line(line), line)

    def test_quotes(self) -> None:
        """Double quotes around the value go, also a first one alone; inner ones stay."""
        self.assertEqual(("realm", "a b"), split_line('realm="a b"'))
        self.assertEqual(("realm", "a b"), split_line('realm="a b'))
        self.assertEqual(("realm", 'a"b"'), split_line('realm=a"b"'))
        self.assertEqual(("realm", 'a"'), split_line('realm=a"'))

    def test_name_alone(self) -> None:
        """A name alone, or with nothing behind the equal sign, has no value."""
        for line in ("no-tls", "no-tls=", "no-tls ", 'no-tls=""'):
            self.assertEqual(("no-tls", None), split_line(line), line)


class TurnserverConfTests(ConfigTestCase):
    """Whole files."""

    def test_comments_and_semicolons(self) -> None:
        """A hash is a comment at the start of a line only; a semicolon belongs to the value."""
        loaded = self.load_turn(ALICE + "  # no-udp\nrealm=a#b\nserver-name=x;\n")
        self.assertEqual("a#b", self.turn(loaded).realm)
        self.assertTrue(self.settings(loaded).udp)
        self.said(loaded, ":4: warning", "semicolon")

    def test_semicolon_after_number(self) -> None:
        """coTURN reads the digits before a semicolon, and so do we."""
        loaded = self.load_turn(ALICE + "min-port=50000;\nlistening-port 4000 ;\n")
        self.assertEqual(50000, self.turn(loaded).min_port)
        self.assertIn(4000, {each.address[1] for each in self.settings(loaded).udp})

    def test_relay_only(self) -> None:
        """A turnserver.conf alone starts the relay, no pages and no metrics."""
        settings = self.settings(self.load_turn(ALICE))
        self.assertFalse(settings.web)
        self.assertIsNone(settings.status)
        hosts = {"127.0.0.1", "192.0.2.1"}
        expected = {(host, port) for host in hosts for port in (3478, 5349)}
        self.assertEqual(expected, {each.address for each in settings.udp})
        self.assertEqual(expected, {each.address for each in settings.tcp})
        self.assertTrue(all(each.tls and each.plain and each.turn for each in settings.tcp))

    def test_own_certificate(self) -> None:
        """Without cert and pkey TLS is on with this install's own pair, and that is said."""
        loaded = self.load_turn(ALICE)
        tls = self.settings(loaded).tls
        assert tls is not None
        self.assertEqual(Path("/state/certificate.pem"), tls.certificate)
        self.assertEqual(Path("/state/key.pem"), tls.private_key)
        self.said(loaded, "notice", "'cert'", "/state")

    def test_names_of_both_ages(self) -> None:
        """4.6's and 4.17's names stand side by side; the old ones are warned of."""
        loaded = self.load_turn(
            ALICE + "no-tlsv1\nno-stun-backward-compatibility\nsoftware-attribute\n"
        )
        turn = self.turn(loaded)
        self.assertFalse(turn.classic_stun)
        self.assertTrue(turn.software)
        self.said(loaded, "warning", "no-tlsv1", "old name")
        self.said(loaded, "warning", "no-stun-backward-compatibility", "old name")

    def test_hardening_that_is_so_anyway(self) -> None:
        """What a careful operator switched off, and is off here, is no cause for words."""
        loaded = self.load_turn(ALICE + "no-cli\nno-tcp-relay\nno-dtls\nno-rfc5780\nrealm=x\n")
        for name in ("no-cli", "no-tcp-relay", "no-dtls", "no-rfc5780"):
            self.silent(loaded, f"'{name}'")

    def test_bare_numbers(self) -> None:
        """stale-nonce and the lifetimes may stand alone for their defaults."""
        turn = self.turn(self.load_turn(ALICE + "stale-nonce\nchannel-lifetime\n"))
        self.assertEqual((600, 600), (turn.nonce_lifetime, turn.channel_lifetime))
        self.assertEqual(0, self.turn(self.load_turn(ALICE + "stale-nonce=0\n")).nonce_lifetime)

    def test_external_addresses(self) -> None:
        """public alone once per family, public/private as often as needed."""
        turn = self.turn(
            self.load_turn(
                ALICE
                + "external-ip=198.51.100.7\nexternal-ip=2001:db8::7\n"
                + "external-ip=198.51.100.8/10.0.0.8\n"
            )
        )
        self.assertEqual(
            (
                ExternalAddress(public="198.51.100.7"),
                ExternalAddress(public="2001:db8::7"),
                ExternalAddress(public="198.51.100.8", local="10.0.0.8"),
            ),
            turn.external_addresses,
        )

    def test_static_secret_implies_rest(self) -> None:
        """As in coTURN, a static secret switches the mechanism on; several rotate."""
        turn = self.turn(self.load_turn("static-auth-secret=a word\nstatic-auth-secret=b\n"))
        self.assertTrue(turn.credentials.use_secrets)
        self.assertEqual(("a word", "b"), turn.credentials.secrets)

    def test_users(self) -> None:
        """Open passwords and keys, in quotes or not."""
        key = "0x" + "0f" * 16
        turn = self.turn(self.load_turn(f'user="a b:c d"\nuser=k:{key}\nrealm=r\n'))
        self.assertEqual(
            (StaticUser("a b", password="c d"), StaticUser("k", md5_key=b"\x0f" * 16)),
            turn.credentials.users,
        )

    def test_user_database(self) -> None:
        """lt-cred-mech without users means coTURN's own database, if it is there."""
        path = self.write(b"", "turndb")
        self.patch(type(self), "machine", replace(MACHINE, user_databases=(path,)))
        loaded = self.load_turn("lt-cred-mech\nrealm=r\n")
        self.assertEqual(str(path), self.turn(loaded).credentials.database)
        self.said(loaded, "notice", "lt-cred-mech", "turndb")

    def test_profile(self) -> None:
        """Private peers are denied unless the profile says otherwise, and that is said."""
        loaded = self.load_turn(ALICE)
        self.assertIs(PeerProfile.SAFE, self.turn(loaded).peers.profile)
        self.said(loaded, "notice", "profile = coturn")
        loaded = self.load_turn(ALICE + "profile=coturn\n")
        self.assertIs(PeerProfile.COTURN, self.turn(loaded).peers.profile)
        self.assertFalse(self.turn(loaded).peers.deny_multicast)
        self.silent(loaded, "profile = coturn")

    def test_log(self) -> None:
        """coTURN's log options give the log's settings; allocations need verbose."""
        log = self.settings(self.load_turn(ALICE)).log
        self.assertEqual(LogLevel.STANDARD, log.verbose)
        log = self.settings(
            self.load_turn(
                ALICE + "verbose\nlog-file=/var/log/turn.log\nsimple-log\nno-stdout-log\n"
                "new-log-timestamp=false\n"
            )
        ).log
        self.assertEqual(LogLevel.TRACE, log.verbose)
        self.assertEqual(
            (LogOutput(level=LogLevel.DEBUG, target="/var/log/turn.log"),), log.outputs
        )
        self.assertEqual((0, 0), (log.segment_bytes, log.expire_files))
        self.assertEqual(TimeFormat.TIME, log.time_format)
        log = self.settings(self.load_turn(ALICE + "Verbose\nlog-min-level=warning\nsyslog\n")).log
        self.assertEqual(LogLevel.STANDARD, log.verbose)
        self.assertEqual(["syslog"], [each.target for each in log.outputs])

    def test_prometheus(self) -> None:
        """Metrics are served only if asked for; on every address unless one is named."""
        loaded = self.load_turn(ALICE + "prometheus\nprometheus-port=9999\nprometheus-path=/m\n")
        status = self.settings(loaded).status
        assert status is not None
        self.assertEqual((("0.0.0.0", 9999), "/m"), (status.address, status.metrics_path))
        self.said(loaded, "warning", "prometheus-address")


class AgainstTurnserverTests(ConfigTestCase):
    """The same file given to Debian's turnserver."""

    def turnserver(self, content: str) -> str:
        """What turnserver says to a file that makes it stop at once."""
        program = require_program("turnserver")
        path = self.write(content + "no-tls=stop-here-please\n", "turnserver.conf")
        command = [program, "-c", str(path), "--log-file=stdout", "--pidfile=/dev/null"]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        self.assertNotEqual(0, done.returncode)
        return (done.stdout + done.stderr).decode(errors="replace")

    def test_same_complaints(self) -> None:
        """Unknown keys, semicolons, malformed peers and booleans are complained of by both."""
        content = (
            "fingerprint\n"
            "realm=example.org;\n"
            "static-auth-secert=x\n"
            "denied-peer-ip=10.0.0.0-10.0.0.x\n"
        )
        theirs = self.turnserver(content)
        self.assertIn("ends with semicolon", theirs)
        self.assertIn("Bad configuration format: static-auth-secert", theirs)
        self.assertIn("10.0.0.x", theirs)
        self.assertIn("Unknown boolean value: stop-here-please", theirs)
        ours = self.load_turn(content + ALICE + "no-tls=stop-here-please\n")
        self.said(ours, ":2: warning", "semicolon")
        self.said(ours, ":3: warning", "static-auth-secert")
        self.refused(ours, ":4:", "10.0.0.x")
        self.refused(ours, ":6:", "stop-here-please")

    def test_all_its_names_are_known(self) -> None:
        """No option that turnserver's own usage text names is unknown here."""
        program = require_program("turnserver")
        done = subprocess.run([program, "-h"], capture_output=True, timeout=20, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        usage = re.findall(r"^ (?: *-\w,? )?[ ,]*--([A-Za-z0-9_-]+)", text, re.MULTILINE)
        self.assertGreater(len(usage), 80)
        unknown = [name for name in usage if not OPTIONS.find("turn", name)]
        self.assertEqual([], unknown)
