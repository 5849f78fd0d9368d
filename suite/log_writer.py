"""
The writing side of the log: a bounded queue, the outputs, and what happens when one fails.

Calls never wait for a disk. When records come faster than they can be written, the most detailed
go first; a full disk costs records, counted and reported, and at most one complaint a minute.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

from suite.log_files import (
    FileOutput,
    MemoryOutput,
    Output,
    StreamOutput,
    SyslogOutput,
    write_all,
)
from suite.log_records import RANK, Layout, LogEvent, Record
from suite.settings import LogLevel, LogSettings

QUEUE_RECORDS = 8192
COMPLAINT_SECONDS = 60.0
RETRY_SECONDS = 5.0
GATHER_SECONDS = 0.05
"""How long the first record of a batch waits for others."""

# How full the queue may be for a record of each level to be taken.
_ROOM = {
    LogLevel.DEBUG: QUEUE_RECORDS // 2,
    LogLevel.TRACE: QUEUE_RECORDS * 3 // 4,
    LogLevel.INTERACTION: QUEUE_RECORDS * 7 // 8,
    LogLevel.STANDARD: QUEUE_RECORDS,
}

Command = Callable[["LogWriter"], None]
"""Something for the writer to do between two records; never dropped."""


class RecordQueue:
    """Between everybody who logs and the one thread that writes. The lock is held for no I/O."""

    def __init__(self) -> None:
        self._items: deque[Record | Command] = deque()
        self._commands = 0
        self._dropped: Counter[LogLevel] = Counter()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._hurry = threading.Condition(lock)
        """Told when the writer may gather no longer."""
        self.total_dropped = 0

    def put(self, record: Record) -> None:
        """Take a record, or count it as dropped."""
        with self._changed:
            if len(self._items) < _ROOM[record.level]:
                self._items.append(record)
                if len(self._items) == 1:
                    self._changed.notify()
            else:
                self._dropped[record.level] += 1
                self.total_dropped += 1

    def command(self, command: Command) -> None:
        """Let the writer do something after all records put so far."""
        with self._changed:
            self._items.append(command)
            self._commands += 1
            self._changed.notify()
            self._hurry.notify()

    def take(self, timeout: float = 0) -> tuple[list[Record | Command], Counter[LogLevel]]:
        """
        All there is, and what was dropped since; waits ``timeout`` seconds for the first.

        What comes right after it is gathered, unless there is a command: to wake up for a record
        costs more than to write it, and the reactor stands still meanwhile.
        """
        with self._changed:
            if timeout and not self._items:
                self._changed.wait(timeout)
            if timeout and self._items and not self._commands:
                self._hurry.wait(GATHER_SECONDS)
            self._commands = 0
            items, self._items = self._items, deque()
            dropped, self._dropped = self._dropped, Counter()
        return list(items), dropped


class Sink:
    """One output, the level that it takes, and whether it works at present."""

    def __init__(self, target: str, level: LogLevel, output: Output) -> None:
        self.target = target
        self.level = level
        self.output = output
        self.fault = ""
        """Why the last write failed; empty while all is well."""
        self.paused_until = 0.0


class LogWriter:
    """Writes what the queue gives. Everything here runs in one thread, whichever that is."""

    def __init__(
        self,
        name: str,
        settings: LogSettings,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        complain: Callable[[str], object] | None = None,
    ) -> None:
        """``complain`` takes a line about a failing output; None: standard error."""
        self._name = name
        self._say = complain or _to_standard_error
        self._wall = wall
        self._monotonic = monotonic
        self._complained = -COMPLAINT_SECONDS
        self._sinks: list[Sink] = []
        self.lost = 0
        """Records that some output did not take."""
        self.configure(settings)

    @property
    def faults(self) -> list[str]:
        """One sentence for each output that does not work at present."""
        return [f"{sink.target}: {sink.fault}" for sink in tuple(self._sinks) if sink.fault]

    def configure(self, settings: LogSettings) -> None:
        """Write by these settings from now on."""
        self.close()
        self._settings = settings
        self._layout = layout_of(self._name, settings)
        widest: dict[str, LogLevel] = {}
        for output in settings.outputs:
            known = widest.get(output.target, output.level)
            widest[output.target] = max(known, output.level, key=RANK.__getitem__)
        self._sinks = [Sink(t, level, self._output(t)) for t, level in widest.items()]

    def perform(self, items: Iterable[Record | Command], dropped: Counter[LogLevel]) -> None:
        """Write records and do commands, in order."""
        batch: list[Record] = []
        for item in items:
            if isinstance(item, Record):
                batch.append(item)
                continue
            self._write(batch)
            batch = []
            item(self)
        if dropped:
            batch.append(self._about_dropped(dropped))
        self._write(batch)

    def console(self, text: str) -> None:
        """Show a text that is no record on standard output."""
        self._guarded(lambda: write_all(1, text.encode("utf-8", "backslashreplace")), "stdout")

    def reopen(self) -> None:
        """Open every file by its name again."""
        for sink in self._sinks:
            self._guarded(sink.output.reopen, sink.target)
            sink.paused_until = 0.0

    def close(self) -> None:
        """Finish all outputs."""
        for sink in self._sinks:
            self._guarded(sink.output.close, sink.target)

    def _write(self, batch: list[Record]) -> None:
        verbose = self._settings.verbose
        if not batch or verbose is None:
            return
        for sink in self._sinks:
            limit = min(RANK[verbose], RANK[sink.level])
            records = [record for record in batch if RANK[record.level] <= limit]
            if records:
                self._write_to(sink, records)

    def _write_to(self, sink: Sink, records: list[Record]) -> None:
        if self._monotonic() < sink.paused_until:
            self.lost += len(records)
            return
        try:
            sink.output.write(records, self._wall())
        except OSError as error:
            self.lost += len(records)
            sink.fault = error.strerror or str(error)
            sink.paused_until = self._monotonic() + RETRY_SECONDS
            self._complain(f"log output {sink.target}: {sink.fault}; records are lost")
        else:
            if sink.fault:
                sink.fault = ""
                self._complain(f"log output {sink.target} works again")

    def _guarded(self, action: Callable[[], None], target: str) -> None:
        try:
            action()
        except OSError as error:
            self._complain(f"log output {target}: {error.strerror or error}")

    def _complain(self, sentence: str) -> None:
        now = self._monotonic()
        if now - self._complained < COMPLAINT_SECONDS:
            return
        self._complained = now
        try:
            self._say(f"{self._name}: {sentence} ({self.lost} lost so far)\n")
        except OSError:
            # Standard error is gone as well; the loss stays visible as a metric.
            self.lost += 1

    def _about_dropped(self, dropped: Counter[LogLevel]) -> Record:
        each = ", ".join(f"{count} {level.value}" for level, count in dropped.items())
        text = f"The log could not keep up; records dropped: {each}"
        return Record(self._wall(), LogLevel.STANDARD, LogEvent.RECORDS_DROPPED, text)

    def _output(self, target: str) -> Output:
        match target:
            case "stdout":
                return StreamOutput(1, self._layout)
            case "stderr":
                return StreamOutput(2, self._layout)
            case "syslog":
                return SyslogOutput(self._layout)
            case "memory":
                return MemoryOutput(self._settings.memory_file, self._layout)
        return FileOutput(Path(target), self._settings, self._layout)


def _to_standard_error(line: str) -> None:
    os.write(2, line.encode("utf-8", "backslashreplace"))


def layout_of(name: str, settings: LogSettings) -> Layout:
    """How these settings want a line to look on this machine."""
    return Layout(
        name=name,
        host=socket.gethostname(),
        json=settings.json,
        full_headers=settings.full_headers,
        time_format=settings.time_format,
        utc=settings.utc,
    )


def last_resort(records: Iterable[Record], layout: Layout) -> None:
    """Write records to standard error: the process ends before its log was opened."""
    for record in records:
        print(layout.line(record), file=sys.__stderr__)
