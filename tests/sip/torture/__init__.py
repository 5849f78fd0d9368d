"""
The messages of RFC 4475 and RFC 5118, byte for byte with CRLF, one file each.

Three of RFC 5118 (ipv6-in-sdp, mult-ip-in-sdp, ipv4-mapped-ipv6) state a Content-Length there that
does not count their body; here it does, since the RFC has them as well-formed.
"""

from __future__ import annotations

from pathlib import Path


def read(rfc: str, name: str) -> bytes:
    """Return the bytes of one message: ``read("rfc4475", "wsinv")``."""
    return (Path(__file__).parent / rfc / f"{name}.dat").read_bytes()


def names(rfc: str) -> set[str]:
    """Return the names of an RFC's messages."""
    return {path.stem for path in (Path(__file__).parent / rfc).glob("*.dat")}
