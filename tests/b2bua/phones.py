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


def _bytes(text: str, body: str = "") -> bytes:
    head = text.strip().replace("\n", "\r\n") + "\r\n\r\n"
    return (head + body.lstrip().replace("\n", "\r\n")).encode()


CORPUS = {
    "sipsak REGISTER": (
        _bytes("""
REGISTER sip:127.0.0.1:4452 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:35729;branch=z9hG4bK.4a1a1866;rport;alias
From: sip:1001@127.0.0.1:4452;tag=b80eb4d
To: sip:1001@127.0.0.1:4452
Call-ID: 192998221@127.0.0.1
CSeq: 1 REGISTER
Content-Length: 0
Max-Forwards: 70
User-Agent: sipsak 0.9.8.1
Expires: 15
Contact: sip:1001@127.0.0.1:35729
"""),
        (401, 403),
    ),
    "sipsak OPTIONS": (
        _bytes("""
OPTIONS sip:100@127.0.0.1:5641 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:60533;branch=z9hG4bK.05e263b1;rport;alias
From: sip:sipsak@127.0.0.1:60533;tag=529e366a
To: sip:100@127.0.0.1:5641
Call-ID: 1386100330@127.0.0.1
CSeq: 1 OPTIONS
Contact: sip:sipsak@127.0.0.1:60533
Content-Length: 0
Max-Forwards: 70
User-Agent: sipsak 0.9.8.1
Accept: text/plain
"""),
        (0, 0),
    ),
    "baresip REGISTER": (
        _bytes("""
REGISTER sip:127.0.0.1:49874;transport=udp SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:39981;branch=z9hG4bK54c996de23c7b67b;rport
Contact: <sip:1001-0x562b786d5610@127.0.0.1:39981>;expires=60
Max-Forwards: 70
To: <sip:1001@127.0.0.1:49874>
From: <sip:1001@127.0.0.1:49874>;tag=481fbf9f2aa00004
Call-ID: 1c9ff9c5a339849e
CSeq: 25342 REGISTER
User-Agent: baresip v1.0.0 (x86_64/linux)
Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,SUBSCRIBE,INFO,MESSAGE,REFER
Content-Length: 0
"""),
        (401, 403),
    ),
    "SIPp INVITE": (
        _bytes(
            """
INVITE sip:service@127.0.0.1:35354 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-26784-1-0
From: sipp <sip:sipp@127.0.0.1:5060>;tag=26784SIPpTag001
To: service <sip:service@127.0.0.1:35354>
Call-ID: 1-26784@127.0.0.1
CSeq: 1 INVITE
Contact: sip:sipp@127.0.0.1:5060
Max-Forwards: 70
Subject: Performance Test
Content-Type: application/sdp
Content-Length: 129
""",
            """
v=0
o=user1 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 6000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
""",
        ),
        (401, 403),
    ),
    "scanner's REGISTER": (
        _bytes("""
REGISTER sip:192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK-3275812;rport
Content-Length: 0
From: "100" <sip:100@192.0.2.1>;tag=3130303131363339
Accept: application/sdp
User-Agent: friendly-scanner
To: "100" <sip:100@192.0.2.1>
Contact: sip:100@192.0.2.1
CSeq: 1 REGISTER
Call-ID: 2936491734
Max-Forwards: 70
"""),
        (401, 403),
    ),
    "scanner's INVITE": (
        _bytes("""
INVITE sip:100@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK-1193817;rport
Content-Length: 0
From: "100" <sip:100@192.0.2.1>;tag=3130303131363339
Accept: application/sdp
User-Agent: friendly-scanner
To: "100" <sip:100@192.0.2.1>
Contact: sip:100@192.0.2.1
CSeq: 1 INVITE
Call-ID: 2936491734
Max-Forwards: 70
"""),
        (401, 403),
    ),
    "least BYE": (wire("BYE", to_tag="a1"), (481, 481)),
    "least CANCEL": (wire("CANCEL"), (481, 481)),
    "least ACK": (wire("ACK"), (0, 0)),
    "REGISTER of nothing": (wire("REGISTER"), (0, 403)),
    "short Via": (wire("INVITE", rport=False, branch="z9hG4bK1"), (0, 403)),
}
"""What phones and scanners send, and how strangers are answered with users and without; 0: not."""
