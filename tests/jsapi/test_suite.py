"""The phone's page in front of the real suite, as ``webrtc-suite run --default`` starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.run import missing
from tests.browser.suite_page import ADDRESS, CHECKOUT
from tests.jsapi.scripts import HERE, LIMIT
from tests.namespaces import program_namespace
from tests.programs import lack, require_program, running


class SuiteTests(SynchronousTestCase):
    """Everything between two pages is ours here: gateway, B2BUA, media, the lab's SIP Servers."""

    def play(self) -> dict[str, Any]:
        """Run suite and browser in a network of their own, and give what the pages showed."""
        with (
            tempfile.TemporaryDirectory(
                prefix="webrtc-suite-test-", ignore_cleanup_errors=True
            ) as name,
            program_namespace([f"{ADDRESS}/32"]) as space,
        ):
            folder = Path(name)
            configuration = folder / "suite.conf"
            wished = (CHECKOUT / "suite" / "run.conf").read_text()
            state = f"[suite]\nstate-directory = {folder / 'state'}\n"
            configuration.write_text(wished.replace("[suite]\n", state, 1))
            configuration.chmod(0o600)
            twistd = str(Path(sys.executable).with_name("twistd"))
            command = [twistd, "--nodaemon", "--pidfile=", "webrtc-suite"]
            environment = {"PYTHONPATH": str(CHECKOUT), "HOME": name}
            suite = space.command(*command, "--config", str(configuration))
            with running(suite, folder / "log", environment) as program:
                program.wait_for(lambda: "is running" in program.log(), "ready")
                script = [require_program("node"), str(HERE / "suite.mjs")]
                browser = space.command(*script, "https://localhost:8443")
                run = subprocess.run(
                    browser, capture_output=True, text=True, timeout=LIMIT, check=False
                )
                program.stop()
            self.assertNotIn("Traceback", program.log())
        self.assertEqual(run.returncode, 0, run.stderr + run.stdout)
        answer: dict[str, Any] = json.loads(run.stdout)
        return answer

    def test_phone(self) -> None:
        """
        Each number that the page suggests answers, and two DNs hear and see each other.

        Hold comes from both sides, video is added by both, data reach the other page, and a call
        that comes to nothing says why. Who is nobody can still call itself.
        """
        lack(missing())
        answer = self.play()
        self.assertEqual(answer["numbers"], ["self", "7001", "7002"])
        for number in (*answer["numbers"], "1999", "anonymous"):
            self.assertEqual(answer[number], "heard")
        self.assertEqual(answer["between"]["data"], "They sent: text=a & b")
        self.assertIn("The other side hung up.", answer["between"]["news"])
        self.assertIn("The other side hung up.", answer["withVideo"])
        self.assertIn("1002 did not take the call", answer["rejected"])
        self.assertIn("There is no 1555", answer["nobody"])
