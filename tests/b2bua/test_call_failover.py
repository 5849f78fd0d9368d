"""What becomes of calls when a SIP Server dies, is slow, or comes back."""

from __future__ import annotations

from b2bua.call_events import CallResent, ServerChanged, ServersDown
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.usage_events import Ended, Established, Invited
from b2bua.talk_hold import TalkHold
from tests.b2bua.network import OURS, PHONE, SERVER_A, SERVER_B, sdp
from tests.b2bua.test_calls import CallCase

assert TalkHold


class NewCallTests(CallCase):
    """INVITEs of ours that meet a dead server."""

    def call(self) -> None:
        """The phone calls somebody."""
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")

    def test_invite_without_any_answer_goes_to_the_other_server(self) -> None:
        """After the failover time the INVITE is sent to the next server, once."""
        self.a.works = False
        self.call()
        self.network.advance(3.9)
        self.assertFalse(self.b.has(Invited))
        self.network.advance(0.2)
        self.assertTrue(self.b.has(Invited))
        self.assertEqual(len(self.network.told(CallResent)), 1)
        self.b.called.answer(self.now, sdp())
        self.settle()
        self.assertTrue(self.phone.has(Established))
        self.assertEqual(len(self.network.told(ServerChanged)), 1)

    def test_invite_with_a_provisional_response_stays(self) -> None:
        """A call that rings is not sent again, however long it rings."""
        self.call()
        self.a.called.ring(180, self.now)
        self.settle()
        self.network.advance(60)
        self.assertFalse(self.b.has(Invited))
        self.a.called.answer(self.now, sdp())
        self.settle()
        self.assertTrue(self.phone.has(Established))

    def test_late_answer_of_the_first_server_is_undone(self) -> None:
        """A 200 of a server that was given up has its ACK and its BYE; the call stays one."""
        self.a.works = False
        self.call()
        late = [data for source, to, data in self._caught_by(SERVER_A)]
        self.network.advance(4.1)
        self.b.called.answer(self.now, sdp())
        self.settle()
        self.a.works = True
        for data in late:
            self.a.agent.receive(data, self.network.ours, self.now)
        self.settle()
        self.a.called.answer(self.now, sdp())
        self.settle()
        self.assertIn("ACK", self.sent(SERVER_A))
        self.assertIn("BYE", self.sent(SERVER_A))
        self.assertEqual(len(self.network.core.calls), 1)
        self.assertEqual(len(self.network.told(CallResent)), 1)

    def _caught_by(self, host: str) -> list:  # type: ignore[type-arg]
        return [
            entry
            for entry in self.network.trace
            if entry[1] == host and getattr(entry[2], "method", "") == "INVITE"
        ]

    def test_503_goes_to_the_other_server_at_once(self) -> None:
        """A server that is unavailable loses the call to the next, without any wait."""
        self.call()
        self.a.called.reject(503, self.now)
        self.settle()
        self.assertTrue(self.b.has(Invited))
        self.b.called.answer(self.now, sdp())
        self.settle()
        self.assertTrue(self.phone.has(Established))

    def test_transport_error_goes_to_the_other_server_at_once(self) -> None:
        """A closed port loses the call to the next server, without any wait."""
        self.a.works = False
        self.call()
        self.network.core.hop_failed(self.a.hop, self.now)
        self.settle()
        self.assertTrue(self.b.has(Invited))

    def test_busy_is_no_failure_of_the_server(self) -> None:
        """What a callee says is passed on and changes no server."""
        self.call()
        self.a.called.reject(486, self.now)
        self.settle()
        self.assertEqual(self.final(self.phone), 486)
        self.assertEqual(self.network.told(ServerChanged), [])

    def test_both_are_down(self) -> None:
        """With no server left a caller hears 503 and when to come again."""
        self.a.works = self.b.works = False
        self.call()
        self.network.advance(11)
        self.assertEqual(len(self.network.told(ServersDown)), 1)
        first = self.final(self.phone)
        self.call()
        self.assertEqual((first, self.final(self.phone)), (503, 503))
        self.assertIsNotNone(self.last_to(PHONE, "503 INVITE").get("Retry-After"))
        self.assertEqual(len(self.network.core.calls), 0)

    def test_both_ports_are_closed(self) -> None:
        """The caller whose call finds that out hears 503 at once, like those after it."""
        self.a.works = self.b.works = False
        self.call()
        for server in (self.a, self.b):
            self.network.core.hop_failed(server.hop, self.now)
            self.settle()
        self.assertEqual(self.final(self.phone), 503)
        self.assertIsNotNone(self.last_to(PHONE, "503 INVITE").get("Retry-After"))

    def test_server_that_answers_at_last(self) -> None:
        """A call that rings after all, while it waits for a server, rings on."""
        self.a.works = self.b.works = False
        self.call()
        self.network.advance(8.1)
        self.assertEqual(len(self.network.told(ServersDown)), 1)
        (*_, late) = [data for source, to, data in self._caught_by(SERVER_B)]
        self.b.works = True
        self.b.agent.receive(late, self.network.ours, self.now)
        self.settle()
        self.b.called.ring(180, self.now)
        self.settle()
        self.network.advance(30)
        self.assertFalse(self.phone.has(Ended))
        self.b.called.answer(self.now, sdp())
        self.settle()
        self.assertTrue(self.phone.has(Established))

    def test_server_that_was_only_suspected(self) -> None:
        """A server that had failed and is back takes the call when the other one fails."""
        self.a.works = False
        self.network.advance(60)
        self.a.works, self.b.works = True, False
        self.call()
        self.network.advance(9)
        self.assertTrue(self.a.has(Invited))

    def test_calls_after_recovery(self) -> None:
        """When a server is back, calls go to it."""
        self.a.works = self.b.works = False
        self.network.advance(60)
        self.b.works = True
        self.network.advance(15)
        self.call()
        self.assertTrue(self.b.has(Invited))


