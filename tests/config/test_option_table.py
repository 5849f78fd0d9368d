"""Tests of the one table: its names, defaults and examples."""

from __future__ import annotations

import csv
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.option_table import OPTIONS
from suite.options import Mark, Option, OptionTable, Status
from suite.sample_conf import sample

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "conf" / "suite.conf"

COTURN = """
listening-ip listening-port tls-listening-port listening-device relay-device alt-listening-port
alt-tls-listening-port tcp-proxy-port aux-server udp-self-balance relay-ip external-ip min-port
max-port relay-threads cpus sock-buf-size no-udp no-tcp no-tls dtls no-udp-relay no-tcp-relay
multiplex-peer multiplex-peer-port multiplex-peer-max-peers udp-gso udp-recvmmsg udp-recvmmsg-log
udp-sendmmsg-log acme-redirect respond-http-unsupported lt-cred-mech no-auth user realm
use-auth-secret static-auth-secret rest-api-separator oauth server-name check-origin-consistency
stale-nonce secure-stun stateless-nonce stateless-nonce-secret unauthorized-ratelimit
unauthorized-ratelimit-rps no-auth-pings no-dynamic-ip-list no-dynamic-realms stun-only no-stun
user-quota total-quota max-bps bps-capacity max-allocate-lifetime channel-lifetime
permission-lifetime max-allocate-timeout drain-min-allocations cert pkey pkey-pwd cipher-list
CA-file ec-curve-name dh566 dh1066 dh-file tlsv1 tlsv1_1 no-tlsv1_2 raw-public-keys userdb db
psql-userdb sql-userdb mysql-userdb secret-key-file mongo-userdb redis-userdb redis-statsdb verbose
Verbose log-file no-stdout-log syslog syslog-facility simple-log log-min-level new-log-timestamp
new-log-timestamp-format log-binding daemon pidfile proc-user proc-group cli cli-ip cli-port
cli-password cli-max-output-sessions web-admin web-admin-ip web-admin-port
web-admin-listen-on-workers prometheus prometheus-port prometheus-address prometheus-path
prometheus-username-labels prometheus-tls prometheus-cert prometheus-key version mobility rfc5780
stun-backward-compatibility rfc3489-compatibility rfc5766-channel-numbers
allocation-default-address-family alternate-server tls-alternate-server udp-alternate-server
tcp-alternate-server fingerprint software-attribute include-reason-string allowed-peer-ip
denied-peer-ip no-multicast-peers allow-loopback-peers drop-invalid-packets
drop-invalid-packets-log server-relay no-dtls no-cli no-rfc5780 no-software-attribute
keep-address-family response-origin-only-with-rfc5780
"""
"""Names that coTURN 4.17 knows."""

GONE = """
ne prod no-sslv2 no-sslv3 no-tlsv1 no-tlsv1_1 no-stun-backward-compatibility secret-ts-exp-time
no-loopback-peers
"""
"""Names that only older ones know."""

SECRETS = """
user static-auth-secret stateless-nonce-secret pkey-pwd psql-userdb sql-userdb mysql-userdb
mongo-userdb redis-userdb redis-statsdb cli-password turn-passwd web-dtls-keypassword
register-password 1020
"""

GUARDS = """
allowed-peer-ip denied-peer-ip user static-auth-secret cert pkey listening-port tls-listening-port
min-port max-port proxy-from user-quota total-quota max-bps bps-capacity domain-whitelist http-port
sip-proxy sip-proxy-srv sip-address sip-port sip-tls-port sip-tls-cert sip-tls-cert-key
sip-tls-trusted-ca ask-client-certificates transport dns-server phone-networks register-password
1020
"""


