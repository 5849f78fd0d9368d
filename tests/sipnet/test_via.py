"""The top Via of requests and responses: received, rport, and TCP instead of UDP."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.via import answer_hop, by_tcp, record_source
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from b2bua.sip.parser import parse_datagram
from tests.sipnet.wires import request

SOURCE = Hop("UDP", "198.51.100.7", 40000, 3)


def arrived(via: str) -> Request:
    """A request with this Via."""
    message = request()
    message.replace("Via", via)
    parsed = parse_datagram(message.render())
    assert isinstance(parsed, Request)
    return parsed


class RecordSourceTests(SynchronousTestCase):
    """What is written into the top Via of a request."""

    def test_rport_is_filled_in_with_received(self) -> None:
        """Who asks for rport gets port and address, even when the address is no news."""
        message = arrived("SIP/2.0/UDP 198.51.100.7:5060;rport;branch=z9hG4bKx")
        record_source(message, SOURCE)
        self.assertEqual(
            "SIP/2.0/UDP 198.51.100.7:5060;rport=40000;branch=z9hG4bKx;received=198.51.100.7",
            message.get("Via"),
        )
        self.assertEqual(40000, message.via.rport)

    def test_truthful_via_stays_as_it_came(self) -> None:
        """Without rport, and with the right address, not a byte changes."""
        text = "SIP / 2.0 / UDP 198.51.100.7 : 5060 ;branch=z9hG4bKx"
        message = arrived(text)
        record_source(message, SOURCE)
        self.assertEqual(text, message.get("Via"))

    def test_name_is_kept_and_the_address_is_added(self) -> None:
        """A host name stays in the sender's spelling."""
        message = arrived("SIP/2.0/UDP Phone.Example.COM;branch=z9hG4bKx")
        record_source(message, SOURCE)
        self.assertEqual(
            "SIP/2.0/UDP Phone.Example.COM;branch=z9hG4bKx;received=198.51.100.7",
            message.get("Via"),
        )

    def test_lies_of_the_sender_are_replaced(self) -> None:
        """A received that the sender wrote itself cannot turn our answer on somebody else."""
        message = arrived("SIP/2.0/UDP 198.51.100.7;received=203.0.113.1;branch=z9hG4bKx;rport=1")
        record_source(message, SOURCE)
        self.assertEqual("198.51.100.7", message.via.received)
        self.assertEqual(40000, message.via.rport)

    def test_other_hops_stay_as_they_are(self) -> None:
        """Only the first of several Vias is ours to complete, also within one row."""
        rest = "SIP/2.0/UDP b.example;branch=z9hG4bKy;rport"
        message = arrived(f"SIP/2.0/UDP a.example;branch=z9hG4bKx, {rest}")
        message.add("Via", "SIP/2.0/TCP c.example")
        record_source(message, SOURCE)
        self.assertEqual(
            [
                f"SIP/2.0/UDP a.example;branch=z9hG4bKx;received=198.51.100.7, {rest}",
                "SIP/2.0/TCP c.example",
            ],
            message.get_rows("Via"),
        )

    def test_ipv6_address_is_written_without_brackets(self) -> None:
        """As the grammar of received wants it; both forms are read."""
        message = arrived("SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bKx;rport")
        record_source(message, Hop("UDP", "2001:db8::9", 5060))
        self.assertIn(";received=2001:db8::9", message.get("Via") or "")


class AnswerHopTests(SynchronousTestCase):
    """Where answers go when no connection leads back."""

    def test_rport_leads_to_the_source_port(self) -> None:
        """A phone behind NAT gets its answer where the request came from."""
        message = arrived("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKx")
        record_source(message, SOURCE)
        self.assertEqual(SOURCE, answer_hop(message.response(200), SOURCE))

    def test_without_rport_the_named_port_is_used(self) -> None:
        """The address is that of the packet, the port the one in the Via."""
        message = arrived("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx")
        record_source(message, SOURCE)
        hop = answer_hop(message.response(200), SOURCE)
        self.assertEqual(("198.51.100.7", 5070, 3), (hop.host, hop.port, hop.flow))

    def test_default_port_belongs_to_the_transport(self) -> None:
        """A lost TLS connection is opened again to 5061."""
        message = arrived("SIP/2.0/TLS a.example;branch=z9hG4bKx")
        hop = Hop("TLS", "198.51.100.7", 40000, 3)
        self.assertEqual(5061, answer_hop(message.response(200), hop).port)


class ByTcpTests(SynchronousTestCase):
    """A request that changes from UDP to TCP."""

    def test_only_the_top_via_changes(self) -> None:
        """Neither other Vias nor a body that looks like one are touched."""
        message = request(body=b"\r\nVia: SIP/2.0/UDP x\r\n")
        message.add("Via", "SIP/2.0/UDP other.example")
        data = by_tcp(message.render())
        self.assertEqual(1, data.count(b"SIP/2.0/TCP"))
        self.assertTrue(data.endswith(b"\r\nVia: SIP/2.0/UDP x\r\n"))
        parsed = parse_datagram(data)
        self.assertEqual(["TCP", "UDP"], [via.transport for via in parsed.vias])

    def test_other_requests_stay_as_they_are(self) -> None:
        """Where the top Via is not for UDP there is nothing to change."""
        data = request("TLS").render()
        self.assertEqual(data, by_tcp(data))
