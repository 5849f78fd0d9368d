"""A configuration that was exported from the old gateway, started as it stands."""

from __future__ import annotations

import http.client
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.namespaces import may_make_namespaces, network_namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import lack, running

EXPORTED = CHECKOUT / "tests" / "config" / "golden" / "suite_exported.conf"
HOST = "192.0.2.1"


def ask(method: str, target: str, origin: str = "https://agents.example.net") -> tuple[int, str]:
    """A page's request; status 0 where nobody answers."""
    connection = http.client.HTTPConnection(HOST, 8086, timeout=5)
    try:
        connection.request(method, target, headers={"Origin": origin})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class ExportedTests(SynchronousTestCase):
    """Nothing of ours stands in the file."""

    def test_serves(self) -> None:
        """It starts, anonymous users and DNs sign in, pages of other sites do not."""
        lack(None if may_make_namespaces() else "only root can make a network of its own")
        with (
            network_namespace([f"{HOST}/24"]) as space,
            tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name,
            space.inside(),
        ):
            configuration = Path(name, "exported.conf")
            configuration.write_bytes(EXPORTED.read_bytes())
            configuration.chmod(0o600)
            command = space.command(*twistd_command(["--config", str(configuration)]))
            own = {"HOME": name, "STATE_DIRECTORY": name}
            variables = {**environment(os.environ, CHECKOUT), **own}
            with running(command, Path(name, "log"), variables) as program:
                program.wait_for(lambda: ask("GET", "/ping") == (200, "up"), "the gateway")
                self.assertEqual((200, ""), ask("HEAD", "/ping"))
                for user in ("8150", "Anon"):
                    status, text = ask("GET", f"/sign_in?{user}")
                    self.assertEqual(200, status, user)
                    self.assertRegex(text, r"\Asid=[0-9a-f]{32}")
                self.assertEqual(403, ask("GET", "/sign_in?8151", "https://evil.example")[0])
                self.assertIn("records go to stdout", program.log())
                judge_suite(program, program.stop(), ())
