"""
Hypothesis strategies for what travels on the wire: addresses, ids and text.
"""

from __future__ import annotations

import socket

from hypothesis import settings
from hypothesis import strategies as st

from turn.five_tuple import Address

# A deadline measures how busy the machine is, not whether the code is right.
settings.register_profile("webrtc-suite", deadline=None)
settings.load_profile("webrtc-suite")

ports = st.integers(0, 0xFFFF)
transaction_ids = st.binary(min_size=12, max_size=12)
classic_transaction_ids = st.binary(min_size=16, max_size=16).filter(
    lambda identity: identity[:4] != b"\x21\x12\xa4\x42"
)
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
