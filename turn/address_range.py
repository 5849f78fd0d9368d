"""
The grammar of peer addresses in a configuration: an address, ``first-last`` or CIDR.
"""

from __future__ import annotations

import ipaddress

from turn.settings import AddressRange


def parse_address_range(text: str) -> AddressRange:
    """
    Read ``192.0.2.1``, ``192.0.2.1-192.0.2.9`` or ``192.0.2.0/24``, IPv6 alike.

    Raises ValueError with a sentence that says what is wrong.
    """
    text = text.strip()
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
