"""Tests of b2bua.sip.server_transaction."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.hop import Hop
from b2bua.sip.outputs import AckReceived, Send
from b2bua.sip.server_transaction import (
    INVITE_SERVER,
    NON_INVITE_SERVER,
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
)
from b2bua.sip.timers import Timers
from b2bua.sip.transaction import Input, OutOfPlace, State
from tests.sip.exchanges import OTHER, TCP, UDP, kinds, request, sent

BRANCH = "z9hG4bKtheirs"


def invite(hop: Hop = UDP) -> InviteServerTransaction:
    return InviteServerTransaction(request(branch=BRANCH), hop, Timers(), "ours", 0.0)


def options(hop: Hop = UDP) -> NonInviteServerTransaction:
    message = request("OPTIONS", branch=BRANCH)
    return NonInviteServerTransaction(message, hop, Timers(), "ours", 0.0)


def respond(transaction: ServerTransaction, status: int, now: float) -> list[str]:
    """Have the user respond; say what came out."""
    transaction.respond(transaction.response(status), now)
    return kinds(transaction.take_outputs())


def history(transaction: ServerTransaction, until: float) -> list[tuple[float, str]]:
    """Run the timers of a transaction; say what came out, and when."""
    happened = []
    while (moment := transaction.next_timeout()) is not None and moment <= until:
        transaction.handle_timeout(moment)
        happened += [(moment, kind) for kind in kinds(transaction.take_outputs())]
    return happened


class TableTests(SynchronousTestCase):
    """The tables are complete."""

    def test_every_pair_is_decided(self) -> None:
        """For each state, each input is in the table, ignored or refused, and in one only."""
        for machine in (INVITE_SERVER, NON_INVITE_SERVER):
            inputs = {given for given in machine.inputs if not given.is_timer}
            for state, row in machine.table.items():
                rows = (row, machine.ignored.get(state, {}), machine.refused.get(state, {}))
                decided = [given for part in rows for given in part if not given.is_timer]
                self.assertEqual(sorted(decided), sorted(inputs), state.name)

    def test_states(self) -> None:
        """The machines have the states of figures 7 and 8, and Accepted."""
        self.assertEqual(
            [state.name for state in INVITE_SERVER.table],
            ["PROCEEDING", "COMPLETED", "CONFIRMED", "ACCEPTED", "TERMINATED"],
        )
        self.assertEqual(
            [state.name for state in NON_INVITE_SERVER.table],
            ["TRYING", "PROCEEDING", "COMPLETED", "TERMINATED"],
        )

    def test_timers_belong_to_states(self) -> None:
        """In each state run the timers of the figure, and no others."""
        expected = {
            State.PROCEEDING: {Input.TIMER_100},
            State.COMPLETED: {Input.TIMER_G, Input.TIMER_H},
            State.CONFIRMED: {Input.TIMER_I},
            State.ACCEPTED: {Input.TIMER_L},
            State.TERMINATED: set(),
        }
        for state, running in expected.items():
            self.assertEqual(INVITE_SERVER.running(state), running, state.name)


class InviteProvisionalTests(SynchronousTestCase):
    """Before the final response to an INVITE."""

    def test_trying(self) -> None:
        """If the user says nothing for 200 ms, 100 goes out; its To gets no tag of ours."""
        transaction = invite()
        self.assertEqual(transaction.next_timeout(), 0.2)
        transaction.handle_timeout(0.2)
        (trying,) = sent(transaction.take_outputs())
        self.assertEqual((trying.start_line, trying.to.tag), ("SIP/2.0 100 Trying", ""))
        self.assertIsNone(transaction.next_timeout())

    def test_quick_user(self) -> None:
        """If the user answers in time, no 100 goes out."""
        transaction = invite()
        self.assertEqual(respond(transaction, 180, 0.1), ["180"])
        self.assertIsNone(transaction.next_timeout())

    def test_copies(self) -> None:
        """A copy of the INVITE gets the last 1xx, and nothing as long as there is none."""
        transaction = invite()
        transaction.receive(UDP, 0.1)
        self.assertEqual(transaction.take_outputs(), [])
        for status in (180, 183):
            respond(transaction, status, 0.15)
        transaction.receive(UDP, 0.5)
        self.assertEqual(kinds(transaction.take_outputs()), ["183"])

    def test_answer_follows_the_latest_copy(self) -> None:
        """Responses go where the latest copy of the request came from."""
        transaction = invite()
        transaction.receive(OTHER, 0.1)
        transaction.respond(transaction.response(180), 0.2)
        (output,) = transaction.take_outputs()
        assert isinstance(output, Send)
        self.assertEqual((output.hop, output.transaction), (OTHER, transaction))

    def test_tag(self) -> None:
        """All responses but 100 carry the same tag, and a request that has one keeps it."""
        transaction = invite()
        tags = {transaction.response(status).to.tag for status in (180, 183, 200, 486)}
        self.assertEqual(tags, {"ours"})
        inside = InviteServerTransaction(
            request(branch=BRANCH, to_tag="known"), UDP, Timers(), "ours", 0.0
        )
        self.assertEqual(inside.response(200).to.tag, "known")

    def test_transport_error(self) -> None:
        """If a response cannot be sent the user hears of it, and may try again."""
        transaction = invite()
        respond(transaction, 180, 0.1)
        transaction.transport_failed(0.1)
        self.assertEqual(kinds(transaction.take_outputs()), ["TransportFailed"])
        self.assertEqual(respond(transaction, 200, 1), ["200"])

    def test_early_ack(self) -> None:
        """An ACK before any final response acknowledges nothing."""
        transaction = invite()
        transaction.receive_ack(request("ACK", branch=BRANCH), 0.1)
        self.assertEqual(transaction.take_outputs(), [])
        self.assertIs(transaction.state, State.PROCEEDING)


class InviteRefusedTests(SynchronousTestCase):
    """An INVITE that got a final response other than 2xx."""

    def test_repeated_until_acknowledged(self) -> None:
        """Over datagrams the response is repeated at intervals up to T2, and given up at 32 s."""
        transaction = invite()
        self.assertEqual(respond(transaction, 486, 0), ["486"])
        happened = history(transaction, 100)
        self.assertEqual(
            [when for when, kind in happened if kind == "486"],
            [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5],
        )
        self.assertEqual(happened[-2:], [(32, "TimedOut"), (32, "Terminated")])

    def test_stream(self) -> None:
        """Over a stream it is sent once; without an ACK it is given up all the same."""
        transaction = invite(TCP)
        respond(transaction, 486, 0)
        self.assertEqual(history(transaction, 100), [(32, "TimedOut"), (32, "Terminated")])

    def test_acknowledged(self) -> None:
        """The ACK ends repetition; it and late copies are absorbed for T4, or not awaited."""
        for hop, end in ((UDP, 6.0), (TCP, 1.0)):
            transaction = invite(hop)
            respond(transaction, 486, 0)
            for _ in range(2):
                transaction.receive_ack(request("ACK", branch=BRANCH), 1)
                transaction.receive(hop, 1)
            transaction.transport_failed(1)
            self.assertEqual(transaction.take_outputs(), [])
            self.assertEqual(history(transaction, 100), [(end, "Terminated")])

    def test_copies(self) -> None:
        """A copy of the INVITE gets the response again."""
        transaction = invite()
        respond(transaction, 486, 0)
        transaction.receive(UDP, 0.1)
        transaction.transport_failed(0.1)
        self.assertEqual(kinds(transaction.take_outputs()), ["486", "TransportFailed"])

    def test_only_one_final_response(self) -> None:
        """The user's second thoughts are an error, and what is repeated stays the first."""
        transaction = invite()
        respond(transaction, 486, 0)
        for status in (180, 200, 603):
            self.assertRaises(OutOfPlace, respond, transaction, status, 0.1)
        transaction.receive(UDP, 0.2)
        self.assertEqual(kinds(transaction.take_outputs()), ["486"])
        transaction.receive_ack(request("ACK", branch=BRANCH), 1)
        self.assertRaises(OutOfPlace, respond, transaction, 200, 1)


