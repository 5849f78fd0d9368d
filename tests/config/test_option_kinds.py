"""Tests of the forms of value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.option_kinds import (
    ADDRESS_RANGE,
    BOOLEAN,
    CIPHERS,
    ENDPOINT,
    EXTERNAL,
    HOST,
    LISTEN_ENDPOINT,
    NETWORKS,
    PEM,
    PORT,
    REALM,
    USER,
    BadValue,
    Kind,
)
from suite.option_kinds_gateway import (
    CODECS,
    DIAL_NUMBERS,
    DOMAINS,
    EXPIRY,
    LOG_FILTER,
    METRICS,
    SEGMENT,
    STARTUP_FILE,
    VERBOSE,
    Expiry,
    Segment,
)
from suite.option_table import OPTIONS
from suite.settings import LogLevel
from turn.settings import AddressRange, ExternalAddress, StaticUser


class KindTests(SynchronousTestCase):
    """Each form takes its values and refuses the others."""

    def accepts(self, kind: Kind[object], **cases: object) -> None:
        """Each text gives the value."""
        for text, value in cases.items():
            self.assertEqual(value, kind.parse(text), text)

    def refuses(self, kind: Kind[object], *texts: str) -> None:
        """Each text is a bad value."""
        for text in texts:
            self.assertRaises(BadValue, kind.parse, text)

    def test_boolean(self) -> None:
        """coTURN's words in any case; nothing else."""
        for text in ("1", "on", "Yes", "TRUE", "t"):
            self.assertIs(True, BOOLEAN.parse(text))
        for text in ("0", "off", "No", "FALSE", "f"):
            self.assertIs(False, BOOLEAN.parse(text))
        self.refuses(BOOLEAN, "maybe", "", "2", "tru")

    def test_port(self) -> None:
        """1 to 65535, in digits only."""
        self.assertEqual(65535, PORT.parse("65535"))
        self.refuses(PORT, "0", "65536", "-1", "80x", "", "0x50", "8_0", "٣", "9" * 30)

    def test_host(self) -> None:
        """Addresses come out in one spelling; names and zones are refused."""
        self.assertEqual("2001:db8::1", HOST.parse("[2001:DB8:0::1]"))
        self.assertEqual("192.0.2.1", HOST.parse("::ffff:192.0.2.1"))
        self.refuses(HOST, "example.org", "fe80::1%eth0", "1.2.3", "1.2.3.400", "")

    def test_endpoints(self) -> None:
        """IPv6 needs brackets; the port may be left out only where one is usual."""
        self.assertEqual(("::1", 443), LISTEN_ENDPOINT.parse("[::1]:443"))
        self.assertEqual(("localhost", 443), LISTEN_ENDPOINT.parse("localhost:443"))
        self.assertEqual(("stun.example.org", 3478), ENDPOINT.parse("stun.example.org"))
        self.refuses(LISTEN_ENDPOINT, "::1:443", "127.0.0.1", "host:443", "127.0.0.1:0")
        self.refuses(ENDPOINT, "a_b:1", "-a:1", "1.2.3:4")

    def test_address_ranges(self) -> None:
        """coTURN's ``ip`` and ``ip-ip``, and CIDR; IPv4-mapped ones are IPv4."""
        ten = AddressRange(4, 0x0A000000, 0x0AFFFFFF, "10.0.0.0-10.255.255.255")
        self.assertEqual(ten, ADDRESS_RANGE.parse("10.0.0.0-10.255.255.255"))
        cidr = ADDRESS_RANGE.parse("10.0.0.0/8")
        self.assertEqual((4, ten.first, ten.last), (cidr.version, cidr.first, cidr.last))
        one = ADDRESS_RANGE.parse("::1")
        self.assertEqual((6, 1, 1), (one.version, one.first, one.last))
        mapped = ADDRESS_RANGE.parse("::ffff:10.0.0.0/104")
        self.assertEqual((4, ten.first, ten.last), (mapped.version, mapped.first, mapped.last))
        mapped = ADDRESS_RANGE.parse("::ffff:10.0.0.0-::ffff:10.255.255.255")
        self.assertEqual((4, ten.first, ten.last), (mapped.version, mapped.first, mapped.last))
        crossing = ADDRESS_RANGE.parse("::-::ffff:10.0.0.1")
        self.assertEqual((6, 0), (crossing.version, crossing.first))
        self.refuses(
            ADDRESS_RANGE,
            "fe80::1%eth0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.2-10.0.0.1",
            "10.0.0.1-::1",
            "10.0.0",
            "10.0.0.1-",
            "",
            "example.org",
        )

    def test_bad_cidr_names_the_network(self) -> None:
        """Set address bits behind the prefix are refused with the network that fits."""
        with self.assertRaises(BadValue) as caught:
            ADDRESS_RANGE.parse("10.9.0.1/8")
        self.assertIn("10.0.0.0/8", str(caught.exception))

    def test_external(self) -> None:
        """public, public/private and auto; families must agree."""
        self.assertEqual(
            ExternalAddress(public="198.51.100.7", local="10.0.0.7"),
            EXTERNAL.parse("198.51.100.7/10.0.0.7"),
        )
        self.assertEqual(ExternalAddress(public="2001:db8::1"), EXTERNAL.parse("2001:db8::1"))
        self.assertIsNone(EXTERNAL.parse("auto"))
        self.refuses(EXTERNAL, "0.0.0.0", "::", "192.0.2.1/::1", "192.0.2.1/", "host", "")

    def test_user(self) -> None:
        """An open password may hold colons; a key is 16 bytes."""
        user = USER.parse("alice:a:b")
        self.assertEqual(("alice", "a:b", None), (user.name, user.password, user.md5_key))
        keyed = USER.parse("bob:0x" + "ab" * 16)
        self.assertEqual(("bob", None, b"\xab" * 16), (keyed.name, keyed.password, keyed.md5_key))
        self.refuses(USER, "alice", ":x", "a\tb:c", "u" * 509 + ":p")
        self.refuses(USER, "bob:0xzz", "bob:0x" + "ab" * 20)

    def test_what_cannot_be_hashed(self) -> None:
        """Names, passwords and realms that no client can make a key of are refused."""
        self.refuses(
            USER, "al\u00b7ice:word", "alice:wo\u00b7rd", "\u1100:word", "a\u00b7:0x" + "ab" * 16
        )
        self.refuses(REALM, "re\u00b7alm", "\u1100", "")
        self.assertEqual("r\u00e9alm", REALM.parse("r\u00e9alm"))
        self.assertEqual("", USER.parse("alice:").password)

    def test_networks(self) -> None:
        """Commas and blanks part; an empty list is none."""
        self.assertEqual(2, len(NETWORKS.parse("10.0.0.0/8, ::1/128")))
        self.refuses(NETWORKS, "10.0.0.1/8", "x", "", ",")

    def test_ciphers(self) -> None:
        """OpenSSL decides."""
        self.assertEqual("ECDHE+AESGCM", CIPHERS.parse("ECDHE+AESGCM"))
        self.refuses(CIPHERS, "NO-SUCH-CIPHER", "")

    def test_thumbprint(self) -> None:
        """The thumbprint of a Windows certificate is no path."""
        self.refuses(PEM, "aa bb cc dd ee ff 00 11 22 33 44 55 66 77 88 99 aa bb cc dd")
        self.refuses(PEM, "AB" * 20)

    def test_segment_and_expiry(self) -> None:
        """Units as the guide has them, and its bounds."""
        self.accepts(
            SEGMENT,
            **{
                "false": Segment(),
                "10000": Segment(size=10_240_000),
                "100 KB": Segment(size=102_400),
                "1 MB": Segment(size=1_048_576),
                "24 hr": Segment(seconds=86_400),
            },
        )
        self.refuses(SEGMENT, "99", "0 hr", "1 GB", "true", "-5", "")
        self.accepts(EXPIRY, **{"false": Expiry(), "20": Expiry(files=20), "5 day": Expiry(days=5)})
        self.refuses(EXPIRY, "0", "101", "5 weeks", "true")
        self.accepts(STARTUP_FILE, **{"true": True, "5 MB": Segment(size=5 * 1_048_576)})
        self.refuses(STARTUP_FILE, "5", "yes")

    def test_verbose(self) -> None:
        """all and debug are the same; none is nothing."""
        self.accepts(
            VERBOSE, all=LogLevel.DEBUG, debug=LogLevel.DEBUG, none=None, Trace=LogLevel.TRACE
        )
        self.refuses(VERBOSE, "info", "")

    def test_codecs(self) -> None:
        """The guide's grammar; commas within brackets and quotes part nothing."""
        text = '(opus/48000,vp8=100,h264=(pt=108,fmtp="[a=b,c;d=1]"))'
        codecs = CODECS.parse(text)
        self.assertEqual(["opus", "vp8", "h264"], [codec.name for codec in codecs])
        self.assertEqual([None, 100, 108], [codec.payload_type for codec in codecs])
        self.assertEqual("[a=b,c;d=1]", codecs[-1].fmtp)
        self.assertEqual((), CODECS.parse(""))
        self.refuses(CODECS, "g722", "(g722", "(g 722)", "(vp8=200)", "(vp8=(pt=300))", "(a,,b)")

    def test_domains(self) -> None:
        """The guide's five examples, and what is no domain."""
        for text in (
            "*://sub.foo.com:8080",
            "https://*.foo.com:8090",
            "http://*.foo.com:*",
            "*foo.com:*",
            "a.com,b.com",
            "*",
            "https://*",
            "*://*:*",
        ):
            self.assertTrue(DOMAINS.parse(text))
        self.refuses(DOMAINS, "ftp://a.com", "a.com:99999", "a.com/path", "https://", "https://:*")

    def test_dial_numbers(self) -> None:
        """The guide's example; ranges run upwards and hold no wildcards."""
        text = "1020,2020-2050,003000,556*,100*10,123??78,+408555"
        numbers = DIAL_NUMBERS.parse(text)
        for dn in ("1020", "2035", "003000", "5561", "100910", "1230078", "+408555"):
            self.assertTrue(numbers.matches(dn), dn)
        for dn in ("1021", "2051", "3000", "408555"):
            self.assertFalse(numbers.matches(dn), dn)
        self.refuses(DIAL_NUMBERS, "2050-2020", "1*-20", "a", "1,,2", "1-2-3")

    def test_sink_filters(self) -> None:
        """Threes of ranges, and metric numbers up to 141."""
        self.assertEqual("0,1 0-10 * 4 * *", LOG_FILTER.parse("0,1 0-10 * 4 * *"))
        self.refuses(LOG_FILTER, "* *", "a * *")
        self.assertEqual("5-10,70", METRICS.parse("5-10,70"))
        self.refuses(METRICS, "142", "x")

    def test_users_hide_themselves(self) -> None:
        """A user's repr holds no password."""
        self.assertNotIn("hunter2", repr(StaticUser("alice", password="hunter2")))

    @given(st.text(max_size=60))
    def test_only_bad_value(self, text: str) -> None:
        """Whatever the text, a kind gives a value or BadValue."""
        for kind in {id(row.kind): row.kind for row in OPTIONS.rows}.values():
            try:
                kind.parse(text)
            except BadValue as wrong:
                self.assertTrue(str(wrong))
