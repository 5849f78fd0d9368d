"""The suite as a whole, around units that do what the test says."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from twisted.application.service import Application
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase

from suite.clock import Clocks
from suite.composition import Composition, Parts, Standing, compose
from suite.diagnostics import Diagnostic, Level
from suite.log_observer import TwistedObserver
from suite.metrics import Metrics
from suite.service import SuiteService
from suite.settings import (
    LogLevel,
    LogSettings,
    StatusSettings,
    SuiteSettings,
    TcpListen,
    UdpListen,
)
from suite.web.lab import LabWeb
from tests.lab.fake import FakeLab
from tests.runtime.doubles import MemoryLog
from tests.runtime.test_supervisor import ScriptedUnit
from turn.five_tuple import Address
from turn.settings import TurnSettings


@dataclass
class Read:
    """What reading the configuration gave."""

    settings: SuiteSettings | None
    diagnostics: tuple[Diagnostic, ...] = ()


class ThreadlessReactor(MemoryReactorClock):
    """Does at once what others do in threads."""

    def getThreadPool(self) -> ThreadlessReactor:
        return self

    def callInThreadWithCallback(
        self, done: Callable[[bool, object], None], work: Callable[[], object]
    ) -> None:
        done(True, work())

    def callFromThread(self, work: Callable[..., object], *arguments: object) -> None:
        work(*arguments)


class ScriptedRelay:
    """A relay that remembers what it was told."""

    def __init__(self) -> None:
        self.settings: list[TurnSettings] = []
        self.refuses = False

    def reload(self, settings: TurnSettings) -> None:
        if self.refuses:
            raise ValueError("cannot")
        self.settings.append(settings)


class ScriptedCertificates:
    """Certificates that can be bad."""

    def __init__(self) -> None:
        self.reloads = 0
        self.bad = False

    def reload(self) -> None:
        if self.bad:
            raise ValueError("cert.pem: no certificate in it")
        self.reloads += 1

    def seconds_left(self) -> float:
        return 1.0


class SuiteServiceTests(SynchronousTestCase):
    """Start, reload and stop, without a socket, a thread or a signal."""

    def setUp(self) -> None:
        self.addCleanup(os.umask, os.umask(0o022))
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.handled: dict[int, object] = {}
        self.patch(signal, "signal", self.handled.__setitem__)
        self.reactor = ThreadlessReactor()
        self.log = MemoryLog()
        self.unit = ScriptedUnit()
        self.relay = ScriptedRelay()
        self.certificates = ScriptedCertificates()
        self.settings = SuiteSettings(
            state_directory=Path("/nowhere"), turn=TurnSettings(), stop_timeout=8.0
        )
        self.read = Read(self.settings)
        self.service = SuiteService(
            self.settings,
            load=lambda: self.read,
            compose=self.compose,
            log=self.log,
            clocks=Clocks(self.reactor, lambda: 0.0),
            reactor=self.reactor,
        )
        self.guarded: list[float] = []
        self.service._guard.within = self.guarded.append

    def compose(self, service: SuiteService) -> Composition:
        return Composition([[self.unit]], [], self.relay, self.certificates, Standing())

    def start(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        for action, arguments, options in self.reactor.whenRunningHooks:
            action(*arguments, **options)

    def said(self, text: str) -> bool:
        """Whether some line of the log holds the text."""
        return any(text in line for line in self.log.lines)

    def test_it_announces_when_everything_had_its_try(self) -> None:
        """5060 and the table come after the first try of every unit, whatever came of it."""
        self.unit.on_start = Deferred
        self.start()
        self.assertFalse(self.said("05060"))
        self.reactor.advance(10)
        self.assertTrue(self.said("Std 05060 Application started"))
        self.assertIn("is running", self.log.shown[0])

    def test_no_table_among_json_lines(self) -> None:
        """Whoever reads JSON from standard output gets nothing else."""
        self.log.configure(LogSettings(json=True))
        self.start()
        self.assertEqual(self.log.shown, [])

    def test_files_are_for_us_alone(self) -> None:
        """The umask is 077 in the foreground as well."""
        self.start()
        self.assertEqual(os.umask(0o077), 0o077)

    def test_a_fault_before_the_start_is_told(self) -> None:
        """What raises while the units are made is logged, and the log is written at the end."""

        def compose(service: SuiteService) -> Composition:
            raise ValueError("no such realm")

        self.service._compose = compose
        self.assertRaises(ValueError, self.service.privilegedStartService)
        self.assertTrue(self.said("20112 Error in starting: ValueError: no such realm"))
        self.assertTrue(self.log.written_at_exit)

    def test_check_points(self) -> None:
        """Every configured number of hours there is a check point."""
        self.log.configure(LogSettings(check_point_hours=2))
        self.start()
        self.reactor.advance(7200)
        self.reactor.advance(7200)
        self.assertEqual(sum("Check point" in line for line in self.log.lines), 2)

    def test_check_points_follow_a_reload(self) -> None:
        """Another number of hours counts from the reload on, also where there were none."""
        self.log.configure(LogSettings(check_point_hours=0))
        self.start()
        for hours, expected in ((3, 1), (1, 4), (0, 4)):
            log = LogSettings(check_point_hours=hours)
            self.read = Read(replace(self.settings, log=log))
            self.service.reload()
            for _ in range(3):
                self.reactor.advance(3600)
            said = sum("Check point" in line for line in self.log.lines)
            self.assertEqual(said, expected)

    def test_python_logging_follows_a_reload(self) -> None:
        """Debug records of Python's logging come once the log takes them, and no longer."""
        self.addCleanup(logging.getLogger().setLevel, logging.getLogger().level)
        self.start()
        for level, expected in ((LogLevel.DEBUG, True), (LogLevel.TRACE, False)):
            self.read = Read(replace(self.settings, log=LogSettings(verbose=level)))
            self.service.reload()
            self.assertIs(logging.getLogger("aioice").isEnabledFor(logging.DEBUG), expected)

    def test_it_takes_over_twisteds_log(self) -> None:
        """twistd finds our observer at the application, so it makes none of its own."""
        application = Application("x")
        self.service.setServiceParent(application)
        self.assertIsInstance(application.getComponent(ILogObserver), TwistedObserver)

    def test_reload_applies_what_can_change(self) -> None:
        """New users reach the relay, new levels the log; what has to wait is named."""
        self.start()
        turn = TurnSettings(user_quota=5, min_port=50000)
        log = LogSettings(verbose=LogLevel.STANDARD)
        self.read = Read(replace(self.settings, turn=turn, log=log))
        self.service.reload()
        self.assertEqual(self.relay.settings, [TurnSettings(user_quota=5)])
        self.assertEqual(self.log.settings, log)
        self.assertEqual(self.log.reopened, 1)
        self.assertEqual(self.certificates.reloads, 1)
        self.assertTrue(self.said("Changed at the next start only: turn.min_port"))

    def test_a_reload_with_errors_changes_nothing(self) -> None:
        """Errors are logged, each in its line, and the running configuration stays."""
        self.start()
        fault = Diagnostic("x.conf", 3, Level.ERROR, "min-port", "abc", "not a number")
        self.read = Read(None, (fault,))
        self.service.reload()
        self.assertIs(self.service.settings, self.settings)
        self.assertEqual(self.relay.settings, [])
        self.assertTrue(self.said("Std 20006 x.conf:3: error"))
        self.assertTrue(self.said("20108"))

    def test_a_relay_that_refuses_keeps_everything(self) -> None:
        """If the relay refuses its part, the log's part is not applied either."""
        self.start()
        self.relay.refuses = True
        turn = TurnSettings(user_quota=5)
        log = LogSettings(verbose=LogLevel.STANDARD)
        self.read = Read(replace(self.settings, turn=turn, log=log))
        self.service.reload()
        self.assertIs(self.service.settings, self.settings)
        self.assertNotEqual(self.log.settings, log)
        self.assertTrue(self.said("the old one stays: ValueError: cannot"))

    def test_a_load_that_raises_is_our_fault(self) -> None:
        """An unexpected error in reading is one record, and the next reload works."""
        self.start()
        self.read = None
        self.service.reload()
        self.read = Read(self.settings)
        self.service.reload()
        self.assertTrue(self.said("20112 Error in reading the configuration again"))
        self.assertTrue(self.said("nothing has changed"))

    def test_bad_certificates_leave_the_old_ones(self) -> None:
        """SIGUSR2 with a bad file says so once, and nothing else happens."""
        self.start()
        self.certificates.bad = True
        self.service.reload_certificates()
        self.assertTrue(self.said("20116 The old certificate stays: cert.pem"))

    def test_stop(self) -> None:
        """Units are stopped and the end is guarded."""
        self.start()
        stopped = self.service.stopService()
        self.successResultOf(stopped)
        self.assertEqual(self.unit.calls, ["start", "stop"])
        self.assertTrue(self.said("20106 Application stopped"))
        self.assertLess(self.guarded[0], 10)

    def test_signals_are_handled_from_the_start(self) -> None:
        """No signal meets a default action that would end the process."""
        self.start()
        wanted = {"SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"}
        self.assertEqual({signal.Signals(number).name for number in self.handled}, wanted)

    def test_a_second_signal_does_not_wait(self) -> None:
        """While a unit hangs in its stop, a second SIGTERM ends the wait."""
        self.unit.on_stop = Deferred
        self.start()
        stopped = self.service.stopService()
        self.service._signal_received(signal.SIGTERM)
        self.service._signal_received(signal.SIGTERM)
        self.service._stop_requested()
        self.successResultOf(stopped)
        self.assertLessEqual(self.guarded[-1], 1)
        self.reactor.advance(8)


