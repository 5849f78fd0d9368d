"""
The words of SIP's grammar (RFC 3261, section 25.1): tokens, quoted strings, lists, parameters.

Reading is as liberal as peers need and strict where two readers could disagree: unbalanced
quotes, empty list elements and parameters given twice are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeVar, overload

from b2bua.sip.errors import InvalidHeader, ParseError

T = TypeVar("T")

TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"
QUOTED: Final = r'"(?:[^"\\\r\n]|\\[^\r\n])*+"'
# Wider than token and host: base64 in a tag, IPv6 in "received". What ends a value is left out.
_BARE: Final = r"[!#-+\--:=?-~]+"
_VALUE: Final = rf"(?:{_BARE}|{QUOTED})"

is_token: Final = re.compile(TOKEN).fullmatch
is_quoted: Final = re.compile(QUOTED).fullmatch
_is_value: Final = re.compile(_VALUE).fullmatch
_parameter: Final = re.compile(
    rf"[ \t]*;[ \t]*({TOKEN})[ \t]*(?:=[ \t]*({_BARE}|{QUOTED})[ \t]*)?"
).match
_auth_parameter: Final = re.compile(rf"[ \t]*({TOKEN})[ \t]*=[ \t]*({_VALUE})[ \t]*(?:,|$)").match
_element: Final = re.compile(rf"(?:[^\",<]|<[^>]*>|{QUOTED})++").match
_escaped: Final = re.compile(r"\\(.)", re.DOTALL)
_to_escape: Final = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})
_quoted_pair: Final = re.compile(rb"\\.", re.DOTALL)
_number: Final = re.compile(r"[0-9]{1,20}").fullmatch


_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 160
"""Together they bound what remembered values may take, whoever chose their text."""


def remembering(parse: Callable[[str], T]) -> Callable[[str], T]:
    """
    Read the same text only once: a call repeats its Via, From, To and Contact in every message.

    The values cannot change, so whoever asks for the same text may have the same value.
    """
    remembered = lru_cache(_REMEMBERED)(parse)

    def read(text: str) -> T:
        return remembered(text) if len(text) <= _LONGEST_REMEMBERED else parse(text)

    read.__doc__ = parse.__doc__
    return read


class Parameters(Mapping[str, str]):
    """
    Parameters in order. Names are lower case; a name without a value has the value "".

    Values stand as on the wire, so a quoted string keeps its quotes: ``text`` takes them off and
    ``quote`` puts them on.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, str] = {}
        for name, value in (values or {}).items():
            if not is_token(name) or (value and not _is_value(value)):
                raise InvalidHeader(f"parameter {name!r}")
            self._values[name.lower()] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    @overload
    def get(self, name: str, default: None = None, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str | T, /) -> str | T: ...

    def get(self, name: str, default: str | T | None = None, /) -> str | T | None:
        """Return the value, or the default where the name is absent."""
        return self._values.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"Parameters({self._values!r})"

    def __str__(self) -> str:
        if not self._values:
            return ""
        return "".join(
            f";{name}={value}" if value else f";{name}" for name, value in self._values.items()
        )

    def text(self, name: str) -> str | None:
        """Return the value without quotes and escapes, or None where the name is absent."""
        value = self._values.get(name)
        return unquote(value) if value is not None else None

    def with_value(self, name: str, value: str = "") -> Parameters:
        """Return these parameters with one added or replaced."""
        return Parameters({**self._values, name.lower(): value})

    def without(self, name: str) -> Parameters:
        """Return these parameters without one."""
        kept = self._values.copy()
        kept.pop(name.lower(), None)
        return trusted_parameters(kept)


def trusted_parameters(values: dict[str, str]) -> Parameters:
    """Wrap parameters whose grammar has been checked and whose names are lower case."""
    parameters = Parameters.__new__(Parameters)
    parameters._values = values
    return parameters


NO_PARAMETERS: Final = Parameters()


def parse_parameters(text: str, at: int = 0) -> Parameters:
    """Read ``;name=value`` up to the end of the text; nothing else may stand there."""
    values: dict[str, str] = {}
    end = len(text)
    while at < end:
        found = _parameter(text, at)
        if found is None:
            if text[at:].strip(" \t"):
                raise ParseError("value", "parameter")
            break
        name, value = found.groups("")
        name = name.lower()
        if name in values:
            raise ParseError("duplicate", name)
        values[name] = value
        at = found.end()
    return trusted_parameters(values) if values else NO_PARAMETERS


def parse_auth_parameters(text: str) -> Parameters:
    """Read ``name=value, name=value``, as challenges and credentials have it."""
    values: dict[str, str] = {}
    at, end = 0, len(text)
    while at < end:
        found = _auth_parameter(text, at)
        if found is None:
            raise ParseError("value", "auth-param")
        name = found[1].lower()
        if name in values:
            raise ParseError("duplicate", name)
        values[name] = found[2]
        at = found.end()
    if text.endswith(","):
        raise ParseError("value", "auth-param")
    return trusted_parameters(values)


def split_list(text: str) -> list[str]:
    """Split at the commas that are in no quoted string and between no angle brackets."""
    if "," not in text:
        return [text]
    plain = '"' not in text and "<" not in text
    elements = text.split(",") if plain else _split_quoted(text)
    elements = [element.strip(" \t") for element in elements]
    if not all(elements):
        raise ParseError("value", "empty list element")
    return elements


def _split_quoted(text: str) -> list[str]:
    elements: list[str] = []
    at = 0
    while True:
        found = _element(text, at)
        if found is None:
            raise ParseError("value", "list")
        elements.append(found[0])
        at = found.end()
        if at == len(text):
            return elements
        if text[at] != ",":
            raise ParseError("value", "list")
        at += 1


def has_bare_control(data: bytes) -> bool:
    """
    Return whether there is a control character other than HTAB, CR and LF.

    A quoted string may hold them, each behind a backslash: those do not count.
    """
    if len(data.translate(None, _CONTROLS)) == len(data):
        return False
    rest = _quoted_pair.sub(b"", data)
    return len(rest.translate(None, _CONTROLS)) != len(rest)


def quote(text: str) -> str:
    """Return the text as a quoted string. CR and LF cannot be quoted: InvalidHeader."""
    if "\r" in text or "\n" in text:
        raise InvalidHeader("line end in a quoted string")
    return '"' + _to_escape.sub(r"\\\g<0>", text) + '"'


def unquote(text: str) -> str:
    """Return what a quoted string says; any other text as it is."""
    if not text.startswith('"'):
        return text
    inner = text[1:-1]
    return _escaped.sub(r"\1", inner) if "\\" in inner else inner


def parse_number(text: str, limit: int = 0xFFFFFFFF) -> int:
    """Read decimal digits up to ``limit``; leading zeros do no harm."""
    if not _number(text):
        raise ParseError("value", "number")
    number = int(text)
    if number > limit:
        raise ParseError("value", "number")
    return number
