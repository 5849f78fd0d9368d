"""
Where log lines end up: a stream, a file in segments, the memory snapshot, syslog.

All of this runs in the log's own thread and may block there. Every ``write`` either takes all its
records or raises OSError; what then happens (a complaint, a pause, another try) is ``suite.logs``'
business.
"""

from __future__ import annotations

import os
import re
import syslog
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from suite.log_records import Layout, Record, message
from suite.settings import LogLevel, LogSettings

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o640
_STAMP = r"\.\d{8}_\d{6}_\d{3}(_\d+)?"
_DAY = 86_400.0

MEMORY_RECORDS = 10_000
SNAPSHOT_SECONDS = 10.0


class Output(Protocol):
    """Takes records in the log's thread."""

    def write(self, records: Sequence[Record], now: float) -> None:
        """Write them all, in order; ``now`` is the wall clock. Raises OSError."""

    def reopen(self) -> None:
        """Let go of files, so that the next write opens them by name again."""

    def close(self) -> None:
        """Finish. Raises OSError where something could not be written."""


class StreamOutput:
    """Standard output or standard error, by descriptor."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self._descriptor = descriptor
        self._layout = layout

    def write(self, records: Sequence[Record], now: float) -> None:
        write_all(self._descriptor, _lines(records, self._layout))

    def reopen(self) -> None:
        """Nothing to do: a stream has no name."""

    def close(self) -> None:
        """Nothing to do: the descriptor is the process's."""


class SyslogOutput:
    """The machine's syslog. It stamps records itself, so they go without their time."""

    _PRIORITY = {LogLevel.STANDARD: syslog.LOG_NOTICE, LogLevel.DEBUG: syslog.LOG_DEBUG}

    def __init__(self, layout: Layout) -> None:
        syslog.openlog(layout.name, syslog.LOG_PID, syslog.LOG_DAEMON)

    def write(self, records: Sequence[Record], now: float) -> None:
        for record in records:
            priority = self._PRIORITY.get(record.level, syslog.LOG_INFO)
            syslog.syslog(priority, f"{record.event:05} {message(record)}")

    def reopen(self) -> None:
        """Nothing to do: the C library finds the socket again."""

    def close(self) -> None:
        syslog.closelog()


class FileOutput:
    """
    A file in segments. The live one keeps its name; full ones are renamed with the moment.

    A file that was deleted or moved away is made anew within a second. Created 0640 whatever the
    umask; a symbolic link in the file's place is refused.
    """

    def __init__(self, path: Path, settings: LogSettings, layout: Layout) -> None:
        self._path = path
        self._settings = settings
        self._layout = layout
        self._descriptor = -1
        self._identity = (0, 0)
        self._size = 0
        self._opened = 0.0
        self._looked = 0.0
        self._torn = False

    def write(self, records: Sequence[Record], now: float) -> None:
        self._follow_name(now)
        data = _lines(records, self._layout)
        if self._is_full(len(data), now):
            self._next_segment(now)
        if self._descriptor < 0:
            self._open(now)
        self._append(data)

    def reopen(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def close(self) -> None:
        self.reopen()

    def _append(self, data: bytes) -> None:
        # A write that failed half-way (full disk) has left half a line: start on a new one.
        start = b"\n" if self._torn else b""
        self._torn = True
        write_all(self._descriptor, start + data)
        self._torn = False
        self._size += len(start) + len(data)

    def _follow_name(self, now: float) -> None:
        if self._descriptor < 0 or abs(now - self._looked) < 1:
            return
        self._looked = now
        try:
            status = self._path.lstat()
        except FileNotFoundError:
            self.reopen()
            return
        if (status.st_dev, status.st_ino) != self._identity:
            self.reopen()

    def _open(self, now: float) -> None:
        try:
            self._descriptor = os.open(self._path, _CREATE, _MODE)
            os.fchmod(self._descriptor, _MODE)
        except FileExistsError:
            self._descriptor = os.open(self._path, _APPEND)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size
        self._opened = self._looked = now
        heading = self._layout.heading(now)
        if heading and not self._size:
            self._append(heading.encode() + b"\n")

    def _is_full(self, more: int, now: float) -> bool:
        if self._descriptor < 0 or not self._size:
            return False
        limit, seconds = self._settings.segment_bytes, self._settings.segment_seconds
        return bool(limit and self._size + more > limit) or bool(
            seconds and now - self._opened >= seconds
        )

    def _next_segment(self, now: float) -> None:
        self.reopen()
        # One layout of the stamp whatever the log's own, so that names sort by age.
        stamp = _file_stamp(now)
        target = self._path.with_name(f"{self._path.name}.{stamp}")
        number = 0
        while target.exists():
            number += 1
            target = self._path.with_name(f"{self._path.name}.{stamp}_{number}")
        self._path.rename(target)
        self._expire(now)

    def _expire(self, now: float) -> None:
        pattern = re.compile(re.escape(self._path.name) + _STAMP)
        old = sorted(p for p in self._path.parent.iterdir() if pattern.fullmatch(p.name))
        doomed: set[Path] = set()
        if self._settings.expire_files:
            # The live file counts, as the guide has it.
            doomed.update(old[: max(0, len(old) + 1 - self._settings.expire_files)])
        if self._settings.expire_days:
            oldest = now - self._settings.expire_days * _DAY
            doomed.update(p for p in old if p.lstat().st_mtime < oldest)
        for path in doomed:
            path.unlink(missing_ok=True)


class MemoryOutput:
    """The last records in memory, printed to a file now and then and at the end."""

    def __init__(self, path: Path | None, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._records: deque[Record] = deque(maxlen=MEMORY_RECORDS)
        self._printed = 0.0

    def write(self, records: Sequence[Record], now: float) -> None:
        self._records.extend(records)
        if abs(now - self._printed) >= SNAPSHOT_SECONDS:
            self._printed = now
            self._print()

    def reopen(self) -> None:
        """Nothing to do: each snapshot is a new file."""

    def close(self) -> None:
        self._print()

    def _print(self) -> None:
        if self._path is None:
            return
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, _CREATE, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            write_all(descriptor, _lines(tuple(self._records), self._layout))
        finally:
            os.close(descriptor)
        fresh.replace(self._path)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; raises OSError when the file or pipe takes no more."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _lines(records: Sequence[Record], layout: Layout) -> bytes:
    text = "".join(f"{layout.line(record)}\n" for record in records)
    return text.encode("utf-8", "backslashreplace")


def _file_stamp(now: float) -> str:
    return f"{time.strftime('%Y%m%d_%H%M%S', time.localtime(now))}_{int(now * 1000) % 1000:03}"