class ScriptedPlane:
    """A data plane without sockets."""

    kind = "scripted"

    def __init__(self) -> None:
        self.listening: dict[int, Address] = {}

    def listen(self, address: Address) -> int:
        if address[1] == 1:
            raise PermissionError(13, "Permission denied")
        self.listening[len(self.listening)] = address
        return len(self.listening) - 1

    def listening_on(self, handle: int) -> Address:
        return self.listening[handle]

    def stop_listening(self, handle: int) -> None:
        del self.listening[handle]

    def shut_down(self) -> None:
        self.listening.clear()


class ScriptedStream:
    """A TCP listener without a socket."""

    def __init__(self, listen: TcpListen) -> None:
        self.address = listen.address

    def start(self) -> None:
        """Open."""

    def stop(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def disconnect(self) -> None:
        """Nobody is connected."""


class ComposeTests(SynchronousTestCase):
    """Which units settings make."""

    def compose(self, settings: SuiteSettings, parts: Parts) -> Composition:
        self.reactor = MemoryReactorClock()
        clocks = Clocks(self.reactor, lambda: 0.0)
        return compose(settings, parts, Metrics(), MemoryLog(), clocks, self.reactor)

    def test_nothing_but_the_process(self) -> None:
        """With every part switched off there is a log, a watch and nothing that listens."""
        composition = self.compose(SuiteSettings(state_directory=Path("/nowhere")), Parts())
        names = [unit.name for stage in composition.stages for unit in stage]
        self.assertEqual(names, ["log", "reactor"])

    def test_everything(self) -> None:
        """Each address is a unit of its own, after what it rests on."""
        settings = SuiteSettings(
            state_directory=Path("/nowhere"),
            turn=TurnSettings(),
            udp=(UdpListen(address=("127.0.0.1", 3478)), UdpListen(address=("127.0.0.1", 1))),
            tcp=(TcpListen(address=("127.0.0.1", 443), web=True),),
            status=StatusSettings(),
        )
        parts = Parts(plane=ScriptedPlane(), relay=ScriptedRelay(), stream=ScriptedStream)
        composition = self.compose(settings, parts)
        names = [[unit.name for unit in stage] for stage in composition.stages]
        self.assertEqual(
            names,
            [
                ["log", "reactor", "status 127.0.0.1:9641"],
                ["data plane"],
                ["turn"],
                ["udp 127.0.0.1:3478", "udp 127.0.0.1:1", "tcp 127.0.0.1:443"],
            ],
        )

    def test_lab(self) -> None:
        """Where there is a lab, the status port has its addresses, and the start text is told."""
        settings = SuiteSettings(state_directory=Path("/nowhere"), status=StatusSettings())
        for lab in (None, LabWeb(FakeLab())):
            composition = self.compose(settings, Parts(lab=lab))
            self.assertEqual(composition.has_lab, lab is not None)
            composition.stages[0][-1].start()
            *_, site = self.reactor.tcpServers[0][:2]
            self.assertEqual(b"api" in site.resource.children, lab is not None)
