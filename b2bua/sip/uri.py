"""
URIs: SIP and SIPS (RFC 3261, section 19.1), tel (RFC 3966) as far as a call needs it.

Any other scheme is kept as text: it is well-formed, and whether it can be served is not decided
here. Escapes stay as they came, so that what is printed names what was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import NO_PARAMETERS, Parameters, remembering, trusted_parameters

HOST: Final = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.\-]*+"
_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
# "#" is not allowed there, and phones send it all the same.
_USER: Final = rf"[{_UNRESERVED}%&=+$,;?/#]++"
_PASSWORD: Final = rf"[{_UNRESERVED}%&=+$,]*+"
_PARAMETER_PART: Final = rf"[{_UNRESERVED}%\[\]/:&+$=;]*+"
_HEADER_PART: Final = rf"[{_UNRESERVED}%\[\]/?:+$=&]++"

_sip_uri: Final = re.compile(
    rf"([sS][iI][pP][sS]?):(?:({_USER})(?::({_PASSWORD}))?@)?"
    rf"({HOST})(?::([0-9]{{1,5}}))?(?:;({_PARAMETER_PART}))?(?:\?({_HEADER_PART}))?"
).fullmatch
_tel_uri: Final = re.compile(
    rf"[tT][eE][lL]:(\+?[0-9A-Fa-f*#.()\-]+)(?:;({_PARAMETER_PART}))?"
).fullmatch
_absolute_uri: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):([!#-;=?-~]+)").fullmatch
_broken_escape: Final = re.compile(r"%(?![0-9A-Fa-f]{2})").search

# A parameter of these that only one of two URIs has tells them apart.
_TELLING: Final = ("user", "ttl", "method", "maddr", "transport")


@dataclass(frozen=True, slots=True)
class SipUri:
    """
    A SIP or SIPS URI. ``user``, ``password`` and parameters keep their escapes: text from outside
    goes through ``escape_user`` first.

    ``host`` is in lower case, an IPv6 address without brackets and in its shortest form. Equality
    is that of the fields; ``matches`` is the equality of RFC 3261.
    """

    scheme: str
    user: str
    """"" where there is none."""
    password: str | None
    host: str
    port: int | None = None
    parameters: Parameters = NO_PARAMETERS
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        text = f"{self.scheme}:"
        if self.user:
            password = "" if self.password is None else f":{self.password}"
            text += f"{self.user}{password}@"
        text += f"{host_port(self.host, self.port)}{self.parameters}"
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers)
        return text

    @property
    def user_text(self) -> str:
        """The user without escapes: a DN, a name."""
        return unescape(self.user)

    @property
    def transport(self) -> str:
        """The transport parameter in upper case, or ""."""
        return self.parameters.get("transport", "").upper()

    @property
    def loose(self) -> bool:
        """Whether the URI names a loose router (lr)."""
        return "lr" in self.parameters

    def with_parameter(self, name: str, value: str = "") -> SipUri:
        """Return the URI with one parameter added or replaced."""
        return replace(self, parameters=self.parameters.with_value(name, value))

    def without_parameter(self, name: str) -> SipUri:
        """Return the URI without one parameter."""
        return replace(self, parameters=self.parameters.without(name))

    def matches(self, other: Uri) -> bool:
        """Return whether both mean the same resource (RFC 3261, section 19.1.4)."""
        return (
            isinstance(other, SipUri)
            and self.scheme == other.scheme
            and self.host == other.host
            and self.port == other.port
            and unescape(self.user) == unescape(other.user)
            and unescape(self.password or "") == unescape(other.password or "")
            and _parameters_match(self.parameters, other.parameters)
            and _header_set(self) == _header_set(other)
        )


@dataclass(frozen=True, slots=True)
class TelUri:
    """A telephone number: ``number`` as it came, with its visual separators."""

    number: str
    parameters: Parameters = NO_PARAMETERS

    scheme = "tel"

    def __str__(self) -> str:
        return f"tel:{self.number}{self.parameters}"

    @property
    def digits(self) -> str:
        """The number without visual separators."""
        return self.number.translate(_SEPARATORS)

    def matches(self, other: Uri) -> bool:
        """Return whether both name the same number (RFC 3966, section 5)."""
        return (
            isinstance(other, TelUri)
            and self.digits.lower() == other.digits.lower()
            and _folded(self.parameters) == _folded(other.parameters)
        )


@dataclass(frozen=True, slots=True)
class AbsoluteUri:
    """A URI of another scheme (in lower case), and everything after its colon."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    def matches(self, other: Uri) -> bool:
        """Return whether both are the same text."""
        return self == other


