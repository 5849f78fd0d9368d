"""Reading what the load generators print."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load import LoadFailed, Traffic, checked, figures
from benchmarks.stall_probe import answered, ping, ponged, request

RUN = {"kind": "run", "cpu_us_per_pkt": 9.5, "bad_chan": 0, "bad_src": 0, "rtt_us": [1, 2, 3, 4]}


def lines(*records: dict[str, object]) -> str:
    """Generator output with these records."""
    return "".join(json.dumps(record) + "\n" for record in records)


class GeneratorOutputTests(SynchronousTestCase):
    """A run counts only if the generator did all that it was told."""

    def test_lists_become_percentiles(self) -> None:
        """A list of four is p50, p99, p99.9 and the maximum; words are left out."""
        kind, found = figures(json.dumps({**RUN, "leg": "udp"}))
        self.assertEqual(kind, "run")
        self.assertEqual(found["rtt_us_p50"], 1.0)
        self.assertEqual(found["rtt_us_max"], 4.0)
        self.assertNotIn("leg", found)

    def test_a_whole_run(self) -> None:
        """With every allocation made, the phases are given by name."""
        records = checked(lines({"kind": "setup", "ready": 2}, RUN), "", Traffic(clients=2))
        self.assertEqual(records["run"]["cpu_us_per_pkt"], 9.5)

    def test_missing_allocations_fail_the_run(self) -> None:
        """Fewer allocations than clients is a failure that names the server's last error."""
        output = lines({"kind": "setup", "ready": 1, "last_error": 486}, RUN)
        failure = self.assertRaises(LoadFailed, checked, output, "", Traffic(clients=2))
        self.assertEqual(str(failure), "1 of 2 allocations over udp: last error 486")

    def test_no_output_fails_the_run(self) -> None:
        """A generator that died says why on its error output."""
        failure = self.assertRaises(LoadFailed, checked, "", "connect: refused\n", Traffic())
        self.assertIn("connect: refused", str(failure))

    def test_packets_gone_astray_fail_the_run(self) -> None:
        """A packet on another client's channel is not a cheap packet."""
        output = lines({"kind": "setup", "ready": 2}, {**RUN, "bad_chan": 1})
        self.assertRaises(LoadFailed, checked, output, "", Traffic(clients=2))

    def test_ports_that_were_to_be_shared(self) -> None:
        """With a port for each allocation it is not the relay that was to be measured."""
        setup = {"kind": "setup", "ready": 2, "relay_ports": 2}
        shared = Traffic(clients=2, shares_ports=True)
        failure = self.assertRaises(LoadFailed, checked, lines(setup, RUN), "", shared)
        self.assertEqual(str(failure), "2 relay ports, one for each allocation")
        self.assertIn("run", checked(lines({**setup, "relay_ports": 1}, RUN), "", shared))


class StallProbeTests(SynchronousTestCase):
    """The probe tells the answers to its own Bindings from everything else."""

    def test_answer(self) -> None:
        """A Binding success response carries the serial number back."""
        sent = request(7)
        self.assertEqual(answered(b"\x01\x01" + sent[2:]), 7)

    def test_everything_else(self) -> None:
        """A request, an error response, another cookie and short data answer nothing."""
        sent = request(7)
        others = [sent, b"\x01\x11" + sent[2:], b"\x01\x01\x00\x00" + bytes(16), sent[:19], b""]
        self.assertEqual([answered(data) for data in others], [None] * len(others))

    def test_pings_of_rtpengine(self) -> None:
        """Its answer repeats the cookie; those to another process and refusals are none."""
        cookie = ping(7).partition(b" ")[0]
        self.assertEqual(ponged(cookie + b" d6:result4:ponge"), 7)
        others = [
            ping(7),
            cookie + b" d6:result5:errore",
            b"1" + cookie + b" d6:result4:ponge",
            b"",
        ]
        self.assertEqual([ponged(data) for data in others], [None] * len(others))
