"""
The check page of the suite itself, in Chromium, over HTTPS on port 443, and the check beside it.

TLS is checked as for any user: the authority that the install made is put into the browser's NSS
database, and no certificate error is ignored.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.run import missing, run_browser, temporary_folder, trust
from tests.browser.suite_page import ADDRESS, CHECKOUT, SECRET, SuitePage, suite_page
from tests.programs import lack

TRANSPORTS = ("udp", "tcp", "tls")


class SuitePageTestCase(SynchronousTestCase):
    """A suite on port 443 and a browser that trusts its authority."""

    def setUp(self) -> None:
        """Run the suite until the test ends."""
        lack(missing())
        context = suite_page()
        self.suite: SuitePage = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def browse(self, script: str, **wishes: object) -> dict[str, Any]:
        """Run a script in the suite's network; the page must not complain."""
        home = temporary_folder(self)
        trust(self.suite.authority, home)
        answer = run_browser(
            script, self.suite.url, home=home, through=self.suite.through, **wishes
        )
        self.assertEqual(answer["complaints"], [])
        return answer


class GatherTests(SuitePageTestCase):
    """The button that gathers candidates."""

    def test_all_transports(self) -> None:
        """UDP, TCP and TLS on port 443 each give a relay candidate and a verdict that says so."""
        answer = self.browse("gather.mjs")
        self.assertEqual(
            answer["servers"],
            [
                f"stun:{ADDRESS}:443",
                f"turn:{ADDRESS}:443?transport=udp",
                f"turn:{ADDRESS}:443?transport=tcp",
                f"turns:{ADDRESS}:443?transport=tcp",
            ],
        )
        for name in TRANSPORTS:
            verdict = answer["verdicts"][name]
            self.assertEqual(verdict["status"], "works", verdict)
            self.assertIn(f"works, relay {ADDRESS}:", verdict["headline"])
        over = {line[3] for line in answer["candidates"] if line[1] == "relay"}
        self.assertEqual(over, {"UDP", "TCP", "TLS"})
        self.assertEqual(answer["errors"], [])

    def test_wrong_password(self) -> None:
        """A wrong password is told as such on every transport."""
        answer = self.browse("gather.mjs", password="wrong")
        for name in TRANSPORTS:
            self.assertIn("refused the user name or password", answer["verdicts"][name]["advice"])

    def test_phone(self) -> None:
        """The page of the suite fits a phone, in the dark too."""
        picture = temporary_folder(self) / "page.png"
        answer = self.browse("gather.mjs", phone=True, dark=True, screenshot=str(picture))
        self.assertEqual(answer["overflow"], 0)
        self.assertTrue(picture.exists())


class FlowTests(SuitePageTestCase):
    """The button that sends data through the relay."""

    def test_all_transports(self) -> None:
        """Between two relay-only connections data flows over each transport."""
        answer = self.browse("flow.mjs")
        for name in TRANSPORTS:
            self.assertEqual(answer["flows"][name]["status"], "flows", answer["flows"][name])
        locals_ = {url: result["local"] for url, result in answer["measured"].items()}
        self.assertEqual(
            locals_,
            {
                f"turn:{ADDRESS}:443?transport=udp": {"type": "relay", "relayProtocol": "udp"},
                f"turn:{ADDRESS}:443?transport=tcp": {"type": "relay", "relayProtocol": "tcp"},
                f"turns:{ADDRESS}:443?transport=tcp": {"type": "relay", "relayProtocol": "tls"},
            },
        )


class CheckTests(SuitePageTestCase):
    """``webrtc-suite check`` against the suite."""

    def test_works(self) -> None:
        """Every transport relays all datagrams, and the NAT test ends by itself."""
        run = subprocess.run(
            [
                *self.suite.through,
                *(sys.executable, "-m", "suite.check", ADDRESS, "--json"),
                *("--ca", str(self.suite.authority)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TURN_SECRET": SECRET, "PYTHONPATH": str(CHECKOUT)},
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        answer = json.loads(run.stdout)
        self.assertEqual([each["transport"] for each in answer["transports"]], list(TRANSPORTS))
        for each in answer["transports"]:
            self.assertEqual((each["sent"], each["received"]), (20, 20))
        self.assertIn("No NAT", answer["nat"]["sentence"])
