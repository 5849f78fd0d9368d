"""
The check page in Chromium, in front of coTURN.

Certificates are checked as for any user: the relay's authority is put into an NSS database in
the browser's own home directory, and no certificate error is ignored.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.coturn import PASSWORD, CoturnPage, coturn_page
from tests.browser.run import missing, run_browser, temporary_folder, trust
from tests.programs import lack, require_program

TRANSPORTS = ("udp", "tcp", "tls")


def leads_out() -> bool:
    """
    Whether this network has a default route; nothing is sent.

    A page without a microphone is shown the address that such a route would use, and no other.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            return False
        return True


class PageTestCase(SynchronousTestCase):
    """A relay with its page, and a home for the browser."""

    def setUp(self) -> None:
        """There must be a browser and a coTURN."""
        lack(missing())
        require_program("turnserver")

    def serve(self, **wishes: object) -> CoturnPage:
        """Run relay and page until the test ends."""
        context = coturn_page(**wishes)  # type: ignore[arg-type]
        page = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return page

    def home(self, authority: Path | None = None) -> Path:
        """Make an empty home directory, in which ``authority`` is trusted."""
        home = temporary_folder(self)
        if authority is not None:
            trust(authority, home)
        return home

    def browse(self, script: str, page: CoturnPage, home: Path, **wishes: object) -> dict[str, Any]:
        """Run a script; whatever it wanted, the page must not complain or call another host."""
        answer = run_browser(script, page.url, home=home, **wishes)
        self.assertEqual(answer["complaints"], [])
        return answer


class GatherTests(PageTestCase):
    """The button that gathers candidates."""

    def test_all_transports(self) -> None:
        """With the authority trusted, each transport gives a relay and a verdict that says so."""
        page = self.serve()
        answer = self.browse("gather.mjs", page, self.home(page.authority))
        for name in TRANSPORTS:
            verdict = answer["verdicts"][name]
            self.assertEqual(verdict["status"], "works", verdict)
            self.assertRegex(
                verdict["headline"],
                rf"{name.upper()}: works, relay 127\.0\.0\.1:40\d\d\d after \d+(\.\d)?\sms",
            )
        over = {line[3] for line in answer["candidates"] if line[1] == "relay"}
        self.assertEqual(over, {"UDP", "TCP", "TLS"})
        own = "host" if leads_out() else "srflx"
        self.assertIn(own, {line[1] for line in answer["candidates"]})
        self.assertEqual(answer["errors"], [])
        self.assertIn("ends in 10 minutes", answer["note"])

    def test_untrusted_certificate(self) -> None:
        """Without the authority only TLS fails, and the verdict names the certificate."""
        page = self.serve()
        answer = self.browse("gather.mjs", page, self.home())
        statuses = {name: answer["verdicts"][name]["status"] for name in TRANSPORTS}
        self.assertEqual(statuses, {"udp": "works", "tcp": "works", "tls": "fails"})
        advice = answer["verdicts"]["tls"]["advice"]
        self.assertIn("does not trust its certificate", advice)
        self.assertIn(f"https://127.0.0.1:{page.tls_port}/", advice)
        self.assertEqual(len(answer["errors"]), 1)

    def test_wrong_password(self) -> None:
        """A password that the relay refuses is named as the fault on every transport."""
        page = self.serve()
        answer = self.browse("gather.mjs", page, self.home(page.authority), password="wrong")
        for name in TRANSPORTS:
            self.assertIn("refused the user name or password", answer["verdicts"][name]["advice"])

    def test_users_of_its_own(self) -> None:
        """A relay without a secret is offered with empty fields; nothing is tried without them."""
        page = self.serve(secret=False)
        answer = self.browse("gather.mjs", page, self.home(page.authority))
        self.assertIn("type a user name and password", answer["note"])
        self.assertEqual({card["status"] for card in answer["verdicts"].values()}, {"untried"})
        self.assertEqual(len(answer["errors"]), 3)

    def test_typed_user(self) -> None:
        """A user name and password that a person types are used for all relays."""
        page = self.serve(secret=False)
        answer = self.browse(
            "gather.mjs", page, self.home(page.authority), username="alice", password=PASSWORD
        )
        self.assertEqual({card["status"] for card in answer["verdicts"].values()}, {"works"})

    def test_no_udp(self) -> None:
        """A server that cannot be reached over UDP gets a verdict about the firewall."""
        page = self.serve(arguments=("--no-udp",))
        verdicts = self.browse("gather.mjs", page, self.home(page.authority))["verdicts"]
        self.assertEqual(verdicts["tcp"]["status"], "works")
        self.assertEqual(verdicts["udp"]["status"], "fails")
        self.assertIn("firewall drops UDP", verdicts["udp"]["advice"])


