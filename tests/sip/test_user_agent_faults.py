"""What becomes of a fault of ours inside one usage, and of the other usages beside it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.transaction import Transaction
from b2bua.sip.usage_events import Faulted, Modified
from b2bua.sip.usage_states import UsageState
from tests.sip.usages import Wire


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
