"""
What becomes of the units, as log records: a fault once with its cure, then only changes.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from suite.b2bua_unit import GatewayFault
from suite.log_observer import describe
from suite.log_records import LogEvent, Word
from suite.logs import Log
from suite.settings import LogLevel
from suite.unit import Unit
from suite.units import NotOpened


class UnitLog:
    """The supervisor's observer."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: dict[str, str] = {}
        self._cures: set[str] = set()

    def started(self, unit: Unit, tries: int) -> None:
        """Worth a standard record only when it had failed before."""
        level = LogLevel.STANDARD if tries > 1 else LogLevel.DEBUG
        self._said.pop(unit.name, None)
        self._log.write(level, LogEvent.UNIT_STARTED, f"{unit.name} runs", tries=tries)

    def failed(self, unit: Unit, failure: Failure, tries: int, delay: float) -> None:
        """Say why, once for each reason; the tries after it are for whoever debugs."""
        event, text = _sentence(unit, failure)
        level = LogLevel.DEBUG if self._said.get(unit.name) == text else LogLevel.STANDARD
        self._said[unit.name] = text
        self._log.write(level, event, text, tries=tries, next_try_in=Word(f"{delay:.1f}s"))
        self._say_cure(failure.value)

    def _say_cure(self, error: object) -> None:
        # Ten privileged ports have one cure.
        if not isinstance(error, NotOpened) or str(error) in self._cures:
            return
        if error.failure.remedy:
            self._cures.add(str(error))
            self._log.standard(LogEvent.LISTENER_NOT_OPENED, f"To allow it: {error.failure.remedy}")

    def stop_failed(self, unit: Unit, failure: Failure) -> None:
        """A stop that raised or hung."""
        self._log.standard(
            LogEvent.STOP_ABANDONED, f"{unit.name} did not stop: {describe(failure)}"
        )


def _sentence(unit: Unit, failure: Failure) -> tuple[LogEvent, str]:
    error = failure.value
    if not isinstance(error, NotOpened):
        return LogEvent.UNIT_FAILED, f"{unit.name} does not start: {describe(failure)}"
    if isinstance(error, GatewayFault):
        return error.event, f"{error.text}: {error}"
    text = f"{unit.name} cannot be opened: {error}"
    serves = str(getattr(unit, "serves", ""))
    if "http-port" in serves:
        guide = "Failed to start ROAP server. Check the [rsmp]:[http-port] parameter"
        return LogEvent.PAGES_NOT_SERVED, f"{guide}: {text}"
    pages = "pages" in serves
    return LogEvent.PAGES_NOT_SERVED if pages else LogEvent.LISTENER_NOT_OPENED, text
