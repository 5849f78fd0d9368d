"""Stand-ins that the tests of the runtime share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.log_records import Layout, LogEvent, Record, Value
from suite.logs import Log
from suite.settings import LogLevel, LogSettings


def folder(test: SynchronousTestCase) -> Path:
    """An empty folder that goes with the test, under pytest as under trial."""
    path = Path(tempfile.mkdtemp(prefix="runtime-test-"))
    test.addCleanup(shutil.rmtree, path)
    return path


class MemoryLog(Log):
    """A log that keeps its lines."""

    def __init__(self, verbose: LogLevel | None = LogLevel.DEBUG) -> None:
        super().__init__("suite", LogSettings(verbose=verbose), wall=lambda: 0.0)
        self.records: list[Record] = []
        self.shown: list[str] = []
        self.reopened = 0
        self.written_at_exit = False

    def write(self, level: LogLevel, event: LogEvent, text: str, **fields: Value) -> None:
        if self.enabled(level):
            self.records.append(Record(0.0, level, event, text, tuple(fields.items())))

    def console(self, text: str) -> None:
        self.shown.append(text)

    def configure(self, settings: LogSettings) -> None:
        self._settings = settings

    def reopen(self) -> None:
        self.reopened += 1

    def start(self) -> None:
        """No thread."""

    def close_at_exit(self) -> None:
        """The process goes on."""
        self.written_at_exit = True

    @property
    def lines(self) -> list[str]:
        """All records as lines, without their time."""
        return [Layout(utc=True).line(record).partition(" ")[2] for record in self.records]
