"""What becomes of a fault of ours inside one usage, and of the other usages beside it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.transaction import Transaction
from b2bua.sip.usage_events import Ended, Faulted, Modified
from b2bua.sip.usage_states import UsageState
from tests.sip.usages import Side, Wire


class Injected(Exception):
    """Nobody has foreseen this one."""


def faulty(usage: InviteUsage, method: str, times: int = 1) -> None:
    """Have a method of a usage raise so often."""
    left = [times]
    real: Callable[..., object] = getattr(usage, method)

    def act(*given: object) -> object:
        if left[0]:
            left[0] -= 1
            raise Injected
        return real(*given)

    setattr(usage, method, act)


class FaultCase(SynchronousTestCase):
    """Alice is told of faults, and so is Bob."""

    def setUp(self) -> None:
        self.wire = Wire()
        for side in (self.wire.alice, self.wire.bob):
            side.agent._contains_faults = True

    def faults(self, side: Side) -> list[InviteUsage]:
        """Whose faults a side was told of."""
        return [event.usage for event in side.events if isinstance(event, Faulted)]


class UsageFaultTests(SynchronousTestCase):
    """Two calls of Alice's; something goes wrong in the first one."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.alice.agent._contains_faults = True
        self.first, _ = self.wire.call()
        self.second, _ = self.wire.call()
        self.wire.looked()

    def assert_first_is_faulty(self) -> None:
        """The first one's fault is told, once."""
        found = [event for event in self.wire.alice.events if isinstance(event, Faulted)]
        self.assertEqual([event.usage for event in found], [self.first])
        self.assertIsInstance(found[0].error, Injected)

    def test_timers_of_one_moment(self) -> None:
        """Both are due to be refreshed: the second one is, all the same."""
        faulty(self.first, "handle_timeout")
        due = self.first.next_timeout()
        assert due is not None
        self.assertEqual(due, self.second.next_timeout())
        self.wire.now = due
        self.wire.alice.agent.handle_timeout(due)
        self.assertEqual(len(self.wire.looked()), 1)
        self.assert_first_is_faulty()

    def test_timers_of_transactions(self) -> None:
        """Two requests are to be sent again: the first one's fault loses not the second's."""
        for usage in (self.first, self.second):
            usage.bye(self.wire.now)
        table = self.wire.alice.table
        (faulty,) = (t for t in self.first.transactions if t.request.method == "BYE")
        real = type(faulty).handle_timeout

        def act(transaction: Transaction, now: float) -> None:
            if transaction is faulty:
                raise Injected
            real(transaction, now)

        self.patch(type(faulty), "handle_timeout", act)
        self.wire.looked()
        due = table.next_timeout()
        assert due is not None
        self.assertRaises(Injected, table.handle_timeout, due)
        self.assertEqual(table.next_timeout(), due)
        table.handle_timeout(due)
        self.assertEqual(len(self.wire.looked()), 1)
        self.assertTrue(faulty.is_terminated)
        self.assertNotIn(faulty, table._client.values())
        self.assertIs(self.first.state, UsageState.ENDED)
        self.wire.wait(70)
        self.assertTrue(self.wire.alice.is_clean)

    def test_changes_that_wait_for_the_user(self) -> None:
        """Both have something to offer as soon as the user has heard what was: one does."""

        def none() -> bytes:
            raise Injected

        for usage, offer in ((self.first, none), (self.second, lambda: b"v=0 new")):
            (session,) = usage.sessions()
            self.wire.alice.agent.emit(Modified(usage, session.dialog))
            usage.modify(offer, self.wire.now)
        self.wire.collect(self.wire.alice)
        self.wire.collect(self.wire.alice)
        self.assertEqual([m.body for m in self.wire.messages[-1:]], [b"v=0 new"])
        self.assertEqual(len(self.wire.looked()), 1)
        self.assert_first_is_faulty()

    def test_usage_that_cannot_end(self) -> None:
        """Where even its end goes wrong nothing of it comes up any more."""
        faulty(self.first, "receive_response", times=99)
        self.first.bye(self.wire.now)
        self.second.bye(self.wire.now)
        self.wire.run()
        self.assert_first_is_faulty()
        self.assertIs(self.first.state, UsageState.ENDED)
        self.wire.wait(70)
        self.assertTrue(self.wire.alice.is_clean)

    def test_raised_unless_it_is_to_be_told(self) -> None:
        """Whoever has not asked to be told hears of it as of any other exception."""
        self.wire.alice.agent._contains_faults = False
        faulty(self.first, "receive_response")
        self.first.bye(self.wire.now)
        self.assertRaises(Injected, self.wire.run)

    def test_next_moment(self) -> None:
        """The first one's next moment cannot be told: the second one's is known all the same."""
        agent = self.wire.alice.agent
        faulty(self.first, "next_timeout")
        for usage in (self.first, self.second):
            agent._deadlines.set(usage, None)
            agent._touched[usage] = None
        self.wire.collect(self.wire.alice)
        self.assertEqual(agent._deadlines._when.get(self.second), self.second.next_timeout())
        self.wire.collect(self.wire.alice)
        self.assertEqual(agent._deadlines._when.get(self.first), self.first.next_timeout())
        self.assert_first_is_faulty()

    def test_no_next_moment_ever(self) -> None:
        """A usage whose next moment can never be told has one more try, and then ends."""
        agent = self.wire.alice.agent
        faulty(self.first, "next_timeout", times=99)
        agent._touched[self.first] = None
        self.wire.run()
        self.assertIs(self.first.state, UsageState.ENDED)
        told = [type(e) for e in self.wire.alice.events if e.usage is self.first]
        self.assertEqual(told, [Faulted, Faulted, Ended])
        self.second.bye(self.wire.now)
        self.wire.wait(70)
        self.assertTrue(self.wire.alice.is_clean)