class InviteAcceptedTests(SynchronousTestCase):
    """An INVITE that got a 2xx (RFC 6026)."""

    def test_user_repeats(self) -> None:
        """The 2xx goes out each time the user gives it, not by a timer nor for a copy."""
        transaction = invite()
        self.assertEqual(respond(transaction, 200, 1), ["200"])
        transaction.receive(UDP, 1.2)
        self.assertEqual(transaction.take_outputs(), [])
        self.assertEqual(respond(transaction, 200, 1.5), ["200"])
        self.assertEqual(history(transaction, 100), [(33, "Terminated")])

    def test_repeats_do_not_prolong(self) -> None:
        """Timer L starts with the first 2xx."""
        transaction = invite()
        respond(transaction, 200, 1)
        respond(transaction, 200, 30)
        self.assertEqual(transaction.next_timeout(), 33)

    def test_ack(self) -> None:
        """An ACK with the INVITE's branch is handed to the user, each time."""
        transaction = invite()
        respond(transaction, 200, 1)
        ack = request("ACK", branch=BRANCH)
        for moment in (1.1, 1.2):
            transaction.receive_ack(ack, moment)
            self.assertEqual(transaction.take_outputs(), [AckReceived(ack, UDP, transaction)])

    def test_final(self) -> None:
        """After a 2xx the user cannot refuse, nor go back to ringing."""
        transaction = invite()
        respond(transaction, 200, 1)
        for status in (180, 500):
            self.assertRaises(OutOfPlace, respond, transaction, status, 2)
        self.assertEqual(respond(transaction, 200, 3), ["200"])

    def test_transport_error(self) -> None:
        """If the 2xx cannot be sent the user hears of it, and it may be sent again."""
        transaction = invite()
        respond(transaction, 200, 1)
        transaction.transport_failed(1)
        self.assertEqual(kinds(transaction.take_outputs()), ["TransportFailed"])
        self.assertEqual(respond(transaction, 200, 2), ["200"])

    def test_over(self) -> None:
        """When it is over, nothing has an effect any more."""
        transaction = invite()
        respond(transaction, 200, 1)
        history(transaction, 100)
        transaction.receive(UDP, 101)
        transaction.receive_ack(request("ACK", branch=BRANCH), 101)
        for status in (180, 200, 486):
            self.assertEqual(respond(transaction, status, 101), [])


