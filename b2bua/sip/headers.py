"""
Typed header field values (RFC 3261, section 20, and the extensions a call meets).

Each type prints itself as it goes on the wire and has a ``parse_`` function that takes the value
of one header field, or one element of a list. All of them raise ParseError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.grammar import (
    NO_PARAMETERS,
    QUOTED,
    TOKEN,
    Parameters,
    is_token,
    parse_auth_parameters,
    parse_number,
    parse_parameters,
    quote,
    remembering,
    unquote,
)
from b2bua.sip.uri import HOST, SipUri, Uri, canonical_host, host_port, parse_port, parse_uri

BRANCH_COOKIE: Final = "z9hG4bK"
"""What a branch begins with whose sender follows RFC 3261."""

_via: Final = re.compile(
    rf"([sS][iI][pP])[ \t]*/[ \t]*({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]+"
    rf"({HOST})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?[ \t]*(?=;|$)"
).match
# Without quotes, a display name may be any words that do not look like another part.
_name_addr: Final = re.compile(
    rf'(?:({QUOTED})[ \t]*|([^"<>,;:\\\x00-\x08\x0a-\x1f\x7f]*+))<([^<>]*)>[ \t]*(?=;|$)'
).match
_cseq: Final = re.compile(rf"([0-9]{{1,20}})[ \t]+({TOKEN})").fullmatch
_rack: Final = re.compile(rf"([0-9]{{1,20}})[ \t]+([0-9]{{1,20}})[ \t]+({TOKEN})").fullmatch
_media_type: Final = re.compile(rf"({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]*(?=;|$)").match
_word: Final = re.compile(rf"({TOKEN})[ \t]*(?=;|$)").match
_call_id: Final = re.compile(r"[!-~]+").fullmatch
_seconds: Final = re.compile(r"([0-9]{1,20})[ \t]*(?=;|$|\()(?:\([^()]*\)[ \t]*)?").match
_challenge: Final = re.compile(rf"({TOKEN})[ \t]+(?=\S)").match
_q_value: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?").fullmatch


@dataclass(frozen=True, slots=True)
class Via:
    """
    One hop: who sent it, and over what.

    ``host`` is in lower case, an IPv6 address without brackets; ``transport`` in upper case.
    """

    transport: str
    host: str
    port: int | None
    parameters: Parameters = NO_PARAMETERS
    protocol: str = "SIP/2.0"

    def __str__(self) -> str:
        return f"{self.protocol}/{self.transport} {self.sent_by}{self.parameters}"

    @property
    def sent_by(self) -> str:
        """Host and port as they stand in the header field."""
        return host_port(self.host, self.port)

    @property
    def branch(self) -> str:
        """The branch, or "" where there is none."""
        return self.parameters.get("branch", "")

    @property
    def has_cookie(self) -> bool:
        """Whether the branch alone identifies the transaction (RFC 3261, section 17.2.3)."""
        branch = self.branch
        return branch[:7].lower() == "z9hg4bk" and len(branch) > 7

    @property
    def received(self) -> str:
        """The address the request came from, IPv6 without brackets, or ""."""
        return self.parameters.get("received", "").strip("[]")

    @property
    def wants_rport(self) -> bool:
        """Whether the sender asks for answers to its source port (RFC 3581)."""
        return "rport" in self.parameters

    @property
    def rport(self) -> int | None:
        """The source port that was filled in, if any."""
        value = self.parameters.get("rport", "")
        return parse_number(value, 0xFFFF) if value else None

    def with_parameter(self, name: str, value: str = "") -> Via:
        """Return the hop with one parameter added or replaced."""
        return replace(self, parameters=self.parameters.with_value(name, value))


@remembering
def parse_via(text: str) -> Via:
    """Read one hop; ``SIP / 2.0 / UDP first.example.com: 4000 ;ttl=16`` is one."""
    found = _via(text)
    if found is None:
        raise ParseError("value", "Via")
    _, version, transport, host, port = found.groups()
    return Via(
        transport.upper(),
        canonical_host(host),
        parse_port(port) if port else None,
        parse_parameters(text, found.end()),
        "SIP/2.0" if version == "2.0" else f"SIP/{version}",
    )


@dataclass(frozen=True, slots=True)
class NameAddr:
    """
    A display name, a URI and the header field's parameters: From, To, Contact, Route and others.

    ``display`` is what the name says, without quotes and escapes; "" where there is none.
    """

    display: str
    uri: Uri
    parameters: Parameters = NO_PARAMETERS

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        uri = str(self.uri)
        if ">" in uri:
            raise InvalidHeader("angle bracket in a URI")
        return f"{name}<{uri}>{self.parameters}"

    @property
    def tag(self) -> str:
        """The tag, or "" where there is none."""
        return self.parameters.get("tag", "")

    @property
    def expires(self) -> int | None:
        """The expires parameter of a Contact; None if it is missing or no number."""
        value = self.parameters.get("expires", "")
        try:
            return parse_number(value) if value else None
        except ParseError:
            # RFC 3261, section 10.2.1.1: a malformed one counts as 3600, like a missing one.
            return None

    @property
    def q(self) -> float:
        """The preference of a Contact; 1.0 where none is given."""
        value = self.parameters.get("q", "1")
        if not _q_value(value):
            raise ParseError("value", "q")
        return float(value)

    def with_parameter(self, name: str, value: str = "") -> NameAddr:
        """Return the same with one parameter added or replaced."""
        return replace(self, parameters=self.parameters.with_value(name, value))

    def with_tag(self, tag: str) -> NameAddr:
        """Return the same with this tag."""
        return self.with_parameter("tag", tag)


@remembering
def parse_name_addr(text: str) -> NameAddr:
    """
    Read a name-addr, or a URI without angle brackets.

    Parameters after a URI without brackets belong to the header field, never to the URI; such a
    URI holds no comma and no question mark (RFC 3261, section 20).
    """
    found = _name_addr(text)
    if found is None:
        return _parse_addr_spec(text)
    quoted, words, uri = found.groups("")
    display = unquote(quoted) if quoted else words.strip(" \t")
    end = found.end()
    parameters = parse_parameters(text, end) if end < len(text) else NO_PARAMETERS
    return NameAddr(display, parse_uri(uri), parameters)


def _parse_addr_spec(text: str) -> NameAddr:
    end = text.find(";")
    if end < 0:
        end = len(text)
    uri = text[:end].rstrip(" \t")
    if "?" in uri or "," in uri or "<" in uri:
        raise ParseError("value", "addr-spec")
    return NameAddr("", parse_uri(uri), parse_parameters(text, end))


@dataclass(frozen=True, slots=True)
class CSeq:
    """The number and the method of a request."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@remembering