Uri = SipUri | TelUri | AbsoluteUri

_SEPARATORS: Final = str.maketrans("", "", "-.()")


@remembering
def parse_uri(text: str) -> Uri:
    """Read a URI that stands alone: no white space, no angle brackets around it."""
    found = _sip_uri(text)
    if found is None:
        return _parse_other(text)
    scheme, user, password, host, port, parameters, headers = found.groups()
    if "%" in text and _broken_escape(text):
        raise ParseError("uri", "escape")
    return SipUri(
        scheme.lower(),
        user or "",
        password,
        canonical_host(host),
        parse_port(port) if port else None,
        _parse_parameters(parameters) if parameters is not None else NO_PARAMETERS,
        _parse_headers(headers) if headers else (),
    )


def _parse_other(text: str) -> Uri:
    if found := _tel_uri(text):
        parameters = found[2]
        return TelUri(found[1], _parse_parameters(parameters) if parameters else NO_PARAMETERS)
    found = _absolute_uri(text)
    if found is None or found[1].lower() in ("sip", "sips", "tel"):
        raise ParseError("uri")
    return AbsoluteUri(found[1].lower(), found[2])


def _parse_parameters(text: str) -> Parameters:
    values: dict[str, str] = {}
    for item in text.split(";"):
        name, _, value = item.partition("=")
        if not name:
            raise ParseError("uri", "parameter")
        name = name.lower()
        if name in values:
            raise ParseError("duplicate", name)
        values[name] = value
    return trusted_parameters(values)


def _parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for item in text.split("&"):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise ParseError("uri", "header")
        headers.append((name, value))
    return tuple(headers)


def parse_port(text: str) -> int:
    """Read a port from 1 to 65535."""
    port = int(text)
    if not 0 < port < 65536:
        raise ParseError("value", "port")
    return port


def canonical_host(host: str) -> str:
    """
    Return a host name in lower case; an IPv6 reference without brackets, in shortest form.

    The grammar of RFC 3261 lets three colons stand before an IPv4 address; RFC 5118, section
    4.10, wants them read as two.
    """
    if not host.startswith("["):
        return host.lower()
    try:
        address = IPv6Address(host[1:-1].replace(":::", "::", 1))
    except AddressValueError:
        raise ParseError("value", "host") from None
    mapped = address.ipv4_mapped
    # As the system prints it, so that it compares equal to where a packet came from.
    return str(address) if mapped is None else f"::ffff:{mapped}"


def host_port(host: str, port: int | None) -> str:
    """Print a host and perhaps a port, an IPv6 address between brackets."""
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"


def unescape(text: str) -> str:
    """Return the text without %-escapes; bytes that are no UTF-8 become U+FFFD."""
    return percent_unquote(text) if "%" in text else text


def escape_user(text: str) -> str:
    """Return any text as the user of a SIP URI."""
    return percent_quote(text, safe="-_.!~*'()&=+$,;?/")


def _parameters_match(ours: Parameters, theirs: Parameters) -> bool:
    for name in _TELLING:
        if (name in ours) != (name in theirs):
            return False
    return all(
        unescape(value).lower() == unescape(theirs[name]).lower()
        for name, value in ours.items()
        if name in theirs
    )


def _folded(parameters: Parameters) -> dict[str, str]:
    return {name: unescape(value).lower() for name, value in parameters.items()}


def _header_set(uri: SipUri) -> list[tuple[str, str]]:
    return sorted((unescape(name).lower(), unescape(value)) for name, value in uri.headers)
