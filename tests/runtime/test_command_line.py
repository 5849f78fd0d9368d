"""Options, and the way from the console tool to twistd."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from suite import cli
from suite.command_line import EX_USAGE, Options, TwistdLogging
from suite.settings import LogLevel, LogOutput, LogSettings
from tests.runtime.doubles import folder

STDOUT = LogSettings(outputs=(LogOutput(level=LogLevel.TRACE, target="stdout"),))


def parse(*arguments: str) -> Options:
    """The options of a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    """What may be asked for."""

    def refused(self, *arguments: str) -> str:
        """What is said when the options are wrong."""
        said = io.StringIO()
        with redirect_stderr(said):
            error = self.assertRaises(SystemExit, parse, *arguments)
        self.assertEqual(error.code, EX_USAGE)
        self.assertLessEqual(len(said.getvalue().splitlines()), 2)
        return said.getvalue()

    def test_files_are_absolute(self) -> None:
        """Paths do not depend on where twistd goes later."""
        options = parse("--config", "x.conf", "--turn-config", "y.conf")
        self.assertEqual(options.config, Path("x.conf").absolute())
        self.assertEqual(options.turn_config, Path("y.conf").absolute())

    def test_overrides_in_order(self) -> None:
        """-o and --override are one; a value may hold = and a switch needs none."""
        options = parse("--default", "-o", "user=joe:a=b", "--override", "no-udp")
        self.assertEqual(options.overrides, (("user", "joe:a=b"), ("no-udp", "true")))

    def test_nothing_to_start(self) -> None:
        """Without a configuration the three ways to name one are told."""
        self.assertIn("--config FILE", self.refused())

    def test_mistakes_are_short(self) -> None:
        """Each mistake gets a line of its own and no traceback."""
        self.assertIn("--nonsense", self.refused("--nonsense"))
        self.assertIn("'extra'", self.refused("--default", "extra"))
        self.assertIn("name=value", self.refused("--default", "-o", "=1"))
        self.assertIn("--default", self.refused("--default", "--config", "x"))


class TwistdLoggingTests(SynchronousTestCase):
    """twistd's own logging options go before the configuration's streams."""

    def test_foreground(self) -> None:
        """In the foreground nothing changes."""
        self.assertEqual(TwistdLogging().adapt(STDOUT), STDOUT)

    def test_logfile(self) -> None:
        """--logfile takes what would go to a stream; files stay as configured."""
        parent = usage.Options()
        parent.update({"logfile": "t.log", "nodaemon": 1})
        file = LogOutput(level=LogLevel.DEBUG, target="/var/log/x")
        settings = LogSettings(outputs=(*STDOUT.outputs, file))
        targets = [o.target for o in TwistdLogging.of(parent).adapt(settings).outputs]
        self.assertEqual(targets, [str(Path("t.log").absolute()), "/var/log/x"])

    def test_daemon_and_syslog(self) -> None:
        """A daemon writes twistd.log as twistd does, or to syslog when asked."""
        daemon = TwistdLogging(nodaemon=False).adapt(STDOUT)
        self.assertEqual(daemon.outputs[0].target, "twistd.log")
        syslog = TwistdLogging(nodaemon=False, syslog=True).adapt(STDOUT)
        self.assertEqual(syslog.outputs[0].target, "syslog")


class ConsoleToolTests(SynchronousTestCase):
    """webrtc-suite COMMAND."""

    def test_unknown_command(self) -> None:
        """An unknown command is named, the usage follows, and the code says so."""
        said = io.StringIO()
        with redirect_stderr(said):
            self.assertEqual(cli.main(["nonsense"]), EX_USAGE)
        self.assertIn("'nonsense'", said.getvalue())

    def test_help_of_commands(self) -> None:
        """What is started by a command of ours says so, and not that it is twistd."""
        for name in ("run", "check-config"):
            for word in ("--help", "-h"):
                said = io.StringIO()
                with redirect_stdout(said), self.assertRaises(SystemExit) as ended:
                    cli.main([name, word])
                self.assertEqual(0, ended.exception.code)
                self.assertTrue(said.getvalue().startswith(f"Usage: webrtc-suite {name} [opt"))
                self.assertIn("--turn-config", said.getvalue())

    def test_run_is_twistd_in_the_foreground(self) -> None:
        """The same interpreter runs twistd, without a pid file, and our options follow."""
        command = cli.twistd_command(["--default"])
        self.assertEqual(command[0], sys.executable)
        self.assertEqual(command[-4:], ["--nodaemon", "--pidfile=", "webrtc-suite", "--default"])

    def test_a_checkout_is_put_on_the_path(self) -> None:
        """From a checkout, its root comes first, once; an install needs nothing."""
        checkout, install = Path("/checkout"), folder(self)
        found = cli.environment({"PYTHONPATH": "/other", "A": "b"}, checkout)
        self.assertEqual(found, {"PYTHONPATH": "/checkout:/other", "A": "b"})
        self.assertEqual(cli.environment(found, checkout), found)
        (install / "twisted").mkdir(parents=True)
        (install / "twisted" / "__init__.py").touch()
        self.assertEqual(cli.environment({}, install), {})
