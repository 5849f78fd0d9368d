"""Tests of b2bua.sip.client_transaction."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.client_transaction import (
    INVITE_CLIENT,
    NON_INVITE_CLIENT,
    ClientTransaction,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from b2bua.sip.outputs import CancelDue, ResponseReceived
from b2bua.sip.timers import Timers
from b2bua.sip.transaction import Input, Machine, State
from tests.sip.exchanges import TCP, UDP, answer, kinds, request, sent

BRANCH = "z9hG4bKours"
QUIET = Timers(failover=None)


def invite(
    hop: Hop = UDP, timers: Timers = QUIET, *headers: tuple[str, str]
) -> InviteClientTransaction:
    return InviteClientTransaction(request("INVITE", *headers, branch=BRANCH), hop, timers, 0.0)


def options(hop: Hop = UDP, timers: Timers = QUIET) -> NonInviteClientTransaction:
    return NonInviteClientTransaction(request("OPTIONS", branch=BRANCH), hop, timers, 0.0)


def history(transaction: ClientTransaction, until: float) -> list[tuple[float, str]]:
    """Run the timers of a transaction; say what came out, and when."""
    happened = [(0.0, kind) for kind in kinds(transaction.take_outputs())]
    while (moment := transaction.next_timeout()) is not None and moment <= until:
        transaction.handle_timeout(moment)
        happened += [(moment, kind) for kind in kinds(transaction.take_outputs())]
    return happened


class TableTests(SynchronousTestCase):
    """The tables are complete."""

    def test_every_pair_is_decided(self) -> None:
        """For each state, each input that can come has an effect or a reason to have none."""
        for machine in (INVITE_CLIENT, NON_INVITE_CLIENT):
            inputs = {given for given in machine.inputs if not given.is_timer}
            for state, row in machine.table.items():
                decided = row.keys() | machine.ignored[state].keys()
                self.assertEqual({g for g in decided if not g.is_timer}, inputs, state.name)
                self.assertEqual(row.keys() & machine.ignored[state].keys(), set(), state.name)
            self.assertEqual(machine.refused, {})

    def test_states(self) -> None:
        """The machines have the states of figures 5 and 6, and those that cancelling needs."""
        self.assertEqual(
            [state.name for state in INVITE_CLIENT.table],
            [
                "CALLING",
                "WITHDRAWN",
                "PROCEEDING",
                "CANCELLED",
                "COMPLETED",
                "ACCEPTED",
                "TERMINATED",
            ],
        )
        self.assertEqual(
            [state.name for state in NON_INVITE_CLIENT.table],
            ["TRYING", "PROCEEDING", "COMPLETED", "TERMINATED"],
        )

    def test_timers_belong_to_states(self) -> None:
        """In each state run the timers of the figure, and no others."""
        expected = {
            State.CALLING: {Input.TIMER_A, Input.TIMER_B, Input.TIMER_SILENCE},
            State.WITHDRAWN: {Input.TIMER_A, Input.TIMER_B},
            State.PROCEEDING: set(),
            State.CANCELLED: {Input.TIMER_CANCEL},
            State.COMPLETED: {Input.TIMER_D},
            State.ACCEPTED: {Input.TIMER_M},
            State.TERMINATED: set(),
        }
        for state, running in expected.items():
            self.assertEqual(INVITE_CLIENT.running(state), running, state.name)

    def test_a_gap_is_an_error(self) -> None:
        """A table that leaves a pair open cannot be made."""
        effect = InviteClientTransaction._nothing
        table = {
            State.CALLING: {Input.SUCCESS: (effect, State.TERMINATED)},
            State.TERMINATED: {},
        }
        self.assertRaises(ValueError, Machine, table, {})
        twice = {State.TERMINATED: {Input.SUCCESS: "over"}, State.CALLING: {Input.SUCCESS: "no"}}
        self.assertRaises(ValueError, Machine, table, twice)


class InviteRetransmissionTests(SynchronousTestCase):
    """An INVITE that nobody answers."""

    def test_datagram(self) -> None:
        """It goes out at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s; at 32 s it times out."""
        transaction = invite()
        happened = history(transaction, 100)
        self.assertEqual(
            [when for when, kind in happened if kind == "INVITE"],
            [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5],
        )
        self.assertEqual(happened[-2:], [(32, "TimedOut"), (32, "Terminated")])
        self.assertIsNone(transaction.next_timeout())

    def test_stream(self) -> None:
        """A stream carries it once, and it times out all the same."""
        self.assertEqual(
            history(invite(TCP), 100), [(0, "INVITE"), (32, "TimedOut"), (32, "Terminated")]
        )

    def test_silence(self) -> None:
        """After the failover time the user hears of the silence, once, and nothing ends."""
        happened = history(invite(TCP, Timers()), 31)
        self.assertEqual(happened, [(0, "INVITE"), (4, "Unanswered")])

    def test_late_answer(self) -> None:
        """What the silent server answers after all is taken as if it had been quick."""
        transaction = invite(TCP, Timers())
        history(transaction, 10)
        transaction.receive(answer(transaction.request, 200), 11)
        self.assertEqual(kinds(transaction.take_outputs()), ["ResponseReceived"])
        self.assertIs(transaction.state, State.ACCEPTED)

    def test_answered_in_time(self) -> None:
        """A 1xx stops retransmission, the silence and the time-out: only the user's timer is left.

        (No RFC timer runs while a phone rings.)"""
        transaction = invite(UDP, Timers())
        transaction.receive(answer(transaction.request, 100), 0.1)
        self.assertEqual(history(transaction, 1000), [(0, "INVITE"), (0, "ResponseReceived")])
        self.assertIsNone(transaction.next_timeout())

    def test_cannot_be_sent(self) -> None:
        """A transport error ends it at once."""
        transaction = invite()
        transaction.take_outputs()
        transaction.transport_failed(0.1)
        self.assertEqual(kinds(transaction.take_outputs()), ["TransportFailed", "Terminated"])


class InviteAnswerTests(SynchronousTestCase):
    """Final responses to an INVITE."""

    def test_refused(self) -> None:
        """A refusal is acknowledged at once and told once; copies are acknowledged again."""
        transaction = invite()
        transaction.take_outputs()
        busy = answer(transaction.request, 486)
        transaction.receive(busy, 1)
        self.assertEqual(kinds(transaction.take_outputs()), ["ACK", "ResponseReceived"])
        transaction.receive(busy, 2)
        self.assertEqual(kinds(transaction.take_outputs()), ["ACK"])

    def test_timer_d(self) -> None:
        """A refused INVITE waits 32 s for copies over datagrams, and not at all over a stream."""
        for hop, end in ((UDP, 33.0), (TCP, 1.0)):
            transaction = invite(hop)
            transaction.receive(answer(transaction.request, 486), 1)
            self.assertEqual(transaction.next_timeout(), end)
            transaction.handle_timeout(end)
            self.assertTrue(transaction.is_terminated)

    def test_acknowledgement(self) -> None:
        """The ACK has the INVITE's Via, Route, number and URI, and the To of the response."""
        transaction = invite(UDP, QUIET, ("Route", "<sip:p1;lr>"), ("Route", "<sip:p2;lr>"))
        transaction.take_outputs()
        transaction.receive(answer(transaction.request, 404, tag="theirs"), 1)
        (ack,) = sent(transaction.take_outputs())
        assert isinstance(ack, Request)
        original = transaction.request
        self.assertEqual((ack.method, ack.uri), ("ACK", original.uri))
        self.assertEqual(ack.via, original.via)
        self.assertEqual(len(ack.vias), 1)
        self.assertEqual(ack.route, original.route)
        self.assertEqual((ack.cseq.number, ack.cseq.method), (1, "ACK"))
        self.assertEqual(ack.to.tag, "theirs")
        self.assertEqual((ack.from_, ack.call_id), (original.from_, original.call_id))
        self.assertEqual(ack.max_forwards, 70)

    def test_ack_cannot_be_sent(self) -> None:
        """If the ACK cannot be sent, the user hears of it and the transaction is over."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 486), 1)
        transaction.take_outputs()
        transaction.transport_failed(1)
        self.assertEqual(kinds(transaction.take_outputs()), ["TransportFailed", "Terminated"])

    def test_accepted(self) -> None:
        """Every 2xx is the user's, copies and those of other branches of a fork, for 32 s."""
        transaction = invite(TCP)
        transaction.take_outputs()
        for moment, tag in ((1, "one"), (1.5, "one"), (2, "two")):
            transaction.receive(answer(transaction.request, 200, tag=tag), moment)
        outputs = transaction.take_outputs()
        tags = [o.response.to.tag for o in outputs if isinstance(o, ResponseReceived)]
        self.assertEqual(tags, ["one", "one", "two"])
        self.assertEqual(history(transaction, 100), [(33, "Terminated")])

    def test_accepted_is_final(self) -> None:
        """After a 2xx, 1xx and refusals of other branches are nobody's concern."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 200), 1)
        transaction.take_outputs()
        for status in (180, 486):
            transaction.receive(answer(transaction.request, status), 2)
        transaction.transport_failed(2)
        transaction.cancel(2)
        self.assertEqual(transaction.take_outputs(), [])
        self.assertIs(transaction.state, State.ACCEPTED)

    def test_success_after_refusal(self) -> None:
        """A 2xx that a forking proxy lets through after a refusal reaches the user."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 487), 1)
        transaction.take_outputs()
        transaction.receive(answer(transaction.request, 200), 2)
        self.assertEqual(kinds(transaction.take_outputs()), ["ResponseReceived"])
        self.assertIs(transaction.state, State.COMPLETED)