class PhoneAndDarkTests(PageTestCase):
    """The page at the size of a phone, light and dark."""

    def picture(self, **wishes: object) -> tuple[Path, dict[str, Any]]:
        """Press both buttons and take a picture."""
        page = self.serve()
        path = temporary_folder(self) / "page.png"
        answer = self.browse(
            "gather.mjs",
            page,
            self.home(page.authority),
            screenshot=str(path),
            both=True,
            **wishes,
        )
        self.assertEqual({card["status"] for card in answer["verdicts"].values()}, {"works"})
        self.assertEqual({card["status"] for card in answer["flows"].values()}, {"flows"})
        return path, answer

    def test_phone(self) -> None:
        """Nothing is wider than a phone, and the buttons are on its first screen."""
        path, answer = self.picture(phone=True)
        width, _ = struct.unpack("!II", path.read_bytes()[16:24])
        self.assertEqual(width, 2 * 390)
        self.assertEqual(answer["overflow"], 0)
        self.assertLess(answer["buttonBottom"], 844)

    def test_contrast(self) -> None:
        """Every text stands out from what is behind it, by day and by night (WCAG AA)."""
        for dark in (False, True):
            _, answer = self.picture(dark=dark)
            self.assertGreater(len(answer["contrasts"]), 30)
            for text, ratio in answer["contrasts"]:
                self.assertGreaterEqual(ratio, 4.5, text)

    def test_accessible(self) -> None:
        """Every field and button has a name, and the results are announced."""
        _, answer = self.picture()
        self.assertEqual(answer["unnamed"], [])


class FlowTests(PageTestCase):
    """The button that sends data through the relay."""

    def test_all_transports(self) -> None:
        """Data flows over UDP, TCP and TLS, and each time through a relay of that transport."""
        page = self.serve()
        answer = self.browse("flow.mjs", page, self.home(page.authority))
        for name in TRANSPORTS:
            self.assertEqual(answer["flows"][name]["status"], "flows", answer["flows"][name])
            self.assertRegex(answer["flows"][name]["headline"], r"round trip \d+(\.\d)?\sms")
        relays = {
            (url.partition("transport=")[0].partition(":")[0], result["local"]["relayProtocol"])
            for url, result in answer["measured"].items()
        }
        self.assertEqual(relays, {("turn", "udp"), ("turn", "tcp"), ("turns", "tls")})
        for result in answer["measured"].values():
            self.assertTrue(result["flows"])
            self.assertEqual(result["local"]["type"], "relay")
            self.assertEqual(result["bytes"], 256 * 1024)

    def test_peer_denied(self) -> None:
        """Where the server forbids its own relay address as a peer, the verdict says so."""
        page = self.serve(arguments=("--denied-peer-ip=127.0.0.0-127.255.255.255",))
        answer = self.browse("flow.mjs", page, self.home(page.authority))
        for name in TRANSPORTS:
            self.assertEqual(answer["flows"][name]["status"], "fails")
            self.assertIn("peer rules", answer["flows"][name]["advice"])
