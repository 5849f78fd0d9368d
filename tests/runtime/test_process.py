"""
The real process: twistd, signals, exit codes, files. On loopback, with ports of its own.

These are the only tests of the runtime that wait for anything; each wait has a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.runtime.doubles import folder

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0
CONFIGURATION = """\
[suite]
web = false
status-address = 127.0.0.1
status-port = {status}
state-directory = {folder}
[turn]
listening-ip = 127.0.0.1
listening-port = {turn}
no-tls
no-dtls
relay-ip = 127.0.0.1
realm = localhost
lt-cred-mech
user = joe:password-of-joe
[log]
verbose = trace
all = {log}
"""


def free_port() -> int:
    """A port of loopback that is free for TCP and UDP at this moment."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return int(tcp.getsockname()[1])


class ProcessTests(SynchronousTestCase):
    """Each test has a folder, a configuration and processes that do not outlive it."""

    def setUp(self) -> None:
        self.folder = folder(self)
        self.status, self.turn = free_port(), free_port()
        self.environment = environment(os.environ, ROOT)
        self.output = self.folder / "output"

    def configure(self, log: str = "stdout", extra: str = "") -> Path:
        """Write a configuration file."""
        path = self.folder / "suite.conf"
        text = CONFIGURATION.format(status=self.status, turn=self.turn, folder=self.folder, log=log)
        path.write_text(text + extra)
        path.chmod(0o600)
        return path

    def spawn(self, command: list[str], **more: str) -> subprocess.Popen[bytes]:
        """Start a process in the folder, its output in a file."""
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **more},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the suite in the foreground and wait until it answers."""
        process = self.spawn(twistd_command(arguments))
        self.until(lambda: self.get("/ping") == (200, b"up"))
        return process

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds; fail with the output when it never does."""
        end = time.monotonic() + DEADLINE
        while not true():
            if time.monotonic() > end:
                self.fail(f"waited in vain; output: {self.output.read_text()}")
            time.sleep(0.02)

    def until_said(self, text: str) -> None:
        """Wait for a line of output."""
        self.until(lambda: text in self.output.read_text())

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the status pages; code 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status}{path}", timeout=5) as got:
                return got.status, got.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def finish(self, *arguments: str) -> tuple[int, str]:
        """Run to its end; the exit code and all that was said."""
        process = self.spawn(twistd_command(arguments))
        return process.wait(DEADLINE), self.output.read_text()


class SignalTests(ProcessTests):
    """What signals do to the real process."""

    def test_term_and_int_end_it_cleanly(self) -> None:
        """SIGTERM and SIGINT end the process soon, with exit code 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start("--config", str(self.configure()))
            process.send_signal(number)
            self.assertEqual(process.wait(10), 0, self.output.read_text())
            self.assertIn("20106 Application stopped", self.output.read_text())

    def test_two_terms_at_once_are_one(self) -> None:
        """As from a terminal's group and a supervisor: it stops, and nothing is an error."""
        for _ in range(3):
            process = self.start("--config", str(self.configure()))
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(10), 0, self.output.read_text())
            self.assertNotIn("ReactorNotRunning", self.output.read_text())

    def test_reload_under_load(self) -> None:
        """Many SIGHUPs in a row are all survived, and the last configuration runs."""
        configuration = self.configure()
        process = self.start("--config", str(configuration))
        for _ in range(50):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        self.until_said("Configuration read again")
        configuration.write_text(configuration.read_text() + "\n[turn]\nuser-quota = 7\n")
        process.send_signal(signal.SIGHUP)
        self.until_said("turn.user_quota")
        self.assertEqual(self.get("/health/ready")[0], 200)

    def test_a_bad_reload_keeps_it_running(self) -> None:
        """Errors in the file are logged and the suite goes on as it was."""
        configuration = self.configure()
        process = self.start("--config", str(configuration))
        configuration.write_text(configuration.read_text() + "\n[turn]\nmin-port = abc\n")
        process.send_signal(signal.SIGHUP)
        self.until_said("20108")
        self.assertEqual(self.get("/health/ready")[0], 200)

    def test_other_signals_do_not_kill(self) -> None:
        """SIGUSR1 and SIGUSR2, whose defaults end a process, do not."""
        process = self.start("--config", str(self.configure()))
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGUSR2)
        self.until_said("SIGUSR1")
        self.assertEqual(self.get("/ping")[0], 200)


