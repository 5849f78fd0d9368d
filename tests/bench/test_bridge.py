"""The benchmark of bridges: what rtpload and rtpengine are told, and what is read of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.bridge_servers import endpoints
from benchmarks.rtpengine import Value, bdecode, bencode

values = st.recursive(
    st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class BencodeTests(SynchronousTestCase):
    """Requests of rtpengine's control protocol."""

    @given(values)
    def test_what_is_written_is_read(self, value: Value) -> None:
        """Any value comes back as it was."""
        self.assertEqual(bdecode(bencode(value)), value)

    def test_as_others_write_it(self) -> None:
        """Names of a dictionary are in order, lengths are those of UTF-8."""
        self.assertEqual(bencode({"b": [1, "\u00e9"], "a": 0}), b"d1:ai0e1:bli1e2:\xc3\xa9ee")


class EndpointsTests(SynchronousTestCase):
    """The list of calls that rtpload reads."""

    def test_nine_fields_and_no_port_twice(self) -> None:
        """Each call has two ports of its own, and both endpoints' keys."""
        lines = [line.split() for line in endpoints(50, True, 40000)]
        ports = [port for line in lines for port in line[:2]]
        self.assertEqual({len(line) for line in lines}, {9})
        self.assertEqual(len(set(ports)), 100)

    def test_only_the_second_endpoint_is_encrypted(self) -> None:
        """And each of its two ways has a key of its own; in the clear there is none."""
        secure, plain = endpoints(1, True, 40000)[0].split(), endpoints(1, False, 40000)[0].split()
        self.assertEqual(secure[5:7], ["-", "-"])
        self.assertEqual([len(key) for key in secure[7:]], [40, 40])
        self.assertNotEqual(secure[7], secure[8])
        self.assertEqual(plain[5:], ["-"] * 4)
