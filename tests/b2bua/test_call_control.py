"""NOTIFY talk and hold, INFO, and Replaces, as calls meet them."""

from __future__ import annotations

from b2bua.attached_data import FORM_TYPE
from b2bua.call_control import MEDIA_CONTROL
from b2bua.call_events import CallHeld
from b2bua.settings import EchoAnswer
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    Established,
    InDialogRequest,
    Invited,
    OfferReceived,
    Profile,
    Progress,
    RequestAnswered,
)
from tests.b2bua.network import PHONE, SERVER_A, Network, Peer, described, sdp
from tests.b2bua.test_calls import CallCase

UPDATE = b"<media_control><vc_primitive><to_encoder><picture_fast_update/>"


class TalkTests(CallCase):
    """NOTIFY talk answers a call that rings, and ends a hold of ours."""

    def setUp(self) -> None:
        self.build(echo_answer=EchoAnswer.ON_TALK)
        self.network.after = self.mirror

    def mirror(self, peer: Peer, event: object) -> None:
        """Answer offers as a server does."""
        if isinstance(event, OfferReceived):
            offer = described(event.message)
            direction = offer.direction_of(offer.media[0]).reversed
            number = len(self.network.trace)
            event.usage.accept(sdp(direction=direction, version=number), self.now)

    def notify(self, usage: InviteClientUsage, event: str) -> int:
        """Send a NOTIFY in the call's dialog; give the status of its answer."""
        usage.notify(event, self.now, dialog=usage.sessions()[0].dialog)
        self.settle()
        return self.a.last(RequestAnswered).status

    def test_early_dialog_is_answered_by_talk(self) -> None:
        """The 180 lists talk and hold; the 200 to NOTIFY goes out before that to INVITE."""
        usage = self.a.call("7001")
        ringing = self.a.last(Progress).response
        self.assertEqual(ringing.get("Allow-Events"), "talk, hold")
        self.assertTrue(ringing.to.tag)
        self.network.advance(5)
        self.assertFalse(self.a.has(Established))
        self.assertEqual(self.notify(usage, "talk"), 200)
        self.assertTrue(self.a.has(Established))
        lines = self.sent(SERVER_A)
        self.assertLess(lines.index("200 NOTIFY"), lines.index("200 INVITE"))

    def test_hold_and_talk_in_turns(self) -> None:
        """Each hold offers sendonly, each talk sendrecv, and versions count up by one."""
        usage = self.a.call("7001", sdp())
        self.notify(usage, "talk")
        versions, directions = [], []
        for _ in range(3):
            for event in ("hold", "talk"):
                self.assertEqual(self.notify(usage, event), 200)
                offer = described(self.a.last(OfferReceived).message)
                versions.append(offer.origin.session_version)
                directions.append(str(offer.direction_of(offer.media[0])))
        self.assertEqual(directions, ["sendonly", "sendrecv"] * 3)
        self.assertEqual(versions, list(range(versions[0], versions[0] + 6)))

    def test_talk_twice_changes_nothing(self) -> None:
        """A second talk has its 200 and no effect."""
        usage = self.a.call("7001", sdp())
        self.notify(usage, "talk")
        before = len(self.sent(SERVER_A))
        self.assertEqual(self.notify(usage, "talk"), 200)
        self.assertEqual(self.sent(SERVER_A)[before:], ["200 NOTIFY"])

    def test_talk_does_not_end_the_servers_hold(self) -> None:
        """Who holds ends it: talk does nothing for a call that the server holds."""
        usage = self.a.call("7001", sdp())
        self.notify(usage, "talk")
        usage.modify(lambda: sdp(direction="sendonly", version=2), self.now)
        self.settle()
        before = len(self.sent(SERVER_A))
        self.assertEqual(self.notify(usage, "talk"), 200)
        self.assertEqual(self.sent(SERVER_A)[before:], ["200 NOTIFY"])

    def test_hold_waits_for_the_servers_own_change(self) -> None:
        """A hold that comes while the server's re-INVITE is open is carried out after it."""
        self.build()
        self.network.after = self.mirror
        usage = self.a.call("1001", sdp(codecs="0"))
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs="0"))
        self.settle()
        self.network.after = lambda peer, event: None
        usage.modify(lambda: sdp(codecs="8", version=2), self.now)
        self.settle()
        # The server hears of its re-INVITE before it says more.
        self.network.advance(0.3)
        self.assertEqual(self.notify(usage, "hold"), 200)
        asked = self.phone.last(OfferReceived)
        self.network.after = self.mirror
        asked.usage.accept(sdp(PHONE, 5000, codecs="8", version=2), self.now)
        self.settle()
        offer = described(self.a.last(OfferReceived).message)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")
        self.assertEqual(self.network.told(CallHeld)[-1].held, True)

    def test_unknown_event(self) -> None:
        """Another event is 489, and the answer lists those that there are."""
        usage = self.a.call("7001", sdp())
        self.assertEqual(self.notify(usage, "check-sync"), 489)
        answer = self.last_to(SERVER_A, "489 NOTIFY")
        self.assertEqual(answer.get("Allow-Events"), "talk, hold")

    def test_switched_off(self) -> None:
        """Where the feature is off it is not advertised, and talk is 489."""
        self.build(echo_answer=EchoAnswer.ON_TALK, talk_hold=False)
        usage = self.a.call("7001", sdp())
        self.assertIsNone(self.a.last(Progress).response.get("Allow-Events"))
        self.assertEqual(self.notify(usage, "talk"), 489)
        self.assertFalse(self.a.has(Established))

    def test_phone_may_not_work_others(self) -> None:
        """Only a SIP Server may say talk."""
        self.build()
        usage = self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        self.a.called.answer(self.now, sdp())
        self.settle()
        usage.notify("hold", self.now)
        self.settle()
        self.assertEqual(self.phone.last(RequestAnswered).status, 489)

    def test_unknown_dialog(self) -> None:
        """A NOTIFY in no dialog is 481."""
        request = ("Event", "talk")
        self.assertEqual(self.a.ask("NOTIFY", "sip:7001@192.0.2.1:5066", (request,)).status, 481)

    def test_ringing_phone_is_told_if_it_lets_itself_be_told(self) -> None:
        """A phone that lists talk gets the NOTIFY; for one that does not it is 480."""
        self.build()
        usage = self.a.call("1001", sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        self.assertEqual(self.notify(usage, "talk"), 480)
        self.phone.called.reject(480, self.now)
        self.settle()
        able = Profile(session_expires=0, allow_events=("talk",))
        phone = Peer(self.network, "1001", PHONE, able)
        self.network.peers[PHONE] = phone
        usage = self.a.call("1001", sdp())
        phone.called.ring(180, self.now)
        self.settle()
        self.assertEqual(self.notify(usage, "talk"), 200)
        self.assertEqual(len(phone.seen("NOTIFY")), 1)


class InfoTests(CallCase):
    """Attached data and digits while a call lasts."""

    def info(self, body: bytes, kind: str) -> int:
        """Send an INFO from the server; give the status of its answer."""
        usage = self.a.last(Established).usage
        usage.info([("Content-Type", kind)], body, self.now)
        self.settle()
        return self.a.last(RequestAnswered).status

    def setUp(self) -> None:
        super().setUp()
        self.answered()

    def test_data_go_on_written_anew(self) -> None:
        """A form reaches the other leg, escaped in one way."""
        self.assertEqual(self.info(b"name=Erika+M&city=K%c3%b6ln", FORM_TYPE), 200)
        self.assertEqual(self.phone.seen("INFO")[-1].body, b"name=Erika%20M&city=K%C3%B6ln")

    def test_answer_of_the_other_leg_is_taken(self) -> None:
        """The phone's 200 to an INFO that went on is the end of it."""
        self.assertEqual(self.info(b"a=1", FORM_TYPE), 200)
        request = self.phone.seen("INFO")[-1]
        self.assertEqual(request.method, "INFO")
        answered = self.phone.last(InDialogRequest)
        answered.usage.respond(answered.transaction, 200, self.now)
        self.settle()
        self.assertEqual(len(self.network.core.calls), 1)

    def test_malformed_data_are_refused(self) -> None:
        """A key that would be a header of its own goes nowhere."""
        self.assertEqual(self.info(b"bad%0d%0aVia%3a=1", FORM_TYPE), 400)
        self.assertEqual(self.phone.seen("INFO"), [])

    def test_digits_go_on(self) -> None:
        """Digits by INFO go on as they are."""
        self.assertEqual(self.info(b"Signal=5\r\nDuration=160\r\n", "application/dtmf-relay"), 200)
        self.assertEqual(self.phone.seen("INFO")[-1].body, b"Signal=5\r\nDuration=160\r\n")

    def test_pictures_of_a_leg_without_video(self) -> None:
        """There is none to ask for, and nothing goes on."""
        self.assertEqual(self.info(UPDATE, MEDIA_CONTROL), 200)
        self.assertEqual((self.network.plane.pictures, self.phone.seen("INFO")), ([], []))

    def test_other_bodies(self) -> None:
        """A body that nobody here knows is 415, and the answer lists those that are known."""
        self.assertEqual(self.info(b"x", "application/unknown"), 415)
        self.assertIn(FORM_TYPE, self.last_to(SERVER_A, "415 INFO").get("Accept") or "")

    def test_headers_of_the_invite(self) -> None:
        """Attached headers go on with the call, and no others of that kind."""
        usage = self.a.call(
            "1001",
            sdp(),
            headers=(
                ("X-genesys-customer", "42"),
                ("X-Genesys-CallUUID", "0" * 32),
                ("X-Other", "1"),
            ),
        )
        request = self.phone.last(Invited).request
        self.assertEqual(request.get("X-genesys-customer"), "42")
        self.assertIsNone(request.get("X-Genesys-CallUUID"))
        self.assertIsNone(request.get("X-Other"))
        usage.cancel(self.now)
        self.settle()


class ReplacesTests(CallCase):
    """INVITE with Replaces (RFC 3891)."""

    def test_unknown_dialog(self) -> None:
        """A dialog that is not here is 481."""
        header = ("Replaces", "nobody@x;to-tag=a;from-tag=b")
        self.a.call("1001", sdp(), headers=(header,))
        self.assertEqual(self.final(self.a), 481)

    def test_leg_is_replaced(self) -> None:
        """The new leg takes over, the old one has its BYE, and the phone notices nothing."""
        usage = self.answered()
        assert usage.session is not None
        dialog = usage.session.dialog
        value = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
        new = self.a.call("1001", sdp("203.0.113.9", 49000), headers=(("Replaces", value),))
        self.assertTrue(self.a.has(AnswerReceived))
        self.assertEqual(self.a.last(Ended).usage, usage)
        self.assertFalse(self.phone.has(Ended))
        remotes = {terms.remote for terms in self.network.plane.terms.values()}
        self.assertIn(("203.0.113.9", 49000), remotes)
        new.bye(self.now)
        self.settle()
        self.assertTrue(self.phone.has(Ended))
        self.assert_clean()


class OutsideCallTests(CallCase):
    """Requests that belong to no call."""

    def test_server_asks_for_options(self) -> None:
        """OPTIONS of a server say what we can do."""
        answer = self.a.ask("OPTIONS", "sip:192.0.2.1:5066")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.get("Allow-Events"), "talk, hold")
        self.assertIn("INVITE", answer.get("Allow") or "")

    def test_other_methods(self) -> None:
        """Each has the answer that its RFC has for it."""
        uri = "sip:1001@192.0.2.1:5066"
        expected = {
            "SUBSCRIBE": 489,
            "MESSAGE": 405,
            "REFER": 603,
            "INFO": 481,
            "UPDATE": 481,
            "FOO": 501,
        }
        found = {method: self.a.ask(method, uri).status for method in expected}
        self.assertEqual(found, expected)


assert Network
