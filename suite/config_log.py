"""
The log's settings: section [log], and coTURN's own options where [log] says nothing.
"""

from __future__ import annotations

from pathlib import Path

from suite.chosen import Chosen
from suite.diagnostics import Level
from suite.option_kinds import BOOLEAN, TEXT
from suite.option_kinds_gateway import EXPIRY, OUTPUTS, SEGMENT, VERBOSE
from suite.option_table import OPTIONS
from suite.option_table_gateway import CHECK_POINT, MESSAGE_FORMAT, TIME_CONVERT, TIME_FORMAT
from suite.option_table_turn import LOG_LEVEL
from suite.settings import LogLevel, LogOutput, LogSettings, TimeFormat

LOG = "log"
TURN = "turn"

_LEVEL_OF = {
    "standard": LogLevel.STANDARD,
    "interaction": LogLevel.INTERACTION,
    "trace": LogLevel.TRACE,
    "debug": LogLevel.DEBUG,
    "all": LogLevel.DEBUG,
}
_CAP = {
    "debug": LogLevel.DEBUG,
    "info": LogLevel.TRACE,
    "warning": LogLevel.STANDARD,
    "error": LogLevel.STANDARD,
}


def log_settings(chosen: Chosen, *, coturn_file: bool) -> LogSettings:
    """Make the log's settings. ``coturn_file``: there is a turnserver.conf and nothing else."""
    segment = chosen.one(LOG, "segment", SEGMENT)
    expiry = chosen.one(LOG, "expire", EXPIRY)
    for_ever = chosen.one(TURN, "simple-log", BOOLEAN) and not chosen.is_set(LOG, "segment")
    memory = chosen.maybe(LOG, "memory", TEXT)
    outputs = _outputs(chosen)
    if any(each.target == "memory" for each in outputs) and memory is None:
        accepted = "memory = the path of a file"
        chosen.complain(Level.NOTICE, LOG, "all", "output memory is written to no file", accepted)
    return LogSettings(
        verbose=_verbose(chosen, coturn_file=coturn_file),
        outputs=outputs,
        json=chosen.one(LOG, "json", BOOLEAN),
        full_headers=chosen.one(LOG, "message_format", MESSAGE_FORMAT) == "full",
        time_format=_time_format(chosen),
        utc=chosen.one(LOG, "time_convert", TIME_CONVERT) == "utc",
        segment_bytes=0 if for_ever else segment.size,
        segment_seconds=0 if for_ever else segment.seconds,
        expire_files=0 if for_ever else expiry.files,
        expire_days=0 if for_ever else expiry.days,
        check_point_hours=chosen.one(LOG, "check-point", CHECK_POINT),
        memory_file=Path(memory) if memory else None,
    )


def _verbose(chosen: Chosen, *, coturn_file: bool) -> LogLevel | None:
    level = chosen.one(LOG, "verbose", VERBOSE)
    if chosen.is_set(LOG, "verbose"):
        return level
    if chosen.one(TURN, "Verbose", BOOLEAN):
        level = LogLevel.DEBUG
    elif chosen.one(TURN, "verbose", BOOLEAN):
        level = LogLevel.TRACE
    elif coturn_file:
        # coTURN shows allocations only with verbose; failures to authenticate stay.
        level = LogLevel.STANDARD
    cap = _CAP[chosen.one(TURN, "log-min-level", LOG_LEVEL)]
    order = list(LogLevel)
    return cap if level and order.index(cap) < order.index(level) else level


def _outputs(chosen: Chosen) -> tuple[LogOutput, ...]:
    given = [name for name in _LEVEL_OF if chosen.is_set(LOG, name)]
    if not given:
        return _coturn_outputs(chosen)
    found: list[LogOutput] = []
    absent = [name for name in given if _is_absent_default(chosen, name)]
    if absent:
        problem = "there is no such folder, so records go to stdout"
        accepted = "make the folder, or name a file (example: all = /var/log/webrtc-suite.log)"
        chosen.complain(Level.NOTICE, LOG, absent[0], problem, accepted, _default_of(absent[0]))
    for name in given:
        for target in chosen.one(LOG, name, OUTPUTS):
            if target.lower() == "network":
                accepted = "stdout, stderr, syslog, memory or a file"
                problem = "there is no Message Server; the output network is left out"
                chosen.complain(Level.NOTICE, LOG, name, problem, accepted, "network")
            else:
                is_absent = name in absent and target == _default_of(name)
                where = "stdout" if is_absent else _target(target)
                found.append(LogOutput(level=_LEVEL_OF[name], target=where))
    return tuple(dict.fromkeys(found))


def _is_absent_default(chosen: Chosen, name: str) -> bool:
    """An exported configuration names the old install's own folder; here it may not be."""
    default = _default_of(name)
    return default in chosen.one(LOG, name, OUTPUTS) and not Path(default).parent.is_dir()


def _default_of(name: str) -> str:
    row = OPTIONS.find(LOG, name)
    return "" if row is None else row.default


def _coturn_outputs(chosen: Chosen) -> tuple[LogOutput, ...]:
    target = chosen.maybe(TURN, "log-file", TEXT)
    if chosen.one(TURN, "syslog", BOOLEAN):
        target = "syslog"
    targets = [_target("stdout" if target == "-" else target)] if target else []
    if targets != ["syslog"] and (not targets or not chosen.one(TURN, "no-stdout-log", BOOLEAN)):
        targets.append("stdout")
    return tuple(LogOutput(level=LogLevel.DEBUG, target=each) for each in dict.fromkeys(targets))


def _target(text: str) -> str:
    return text.lower() if text.lower() in ("stdout", "stderr", "syslog", "memory") else text


def _time_format(chosen: Chosen) -> TimeFormat:
    if not chosen.is_set(LOG, "time_format") and not chosen.one(TURN, "new-log-timestamp", BOOLEAN):
        return TimeFormat.TIME
    return chosen.one(LOG, "time_format", TIME_FORMAT)