def parse_cseq(text: str) -> CSeq:
    """Read a CSeq; its number has 31 bits (RFC 3261, section 8.1.1.5)."""
    found = _cseq(text)
    if found is None:
        raise ParseError("value", "CSeq")
    number = int(found[1])
    if number > 0x7FFFFFFF:
        raise ParseError("value", "CSeq")
    return CSeq(number, found[2])


def parse_call_id(text: str) -> str:
    """Read a Call-ID: one word, compared byte by byte."""
    if not _call_id(text):
        raise ParseError("value", "Call-ID")
    return text


@dataclass(frozen=True, slots=True)
class RAck:
    """Which reliable provisional response a PRACK acknowledges (RFC 3262, section 7.2)."""

    rseq: int
    cseq: int
    method: str

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_rack(text: str) -> RAck:
    """Read a RAck."""
    found = _rack(text)
    if found is None:
        raise ParseError("value", "RAck")
    return RAck(parse_number(found[1]), parse_number(found[2]), found[3])


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type, type and subtype in lower case."""

    type: str
    subtype: str
    parameters: Parameters = NO_PARAMETERS

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{self.parameters}"

    @property
    def essence(self) -> str:
        """Type and subtype without parameters, such as "application/sdp"."""
        return f"{self.type}/{self.subtype}"


def parse_media_type(text: str) -> MediaType:
    """Read a Content-Type."""
    found = _media_type(text)
    if found is None:
        raise ParseError("value", "Content-Type")
    return MediaType(found[1].lower(), found[2].lower(), parse_parameters(text, found.end()))


@dataclass(frozen=True, slots=True)
class Word:
    """A token with parameters: Event, Subscription-State, Reason, Content-Disposition."""

    value: str
    parameters: Parameters = NO_PARAMETERS

    def __str__(self) -> str:
        return f"{self.value}{self.parameters}"


def parse_word(text: str) -> Word:
    """Read a token with parameters; the token keeps its case."""
    found = _word(text)
    if found is None:
        raise ParseError("value", "token")
    return Word(found[1], parse_parameters(text, found.end()))


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time with parameters: Session-Expires, Min-SE, Retry-After. A comment is dropped."""

    seconds: int
    parameters: Parameters = NO_PARAMETERS

    def __str__(self) -> str:
        return f"{self.seconds}{self.parameters}"

    @property
    def refresher(self) -> str:
        """Who refreshes a session: "uac", "uas", or "" where it is left open (RFC 4028)."""
        return self.parameters.get("refresher", "").lower()