class CancelTests(SynchronousTestCase):
    """Giving an INVITE up (RFC 3261, section 9.1)."""

    def test_waits_for_a_response(self) -> None:
        """Before any response there is no CANCEL; the first 1xx brings it out."""
        transaction = invite()
        transaction.cancel(1)
        self.assertEqual(kinds(transaction.take_outputs()), ["INVITE"])
        transaction.receive(answer(transaction.request, 100), 2)
        self.assertEqual(kinds(transaction.take_outputs()), ["ResponseReceived", "CancelDue"])
        self.assertIs(transaction.state, State.CANCELLED)

    def test_unanswered(self) -> None:
        """A withdrawn INVITE that stays unanswered is sent on and times out; silence is no news.

        (A server whose 100 was lost would let the phone ring, were it not asked again.)"""
        transaction = invite(UDP, Timers())
        transaction.cancel(1)
        happened = history(transaction, 100)
        self.assertEqual(next(kind for _, kind in happened if kind != "INVITE"), "TimedOut")
        self.assertEqual(sum(kind == "INVITE" for _, kind in happened), 7)

    def test_at_once(self) -> None:
        """After a 1xx the CANCEL comes at once, and only one."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 180), 1)
        transaction.take_outputs()
        transaction.cancel(2)
        transaction.cancel(3)
        self.assertEqual(kinds(transaction.take_outputs()), ["CancelDue"])

    def test_form(self) -> None:
        """It copies URI, Via, Route, From, To, Call-ID and number, and carries the reason given."""
        transaction = invite(UDP, QUIET, ("Route", "<sip:p1;lr>"), ("Contact", "<sip:me@here>"))
        transaction.receive(answer(transaction.request, 180), 1)
        transaction.take_outputs()
        transaction.cancel(2, [("Reason", "SIP;cause=200")])
        (due,) = transaction.take_outputs()
        assert isinstance(due, CancelDue)
        cancel, original = due.request, transaction.request
        for name in ("Via", "Route", "From", "To", "Call-ID"):
            self.assertEqual(cancel.get_rows(name), original.get_rows(name), name)
        self.assertEqual((cancel.method, cancel.uri), ("CANCEL", original.uri))
        self.assertEqual(str(cancel.cseq), "1 CANCEL")
        self.assertEqual(cancel.get("Reason"), "SIP;cause=200")
        self.assertFalse(cancel.has("Contact"))

    def test_refused_meanwhile(self) -> None:
        """487 ends the cancelled INVITE like any refusal."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 180), 1)
        transaction.cancel(2)
        transaction.take_outputs()
        transaction.receive(answer(transaction.request, 487), 3)
        self.assertEqual(kinds(transaction.take_outputs()), ["ACK", "ResponseReceived"])

    def test_crossed_by_success(self) -> None:
        """A 2xx that crossed the CANCEL reaches the user, who must ACK it and hang up."""
        for answered_before in (True, False):
            transaction = invite()
            if answered_before:
                transaction.receive(answer(transaction.request, 180), 1)
            transaction.cancel(2)
            transaction.take_outputs()
            transaction.receive(answer(transaction.request, 200), 3)
            self.assertEqual(kinds(transaction.take_outputs()), ["ResponseReceived"])
            self.assertIs(transaction.state, State.ACCEPTED)

    def test_no_final_response(self) -> None:
        """A cancelled INVITE without a final response is given up 32 s after the CANCEL."""
        transaction = invite()
        transaction.receive(answer(transaction.request, 180), 1)
        transaction.cancel(10)
        transaction.take_outputs()
        self.assertEqual(history(transaction, 100), [(42, "TimedOut"), (42, "Terminated")])

    def test_too_late(self) -> None:
        """After a refusal, or at the end, cancelling has no effect."""
        transaction = invite(TCP)
        transaction.receive(answer(transaction.request, 486), 1)
        transaction.take_outputs()
        transaction.cancel(1)
        transaction.handle_timeout(1)
        transaction.cancel(2)
        self.assertEqual(kinds(transaction.take_outputs()), ["Terminated"])


