"""
Forms of value that only the B2BUA's own options have: servers, name servers, ports, switches.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from b2bua.dial_numbers import DialNumbers
from b2bua.settings import EchoAnswer
from b2bua.srv import MOST_RECORDS, IpVersion
from suite.option_kinds import (
    BadValue,
    Kind,
    canonical_host,
    choices,
    endpoint,
    host_or_name,
    integers,
    listed,
    plain_text,
    whole_number,
    words,
)
from turn.five_tuple import Address

AUTO = "auto"
MOST_SERVERS = MOST_RECORDS
PASSWORD_TEXT = "text without control characters, not empty"

_ANY_DN = DialNumbers(patterns=("*", "+*"))


def is_dial_number(text: str) -> bool:
    """Whether the text is one DN: digits, with an optional leading +."""
    return _ANY_DN.matches(text)


def is_address(host: str) -> bool:
    """Whether a host of ours is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _switch(text: str) -> str:
    word = text.lower()
    if word == AUTO:
        return AUTO
    for answer, spellings in (
        ("true", ("true", "on", "yes", "1", "t", "y")),
        ("false", ("false", "off", "no", "0", "f", "n")),
    ):
        if word in spellings:
            return answer
    raise BadValue("neither auto nor a yes or no")


def _servers(text: str) -> tuple[Address, ...]:
    """Port 0 stands for the transport's own."""
    servers = tuple(endpoint(part.strip(), host_or_name, 0) for part in text.split(","))
    if len(servers) > MOST_SERVERS:
        raise BadValue(f"more than {MOST_SERVERS} servers")
    if len(set(servers)) < len(servers):
        raise BadValue("one server stands there twice")
    if any(is_address(host) and ip_address(host).is_unspecified for host, _ in servers):
        raise BadValue("the unspecified address is nobody's")
    return servers


def _service_name(text: str) -> str:
    if re.match(r"_[a-z]+\._(udp|tcp)\.", text.lower()):
        raise BadValue("_sip._udp. and the like are put before it when the DNS is asked")
    if ":" in text and not text.startswith("["):
        raise BadValue("it has no port, the SRV records do")
    try:
        name = host_or_name(text).rstrip(".")
    except BadValue:
        raise BadValue("not a DNS name") from None
    if is_address(name):
        raise BadValue("an address, which has no SRV records; sip-proxy takes addresses")
    return name


def _name_server(text: str) -> Address:
    return endpoint(text, canonical_host, 53)


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash:
        raise BadValue("not two ports with a - between them")
    found = whole_number(first.strip(), 1, 65535), whole_number(last.strip(), 1, 65535)
    if found[0] > found[1]:
        raise BadValue("the first port is above the last")
    return found


def _password(text: str) -> str:
    if not text:
        raise BadValue("empty: everybody would know it")
    return plain_text(text)


def seconds(least: float, most: float, example: str) -> Kind[float]:
    """Seconds, also with a fraction."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
            raise BadValue("not a number of seconds")
        if not least <= float(text) <= most:
            raise BadValue(f"not from {least:g} to {most:g}")
        return float(text)

    return Kind(f"{least:g} to {most:g} seconds", example, parse, numeric=True)


SWITCH = Kind("auto, true or false", AUTO, _switch)
SIP_SERVERS = Kind("address:port of each, parted by commas", "sip-a:5060,sip-b:5060", _servers)
SERVICE_NAME = Kind("a DNS name", "sip.example.com", _service_name)
SIP_HOST = Kind("an IP address or a name, or localhost", "192.0.2.10", host_or_name)
IP_VERSION = choices(IpVersion, "ipv6")
SIP_TRANSPORT = words("udp", "tcp", "tls")
NAME_SERVERS = listed(
    Kind("address:port", "192.0.2.53:53", _name_server), "192.0.2.53, 198.51.100.53:5353"
)
PORT_RANGE = Kind("first-last", "20000-20999", _port_range)
PASSWORD = Kind(PASSWORD_TEXT, "a long random word", _password)
ECHO_ANSWER = choices(EchoAnswer, "on-talk")
FAILOVER_TIME = seconds(0.5, 32, "4")
FAIL_BACK = seconds(0, 86400, "300")
RING_TIME = seconds(5, 3600, "180")
REGISTER_EXPIRES = integers(20, 86400, 140, "seconds")
REGISTER_RATE = integers(1, 10_000, 50, "REGISTER per second")
CALLS = integers(1, 100_000, 2000)
