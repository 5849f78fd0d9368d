"""coturn's own clients with our relay: at least as clean as with coturn itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import uclient
from tests.interop.uclient import Scenario, compare, read_run
from tests.peers import Place, SuiteProcess, run_tool

_CLEAN = """\
5: : start_mclient: tot_send_msgs=80, tot_recv_msgs=80
5: : Total transmit time is 5
5: : Total lost packets 0 (0.000000%), total send dropped 0 (0.000000%)
"""


class ReadRunTests(SynchronousTestCase):
    """What the comparison is made of can tell good from bad."""

    def test_clean(self) -> None:
        """A run without loss has its counts and no complaint."""
        run = read_run(0, _CLEAN)
        self.assertEqual((run.lost, run.received, run.complaints), (0, 80, frozenset()))

    def test_complaints(self) -> None:
        """An error code counts once, whatever the phrase; other errors count as they are."""
        run = read_run(0, "0: : error 443 (X)\n0: : error 443 (Y)\n0: : ERROR: no way\n")
        self.assertEqual(run.complaints, {"error 443", "ERROR: no way"})

    def test_provoked(self) -> None:
        """An error that the client is out for is no complaint."""
        run = read_run(0, "error 443 (X)\nerror 400 (Y)\n", frozenset(["error 443"]))
        self.assertEqual(run.complaints, {"error 400"})

    def test_worse(self) -> None:
        """Loss, an exit code, a missing count or a new complaint each make a run less clean."""
        clean = read_run(0, _CLEAN)
        for exit_code, output in (
            (0, _CLEAN.replace("packets 0", "packets 1")),
            (255, _CLEAN),
            (0, ""),
            (0, "error 400\n" + _CLEAN),
        ):
            self.assertFalse(read_run(exit_code, output).is_as_clean_as(clean), output)
        self.assertTrue(clean.is_as_clean_as(clean))

    def test_drawn(self) -> None:
        """A run with an error that a draw may have brought is done again, no other one is."""
        clean, unlucky = read_run(0, _CLEAN), read_run(0, "channel bind: error 400\n" + _CLEAN)
        plain, drawing = Scenario("-c", ""), Scenario("-G", "", drawn=frozenset(["error 400"]))
        runs = [(drawing, unlucky), (drawing, clean), (plain, unlucky)]
        self.assertEqual([one.is_by_chance(run) for one, run in runs], [True, False, False])
        self.assertFalse(unlucky.is_as_clean_as(clean))

    def test_leaves(self) -> None:
        """What a client that leaves has lost does not count; all else does."""
        clean = read_run(0, _CLEAN)
        left = read_run(0, _CLEAN.replace("packets 0", "packets 9"))
        self.assertTrue(left.is_as_clean_as(clean, leaves=True))
        for exit_code, output in ((255, _CLEAN), (0, ""), (0, "error 400\n" + _CLEAN)):
            self.assertFalse(read_run(exit_code, output).is_as_clean_as(clean, leaves=True))


class UclientTests(SynchronousTestCase):
    """Each scenario is put to both servers, which run from the same configuration."""

    def _check(self, scenarios: Sequence[Scenario]) -> None:
        worse = []
        for pair in compare(scenarios):
            leaves = pair.scenario.leaves
            if not pair.scenario.quick and not leaves and pair.ours.received == 0:
                worse.append(f"{pair.scenario.flags}: nothing came back\n{pair.ours.output}")
            elif not pair.ours.is_as_clean_as(pair.coturn, leaves=leaves):
                worse.append(
                    f"{pair.scenario.flags}: {pair.ours.cell()}"
                    f" (coturn: {pair.coturn.cell()})\n{pair.ours.output[-2000:]}"
                )
        self.assertEqual(worse, [], "\n".join(worse))

    def test_udp(self) -> None:
        """UDP clients: channels, indications, port pairs, padding, sudden leave."""
        self._check(uclient.UDP)

    def test_tcp(self) -> None:
        """The same over TCP, where frames have no borders."""
        self._check(uclient.TCP)

    def test_tls(self) -> None:
        """The same over TLS."""
        self._check(uclient.TLS)

    def test_ipv6_relay(self) -> None:
        """An IPv4 client that asks for an IPv6 relay."""
        self._check(uclient.IPV6)

    def test_rest_credentials(self) -> None:
        """A name that expires and a password made of the shared secret."""
        self._check(uclient.REST)


class StunclientTests(SynchronousTestCase):
    """coturn's STUN client."""

    def test_mapped_address(self) -> None:
        """It learns its own address, over IPv4 and IPv6."""
        for host, shown in (("127.0.0.1", r"127\.0\.0\.1:\d+"), ("::1", r"\[?::1\]?:\d+")):
            with SuiteProcess.started(place=Place(addresses=(host,))) as relay:
                ended = run_tool(relay.place, "turnutils_stunclient", "-p", str(relay.port), host)
            self.assertEqual(ended.returncode, 0, ended.stdout)
            self.assertTrue(re.search(f"reflexive addr: {shown}", ended.stdout), ended.stdout)
