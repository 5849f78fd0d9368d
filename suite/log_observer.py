"""
What Twisted, Python's ``logging`` and ``warnings`` say, in the suite's log.

A fault of ours is one record with its exception and where it was raised, so that nobody has to
put a traceback together from twenty lines; a fault of twenty lines a second stays twenty records.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from types import TracebackType

from twisted.logger import ILogObserver, formatEvent
from twisted.logger import LogEvent as TwistedEvent
from twisted.logger import LogLevel as TwistedLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from suite.log_records import LogEvent, Word
from suite.logs import Log
from suite.settings import LogLevel

_FRAMES = 12
# What Twisted says in a class of ours that is one of its own, has our name.
_OF_TWISTED = ("twisted.", "log_legacy", "suite.web.connections.PageChannel")


@implementer(ILogObserver)
class TwistedObserver:
    """Takes every event of ``twisted.logger``. twistd installs it as the application's."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __call__(self, event: TwistedEvent) -> None:
        namespace = str(event.get("log_namespace") or "")
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            self._log.standard(
                LogEvent.UNEXPECTED_ERROR,
                f"{formatEvent(event) or 'Unexpected error'}: {describe(failure)}",
                namespace=Word(namespace),
            )
            return
        level = _level(event.get("log_level"), namespace)
        if not self._log.enabled(level):
            return
        text = formatEvent(event)
        if text:
            number = LogEvent.WARNING if level is LogLevel.STANDARD else LogEvent.MESSAGE
            self._log.write(level, number, text, namespace=Word(namespace))


class PythonHandler(logging.Handler):
    """Takes every record of Python's ``logging``: asyncio, aioice and others speak there."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on."""
        level = LogLevel.STANDARD if record.levelno >= logging.WARNING else LogLevel.DEBUG
        if not self._log.enabled(level):
            return
        text, event = record.getMessage(), LogEvent.MESSAGE
        if level is LogLevel.STANDARD:
            event = LogEvent.WARNING
        if record.exc_info and record.exc_info[1]:
            text = f"{text}: {describe_exception(record.exc_info[1], record.exc_info[2])}"
            event = LogEvent.UNEXPECTED_ERROR
        self._log.write(level, event, text, namespace=Word(record.name))


def capture_python_logging(log: Log) -> logging.Handler:
    """Send ``logging`` to the suite's log; warnings come through Twisted already."""
    handler = PythonHandler(log)
    logging.getLogger().addHandler(handler)
    follow_log_level(log)
    return handler


def follow_log_level(log: Log) -> None:
    """Let ``logging`` make no record of a level that the suite's log does not write."""
    detailed = log.enabled(LogLevel.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG if detailed else logging.INFO)
    # It tells of every step of every check of every pair, and calls that information.
    logging.getLogger("aioice").setLevel(logging.DEBUG if detailed else logging.WARNING)


def describe(failure: Failure) -> str:
    """A failure in one line: type, message, and the innermost frames, the raising one first."""
    value = failure.value
    frames = traceback.extract_tb(failure.getTracebackObject())
    if not frames:
        return _one_line(
            value, [f"{name}:{line} {where}" for where, name, line, *_ in failure.frames]
        )
    return _one_line(value, _places(frames))


def describe_exception(error: BaseException, trace: TracebackType | None) -> str:
    """An exception in one line, like ``describe``."""
    return _one_line(error, _places(traceback.extract_tb(trace)))


def _places(frames: Sequence[traceback.FrameSummary]) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _one_line(error: object, places: Sequence[str]) -> str:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    cause = getattr(error, "__cause__", None)
    if cause is not None:
        said += f" (because of {type(cause).__name__}: {cause})"
    innermost = list(reversed(places))[:_FRAMES]
    return f"{said}; raised at {' < '.join(innermost)}" if innermost else said


def _level(level: object, namespace: str) -> LogLevel:
    if level in (TwistedLevel.warn, TwistedLevel.error, TwistedLevel.critical):
        return LogLevel.STANDARD
    if level is TwistedLevel.debug or namespace.startswith(_OF_TWISTED):
        # Twisted tells at info that a factory starts and that a port is open; we tell it better.
        # That a browser's connection was quiet for a while is no news at all.
        return LogLevel.DEBUG
    return LogLevel.TRACE
