"""How the servers of the lab pass messages on, without a socket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram
from b2bua.sip.uri import parse_uri
from suite.lab.proxy import Passed, Proxy
from suite.lab.registry import Registry
from suite.lab.site import Site

CALLER = Hop("UDP", "127.0.0.1", 5070, 3)
PHONE = Hop("UDP", "127.0.0.13", 5060)
A, B = "127.0.0.11:5060", "127.0.0.12:5060"


class ProxyTests(SynchronousTestCase):
    """Both servers, a caller and the phone 7001."""

    def setUp(self) -> None:
        """Make them."""
        registry = Registry("lab", "secret", 140, b"k" * 32, lambda size: b"r" * size)
        self.site = Site("siplab.test", registry)
        self.site.servers |= {("127.0.0.11", 5060), ("127.0.0.12", 5060)}
        self.site.phones["7001"] = (parse_uri("sip:7001@127.0.0.13:5060"), PHONE)
        self.life = 1
        self.a = Proxy(self.site, lambda hop: A, lambda: self.life)
        self.b = Proxy(self.site, lambda hop: B, lambda: self.life)

    def request(
        self,
        method: str = "INVITE",
        uri: str = "sip:7001@siplab.test",
        *headers: tuple[str, str],
        branch: str = "z9hG4bK1",
        tag: str = "",
        forwards: str = "70",
    ) -> Request:
        """A request as it arrives."""
        return Request(
            method,
            uri,
            [
                (
                    "Via",
                    f"SIP/2.0/UDP 127.0.0.1:5070;branch={branch};rport=5070;received=127.0.0.1",
                ),
                ("Max-Forwards", forwards),
                ("From", "<sip:1001@siplab.test>;tag=f"),
                ("To", "<sip:7001@siplab.test>" + (f";tag={tag}" if tag else "")),
                ("Call-ID", "x"),
                ("CSeq", f"1 {method}"),
                *headers,
            ],
        )

    def passed(self, request: Request, proxy: Proxy | None = None) -> Passed:
        """What goes on; it has been on the wire."""
        (*_, last) = (proxy or self.a).request(request, CALLER, 0.0)
        return Passed(parse_datagram(last.message.render()), last.hop)

    def refusal(self, request: Request) -> int:
        """The status of an answer."""
        (only,) = self.a.request(request, CALLER, 0.0)
        assert isinstance(only.message, Response)
        self.assertEqual(CALLER, only.hop)
        return only.message.status

    def branch(self, message: Message) -> str:
        """Of the topmost Via."""
        return message.via.branch

    def test_invite(self) -> None:
        """It goes to the Contact, one hop older, and stays on the path under the pair's name."""
        trying, invite = self.a.request(self.request(), CALLER, 0.0)
        assert isinstance(trying.message, Response) and isinstance(invite.message, Request)
        self.assertEqual((100, CALLER), (trying.message.status, trying.hop))
        self.assertEqual(PHONE, invite.hop)
        self.assertEqual("sip:7001@127.0.0.13:5060", str(invite.message.uri))
        self.assertEqual(69, invite.message.max_forwards)
        self.assertEqual(["<sip:siplab.test;lr>"], invite.message.get_rows("Record-Route"))
        self.assertEqual(A, invite.message.via.sent_by)

    def test_what_came_is_not_changed(self) -> None:
        """Somebody else may still look at it."""
        request = self.request()
        before = request.render()
        self.a.request(request, CALLER, 0.0)
        self.assertEqual(before, request.render())

    def test_copies_and_cancel_have_one_branch(self) -> None:
        """So does the ACK of a refusal; the ACK of a 2xx has another."""
        branch = self.branch(self.passed(self.request()).message)
        for method in ("INVITE", "CANCEL", "ACK"):
            self.assertEqual(branch, self.branch(self.passed(self.request(method)).message))
        other = self.passed(self.request("ACK", branch="z9hG4bK2", tag="t"))
        self.assertNotEqual(branch, self.branch(other.message))

    def test_response(self) -> None:
        """It finds its way back by the Vias alone, over the connection of its request."""
        passed = self.passed(self.request())
        assert isinstance(passed.message, Request)
        back = self.a.response(passed.message.response(180))
        assert back is not None
        self.assertEqual(CALLER, back.hop)
        self.assertEqual(1, len(back.message.vias))

    def test_response_in_the_next_life(self) -> None:
        """Connections of the life before are gone: any will do."""
        passed = self.passed(self.request())
        self.life += 1
        assert isinstance(passed.message, Request)
        back = self.a.response(passed.message.response(180))
        assert back is not None
        self.assertEqual(Hop("UDP", "127.0.0.1", 5070), back.hop)

    def test_response_of_nobody(self) -> None:
        """One whose Via is not ours, or is the only one, is dropped."""
        self.assertIsNone(self.a.response(self.request().response(200)))
        foreign = self.request("INVITE", "sip:7001@siplab.test")
        foreign.prepend("Via", "SIP/2.0/UDP 127.0.0.99;branch=z9hG4bKx")
        self.assertIsNone(self.a.response(foreign.response(200)))

    def test_either_server_takes_a_dialog_over(self) -> None:
        """A Route may have the name, or the address of the one that is dead."""
        for route in ("<sip:siplab.test;lr>", f"<sip:{A};lr>", f"<sip:{B};lr>"):
            request = self.request(
                "BYE", "sip:7001@127.0.0.13:5060", ("Route", route), branch="z9hG4bK3", tag="t"
            )
            passed = self.passed(request, self.b)
            self.assertEqual(PHONE, passed.hop)
            self.assertFalse(passed.message.has("Route"))
            self.assertFalse(passed.message.has("Record-Route"))

    def test_route_of_others(self) -> None:
        """What is not ours is followed, but not away from this machine."""
        ours, other = "<sip:siplab.test;lr>", "<sip:127.0.0.50:5070;lr>"
        request = self.request("BYE", "sip:x@127.0.0.51", ("Route", f"{ours}, {other}"), tag="t")
        passed = self.passed(request)
        self.assertEqual(Hop("UDP", "127.0.0.50", 5070), passed.hop)
        self.assertEqual([other], passed.message.get_rows("Route"))
        away = self.request("BYE", "sip:x@192.0.2.1", ("Route", ours), tag="t")
        self.assertEqual(404, self.refusal(away))

    def test_refusals(self) -> None:
        """An unknown number, a dialog that is over, a hop too many."""
        self.assertEqual(404, self.refusal(self.request("INVITE", "sip:4711@siplab.test")))
        self.assertEqual(481, self.refusal(self.request("BYE", "sip:lab@siplab.test", tag="t")))
        self.assertEqual(483, self.refusal(self.request(forwards="0")))

    def test_ack_is_never_answered(self) -> None:
        """Whatever is wrong with it."""
        self.assertEqual([], self.a.request(self.request("ACK", "sip:4711@siplab.test"), CALLER, 0))