class LogFileTests(ProcessTests):
    """Files of the real process."""

    def test_moved_away_and_reopened(self) -> None:
        """After logrotate's move and SIGHUP a new file begins, 0640."""
        log = self.folder / "suite.log"
        process = self.start("--config", str(self.configure(log=str(log))))
        log.rename(self.folder / "suite.log.1")
        process.send_signal(signal.SIGHUP)
        # It is widened to that after it was made, so that it is never wider.
        self.until(lambda: log.exists() and log.stat().st_mode & 0o777 == 0o640)

    def test_twistd_logfile(self) -> None:
        """twistd --logfile takes the streams' lines, each once."""
        command = twistd_command(["--config", str(self.configure())])
        command[command.index("webrtc-suite") : 0] = ["--logfile", "twistd.log"]
        self.spawn(command)
        self.until(lambda: self.get("/ping")[0] == 200)
        log = self.folder / "twistd.log"
        self.until(lambda: log.exists() and "05060" in log.read_text())
        self.assertEqual(log.read_text().count(" 05060 "), 1)
        self.assertNotIn(" 05060 ", self.output.read_text())

    def test_daemon(self) -> None:
        """As a daemon it logs to twistd.log, keeps files to itself and ends on SIGTERM."""
        command = twistd_command(["--config", str(self.configure())])
        command.remove("--nodaemon")
        command[command.index("--pidfile=")] = "--pidfile=twistd.pid"
        self.assertEqual(self.spawn(command).wait(DEADLINE), 0, self.output.read_text())
        self.until(lambda: self.get("/ping")[0] == 200)
        pid_file = self.folder / "twistd.pid"
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        self.until(lambda: not pid_file.exists())
        self.assertIn("Application stopped", (self.folder / "twistd.log").read_text())


class StartTests(ProcessTests):
    """What keeps it from starting, and what does not."""

    def test_configuration_errors(self) -> None:
        """All errors are told on standard error, and the exit code is 78."""
        code, said = self.finish("--config", str(self.configure(extra="[turn]\nmin-port = abc\n")))
        self.assertEqual(code, 78, said)
        self.assertIn("min-port", said)
        self.assertNotIn("Traceback", said)

    def test_check_config_starts_nothing(self) -> None:
        """--check-config gives 0 for a good file and 78 for a bad one."""
        self.assertEqual(self.finish("--config", str(self.configure()), "--check-config")[0], 0)
        bad = self.configure(extra="[turn]\nmin-port = abc\n")
        self.assertEqual(self.finish("--config", str(bad), "--check-config")[0], 78)

    def test_usage(self) -> None:
        """A mistake on the command line is answered shortly, with code 64."""
        code, said = self.finish("--nonsense")
        self.assertEqual(code, 64)
        self.assertLessEqual(len(said.splitlines()), 2)

    def test_another_reactor(self) -> None:
        """--reactor is refused by name, without a traceback."""
        command = twistd_command(["--default"])
        command[command.index("webrtc-suite") : 0] = ["--reactor", "epoll"]
        self.assertEqual(self.spawn(command).wait(DEADLINE), 64)
        self.assertIn("EPollReactor", self.output.read_text())
        self.assertNotIn("Traceback", self.output.read_text())

    def test_a_busy_port(self) -> None:
        """The others start, readiness names the port, and it is opened when it is free."""
        with socket.socket(type=socket.SOCK_DGRAM) as busy:
            busy.bind(("127.0.0.1", self.turn))
            self.start("--config", str(self.configure()))
            self.until_said("05060")
            code, body = self.get("/health/ready")
            self.assertEqual(code, 503)
            broken = json.loads(body)["units"][f"udp 127.0.0.1:{self.turn}"]
            self.assertIn(f"(process {os.getpid()})", broken["detail"])
        self.until(lambda: self.get("/health/ready")[0] == 200)

    def test_the_console_tool_from_elsewhere(self) -> None:
        """``webrtc-suite run`` works in any directory."""
        path = self.configure()
        tool = "import sys; from suite.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", tool, "run", "--config", path.name]
        process = self.spawn(command)
        self.until(lambda: self.get("/ping")[0] == 200)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)


class HangingTests(ProcessTests):
    """The process ends in its time, whatever hangs."""

    def hang(self, what: str, patience: float) -> subprocess.Popen[bytes]:
        """Start a suite of which something hangs."""
        command = [*twistd_command([])[:-1], "-oy", str(Path(__file__).with_name("hanging.tac"))]
        process = self.spawn(command, HANGS=what, PATIENCE=str(patience))
        self.until_said("05060")
        return process

    def test_a_hung_stop(self) -> None:
        """A unit that never stops is abandoned and named; the exit code is 0."""
        process = self.hang("stop", 0.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 0)
        self.assertIn("hanging did not stop", self.output.read_text())

    def test_a_second_signal(self) -> None:
        """A second SIGTERM ends the wait within a second."""
        process = self.hang("stop", 30)
        process.send_signal(signal.SIGTERM)
        self.until_said("stopping")
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(5)
        self.assertLess(time.monotonic() - before, 1.5)

    def test_a_hung_thread(self) -> None:
        """A thread of the pool that never ends cannot keep the process."""
        process = self.hang("thread", 0.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 1)

    def test_a_hung_reactor(self) -> None:
        """Nor can a reactor that is stuck in a call."""
        process = self.hang("reactor", 0.5)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(5), 1)
