"""Tests of b2bua.sip.transactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import (
    AckReceived,
    Cancelled,
    Ignored,
    Output,
    Overloaded,
    RequestReceived,
    ResponseReceived,
    Send,
    StraySuccess,
    Terminated,
)
from b2bua.sip.parser import parse_datagram
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.timers import Timers
from b2bua.sip.transaction import State
from b2bua.sip.transactions import TableFull, TransactionTable
from tests.sip.exchanges import OTHER, TCP, UDP, answer, counted, kinds, request, sent, told

SENT_BY = "gateway.example.com:5060"


def new_table(limit: int = 100, prefix: str = "t") -> TransactionTable:
    return TransactionTable(lambda hop: SENT_BY, counted(prefix), limit=limit)


def received(table: TransactionTable, message: Message, now: float = 0.0) -> list[Output]:
    """Let a message arrive; give what comes out."""
    table.receive(message, UDP, now)
    return table.take_outputs()


def taken_in(table: TransactionTable, message: Request, now: float = 0.0) -> ServerTransaction:
    """Let a new request arrive; give its transaction."""
    (output,) = told(received(table, message, now))
    assert isinstance(output, RequestReceived), output
    return output.transaction


def answered(table: TransactionTable, transaction: ServerTransaction, status: int) -> list[str]:
    """Have the user answer; say what came out."""
    table.respond(transaction, transaction.response(status), 1)
    return kinds(table.take_outputs())


def run_out(table: TransactionTable) -> list[str]:
    """Let all timers fire that there are; say what came out."""
    happened = []
    while (moment := table.next_timeout()) is not None:
        assert moment < 1000, "it never ends"
        table.handle_timeout(moment)
        happened += kinds(table.take_outputs())
    return happened


class StartTests(SynchronousTestCase):
    """Requests of ours."""

    def test_via(self) -> None:
        """What goes out has a Via of its own: transport, sent-by, a new branch, rport."""
        table = new_table()
        ours = request("OPTIONS")
        branches = set()
        for hop in (UDP, TCP):
            transaction = table.start(ours, hop, 0)
            (output,) = table.take_outputs()
            assert isinstance(output, Send)
            self.assertEqual((output.hop, output.transaction), (hop, transaction))
            via = output.message.via
            self.assertEqual((via.transport, via.sent_by), (hop.transport, SENT_BY))
            self.assertTrue(via.has_cookie and via.wants_rport)
            branches.add(via.branch)
        self.assertEqual(len(branches), 2)
        self.assertFalse(ours.has("Via"))

    def test_no_via_of_the_user(self) -> None:
        """A request that has a Via, or an ACK, cannot be started."""
        for wrong in (request(branch="z9hG4bKmine"), request("ACK")):
            self.assertRaises(ValueError, new_table().start, wrong, UDP, 0)

    def test_response_is_matched(self) -> None:
        """A response finds its transaction by branch and method, whatever else it says."""
        table = new_table()
        one, other = (table.start(request("OPTIONS"), UDP, 0) for _ in range(2))
        table.take_outputs()
        (output,) = received(table, answer(other.request, 200))
        assert isinstance(output, ResponseReceived)
        self.assertIs(output.transaction, other)
        self.assertIs(one.state, State.TRYING)

    def test_other_method_is_not_matched(self) -> None:
        """A response to another method of the same branch is not taken."""
        table = new_table()
        transaction = table.start(request("OPTIONS"), UDP, 0)
        table.take_outputs()
        response = answer(transaction.request, 200)
        response.replace("CSeq", "1 INFO")
        self.assertEqual(received(table, response), [Ignored(response, UDP, "no-transaction")])

    def test_misrouted_response(self) -> None:
        """A response with a second Via was meant for somebody behind us: there is nobody."""
        table = new_table()
        transaction = table.start(request("OPTIONS"), UDP, 0)
        table.take_outputs()
        response = answer(transaction.request, 200, ("Via", "SIP/2.0/UDP behind;branch=z9hG4bK2"))
        self.assertEqual(received(table, response), [Ignored(response, UDP, "misrouted")])

    def test_late_success(self) -> None:
        """A 2xx to an INVITE whose transaction is over is given to the user; a refusal is not."""
        table = new_table()
        transaction = table.start(request(), UDP, 0)
        run_out(table)
        self.assertEqual(len(table), 0)
        success, refusal = (answer(transaction.request, status) for status in (200, 486))
        self.assertEqual(received(table, success, 40), [StraySuccess(success, UDP)])
        self.assertEqual(kinds(received(table, refusal, 40)), ["Ignored"])

    def test_full(self) -> None:
        """Above the limit nothing new is started; a tenth more is there for calls to end."""
        table = new_table(limit=10)
        for _ in range(10):
            table.start(request("OPTIONS"), UDP, 0)
        self.assertRaises(TableFull, table.start, request("INVITE"), UDP, 0)
        bye = request("BYE", to_tag="theirs")
        table.start(bye, UDP, 0)
        self.assertRaises(TableFull, table.start, bye, UDP, 0)
        run_out(table)
        table.start(request("OPTIONS"), UDP, 100)

    def test_used_after_the_end(self) -> None:
        """What the user still does with a finished transaction has no effect, on others neither."""
        table = new_table()
        old = table.start(request(), UDP, 0)
        run_out(table)
        table.cancel(old, 50)
        table.send_failed(old, 50)
        theirs = request("OPTIONS", branch="z9hG4bKsame")
        finished = taken_in(table, theirs, 50)
        run_out(table)
        current = taken_in(table, theirs, 100)
        table.respond(finished, finished.response(200), 101)
        self.assertEqual(table.take_outputs(), [])
        table.receive(theirs, UDP, 101)
        self.assertEqual(answered(table, current, 200), ["200"])


class FailoverTests(SynchronousTestCase):
    """A server that is slow, and another one."""

    def test_both_copies_are_known(self) -> None:
        """After the silence the request goes to the other server; the late 200 finds its own."""
        table = new_table()
        ours = request()
        first = table.start(ours, TCP, 0)
        table.take_outputs()
        table.handle_timeout(4)
        self.assertEqual(kinds(table.take_outputs()), ["Unanswered"])
        table.cancel(first, 4)
        second = table.start(ours, OTHER, 4)
        self.assertEqual(kinds(table.take_outputs()), ["INVITE"])
        for transaction in (second, first):
            (output,) = received(table, answer(transaction.request, 200), 5)
            assert isinstance(output, ResponseReceived)
            self.assertIs(output.transaction, transaction)

    def test_late_ringing_is_cancelled(self) -> None:
        """If the silent server rings after all, it gets the CANCEL, over the hop of its INVITE."""
        table = new_table()
        first = table.start(request(), OTHER, 0)
        table.take_outputs()
        table.cancel(first, 4)
        table.start(request(), UDP, 4)
        table.take_outputs()
        table.receive(answer(first.request, 180), OTHER, 5)
        outputs = table.take_outputs()
        self.assertEqual(kinds(outputs), ["ResponseReceived", "CANCEL"])
        assert isinstance(outputs[1], Send)
        self.assertEqual(outputs[1].hop, OTHER)
        self.assertEqual(outputs[1].message.via, first.request.via)

    def test_connection_breaks(self) -> None:
        """Requests that wait over a broken connection fail at once; ringing calls do not."""
        table = new_table()
        ringing, waiting = (table.start(request(), TCP, 0) for _ in range(2))
        elsewhere = table.start(request("OPTIONS"), OTHER, 0)
        table.receive(answer(ringing.request, 180), TCP, 0)
        table.take_outputs()
        table.hop_failed(TCP, 1)
        self.assertEqual(kinds(table.take_outputs()), ["TransportFailed", "Terminated"])
        states = [transaction.state for transaction in (ringing, waiting, elsewhere)]
        self.assertEqual(states, [State.PROCEEDING, State.TERMINATED, State.TRYING])

    def test_flow(self) -> None:
        """A flow that breaks concerns its own requests and those that left the choice open."""
        hops = [Hop("TLS", "192.0.2.11", 5061, flow=flow) for flow in (0, 7, 8)]
        table = new_table()
        transactions = [table.start(request("OPTIONS"), hop, 0) for hop in hops]
        table.hop_failed(hops[1], 1)
        ended = [transaction.is_terminated for transaction in transactions]
        self.assertEqual(ended, [True, True, False])


class CancelOursTests(SynchronousTestCase):
    """CANCEL of an INVITE of ours, through the table."""

    def test_own_transaction(self) -> None:
        """The CANCEL is repeated until its answer, of which the user hears nothing."""
        table = new_table()
        transaction = table.start(request(), UDP, 0)
        table.receive(answer(transaction.request, 180), UDP, 0)
        table.cancel(transaction, 1, [("Reason", "SIP;cause=200")])
        (cancel,) = sent(table.take_outputs())[1:]
        assert isinstance(cancel, Request)
        self.assertEqual(cancel.get("Reason"), "SIP;cause=200")
        self.assertEqual(len(table), 2)
        table.handle_timeout(1.5)
        self.assertEqual(kinds(table.take_outputs()), ["CANCEL"])
        self.assertEqual(received(table, answer(cancel, 200), 2), [])
        self.assertEqual(
            kinds(received(table, answer(transaction.request, 487), 2)),
            ["ACK", "ResponseReceived"],
        )
        self.assertEqual(run_out(table), ["Terminated"])
        self.assertEqual(len(table), 0)

    def test_cancel_gets_lost(self) -> None:
        """If nobody answers the CANCEL either, the INVITE times out, and the user hears once."""
        table = new_table()
        transaction = table.start(request(), TCP, 0)
        table.receive(answer(transaction.request, 180), TCP, 0)
        table.cancel(transaction, 1)
        table.take_outputs()
        self.assertEqual(run_out(table), ["TimedOut", "Terminated"])

    def test_only_invites(self) -> None:
        """Other requests cannot be cancelled."""
        table = new_table()
        transaction = table.start(request("OPTIONS"), UDP, 0)
        self.assertRaises(ValueError, table.cancel, transaction, 1)


class RequestTests(SynchronousTestCase):
    """Requests of peers."""

    def test_copy(self) -> None:
        """A copy of a request is no new request, and gets the response there is."""
        table = new_table()
        theirs = request("OPTIONS", branch="z9hG4bK1")
        transaction = taken_in(table, theirs)
        self.assertEqual(received(table, theirs), [])
        self.assertEqual(answered(table, transaction, 200), ["200"])
        self.assertEqual(kinds(received(table, theirs, 2)), ["200"])

    def test_what_tells_requests_apart(self) -> None:
        """Another branch, sender or method is another transaction."""
        table = new_table()
        different = [
            request("OPTIONS", branch="z9hG4bK1", call_id="1"),
            request("OPTIONS", branch="z9hG4bK2", call_id="2"),
            request("OPTIONS", branch="z9hG4bK1", call_id="3", sent_by="other:5060"),
            request("INFO", branch="z9hG4bK1", call_id="4"),
        ]
        self.assertEqual(len({id(taken_in(table, theirs)) for theirs in different}), 4)

    def test_tag(self) -> None:
        """Each request outside a dialog gets a tag of its own for its responses."""
        table = new_table()
        tags = {
            taken_in(table, request(branch=f"z9hG4bK{n}", call_id=str(n))).tag for n in range(3)
        }
        self.assertEqual(len(tags), 3)

    def test_ack_of_refusal(self) -> None:
        """The ACK of a refusal has the INVITE's branch, and ends there."""
        table = new_table()
        transaction = taken_in(table, request(branch="z9hG4bK1"))
        answered(table, transaction, 486)
        ack = request("ACK", branch="z9hG4bK1", to_tag=transaction.tag)
        self.assertEqual(received(table, ack, 2), [])
        self.assertIs(transaction.state, State.CONFIRMED)

    def test_ack_of_success(self) -> None:
        """The ACK of a 2xx has a branch of its own and goes to the user."""
        table = new_table()
        transaction = taken_in(table, request(branch="z9hG4bK1"))
        answered(table, transaction, 200)
        ack = request("ACK", branch="z9hG4bK2", to_tag=transaction.tag)
        self.assertEqual(received(table, ack, 2), [AckReceived(ack, UDP)])

    def test_merged(self) -> None:
        """A request that came twice, over two paths, is one call: the second gets 482."""
        table = new_table()
        first = taken_in(table, request(branch="z9hG4bK1"))
        outputs = received(table, request(branch="z9hG4bK2"))
        self.assertEqual(kinds(outputs), ["Ignored", "482"])
        self.assertEqual(answered(table, first, 200), ["200"])

    def test_not_merged(self) -> None:
        """Another number, Call-ID, From tag or method is another request; so is one in a dialog."""
        table = new_table()
        taken_in(table, request(branch="z9hG4bK1"))
        for branch, other in enumerate(
            (
                request(branch="z9hG4bK2", sequence=2),
                request(branch="z9hG4bK3", call_id="other"),
                request(branch="z9hG4bK4", from_tag="other"),
                request("OPTIONS", branch="z9hG4bK5"),
                request(branch="z9hG4bK6", to_tag="inside"),
            )
        ):
            taken_in(table, other, branch)

    def test_after_the_first_is_over(self) -> None:
        """When the first copy's transaction has ended, nothing of it is left to merge with."""
        table = new_table()
        answered(table, taken_in(table, request("OPTIONS", branch="z9hG4bK1")), 200)
        run_out(table)
        taken_in(table, request("OPTIONS", branch="z9hG4bK2"), 50)

    def test_overload(self) -> None:
        """Above the limit a request gets no memory; 503, Retry-After and the tag repeat."""
        table = new_table(limit=10)
        for n in range(10):
            taken_in(table, request(branch=f"z9hG4bK{n}", call_id=str(n)))
        tags = set()
        for _ in range(2):
            (output,) = received(table, request(branch="z9hG4bKmore", call_id="more"))
            assert isinstance(output, Overloaded)
            response = output.response
            self.assertEqual((response.status, response.get("Retry-After")), (503, "10"))
            tags.add(response.to.tag)
        self.assertEqual((len(tags), len(table)), (1, 10))

    def test_overload_lets_calls_end(self) -> None:
        """Requests inside dialogs, and CANCEL, are taken a while longer; in the end nothing is."""
        table = new_table(limit=10)
        for n in range(10):
            taken_in(table, request(branch=f"z9hG4bK{n}", call_id=str(n)))
        taken_in(table, request("BYE", branch="z9hG4bKbye", to_tag="inside"))
        bye = request("BYE", branch="z9hG4bKbye2", to_tag="inside")
        self.assertEqual(kinds(received(table, bye)), ["Overloaded"])
        cancel = request("CANCEL", branch="z9hG4bK3", call_id="3")
        self.assertEqual(kinds(received(table, cancel)), ["200", "Cancelled"])

    def test_forgotten(self) -> None:
        """Whatever the user never answers is gone in the end, an INVITE excepted."""
        table = new_table()
        taken_in(table, request("OPTIONS", branch="z9hG4bK1"))
        call = taken_in(table, request(branch="z9hG4bK2"))
        run_out(table)
        self.assertEqual((len(table), call.state), (1, State.PROCEEDING))