class NonInviteTests(SynchronousTestCase):
    """Any other request."""

    def test_datagram(self) -> None:
        """It goes out at intervals that double up to T2, until it times out at 32 s."""
        happened = history(options(), 100)
        self.assertEqual(
            [when for when, kind in happened if kind == "OPTIONS"],
            [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5],
        )
        self.assertEqual(happened[-2:], [(32, "TimedOut"), (32, "Terminated")])

    def test_stream(self) -> None:
        """A stream carries it once."""
        self.assertEqual(
            history(options(TCP), 100), [(0, "OPTIONS"), (32, "TimedOut"), (32, "Terminated")]
        )

    def test_proceeding(self) -> None:
        """After a 1xx, copies go out every T2, and the time-out stays where it was."""
        transaction = options()
        transaction.take_outputs()
        transaction.receive(answer(transaction.request, 100), 0.2)
        transaction.take_outputs()
        happened = history(transaction, 100)
        self.assertEqual(
            [when for when, kind in happened if kind == "OPTIONS"],
            [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5],
        )
        self.assertEqual(happened[-1], (32, "Terminated"))

    def test_silence(self) -> None:
        """After the failover time without any response the user hears of it."""
        self.assertEqual(history(options(TCP, Timers()), 31), [(0, "OPTIONS"), (4, "Unanswered")])
        for status in (100, 200):
            transaction = options(TCP, Timers())
            transaction.receive(answer(transaction.request, status), 3)
            self.assertNotIn("Unanswered", [kind for _, kind in history(transaction, 31)])

    def test_failover_time(self) -> None:
        """The failover time is independent of all other timers."""
        timers = replace(Timers(), failover=0.25)
        happened = history(options(UDP, timers), 0.5)
        self.assertEqual(happened, [(0, "OPTIONS"), (0.25, "Unanswered"), (0.5, "OPTIONS")])

    def test_answered(self) -> None:
        """The first final response is told; copies are absorbed for T4, or not awaited at all."""
        for hop, end in ((UDP, 6.0), (TCP, 1.0)):
            transaction = options(hop)
            transaction.take_outputs()
            for moment in (1, 1):
                transaction.receive(answer(transaction.request, 404), moment)
            self.assertEqual(kinds(transaction.take_outputs()), ["ResponseReceived"])
            self.assertEqual(history(transaction, 100), [(end, "Terminated")])

    def test_transport_error(self) -> None:
        """A transport error ends it while it waits, and has no effect once it is answered."""
        for statuses, expected in (
            ((), ["TransportFailed", "Terminated"]),
            ((100,), ["TransportFailed", "Terminated"]),
            ((200,), []),
        ):
            transaction = options()
            for status in statuses:
                transaction.receive(answer(transaction.request, status), 1)
            transaction.take_outputs()
            transaction.transport_failed(1)
            self.assertEqual(kinds(transaction.take_outputs()), expected)

    def test_over(self) -> None:
        """Nothing that comes after the end has an effect."""
        transaction = options()
        history(transaction, 100)
        transaction.receive(answer(transaction.request, 200), 101)
        transaction.transport_failed(101)
        self.assertEqual(transaction.take_outputs(), [])