def parse_seconds(text: str) -> Seconds:
    """Read delta-seconds with parameters."""
    found = _seconds(text)
    if found is None:
        raise ParseError("value", "delta-seconds")
    return Seconds(parse_number(found[1]), parse_parameters(text, found.end()))


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog that an INVITE is to replace (RFC 3891)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def parse_replaces(text: str) -> Replaces:
    """Read a Replaces; both tags must be there."""
    call_id, semicolon, _ = text.partition(";")
    parameters = parse_parameters(text, len(call_id)) if semicolon else NO_PARAMETERS
    to_tag, from_tag = parameters.get("to-tag", ""), parameters.get("from-tag", "")
    if not to_tag or not from_tag:
        raise ParseError("value", "Replaces")
    return Replaces(
        parse_call_id(call_id.rstrip(" \t")), to_tag, from_tag, "early-only" in parameters
    )


@dataclass(frozen=True, slots=True)
class Challenge:
    """
    A challenge or credentials: a scheme and its parameters (RFC 3261, section 25.1; RFC 7616).

    The parameters keep their quotes: whether one is quoted matters to some readers.
    """

    scheme: str
    parameters: Parameters

    def __str__(self) -> str:
        listed = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.scheme} {listed}"

    def text(self, name: str) -> str | None:
        """Return a parameter without its quotes, or None where it is absent."""
        return self.parameters.text(name)


Credentials = Challenge


def parse_challenge(text: str) -> Challenge:
    """Read the one challenge, or the credentials, of a header field."""
    found = _challenge(text)
    if found is None:
        raise ParseError("value", "challenge")
    return Challenge(found[1], parse_auth_parameters(text[found.end() :]))


def parse_credentials(text: str) -> Credentials:
    """Read Authorization or Proxy-Authorization."""
    return parse_challenge(text)


def parse_max_forwards(text: str) -> int:
    """Read how many hops are left: one byte."""
    return parse_number(text, 255)


def parse_expires(text: str) -> int | None:
    """Read an Expires; one that is no number counts as missing (RFC 3261, section 10.2.1.1)."""
    try:
        return parse_number(text)
    except ParseError:
        return None


def parse_token(text: str) -> str:
    """Read a token: a method in Allow, an option tag in Require."""
    if not is_token(text):
        raise ParseError("value", "token")
    return text


TypedHeader = (
    Via | NameAddr | CSeq | RAck | MediaType | Word | Seconds | Replaces | Challenge | SipUri
)
"""A value that prints itself as a header field's."""
