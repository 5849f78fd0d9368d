"""Messages that no honest peer sends, put before the core: they have their answer, and no more."""

from __future__ import annotations

from b2bua.settings import CallLimits, ServerSettings
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import Send
from b2bua.sip.parser import parse_datagram
from b2bua.sip.usage_events import Established, InDialogRequest, Profile, Progress, RequestAnswered
from b2bua.upstreams import Server
from tests.b2bua.network import OURS, PHONE, SERVER_A, SERVER_B, Ended, sdp
from tests.b2bua.test_calls import CallCase


class HostileCase(CallCase):
    """Messages as text."""

    def invite(self, *lines: str, uri: str = "sip:7001@x", host: str = SERVER_A) -> list[Response]:
        """Let an INVITE with these header fields come from a server; give the responses."""
        head = (
            f"INVITE {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKhostile",
            *lines,
            "From: <sip:5000@x>;tag=hostile",
            "To: <sip:7001@x>",
            "Call-ID: hostile",
            "CSeq: 1 INVITE",
            f"Contact: <sip:5000@{host}>",
            "Content-Length: 0",
        )
        message = parse_datagram(("\r\n".join(head) + "\r\n\r\n").encode())
        return self.receive(message, Hop("UDP", host, 5060))

    def receive(self, message: Message, hop: Hop) -> list[Response]:
        """Put a message before the core; give the responses."""
        core = self.network.core
        core.receive(message, hop, self.now)
        sent = [out.message for out in core.take_outputs() if isinstance(out, Send)]
        return [message for message in sent if isinstance(message, Response)]


class HeaderFieldTests(HostileCase):
    """Header fields of an INVITE that cannot be read."""

    def test_empty_list_elements(self) -> None:
        """A comma too many in a list of tokens is no fault: all read the same tokens."""
        for name in ("Supported", "Allow", "Allow-Events"):
            self.build()
            responses = self.invite(f"{name}: timer,, x ,")
            self.assertEqual([each.status for each in responses], [180, 200], name)

    def test_required_extension_among_empty_elements(self) -> None:
        """What is required is found there too, and told."""
        (response,) = self.invite("Require: timer,,x")
        self.assertEqual((response.status, response.get("Unsupported")), (420, "x"))

    def test_required_extension_that_is_no_word(self) -> None:
        """What cannot be a name of an extension is a fault, and not repeated to anybody."""
        (response,) = self.invite('Require: "\\\x01"')
        self.assertEqual((response.status, response.get("Unsupported")), (400, None))

    def test_via_below_the_top(self) -> None:
        """The Vias of those before the last hop are theirs, readable or not."""
        for lower in ("x", "SIP/2.0/UDP a,,SIP/2.0/UDP b", '"'):
            self.build()
            responses = self.invite(f"Via: {lower}")
            self.assertEqual([each.status for each in responses], [180, 200], lower)

    def test_via_of_a_response(self) -> None:
        """A response with more below our Via is not for us, readable or not."""
        self.phone.call("5000", sdp(PHONE), caller="1001")
        invite = self.a.seen("INVITE")[-1]
        stray = invite.response(180, to_tag="x")
        stray.add("Via", "a,,b")
        self.assertEqual(self.receive(stray, self.a.hop), [])
        self.assertEqual(self.network.core.ignored["misrouted"], 1)


class CallMessageTests(HostileCase):
    """Messages of a call that come when nobody expects them."""

    def test_answer_to_what_was_passed_on(self) -> None:
        """What the other leg's peer says to an INFO that went on changes nothing."""
        usage = self.answered()
        for status in (200, 415, 500):
            usage.info([("Content-Type", "application/dtmf-relay")], b"Signal=1", self.now)
            self.settle()
            asked = self.phone.last(InDialogRequest)
            asked.usage.respond(asked.transaction, status, self.now)
            self.settle()
            self.assertEqual(self.a.last(RequestAnswered).status, 200)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_second_early_answer(self) -> None:
        """A callee may repeat its early answer; a caller has it by a reliable response once."""
        self.a.call("1001", sdp(), headers=(("Require", "100rel"),))
        for status in (183, 180):
            self.phone.called.ring(status, self.now, sdp(PHONE, 5000))
            self.settle()
        self.assertEqual(self.a.last(Progress).response.status, 180)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertTrue(self.a.has(Established))


