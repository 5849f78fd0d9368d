"""``webrtc-suite trust`` with a certutil that takes notes, and with the real one."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.certificate import OwnCertificate
from suite.trust import NICKNAME, main
from tests.programs import require_program


class TrustTests(SynchronousTestCase):
    """Adding the install's authority to the user's NSS database."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.state = self.home / "state"
        self.config = self.home / "suite.conf"
        self.config.write_text(
            f"[suite]\nstate-directory = {self.state}\n[turn]\nuser = alice:wonderland\n"
        )
        self.config.chmod(0o600)
        self.commands: list[Sequence[str]] = []

    def make_certificate(self) -> None:
        OwnCertificate(self.state, ["127.0.0.1"]).ensure(datetime.now(UTC))

    def note(self, command: Sequence[str]) -> int:
        self.commands.append(command)
        return 0

    def trust(self, *arguments: str, real: bool = False) -> tuple[int, str]:
        said = io.StringIO()
        given = ["--config", str(self.config), *arguments]
        with redirect_stdout(said), redirect_stderr(said):
            code = main(given, self.home, None if real else self.note)
        return code, said.getvalue()

    def test_needs_a_certificate(self) -> None:
        """Before the first start there is nothing to trust, and it says so."""
        code, said = self.trust()
        self.assertEqual(code, 1)
        self.assertIn("start the suite once", said)
        self.assertEqual(self.commands, [])

    def test_makes_the_database_and_adds_the_authority(self) -> None:
        """As an authority for servers, from the file of this install."""
        self.make_certificate()
        code, said = self.trust()
        self.assertEqual(code, 0)
        self.assertIn("Start your browser anew", said)
        (_, add) = self.commands
        self.assertEqual(add[add.index("-t") + 1], "C,,")
        self.assertEqual(add[-1], str(self.state / "ca.pem"))

    def test_wrong_use_is_told(self) -> None:
        """An argument that means nothing gets the usage."""
        said = io.StringIO()
        with redirect_stderr(said):
            self.assertEqual(main(["--what"], self.home, self.note), 64)
        self.assertIn("Usage:", said.getvalue())

    def test_certutil_really_takes_it(self) -> None:
        """The database lists the authority, and after --remove no longer."""
        certutil = require_program("certutil")
        self.make_certificate()
        database = f"sql:{self.home / '.pki' / 'nssdb'}"
        for arguments, listed in (((), True), (("--remove",), False)):
            self.assertEqual(self.trust(*arguments, real=True)[0], 0)
            known = subprocess.run(
                [certutil, "-d", database, "-L"], capture_output=True, text=True, check=True
            )
            self.assertEqual(NICKNAME in known.stdout, listed, known.stdout)