class CancelTheirsTests(SynchronousTestCase):
    """CANCEL of a peer's INVITE."""

    def test_pending(self) -> None:
        """CANCEL gets 200 with the INVITE's tag; the user hears, and answers the INVITE 487."""
        table = new_table()
        transaction = taken_in(table, request(branch="z9hG4bK1"))
        cancel = request("CANCEL", branch="z9hG4bK1")
        outputs = received(table, cancel)
        self.assertEqual(kinds(outputs), ["200", "Cancelled"])
        (response,) = sent(outputs)
        self.assertEqual(response.to.tag, transaction.tag)
        self.assertEqual(outputs[1], Cancelled(transaction, cancel))
        self.assertEqual(answered(table, transaction, 487), ["487"])

    def test_copy(self) -> None:
        """A copy of the CANCEL gets the 200 again, and the user hears nothing of it."""
        table = new_table()
        taken_in(table, request(branch="z9hG4bK1"))
        cancel = request("CANCEL", branch="z9hG4bK1")
        received(table, cancel)
        self.assertEqual(kinds(received(table, cancel, 1)), ["200"])

    def test_too_late(self) -> None:
        """After a final response the CANCEL gets its 200 and has no effect."""
        for status in (200, 486):
            table = new_table()
            transaction = taken_in(table, request(branch="z9hG4bK1"))
            answered(table, transaction, status)
            cancel = request("CANCEL", branch="z9hG4bK1")
            self.assertEqual(kinds(received(table, cancel, 1)), ["200"])

    def test_unknown(self) -> None:
        """A CANCEL of nothing gets 481, each copy the same one, and takes no memory."""
        table = new_table()
        taken_in(table, request("OPTIONS", branch="z9hG4bK1"))
        cancel = request("CANCEL", branch="z9hG4bK1")
        first, second = (received(table, cancel) for _ in range(2))
        self.assertEqual(kinds(first), ["481"])
        self.assertEqual(sent(first)[0].render(), sent(second)[0].render())
        self.assertEqual(len(table), 1)


