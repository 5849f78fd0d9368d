"""PROXY protocol headers, versions 1 and 2."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.proxy_protocol import ProxyHeader, ProxyHeaderError, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
ports = st.integers(0, 65535)


def version_2(command: int, family: int, body: bytes) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def inet(source: str, port: int, destination: str = "192.0.2.1") -> bytes:
    """The address block of version 2."""
    hosts = (ipaddress.ip_address(source), ipaddress.ip_address(destination))
    return b"".join(host.packed for host in hosts) + struct.pack("!HH", port, 443)


class Version1Tests(SynchronousTestCase):
    """The line of text."""

    def test_tcp4_and_tcp6(self) -> None:
        """Source address and port are taken, IPv6 in canonical form."""
        line = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n"
        self.assertEqual(parse(line + b"rest"), ProxyHeader(("198.51.100.7", 40000), len(line)))
        line = b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 1 443\r\n"
        self.assertEqual(parse(line), ProxyHeader(("2001:db8::7", 1), len(line)))

    def test_mapped_ipv4(self) -> None:
        """An IPv4-mapped address is the IPv4 address it stands for."""
        header = parse(b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 443\r\n")
        assert header is not None
        self.assertEqual(header.client, ("198.51.100.7", 1))

    def test_unknown(self) -> None:
        """UNKNOWN keeps the connection's own address, whatever else the line says."""
        for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f::1 x 1 99999\r\n"):
            self.assertEqual(parse(line), ProxyHeader(None, len(line)))

    def test_refused(self) -> None:
        """What the specification does not allow is refused."""
        for line in (
            b"PROXY TCP4 198.51.100.7 192.0.2.1 40000\r\n",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443 \r\n",
            b"PROXY  TCP4 198.51.100.7 192.0.2.1 40000 443\r\n",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 443\r\n",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 +1 443\r\n",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 01 443\r\n",
            b"PROXY TCP4 198.51.100.07 192.0.2.1 1 443\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
            b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 443\r\n",
            b"PROXY TCP4 \xff 192.0.2.1 1 443\r\n",
            b"PROXY UDP4 198.51.100.7 192.0.2.1 1 443\r\n",
            b"PROXY \r\n",
            b"proxy TCP4 198.51.100.7 192.0.2.1 1 443\r\n",
        ):
            self.assertRaises(ProxyHeaderError, parse, line)

    def test_longest_line(self) -> None:
        """107 bytes with the line's end are the most; without an end they are too many."""
        line = b"PROXY UNKNOWN ".ljust(105, b"x")
        self.assertEqual(parse(line + b"\r\n"), ProxyHeader(None, 107))
        self.assertRaises(ProxyHeaderError, parse, line + b"xx\r\n")
        self.assertIsNone(parse(line + b"\r"))

    @given(address=st.ip_addresses(v=4), port=ports)
    def test_round_trip(self, address: ipaddress.IPv4Address, port: int) -> None:
        """Every address and port is read as written."""
        header = parse(f"PROXY TCP4 {address} 192.0.2.1 {port} 443\r\n".encode())
        assert header is not None
        self.assertEqual(header.client, (str(address), port))


class Version2Tests(SynchronousTestCase):
    """The binary header."""

    def test_tcp4_and_tcp6_with_tlvs(self) -> None:
        """Addresses are taken and TLVs skipped."""
        data = version_2(0x21, 0x11, inet("198.51.100.7", 40000) + b"\x04\x00\x01x")
        self.assertEqual(parse(data + b"rest"), ProxyHeader(("198.51.100.7", 40000), len(data)))
        data = version_2(0x21, 0x21, inet("2001:db8::7", 1, "2001:db8::1"))
        self.assertEqual(parse(data), ProxyHeader(("2001:db8::7", 1), len(data)))

    def test_local_and_families_of_no_use(self) -> None:
        """LOCAL, UNSPEC, UDP and UNIX keep the connection's own address."""
        for command, family, body in (
            (0x20, 0x00, b""),
            (0x20, 0x11, inet("198.51.100.7", 1)),
            (0x21, 0x00, b"xyz"),
            (0x21, 0x12, inet("198.51.100.7", 1)),
            (0x21, 0x31, b"u" * 216),
        ):
            data = version_2(command, family, body)
            self.assertEqual(parse(data), ProxyHeader(None, len(data)))

    def test_refused(self) -> None:
        """Other versions, commands, families and sizes are refused."""
        body = inet("198.51.100.7", 1)
        for data in (
            version_2(0x11, 0x11, body),
            version_2(0x22, 0x11, body),
            version_2(0x21, 0x13, body),
            version_2(0x21, 0x41, body),
            version_2(0x21, 0x11, body[:-1]),
            version_2(0x21, 0x21, body),
            version_2(0x21, 0x11, body.ljust(521, b"x")),
        ):
            self.assertRaises(ProxyHeaderError, parse, data)

    def test_longest_header(self) -> None:
        """536 bytes are the most."""
        data = version_2(0x21, 0x11, inet("198.51.100.7", 1).ljust(520, b"x"))
        self.assertEqual(parse(data), ProxyHeader(("198.51.100.7", 1), 536))

    @given(address=st.ip_addresses(v=6), port=ports)
    def test_round_trip(self, address: ipaddress.IPv6Address, port: int) -> None:
        """Every address and port is read as written, a mapped one as IPv4."""
        header = parse(version_2(0x21, 0x21, inet(str(address), port, "::1")))
        assert header is not None
        self.assertEqual(header.client, (str(address.ipv4_mapped or address), port))


class AnyBytesTests(SynchronousTestCase):
    """What holds for all input."""

    @given(
        start=st.sampled_from(
            (b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, SIGNATURE + b"!")
        ),
        rest=st.binary(max_size=600),
    )
    def test_bounded(self, start: bytes, rest: bytes) -> None:
        """No bytes make it fail otherwise, and 536 of them always decide."""
        data = start + rest
        try:
            header = parse(data)
        except ProxyHeaderError:
            return
        if len(data) >= 536:
            self.assertIsNotNone(header)
        if header is not None:
            self.assertLessEqual(header.length, min(len(data), 536))

    def test_splitting_anywhere(self) -> None:
        """No proper prefix is taken for a header or refused."""
        for data in (
            b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n",
            version_2(0x21, 0x11, inet("198.51.100.7", 40000)),
            version_2(0x20, 0x00, b""),
        ):
            for size in range(len(data)):
                self.assertIsNone(parse(data[:size]), data[:size])
            self.assertIsNotNone(parse(data))
