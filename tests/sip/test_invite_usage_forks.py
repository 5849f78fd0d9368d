"""Tests of b2bua.sip.invite_client: forks, challenges, and what else only a script can send."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.digest import DigestClient, Login
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.message import Message, Request
from b2bua.sip.outputs import Send
from b2bua.sip.uri import parse_uri
from b2bua.sip.usage_events import Cause, Ended, Established, Invitation, Progress, UsageEvent
from tests.sip.exchanges import counted
from tests.sip.usages import ANSWER, OFFER, Side, label


class Script:
    """One user agent that calls, and a network that is played by hand."""

    def __init__(self, credentials: DigestClient | None = None) -> None:
        self.side = Side("a", None, "UDP")
        self.hop = Side("b", None, "UDP").hop
        self.messages: list[Message] = []
        self.usage: InviteClientUsage = self.side.agent.invite(
            Invitation(
                parse_uri("sip:b@example.com"),
                parse_name_addr("<sip:a@example.com>"),
                parse_name_addr("<sip:b@example.com>"),
                OFFER,
                credentials=credentials,
            ),
            self.hop,
            0,
        )
        self.sent()

    def sent(self) -> list[str]:
        """What went out since the last look; events are kept."""
        labels = []
        for output in self.side.agent.take_outputs():
            if isinstance(output, Send):
                self.messages.append(output.message)
                labels.append(label(output.message))
            elif isinstance(output, UsageEvent):
                self.side.events.append(output)
            else:
                self.side.others.append(output)
        return labels

    def request(self, method: str) -> Request:
        """The latest request of a method."""
        found = [m for m in self.messages if isinstance(m, Request) and m.method == method]
        return found[-1]

    def answer(
        self,
        status: int,
        tag: str = "",
        *headers: tuple[str, str],
        body: bytes = b"",
        method: str = "INVITE",
    ) -> list[str]:
        """Answer our latest request of a method; give what goes out."""
        contact = [("Contact", f"<sip:{tag}@192.0.2.9>")] if tag and status < 300 else []
        response = self.request(method).response(
            status, None, [*contact, *headers], body, to_tag=tag
        )
        self.side.agent.receive(response, self.hop, 1.0)
        return self.sent()

    def run_out(self) -> bool:
        """Let all timers fire; whether nothing is left."""
        while (moment := self.side.agent.next_timeout()) is not None:
            assert moment < 4000
            self.side.agent.handle_timeout(moment)
            self.sent()
        return self.side.is_clean


class ForkTests(SynchronousTestCase):
    """One INVITE, several dialogs (RFC 3261, section 13.2.2.4)."""

    def test_second_answers(self) -> None:
        """Two phones ring, the second answers; a late 200 of the first gets ACK and BYE."""
        script = Script()
        script.answer(183, "one")
        script.answer(183, "two")
        dialogs = [e.dialog for e in script.side.events if isinstance(e, Progress)]
        self.assertEqual([d.remote_tag for d in dialogs if d], ["one", "two"])
        self.assertEqual(script.answer(200, "two", body=ANSWER), ["ACK"])
        self.assertEqual(script.side.last(Established).dialog.remote_tag, "two")
        self.assertEqual(str(script.request("ACK").uri), "sip:two@192.0.2.9")
        self.assertEqual(script.answer(200, "one", body=ANSWER), ["ACK", "BYE"])
        self.assertEqual(str(script.request("BYE").uri), "sip:one@192.0.2.9")
        script.answer(200, method="BYE")
        self.assertEqual(script.answer(200, "one", body=ANSWER), ["ACK"])
        self.assertEqual(script.answer(200, "two", body=ANSWER), ["ACK"])
        self.assertEqual(script.usage.state.name, "ESTABLISHED")
        script.usage.bye(2)
        script.sent()
        script.answer(200, method="BYE")
        self.assertEqual(script.side.told().count("Ended"), 1)
        self.assertTrue(script.run_out())

    def test_success_after_refusal(self) -> None:
        """A 2xx that comes after the refusal of the INVITE gets ACK and BYE."""
        script = Script()
        script.answer(180, "one")
        self.assertEqual(script.answer(486, "two"), ["ACK"])
        self.assertEqual(script.answer(200, "one", body=ANSWER), ["ACK", "BYE"])
        self.assertEqual(script.side.told(), ["Progress", "Ended"])
        self.assertTrue(script.run_out())

    def test_copies_after_the_transaction(self) -> None:
        """A copy of the 2xx is acknowledged after the transaction is gone as well."""
        script = Script()
        script.answer(200, "one", body=ANSWER)
        script.side.agent.handle_timeout(40.0)
        self.assertEqual(len(script.side.table), 0)
        self.assertEqual(script.answer(200, "one", body=ANSWER), ["ACK"])

    def test_too_many_forks(self) -> None:
        """Beyond what is kept a ringing fork is told without dialog, an answer still ended."""
        script = Script()
        for n in range(17):
            script.answer(180, f"t{n}")
        self.assertIsNone(script.side.last(Progress).dialog)
        script.answer(200, "t0", body=ANSWER)
        self.assertEqual(script.answer(200, "x", body=ANSWER), ["ACK", "BYE"])

    def test_bye_of_one_fork(self) -> None:
        """A BYE on one of two early dialogs ends that one; the other still may answer."""
        script = Script()
        script.answer(180, "one")
        script.answer(180, "two")
        bye = Request(
            "BYE",
            "sip:a@a.example.com",
            [
                ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKbye"),
                ("Max-Forwards", 70),
                ("From", "<sip:b@example.com>;tag=one"),
                ("To", script.request("INVITE").from_),
                ("Call-ID", script.request("INVITE").call_id),
                ("CSeq", "1 BYE"),
            ],
        )
        script.side.agent.receive(bye, script.hop, 1)
        self.assertEqual(script.sent(), ["200 BYE"])
        script.answer(200, "two", body=ANSWER)
        self.assertEqual(script.usage.state.name, "ESTABLISHED")


class ReliableForkTests(SynchronousTestCase):
    """Reliable responses of several dialogs, and out of order (RFC 3262, section 4)."""

    def test_order(self) -> None:
        """Each dialog counts for itself; a gap and a copy get no PRACK."""
        script = Script()

        def ring(tag: str, rseq: int) -> list[str]:
            return script.answer(180, tag, ("Require", "100rel"), ("RSeq", str(rseq)))

        self.assertEqual(ring("one", 5), ["PRACK"])
        self.assertEqual(script.request("PRACK").get("RAck"), "5 1 INVITE")
        self.assertEqual(ring("two", 9), ["PRACK"])
        self.assertEqual(ring("one", 7), [])
        self.assertEqual(ring("one", 5), [])
        self.assertEqual(ring("one", 6), ["PRACK"])
        self.assertEqual(script.request("PRACK").cseq.number, 3)

    def test_garbled_number(self) -> None:
        """An RSeq that cannot be read is as none: the response is told, and nothing sent."""
        script = Script()
        self.assertEqual(script.answer(180, "one", ("Require", "100rel"), ("RSeq", "x")), [])
        self.assertFalse(script.side.last(Progress).is_reliable)


class ChallengeTests(SynchronousTestCase):
    """Digest, for the INVITE and inside the dialog."""

    CHALLENGE = ("Proxy-Authenticate", 'Digest realm="r", nonce="n1", qop="auth"')

    def new(self) -> Script:
        client = DigestClient(lambda realm, hop: Login("a", "secret"), counted("c"))
        return Script(client)

    def test_answered(self) -> None:
        """A 407 gets ACK and the INVITE again: next number, same Call-ID and From tag."""
        script = self.new()
        first = script.request("INVITE")
        self.assertEqual(script.answer(407, "p", self.CHALLENGE), ["ACK", "INVITE"])
        again = script.request("INVITE")
        self.assertEqual((again.cseq.number, again.call_id), (2, first.call_id))
        self.assertEqual(again.from_.tag, first.from_.tag)
        self.assertTrue(again.has("Proxy-Authorization"))
        self.assertEqual(script.answer(200, "one", body=ANSWER), ["ACK"])
        self.assertTrue(script.request("ACK").has("Proxy-Authorization"))
        self.assertEqual(script.request("ACK").cseq.number, 2)

    def test_refused(self) -> None:
        """The same challenge again means that the password is wrong: no endless loop."""
        script = self.new()
        script.answer(407, "p", self.CHALLENGE)
        self.assertEqual(script.answer(407, "p", self.CHALLENGE), ["ACK"])
        self.assertEqual(script.side.last(Ended).status, 407)

    def test_inside(self) -> None:
        """A challenge to an INFO is answered too; a BYE is never."""
        script = self.new()
        script.answer(200, "one", body=ANSWER)
        script.usage.info([("Content-Type", "text/plain")], b"x", 1)
        self.assertEqual(script.sent(), ["INFO"])
        number = script.request("INFO").cseq.number
        self.assertEqual(script.answer(407, "", self.CHALLENGE, method="INFO"), ["INFO"])
        self.assertEqual(script.request("INFO").cseq.number, number + 1)
        script.usage.bye(1)
        script.sent()
        self.assertEqual(script.answer(407, "", self.CHALLENGE, method="BYE"), [])
        self.assertTrue(script.run_out())

    def test_without_credentials(self) -> None:
        """Without credentials a challenge is a refusal."""
        script = Script()
        script.answer(401, "p", ("WWW-Authenticate", 'Digest realm="r", nonce="n"'))
        self.assertEqual(script.side.last(Ended).cause, Cause.REFUSED)


class RouteTests(SynchronousTestCase):
    """Where the ACK goes (RFC 3261, section 13.2.2.4)."""

    def test_record_route(self) -> None:
        """ACK and BYE take the recorded way, reversed, to the Contact of the 2xx."""
        script = Script()
        routes = ("Record-Route", "<sip:p2@192.0.2.2;lr>, <sip:p1@192.0.2.1;lr>")
        script.answer(200, "one", routes, body=ANSWER)
        ack = script.request("ACK")
        self.assertEqual([r.uri.user for r in ack.route], ["p1", "p2"])  # type: ignore[union-attr]
        self.assertEqual(str(ack.uri), "sip:one@192.0.2.9")
        self.assertNotEqual(ack.via.branch, script.request("INVITE").via.branch)
