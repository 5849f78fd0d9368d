"""
``webrtc-suite``: starts the suite, checks a configuration, asks a running relay or its lab, shows
a sample.

``run`` is ``twistd -n webrtc-suite`` with what that needs around it, so that a checkout and an
install start alike from any directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from suite.command_line import EX_USAGE, Options

USAGE = """\
Usage: webrtc-suite COMMAND [options]

  run           start in the foreground; with --default, for this machine only
  check-config  say what is wrong with a configuration, and start nothing
  check         ask a running relay whether it works, as a client would
  lab           show the lab of the running suite, kill a SIP Server, make a call
  trust         let your browsers trust the certificate that this install made
  sample-conf   print a configuration file with every option

webrtc-suite COMMAND --help tells more. To run as a daemon: twistd webrtc-suite [options]
"""

_HELP = frozenset({"-h", "--help"})
# -P: the current directory is not a place to import from.
_TWISTD = ("-P", "-c", "from twisted.scripts.twistd import run; run()")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first argument says; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in (*_HELP, "help"):
        sys.stdout.write(USAGE)
        return 0 if given else EX_USAGE
    command = _COMMANDS.get(given[0])
    if command is None:
        sys.stderr.write(f"webrtc-suite: there is no command {given[0]!r}\n\n{USAGE}")
        return EX_USAGE
    return command(given[1:])


def run(arguments: Sequence[str], name: str = "run") -> NoReturn:
    """Become twistd in the foreground; never returns. Help is ours, by the command's name."""
    if not _HELP.isdisjoint(arguments):
        sys.stdout.write(f"Usage: webrtc-suite {name} {Options()}\n")
        raise SystemExit(0)
    command = twistd_command(arguments)
    sys.stdout.flush()
    os.execve(command[0], command, environment(os.environ))


def check_config(arguments: Sequence[str]) -> NoReturn:
    """The same as ``run --check-config``."""
    run(["--check-config", *arguments], "check-config")


def check(arguments: Sequence[str]) -> int:
    """Ask a running relay."""
    from suite import check as relay_check

    return relay_check.main(list(arguments))


def lab(arguments: Sequence[str]) -> int:
    """Show the running suite's lab, or do something to it."""
    from suite.lab import cli as lab_commands

    return lab_commands.main(list(arguments))


def trust(arguments: Sequence[str]) -> int:
    """Let this user's browsers trust the install's own certificate."""
    from suite import trust as browser_trust

    return browser_trust.main(arguments)


def sample_conf(arguments: Sequence[str]) -> int:
    """Print the sample configuration."""
    from suite.sample_conf import sample

    if arguments:
        sys.stderr.write("webrtc-suite: sample-conf takes no options\n")
        return EX_USAGE
    sys.stdout.write(sample())
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "check-config": check_config,
    "check": check,
    "lab": lab,
    "trust": trust,
    "sample-conf": sample_conf,
}


def twistd_command(arguments: Sequence[str]) -> list[str]:
    """The command line that starts the suite in the foreground, without a pid file."""
    twistd = [sys.executable, *_TWISTD, "--nodaemon", "--pidfile=", "webrtc-suite"]
    return [*twistd, *arguments]


def environment(base: Mapping[str, str], root: Path | None = None) -> dict[str, str]:
    """
    The environment for twistd: where it is a checkout that runs, on the path.

    Twisted looks for plugins on real path entries only, so the hook of an editable install does
    not do.
    """
    root = root or Path(__file__).resolve().parent.parent
    is_checkout = not (root / "twisted" / "__init__.py").exists()
    paths = [path for path in base.get("PYTHONPATH", "").split(os.pathsep) if path]
    if is_checkout and str(root) not in paths:
        paths.insert(0, str(root))
    return {**base, "PYTHONPATH": os.pathsep.join(paths)} if paths else dict(base)
