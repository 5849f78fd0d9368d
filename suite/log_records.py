"""
One log record, and how it is written as one line.

The headers are the deployment guide's: short ``2002-05-07T18:15:33.952 Std 05060 Application
started`` and full ``2002-05-07T18:11:38.196 Standard localhost cfg_dbserver GCTI-00-05060
Application started``. Whatever a peer sent is escaped, so no peer can forge a line or an escape
sequence of the terminal that shows it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from suite.settings import LogLevel, TimeFormat


class LogEvent(IntEnum):
    """Ids of the records. Those up to 20015 are the guide's, from 20100 on they are ours."""

    STARTED = 5060
    OPTION_INVALID = 20006
    SIP_ADDRESS = 20007
    RTP_ADDRESS = 20008
    SIP_STACK = 20010
    PAGES_NOT_SERVED = 20011
    ROAP = 20013
    SIP = 20014
    ICE = 20015
    LISTENER_NOT_OPENED = 20101
    UNIT_FAILED = 20102
    UNIT_STARTED = 20103
    STOP_ABANDONED = 20104
    STOPPING = 20105
    STOPPED = 20106
    RELOADED = 20107
    RELOAD_REFUSED = 20108
    RESTART_NEEDED = 20109
    CHECK_POINT = 20110
    RECORDS_DROPPED = 20111
    UNEXPECTED_ERROR = 20112
    WARNING = 20113
    MESSAGE = 20114
    REACTOR = 20115
    CERTIFICATE = 20116
    SIGNAL = 20117
    OPTION_REMARK = 20118
    RELAY = 20119
    AUTHENTICATION_FAILED = 20200
    PEER_DENIED = 20201
    ALLOCATION_CREATED = 20202
    ALLOCATION_REFRESHED = 20203
    ALLOCATION_ENDED = 20204
    REQUEST_REFUSED = 20205
    CHALLENGE_SENT = 20206
    CHALLENGE_SUPPRESSED = 20207
    BINDING_REFUSED = 20208
    SIP_SERVER = 20300
    DN_REGISTERED = 20301
    DN_UNREGISTERED = 20302
    PHONE_BOUND = 20303
    PHONE_GONE = 20304
    CALL_STARTED = 20310
    CALL_RINGING = 20311
    CALL_ANSWERED = 20312
    CALL_HELD = 20313
    CALL_RESENT = 20314
    CALL_ENDED = 20315
    CALL_REFUSED = 20316
    CALL_MEDIA = 20317
    PACKETS_TOO_LONG = 20318
    SIGNED_IN = 20330
    SIGNED_OUT = 20331
    SIGN_IN_REFUSED = 20332
    HTTP_TRACE = 20333
    MEDIA_TRACE = 20334
    TRANSPORT = 20335
    PAGE_GONE = 20336


RANK = {
    LogLevel.STANDARD: 0,
    LogLevel.INTERACTION: 1,
    LogLevel.TRACE: 2,
    LogLevel.DEBUG: 3,
}
"""The higher, the more detailed."""

_SHORT = {
    LogLevel.STANDARD: "Std",
    LogLevel.INTERACTION: "Int",
    LogLevel.TRACE: "Trc",
    LogLevel.DEBUG: "Dbg",
}

_LONGEST_VALUE = 512
_LONGEST_TEXT = 16_384

# C0, DEL, C1, the line separators of Unicode, marks that reorder text, and lone surrogates.
_UNSAFE_CHARACTERS = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
)
_UNSAFE = re.compile(f"[{_UNSAFE_CHARACTERS}]")
_UNSAFE_QUOTED = re.compile(rf'[{_UNSAFE_CHARACTERS}"\\]')


class Word(str):
    """A value of our own making that is written without quotes: an address, a transport."""

    __slots__ = ()


Value = str | int | float


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log."""

    time: float
    """Wall clock."""
    level: LogLevel
    event: int
    text: str
    fields: tuple[tuple[str, Value], ...] = ()


def escape(text: str) -> str:
    """The text in one line that no terminal obeys."""
    return _UNSAFE.sub(_as_escape, text[:_LONGEST_TEXT])


def quote(text: str) -> str:
    """The text in double quotes, with every quote, backslash and control character escaped."""
    shortened = text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
    return f'"{_UNSAFE_QUOTED.sub(_as_escape, shortened)}"'


def message(record: Record) -> str:
    """What the record says, without its header: the text and then ``key=value`` for each field."""
    words = [escape(record.text)]
    words += [f"{name}={_as_text(value)}" for name, value in record.fields]
    return " ".join(words)


def _as_text(value: Value) -> str:
    if isinstance(value, Word):
        return escape(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def _as_escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in '"\\':
        return "\\" + character
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


@dataclass(frozen=True, slots=True)
class Layout:
    """How records become lines; made of the log's settings, never changed."""

    name: str = "webrtc-suite"
    host: str = "localhost"
    json: bool = False
    full_headers: bool = False
    time_format: TimeFormat = TimeFormat.ISO8601
    utc: bool = False

    def line(self, record: Record) -> str:
        """The record as one line, without its end."""
        return self._json_line(record) if self.json else self._text_line(record)

    def heading(self, now: float) -> str:
        """
        The first line of a file, or nothing.

        With short headers it carries what the guide leaves out of each record: application, host
        and time zone.
        """
        if self.json or self.full_headers:
            return ""
        zone = "UTC" if self.utc else time.strftime("UTC%z", time.localtime(now))
        day = self._stamp(now, TimeFormat.ISO8601)
        return f"# {escape(self.name)} on {escape(self.host)}, time zone {zone}, from {day}"

    def _text_line(self, record: Record) -> str:
        stamp = self._stamp(record.time, self.time_format)
        if self.full_headers:
            level = record.level.value.capitalize()
            origin = f"{escape(self.host)} {escape(self.name)}"
            return f"{stamp} {level} {origin} GCTI-00-{record.event:05} {message(record)}"
        return f"{stamp} {_SHORT[record.level]} {record.event:05} {message(record)}"

    def _json_line(self, record: Record) -> str:
        values: dict[str, Value] = {
            "time": self._stamp(record.time, TimeFormat.ISO8601) + self._offset(record.time),
            "level": record.level.value,
            "id": record.event,
            "name": self.name,
            "host": self.host,
            "text": record.text[:_LONGEST_TEXT],
        }
        for name, value in record.fields:
            values.setdefault(name, value)
        return json.dumps(values)

    def _stamp(self, now: float, time_format: TimeFormat) -> str:
        broken_down = _BROKEN_DOWN[self.utc](now)
        if time_format is TimeFormat.LOCALE:
            return time.strftime("%c", broken_down)
        pattern = "%H:%M:%S" if time_format is TimeFormat.TIME else "%Y-%m-%dT%H:%M:%S"
        return f"{time.strftime(pattern, broken_down)}.{int(now * 1000) % 1000:03}"

    def _offset(self, now: float) -> str:
        return "Z" if self.utc else time.strftime("%z", time.localtime(now))


_BROKEN_DOWN: dict[bool, Callable[[float], time.struct_time]] = {
    True: time.gmtime,
    False: time.localtime,
}
