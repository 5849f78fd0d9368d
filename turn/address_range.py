"""
The grammar of peer addresses in a configuration: an address, ``first-last`` or CIDR.
"""

from __future__ import annotations

import ipaddress

from turn.settings import AddressRange

_IPV4_MAPPED = 0xFFFF
_LOW_32 = 0xFFFFFFFF


def parse_address_range(text: str) -> AddressRange:
    """
    Read ``192.0.2.1``, ``192.0.2.1-192.0.2.9`` or ``192.0.2.0/24``, IPv6 alike.

    IPv4-mapped IPv6 is taken for the IPv4 that it stands for, as peers are judged unwrapped. Raises
    ValueError with a sentence that says what is wrong.
    """
    found = _parse(text.strip())
    if found.version == 6 and found.first >> 32 == found.last >> 32 == _IPV4_MAPPED:
        return AddressRange(4, found.first & _LOW_32, found.last & _LOW_32, found.text)
    return found


def _parse(text: str) -> AddressRange:
    first_text, dash, last_text = text.partition("-")
    if dash:
        first, last = ipaddress.ip_address(first_text.strip()), _last(last_text.strip(), text)
        if first.version != last.version:
            raise ValueError(f"{text!r} mixes IPv4 and IPv6")
        if int(first) > int(last):
            raise ValueError(f"{text!r} ends before it begins")
        return AddressRange(first.version, int(first), int(last), text)
    network = ipaddress.ip_network(text, strict=True)
    return AddressRange(
        network.version, int(network.network_address), int(network.broadcast_address), text
    )


def _last(text: str, whole: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if not text:
        raise ValueError(f"{whole!r} has no last address")
    return ipaddress.ip_address(text)
