"""Tests of b2bua.stateless."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.message import Request
from b2bua.stateless import does_not_amplify, stateless_response
from tests.b2bua.phones import NAT, arrived, wire


class StatelessTests(SynchronousTestCase):
    """Answers that nothing is kept for."""

    def test_tag(self) -> None:
        """The To tag is that of the request, or made of its Via with the key: never foretold."""
        first, second = (arrived(wire("INVITE", branch=f"z9hG4bK{n}")) for n in (1, 2))
        tag = stateless_response(first, 403, b"key").to.tag
        self.assertEqual(stateless_response(first, 401, b"key").to.tag, tag)
        self.assertNotEqual(stateless_response(second, 403, b"key").to.tag, tag)
        self.assertNotEqual(stateless_response(first, 403, b"other").to.tag, tag)
        inside = arrived(wire("BYE", to_tag="ours"))
        self.assertEqual(stateless_response(inside, 481, b"key").to.tag, "ours")

    def test_size(self) -> None:
        """An answer may have 1.2 bytes for each byte of the datagram, whatever it was made of."""
        request = arrived(wire("INVITE"), NAT)
        response = stateless_response(request, 403, b"key")
        request.datagram_size = -(-len(response.render()) * 10 // 12)
        self.assertTrue(does_not_amplify(response, request))
        request.datagram_size -= 1
        self.assertFalse(does_not_amplify(response, request))

    def test_datagram(self) -> None:
        """The size is that of the bytes that came; a request that came in none may get nothing."""
        data = b"\r\n" + wire("INVITE") + b"more than its Content-Length"
        request = arrived(data)
        self.assertEqual(request.datagram_size, len(data))
        made = Request(request.method, request.uri, request.headers)
        self.assertFalse(does_not_amplify(stateless_response(made, 403, b"key"), made))
