"""Third-party call control with parties in memory: orders of messages, refusals, races."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.invite_server import InviteServerUsage
from suite.lab.errors import LabError
from suite.lab.third_party import ThirdPartyCall
from suite.lab.third_party_sdp import HoldForm, version_of
from tests.lab.memory import Net, Party, sdp


class ControlTests(SynchronousTestCase):
    """Two parties, 1001 and 1002, and 1003 to transfer to."""

    def setUp(self) -> None:
        """Nobody is called yet."""
        self.net = Net("1001", "1002", "1003")
        self.first, self.second, self.third = self.net.parties.values()

    def call(self) -> ThirdPartyCall:
        """Let the first two be connected."""
        call = self.net.control.call("1001", "1002", self.net.pending(), self.net.now)
        self.net.run()
        return call

    def up(self) -> ThirdPartyCall:
        """A call that stands, with nothing left to look at."""
        call = self.call()
        self.assertEqual(["c1: 1001 and 1002 are talking"], self.net.said)
        self.net.said.clear()
        for party in self.net.parties.values():
            party.heard.clear()
            party.got.clear()
        return call

    def said(self) -> str:
        """The one sentence that was said."""
        self.net.run()
        (sentence,) = self.net.said
        return sentence

    def heard(self, party: Party) -> list[bytes]:
        """What a party was told, without what it was told before."""
        heard = list(party.heard)
        party.heard.clear()
        return heard

    def test_flow_one(self) -> None:
        """RFC 3725, 4.1: no offer, the offer goes on, the answer comes in the ACK."""
        self.net.control.call("1001", "1002", self.net.pending(), self.net.now)
        trace = [line for line in self.net.run() if "180" not in line]
        self.assertEqual(
            [
                "5060>1001 INVITE",
                "1001>5060 200 INVITE",
                "5060>1002 INVITE",
                "1002>5060 200 INVITE",
            ],
            trace[:4],
        )
        self.assertEqual({"5060>1001 ACK", "5060>1002 ACK"}, set(trace[4:]))
        self.assertEqual([sdp(1002)], self.first.heard)
        self.assertEqual([sdp(1001)], self.second.heard)

    def test_second_refuses(self) -> None:
        """The first has its ACK and a BYE."""
        self.second.rings_only = True
        self.call()
        usage = self.second.usage
        assert isinstance(usage, InviteServerUsage)
        usage.reject(486, self.net.now)
        self.second.running.pump()
        self.assertEqual("c1: 1001 and 1002: ended: 1002 answered 486 Busy Here", self.said())
        self.assertEqual(["INVITE", "ACK", "BYE"], [request.method for request in self.first.got])

    def test_nobody_answers(self) -> None:
        """It is given up by CANCEL."""
        self.first.rings_only = True
        call = self.call()
        self.net.control.give_up(call, None, self.net.now)
        self.assertEqual("c1: 1001 and 1002: ended: nobody answered", self.said())
        self.assertIn("CANCEL", [request.method for request in self.first.got])
        self.assertIn("Ended", self.first.names())

    def test_second_rings_too_long(self) -> None:
        """The first, which has no ACK, gives up after 32 s; the second is cancelled."""
        self.second.rings_only = True
        self.call()
        self.net.wait(33)
        self.assertEqual("ended: 1001 hung up", self.net.state)
        self.assertIn("Ended", self.second.names())

    def test_silent_party(self) -> None:
        """Without any answer the call ends by itself."""
        del self.net.parties["1001"]
        self.net.parties["1001"] = deaf = Party(self.net, "1001")
        deaf.running.stop()
        self.call()
        self.net.wait(33)
        self.assertEqual("c1: 1001 and 1002: ended: 1001 answered 408 Request Timeout", self.said())

    def test_offer_is_handed_on(self) -> None:
        """A hold of one party is a re-INVITE for the other, whose answer goes back."""
        self.up()
        self.first.offer("sendonly")
        self.net.run()
        self.assertEqual([sdp(1001, 2, "sendonly")], self.heard(self.second))
        self.assertEqual([sdp(1002)], self.heard(self.first))
        self.assertEqual("held", self.net.state)
        self.first.offer("sendrecv")
        self.net.run()
        self.assertEqual("talking", self.net.state)

    def test_refused_offer(self) -> None:
        """488 comes back, and the call is what it was."""
        self.up()
        self.second.accepts = False
        self.first.offer("sendonly")
        trace = self.net.run()
        self.assertIn("5060>1001 488 INVITE", trace)
        self.assertIn("ModificationFailed", self.first.names())
        self.second.accepts = True
        self.first.offer("sendrecv")
        self.net.run()
        self.assertEqual("talking", self.net.state)

    def test_offerless_reinvite_of_a_party(self) -> None:
        """The other is asked for an offer, and gets the answer."""
        self.up()
        self.first.do(lambda usage, now: usage.modify(None, now))
        self.net.run()
        self.assertEqual([sdp(1002)], self.heard(self.first))
        self.assertIn("Modified", self.second.names())
        self.assertEqual("talking", self.net.state)

    def test_both_at_once(self) -> None:
        """One of two offers that cross has 491, comes again, and both are in force."""
        self.up()
        self.first.offer("sendonly")
        self.second.offer("sendonly")
        trace = self.net.run()
        self.assertTrue([line for line in trace if "491" in line], trace)
        self.net.wait(10)
        self.assertEqual("held", self.net.state)
        for party in (self.first, self.second):
            self.assertIn("Modified", party.names())
            self.assertNotIn("Ended", party.names())

    def test_talk_and_hold(self) -> None:
        """NOTIFY goes to the first DN; its state is what the party does."""
        call = self.up()
        self.net.control.hold(call, None, self.net.pending(), self.net.now)
        self.net.run()
        (notify,) = self.first.got
        self.assertEqual(
            ("NOTIFY", "hold", "active", b""),
            (notify.method, notify.get("Event"), notify.get("Subscription-State"), notify.body),
        )
        self.assertEqual([], self.net.said)
        self.first.offer("sendonly")
        self.assertEqual("c1: 1001 and 1002: held", self.said())

    def test_talk_while_talking(self) -> None:
        """The answer to the NOTIFY is all that there is to wait for."""
        call = self.up()
        self.net.control.talk(call, self.net.pending(), self.net.now)
        self.assertEqual("c1: 1001 and 1002 are talking", self.said())

    def test_talk_before_it_rings(self) -> None:
        """There is no dialog yet."""
        call = self.net.control.call("1001", "1002", self.net.pending(), self.net.now)
        error = self.assertRaises(
            LabError, self.net.control.talk, call, self.net.pending(), self.net.now
        )
        self.assertIn("1001 has not rung yet", str(error))
        self.net.run()

    def test_server_made_hold(self) -> None:
        """The version of the o= line grows with every change, and the session stays the same."""
        call = self.up()
        versions = []
        for form in (HoldForm.RFC3264, HoldForm.ZERO):
            self.net.control.hold(call, form, self.net.pending(), self.net.now)
            self.assertEqual("c1: 1001 and 1002: held", self.said())
            self.net.said.clear()
            self.net.control.retrieve(call, self.net.pending(), self.net.now)
            self.assertEqual("c1: 1001 and 1002 are talking", self.said())
            self.net.said.clear()
            heard = self.heard(self.first)
            self.assertEqual(2, len(heard))
            versions += [version_of(body) for body in heard]
            self.assertIn(b"o=- 1002 ", heard[0])
        self.assertEqual([2, 3, 4, 5], versions)

    def test_hold_refused(self) -> None:
        """The sentence has the status, and the call goes on."""
        call = self.up()
        self.first.accepts = False
        self.net.control.hold(call, HoldForm.RFC3264, self.net.pending(), self.net.now)
        self.assertEqual("c1: 1001 refused: 488", self.said())
        self.assertEqual("talking", self.net.state)

    def test_retrieve_refused_by_the_other(self) -> None:
        """The one that offered has its answer all the same."""
        call = self.up()
        self.net.control.hold(call, HoldForm.RFC3264, self.net.pending(), self.net.now)
        self.net.run()
        self.second.accepts = False
        self.net.control.retrieve(call, self.net.pending(), self.net.now)
        trace = self.net.run()
        self.assertIn("1002>5060 488 INVITE", trace)
        self.assertEqual("5060>1001 ACK", trace[-1])

    def test_transfer(self) -> None:
        """Target without offer, change of the one that stays, answer, BYE."""
        call = self.up()
        self.net.control.transfer(call, "1003", "", self.net.pending(), self.net.now)
        trace = [line for line in self.net.run() if "180" not in line and "100 " not in line]
        self.assertEqual("c1: 1001 and 1003 are talking; 1002 is out", self.said())
        self.assertEqual("5060>1003 INVITE", trace[0])
        self.assertLess(trace.index("5060>1001 INVITE"), trace.index("5060>1003 ACK"))
        self.assertIn("5060>1002 BYE", trace)
        self.assertEqual([sdp(1003)], self.first.heard)
        self.assertEqual([sdp(1001)], self.third.heard)

    def test_target_gives_up_on_the_way(self) -> None:
        """The one that stays accepts what is gone by then: the call is over, nobody is left."""
        call = self.up()
        self.first.defers = True
        self.net.control.transfer(call, "1003", "", self.net.pending(), self.net.now)
        self.net.wait(40)
        self.assertEqual("Ended", self.third.names()[-1])
        self.assertEqual("talking", self.net.state)
        self.first.do(lambda usage, now: usage.accept(sdp(1001, 2), now))
        self.assertEqual("c1: 1001 and 1002: ended: 1003 hung up", self.said())
        for party in self.net.parties.values():
            self.assertEqual("Ended", party.names()[-1])

    def test_transfer_is_given_up(self) -> None:
        """The target rings too long; the call is as it was, and can be transferred again."""
        call = self.up()
        self.third.rings_only = True
        self.net.control.transfer(call, "1003", "", self.net.pending(), self.net.now)
        self.net.run()
        self.net.control.give_up(call, call.target, self.net.now)
        self.assertIn("1003 did not take the call (487)", self.said())
        self.net.said.clear()
        self.third.rings_only = False
        self.net.control.transfer(call, "1003", "", self.net.pending(), self.net.now)
        self.assertIn("1002 is out", self.said())

    def test_hang_up(self) -> None:
        """Both have a BYE."""
        call = self.up()
        self.net.control.hang_up(call, self.net.pending(), self.net.now)
        self.assertEqual("c1: 1001 and 1002: ended: by command", self.said())
        for party in (self.first, self.second):
            self.assertEqual("Ended", party.names()[-1])

    def test_nothing_is_left(self) -> None:
        """After the end of a call, and of its timers, the agent has forgotten it."""
        call = self.up()
        self.net.control.hang_up(call, self.net.pending(), self.net.now)
        self.net.wait(70)
        agent = self.net.running.agent
        self.assertEqual((0, 0, 0), (len(agent), len(agent.table), len(agent.dialogs)))
        self.assertEqual({}, self.net.control._legs)

    def test_info_is_handed_on(self) -> None:
        """Attached data of one party reaches the other."""
        self.up()
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        self.first.do(lambda usage, now: usage.info([kind], b"a=b", now))
        self.net.run()
        (info,) = [request for request in self.second.got if request.method == "INFO"]
        self.assertEqual((b"a=b", kind[1]), (info.body, info.get("Content-Type")))
