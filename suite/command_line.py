"""
The command line of ``twistd webrtc-suite``: which configuration, and what to change in it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from twisted.python import usage

from suite.settings import LogOutput, LogSettings

EX_USAGE = 64
_STREAMS = ("stdout", "stderr")


class Options(usage.Options):
    """What to start. Mistakes are answered in two lines, not with the help of all of twistd."""

    synopsis = "[options]"
    optParameters = [
        ["config", "c", None, "The suite's configuration file"],
        ["turn-config", None, None, "A turnserver.conf: the relay as coTURN would run it"],
    ]
    optFlags = [
        ["default", None, "Serve this machine only, with the built-in configuration"],
        ["check-config", None, "Say what is wrong with the configuration, and start nothing"],
    ]
    longdesc = (
        "The gateway for browsers, the SIP B2BUA, the TURN relay and their pages in one process. "
        "--config names the suite's own file, --turn-config a turnserver.conf; both may be given. "
        "Each -o changes one option of [turn] or, as section.option, of another section."
    )

    def __init__(self) -> None:
        super().__init__()
        self["overrides"] = []

    def opt_override(self, text: str) -> None:
        """Set an option, as name=value or, for a switch, name; may be given several times"""
        name, equals, value = text.partition("=")
        if not name.strip():
            raise usage.UsageError(f"--override needs name=value, not {text!r}")
        # coTURN's switches stand alone; there as here that means true.
        self["overrides"].append((name.strip(), value.strip() if equals else "true"))

    opt_o = opt_override

    def parseArgs(self, *arguments: str) -> None:
        """Take no argument that is not an option."""
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} is not an option")

    def postOptions(self) -> None:
        """Refuse to guess which configuration is meant."""
        named = self["config"] or self["turn-config"]
        if named and self["default"]:
            raise usage.UsageError("--default goes with neither --config nor --turn-config")
        if not named and not self["default"]:
            raise usage.UsageError(
                "nothing to start: name a configuration with --config FILE or --turn-config FILE,"
                " or try it on this machine with --default"
            )

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; a mistake ends the process with a short message and code 64."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            refuse(f"{error}\n--help after webrtc-suite tells the options")

    @property
    def config(self) -> Path | None:
        """The suite's file."""
        return _absolute(self["config"])

    @property
    def turn_config(self) -> Path | None:
        """The relay's file."""
        return _absolute(self["turn-config"])

    @property
    def overrides(self) -> tuple[tuple[str, str], ...]:
        """(option, value), in the order given."""
        return tuple(self["overrides"])


def refuse(sentence: str, code: int = EX_USAGE) -> NoReturn:
    """End the process with a sentence on standard error."""
    print(f"webrtc-suite: {sentence}", file=sys.stderr)
    raise SystemExit(code)


@dataclass(frozen=True, slots=True)
class TwistdLogging:
    """What twistd was told about logging, which goes before the configuration."""

    nodaemon: bool = True
    logfile: str | None = None
    syslog: bool = False
    logger: bool = False
    """An observer of the operator's own takes Twisted's log."""

    @classmethod
    def of(cls, options: usage.Options | None) -> TwistdLogging:
        """Read twistd's options; without twistd (tests, tools) it is the foreground."""
        if options is None:
            return cls()
        logfile = options.get("logfile")
        return cls(
            nodaemon=bool(options.get("nodaemon") or options.get("debug")),
            logfile=str(Path(logfile).absolute()) if logfile and logfile != "-" else None,
            syslog=bool(options.get("syslog")),
            logger=options.get("logger") is not None,
        )

    def adapt(self, settings: LogSettings) -> LogSettings:
        """
        Send what the configuration sends to a stream where twistd was told to log.

        A daemon has no streams: without ``--logfile`` it writes ``twistd.log``, as twistd does.
        """
        target = self.logfile
        if self.syslog:
            target = "syslog"
        elif target is None and not self.nodaemon:
            target = "twistd.log"
        if target is None:
            return settings
        outputs = tuple(
            LogOutput(level=each.level, target=target if each.target in _STREAMS else each.target)
            for each in settings.outputs
        )
        return replace(settings, outputs=outputs)


def _absolute(text: str | None) -> Path | None:
    # twistd changes its directory (--rundir) before a reload reads the file again.
    return Path(text).absolute() if text else None
