"""One record is one line, whatever a peer put into it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.log_records import Layout, LogEvent, Record, Word, escape, quote
from suite.settings import LogLevel, TimeFormat

MOMENT = 995_950_690.123  # 2001-07-24T04:58:10.123 UTC, the guide's example


def record(text: str = "Application started", **fields: str | int | float) -> Record:
    """A record of the guide's example moment."""
    return Record(MOMENT, LogLevel.STANDARD, LogEvent.STARTED, text, tuple(fields.items()))


class LayoutTests(SynchronousTestCase):
    """The guide's headers and time formats."""

    def test_short(self) -> None:
        """Short headers have the time, three letters of the level and five digits of the id."""
        line = Layout(utc=True).line(record())
        self.assertEqual(line, "2001-07-24T04:58:10.123 Std 05060 Application started")

    def test_full(self) -> None:
        """Full headers have the level in full, host, application and the GCTI prefix."""
        line = Layout(utc=True, full_headers=True, host="lab", name="suite").line(record())
        self.assertEqual(
            line,
            "2001-07-24T04:58:10.123 Standard lab suite GCTI-00-05060 Application started",
        )

    def test_time_only(self) -> None:
        """The format ``time`` leaves the day out."""
        line = Layout(utc=True, time_format=TimeFormat.TIME).line(record())
        self.assertTrue(line.startswith("04:58:10.123 Std "))

    def test_json(self) -> None:
        """A JSON line carries the fields by name, after our own which cannot be overwritten."""
        line = Layout(utc=True, json=True).line(record(user="joe", level="forged"))
        self.assertEqual(
            json.loads(line),
            {
                "time": "2001-07-24T04:58:10.123Z",
                "level": "standard",
                "id": 5060,
                "name": "webrtc-suite",
                "host": "localhost",
                "text": "Application started",
                "user": "joe",
            },
        )

    def test_fields(self) -> None:
        """Words and numbers stand bare, text is quoted."""
        line = Layout().line(record("auth-fail", client=Word("1.2.3.4"), port=5, user="a b"))
        self.assertTrue(line.endswith('auth-fail client=1.2.3.4 port=5 user="a b"'))

    def test_heading_only_with_short_headers(self) -> None:
        """The first line of a file says what short headers leave out."""
        self.assertIn("webrtc-suite on localhost", Layout().heading(MOMENT))
        self.assertEqual(Layout(full_headers=True).heading(MOMENT), "")
        self.assertEqual(Layout(json=True).heading(MOMENT), "")


class EscapeTests(SynchronousTestCase):
    """Nobody forges a line or a terminal's escape sequence."""

    def test_a_quote_cannot_end_the_value(self) -> None:
        """A user name with a quote and a client's address stays inside its quotes."""
        self.assertEqual(quote('x" client=6.6.6.6 \\'), r'"x\" client=6.6.6.6 \\"')

    def test_line_breaks_and_escape_sequences(self) -> None:
        """Line breaks, ESC, C1 and text direction marks become visible."""
        self.assertEqual(escape("a\r\nb\x1b[1m\x9b\u202e\u2028"), r"a\r\nb\x1b[1m\x9b\u202e\u2028")

    def test_long_values_are_cut(self) -> None:
        """A value takes no more of a line than it deserves."""
        self.assertLess(len(quote("x" * 100_000)), 600)

    @given(st.text(), st.text())
    def test_any_text_gives_one_line(self, text: str, value: str) -> None:
        """Every record is one line, and can be written as UTF-8."""
        for layout in (Layout(), Layout(json=True)):
            line = layout.line(record(text, user=value))
            self.assertEqual(len(line.splitlines()), 1)
            self.assertFalse(any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line))
            line.encode("utf-8")
