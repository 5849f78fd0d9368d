"""What is said when everything has started, and why something could not."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from suite.announce import Opened, announcement, pages
from suite.bind_failure import explain, port_owner
from suite.config import Arguments, load
from suite.settings import SuiteSettings
from tests.config.machines import MACHINE
from tests.runtime.doubles import folder

SETTINGS = SuiteSettings(state_directory=Path("/nowhere"))


class AnnouncementTests(SynchronousTestCase):
    """The table and the URL."""

    def test_the_whole_text(self) -> None:
        """Alike addresses share a line; what is not open follows with one cure; then the URL."""
        addresses = [
            Opened("UDP", ("127.0.0.1", 3478), "STUN, TURN"),
            Opened("UDP", ("::1", 3478), "STUN, TURN"),
            Opened("TCP", ("0.0.0.0", 8443), "pages", web=True, tls=True),
            Opened("TCP", ("0.0.0.0", 443), "pages", "permission denied", "cure 443", True, True),
            Opened("TCP", ("0.0.0.0", 444), "pages", "permission denied", "cure 444", True, True),
        ]
        self.assertEqual(
            announcement(SETTINGS, addresses, "box").splitlines(),
            [
                "webrtc-suite is running.",
                "",
                "  UDP  127.0.0.1, ::1  port 3478  STUN, TURN",
                "  TCP  0.0.0.0         port 8443  pages",
                "",
                "Not open, and tried again from time to time:",
                "  TCP  0.0.0.0  port 443, 444  permission denied",
                "  To allow it: cure 443",
                "",
                "To see whether it works, open http://localhost:8443/ or https://box:8443/",
            ],
        )

    def test_loopback_only(self) -> None:
        """A listener on loopback is opened without TLS, and not from elsewhere."""
        opened = Opened("TCP", ("127.0.0.1", 8443), "pages", web=True, tls=True)
        self.assertEqual(pages([opened], "box"), ["http://localhost:8443/"])

    def test_one_address(self) -> None:
        """A listener on one address is named by it; port 443 goes without saying."""
        opened = Opened("TCP", ("2001:db8::1", 443), "pages", web=True, tls=True)
        self.assertEqual(pages([opened], "box"), ["https://[2001:db8::1]/"])

    def test_phone(self) -> None:
        """Where browsers may sign in, the phone's page is named; with the lab, whom to call."""
        loaded = load(Arguments(), machine=MACHINE)
        assert loaded.settings is not None
        opened = Opened("TCP", ("127.0.0.1", 8443), "pages", web=True, tls=True)
        for lab in (True, False):
            text = announcement(loaded.settings, [opened], "box", lab=lab)
            self.assertIn(": http://localhost:8443/phone\n", text)
            self.assertEqual(lab, "sign in as 1001" in text)
            self.assertIn("To see whether it works, open http", text)
        relayless = replace(loaded.settings, turn=None)
        self.assertIn("The pages: http://localhost", announcement(relayless, [opened], "box"))
        without = replace(loaded.settings, web=False)
        self.assertNotIn("/phone", announcement(without, [opened], "box"))

    def test_lab(self) -> None:
        """Where the lab is on, its page and its first command are named; else neither is."""
        opened = Opened("TCP", ("127.0.0.1", 8443), "pages", web=True, tls=True)
        text = announcement(SETTINGS, [opened], "box", lab=True)
        self.assertIn("Open http://localhost:8443/lab\n", text)
        self.assertIn("webrtc-suite lab status", text)
        self.assertNotIn("lab", announcement(SETTINGS, [opened], "box"))
        remote = Opened("TCP", ("192.0.2.1", 8443), "pages", web=True, tls=True)
        text = announcement(SETTINGS, [remote], "box", lab=True)
        self.assertNotIn("8443/lab", text)
        self.assertIn("webrtc-suite lab status", text)

    def test_nothing_is_open(self) -> None:
        """Even when every address failed there is a text."""
        self.assertIn("is running", announcement(SETTINGS, [], "box"))


class ExplainTests(SynchronousTestCase):
    """Causes of a failed bind in words."""

    def test_permission(self) -> None:
        """A privileged port says how to allow it, for the interpreter that runs."""
        failure = explain(OSError(errno.EACCES, "x"), "UDP", ("0.0.0.0", 443))
        self.assertEqual(failure.reason, "permission denied")
        self.assertIn("cap_net_bind_service=+ep", failure.remedy)
        self.assertIn("ip_unprivileged_port_start=443", failure.remedy)

    def test_wrapped_by_twisted(self) -> None:
        """Twisted's own exception is looked into."""
        error = CannotListenError("::1", 1, OSError(errno.EADDRNOTAVAIL, "x"))
        reason = explain(error, "TCP", ("192.0.2.9", 1)).reason
        self.assertEqual(reason, "this machine has no address 192.0.2.9")

    def test_owner(self) -> None:
        """A port's owner is found by the socket's inode."""
        proc = folder(self)
        (proc / "net").mkdir(parents=True)
        header = "  sl  local_address rem_address   st\n"
        row = "   0: 0100007F:0D96 00000000:0000 0A 0:0 00:0 00000000     0        0 4711 1\n"
        (proc / "net" / "tcp").write_text(header + row)
        for pid, inode in (("12", 1), ("34", 4711)):
            (proc / pid / "fd").mkdir(parents=True)
            (proc / pid / "fd" / "3").symlink_to(f"socket:[{inode}]")
            (proc / pid / "comm").write_text(f"program{pid}\n")
        self.assertEqual(port_owner("TCP", 3478, proc), "program34 (process 34)")
        self.assertEqual(port_owner("TCP", 3479, proc), "")
        self.assertEqual(port_owner("UDP", 3478, proc), "")