class StandingCallTests(CallCase):
    """Calls that are up when their server dies."""

    def up(self) -> InviteServerUsage:
        """A call of the phone over server A, which then is dead."""
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        self.a.called.answer(self.now, sdp())
        self.settle()
        usage = self.a.called
        self.network.advance(1)
        self.a.works = False
        return usage

    def share(self) -> None:
        """Let B know the dialogs of A, as a hot-standby pair does."""
        self.b.agent = self.a.agent
        self.b.table = self.a.table

    def test_media_and_call_live_on(self) -> None:
        """A dead server ends nothing by itself."""
        self.up()
        self.network.advance(60)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_bye_goes_to_the_active_server(self) -> None:
        """The first BYE meets silence, the next one goes to the server that took over."""
        self.up()
        self.share()
        usage = self.phone.last(Established).usage
        usage.bye(self.now)
        self.settle()
        self.network.advance(5)
        self.assertIn("BYE", self.sent(SERVER_B))
        first = self.sent(SERVER_A)
        self.assertIn("BYE", first)
        byes = [m for _, to, m in self.network.trace if to == SERVER_B and "BYE" in m.start_line]
        old = [m for _, to, m in self.network.trace if to == SERVER_A and "BYE" in m.start_line]
        self.assertEqual(byes[0].cseq.number, old[0].cseq.number + 1)
        self.assertEqual(byes[0].to.tag, old[0].to.tag)

    def test_requests_after_the_switch_go_to_the_new_server_at_once(self) -> None:
        """Once the switch is made nothing of a standing call is tried at the dead server."""
        self.up()
        self.network.advance(60)
        self.share()
        self.network.trace.clear()
        self.phone.last(Established).usage.bye(self.now)
        self.settle()
        self.assertNotIn("BYE", self.sent(SERVER_A))
        self.assertIn("BYE", self.sent(SERVER_B))

    def test_answer_that_the_other_server_repeats(self) -> None:
        """
        The ACK of a 200 that its server did not live to see goes to the one that took over, when
        that one sends the 200 again: else it would take the call for dead.
        """
        self.phone.call("5555", sdp(PHONE, 5000), caller="1001")
        self.a.called.answer(self.now, sdp())
        self.settle()
        self.a.works = False
        self.network.advance(1)
        self.phone.call("5556", sdp(PHONE, 5002), caller="1001")
        self.network.advance(5)
        self.assertEqual(len(self.network.told(ServerChanged)), 1)
        self.network.core.receive(self.last_to(OURS, "200 INVITE"), self.b.hop, self.now)
        self.settle()
        first, again = self.last_to(SERVER_A, "ACK"), self.last_to(SERVER_B, "ACK")
        self.assertEqual(str(again.cseq), str(first.cseq))
        self.assertEqual(again.to.tag, first.to.tag)
        self.assertEqual(len(again.get_all("Via")), 1)

    def test_request_of_the_other_server_is_taken(self) -> None:
        """A request inside the dialog is known by the dialog, whichever server sends it."""
        usage = self.up()
        self.share()
        self.network.peers[SERVER_B].works = True
        bye = usage.session.dialog.request("BYE")  # type: ignore[union-attr]
        bye.add("Via", f"SIP/2.0/UDP {SERVER_B}:5060;branch=z9hG4bKother;rport")
        self.network.send(self.b.hop, self.network.ours, bye)
        self.settle()
        self.assertTrue(self.phone.has(Ended))
        self.assertIn("200 BYE", self.sent(SERVER_B))

    def test_reinvite_is_tried_at_the_other_server(self) -> None:
        """A hold that meets silence is asked of the server that took over."""
        self.up()
        self.share()
        self.phone.last(Established).usage.modify(
            lambda: sdp(PHONE, 5000, direction="sendonly", version=2), self.now
        )
        self.settle()
        self.network.advance(4.5)
        self.assertEqual(self.sent(SERVER_B).count("INVITE"), 1)

    def test_481_of_the_new_server_ends_the_call(self) -> None:
        """A server that does not know the call says so, and the phone is let go."""
        self.up()
        self.network.advance(60)
        self.phone.last(Established).usage.modify(
            lambda: sdp(PHONE, 5000, direction="sendonly", version=2), self.now
        )
        self.settle()
        self.network.advance(1)
        self.assertIn("BYE", self.sent(PHONE))
        self.assert_clean()


assert OURS