class NonInviteTests(SynchronousTestCase):
    """Any other request."""

    def test_answered(self) -> None:
        """Copies get the final response again for 32 s over datagrams; a stream has none."""
        for hop, end in ((UDP, 33.0), (TCP, 1.0)):
            transaction = options(hop)
            self.assertEqual(respond(transaction, 200, 1), ["200"])
            transaction.receive(hop, 1)
            transaction.transport_failed(1)
            self.assertEqual(kinds(transaction.take_outputs()), ["200", "TransportFailed"])
            self.assertEqual(history(transaction, 100), [(end, "Terminated")])

    def test_copies_before(self) -> None:
        """Before any response a copy gets nothing; after 100 it gets that."""
        transaction = options()
        transaction.receive(UDP, 0.5)
        transaction.transport_failed(0.5)
        self.assertEqual(transaction.take_outputs(), [])
        respond(transaction, 100, 1)
        transaction.receive(UDP, 1.5)
        transaction.transport_failed(1.5)
        self.assertEqual(kinds(transaction.take_outputs()), ["100", "TransportFailed"])

    def test_slow_user(self) -> None:
        """Without an answer 100 goes out after 3.5 s, not before (RFC 4320)."""
        transaction = options()
        self.assertEqual(history(transaction, 31), [(3.5, "100")])
        self.assertEqual(respond(transaction, 200, 31), ["200"])

    def test_forgotten(self) -> None:
        """What the user does not answer in 32 s is dropped without a response."""
        transaction = options()
        self.assertEqual(
            history(transaction, 100), [(3.5, "100"), (32, "TimedOut"), (32, "Terminated")]
        )
        self.assertEqual(respond(transaction, 200, 33), [])

    def test_forbidden_responses(self) -> None:
        """1xx other than 100, and 408, are never sent (RFC 4320)."""
        for status in (180, 183, 408):
            self.assertRaises(OutOfPlace, respond, options(), status, 1)

    def test_only_one_final_response(self) -> None:
        """A second final response is an error, and copies still get the first."""
        transaction = options()
        respond(transaction, 200, 1)
        for status in (100, 500):
            self.assertRaises(OutOfPlace, respond, transaction, status, 2)
        transaction.receive(UDP, 3)
        self.assertEqual(kinds(transaction.take_outputs()), ["200"])


class ResponseTests(SynchronousTestCase):
    """Responses that the user builds through the transaction."""

    def test_headers_and_body(self) -> None:
        """What the user adds stands beside what the request gave."""
        transaction = invite()
        headers = [("Contact", "<sip:ours@192.0.2.9>")]
        response = transaction.response(200, "Fine", headers, b"v=0\r\n")
        self.assertEqual(response.start_line, "SIP/2.0 200 Fine")
        self.assertEqual(str(response.contact), "<sip:ours@192.0.2.9>")
        self.assertEqual(response.body, b"v=0\r\n")
        self.assertEqual(response.via, transaction.request.via)
        self.assertEqual(str(response.cseq), "1 INVITE")