class KnownTests(SynchronousTestCase):
    """What belongs to a transaction that is here already."""

    def test_known(self) -> None:
        """Copies, the ACK and the CANCEL of a request are known, from its host only."""
        table = new_table()
        invite = taken_in(table, request(branch="z9hG4bK1"))
        taken_in(table, request("OPTIONS", branch="z9hG4bK2", call_id="other"))
        known = [
            request(branch="z9hG4bK1"),
            request("ACK", branch="z9hG4bK1"),
            request("CANCEL", branch="z9hG4bK1"),
            request("OPTIONS", branch="z9hG4bK2"),
        ]
        elsewhere = Hop(UDP.transport, OTHER.host, UDP.port)
        other_port = Hop(UDP.transport, UDP.host, 9)
        for message in known:
            self.assertTrue(table.knows(message, UDP))
            self.assertTrue(table.knows(message, other_port))
            self.assertFalse(table.knows(message, elsewhere))
        for message in (
            request(branch="z9hG4bK3"),
            request("ACK", branch="z9hG4bK2"),
            request("CANCEL", branch="z9hG4bK2"),
            request("BYE", branch="z9hG4bK1"),
            request("OPTIONS", branch="z9hG4bK2", sent_by="elsewhere.example.com"),
        ):
            self.assertFalse(table.knows(message, UDP))
        self.assertEqual(table.take_outputs(), [])
        answered(table, invite, 486)
        run_out(table)
        self.assertFalse(table.knows(known[0], UDP))

    def test_copy_of_cancel(self) -> None:
        """A CANCEL that has been answered is known by itself."""
        table = new_table()
        taken_in(table, request(branch="z9hG4bK1"))
        received(table, request("CANCEL", branch="z9hG4bK1"))
        self.assertTrue(table.knows(request("CANCEL", branch="z9hG4bK1"), UDP))


