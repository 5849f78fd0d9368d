"""What a SIP Server may say inside and around a dialog, said byte by byte."""

from __future__ import annotations

from b2bua.call_events import CallEnded
from b2bua.sip.message import Request
from b2bua.sip.usage_events import OfferReceived
from tests.b2bua.network import PHONE, SERVER_A, SERVER_B, Ended, Peer, described, sdp
from tests.b2bua.test_calls import CallCase
from tests.b2bua.wire import Headers, Wire


class WireCase(CallCase):
    """One phone signed in, and a server that a test speaks for."""

    def build(self, **changes: object) -> None:
        """Make a network whose first server is a wire."""
        super().build(**changes)
        self.wire = Wire(self.network)
        self.network.after = self.mirror

    def mirror(self, peer: Peer, event: object) -> None:
        """The phone takes whatever is offered."""
        if isinstance(event, OfferReceived) and peer is self.phone:
            offer = described(event.message)
            direction = offer.direction_of(offer.media[0]).reversed
            version = len(self.network.trace)
            event.usage.accept(sdp(PHONE, 5000, direction=direction, version=version), self.now)

    def up(self, headers: Headers = (), body: bytes | None = None) -> None:
        """A call of the server to the phone that is up."""
        self.wire.invite(sdp() if body is None else body, headers)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.wire.acknowledge()

    def placed(self) -> Request:
        """A call of the phone; the INVITE that came to the server."""
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        return self.wire.asked("INVITE")[-1]

    def remotes(self) -> set[tuple[str, int] | None]:
        """Where media go."""
        return {terms.remote for terms in self.network.plane.terms.values()}


class FirstInviteTests(WireCase):
    """An INVITE on its way in."""

    def test_trying(self) -> None:
        """100 goes out after 200 ms, unless something better went out before."""
        self.wire.invite(sdp())
        self.network.advance(0.19)
        self.assertEqual(self.wire.got(), [])
        self.network.advance(0.02)
        self.assertEqual([m.status for m in self.wire.answers("INVITE")], [100])
        self.assertEqual(self.wire.answers("INVITE")[0].to.tag, "")

    def test_copy(self) -> None:
        """A copy of an INVITE rings no second time."""
        invite = self.wire.request("INVITE", body=sdp())
        for _ in range(3):
            self.wire.send(invite)
        self.assertEqual(self.sent(PHONE).count("INVITE"), 1)

    def test_merged(self) -> None:
        """The same INVITE by another way, with a branch of its own, is 482 and rings nobody."""
        self.wire.invite(sdp())
        self.wire.invite(sdp())
        self.assertEqual([m.status for m in self.wire.answers("INVITE")], [482])
        self.assertEqual(self.sent(PHONE).count("INVITE"), 1)

    def test_one_tag(self) -> None:
        """Every response but 100 has the same To tag."""
        self.wire.invite(sdp(), headers=(("Supported", "100rel"),))
        self.phone.called.ring(180, self.now)
        self.settle()
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        tags = {m.to.tag for m in self.wire.answers("INVITE")}
        self.assertEqual(len(tags), 1)
        self.assertNotIn("", tags)

    def test_unknown_extension(self) -> None:
        """What is required and not known is 420, and named."""
        self.wire.invite(sdp(), headers=(("Require", "path, 100rel"),))
        (refusal,) = self.wire.answers("INVITE")
        self.assertEqual((refusal.status, refusal.get("Unsupported")), (420, "path"))
        self.assertEqual(self.sent(PHONE), [])

    def test_interval_too_small(self) -> None:
        """A session interval below 90 s is 422, with what is enough."""
        self.wire.invite(sdp(), headers=(("Supported", "timer"), ("Session-Expires", "60")))
        (refusal,) = self.wire.answers("INVITE")
        self.assertEqual((refusal.status, refusal.get("Min-SE")), (422, "90"))

    def test_video_is_refused_in_its_slot(self) -> None:
        """A medium that cannot be had keeps its place with port 0, wherever it stands."""
        video = b"m=video 41000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        head, mark, audio = sdp().partition(b"m=audio")
        self.up(body=head + video + mark + audio)
        answer = described(self.wire.answers("INVITE")[-1])
        self.assertEqual(
            [(m.kind, m.port > 0) for m in answer.media], [("video", False), ("audio", True)]
        )


