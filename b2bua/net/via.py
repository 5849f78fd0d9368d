"""
Where a request came from and where its answer goes (RFC 3261, section 18.2; RFC 3581).

Pure: the top Via is read and completed, nothing is sent.
"""

from __future__ import annotations

from typing import Final

from b2bua.sip.grammar import split_list
from b2bua.sip.hop import DATAGRAM, Hop
from b2bua.sip.message import Request, Response

DEFAULT_PORTS: Final = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}

_SIZE_ON_UDP: Final = 1300
"""A longer request is not trusted to UDP (RFC 3261, section 18.1.1)."""
_VIA_UDP: Final = b"\r\nVia: SIP/2.0/UDP "
_VIA_TCP: Final = b"\r\nVia: SIP/2.0/TCP "


def record_source(request: Request, hop: Hop) -> None:
    """
    Write into the top Via where the request really came from; what a peer put there is replaced.

    Raises ParseError where the Via cannot be read.
    """
    via = request.via
    parameters = via.parameters
    if via.wants_rport:
        parameters = parameters.with_value("rport", str(hop.port))
    elif via.host == hop.host and not via.received:
        return
    parameters = parameters.with_value("received", hop.host)
    rows = request.get_rows("Via")
    elements = split_list(rows[0])
    # The sender finds its own host and port as it wrote them.
    elements[0] = elements[0].partition(";")[0].rstrip() + str(parameters)
    request.replace("Via", ", ".join(elements), *rows[1:])


def answer_hop(response: Response, hop: Hop) -> Hop:
    """
    Where a response goes whose request came over ``hop``, if no connection leads back.

    To the address that the request came from; to its port too where the sender asked for that,
    else to the port that it named.
    """
    via = response.via
    if hop.transport == DATAGRAM and via.wants_rport:
        return hop
    port = via.port or DEFAULT_PORTS.get(hop.transport, 5060)
    return Hop(hop.transport, hop.host, port, hop.flow)


def is_too_long_for_udp(data: bytes) -> bool:
    """Return whether a request of these bytes should rather go by TCP."""
    return len(data) > _SIZE_ON_UDP


def by_tcp(data: bytes) -> bytes:
    """Return a request of ours as it goes by TCP, though its Via was made for UDP."""
    head, separator, body = data.partition(b"\r\n\r\n")
    return head.replace(_VIA_UDP, _VIA_TCP, 1) + separator + body
