"""Calls between SIP Servers, phones and the echo: how they begin, change and end."""

from __future__ import annotations

import gc
import weakref
from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import CallEnded, CallHeld, CallRefused, CallStarted
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import CallLimits, MediaSettings, PhoneSettings
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.message import Request, Response
from b2bua.sip.usage_events import AnswerReceived, Invited, OfferReceived, Progress
from tests.b2bua.network import (
    OURS,
    PHONE,
    SERVER_A,
    Ended,
    Established,
    Network,
    Peer,
    described,
    sdp,
)


class CallCase(SynchronousTestCase):
    """A network with one phone signed in."""

    def setUp(self) -> None:
        self.build()

    def build(self, **changes: object) -> None:
        """Make a network with other settings."""
        self.network = Network(**changes)
        self.a, self.b, self.phone = self.network.a, self.network.b, self.network.phone
        self.assertEqual(self.phone.register("1001").status, 200)
        self.network.advance(1)
        self.network.trace.clear()

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.network.settle()

    @property
    def now(self) -> float:
        """The network's time."""
        return self.network.now

    def answered(self, body: bytes | None = None, offer: bytes | None = None) -> InviteClientUsage:
        """A call from the server to the phone that is up."""
        usage = self.a.call("1001", sdp() if offer is None else offer)
        self.phone.called.answer(self.now, sdp(PHONE, 5000) if body is None else body)
        self.settle()
        return usage

    def sent(self, target: str) -> list[str]:
        """The first lines of what went to an address, as method or status."""
        lines = []
        for _, to, message in self.network.trace:
            if to == target and isinstance(message, Request):
                lines.append(message.method)
            elif to == target and isinstance(message, Response):
                lines.append(f"{message.status} {message.cseq.method}")
        return lines

    def last_to(self, target: str, what: str) -> Request | Response:
        """The latest message of a kind that went to an address."""
        for _, to, message in reversed(self.network.trace):
            is_it = (isinstance(message, Request) and message.method == what) or (
                isinstance(message, Response) and f"{message.status} {message.cseq.method}" == what
            )
            if to == target and is_it:
                assert isinstance(message, Request | Response)
                return message
        raise AssertionError(f"no {what} went to {target}: {self.sent(target)}")

    def assert_clean(self) -> None:
        """Nothing is left once every timer has fired."""
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())

    def final(self, peer: Peer) -> int:
        """The status that ended the latest call of a peer."""
        return peer.last(Ended).status


