"""Every served option changes the settings, and at SIGHUP just those that are marked so."""

from __future__ import annotations

from suite.option_table import OPTIONS
from suite.options import Mark, Option, Status
from suite.reload import plan
from suite.settings import SuiteSettings
from tests.config.machines import ConfigTestCase

COMMON = {"turn.listening-ip": "192.0.2.1", "turn.user": "alice:a long password"}

VALUES = {
    "rsmp.sip-srtp-mode": "strict",
    "suite.name": "other",
    "suite.web-address": "127.0.0.1",
    "suite.status-address": "192.0.2.1",
    "turn.listening-ip": "127.0.0.1",
    "turn.tcp-proxy-port": "9999",
    "turn.use-auth-secret": "false",
    "turn.user": "bob:another password",
    "turn.profile": "coturn",
    "turn.secret-digest": "sha256",
    "turn.rest-api-separator": "/",
    "turn.log-min-level": "error",
    "turn.prometheus-path": "/other",
    "rsmp.sip-address": "192.0.2.1",
    "rsmp.sip-proxy": "192.0.2.6",
    "rsmp.rtp-address": "127.0.0.1",
    "rsmp.codecs": "(pcma)",
    "rsmp.sip-rtp-min-port": "9100",
    "rsmp.sip-port": "5070",
    "rsmp.sip-preferred-ipversion": "ipv6",
    "rsmp.web-rtp-min-port": "36100",
    "rsmp.web-ice-addresses": "127.0.0.1",
    "rsmp.turn-server": "192.0.2.8:3479",
    "rsmp.turn-user": "other",
    "rsmp.turn-passwd": "another long password",
    "rsmp.turn-relay-type": "1",
    "rsmp.web-disallowed-codecs": "(g729)",
    "gateway.enabled": "true",
    "gateway.address": "127.0.0.1",
    "gateway.external-ip": "198.51.100.7/192.0.2.1",
    "gateway.proxy-port": "8087",
    "b2bua.enabled": "false",
    "b2bua.transport": "tcp",
    "b2bua.register-rate": "40",
    "b2bua.ws-port": "5080",
    "b2bua.ws-path": "/other",
    "b2bua.local-address": "192.0.2.1",
    "log.verbose": "standard",
    "log.all": "stderr",
    "log.debug": "stderr",
    "log.expire": "3 day",
    "log.message_format": "full",
    "log.time_format": "time",
    "log.time_convert": "utc",
}
"""A value other than the default, where neither its kind's example nor a flip of it will do."""

TURN_CLIENT = {
    "rsmp.turn-server": "192.0.2.7",
    "rsmp.turn-user": "gateway",
    "rsmp.turn-passwd": "a long password",
}

BESIDE = {
    "turn.proxy-from": {"turn.proxy-port": "9999"},
    "turn.use-auth-secret": {"turn.static-auth-secret": "a long random word"},
    "turn.no-auth": {"turn.user": "", "turn.stun-only": "true"},
    "turn.no-multicast-peers": {"turn.profile": "coturn"},
    "turn.bps-capacity": {"turn.max-bps": "1"},
    "turn.no-stdout-log": {"turn.log-file": "/log"},
    "turn.multiplex-peer-port": {"turn.multiplex-peer": "true"},
    "turn.multiplex-peer-ports": {"turn.multiplex-peer": "true"},
    "turn.multiplex-peer-max-peers": {"turn.multiplex-peer": "true"},
    "turn.prometheus-port": {"turn.prometheus": "true"},
    "turn.prometheus-address": {"turn.prometheus": "true"},
    "log.memory": {"log.all": "memory"},
    "rsmp.turn-server": TURN_CLIENT,
    "rsmp.turn-user": TURN_CLIENT,
    "rsmp.turn-passwd": TURN_CLIENT,
    "rsmp.turn-relay-type": TURN_CLIENT,
    "rsmp.web-media-bundle": {"rsmp.web-offer-bundle-only": "false"},
    "gateway.enabled": {"rsmp.http-port": ""},
    "gateway.proxy-port": {"gateway.proxy-networks": "192.0.2.0/24"},
    "rsmp.sip-preferred-ipversion": {"rsmp.allow-ipv6": "true"},
    "lab.enabled": {"rsmp.sip-proxy": ""},
}
"""What an option needs beside it to mean something."""

SIP = {"rsmp.sip-proxy": "192.0.2.5", "rsmp.http-port": "8086"}
"""What the sections of the B2BUA and of the gateway need."""

FILES = {
    "turn.cert",
    "turn.pkey",
    "turn.userdb",
    "turn.db",
    "rsmp.sip-tls-cert",
    "rsmp.sip-tls-cert-key",
    "rsmp.sip-tls-trusted-ca",
    "rsmp.sip-tls-port",
    "rsmp.https-cert",
    "rsmp.https-cert-key",
    "rsmp.https-trusted-ca",
    "rsmp.web-dtls-certificate",
    "rsmp.web-dtls-privatekey",
    "b2bua.ask-client-certificates",
}
"""These name files that must exist, or need some; tests of their own look at them."""

ELSEWHERE = {"turn.lt-cred-mech", "turn.verbose", "turn.static-auth-secret"}
"""
The first two mean something in a turnserver.conf alone, and a first secret switches users off,
which waits; tests of their own look at them.
"""


def key(row: Option) -> str:
    """The option as the command line spells it."""
    return f"{row.section}.{row.name}"


def another_value(row: Option) -> str:
    """A value that differs from the default."""
    default = row.effective_default
    if key(row) in VALUES:
        return VALUES[key(row)]
    if default in ("true", "false"):
        return "false" if default == "true" else "true"
    if default and row.kind.numeric:
        return str(int(default) - 1 if int(default) else 1)
    return row.kind.example


class OptionEffectTests(ConfigTestCase):
    """The table against the settings that it makes."""

    def with_options(self, options: dict[str, str]) -> SuiteSettings:
        """The settings of a file that holds these; an empty value leaves the option out."""
        lines = []
        for section in OPTIONS.sections:
            lines.append(f"[{section}]")
            for name, value in options.items():
                if value and name.startswith(f"{section}."):
                    lines.append(f"{name.partition('.')[2]} = {value}")
        return self.settings(self.load("\n".join(lines)))

    def test_every_served_option(self) -> None:
        """Set to something else it changes the settings, which apply at once where it says so."""
        served = [
            row
            for row in OPTIONS.rows
            if row.status is Status.SERVED and key(row) not in FILES | ELSEWHERE
        ]
        self.assertGreater(len(served), 120)
        for row in served:
            beside = COMMON | SIP | BESIDE.get(key(row), {})
            before = self.with_options(beside)
            after = self.with_options({**beside, key(row): another_value(row)})
            change = plan(before, after)
            differs = (bool(change.applied), bool(change.waiting))
            self.assertEqual(differs, (row.has(Mark.LIVE), not row.has(Mark.LIVE)), key(row))
