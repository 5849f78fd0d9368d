"""
What twistd imports for ``twistd webrtc-suite``: installs the reactor, then makes the service.

Importing this module installs the reactor, so nothing else may import it.
"""

from __future__ import annotations

from suite import reactor as suite_reactor
from suite.command_line import Options, TwistdLogging, refuse

try:
    suite_reactor.install()
except suite_reactor.OtherReactorInstalled as error:
    refuse(str(error))

import os
import sys
import time
from typing import cast

from suite import config
from suite.build import build
from suite.clock import Clocks
from suite.datapath.choice import DataPlaneUnavailable, choose
from suite.diagnostics import EX_CONFIG, exit_code
from suite.log_records import LogEvent
from suite.logs import Log
from suite.service import SuiteReactor, SuiteService, log_diagnostics
from suite.settings import LogLevel

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> SuiteService:
    """
    Read the configuration and make the service; configuration errors end the process with 78.
    """
    arguments = config.Arguments(
        config=options.config, turn_config=options.turn_config, overrides=options.overrides
    )
    if options["check-config"]:
        raise SystemExit(config.check(arguments))
    loaded = config.load(arguments)
    if loaded.settings is None:
        for diagnostic in loaded.diagnostics:
            print(diagnostic, file=sys.stderr)
        refuse("not started, see above", exit_code(loaded.diagnostics))
    try:
        choose(os.environ)
    except DataPlaneUnavailable as error:
        refuse(str(error), EX_CONFIG)
    twistd = TwistdLogging.of(options.parent)
    log = Log(loaded.settings.name, twistd.adapt(loaded.settings.log))
    log_diagnostics(log, loaded.diagnostics)
    log.write(LogLevel.TRACE, LogEvent.REACTOR, f"Event loop: {suite_reactor.loop_name()}")
    reactor = _reactor()
    return SuiteService(
        loaded.settings,
        load=lambda: config.load(arguments),
        compose=build,
        log=log,
        clocks=Clocks(reactor, time.time),
        reactor=reactor,
        adapt_log=twistd.adapt,
        foreground=twistd.nodaemon,
        take_over_logging=not twistd.logger,
    )


def _reactor() -> SuiteReactor:
    from twisted.internet import reactor

    return cast(SuiteReactor, reactor)