class BasicCallTests(CallCase):
    """INVITE to BYE."""

    def test_server_calls_phone(self) -> None:
        """A call for a DN goes to the phone that registered for it, and both hear each other."""
        usage = self.a.call("1001", sdp(port=40000))
        self.phone.called.ring(180, self.now)
        self.settle()
        self.assertEqual(self.a.last(Progress).response.status, 180)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertTrue(self.a.has(Established))
        toward = {terms.remote: terms for terms in self.network.plane.terms.values()}
        self.assertEqual(set(toward), {("203.0.113.5", 40000), (PHONE, 5000)})
        self.assertTrue(all(t.sends and t.receives for t in toward.values()))
        self.assertEqual(toward["203.0.113.5", 40000].silence, 0)
        self.assertIsNone(toward[PHONE, 5000].silence, "a phone is known by its own packets")
        self.assertEqual(len(self.network.plane.joined), 1)
        usage.bye(self.now)
        self.settle()
        self.assertEqual(self.phone.last(Ended).cause.value, "remote")
        self.assert_clean()

    def test_leaves_no_cycles(self) -> None:
        """The memory of a call is free when it is over, without the collector's help."""
        gc.collect()
        self.addCleanup(gc.enable)
        gc.disable()
        usage = self.a.call("1001", sdp(port=40000))
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        kept = [weakref.ref(call) for call in self.network.core.calls]
        self.assertEqual(len(kept), 1)
        usage.bye(self.now)
        self.settle()
        self.assert_clean()
        self.addCleanup(gc.garbage.clear)
        self.addCleanup(gc.set_debug, gc.get_debug())
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [each for each in gc.garbage if type(each).__module__.startswith("b2bua.")]
        self.assertEqual(ours, [])
        self.assertEqual([call() for call in kept], [None])

    def test_phone_calls_server(self) -> None:
        """A phone's call goes to the active server under the servers' name, as the phone's DN."""
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        invite = self.a.last(Invited).request
        self.assertEqual(str(invite.uri), f"sip:5555@{SERVER_A}")
        self.assertEqual(invite.from_.uri, invite.from_.uri)
        self.assertIn(f"sip:1001@{SERVER_A}", str(invite.from_))
        self.assertEqual(invite.get("X-genesys-service_type"), "WebRTC")
        self.assertEqual(invite.max_forwards, 69)
        self.a.called.answer(self.now, sdp())
        self.settle()
        self.assertTrue(self.phone.has(Established))
        self.a.called.bye(self.now)
        self.settle()
        self.assertTrue(self.phone.has(Ended))
        self.assert_clean()

    def test_legs_share_nothing(self) -> None:
        """Call-ID, tags, Contact and o= line of the legs are different."""
        self.answered()
        ours = self.a.last(Established).message
        theirs = self.phone.last(Invited).request
        outer = next(m for _, to, m in self.network.trace if to == OURS)
        assert isinstance(outer, Request)
        self.assertNotEqual(outer.call_id, theirs.call_id)
        self.assertNotEqual(outer.from_.tag, theirs.from_.tag)
        self.assertNotEqual(described(ours).origin.session_id, described(theirs).origin.session_id)
        self.assertNotIn("203.0.113.5", str(described(theirs)))

    def test_offerless_invite(self) -> None:
        """An INVITE without an offer has it in the 200, and the answer in the ACK counts."""
        self.network.after = self._answer_offer
        usage = self.a.call("1001")
        offered = described(self.phone.last(Invited).request)
        self.assertEqual(offered.media[0].line.formats[:2], ("0", "8"))
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs="8"))
        self.settle()
        offer = described(self.a.last(OfferReceived).message)
        self.assertEqual(offer.media[0].line.formats, ("8",))
        remotes = {terms.remote for terms in self.network.plane.terms.values()}
        self.assertEqual(remotes, {(PHONE, 5000), ("203.0.113.5", 41000)})
        usage.bye(self.now)
        self.settle()
        self.assert_clean()

    def _answer_offer(self, peer: Peer, event: object) -> None:
        if isinstance(event, OfferReceived) and peer is self.a:
            event.usage.accept(sdp(port=41000, codecs="8"), self.now)

    def test_answer_in_ack_comes_late(self) -> None:
        """The 200 is repeated for as long as the ACK may take, and the answer still counts."""
        usage = self.a.call("1001")
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.network.advance(25)
        self.assertGreater(self.sent(SERVER_A).count("200 INVITE"), 5)
        usage.accept(sdp(port=41000), self.now)
        self.settle()
        self.assertIn(("203.0.113.5", 41000), {t.remote for t in self.network.plane.terms.values()})
        self.network.advance(20)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_no_ack_ends_both_legs(self) -> None:
        """Without any ACK the call is over after 32 s, for the phone too."""
        self.a.call("1001")
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.a.works = False
        self.network.advance(33)
        self.assertTrue(self.phone.has(Ended))
        self.assertEqual(len(self.network.core.calls), 0)
        self.assert_clean()

    def test_bad_answer_in_ack_ends_the_call(self) -> None:
        """An answer that cannot be read where nothing can be refused ends the call by BYE."""
        usage = self.a.call("1001")
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        usage.accept(b"v=0\r\nnonsense", self.now)
        self.settle()
        self.assertIn("BYE", self.sent(SERVER_A))
        self.assertIn("BYE", self.sent(PHONE))
        self.assert_clean()

    def test_cancel_reaches_the_phone(self) -> None:
        """A caller who gives up stops the ringing."""
        usage = self.a.call("1001", sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        usage.cancel(self.now)
        self.settle()
        self.assertEqual(self.phone.last(Ended).cause.value, "cancelled")
        self.assertEqual(self.final(self.a), 487)
        self.assert_clean()

    def test_cancel_crosses_answer(self) -> None:
        """A 200 that crosses the CANCEL has its ACK and a BYE, and the caller hears 487 once."""
        usage = self.a.call("1001", sdp())
        called = self.phone.called
        called.ring(180, self.now)
        self.settle()
        called.answer(self.now, sdp(PHONE, 5000))
        usage.cancel(self.now)
        self.settle()
        self.assert_clean()

    def test_refusal_is_translated(self) -> None:
        """What the callee says of the call reaches the caller, and why."""
        self.a.call("1001", sdp())
        self.phone.called.reject(486, self.now)
        self.settle()
        self.assertEqual(self.final(self.a), 486)
        refusal = self.last_to(SERVER_A, "486 INVITE")
        self.assertIn("cause=17", refusal.get("Reason") or "")
        self.assert_clean()

    def test_unknown_numbers(self) -> None:
        """A DN of ours that nobody is signed in with is 480, a number of nobody 404."""
        self.a.call("1002", sdp())
        self.assertEqual(self.final(self.a), 480)
        self.a.call("9999", sdp())
        self.assertEqual(self.final(self.a), 404)
        self.assertEqual(len(self.network.told(CallRefused)), 2)

    def test_nobody_answers(self) -> None:
        """A phone that only rings is given up after the configured time."""
        self.build(limits=CallLimits(ringing_seconds=30.0))
        self.a.call("1001", sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        self.network.advance(31)
        self.assertEqual(self.final(self.a), 480)
        self.assertEqual(self.phone.last(Ended).cause.value, "cancelled")
        self.assert_clean()

    def test_all_phones_of_a_dn_ring(self) -> None:
        """Two phones ring, the first to answer has the call, the other hears who took it."""
        desk = Peer(self.network, "1001", "198.51.100.8", None)
        self.network.peers[desk.hop.host] = desk
        self.assertEqual(desk.register("1001").status, 200)
        self.a.call("1001", sdp())
        for phone in (self.phone, desk):
            phone.called.ring(180, self.now)
        self.settle()
        desk.called.answer(self.now, sdp("198.51.100.8", 6000))
        self.settle()
        self.assertTrue(self.a.has(Established))
        cancel = self.last_to(PHONE, "CANCEL")
        self.assertIn("cause=200", cancel.get("Reason") or "")
        self.assertEqual(len(self.network.core.calls), 1)
        desk.called.bye(self.now)
        self.settle()
        self.assert_clean()

    def test_phone_behind_a_nat(self) -> None:
        """Media of a phone that names an address of its own network go where it is seen."""
        public = Peer(self.network, "1003", "8.8.4.4", None)
        self.network.peers[public.hop.host] = public
        self.network.core.gate._settings = PhoneSettings(networks=(ip_network("0.0.0.0/0"),))
        self.assertEqual(public.register("1003").status, 200)
        self.a.call("1003", sdp())
        public.called.answer(self.now, sdp("192.168.1.20", 5000))
        self.settle()
        remotes = {terms.remote for terms in self.network.plane.terms.values()}
        self.assertIn(("8.8.4.4", 5000), remotes)

    def test_refusal_of_several_phones(self) -> None:
        """Of several refusals the caller hears the one that says most."""
        desk = Peer(self.network, "1001", "198.51.100.8", None)
        self.network.peers[desk.hop.host] = desk
        desk.register("1001")
        self.a.call("1001", sdp())
        self.phone.called.reject(486, self.now)
        self.settle()
        desk.called.reject(500, self.now)
        self.settle()
        self.assertEqual(self.final(self.a), 486)
        self.assert_clean()

    def test_only_one_180_is_sent_for_several(self) -> None:
        """Copies of a provisional response are not passed on."""
        self.a.call("1001", sdp())
        for _ in range(3):
            self.phone.called.ring(180, self.now)
            self.settle()
        self.assertEqual(self.sent(SERVER_A).count("180 INVITE"), 1)


class EarlyMediaTests(CallCase):
    """Session progress, reliable and not."""

    def test_early_answer_goes_on(self) -> None:
        """A 183 with a description gives the caller media before the answer, and the same one."""
        self.a.call("1001", sdp())
        self.phone.called.ring(183, self.now, sdp(PHONE, 5000))
        self.settle()
        early = self.a.last(Progress).response
        self.assertEqual(early.status, 183)
        self.assertEqual(len(self.network.plane.joined), 1)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertEqual(self.a.last(Established).message.body, early.body)
        self.assert_up()

    def test_reliable_early_answer(self) -> None:
        """Where the caller asks for reliable responses the answer is in the 183 alone."""
        self.a.call("1001", sdp(), headers=(("Require", "100rel"),))
        self.phone.called.ring(183, self.now, sdp(PHONE, 5000), reliable=True)
        self.settle()
        self.assertTrue(self.a.last(Progress).is_reliable)
        self.phone.called.answer(self.now)
        self.settle()
        self.assertEqual(self.a.last(Established).message.body, b"")
        self.assert_up()

    def assert_up(self) -> None:
        """Media flow both ways."""
        terms = self.network.plane.terms.values()
        self.assertTrue(all(each.sends and each.receives for each in terms))
        self.assertEqual(len(self.network.core.calls), 1)


class RefusalTests(CallCase):
    """What makes no call."""

    def test_no_common_codec(self) -> None:
        """An offer without a codec that we may use is 488 with a Warning."""
        self.a.call("1001", sdp(codecs="18"))
        self.assertEqual(self.final(self.a), 488)
        self.assertIn("305", self.last_to(SERVER_A, "488 INVITE").get("Warning") or "")
        self.assert_clean()

    def test_garbage_for_a_description(self) -> None:
        """A description that is none is 400."""
        self.a.call("1001", b"hello")
        self.assertEqual(self.final(self.a), 400)
        self.assert_clean()

    def test_body_of_another_kind(self) -> None:
        """A body that is no description and has none inside is 415."""
        self.a.call("1001", b"<x/>", headers=(("Content-Type", "application/xml"),))
        self.assertEqual(self.final(self.a), 415)
        self.assertEqual(self.last_to(SERVER_A, "415 INVITE").get("Accept"), "application/sdp")

    def test_description_within_multipart(self) -> None:
        """The description is found among other parts."""
        body = (
            b"--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\n"
            b"Content-Type: application/sdp\r\n\r\n" + sdp() + b"\r\n--b1--\r\n"
        )
        self.a.call("1001", body, headers=(("Content-Type", "multipart/mixed;boundary=b1"),))
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertTrue(self.a.has(Established))

    def test_max_forwards(self) -> None:
        """A call that has no hop left is 483."""
        self.a.call("1001", sdp(), max_forwards=0)
        self.assertEqual(self.final(self.a), 483)

    def test_ports_are_exhausted(self) -> None:
        """Without ports for media the caller hears 503, and nothing is left open."""
        self.network.plane._pairs = 1
        self.a.call("1001", sdp())
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertEqual(self.final(self.a), 503)
        self.assert_clean()

    def test_too_many_calls(self) -> None:
        """Above the limit calls are refused with 503 and a time to come again."""
        self.build(limits=CallLimits(calls=1))
        self.a.call("7001", sdp())
        self.a.call("7002", sdp())
        self.assertEqual(self.final(self.a), 503)
        self.assertIsNotNone(self.last_to(SERVER_A, "503 INVITE").get("Retry-After"))

    def test_too_many_calls_of_a_dn(self) -> None:
        """One DN cannot take all the room."""
        self.build(limits=CallLimits(calls_per_dn=2))
        for _ in range(3):
            self.a.call("7001", sdp())
        self.assertEqual(self.final(self.a), 486)
        self.assertEqual(len(self.network.core.calls), 2)

    def test_strangers_are_not_called_for(self) -> None:
        """An INVITE from an address that is neither server nor phone makes nothing."""
        stranger = Peer(self.network, "x", "203.0.113.99", None)
        self.network.peers[stranger.hop.host] = stranger
        before = len(self.network.core.agent.table)
        stranger.call("5555", sdp())
        self.assertEqual(self.final(stranger), 403)
        self.assertEqual(len(self.network.core.calls), 0)
        self.assertEqual(len(self.network.core.agent.table), before)

    def test_phone_may_not_call_as_another(self) -> None:
        """A phone calls as the DN that it registered, and as no other."""
        self.build(phones=PhoneSettings(networks=(ip_network("198.51.100.0/24"),)))
        self.phone.call("5555", sdp(PHONE), caller="1234")
        self.assertEqual(self.final(self.phone), 403)


class EchoTests(CallCase):
    """DNs that send back what they hear."""

    def test_echo_answers_at_once(self) -> None:
        """An echo rings, answers, and joins the caller's end with itself."""
        usage = self.a.call(
            "7001", sdp(codecs="0 101", more="a=rtpmap:101 telephone-event/8000\r\n")
        )
        self.assertTrue(self.a.has(Established))
        (terms,) = self.network.plane.terms.values()
        self.assertEqual(terms.payload_types, {0: 0, 101: 101})
        self.assertEqual(self.network.plane.joined, [(1, 1)])
        self.assertEqual(self.network.told(CallStarted)[-1].legs, ("server", "echo"))
        usage.bye(self.now)
        self.settle()
        self.assertEqual(self.network.told(CallEnded)[-1].status, 0)
        self.assert_clean()

    def test_echo_offers(self) -> None:
        """An INVITE without an offer gets all our codecs."""
        self.a.call("7001")
        offer = described(self.a.last(OfferReceived).message)
        names = [m.encoding for m in offer.media[0].rtpmaps.values()]
        self.assertEqual(names, ["PCMU", "PCMA", "G722", "telephone-event"])


class ChangeTests(CallCase):
    """What re-INVITEs do."""

    def setUp(self) -> None:
        super().setUp()
        self.network.after = self.answer_like_a_phone
        self.phone_answer = sdp(PHONE, 5000, version=2)
        self.server_answer = sdp(version=2)

    def answer_like_a_phone(self, peer: Peer, event: object) -> None:
        """Mirror what is offered."""
        if isinstance(event, OfferReceived) and peer is self.phone:
            offer = described(event.message)
            direction = offer.direction_of(offer.media[0]).reversed
            body = sdp(PHONE, 5000, direction=direction, version=len(self.network.trace))
            event.usage.accept(body, self.now)
        elif isinstance(event, OfferReceived) and peer is self.a:
            offer = described(event.message)
            direction = offer.direction_of(offer.media[0]).reversed
            event.usage.accept(sdp(direction=direction, version=9), self.now)

    def offer(self, usage: InviteClientUsage | InviteServerUsage, body: bytes | None) -> None:
        """Send a re-INVITE with this offer, or without one."""
        usage.modify(None if body is None else lambda: body, self.now)
        self.settle()

    def direction_at(self, peer: Peer) -> str:
        """The direction of the latest offer that a peer had."""
        description = described(peer.last(OfferReceived).message)
        return str(description.direction_of(description.media[0]))

    def direction_answered(self) -> str:
        """The direction of our latest answer to the server."""
        description = described(self.a.last(AnswerReceived).message)
        return str(description.direction_of(description.media[0]))

    def test_hold_by_direction(self) -> None:
        """sendonly is answered with recvonly, and the phone is told that it is on hold."""
        usage = self.answered()
        self.offer(usage, sdp(direction="sendonly", version=2))
        self.assertEqual(self.direction_answered(), "recvonly")
        self.assertEqual(self.direction_at(self.phone), "sendonly")
        self.assertEqual(self.network.told(CallHeld)[-1].held, True)
        self.offer(usage, sdp(version=3))
        self.assertEqual(self.direction_answered(), "sendrecv")
        self.assertEqual(self.direction_at(self.phone), "sendrecv")
        self.assertEqual(self.network.told(CallHeld)[-1].held, False)

    def test_hold_by_address(self) -> None:
        """c=0.0.0.0 is a hold: nothing is sent there, and an offerless re-INVITE ends it."""
        usage = self.answered()
        self.offer(usage, sdp(address="0.0.0.0", version=2))
        self.assertIn(self.direction_answered(), ("recvonly", "inactive"))
        held = [t for t in self.network.plane.terms.values() if not t.sends]
        self.assertEqual(len(held), 1)
        self.assertIsNone(held[0].remote)
        self.offer(usage, None)
        self.assertEqual(self.direction_at(self.a), "sendrecv")
        self.assertTrue(all(t.sends for t in self.network.plane.terms.values()))
        self.assertEqual(self.direction_at(self.phone), "sendrecv")

    def test_phone_holds(self) -> None:
        """A phone that holds has the server told, by a re-INVITE of ours."""
        self.answered()
        called = self.phone.called
        self.offer(called, sdp(PHONE, 5000, direction="sendonly", version=2))
        self.assertEqual(self.direction_at(self.a), "sendonly")
        self.offer(called, sdp(PHONE, 5000, version=3))
        self.assertEqual(self.direction_at(self.a), "sendrecv")

    def test_refresh_changes_nothing(self) -> None:
        """The same offer again has the same answer, o= line and all; the phone is not asked."""
        usage = self.answered()
        before = self.a.last(AnswerReceived).message.body
        invites = self.sent(PHONE).count("INVITE")
        self.offer(usage, sdp())
        self.assertEqual(self.a.last(AnswerReceived).message.body, before)
        self.assertEqual(self.sent(PHONE).count("INVITE"), invites)

    def test_new_address(self) -> None:
        """A new address and port are where media go from then on."""
        usage = self.answered()
        self.offer(usage, sdp("203.0.113.77", 50000, version=2))
        remotes = {terms.remote for terms in self.network.plane.terms.values()}
        self.assertIn(("203.0.113.77", 50000), remotes)

    def test_versions_count_up_by_one(self) -> None:
        """Each change of ours has a version one higher than the one before."""
        usage = self.answered()
        versions = [described(self.a.last(AnswerReceived).message).origin.session_version]
        for number, direction in enumerate(("sendonly", "sendrecv", "inactive", "sendrecv")):
            self.offer(usage, sdp(direction=direction, version=number + 2))
            versions.append(described(self.a.last(AnswerReceived).message).origin.session_version)
        first = versions[0]
        self.assertEqual(versions, [first, first + 1, first + 2, first + 3, first + 4])

    def test_codec_that_only_the_phone_can_confirm(self) -> None:
        """Where the legs would have no codec in common the phone is asked before the answer."""
        usage = self.answered(body=sdp(PHONE, 5000, codecs="0"), offer=sdp(codecs="0"))
        self.offer(usage, sdp(codecs="8", version=2))
        offered = described(self.phone.last(OfferReceived).message)
        self.assertEqual(offered.media[0].line.formats, ("8",))
        answer = described(self.a.last(AnswerReceived).message)
        self.assertEqual(answer.media[0].line.formats, ("8",))

    def test_change_that_nobody_takes(self) -> None:
        """A re-INVITE without a common codec is 488, and the call goes on as it was."""
        usage = self.answered()
        before = dict(self.network.plane.terms)
        self.offer(usage, sdp(codecs="18", version=2))
        self.assertIn("488 INVITE", self.sent(SERVER_A))
        self.assertEqual(dict(self.network.plane.terms), before)
        self.offer(usage, sdp(port=45000, version=3))
        self.assertEqual(len(self.network.core.calls), 1)

    def test_both_sides_hold_at_once(self) -> None:
        """Holds that cross end with both on hold, and with nothing left open."""
        usage = self.answered()
        called = self.phone.called
        usage.modify(lambda: sdp(direction="sendonly", version=2), self.now)
        called.modify(lambda: sdp(PHONE, 5000, direction="sendonly", version=2), self.now)
        self.settle()
        self.network.advance(20)
        self.assertEqual(self.direction_at(self.phone), "inactive")
        self.assertEqual(self.direction_at(self.a), "inactive")

    def hold_and_retrieve(self) -> list[OfferReceived]:
        """Have the phone do both while the server leaves its offers open, which it gives."""
        self.answered()
        offers: list[OfferReceived] = []

        def after(peer: Peer, event: object) -> None:
            if peer is self.a and isinstance(event, OfferReceived):
                offers.append(event)
            else:
                self.answer_like_a_phone(peer, event)

        self.network.after = after
        self.offer(self.phone.called, sdp(PHONE, 5000, direction="sendonly", version=2))
        self.offer(self.phone.called, sdp(PHONE, 5000, version=3))
        self.assertEqual([self.direction_at(self.a), len(offers)], ["sendonly", 1])
        return offers

    def test_change_behind_a_change(self) -> None:
        """A phone that retrieves before the server has answered its hold: one after the other."""
        offers = self.hold_and_retrieve()
        for direction in ("recvonly", "sendrecv"):
            offers[-1].usage.accept(sdp(direction=direction, version=len(offers) + 1), self.now)
            self.settle()
        self.assertEqual([self.direction_at(self.a), len(offers)], ["sendrecv", 2])
        self.assertEqual(self.network.told(CallEnded), [])
        self.assertEqual([e.held for e in self.network.told(CallHeld)], [True, False])

    def test_change_behind_a_refusal(self) -> None:
        """The same where the server refuses the hold."""
        offers = self.hold_and_retrieve()
        offers[-1].usage.refuse(488, self.now)
        self.settle()
        offers[-1].usage.accept(sdp(version=9), self.now)
        self.settle()
        self.assertEqual([self.direction_at(self.a), len(offers)], ["sendrecv", 2])
        self.assertEqual(self.network.told(CallEnded), [])

    def test_bye_during_a_change(self) -> None:
        """A BYE while a re-INVITE is open ends both legs."""
        usage = self.answered()
        self.network.after = lambda peer, event: None
        self.offer(usage, sdp(direction="sendonly", version=2))
        self.phone.called.bye(self.now)
        self.settle()
        self.assertIn("BYE", self.sent(SERVER_A))
        self.assert_clean()

    def test_hold_adds_no_medium(self) -> None:
        """A hold of ours speaks of the media that there are, and of no others."""
        self.build(media=with_video())
        self.network.after = self.answer_like_a_phone
        usage = self.a.call("7001", sdp())
        usage.notify("hold", self.now)
        self.settle()
        offer = described(self.a.last(OfferReceived).message)
        self.assertEqual([medium.kind for medium in offer.media], ["audio"])

    def test_answer_without_the_last_media(self) -> None:
        """A peer that leaves away what it does not take has refused it."""
        self.build(media=with_video())
        usage = self.a.call("1001")
        self.assertEqual(len(described(self.phone.last(Invited).request).media), 2)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        usage.accept(sdp(), self.now)
        self.settle()
        self.assertEqual(len(self.network.core.calls), 1)
        self.assertFalse(self.phone.has(Ended))


def with_video() -> MediaSettings:
    """Media settings with a codec for video."""
    codecs = parse_codec_list("(pcmu,pcma,vp8=100)")
    return MediaSettings(host=OURS, rules=CodecRules(codecs=codecs, transcoding=False))


class ShutDownTests(CallCase):
    """The end of the process."""

    def test_calls_are_ended_first(self) -> None:
        """It waits for the answers to BYE, and not for copies of calls that are over."""
        self.answered()
        core = self.network.core
        core.shut_down(self.now, 4.0)
        self.assertFalse(core.agent.is_idle)
        self.assertFalse(core.is_closed)
        self.settle()
        self.assertTrue(core.agent.is_idle)
        self.assertNotEqual(len(core.agent), 0)
        self.network.advance(4)
        self.assertTrue(core.is_closed)
