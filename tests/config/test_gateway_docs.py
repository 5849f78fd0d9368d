"""docs/gateway.md against what it speaks of."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua import call_events as events
from b2bua.sip.hop import Hop
from suite.call_log import CallLog
from suite.event_log import EventLog
from suite.option_table import OPTIONS
from suite.options import Status
from tests.config.test_option_table import guide
from tests.runtime.doubles import MemoryLog
from turn.events import AuthenticationFailed
from turn.five_tuple import FiveTuple, Transport

TEXT = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()


class OptionTests(SynchronousTestCase):
    """The list of the guide's options."""

    def test_every_option(self) -> None:
        """Each is there once, as served or as accepted, and it is what it is said to be."""
        served = {
            (section, name)
            for section, names in re.findall(
                r"\*served\* in `\[(\w+)\]`: ([^.]*(?:\n[^.]+)*)\.", TEXT
            )
            for name in re.findall(r"`([^`]+)`", names)
        }
        accepted = set(re.findall(r"^\| (\w+) \| `([^`]+)` \| accepted: ", TEXT, re.MULTILINE))
        self.assertEqual(set(), served & accepted)
        self.assertEqual({(row["section"], row["option"]) for row in guide()}, served | accepted)
        for section, name in served | accepted:
            row = OPTIONS.find(section, name)
            assert row is not None
            self.assertEqual(row.status is Status.SERVED, (section, name) in served, name)

    def test_names(self) -> None:
        """Whatever looks like an option of ours is one."""
        known = {row.name for row in OPTIONS.rows}
        for name in re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", TEXT):
            self.assertIn(name, known)


class Fail2banTests(SynchronousTestCase):
    """The expression for wrong passwords."""

    def test_lines(self) -> None:
        """It finds those of browsers, phones and the relay's clients, and no forged address."""
        found = re.search(r"failregex = (.*)", TEXT)
        assert found is not None
        expression = re.compile(found[1].replace("<HOST>", r"(?P<host>[0-9a-f.:]+)"))
        log = MemoryLog()
        calls, relay = CallLog(log), EventLog(log, str)
        calls(events.SignInRefused("192.0.2.1", 403, "password"))
        calls(events.PhoneRefused(Hop("UDP", "192.0.2.2", 5060), 403, "password"))
        client = FiveTuple(Transport.TLS, ("2001:db8::3", 5), ("192.0.2.9", 443))
        relay(AuthenticationFailed(client, "x client=192.0.2.99 ", "wrong password"))
        calls(events.SignedIn("client=192.0.2.98", "192.0.2.4", is_anonymous=True))
        hosts = [m["host"] for line in log.lines if (m := expression.search(f"2026 {line}"))]
        self.assertEqual(["192.0.2.1", "192.0.2.2", "2001:db8::3"], hosts)