class EarlyTests(WireCase):
    """Provisional responses with more to them."""

    def test_two_early_answers_to_a_caller_that_requires_reliable_ones(self) -> None:
        """180 and 183 with a description each: the answer is given once, and the call comes up."""
        self.wire.invite(sdp(), headers=(("Require", "100rel"),))
        self.phone.called.ring(180, self.now, sdp(PHONE, 5000))
        self.settle()
        self.phone.called.ring(183, self.now, sdp(PHONE, 5000))
        self.settle()
        for sequence in (2, 3):
            rung = self.wire.answers("INVITE")[-1]
            self.wire.within("PRACK", sequence, headers=(("RAck", f"{rung.rseq} 1 INVITE"),))
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        bodies = [m.status for m in self.wire.answers("INVITE") if m.body]
        self.assertEqual(bodies, [180])
        self.assertEqual(self.wire.answers("INVITE")[-1].status, 200)

    def test_another_branch_answers(self) -> None:
        """Of two branches behind the server the one that answers has the media."""
        invite = self.placed()
        self.wire.respond(invite, 183, "one", sdp("203.0.113.1", 41000))
        self.wire.respond(invite, 183, "two", sdp("203.0.113.2", 42000))
        self.wire.respond(invite, 200, "two", sdp("203.0.113.2", 42000))
        self.assertIn(("203.0.113.2", 42000), self.remotes())
        self.assertNotIn(("203.0.113.1", 41000), self.remotes())

    def test_another_branch_answers_after_a_reliable_answer(self) -> None:
        """An answer that was given reliably binds its own branch only."""
        invite = self.placed()
        reliable = (("Require", "100rel"), ("RSeq", "7"))
        self.wire.respond(invite, 183, "one", sdp("203.0.113.1", 41000), reliable)
        prack = self.wire.asked("PRACK")[-1]
        self.wire.respond(prack, 200, "one")
        self.wire.respond(invite, 200, "two", sdp("203.0.113.2", 42000))
        self.assertFalse(self.phone.has(Ended))
        self.assertIn(("203.0.113.2", 42000), self.remotes())

    def test_second_branch_answers_too(self) -> None:
        """The 2xx of another branch, that comes late, has its ACK and a BYE; the call goes on."""
        invite = self.placed()
        self.wire.respond(invite, 183, "one")
        self.wire.respond(invite, 200, "two", sdp())
        self.wire.respond(invite, 200, "one", sdp("203.0.113.1", 41000))
        (bye,) = self.wire.asked("BYE")
        self.assertEqual(bye.to.tag, "one")
        self.assertEqual([m.to.tag for m in self.wire.asked("ACK")], ["two", "one"])
        self.assertFalse(self.phone.has(Ended))

    def test_early_media_is_authorised(self) -> None:
        """P-Early-Media goes on with the response that it belongs to (RFC 5009)."""
        invite = self.placed()
        early = (("P-Early-Media", "sendonly"),)
        self.wire.respond(invite, 183, "one", sdp(), early)
        passed = self.last_to(PHONE, "183 INVITE")
        self.assertEqual(passed.get("P-Early-Media"), "sendonly")


