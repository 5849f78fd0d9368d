"""The queue gives way in order, and a failing disk costs records, never calls."""

from __future__ import annotations

import os
import stat
from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from suite.log_files import SNAPSHOT_SECONDS, FileOutput, MemoryOutput
from suite.log_records import Layout, LogEvent, Record
from suite.log_writer import (
    COMPLAINT_SECONDS,
    GATHER_SECONDS,
    QUEUE_RECORDS,
    RETRY_SECONDS,
    LogWriter,
    RecordQueue,
)
from suite.settings import LogLevel, LogOutput, LogSettings
from tests.runtime.doubles import folder


def record(text: str, level: LogLevel = LogLevel.STANDARD) -> Record:
    """A record at the epoch."""
    return Record(0.0, level, LogEvent.MESSAGE, text)


class RecordQueueTests(SynchronousTestCase):
    """What is dropped when nobody writes."""

    def test_debug_goes_first(self) -> None:
        """A flood of debug records leaves room for standard ones, and is counted."""
        queue = RecordQueue()
        for _ in range(QUEUE_RECORDS):
            queue.put(record("noise", LogLevel.DEBUG))
        queue.put(record("news"))
        items, dropped = queue.take()
        self.assertEqual(items[-1], record("news"))
        self.assertEqual(dropped, Counter({LogLevel.DEBUG: QUEUE_RECORDS // 2}))
        self.assertEqual(queue.total_dropped, QUEUE_RECORDS // 2)

    def test_it_is_bounded(self) -> None:
        """Not even standard records make it grow without end."""
        queue = RecordQueue()
        for _ in range(QUEUE_RECORDS + 10):
            queue.put(record("news"))
        items, dropped = queue.take()
        self.assertEqual(len(items), QUEUE_RECORDS)
        self.assertEqual(dropped[LogLevel.STANDARD], 10)

    def test_many_records_wake_the_writer_once(self) -> None:
        """Only the first record of a batch wakes it up, and only a command cuts its wait short."""
        queue = RecordQueue()
        told: list[str] = []
        self.patch(queue._changed, "notify", lambda: told.append("changed"))
        self.patch(queue._hurry, "notify", lambda: told.append("hurry"))
        self.patch(queue._hurry, "wait", lambda timeout: told.append(f"gathers {timeout}"))
        for _ in range(3):
            queue.put(record("news"))
        self.assertEqual(told, ["changed"])
        self.assertEqual(len(queue.take(1.0)[0]), 3)
        self.assertEqual(told[1:], [f"gathers {GATHER_SECONDS}"])
        queue.put(record("news"))
        queue.command(LogWriter.reopen)
        self.assertEqual(told[2:], ["changed", "changed", "hurry"])
        self.assertEqual(len(queue.take(1.0)[0]), 2)
        self.assertEqual(told[5:], [])


class FileOutputTests(SynchronousTestCase):
    """Files: rights, segments, expiry, and files that go away."""

    def setUp(self) -> None:
        self.path = folder(self)
        self.file = self.path / "log"

    def output(self, **settings: int) -> FileOutput:
        return FileOutput(self.file, LogSettings(**settings), Layout(json=True))

    def test_created_for_owner_and_group(self) -> None:
        """A new file is 0640 whatever the umask says."""
        old = os.umask(0o077)
        self.addCleanup(os.umask, old)
        output = self.output()
        output.write([record("x")], 1.0)
        output.close()
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o640)

    def test_a_symbolic_link_is_refused(self) -> None:
        """A link planted in the file's place is not followed."""
        self.file.symlink_to(self.path / "elsewhere")
        self.assertRaises(OSError, self.output().write, [record("x")], 1.0)
        self.assertFalse((self.path / "elsewhere").exists())

    def test_segments_and_expiry_by_number(self) -> None:
        """Full segments are renamed; no more than the configured number of files stay."""
        output = self.output(segment_bytes=200, expire_files=3)
        for second in range(10):
            output.write([record("x" * 100)], float(second))
        output.close()
        names = sorted(p.name for p in self.path.iterdir())
        self.assertEqual(len(names), 3)
        self.assertEqual(names[0], "log")
        self.assertEqual(len(self.file.read_text().splitlines()), 1)

    def test_segments_by_time(self) -> None:
        """A segment ends after its hours, even if it is small."""
        output = self.output(segment_seconds=3600)
        output.write([record("before")], 0.0)
        output.write([record("after")], 3600.0)
        output.close()
        self.assertIn("after", self.file.read_text())
        self.assertNotIn("before", self.file.read_text())

    def test_expiry_by_days_leaves_other_files_alone(self) -> None:
        """Only our own segments expire."""
        foreign, old = self.path / "log.1", self.path / "log.19700101_000000_000"
        for path in (foreign, old):
            path.write_text("x")
            os.utime(path, (0, 0))
        output = self.output(segment_bytes=1, expire_files=0, expire_days=1)
        for day in (2, 3):
            output.write([record("x")], day * 86_400.0)
        output.close()
        self.assertTrue(foreign.exists())
        self.assertFalse(old.exists())

    def test_a_deleted_file_is_made_again(self) -> None:
        """Within a second of being deleted the file is back."""
        output = self.output()
        output.write([record("one")], 10.0)
        self.file.unlink()
        output.write([record("two")], 11.5)
        output.close()
        self.assertIn("two", self.file.read_text())

    def test_reopen_follows_the_name(self) -> None:
        """After reopen a moved file stays as it is and a new one begins."""
        output = self.output()
        output.write([record("one")], 10.0)
        self.file.rename(self.path / "moved")
        output.reopen()
        output.write([record("two")], 10.1)
        output.close()
        self.assertNotIn("one", self.file.read_text())


class MemoryOutputTests(SynchronousTestCase):
    """The memory output prints snapshots."""

    def test_snapshots(self) -> None:
        """A snapshot overwrites the one before and holds the latest records."""
        path = folder(self) / "snapshot"
        output = MemoryOutput(path, Layout())
        output.write([record("one")], 100.0)
        output.write([record("two")], 100.0 + SNAPSHOT_SECONDS / 2)
        self.assertNotIn("two", path.read_text())
        output.write([record("three")], 100.0 + SNAPSHOT_SECONDS)
        self.assertEqual(len(path.read_text().splitlines()), 3)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)


class LogWriterTests(SynchronousTestCase):
    """What happens when an output fails, on a clock that stands still until told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder(self)
        self.complaints: list[str] = []

    def writer(self, *outputs: LogOutput, verbose: LogLevel | None = LogLevel.TRACE) -> LogWriter:
        writer = LogWriter(
            "suite",
            LogSettings(outputs=outputs, verbose=verbose),
            wall=self.clock.seconds,
            monotonic=self.clock.seconds,
            complain=self.complaints.append,
        )
        self.addCleanup(writer.close)
        return writer

    def to(self, name: str, level: LogLevel = LogLevel.DEBUG) -> LogOutput:
        return LogOutput(level=level, target=str(self.folder / name))

    def perform(self, writer: LogWriter, *records: Record) -> None:
        writer.perform(records, Counter())

    def test_levels(self) -> None:
        """Each output takes its level and the rarer ones, and none more than verbose allows."""
        writer = self.writer(self.to("std", LogLevel.STANDARD), self.to("all"))
        records = [record(level.value, level) for level in LogLevel]
        self.perform(writer, *records)
        self.assertEqual(len((self.folder / "std").read_text().splitlines()), 2)
        text = (self.folder / "all").read_text()
        self.assertIn("trace", text)
        self.assertNotIn("debug", text)

    def test_one_target_named_twice_is_written_once(self) -> None:
        """A target of two levels takes the wider one, without doubled lines."""
        writer = self.writer(self.to("log", LogLevel.STANDARD), self.to("log", LogLevel.TRACE))
        self.perform(writer, record("once"))
        self.assertEqual((self.folder / "log").read_text().count("once"), 1)

    def test_verbose_none_writes_nothing(self) -> None:
        """With verbose = none no output is even opened."""
        writer = self.writer(self.to("log"), verbose=None)
        self.perform(writer, record("secret"))
        self.assertFalse((self.folder / "log").exists())

    def test_one_failing_output_does_not_hurt_another(self) -> None:
        """The good output goes on; the bad one is named."""
        writer = self.writer(self.to("missing/log"), self.to("good"))
        self.perform(writer, record("x"))
        self.assertIn("x", (self.folder / "good").read_text())
        self.assertIn("No such file", writer.faults[0])

    def test_one_complaint_a_minute(self) -> None:
        """However many records are lost, standard error gets one line a minute."""
        writer = self.writer(self.to("missing/log"))
        for _ in range(int(COMPLAINT_SECONDS) + 1):
            self.perform(writer, record("x"))
            self.clock.advance(1)
        self.assertEqual(len(self.complaints), 2)
        self.assertGreater(writer.lost, 50)

    def test_it_resumes(self) -> None:
        """When the cause is gone, writing goes on after the pause and the fault is forgotten."""
        writer = self.writer(self.to("sub/log"))
        self.perform(writer, record("lost"))
        (self.folder / "sub").mkdir()
        self.clock.advance(RETRY_SECONDS)
        self.perform(writer, record("kept"))
        self.assertEqual(writer.faults, [])
        self.assertIn("kept", (self.folder / "sub" / "log").read_text())

    def test_a_full_disk(self) -> None:
        """ENOSPC is a failure like any other: counted, complained about, no exception."""
        writer = self.writer(LogOutput(level=LogLevel.DEBUG, target="/dev/full"))
        self.perform(writer, record("x"))
        self.assertIn("No space left", writer.faults[0])
        self.assertEqual(writer.lost, 1)

    def test_dropped_records_are_reported(self) -> None:
        """What the queue dropped is said in the log itself."""
        writer = self.writer(self.to("log"))
        writer.perform([], Counter({LogLevel.DEBUG: 7}))
        self.assertIn("records dropped: 7 debug", (self.folder / "log").read_text())

    def test_commands_keep_their_place(self) -> None:
        """A command is done after the records before it and before those after it."""
        writer = self.writer(self.to("one"))
        other = LogSettings(outputs=(self.to("two"),))
        writer.perform([record("early"), lambda w: w.configure(other), record("late")], Counter())
        self.assertIn("early", (self.folder / "one").read_text())
        self.assertIn("late", (self.folder / "two").read_text())
        self.assertNotIn("early", (self.folder / "two").read_text())
