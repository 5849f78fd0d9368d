"""Tests of turn.quota."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.quota import Quota


class QuotaTests(SynchronousTestCase):
    """Limits are exact, and what ends is given back."""

    def test_unlimited(self) -> None:
        """Limits of 0 admit everything, without a rate."""
        quota = Quota(0, 0, 0, 0)
        self.assertEqual({quota.admit("alice") for _ in range(100)}, {0})
        self.assertEqual((quota.in_use, quota.in_use_by("alice")), (100, 100))

    def test_user_quota(self) -> None:
        """A user has as many as the quota, another user as many again."""
        quota = Quota(2, 0, 0, 0)
        self.assertEqual([quota.admit("alice") for _ in range(3)], [0, 0, None])
        self.assertEqual([quota.admit("bob") for _ in range(3)], [0, 0, None])

    def test_total_quota(self) -> None:
        """All users together have as many as the total."""
        quota = Quota(0, 3, 0, 0)
        self.assertEqual([quota.admit(f"user{n}") for n in range(4)], [0, 0, 0, None])
        quota.release("user1", 0)
        self.assertEqual([quota.admit("alice"), quota.admit("alice")], [0, None])

    def test_rate(self) -> None:
        """Without a capacity each session gets the configured rate."""
        quota = Quota(0, 0, 0, 64_000)
        self.assertEqual([quota.admit("alice") for _ in range(3)], [64_000] * 3)

    def test_capacity(self) -> None:
        """The sum promised stays within the capacity; the last one gets what is left."""
        quota = Quota(0, 0, 100, 40)
        self.assertEqual([quota.admit("alice") for _ in range(4)], [40, 40, 20, None])
        quota.release("alice", 20)
        quota.release("alice", 40)
        self.assertEqual([quota.admit("bob") for _ in range(3)], [40, 20, None])

    def test_capacity_without_rate(self) -> None:
        """A capacity alone promises nothing, so it refuses nothing."""
        self.assertEqual(Quota(0, 0, 100, 0).admit("alice"), 0)

    def test_refusal_costs_nothing(self) -> None:
        """A refused allocation is not counted anywhere."""
        quota = Quota(1, 0, 100, 60)
        quota.admit("alice")
        self.assertIsNone(quota.admit("alice"))
        self.assertEqual((quota.in_use, quota.in_use_by("alice")), (1, 1))
        self.assertEqual(quota.admit("bob"), 40)

    def test_limits_change(self) -> None:
        """Lowered limits refuse the next, and end none of those that live."""
        quota = Quota(0, 0, 100, 50)
        held = [quota.admit("alice"), quota.admit("alice")]
        quota.bps_capacity = 60
        self.assertIsNone(quota.admit("bob"))
        for granted in held:
            quota.release("alice", granted or 0)
        self.assertEqual(quota.admit("bob"), 50)

    def test_release_of_nothing(self) -> None:
        """Releasing what was not admitted is an error and changes nothing."""
        quota = Quota(0, 0, 0, 10)
        quota.admit("alice")
        self.assertRaises(ValueError, quota.release, "bob", 10)
        self.assertRaises(ValueError, quota.release, "alice", 11)
        self.assertEqual(quota.in_use, 1)

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
    def test_any_sequence(self, steps: list[tuple[bool, str]]) -> None:
        """No sequence passes a limit, and when all have ended nothing is left, no name either."""
        quota = Quota(3, 5, 100, 30)
        held: list[tuple[str, int]] = []
        for admit, user in steps:
            granted = quota.admit(user) if admit else None
            if granted is not None:
                held.append((user, granted))
            elif not admit and held:
                quota.release(*held.pop())
            self.assertEqual(quota.in_use, len(held))
            self.assertLessEqual(sum(granted for _, granted in held), 100)
            self.assertLessEqual(quota.in_use_by(user), 3)
        for user, granted in held:
            quota.release(user, granted)
        self.assertEqual((quota.in_use, quota._users, quota._promised), (0, {}, 0))
