"""The benchmark of bridges: what rtpload and rtpengine are told, and what is read of them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.bridge import QUICK, BridgeBench, checked, growth, rate_of
from benchmarks.bridge_servers import Bridge, endpoints, until_ready
from benchmarks.load import LoadFailed
from benchmarks.rtpengine import Value, bdecode, bencode
from benchmarks.sdes import AES_CM, CLEAR
from benchmarks.servers import ServerDidNotStart

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
        lines = [line.split() for line in endpoints(50, AES_CM, 40000)]
        ports = [port for line in lines for port in line[:2]]
        self.assertEqual({len(line) for line in lines}, {9})
        self.assertEqual(len(set(ports)), 100)

    def test_only_the_second_endpoint_is_encrypted(self) -> None:
        """And each of its two ways has a key of its own; in the clear there is none."""
        secure, plain = (endpoints(1, suite, 40000)[0].split() for suite in (AES_CM, CLEAR))
        self.assertEqual(secure[5:7], ["-", "-"])
        self.assertEqual([len(key) for key in secure[7:]], [40, 40])
        self.assertNotEqual(secure[7], secure[8])
        self.assertEqual(plain[5:], ["-"] * 4)


class OurBridgeTests(SynchronousTestCase):
    """What our media plane says of itself before it is ready."""

    def said(self, output: bytes) -> dict[str, str]:
        """What is read of a process with this output."""
        return until_ready(SimpleNamespace(stdout=io.BytesIO(output)))  # type: ignore[arg-type]

    def test_until_ready(self) -> None:
        """Its data plane and the port of its Bindings, by name."""
        output = b"data plane: native\nstun-port: 5\nready\nlater: 1\n"
        self.assertEqual(self.said(output), {"data plane": "native", "stun-port": "5"})

    def test_an_end_before_that(self) -> None:
        """Is a server that did not start."""
        self.assertRaises(ServerDidNotStart, self.said, b"data plane: native\n")


class LoadTests(SynchronousTestCase):
    """What rtpload saw."""

    RUN = {
        "bad": 0, "undecryptable": 0, "lat_us": [1.0, 2.0, 3.0], "sent_a": 50, "sent_b": 50,
        "secs": 1.0, "loss": 0.0, "cpu_us_per_pkt": 9.5, "rss_kb": 1,
    }  # fmt: skip

    def test_a_whole_run(self) -> None:
        """How much of what was wanted was sent, and the three marks of the delay."""
        found = checked("ours", 100, json.dumps(self.RUN))
        self.assertEqual((found.sent, found.delays), (1.0, (1.0, 2.0, 3.0)))

    def test_wrong_packets(self) -> None:
        """A packet that came out wrong spoils the run."""
        for fault in ("bad", "undecryptable"):
            output = json.dumps(self.RUN | {fault: 1})
            self.assertRaises(LoadFailed, checked, "ours", 100, output)

    def test_no_call_is_a_loop(self) -> None:
        """Few calls get fewer packets than would end one; many get all."""
        self.assertEqual([rate_of(calls) for calls in (1, 5, 1000)], [2000, 10000, 10000])


class RowTests(SynchronousTestCase):
    """Rows of bridges that do not start."""

    def test_growth_needs_both(self) -> None:
        """Without a bridge there is no row, and no plot."""

        @contextlib.contextmanager
        def refusing(calls: int, suite: str) -> Iterator[Bridge]:
            raise ServerDidNotStart("no port")
            yield

        bench = BridgeBench(
            starts=(refusing, refusing), twin=refusing, extent=QUICK, limit=QUICK.limit
        )
        self.assertRaises(ServerDidNotStart, list, growth(bench))
        self.assertEqual(bench.plots, {})