class EndTests(WireCase):
    """How an end is explained on the other side."""

    def test_answered_elsewhere(self) -> None:
        """Why the server gives up reaches the phone: it shall not show a missed call."""
        self.wire.invite(sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        reason = 'SIP;cause=200;text="Call completed elsewhere"'
        cancel = self.wire.request("CANCEL", headers=(("Reason", reason),), branch="z9hG4bKw1")
        self.wire.send(cancel)
        self.assertEqual(self.last_to(PHONE, "CANCEL").get("Reason"), reason)
        self.assertEqual(self.wire.answers("INVITE")[-1].status, 487)
        self.assert_clean()

    def test_bye_is_explained(self) -> None:
        """Reason and User-to-User of a BYE reach the phone, each once."""
        self.up()
        said = (("Reason", "Q.850;cause=16"), ("User-to-User", "56a390;encoding=hex"))
        self.wire.within("BYE", 2, headers=said)
        bye = self.last_to(PHONE, "BYE")
        self.assertEqual(bye.get_all("Reason"), ["Q.850;cause=16"])
        self.assertEqual(bye.get("User-to-User"), "56a390;encoding=hex")

    def test_phones_bye_is_explained(self) -> None:
        """And the other way round."""
        self.up()
        self.phone.called.bye(self.now, (("Reason", "Q.850;cause=16"),))
        self.settle()
        self.assertEqual(self.wire.asked("BYE")[-1].get("Reason"), "Q.850;cause=16")


class InsideTests(WireCase):
    """Requests inside a call that change nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.up()

    def test_refusals(self) -> None:
        """Each method and each strange event has its own status, and the call goes on."""
        expected = [
            ("MESSAGE", (("Content-Type", "text/plain"),), 405),
            ("REFER", (("Refer-To", "<sip:7@example.com>"),), 603),
            ("SUBSCRIBE", (("Event", "dialog"),), 489),
            ("NOTIFY", (("Event", "dialog"), ("Subscription-State", "active")), 489),
            ("INFO", (("Info-Package", "conference"),), 469),
            ("PUBLISH", (("Event", "presence"),), 405),
            ("PRACK", (("RAck", "1 1 INVITE"),), 481),
            ("HELLO", (), 501),
        ]
        for sequence, (method, headers, status) in enumerate(expected, 2):
            answer = self.wire.within(method, sequence, headers=headers)
            self.assertEqual(answer and answer.status, status, method)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_options(self) -> None:
        """OPTIONS within a call is answered in full and changes nothing."""
        before = len(self.network.core.agent.dialogs)
        answer = self.wire.within("OPTIONS", 2)
        assert answer is not None
        self.assertEqual(answer.status, 200)
        for name in ("Allow", "Allow-Events", "Accept", "Supported"):
            self.assertTrue(answer.get(name), name)
        self.assertEqual(len(self.network.core.agent.dialogs), before)

    def test_options_outside(self) -> None:
        """Outside any dialog it says the same, and leaves nothing."""
        self.wire.send(self.wire.request("OPTIONS", call_id="ping", headers=()))
        answer = self.wire.answers("OPTIONS")[-1]
        for name in ("Allow", "Allow-Events", "Accept", "Supported"):
            self.assertTrue(answer.get(name), name)

    def test_refresh_by_update(self) -> None:
        """An UPDATE without a description refreshes, and nobody else hears of it."""
        before = len(self.sent(PHONE))
        headers = (("Supported", "timer"), ("Session-Expires", "1800;refresher=uac"))
        answer = self.wire.within("UPDATE", 2, headers=headers)
        assert answer is not None
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.get("Session-Expires"), "1800;refresher=uac")
        self.assertEqual(len(self.sent(PHONE)), before)

    def test_hold_by_update(self) -> None:
        """An UPDATE with a description changes the session as a re-INVITE does."""
        answer = self.wire.within("UPDATE", 2, sdp(direction="sendonly", version=2))
        assert answer is not None
        answered = described(answer)
        self.assertEqual(str(answered.direction_of(answered.media[0])), "recvonly")
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")

    def test_lower_number(self) -> None:
        """A request with a number that was used already is 500."""
        self.wire.within("OPTIONS", 5)
        answer = self.wire.within("OPTIONS", 4)
        self.assertEqual(answer and answer.status, 500)

    def test_new_id_of_the_call(self) -> None:
        """X-Genesys-CallUUID may change in a re-INVITE; the session is what it was."""
        uuid = (("X-Genesys-CallUUID", "1" * 32),)
        answer = self.wire.within("INVITE", 2, sdp(), uuid)
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, self.wire.answers("INVITE")[0].body or answer.body)
        self.assertEqual(self.sent(PHONE).count("INVITE"), 1)

    def test_new_target(self) -> None:
        """A new Contact in a re-INVITE is where requests go from then on; in an INFO it is not."""
        moved = (("Contact", f"<sip:moved@{SERVER_B}:5070>"),)
        request = self.wire.request("INVITE", sequence=2, to_tag=self.wire.tag, body=sdp())
        request.replace("Contact", moved[0][1])
        self.wire.send(request)
        self.wire.acknowledge(2)
        info = self.wire.request("INFO", sequence=3, to_tag=self.wire.tag)
        info.replace("Contact", "<sip:other@192.0.2.99>")
        self.wire.send(info)
        self.phone.called.bye(self.now)
        self.settle()
        bye = next(
            m
            for _, _, m in self.network.trace[::-1]
            if isinstance(m, Request) and m.method == "BYE" and m.call_id == "wired"
        )
        self.assertEqual(str(bye.uri), f"sip:moved@{SERVER_B}:5070")

    def test_overlapping_reinvites(self) -> None:
        """A second INVITE before the first has its answer is 500 with a time to come again."""
        self.network.after = lambda peer, event: None
        self.wire.within("INVITE", 2, sdp(codecs="9", version=2))
        answer = self.wire.within("INVITE", 3, sdp(version=3))
        assert answer is not None
        self.assertEqual(answer.status, 500)
        self.assertIsNotNone(answer.get("Retry-After"))

    def test_unspecified_address_of_ipv6(self) -> None:
        """c=:: holds like c=0.0.0.0."""
        body = sdp(version=2).replace(b"c=IN IP4 203.0.113.5", b"c=IN IP6 ::")
        answer = self.wire.within("INVITE", 2, body)
        assert answer is not None
        answered = described(answer)
        self.assertIn(str(answered.direction_of(answered.media[0])), ("recvonly", "inactive"))
        self.assertIn(None, self.remotes())
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")


class SlotTests(WireCase):
    """Media lines that come, go and come again."""

    def test_slot_is_given_up_and_used_again(self) -> None:
        """Audio with port 0 is answered with port 0; the slot can be used again afterwards."""
        self.up()
        answer = self.wire.within("INVITE", 2, sdp(port=0, version=2))
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.assertEqual(described(answer).media[0].port, 0)
        self.wire.acknowledge(2)
        answer = self.wire.within("INVITE", 3, sdp(version=3))
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.assertGreater(described(answer).media[0].port, 0)
        self.assertIn(("203.0.113.5", 40000), self.remotes())

    def test_slot_that_is_dropped(self) -> None:
        """An offer that leaves a slot away is 488, and the session is as before."""
        video = b"m=video 41000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        self.up(body=sdp() + video)
        answer = self.wire.within("INVITE", 2, sdp(version=2))
        self.assertEqual(answer and answer.status, 488)
        self.assertEqual(len(self.network.core.calls), 1)


class SessionTimerTests(WireCase):
    """Sessions that have to be refreshed (RFC 4028)."""

    def test_server_that_is_gone(self) -> None:
        """A server that should refresh and does not: both legs end before the interval does."""
        self.up((("Supported", "timer"), ("Session-Expires", "90;refresher=uac")))
        self.network.advance(57)
        self.assertEqual(self.wire.asked("BYE"), [])
        self.network.advance(33)
        self.assertEqual(len(self.wire.asked("BYE")), 1)
        self.assertIn("BYE", self.sent(PHONE))
        self.assertIn("cause=408", self.last_to(PHONE, "BYE").get("Reason") or "")
        self.assertEqual(self.network.told(CallEnded)[-1].cause, "expired")

    def test_we_refresh_by_update(self) -> None:
        """Where we refresh and the server knows UPDATE, one goes out, without a description."""
        headers = (("Supported", "timer"), ("Session-Expires", "90;refresher=uas"))
        self.up((*headers, ("Allow", "INVITE, ACK, BYE, UPDATE")))
        self.network.advance(46)
        (update,) = self.wire.asked("UPDATE")
        self.assertEqual(update.body, b"")
        self.assertEqual(update.get("Session-Expires"), "90;refresher=uac")

    def test_we_refresh_by_reinvite_while_held(self) -> None:
        """Without UPDATE it is a re-INVITE that says the same again, o= line and hold and all."""
        headers = (("Supported", "timer"), ("Session-Expires", "90;refresher=uas"))
        self.up(headers)
        answer = self.wire.within("INVITE", 2, sdp(direction="sendonly", version=2), headers)
        assert answer is not None
        self.wire.acknowledge(2)
        self.network.advance(46)
        refresh = self.wire.asked("INVITE")[-1]
        self.assertEqual(refresh.body, answer.body)
        calls = len(self.sent(PHONE))
        self.wire.respond(refresh, 200, "theirs", sdp(direction="sendonly", version=2))
        self.assertEqual(len(self.sent(PHONE)), calls)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_server_wants_longer_intervals(self) -> None:
        """422 to our INVITE: it goes out again with what the server wants."""
        invite = self.placed()
        self.wire.respond(invite, 422, "one", headers=(("Min-SE", "3600"),))
        again = self.wire.asked("INVITE")[-1]
        self.assertEqual(again.get("Session-Expires"), "3600")
        self.assertEqual(again.get("Min-SE"), "3600")
        self.assertEqual(again.cseq.number, invite.cseq.number + 1)


class RouteTests(WireCase):
    """Routers between the server and us."""

    def test_two_routers(self) -> None:
        """Requests to a caller take the routers in the order in which they recorded themselves."""
        routers = ("<sip:192.0.2.11;lr>", "<sip:192.0.2.77;lr>")
        self.up((("Record-Route", ", ".join(routers)),))
        self.phone.called.bye(self.now)
        self.settle()
        (bye,) = self.wire.asked("BYE")
        self.assertEqual([str(route) for route in bye.route], list(routers))
        self.assertEqual(str(bye.uri), f"sip:5000@{SERVER_A}")

    def test_two_routers_to_a_callee(self) -> None:
        """To a callee they are taken the other way round; the ACK goes that way too."""
        invite = self.placed()
        routers = ("<sip:192.0.2.77;lr>", "<sip:192.0.2.11;lr>")
        recorded = (("Record-Route", ", ".join(routers)),)
        self.wire.respond(invite, 200, "one", sdp(), recorded)
        (ack,) = self.wire.asked("ACK")
        self.assertEqual([str(route) for route in ack.route], list(reversed(routers)))
        self.assertEqual(str(ack.uri), f"sip:one@{SERVER_A}")

    def test_strict_router(self) -> None:
        """A router of old finds itself in the Request-URI, and the target at the end."""
        self.up((("Record-Route", "<sip:192.0.2.11>"),))
        self.phone.called.bye(self.now)
        self.settle()
        (bye,) = self.wire.asked("BYE")
        self.assertEqual(str(bye.uri), "sip:192.0.2.11")
        self.assertEqual([str(route) for route in bye.route], [f"<sip:5000@{SERVER_A}>"])


class IdentityTests(WireCase):
    """Who calls, as the other side is told."""

    def test_toward_the_phone(self) -> None:
        """What the server vouches for reaches the phone of the DN, unless the caller hides."""
        asserted = ("P-Asserted-Identity", '"Erika" <sip:5000@sip.example.com>')
        more = (
            ("User-to-User", "56a390;encoding=hex"),
            ("Diversion", "<sip:7000@example.com>;reason=no-answer"),
            ("History-Info", "<sip:7000@example.com>;index=1"),
        )
        self.wire.invite(sdp(), headers=(asserted, *more))
        invite = self.last_to(PHONE, "INVITE")
        for name, value in (asserted, *more):
            self.assertEqual(invite.get(name), value)

    def test_hidden_caller(self) -> None:
        """With Privacy: id it does not."""
        asserted = ("P-Asserted-Identity", "<sip:5000@sip.example.com>")
        self.wire.invite(sdp(), headers=(asserted, ("Privacy", "id")))
        invite = self.last_to(PHONE, "INVITE")
        self.assertIsNone(invite.get("P-Asserted-Identity"))
        self.assertEqual(invite.get("Privacy"), "id")

    def test_toward_the_server(self) -> None:
        """A phone vouches for nobody; what it says of itself goes on."""
        headers = (
            ("P-Asserted-Identity", "<sip:9999@sip.example.com>"),
            ("User-to-User", "56a390;encoding=hex"),
            ("Diversion", "<sip:7000@example.com>;reason=no-answer"),
        )
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001", headers=headers)
        invite = self.wire.asked("INVITE")[-1]
        self.assertIsNone(invite.get("P-Asserted-Identity"))
        self.assertEqual(invite.get("User-to-User"), "56a390;encoding=hex")
        self.assertTrue(invite.has("Diversion"))

    def transferred(self, *headers: tuple[str, str]) -> list[Request]:
        """The server puts somebody else on; the UPDATEs that the phone had for it."""
        other = sdp("203.0.113.99", 47000).replace(b"o=peer 77", b"o=other 4711")
        self.wire.within("INVITE", 2, other, headers)
        self.wire.acknowledge(2)
        self.network.advance(1)
        return [
            m
            for _, to, m in self.network.trace
            if to == PHONE and isinstance(m, Request) and m.method == "UPDATE"
        ]

    def test_another_party(self) -> None:
        """Whom the phone talks to after a transfer it hears by UPDATE, once (RFC 4916)."""
        self.up((("P-Asserted-Identity", "<sip:5000@sip.example.com>"),))
        asserted = ("P-Asserted-Identity", '"Max" <sip:6000@sip.example.com>')
        (update,) = self.transferred(asserted)
        self.assertEqual((update.get(asserted[0]), update.body), (asserted[1], b""))
        self.wire.within("INVITE", 3, sdp("203.0.113.99", 47000, version=9), (asserted,))
        self.wire.acknowledge(3)
        self.assertEqual(self.sent(PHONE).count("UPDATE"), 1)
        self.assertFalse(self.phone.has(Ended))

    def test_another_party_that_hides(self) -> None:
        """One that wants no name to be shown is not told of."""
        self.up()
        asserted = ("P-Asserted-Identity", "<sip:6000@sip.example.com>")
        self.assertEqual(self.transferred(asserted, ("Privacy", "id")), [])

    def test_phone_that_refuses_to_be_told(self) -> None:
        """An UPDATE that the phone refuses takes no hold along that waits behind it."""
        self.up()
        self.phone.works = False
        self.transferred(("P-Asserted-Identity", "<sip:6000@sip.example.com>"))
        update = self.last_to(PHONE, "UPDATE")
        assert isinstance(update, Request)
        self.wire.within("INVITE", 3, sdp("203.0.113.99", direction="sendonly", version=9))
        self.phone.works = True
        self.network.send(self.phone.hop, self.network.ours, update.response(488))
        self.settle()
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")


class ReplacesTests(WireCase):
    """What an INVITE with Replaces may not do (RFC 3891, section 3)."""

    def replacing(self, more: str = "") -> int:
        """Ask to replace the call that stands; give the status."""
        value = f"wired;to-tag={self.wire.tag};from-tag=theirs{more}"
        headers = (("Replaces", value), ("Require", "replaces"))
        request = self.wire.request("INVITE", call_id="new", body=sdp(), headers=headers)
        self.wire.send(request)
        return [m for m in self.wire.answers("INVITE") if m.call_id == "new"][-1].status

    def test_early_only(self) -> None:
        """One that is only for a ringing call does not take an answered one: 486."""
        self.up()
        self.assertEqual(self.replacing(";early-only"), 486)

    def test_callers_early_dialog(self) -> None:
        """A call that rings is not the caller's to replace: 481."""
        self.wire.invite(sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        self.assertEqual(self.replacing(), 481)

    def test_ended(self) -> None:
        """A call that ends is taken by nobody: 603, or 481 once it is forgotten."""
        self.up()
        self.phone.called.bye(self.now)
        self.settle()
        self.assertIn(self.replacing(), (481, 603))
