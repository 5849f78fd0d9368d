"""Twisted's and Python's own logs in ours."""

from __future__ import annotations

import logging

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from suite import settings
from suite.log_observer import PythonHandler, TwistedObserver, describe
from tests.runtime.doubles import MemoryLog


def fail() -> None:
    """Raise, with a line break in the message."""
    raise ValueError("bad\nthing")


class TwistedObserverTests(SynchronousTestCase):
    """Events of twisted.logger."""

    def setUp(self) -> None:
        self.log = MemoryLog()
        self.observe = TwistedObserver(self.log)

    def test_a_fault_is_one_record(self) -> None:
        """An exception is one standard line with its type, message and place."""
        logger = Logger(namespace="turn", observer=self.observe)
        try:
            fail()
        except ValueError:
            logger.failure("while relaying")
        (line,) = self.log.lines
        self.assertTrue(line.startswith(r"Std 20112 while relaying: ValueError: bad\nthing; "))
        self.assertIn("test_log_observer.py", line)
        self.assertIn("fail < ", line)
        self.assertTrue(line.endswith("namespace=turn"))

    def test_levels(self) -> None:
        """Warnings are standard, our news are trace, Twisted's chatter is debug."""
        for namespace in ("turn", "twisted.internet", "suite.web.connections.PageChannel"):
            logger = Logger(namespace=namespace, observer=self.observe)
            for level in (LogLevel.debug, LogLevel.info, LogLevel.warn):
                logger.emit(level, "x")
        levels = [record.level for record in self.log.records]
        debug, trace = settings.LogLevel.DEBUG, settings.LogLevel.TRACE
        standard = settings.LogLevel.STANDARD
        self.assertEqual(levels, [debug, trace, standard, *[debug, debug, standard] * 2])

    def test_a_failure_without_traceback(self) -> None:
        """A failure that was never raised is described all the same."""
        self.assertEqual(describe(Failure(KeyError("k"))), "KeyError: 'k'")


class PythonHandlerTests(SynchronousTestCase):
    """Records of logging."""

    def test_exceptions_and_levels(self) -> None:
        """An exception is one record; information is for whoever debugs."""
        log = MemoryLog()
        logger = logging.Logger("aioice")
        logger.addHandler(PythonHandler(log))
        logger.info("checking %s", "pair")
        try:
            fail()
        except ValueError:
            logger.exception("lost")
        self.assertEqual(log.lines[0], "Dbg 20114 checking pair namespace=aioice")
        self.assertTrue(log.lines[1].startswith(r"Std 20112 lost: ValueError: bad\nthing; raised"))