class OldBranchTests(SynchronousTestCase):
    """Peers from before RFC 3261, whose branch says nothing (section 17.2.3)."""

    def test_copy(self) -> None:
        """The same URI, From tag, Call-ID, number and Via make a copy."""
        table = new_table()
        for branch in ("1", ""):
            theirs = request(branch="x", call_id=f"call{branch}")
            theirs.replace(
                "Via", "SIP/2.0/UDP old.example.com" + (f";branch={branch}" * bool(branch))
            )
            transaction = taken_in(table, theirs)
            self.assertEqual(answered(table, transaction, 180), ["180"])
            self.assertEqual(kinds(received(table, theirs)), ["180"])

    def test_different(self) -> None:
        """Requests that share a meaningless branch are told apart by everything else."""
        table = new_table()
        for theirs in (
            request(branch="1"),
            request(branch="1", call_id="other"),
            request(branch="1", from_tag="other"),
            request(branch="1", sequence=2),
            request(branch="1", sequence=3, uri="sip:carol@example.com"),
            request(branch="1", sequence=4, sent_by="other:5060"),
        ):
            taken_in(table, theirs)

    def test_ack(self) -> None:
        """An ACK belongs to the INVITE whose refusal has its To tag; any other is the user's."""
        table = new_table()
        transaction = taken_in(table, request(branch="1"))
        early = request("ACK", branch="1", to_tag="any")
        self.assertEqual(received(table, early), [AckReceived(early, UDP)])
        answered(table, transaction, 486)
        other = request("ACK", branch="1", to_tag="other")
        self.assertEqual(received(table, other), [AckReceived(other, UDP)])
        own = request("ACK", branch="1", to_tag=transaction.tag)
        self.assertEqual(received(table, own), [])
        self.assertIs(transaction.state, State.CONFIRMED)

    def test_cancel(self) -> None:
        """A CANCEL finds its INVITE, and no other."""
        table = new_table()
        taken_in(table, request(branch="1"))
        other = request("CANCEL", branch="1", call_id="other")
        self.assertEqual(kinds(received(table, other)), ["481"])
        own = request("CANCEL", branch="1")
        self.assertEqual(kinds(received(table, own)), ["200", "Cancelled"])


