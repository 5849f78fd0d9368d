"""
The suite as one Twisted service: composed when twistd starts it, supervised while it runs.

What happens around the units is here: privileges, signals, the log's take-over of Twisted's, the
announcement, a configuration that is read again, and an end that cannot hang.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorCore,
    IReactorFDSet,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from suite.announce import announcement
from suite.clock import Clocks
from suite.composition import Composition
from suite.datapath.choice import DataPlaneChoice, choose
from suite.diagnostics import Diagnostic, Level
from suite.limits import set_limits
from suite.log_observer import (
    TwistedObserver,
    capture_python_logging,
    describe,
    follow_log_level,
)
from suite.log_records import LogEvent
from suite.logs import Log
from suite.reactor import loop_under
from suite.reload import Change, plan
from suite.settings import LogLevel, LogSettings, SuiteSettings
from suite.signals import STOP_SIGNALS, ExitGuard, Signals
from suite.supervisor import Supervisor
from suite.unit_log import UnitLog

if TYPE_CHECKING:
    from suite.datapath.native_core import NativeCore

_UMASK = 0o077
_AFTER_STOP = 1.2
"""Seconds from the end of stop_timeout until the process ends whatever it is doing."""
_IMPATIENT = 0.8
"""The same from a second SIGTERM."""
_LAST_WORDS = 0.2
_COLLECTOR = (20_000, 20, 50)
"""New objects before the youngest are searched for cycles, and how often the older ones are."""


class SuiteReactor(
    IReactorCore, IReactorTime, IReactorThreads, IReactorTCP, IReactorUDP, IReactorFDSet
):
    """What the suite asks of its reactor."""


class Loaded(Protocol):
    """What reading the configuration gave."""

    @property
    def settings(self) -> SuiteSettings | None:
        """The settings; None if there was an error."""

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """What was found, each of it a sentence."""


def log_diagnostics(log: Log, diagnostics: Sequence[Diagnostic]) -> None:
    """Write what was found in the configuration; only faults have the guide's id of faults."""
    for diagnostic in diagnostics:
        event = LogEvent.OPTION_INVALID
        if diagnostic.level is Level.NOTICE:
            event = LogEvent.OPTION_REMARK
        log.standard(event, str(diagnostic))