class WayOutTests(FaultCase):
    """A fault on the way out, before the peer has been told the end, does not keep that."""

    def leave(self) -> InviteUsage:
        """Bob has answered, hears no ACK, and hangs up."""
        self.wire.loses = lambda text: text == "a ACK"
        self.wire.invite()
        bob = self.wire.invited()
        bob.answer(self.wire.now, b"v=0 answer")
        self.wire.run()
        bob.bye(self.wire.now)
        self.assertIs(bob.state, UsageState.LEAVING)
        return bob

    def cancel(self) -> tuple[InviteUsage, InviteServerUsage]:
        """Alice gives up as Bob answers."""
        alice = self.wire.invite()
        bob = self.wire.invited()
        bob.ring(180, self.wire.now)
        self.wire.run()
        alice.bye(self.wire.now)
        self.assertIs(alice.state, UsageState.CANCELLING)
        return alice, bob

    def test_bye_without_ack(self) -> None:
        """The 2xx is repeated, and BYE goes out, though one moment was lost."""
        bob = self.leave()
        faulty(bob, "handle_timeout")
        self.assertIn("b BYE", self.wire.wait(40))
        self.assertEqual(self.faults(self.wire.bob), [bob])
        self.wire.wait(70)
        self.assertTrue(self.wire.bob.is_clean)

    def test_no_way_out(self) -> None:
        """Where it goes wrong again nothing of it comes up any more."""
        bob = self.leave()
        faulty(bob, "handle_timeout", times=99)
        self.wire.wait(5)
        self.assertEqual(self.faults(self.wire.bob), [bob, bob])
        self.assertIs(bob.state, UsageState.ENDED)

    def test_late_success(self) -> None:
        """A 2xx that crossed with CANCEL was lost in a fault: its copy has ACK and BYE."""
        alice, bob = self.cancel()
        faulty(alice, "receive_response")
        bob.answer(self.wire.now, b"v=0 answer")
        self.wire.run()
        sent = self.wire.wait(5)
        self.assertIn("a ACK", sent)
        self.assertIn("a BYE", sent)
        self.assertEqual(self.faults(self.wire.alice), [alice])
        self.wire.wait(70)
        self.assertTrue(self.wire.alice.is_clean)
        self.assertTrue(self.wire.bob.is_clean)

    def test_end_of_the_invite(self) -> None:
        """The refusal of a cancelled INVITE was lost in a fault, and has no copy: it is the end."""
        alice, _ = self.cancel()
        faulty(alice, "receive_response")
        self.wire.run()
        self.assertEqual(self.faults(self.wire.alice), [alice])
        self.wire.wait(70)
        self.assertIs(alice.state, UsageState.ENDED)
        self.assertEqual([e.usage for e in self.wire.alice.events if isinstance(e, Ended)], [alice])
        self.assertTrue(self.wire.alice.is_clean)
