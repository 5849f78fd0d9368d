"""
Forms of value that only the gateway's guide has: logs, codecs, domains, dial numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from b2bua.dial_numbers import DialNumberError, DialNumbers, parse_dial_numbers
from b2bua.sdp.codecs import Codec, parse_codec_list
from b2bua.sdp.errors import CodecListError
from suite.option_kinds import (
    HOST,
    BadValue,
    Kind,
    endpoint,
    host_or_name,
    listed,
    plain_text,
    whole_number,
)
from suite.settings import LogLevel


@dataclass(frozen=True, slots=True)
class Segment:
    """When a log file is closed for the next one; 0 and 0: never."""

    size: int = 0
    """Bytes."""
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Expiry:
    """How many old log files stay, or for how many days; 0: without limit."""

    files: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True)
class RelayServer:
    """A TURN server as a URL or a host and a port name it."""

    host: str
    port: int
    over_tcp: bool | None = None
    """None: the URL does not say."""


def _quantity(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{1,9})\s*([A-Za-z]*)", text)
    if not found:
        raise BadValue("neither false nor a number with a unit")
    return int(found[1]), found[2].lower()


def _segment(text: str) -> Segment:
    if text.lower() == "false":
        return Segment()
    number, unit = _quantity(text)
    if unit in ("hr", "hour", "hours"):
        return Segment(seconds=3600 * whole_number(str(number), 1, 100_000))
    if unit not in ("", "kb", "mb"):
        raise BadValue("the unit is not KB, MB or hr")
    kilobytes = number * (1024 if unit == "mb" else 1)
    return Segment(size=1024 * whole_number(str(kilobytes), 100, 10**8))


def _expiry(text: str) -> Expiry:
    if text.lower() == "false":
        return Expiry()
    number, unit = _quantity(text)
    if unit not in ("", "file", "files", "day", "days"):
        raise BadValue("the unit is not file or day")
    number = whole_number(str(number), 1, 100)
    return Expiry(days=number) if unit.startswith("day") else Expiry(files=number)


def _startup_file(text: str) -> Segment | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    number, unit = _quantity(text)
    if unit not in ("kb", "mb"):
        raise BadValue("the unit is not KB or MB")
    return Segment(size=number * 1024 * (1024 if unit == "mb" else 1))


def _verbose(text: str) -> LogLevel | None:
    word = text.lower()
    if word == "none":
        return None
    if word in ("all", *LogLevel):
        return LogLevel.DEBUG if word == "all" else LogLevel(word)
    raise BadValue("not one of the levels")


def _outputs(text: str) -> tuple[str, ...]:
    targets = tuple(plain_text(part.strip()) for part in text.split(","))
    if not all(targets):
        raise BadValue("an output is empty")
    return targets


def _codecs(text: str) -> tuple[Codec, ...]:
    try:
        return parse_codec_list(text)
    except CodecListError as error:
        raise BadValue(str(error)) from error


_DOMAIN = re.compile(
    r"(?:(?:https?|\*)://)?"
    r"((?:\*\.?)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*))"
    r"(?::(\*|[0-9]{1,5}))?"
)


def _domain(text: str) -> str:
    found = _DOMAIN.fullmatch(text)
    if not found or not found[1]:
        raise BadValue("a domain of the list is malformed")
    if found[2] and found[2] != "*":
        whole_number(found[2], 1, 65535)
    return text.lower()


def _dial_numbers(text: str) -> DialNumbers:
    try:
        return parse_dial_numbers(text)
    except DialNumberError as error:
        raise BadValue(f"entry {error.entry}, column {error.column}: {error.problem}") from error


def _without_scheme(text: str, scheme: str) -> str:
    if text.lower().startswith(f"{scheme}s:"):
        raise BadValue("TLS is not supported there")
    return text[len(scheme) + 1 :] if text.lower().startswith(f"{scheme}:") else text


def _stun_server(text: str) -> tuple[str, int]:
    return endpoint(_without_scheme(text, "stun"), host_or_name, 3478)


def _turn_server(text: str) -> RelayServer:
    address, mark, query = _without_scheme(text, "turn").partition("?")
    if mark and query.lower() not in ("transport=tcp", "transport=udp"):
        raise BadValue("what follows ? is neither transport=udp nor transport=tcp")
    over_tcp = query.lower().endswith("=tcp") if mark else None
    return RelayServer(*endpoint(address, host_or_name, 3478), over_tcp)


_RANGES = re.compile(r"(?:\*|[0-9]+(?:-[0-9]+)?)(?:\s*,\s*(?:\*|[0-9]+(?:-[0-9]+)?))*")


def _log_filter(text: str) -> str:
    for part in text.split("|"):
        if len(re.sub(r"\s*,\s*", ",", part).split()) % 3:
            raise BadValue("the levels, modules and specifiers do not come in threes")
        for field in re.sub(r"\s*,\s*", ",", part).split():
            if not _RANGES.fullmatch(field):
                raise BadValue("neither * nor numbers and ranges")
    return text


def _metrics(text: str) -> str:
    if text and not _RANGES.fullmatch(text):
        raise BadValue("neither * nor numbers and ranges")
    for number in re.findall(r"[0-9]+", text):
        whole_number(number, 0, 141)
    return text


SEGMENT = Kind("false, or a number of KB (from 100), MB or hr", "10 MB", _segment)
EXPIRY = Kind("false, or 1 to 100 file or day", "20 file", _expiry)
STARTUP_FILE = Kind("true, false, or a number of KB or MB", "false", _startup_file)
VERBOSE = Kind("all, debug, trace, interaction, standard, none", "trace", _verbose)
OUTPUTS = Kind("stdout, stderr, syslog, memory or a file, parted by commas", "stdout", _outputs)
CODECS = Kind("codecs within brackets, parted by commas", "(g722,pcmu,vp8=100)", _codecs)
DOMAIN = Kind("scheme://domain:port, each may be *", "https://*.example.com:443", _domain)
DOMAINS = listed(DOMAIN, "https://*.example.com:443")
DIAL_NUMBERS = Kind(
    "DNs, first-last, or with * and ?, parted by commas", "1020,2020-2050,556*", _dial_numbers
)
HOSTS = listed(HOST, "192.0.2.10,2001:db8::10")
STUN_SERVER = Kind("address:port", "stun.example.org:3478", _stun_server)
TURN_SERVER = Kind(
    "address:port, ?transport=tcp behind it for TCP", "turn.example.org:3478", _turn_server
)
LOG_FILTER = Kind("levels modules specifiers, as ranges or *", "* * *", _log_filter)
METRICS = Kind("*, nothing, or numbers from 0 to 141 and ranges", "5-10,70", _metrics)
