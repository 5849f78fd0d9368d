"""
Hypothesis strategies for what travels on the wire: addresses, STUN messages, frames and junk.
"""

from __future__ import annotations

import socket

from hypothesis import strategies as st

from turn.five_tuple import Address
from turn.stun import channel_data
from turn.stun.attributes import Attribute
from turn.stun.message import Class, Integrity, Method, encode

_TRAILING = (
    Attribute.MESSAGE_INTEGRITY,
    Attribute.MESSAGE_INTEGRITY_SHA256,
    Attribute.FINGERPRINT,
)

ports = st.integers(0, 0xFFFF)
transaction_ids = st.binary(min_size=12, max_size=12)
classic_transaction_ids = st.binary(min_size=16, max_size=16).filter(
    lambda identity: identity[:4] != b"\x21\x12\xa4\x42"
)
methods = st.sampled_from(list(Method)) | st.integers(0, 0xFFF)
classes = st.sampled_from(list(Class))
keys = st.binary(max_size=100)
phrases = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)

ipv4_hosts = st.binary(min_size=4, max_size=4).map(lambda b: socket.inet_ntop(socket.AF_INET, b))
_ipv6_bytes = st.one_of(
    st.binary(min_size=16, max_size=16),
    # Runs of zeros, and the forms that end in an IPv4 address.
    st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xff\xff"]), min_size=8, max_size=8).map(
        b"".join
    ),
    st.binary(min_size=4, max_size=4).map(lambda b: bytes(10) + b"\xff\xff" + b),
    st.binary(min_size=4, max_size=4).map(lambda b: bytes(12) + b),
)
ipv6_hosts = _ipv6_bytes.map(lambda b: socket.inet_ntop(socket.AF_INET6, b))
hosts = ipv4_hosts | ipv6_hosts


def addresses() -> st.SearchStrategy[Address]:
    """Transport addresses of both families."""
    return st.tuples(hosts, ports)


def attributes(max_size: int = 6) -> st.SearchStrategy[list[tuple[int, bytes]]]:
    """Lists of attributes, known and unknown, with any value; none of them ends a message."""
    kinds = st.sampled_from(list(Attribute)).map(int) | st.integers(0, 0xFFFF)
    return st.lists(
        st.tuples(kinds.filter(lambda kind: kind not in _TRAILING), st.binary(max_size=70)),
        max_size=max_size,
    )


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Whole valid messages, some of them classic, some with integrity and FINGERPRINT."""
    method, message_class = draw(methods), draw(classes)
    if draw(st.integers(0, 9)) == 0:
        identity = draw(classic_transaction_ids)
        return encode(method, message_class, identity, draw(attributes()), classic=True)
    return encode(
        method,
        message_class,
        draw(transaction_ids),
        draw(attributes()),
        key=draw(st.none() | keys),
        integrity=draw(st.sampled_from(Integrity)),
        fingerprint=draw(st.booleans()),
    )


@st.composite
def mutated_messages(draw: st.DrawFn) -> bytes:
    """Valid messages with a few bytes changed, cut off, put in or added; a few stay valid."""
    data = bytearray(draw(messages()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["replace", "cut", "insert", "append", "relabel"]))
        if change == "replace" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at:]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif change == "append":
            data += draw(st.binary(max_size=40))
        elif change == "relabel" and len(data) >= 20:
            # The length field agrees again, so that the attributes are looked at.
            data[2:4] = (len(data) - 20 & 0xFFFC).to_bytes(2, "big")
            del data[20 + (len(data) - 20 & 0xFFFC) :]
    return bytes(data)


@st.composite
def headed_junk(draw: st.DrawFn) -> bytes:
    """A right header before anything at all, so that the attributes are looked at."""
    body = draw(st.binary(max_size=120))
    body = body[: len(body) & ~3]
    head = draw(st.integers(0, 0x3FFF)).to_bytes(2, "big") + len(body).to_bytes(2, "big")
    return head + b"\x21\x12\xa4\x42" + draw(transaction_ids) + body


def malformed() -> st.SearchStrategy[bytes]:
    """Byte strings that a decoder must survive; nearly all of them are to be refused."""
    return st.one_of(st.binary(max_size=200), mutated_messages(), headed_junk())


def channel_frames() -> st.SearchStrategy[bytes]:
    """ChannelData without padding, of every channel number that streams carry."""
    return st.builds(
        lambda number, payload: channel_data.pack(number, payload, padded=False),
        st.integers(0x4000, 0x7FFF),
        st.binary(max_size=60),
    )
