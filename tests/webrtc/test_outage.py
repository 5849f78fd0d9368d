"""
What the suite is for: a remote agent with nothing but port 443 open, and a SIP Server that dies.
"""

from __future__ import annotations

import time

from tests.webrtc.installation import ECHO
from tests.webrtc.network import SUITE
from tests.webrtc.phone import Phone
from tests.webrtc.stage import StageTestCase

TONE, NEXT = 440, 880
LONGEST_GAP = 100
"""Milliseconds of silence that nobody minds."""
LONGEST_WAIT = 6.0
"""Seconds until the next call stands."""


class OutageTests(StageTestCase):
    """A browser behind a firewall, and the lab's SIP Servers."""

    def test_server_killed(self) -> None:
        """
        The active SIP Server is killed in mid-call: the sound goes on, and the next call stands.

        Media go by the relay over TLS, for nothing else leaves the desk.
        """
        with self.network.firewall(f"ip daddr {SUITE} tcp dport 443"):
            relay = self.installed.relay("tls")
            one = self.phone(self.desk.chromium, "1001", TONE, iceServers=relay)
            next_one = self.phone(self.desk.chromium, "1002", NEXT, iceServers=relay)
            self.calls_echo(one)
            self.assertEqual(one.page.stats()["local"]["relay"], "tls")
            one.page.watch()
            time.sleep(0.5)
            active = self.active()
            self.installed.lab("kill", active)
            begun = time.monotonic()
            self.calls_echo(next_one)
            self.assertLess(time.monotonic() - begun, LONGEST_WAIT)
            self.assertNotEqual(self.active(), active)
            time.sleep(max(0.0, begun + 5.0 - time.monotonic()))
            gaps = one.page.gaps()
            self.assertGreater(gaps.watched, 5000)
            self.assertLess(gaps.longest, LONGEST_GAP, gaps)
            self.assertLess(gaps.concealed, LONGEST_GAP, gaps)
            one.hang_up()
            one.ended()
            self.calls_echo(one)

    def calls_echo(self, phone: Phone) -> None:
        """A user calls the echo and hears himself."""
        phone.dial(ECHO)
        phone.is_answered()
        phone.page.hears(phone.page.tone)

    def active(self) -> str:
        """The name of the SIP Server that the suite uses."""
        name: str = next(
            server["name"] for server in self.installed.lab_status()["servers"] if server["active"]
        )
        return name
