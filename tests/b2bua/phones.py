"""Requests of phones, as their bytes arrive, for the tests of the registrar and the gate."""

from __future__ import annotations

from b2bua.net.via import record_source
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from b2bua.sip.parser import parse_datagram

UDP = Hop("UDP", "192.0.2.50", 5060, flow=1)
NAT = Hop("UDP", "198.51.100.7", 40_001, flow=1)
TCP = Hop("TCP", "192.0.2.50", 49_152, flow=7)
WSS = Hop("WSS", "203.0.113.9", 50_000, flow=8)

PHONE = "<sip:1001@192.0.2.50:5060>"


def wire(
    method: str = "REGISTER",
    *lines: str,
    dn: str = "1001",
    to: str = "",
    from_: str = "",
    branch: str = "z9hG4bK-524287-1---a3f1c7d2e90b4655",
    call_id: str = "81204Zjk3NTU2",
    sequence: int = 1,
    transport: str = "UDP",
    rport: bool = True,
    to_tag: str = "",
) -> bytes:
    """What a phone sends; without ``lines`` nothing but what every request has."""
    uri = "sip:pbx.example.com" if method == "REGISTER" else "sip:2002@pbx.example.com"
    callee = f"<sip:{dn}@pbx.example.com>" if method == "REGISTER" else "<sip:2002@pbx.example.com>"
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} 192.0.2.50:5060;branch={branch}{';rport' if rport else ''}",
        "Max-Forwards: 70",
        f"From: {from_ or f'<sip:{dn}@pbx.example.com>'};tag=f4a51c39",
        f"To: {to or callee}" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {sequence} {method}",
        *lines,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(head).encode()


def arrived(data: bytes, hop: Hop = UDP) -> Request:
    """The request as it comes from the transport."""
    message = parse_datagram(data)
    assert isinstance(message, Request)
    record_source(message, hop)
    return message


def register(
    *contacts: str,
    expires: int | None = None,
    lines: tuple[str, ...] = (),
    dn: str = "1001",
    to: str = "",
    from_: str = "",
    call_id: str = "81204Zjk3NTU2",
    sequence: int = 1,
) -> Request:
    """A REGISTER of a phone for its DN."""
    rows = [f"Contact: {contact}" for contact in contacts]
    if expires is not None:
        rows.append(f"Expires: {expires}")
    data = wire(
        "REGISTER",
        *rows,
        *lines,
        dn=dn,
        to=to,
        from_=from_,
        call_id=call_id,
        sequence=sequence,
    )
    return arrived(data)