class SteeringTests(HostileCase):
    """Where requests go, and what goes there, is not for the far end to choose."""

    ELSEWHERE = "203.0.113.99"

    def build(self, **changes: object) -> None:
        """Make a network whose servers ask for a password."""
        servers = ServerSettings(
            addresses=(Server(SERVER_A), Server(SERVER_B)), password="open sesame"
        )
        super().build(servers=servers, **changes)

    def challenged(self, contact: str) -> None:
        """Let a phone's INVITE be challenged, and then accepted with this Contact."""
        self.phone.call("5000", sdp(PHONE), caller="1001")
        challenge = 'Digest realm="pbx", nonce="n", qop="auth"'
        self.a.called.reject(407, self.now, [("Proxy-Authenticate", challenge)])
        self.settle()
        self.assertIn("Proxy-Authorization: Digest", str(self.a.seen("INVITE")[-1].render()))
        self.a.agent.contact = lambda hop: parse_name_addr(contact)
        self.a.called.answer(self.now, sdp())
        self.settle()

    def test_credentials_stay_with_the_servers(self) -> None:
        """The ACK of an answer repeats the credentials of its INVITE only to a server."""
        for host, count in ((SERVER_A, 1), (self.ELSEWHERE, 0)):
            self.build()
            self.challenged(f"<sip:x@{host}:5060>")
            ack = self.last_to(host, "ACK")
            self.assertEqual(len(ack.get_rows("Proxy-Authorization")), count)

    def test_transport_that_there_is_not(self) -> None:
        """A Contact's transport that nobody here has does not make one of that name."""
        for transport in ("sctp", "ws", "x/y"):
            self.build()
            self.challenged(f"<sip:x@{self.ELSEWHERE};transport={transport}>")
            self.assertEqual(self.last_to(self.ELSEWHERE, "ACK").via.transport, "UDP")

    def test_addresses_of_our_own(self) -> None:
        """An answer's Contact leads to no address of this machine, nor to many at once."""
        for host in ("127.0.0.1", "127.1", "0.0.0.0", "[::1]", "224.0.0.1", "255.255.255.255"):
            self.build()
            self.challenged(f"<sip:x@{host}>")
            self.assertEqual(self.last_to(SERVER_A, "ACK").method, "ACK")

    def test_media_wait_for_who_is_there(self) -> None:
        """Nothing of our own goes to an address of an INVITE before the ACK: both may be forged."""
        ends = self.network.plane.terms
        usage = self.a.call("7001", sdp())
        self.assertEqual([terms.silence for terms in ends.values()], [0])
        usage.bye(self.now)
        self.settle()
        ends.clear()
        invite = next(m for _, to, m in self.network.trace if to == OURS)
        forged = parse_datagram(invite.render().replace(b"branch=", b"branch=z9hG4bKx"))
        forged.replace("Call-ID", "forged")
        self.assertEqual([r.status for r in self.receive(forged, self.a.hop)], [180, 200])
        self.assertEqual([terms.silence for terms in ends.values()], [None])

    def test_phones_steer_nothing(self) -> None:
        """Whatever a phone's Contact and Record-Route say, requests go the way that it has."""
        self.phone.agent.contact = lambda hop: parse_name_addr(f"<sip:x@{self.ELSEWHERE}>")
        self.assertEqual(self.phone.register("1001").status, 200)
        self.answered().bye(self.now)
        self.settle()
        self.assertIn("BYE", self.sent(PHONE))
        self.assertEqual(self.sent(self.ELSEWHERE), [])

    def test_copy_from_elsewhere(self) -> None:
        """Who sends the branch of another's request is not given its answer."""
        self.a.call("1001", sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        invite = next(m for _, to, m in self.network.trace if to == OURS)
        assert isinstance(invite, Request)
        for host in (SERVER_B, "198.51.100.8"):
            self.assertEqual(self.receive(invite, Hop("UDP", host, 5060)), [])
        (copy,) = self.receive(invite, self.a.hop)
        self.assertEqual(copy.status, 180)


class FloodTests(HostileCase):
    """One phone that asks for too much."""

    def build(self, **changes: object) -> None:
        """Make a network with little room."""
        super().build(limits=CallLimits(transactions=60), **changes)

    def options(self, host: str, number: int) -> list[int]:
        """Let a phone ask for options; give the statuses of the answers."""
        head = (
            "OPTIONS sip:x@x SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{host}-{number}",
            f"From: <sip:1001@x>;tag={number}",
            "To: <sip:x@x>",
            f"Call-ID: flood-{number}@{host}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        )
        message = parse_datagram(("\r\n".join(head) + "\r\n\r\n").encode())
        return [each.status for each in self.receive(message, Hop("UDP", host, 5060))]

    def test_room_is_shared(self) -> None:
        """It gets half of the room for transactions, and others, above all servers, the rest."""
        answered = sum(len(self.options(PHONE, number)) for number in range(100))
        self.assertLessEqual(answered, 31)
        self.assertEqual(self.options("198.51.100.8", 1), [200])
        self.assertEqual([each.status for each in self.invite()], [180, 200])
        self.network.advance(40)
        self.assertEqual(self.options(PHONE, 1000), [200])


class NumberTests(HostileCase):
    """Numbers that are none."""

    def test_long_or_unprintable(self) -> None:
        """What no number can be is 484, and goes neither on nor into a log."""
        for user in ("1" * 200, "%0d%0aX:y", "1%00", "%e2%80%a8"):
            self.build()
            (response,) = self.invite(uri=f"sip:{user}@x")
            self.assertEqual(response.status, 484, user)


class VanishedPeerTests(HostileCase):
    """Peers that go away without a word, and know no session timer."""

    def test_calls_do_not_stay_for_ever(self) -> None:
        """Each leg is asked from time to time whether it is there; the silent ones end the call."""
        for peer in (self.a, self.phone):
            peer.agent.profile = Profile(session_expires=0, supported=())
        self.answered()
        self.a.call("7001", sdp())
        self.network.advance(2000)
        self.assertEqual(len(self.network.core.calls), 2)
        self.assertTrue(self.sent(PHONE).count("OPTIONS") == 2)
        self.phone.works = self.a.works = False
        self.network.advance(1000)
        self.assertTrue(self.network.is_clean())

    def test_gone_for_one_side(self) -> None:
        """A peer that knows nothing of the call any more has lost it."""
        self.phone.agent.profile = Profile(session_expires=0, supported=())
        self.answered()
        dialog = self.phone.last(Established).usage.dialogs[0]
        self.phone.agent.remove_dialog(dialog)
        self.network.advance(1000)
        self.assertEqual(self.a.last(Ended).cause.value, "remote")
        self.assert_clean()