@dataclass
class User:
    """One side: a table, and the books of what it told."""

    table: TransactionTable
    hop: Hop
    calls: list[ClientTransaction] = field(default_factory=list)
    asked: list[ServerTransaction] = field(default_factory=list)
    refusals: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    kept: list[object] = field(default_factory=list)


class Network(RuleBasedStateMachine):
    """Two tables, and between them a network that loses, doubles and reorders."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.flying: list[tuple[float, User, bytes, Hop]] = []
        hop = self.choose_hop()
        self.sides = [
            User(TransactionTable(lambda hop: SENT_BY, counted(name)), hop) for name in "ab"
        ]
        self.number = 0

    def choose_hop(self) -> Hop:
        return UDP

    def pump(self, user: User) -> None:
        """Fly what is sent, book what is told."""
        peer = self.sides[user is self.sides[0]]
        for output in user.table.take_outputs():
            if isinstance(output, Send):
                self.flying.append((self.now, peer, output.message.render(), output.hop))
            elif isinstance(output, ResponseReceived):
                assert id(output.transaction) not in user.ended
                if output.response.status >= 300:
                    count = user.refusals.get(id(output.transaction), 0) + 1
                    user.refusals[id(output.transaction)] = count
                    assert count == 1, "the user hears of one refusal"
            elif isinstance(output, RequestReceived):
                user.asked.append(output.transaction)
                user.kept.append(output.transaction)
            elif isinstance(output, Cancelled):
                assert output.transaction.state is State.PROCEEDING
                transaction = output.transaction
                user.table.respond(transaction, transaction.response(487), self.now)
            elif isinstance(output, Terminated):
                assert id(output.transaction) not in user.ended, "ended twice"
                user.ended.add(id(output.transaction))
        if user.table._outputs:
            self.pump(user)

    @rule(side=st.integers(0, 1), method=st.sampled_from(["INVITE", "OPTIONS"]))
    def ask(self, side: int, method: str) -> None:
        user = self.sides[side]
        self.number += 1
        message = request(method, sequence=self.number, call_id=f"{self.number}@test")
        transaction = user.table.start(message, user.hop, self.now)
        user.calls.append(transaction)
        user.kept.append(transaction)
        self.pump(user)

    @rule(side=st.integers(0, 1), data=st.data())
    def give_up(self, side: int, data: st.DataObject) -> None:
        user = self.sides[side]
        invites = [call for call in user.calls if call.request.method == "INVITE"]
        if invites:
            user.table.cancel(data.draw(st.sampled_from(invites)), self.now)
            self.pump(user)

    @rule(side=st.integers(0, 1), status=st.sampled_from([100, 180, 200, 404]), data=st.data())
    def answer(self, side: int, status: int, data: st.DataObject) -> None:
        user = self.sides[side]
        open_requests = [t for t in user.asked if t.state in (State.TRYING, State.PROCEEDING)]
        if open_requests:
            transaction = data.draw(st.sampled_from(open_requests))
            if transaction.request.method != "INVITE" and status == 180:
                status = 100
            user.table.respond(transaction, transaction.response(status), self.now)
            self.pump(user)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        """Any message that is under way arrives, and may arrive again."""
        at = data.draw(st.integers(0, len(self.flying) - 1))
        _, user, message, hop = self.flying[at]
        if not keep:
            del self.flying[at]
        user.table.receive(parse_datagram(message), hop, self.now)
        self.pump(user)

    @rule(copies=st.integers(1, 3))
    def flush(self, copies: int) -> None:
        """Everything that is under way arrives, each message some times in a row."""
        flying, self.flying = self.flying, []
        for _, user, message, hop in flying:
            for _ in range(copies):
                user.table.receive(parse_datagram(message), hop, self.now)
                self.pump(user)

    @rule(side=st.integers(0, 1), data=st.data())
    def fail(self, side: int, data: st.DataObject) -> None:
        """A message of any transaction, old or new, could not be sent."""
        user = self.sides[side]
        transactions = [*user.calls, *user.asked]
        if transactions:
            user.table.send_failed(data.draw(st.sampled_from(transactions)), self.now)
            self.pump(user)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.flying[data.draw(st.integers(0, len(self.flying) - 1))]

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for moment, user in self.due(until):
            self.now = moment
            user.table.handle_timeout(moment)
            self.pump(user)
        self.now = until
        # No message lives longer in the network than T4.
        self.flying = [entry for entry in self.flying if entry[0] >= self.now - Timers().t4]

    def due(self, until: float) -> Iterator[tuple[float, User]]:
        """The next moment and whose it is, again and again, until none is left."""
        while True:
            times = [(user.table.next_timeout(), i) for i, user in enumerate(self.sides)]
            coming = [(time, i) for time, i in times if time is not None and time <= until]
            if not coming:
                return
            moment, index = min(coming)
            yield max(moment, self.now), self.sides[index]

    @invariant()
    def the_books_agree(self) -> None:
        for user in self.sides:
            table = user.table
            for transaction in (*table._client.values(), *table._server.values()):
                assert not transaction.is_terminated
                assert id(transaction) not in user.ended
            assert len(table._deadlines) <= len(table)
            assert len(table._originals) <= len(table._server)

    def teardown(self) -> None:
        """Users give up what is open; then time alone empties both tables, whatever is lost."""
        self.flying = []
        for user in self.sides:
            for call in user.calls:
                if call.request.method == "INVITE":
                    user.table.cancel(call, self.now)
            for asked in user.asked:
                # An INVITE alone may stay as long as the user lets a phone ring.
                if asked.request.method == "INVITE" and asked.state is State.PROCEEDING:
                    user.table.respond(asked, asked.response(487), self.now)
            self.pump(user)
        self.wait(200.0)
        for user in self.sides:
            table = user.table
            indexes = (table._client, table._server, table._originals, table._deadlines)
            assert [len(index) for index in indexes] == [0, 0, 0, 0]
            assert table.next_timeout() is None
            for transaction in (*user.calls, *user.asked):
                assert id(transaction) in user.ended


class StreamNetwork(Network):
    """The same over a transport that says it is reliable (and is not: connections break)."""

    def choose_hop(self) -> Hop:
        return TCP


class NetworkTests(SynchronousTestCase):
    """Whatever the network does, transactions end, and end once."""

    def test_nothing_leaks(self) -> None:
        """With loss, doubling and reorder, both tables are empty when time has passed."""
        for network in (Network, StreamNetwork):
            bounded = settings(max_examples=100, stateful_step_count=60, deadline=None)
            run_state_machine_as_test(network, settings=bounded)

    def test_abandoned_calls(self) -> None:
        """Of a thousand calls that one peer vanishes from, nothing is left after 100 s."""
        table = new_table(limit=10_000)
        for n in range(500):
            call = table.start(request(call_id=f"a{n}"), UDP, n / 100)
            if n % 3:
                table.receive(answer(call.request, 180), UDP, n / 100)
                table.cancel(call, n / 100)
            theirs = taken_in_quietly(
                table, request(branch=f"z9hG4bK{n}", call_id=f"b{n}"), n / 100
            )
            table.respond(theirs, theirs.response(200 if n % 2 else 486), n / 100)
        self.assertGreaterEqual(len(table), 1000)
        run_out(table)
        self.assertEqual((len(table), len(table._originals), len(table._deadlines)), (0, 0, 0))


def taken_in_quietly(table: TransactionTable, message: Request, now: float) -> ServerTransaction:
    """Let a new request arrive among other outputs; give its transaction."""
    table.receive(message, UDP, now)
    new = [o.transaction for o in table.take_outputs() if isinstance(o, RequestReceived)]
    return new[0]


class ResponseFormTests(SynchronousTestCase):
    """What the table answers by itself can be read by others."""

    def test_readable(self) -> None:
        """481, 482, 503 and the 200 of a CANCEL are well-formed and go back the same way."""
        table = new_table(limit=2)
        taken_in(table, request(branch="z9hG4bK1"))
        outputs = received(table, request(branch="z9hG4bK2"))
        outputs += received(table, request("CANCEL", branch="z9hG4bK1"))
        outputs += received(table, request("CANCEL", branch="z9hG4bK9"))
        outputs += received(table, request(branch="z9hG4bK3", call_id="more"))
        messages = [*sent(outputs), *(o.response for o in outputs if isinstance(o, Overloaded))]
        statuses = []
        for message in messages:
            again = parse_datagram(message.render())
            assert isinstance(again, Response)
            self.assertTrue(again.to.tag)
            statuses.append(again.status)
        self.assertEqual(statuses, [482, 200, 481, 503])
