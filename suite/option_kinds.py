"""
What an option's text may be: parsers that say what is wrong with a text.

A ``Kind`` is shared by the option table, which checks with it, and by whoever makes settings of
the checked text, so both read a value alike.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from turn.address_range import parse_address_range
from turn.five_tuple import Address
from turn.settings import AddressRange, ExternalAddress, Network, StaticUser
from turn.stun.integrity import opaque_string

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)
T_co = TypeVar("T_co", covariant=True)

LOCALHOST = "localhost"
"""In place of an address: every loopback address that this machine has."""
AUTO = "auto"
RANDOM = "random"


class BadValue(ValueError):
    """The text is not a value of its kind. No message of a secret's kind holds the text."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """One form of value. ``numeric`` forgives the ``;`` that coTURN's number parser skips."""

    accepted: str
    example: str
    parse: Callable[[str], T_co]
    numeric: bool = False


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in ("1", "on", "yes", "true", "t", "y"):
        return True
    if word in ("0", "off", "no", "false", "f", "n"):
        return False
    raise BadValue("not a yes or no")


def whole_number(text: str, least: int, most: int) -> int:
    """The number that the text is, if it lies within the bounds."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadValue("not a whole number")
    number = int(text)
    if number < least:
        raise BadValue(f"below {least}")
    if number > most:
        raise BadValue(f"above {most}")
    return number


def integers(least: int, most: int, example: int, unit: str = "") -> Kind[int]:
    """Whole numbers from ``least`` to ``most``."""
    accepted = f"{least} to {most}{unit and ' '}{unit}"
    return Kind(accepted, str(example), lambda text: whole_number(text, least, most), numeric=True)


def choices(of: type[Choice], example: str) -> Kind[Choice]:
    """One word of an enumeration."""

    def parse(text: str) -> Choice:
        for each in of:
            if text.lower() == each.lower():
                return each
        raise BadValue("not one of the words")

    return Kind(", ".join(of), example, parse)


def words(*allowed: str) -> Kind[str]:
    """One of a few words, without regard to case."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise BadValue("not one of the words")
        return text.lower()

    return Kind(", ".join(allowed), allowed[0], parse)


def plain_text(text: str) -> str:
    """The text, if nothing in it is a control character."""
    if not text.isprintable():
        raise BadValue("holds a control character")
    return text


def _some_text(text: str) -> str:
    if not text:
        raise BadValue("empty")
    return plain_text(text)


def _file_name(text: str) -> Path:
    if not text:
        raise BadValue("empty")
    return Path(plain_text(text))


def canonical_host(text: str) -> str:
    """The one spelling of an IP address; IPv4 inside IPv6 comes out as IPv4."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise BadValue("not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise BadValue("a zone is not accepted")
        return str(address.ipv4_mapped or address)
    return str(address)


def _listen_host(text: str) -> str:
    return LOCALHOST if text.lower() == LOCALHOST else canonical_host(text)


def endpoint(text: str, host: Callable[[str], str], default_port: int | None) -> Address:
    """``host:port`` or ``[host]:port``; without a default the port must be there."""
    found = re.fullmatch(r"(\[[^]]*\]|[^:\[\]]*)(?::([^:]*))?", text)
    if not found:
        raise BadValue("not an address and a port (IPv6 goes in brackets)")
    if found[2] is None and default_port is None:
        raise BadValue("the port is missing")
    port = default_port if found[2] is None else whole_number(found[2], 1, 65535)
    return host(found[1]), port or 0


_NAME = re.compile(r"(?!.*-\.)(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")


def host_or_name(text: str) -> str:
    """An IP address, or a name that DNS may know."""
    if text.startswith("[") or not _NAME.fullmatch(text) or text.replace(".", "").isdigit():
        return canonical_host(text)
    return text.lower()


def _check_opaque(what: str, text: str) -> None:
    """Refuse what cannot be hashed into a key: no client could ever use it."""
    try:
        opaque_string(text)
    except ValueError:
        raise BadValue(f"{what} holds a character that RFC 8265 forbids") from None


def _realm(text: str) -> str:
    realm = _some_text(text)
    _check_opaque("the realm", realm)
    return realm


def _user(text: str) -> StaticUser:
    name, colon, password = text.partition(":")
    if not colon:
        raise BadValue("the colon between name and password is missing")
    if not name or not name.isprintable() or len(name.encode()) > 508:
        raise BadValue("the name is empty, too long or holds a control character")
    _check_opaque("the name", name)
    if not password.startswith("0x"):
        if password:
            _check_opaque("the password", password)
        return StaticUser(name, password=plain_text(password))
    try:
        key = binascii.unhexlify(password[2:])
    except ValueError:
        key = b""
    if len(key) != 16:
        raise BadValue("what follows 0x is not an MD5 key")
    return StaticUser(name, md5_key=key)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        return _unwrapped(network)
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValue("not a network") from None
    raise BadValue(f"address bits are set behind the prefix length, was {meant} meant?")


