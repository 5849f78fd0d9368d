"""Strategies for messages that no honest peer sends: real ones, with faults that matter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st

from tests.b2bua.network import OURS, PHONE, SERVER_A, SERVER_B

Mutation = Callable[[bytes], bytes]

STRANGER: Final = "203.0.113.66"
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_LIST: Final = ["", ",", "a,,b", 'a"', "100rel", "timer", "replaces", "x, 100rel", "\\", "é"]
_NUMBER: Final = ["", "0", "1", "-1", "90", "2147483647", "4294967296", "9" * 25, "1;refresher=uac"]
_ADDRESS: Final = [
    "",
    "*",
    "<sip:x@127.0.0.1:9>",
    "<sip:192.0.2.1:5066>",
    "<sip:x@victim.example;transport=sctp>",
    "<sip:x@[::1]:5060;transport=tls>",
    "<sip:x@192.0.2.11;transport=a/b>;expires=1",
    "<sip:%0d%0aX:%20y@192.0.2.12;method=BYE?Route=%3Cx%3E>",
    "<sips:x@0.0.0.0:1>",
    "<tel:+1-2(3);x=y>",
    "<urn:service:sos>",
    '"a\\"b\\\\" <sip:1001@x;lr>;tag=',
    "sip:1001@x;tag=zz",
    "<sip:a;lr>, <sip:b>",
    "<sip:@x>",
]
HOSTILE: Final[dict[str, list[str]]] = {
    "Via": [
        "",
        "x",
        "a,,b",
        "SIP/2.0/UDP h;branch=z9hG4bK",
        "SIP/2.0/SCTP [::1]:1;rport;received=x",
    ],
    "From": _ADDRESS,
    "To": _ADDRESS,
    "Contact": _ADDRESS,
    "Route": _ADDRESS,
    "Record-Route": _ADDRESS,
    "Path": _ADDRESS,
    "P-Asserted-Identity": _ADDRESS,
    "Diversion": [*_ADDRESS, '<sip:x@y>;privacy="'],
    "History-Info": _ADDRESS,
    "Require": _LIST,
    "Supported": [*_LIST, "100rel, timer"],
    "Allow": [*_LIST, "UPDATE, INVITE, INFO"],
    "Allow-Events": [*_LIST, "talk, hold"],
    "CSeq": ["1 BYE", "0 INVITE", "2147483647 INVITE", "2147483647 INFO", "1 ACK", "1 NOTIFY", "x"],
    "Call-ID": ["", "x", "core1"],
    "Max-Forwards": _NUMBER,
    "Content-Length": _NUMBER,
    "Expires": _NUMBER,
    "Session-Expires": _NUMBER,
    "Min-SE": _NUMBER,
    "RSeq": _NUMBER,
    "Retry-After": [*_NUMBER, "5 (a"],
    "RAck": [*_NUMBER, "1 1 INVITE", "4294967295 4294967295 INVITE"],
    "Replaces": [
        "",
        "x",
        "x;to-tag=a;from-tag=b",
        "x;to-tag=;from-tag=",
        "core1;to-tag=core2;from-tag=a1",
    ],
    "Event": ["", "talk", "hold;x", "Talk", "refer", '"', "presence"],
    "Content-Type": [
        *("", "application/sdp", "text/plain", "application/dtmf-relay", FORM[1]),
        *("multipart/mixed", "multipart/mixed;boundary=x", 'multipart/mixed;boundary="\\""', "x/"),
    ],
    "Info-Package": ["", "x", "dtmf"],
    "Reason": [
        "",
        "SIP;cause=200",
        "Q.850;cause=x",
        'SIP;text="\\\x01"',
        "SIP;text=é",
        ",",
        'SIP;text="',
    ],
    "User-to-User": ["", "00;encoding=hex", '"\\\x01"', '"', "a b"],
    "Privacy": ["", "id", "none", "a;;b", "é"],
    "X-genesys-a": ["", "%0d%0aX: y", "%", "%ff", "%00", "é", "x" * 2000, '"\\\x01'],
    "X-Genesys-CallUUID": ["", "x"],
    "WWW-Authenticate": ["", "Digest", 'Digest realm="x", nonce="y"', "Basic realm=x"],
    "Warning": ["", "x"],
    "Timestamp": ["", "x"],
}
_SDP: Final = [
    *(
        b"v=1",
        b"o=",
        b"o=- 99999999999999999999 1 IN IP4 x",
        b"c=IN IP4 127.0.0.1",
        b"c=IN IP4 0.0.0.0",
    ),
    *(
        b"c=IN IP6 ::",
        b"c=IN IP4 192.0.2.1",
        b"c=IN IP4 224.0.0.1/127",
        b"c=IN IP4 victim.example",
        b"c=",
    ),
    *(
        b"m=audio 0 RTP/AVP 0",
        b"m=audio 65535 RTP/AVP 0",
        b"m=audio 9 RTP/AVP 8 8 8",
        b"m=audio 9/3 RTP/AVP 0",
    ),
    *(
        b"m=video 9 RTP/AVP 96",
        b"m=audio 70000 RTP/AVP 0",
        b"m=audio 9 RTP/SAVP 0",
        b"m=image 9 udptl t38",
    ),
    *(
        b"a=sendonly",
        b"a=inactive",
        b"a=recvonly",
        b"a=sendrecv",
        b"a=rtpmap:0",
        b"a=rtpmap:101 X/0",
        b"a=rtcp:1",
    ),
    *(
        b"a=rtcp:9 IN IP4 x",
        b"a=rtpmap:8 PCMU/8000",
        b"a=fmtp:101 0-15\r\na=x",
        b"t=",
        b"a=rtcp-mux",
        b"\xff",
    ),
]
_FRAGMENTS: Final = st.sampled_from(
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\0",
        b";",
        b",",
        b'"',
        b"\\",
        b"<",
        b">",
        b"%0d%0a",
        b"\xc3",
        b"%",
        b"@",
        b":",
    ]
) | st.binary(max_size=4)


@st.composite
def _line_changed(draw: st.DrawFn) -> Mutation:
    """A header field, perhaps one more of its name, has a value that nobody expects."""
    name = draw(st.sampled_from(sorted(HOSTILE)))
    value = draw(st.sampled_from(HOSTILE[name]))
    line = f"{name}: {value}".encode()
    is_more = draw(st.booleans())

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [
            it for it in lines if is_more or not it.lower().startswith(name.lower().encode() + b":")
        ]
        return b"\r\n".join([*kept, line]) + gap + body

    return change


@st.composite
def _tagged(draw: st.DrawFn) -> Mutation:
    """A header field that is there gets something appended."""
    at = draw(st.integers(1, 20))
    more = draw(
        st.sampled_from([";tag=x", ";x", ",", ", <sip:y@z>", ";", ";expires=0", '"', ";tag=", " "])
    )

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        at_line = at % len(lines)
        lines[at_line] += more.encode()
        return b"\r\n".join(lines) + gap + body

    return change


@st.composite
def _spliced(draw: st.DrawFn) -> Mutation:
    """Bytes are put in, taken out or repeated."""
    place, cut, middle = draw(st.floats(0, 1)), draw(st.integers(0, 9)), draw(_FRAGMENTS)

    def change(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + middle + data[at + cut :]

    return change


@st.composite
def _described_otherwise(draw: st.DrawFn) -> Mutation:
    """A line of the body is another; Content-Length says so."""
    line, place = draw(st.sampled_from(_SDP)), draw(st.floats(0, 0.99))
    is_more = draw(st.booleans())

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")
        at = int(place * len(lines))
        lines[at : at + (not is_more)] = [line]
        body = b"\r\n".join(lines)
        return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + gap + body

    return change


@st.composite
def _status_changed(draw: st.DrawFn) -> Mutation:
    """A response has another status, a request another method."""
    status = draw(
        st.sampled_from(
            [100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 481, 487, 491, 500, 503, 600]
        )
    )
    method = draw(
        st.sampled_from(["ACK", "BYE", "CANCEL", "INFO", "NOTIFY", "PRACK", "REFER", "UPDATE", "X"])
    )

    def change(data: bytes) -> bytes:
        if data.startswith(b"SIP/2.0 "):
            return b"SIP/2.0 %d" % status + data[11:]
        old = data.partition(b" ")[0]
        return re.sub(
            rb"(CSeq: \d+ )" + old, rb"\1" + method.encode(), method.encode() + data[len(old) :]
        )

    return change


mutations: Final = st.one_of(
    _line_changed(),
    _line_changed(),
    _tagged(),
    _spliced(),
    _described_otherwise(),
    _status_changed(),
)
fates: Final = st.fixed_dictionaries(
    {},
    optional={
        "mutations": st.lists(mutations, min_size=1, max_size=2),
        "copies": st.integers(0, 2),
        "source": st.sampled_from([STRANGER, PHONE, SERVER_A, SERVER_B, OURS]),
        "as_well": st.just(True),
        "late": st.just(True),
    },
)
"""What becomes of one message on its way to the core."""