def guide() -> list[dict[str, str]]:
    """The options of the gateway's guide, with section and default."""
    with (HERE / "gateway-options.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def row(name: str) -> Option:
    """The row of that name in whatever section."""
    return next(each for each in OPTIONS.rows if each.name == name)


class OptionTableTests(SynchronousTestCase):
    """The rows, as a whole."""

    def test_coturn_names(self) -> None:
        """Every name that coTURN 4.17 or 4.6 has is known; the old ones are marked so."""
        known = {each.name for each in OPTIONS.rows if each.section == "turn"}
        self.assertEqual([], sorted(set((COTURN + GONE).split()) - known))
        old = {each.name for each in OPTIONS.rows if each.has(Mark.OLD)}
        self.assertEqual(set(GONE.split()), old)

    def test_gateway_names_and_defaults(self) -> None:
        """All options of the gateway's guide are known, with the guide's defaults."""
        self.assertEqual(75, len(guide()))
        for each in guide():
            found = OPTIONS.find(each["section"], each["option"])
            self.assertIsNotNone(found, each["option"])
            assert found is not None
            self.assertEqual(each["default"], found.default, each["option"])

    def test_what_takes_effect_at_once(self) -> None:
        """Log options that the guide applies immediately are read again on SIGHUP."""
        for each in guide():
            if each["section"] == "log":
                found = OPTIONS.find("log", each["option"])
                assert found is not None
                self.assertEqual(each["takes_effect"] == "immediately", found.has(Mark.LIVE))

    def test_defaults_and_examples_are_values(self) -> None:
        """What the table itself says is accepted by its own kinds."""
        for each in OPTIONS.rows:
            for text in (each.default, each.effective_default, each.kind.example, each.bare or ""):
                if text:
                    each.kind.parse(text)

    def test_unserved_rows_say_why(self) -> None:
        """An option without meaning here has a reason."""
        for each in OPTIONS.rows:
            if each.status is Status.NO_MEANING:
                self.assertTrue(each.reason, each.name)

    def test_secrets_are_marked(self) -> None:
        """Exactly the options with passwords or secrets are hidden."""
        marked = sorted(each.name for each in OPTIONS.rows if each.has(Mark.SECRET))
        self.assertEqual(sorted(SECRETS.split()), marked)

    def test_guards_are_marked(self) -> None:
        """Options that guard the server count as such."""
        for name in GUARDS.split():
            self.assertTrue(row(name).has(Mark.SECURITY), name)

    def test_rows_of_many_names(self) -> None:
        """Any DN is an option of [users], by its own name; nothing else is."""
        for dn in ("1020", "7", "+4989123", "003000"):
            found = OPTIONS.find("users", dn)
            assert found is not None
            self.assertEqual((dn, True), (found.name, found.has(Mark.SECRET)))
        for name in ("alice", "10*", "1020-1030", "", "+", "9" * 65):
            self.assertIsNone(OPTIONS.find("users", name), name)
        self.assertIsNone(OPTIONS.find("b2bua", "1020"))

    def test_nearest(self) -> None:
        """A misspelt name finds the one that was meant, a foreign one none."""
        self.assertEqual("static-auth-secret", OPTIONS.nearest("turn", "static-auth-secert"))
        self.assertEqual("max-port", OPTIONS.nearest("turn", "max_port"))
        self.assertEqual("", OPTIONS.nearest("turn", "zzzzzz"))
        self.assertEqual("rsmp", OPTIONS.nearest_section("rsmpp"))

    def test_no_row_twice(self) -> None:
        """A table with one option twice is a mistake of ours."""
        self.assertRaises(ValueError, OptionTable, [row("realm"), row("realm")])


class SampleTests(SynchronousTestCase):
    """The sample file."""

    def test_file_is_the_printed_one(self) -> None:
        """conf/suite.conf is what ``python -m suite.sample_conf`` prints."""
        self.assertEqual(sample(), SAMPLE.read_text())

    def test_every_served_option_once(self) -> None:
        """Every option that is listed stands in its section once, commented out, by default."""
        found: list[tuple[str, str, str]] = []
        section = ""
        for line in sample().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line.startswith("#") and not line.startswith("# ") and "=" in line:
                name, _, default = line[1:].partition("=")
                found.append((section, name.strip(), default.strip()))
        served = [
            (each.section, each.name, each.effective_default)
            for each in OPTIONS.rows
            if (each.status is Status.SERVED or each.section == "rsmp") and not each.has(Mark.OLD)
        ]
        self.assertEqual(sorted(served), sorted(found))