class SuiteService(Service):
    """
    Everything. ``load`` reads the configuration again, ``compose`` makes the units.

    ``adapt_log`` changes log settings to what twistd's own options ask for. ``foreground`` says
    that somebody may be looking at standard output.
    """

    def __init__(
        self,
        settings: SuiteSettings,
        *,
        load: Callable[[], Loaded],
        compose: Callable[[SuiteService], Composition],
        log: Log,
        clocks: Clocks,
        reactor: SuiteReactor,
        adapt_log: Callable[[LogSettings], LogSettings] = lambda settings: settings,
        foreground: bool = True,
        take_over_logging: bool = True,
    ) -> None:
        self.setName("webrtc-suite")
        self.settings = settings
        self.log = log
        self.clocks = clocks
        self.reactor = reactor
        self._load = load
        self._compose = compose
        self._adapt_log = adapt_log
        self._foreground = foreground
        self._take_over_logging = take_over_logging
        self._guard = ExitGuard(self._last_words)
        self._composition: Composition | None = None
        self._supervisor: Supervisor | None = None
        self._reloading = False
        self._reload_again = False
        self._stop_signals = 0
        self._stop_asked = False
        self._check_point: IDelayedCall | None = None

    # What the data planes share

    @cached_property
    def data_plane(self) -> DataPlaneChoice:
        """Which data plane serves. Raises DataPlaneUnavailable."""
        return choose(os.environ)

    @cached_property
    def native_core(self) -> NativeCore | None:
        """The C core of all data planes of this process; None where Python moves the packets."""
        if not self.data_plane.is_native:
            return None
        from suite.datapath.native_core import NativeCore

        return NativeCore(self.reactor, self.clocks.monotonic.seconds, loop_under(self.reactor))

    # What twistd calls

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Also give the application our log observer, before twistd makes its own."""
        if isinstance(parent, Componentized) and self._take_over_logging:
            parent.setComponent(ILogObserver, TwistedObserver(self.log))
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Open what is to be opened, before twistd changes to another user."""
        os.umask(_UMASK)  # twistd sets it for daemons only
        set_limits()
        super().privilegedStartService()
        # From here on standard error leads into the log, so a fault must not leave it unwritten.
        self.log.close_at_exit()
        try:
            self._composition = self._compose(self)
        except Exception:
            self._failed(Failure(), "starting")
            raise
        self._supervisor = Supervisor(
            self._composition.stages,
            clock=self.clocks.monotonic,
            observer=UnitLog(self.log),
            jitter=lambda: random.uniform(0.75, 1.0),
        )
        self._composition.watched_by(self._supervisor)
        self._started = self._supervisor.start()

    def startService(self) -> None:
        """Let the log write, and tell when everything has had its first try."""
        super().startService()
        self.log.start()
        capture_python_logging(self.log)
        # Now, for a signal that comes early; and again, because Twisted installs its own when
        # the reactor begins to run.
        signals = self._signals()
        signals.install()
        self.reactor.callWhenRunning(signals.install)
        self.reactor.callWhenRunning(self._announce_when_started)

    def stopService(self) -> Deferred[None] | None:
        """Stop every unit within the configured time."""
        super().stopService()
        self._guard.within(self.settings.stop_timeout + _AFTER_STOP)
        if self._supervisor is None:
            return None
        self.log.standard(LogEvent.STOPPING, "Application is stopping")
        stopped = self._supervisor.stop(self.settings.stop_timeout)
        return stopped.addCallback(self._stopped)

    # Signals

    def _signals(self) -> Signals:
        actions: dict[int, Callable[[], None]] = {
            **dict.fromkeys(STOP_SIGNALS, self._stop_requested),
            signal.SIGHUP: self.reload,
            signal.SIGUSR1: self._drain_requested,
            signal.SIGUSR2: self.reload_certificates,
        }
        return Signals(actions, self.reactor, self._signal_received)

    def _signal_received(self, number: int) -> None:
        if number in STOP_SIGNALS:
            self._stop_signals += 1
            patient = self.settings.stop_timeout + _AFTER_STOP
            self._guard.within(patient if self._stop_signals == 1 else _IMPATIENT)

    def _stop_requested(self) -> None:
        if self._supervisor is not None and self._supervisor.draining:
            self._supervisor.abandon()
        elif self.reactor.running and not self._stop_asked:
            # Two signals may come at once: the reactor still runs, and takes only one stop.
            self._stop_asked = True
            self.reactor.stop()

    def _drain_requested(self) -> None:
        # Its default action would end the process; log rotation scripts send it.
        self.log.standard(LogEvent.SIGNAL, "SIGUSR1 has no meaning here and was ignored")

    def reload_certificates(self) -> None:
        """Read the certificate files again; the old ones stay if the new ones are bad."""
        composition = self._composition
        if composition is None or composition.certificates is None:
            return
        try:
            composition.certificates.reload()
        except Exception as error:
            self.log.standard(LogEvent.CERTIFICATE, f"The old certificate stays: {error}")
        else:
            self.log.write(LogLevel.TRACE, LogEvent.CERTIFICATE, "Certificate files read again")

    # Reading the configuration again

    def reload(self) -> None:
        """Open log files again, and apply what can be applied of a changed configuration."""
        self.log.reopen()
        if self._reloading:
            self._reload_again = True
            return
        self._reloading = True
        # A file may be on a disk that does not answer; the reactor does not wait for it.
        pool = self.reactor.getThreadPool()
        read: Deferred[Loaded] = deferToThreadPool(self.reactor, pool, self._load)
        done = read.addCallback(self._loaded)
        done.addErrback(self._failed, "reading the configuration again")
        done.addCallback(self._reloaded)

    def _loaded(self, loaded: Loaded) -> Deferred[None] | None:
        # Remarks were made at the start; a reload each minute need not repeat them.
        faults = [each for each in loaded.diagnostics if each.level is not Level.NOTICE]
        log_diagnostics(self.log, faults)
        if loaded.settings is None:
            self.log.standard(
                LogEvent.RELOAD_REFUSED,
                "The configuration has errors; nothing of it was applied",
            )
            return None
        change = plan(self.settings, loaded.settings)
        applied = maybeDeferred(self._apply, change)
        return applied.addErrback(self._refused)

    def _apply(self, change: Change) -> None:
        relay = self._composition.relay if self._composition else None
        turn = change.settings.turn
        if relay is not None and turn is not None and turn != self.settings.turn:
            relay.reload(turn)
        # From here on nothing can be refused any more.
        if change.settings.log != self.settings.log:
            self.log.configure(self._adapt_log(change.settings.log))
            follow_log_level(self.log)
            self._plan_check_point()
        self.settings = change.settings
        self.reload_certificates()
        what = ", ".join(change.applied) or "nothing has changed"
        self.log.standard(LogEvent.RELOADED, f"Configuration read again: {what}")
        if change.waiting:
            names = ", ".join(change.waiting)
            self.log.standard(LogEvent.RESTART_NEEDED, f"Changed at the next start only: {names}")

    def _refused(self, failure: Failure) -> None:
        self.log.standard(
            LogEvent.RELOAD_REFUSED,
            f"The configuration could not be applied, the old one stays: {describe(failure)}",
        )

    def _reloaded(self, _: object) -> None:
        self._reloading = False
        if self._reload_again:
            self._reload_again = False
            self.reload()

    # Start and end

    def _announce_when_started(self) -> None:
        self._started.addCallback(self._announce)
        self._started.addErrback(self._failed, "starting")

    def _announce(self, _: object) -> None:
        supervisor, composition = self._supervisor, self._composition
        if supervisor is None or composition is None or supervisor.draining:
            return
        opened = composition.opened(supervisor)
        for each in opened:
            state = each.fault or f"serves {each.serves}"
            address = f"{each.transport} {each.address[0]} port {each.address[1]}"
            self.log.write(LogLevel.TRACE, LogEvent.MESSAGE, f"{address}: {state}")
        self.log.standard(LogEvent.STARTED, "Application started")
        if self._foreground and not self.log.settings.json:
            host = socket.gethostname()
            text = announcement(self.settings, opened, host, lab=composition.has_lab)
            self.log.console(text)
        self._plan_check_point()
        # What was made so far lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()
        # Calls and allocations that are over leave no cycles: their memory is free at once. What
        # is left to find is rare, and each search goes through everything that is live.
        gc.set_threshold(*_COLLECTOR)

    def _plan_check_point(self) -> None:
        if self._check_point is not None and self._check_point.active():
            self._check_point.cancel()
        hours = self.log.settings.check_point_hours
        if hours and self.running:
            self._check_point = self.reactor.callLater(hours * 3600, self._check_point_due)

    def _check_point_due(self) -> None:
        self.log.standard(LogEvent.CHECK_POINT, "Check point")
        self._plan_check_point()

    def _failed(self, failure: Failure, doing: str) -> None:
        self.log.standard(LogEvent.UNEXPECTED_ERROR, f"Error in {doing}: {describe(failure)}")

    def _stopped(self, _: object) -> None:
        self.log.standard(LogEvent.STOPPED, "Application stopped")

    def _last_words(self) -> None:
        self.log.standard(LogEvent.STOP_ABANDONED, "The end was not waited for any longer")
        self.log.close(_LAST_WORDS)