def _unwrapped(network: Network) -> Network:
    """A network of IPv4-mapped addresses is the IPv4 network, as peers are judged unwrapped."""
    inside = isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped
    if inside and network.prefixlen >= 96:
        return ipaddress.IPv4Network((int(inside), network.prefixlen - 96))
    return network


def _address_range(text: str) -> AddressRange:
    if "%" in text:
        raise BadValue("a zone is not accepted")
    if "/" in text:
        _network(text)
    try:
        return parse_address_range(text)
    except ValueError as wrong:
        raise BadValue(str(wrong)) from None


def _external(text: str) -> ExternalAddress | None:
    if text.lower() == AUTO:
        return None
    public, slash, local = text.partition("/")
    hosts = [canonical_host(host) for host in ((public, local) if slash else (public,))]
    if any(ipaddress.ip_address(host).is_unspecified for host in hosts):
        raise BadValue("the unspecified address is nobody's")
    if len({ipaddress.ip_address(host).version for host in hosts}) > 1:
        raise BadValue("the two addresses are of different families")
    return ExternalAddress(public=hosts[0], local=hosts[1] if slash else None)


def listed(kind: Kind[T], example: str) -> Kind[tuple[T, ...]]:
    """Several values in one, parted by commas or blanks."""

    def parse(text: str) -> tuple[T, ...]:
        parts = [part for part in re.split(r"[,\s]+", text) if part]
        if not parts:
            raise BadValue("an empty list")
        return tuple(kind.parse(part) for part in parts)

    return Kind(f"a list of: {kind.accepted}", example, parse)


def _separator(text: str) -> str:
    if len(text) != 1 or not text.isprintable() or text.isdigit():
        raise BadValue("not one character, or a digit")
    return text


def _ciphers(text: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
    except (ssl.SSLError, ValueError):
        raise BadValue("OpenSSL knows none of these ciphers") from None
    return text


def _metrics_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise BadValue("does not begin with / or holds a blank")
    return text


def _pem_path(text: str) -> Path:
    if re.fullmatch(r"([0-9A-Fa-f]{2}[ :]?){20}", text):
        raise BadValue("a certificate thumbprint, which only Windows knows")
    return _file_name(text)


BOOLEAN = Kind("true or false (on, yes, 1; off, no, 0)", "true", _boolean)
PORT = integers(1, 65535, 3478)
PORT_OR_OFF = integers(0, 65535, 9641)
COUNT = integers(0, 10**9, 100)
BYTES_PER_SECOND = integers(0, 10**15, 3_000_000, "bytes per second")
SECONDS = integers(1, 10**8, 600, "seconds")
SECONDS_OR_NEVER = integers(0, 10**8, 600, "seconds")
TEXT = Kind("text without control characters", "example.org", _some_text)
SECRET = Kind("text without control characters", "a long random word", plain_text)
PATH = Kind("the path of a file", "/etc/webrtc-suite/file", _file_name)
PEM = Kind("the path of a PEM file", "/etc/webrtc-suite/fullchain.pem", _pem_path)
HOST = Kind("an IP address", "192.0.2.10", canonical_host)
LISTEN_HOST = Kind("an IP address of this machine, or localhost", "192.0.2.10", _listen_host)
LISTEN_ENDPOINT = Kind(
    "address:port", "[2001:db8::1]:443", lambda text: endpoint(text, _listen_host, None)
)
ENDPOINT = Kind("address:port", "192.0.2.7:3478", lambda text: endpoint(text, host_or_name, 3478))
EXTERNAL = Kind("public, public/private, or auto", "198.51.100.7/10.0.0.7", _external)
REALM = Kind("text without control characters, after RFC 8265", "example.org", _realm)
USER = Kind("name:password or name:0x and 32 hex digits", "alice:her password", _user)
ADDRESS_RANGE = Kind("an address, first-last, or CIDR", "10.0.0.0-10.255.255.255", _address_range)
NETWORK = Kind("a network in CIDR form", "10.1.0.0/16", _network)
NETWORKS = listed(NETWORK, "10.1.0.0/16, 2001:db8::/32")
PORTS = listed(PORT, "443, 8443")
SEPARATOR = Kind("one character that is no digit", ":", _separator)
CIPHERS = Kind("OpenSSL's cipher list", "ECDHE+AESGCM", _ciphers)
URL_PATH = Kind("a path that begins with /", "/metrics", _metrics_path)
