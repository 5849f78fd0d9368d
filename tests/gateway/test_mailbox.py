"""Letters: their order, and that none is lost or brought twice."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from b2bua.gateway.mailbox import MOST, Letter, Mailbox


def mailbox() -> Mailbox:
    """One that nobody listens to."""
    return Mailbox(lambda: None)


class MailboxTests(SynchronousTestCase):
    """One letter for each poll."""

    def test_order(self) -> None:
        """First in, first out; the next only when the one before is on its way."""
        box = mailbox()
        for text in "abc":
            box.put(Letter("1", text))
        first = box.hand_out()
        assert first is not None
        self.assertIsNone(box.hand_out())
        self.assertIs(first, box.confirm())
        second = box.hand_out()
        assert second is not None
        self.assertEqual("ab", first.text + second.text)

    def test_back(self) -> None:
        """One that did not leave comes again, before all others."""
        box = mailbox()
        box.put(Letter("1", "a"))
        box.put(Letter("1", "b"))
        letter = box.hand_out()
        box.give_back()
        self.assertIs(letter, box.hand_out())

    def test_withdrawn(self) -> None:
        """One that is withdrawn is gone; while it is in doubt it may have been seen."""
        box = mailbox()
        letter = Letter("1", "a")
        box.put(letter)
        self.assertTrue(box.withdraw(letter))
        self.assertIsNone(box.hand_out())
        box.put(letter := Letter("1", "b"))
        box.hand_out()
        self.assertFalse(box.withdraw(letter))
        box.give_back()
        self.assertIsNone(box.hand_out())

    def test_bounds(self) -> None:
        """What may be dropped is, when there is much; what calls need is not."""
        box = mailbox()
        for _ in range(MOST):
            box.put(Letter("1", "x"))
        box.put(Letter("1", "news"), may_drop=True)
        box.put(Letter("1", "BYE"))
        self.assertEqual(MOST + 1, len(box))

    def test_told(self) -> None:
        """Whoever holds polls hears of whatever may answer one."""
        told: list[int] = []
        box = Mailbox(lambda: told.append(len(told)))
        box.put(Letter("1", "a"))
        box.hand_out()
        box.give_back()
        self.assertEqual(2, len(told))


class MailboxMachine(RuleBasedStateMachine):
    """Whatever happens, every letter is brought once, in order, unless withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self.box = mailbox()
        self.put_in: list[Letter] = []
        self.seen: list[Letter] = []
        self.out: Letter | None = None

    @rule()
    def put(self) -> None:
        """Something to say."""
        letter = Letter("1", str(len(self.put_in)))
        self.put_in.append(letter)
        self.box.put(letter)

    @precondition(lambda self: self.out is None)
    @rule()
    def hand_out(self) -> None:
        """A poll."""
        self.out = self.box.hand_out()

    @precondition(lambda self: self.out is not None)
    @rule(lost=st.booleans())
    def end(self, lost: bool) -> None:
        """Its connection goes, or not."""
        if lost:
            self.box.give_back()
        else:
            letter = self.box.confirm()
            assert letter is self.out and letter is not None
            self.seen.append(letter)
        self.out = None

    @precondition(lambda self: bool(self.put_in))
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A letter is not true any more."""
        letter = data.draw(st.sampled_from(self.put_in))
        unseen = self.box.withdraw(letter)
        assert not (unseen and letter in self.seen)

    @invariant()
    def in_order(self) -> None:
        """No letter twice, none before its turn."""
        numbers = [int(letter.text) for letter in self.seen]
        assert numbers == sorted(set(numbers))
        left = [letter for letter in self.put_in if letter not in self.seen]
        assert all(letter.is_withdrawn or self._is_there(letter) for letter in left)

    def _is_there(self, letter: Letter) -> bool:
        return letter is self.out or letter in self.box._letters


MailboxMachineTests = MailboxMachine.TestCase
