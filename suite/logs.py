"""
The log of the suite: what other parts call, and the thread that writes.

``Log.write`` puts a record into a queue and returns. Files are opened by the thread, which starts
late: after twistd has become a daemon (threads do not survive a fork) and has shed its privileges
(the files belong to the user that will rotate them). Until then the queue keeps the records.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable

from suite.log_records import RANK, LogEvent, Record, Value
from suite.log_writer import LogWriter, RecordQueue, last_resort, layout_of
from suite.settings import LogLevel, LogSettings

_IDLE_SECONDS = 1.0


class Log:
    """One for the process. Any thread may write to it."""

    def __init__(
        self,
        name: str,
        settings: LogSettings,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._settings = settings
        self._wall = wall
        self._monotonic = monotonic
        self._queue = RecordQueue()
        self._writer: LogWriter | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self.unexpected_errors = 0
        """Faults of our own that were logged."""

    @property
    def settings(self) -> LogSettings:
        """What it writes by at present."""
        return self._settings

    @property
    def dropped(self) -> int:
        """Records that never reached an output."""
        lost = self._writer.lost if self._writer else 0
        return self._queue.total_dropped + lost

    @property
    def faults(self) -> list[str]:
        """One sentence for each output that does not work at present."""
        return self._writer.faults if self._writer else []

    def enabled(self, level: LogLevel) -> bool:
        """Whether records of this level are written; ask before making an expensive one."""
        verbose = self._settings.verbose
        return verbose is not None and RANK[level] <= RANK[verbose]

    def write(self, level: LogLevel, event: LogEvent, text: str, **fields: Value) -> None:
        """Log one record. Fields are written as ``key=value`` and escaped."""
        if event is LogEvent.UNEXPECTED_ERROR:
            self.unexpected_errors += 1
        if self.enabled(level):
            self._queue.put(Record(self._wall(), level, event, text, tuple(fields.items())))

    def standard(self, event: LogEvent, text: str, **fields: Value) -> None:
        """Log a record of the rarest level."""
        self.write(LogLevel.STANDARD, event, text, **fields)

    def console(self, text: str) -> None:
        """Show a text that is no record on standard output, after all records so far."""
        self._queue.command(lambda writer: writer.console(text))

    def configure(self, settings: LogSettings) -> None:
        """Write by these settings from now on."""
        self._settings = settings
        self._queue.command(lambda writer: writer.configure(settings))

    def reopen(self) -> None:
        """Open every file by its name again, for who has moved them away."""
        self._queue.command(LogWriter.reopen)

    def start(self) -> None:
        """Open the outputs and write what has been logged so far and will be."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Write what is left; False if that took longer than ``timeout`` and was abandoned."""
        if self._thread is None:
            self._write_without_thread()
            return True
        self._ending.set()
        self._queue.command(LogWriter.close)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close_at_exit(self) -> None:
        """Write what is left when the interpreter ends, however that comes about."""
        atexit.register(self.close, 1.0)

    def _run(self) -> None:
        writer = LogWriter(self._name, self._settings, wall=self._wall, monotonic=self._monotonic)
        self._writer = writer
        while True:
            writer.perform(*self._queue.take(_IDLE_SECONDS))
            if self._ending.is_set():
                # Once more: something may have come between the last take and the end.
                writer.perform(*self._queue.take())
                return

    def _write_without_thread(self) -> None:
        items, _ = self._queue.take()
        records = [item for item in items if isinstance(item, Record)]
        last_resort(records, layout_of(self._name, self._settings))
