"""Tests of b2bua.causes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.causes import (
    CHANGED,
    OF_END,
    OF_FAILURE,
    PASSED,
    Failure,
    answered_elsewhere,
    better_refusal,
    end_reason,
    request_reason,
    response_reason,
    status_for_caller,
    status_for_change,
)
from b2bua.sip.headers import parse_word
from b2bua.sip.reasons import REASONS
from b2bua.sip.usage_events import Cause

# Every status with a name from 300 on: what the caller gets.
EXPECTED = {
    **dict.fromkeys((300, 301, 302, 305, 380), 480),
    **{status: status for status in (403, 404, 408, 410, 433, 480, 482, 483, 484, 485, 486, 488)},
    **dict.fromkeys((400, 401, 405, 407, 412, 413, 414, 416, 420, 421, 422, 423, 428, 430), 500),
    **dict.fromkeys((439, 469, 481, 489, 491, 493, 494), 500),
    402: 403,
    **dict.fromkeys((406, 415), 488),
    487: 480,
    500: 500,
    **dict.fromkeys((501, 502, 503, 505, 513), 500),
    504: 504,
    580: 488,
    **{status: status for status in (600, 603, 604, 606)},
}


class StatusForCallerTests(SynchronousTestCase):
    """What the caller gets when the callee's leg fails."""

    def test_named(self) -> None:
        """Each status that has a name leads to its own."""
        named = {status for status in REASONS if status >= 300}
        self.assertEqual(named - set(EXPECTED), set())
        for status, expected in EXPECTED.items():
            self.assertEqual(status_for_caller(status), expected, status)

    def test_unknown(self) -> None:
        """Any other status is taken for the first of its class."""
        for status in set(range(300, 700)) - set(EXPECTED):
            expected = {3: 480, 4: 500, 5: 500, 6: 600}[status // 100]
            self.assertEqual(status_for_caller(status), expected, status)

    def test_never_leaked(self) -> None:
        """Challenges, redirections, 481, 487, 491 and 503 never reach a caller who waits."""
        reached = {status_for_caller(status) for status in range(300, 700)}
        reached |= {status_for_caller(failure) for failure in Failure}
        self.assertEqual(reached & {401, 407, 481, 487, 491, 503}, set())
        self.assertTrue(min(reached) >= 400)

    def test_no_failure(self) -> None:
        """Success and progress are no failures."""
        for status in (0, 100, 180, 200, 299, 700):
            self.assertRaises(ValueError, status_for_caller, status)

    def test_cancelled(self) -> None:
        """Who has cancelled gets 487, whatever the callee said meanwhile."""
        for failed in (*range(300, 700), *Failure):
            self.assertEqual(status_for_caller(failed, cancelled=True), 487)

    def test_failures(self) -> None:
        """Each failure without a response has its status."""
        expected = {
            "TIMEOUT": 408,
            "TRANSPORT": 500,
            "NO_ANSWER": 480,
            "DECLINED": 603,
            "BUSY": 486,
            "NOT_SIGNED_IN": 480,
            "BROWSER_LOST": 480,
            "MEDIA": 488,
            "INTERNAL": 500,
        }
        self.assertEqual({failure.name: OF_FAILURE[failure] for failure in Failure}, expected)
        self.assertEqual({f.name: status_for_caller(f) for f in Failure}, expected)

    def test_stable(self) -> None:
        """Through a second agent like this one, a status stays what it is."""
        for status in range(300, 700):
            once = status_for_caller(status)
            self.assertEqual(status_for_caller(once), once)

    def test_tables_apart(self) -> None:
        """No status is both passed and changed."""
        self.assertEqual(PASSED & set(CHANGED), set())


class StatusForChangeTests(SynchronousTestCase):
    """What refuses a re-INVITE whose counterpart was refused."""

    def test_never_ends_the_dialog(self) -> None:
        """It is 488, or 491 where another try makes sense."""
        for failed in (*range(300, 700), *Failure):
            self.assertEqual(status_for_change(failed), 491 if failed == 491 else 488)


class ReasonTests(SynchronousTestCase):
    """Reason header fields (RFC 3326, RFC 6432)."""

    def test_responses(self) -> None:
        """Each status that a caller can get has a cause of Q.850 with its text."""
        statuses = {487, *(status_for_caller(status) for status in range(300, 700))}
        statuses |= set(OF_FAILURE.values())
        for status in statuses:
            word = parse_word(response_reason(status))
            self.assertEqual(word.value, "Q.850")
            self.assertTrue(1 <= int(word.parameters["cause"]) <= 127)
            self.assertTrue(word.parameters.text("text"))
        self.assertEqual(response_reason(486), 'Q.850;cause=17;text="User busy"')
        self.assertEqual(response_reason(404), 'Q.850;cause=1;text="Unallocated number"')

    def test_requests(self) -> None:
        """In requests it is the status with its own words, or ours."""
        self.assertEqual(request_reason(486), 'SIP;cause=486;text="Busy Here"')
        self.assertEqual(request_reason(408, 'a "b"'), 'SIP;cause=408;text="a \\"b\\""')

    def test_ends(self) -> None:
        """Each cause of an end has its Reason, or none where it was a normal end."""
        expected = {
            "REFUSED": None,
            "CANCELLED": None,
            "LOCAL": None,
            "REMOTE": None,
            "NO_ACK": 'SIP;cause=408;text="No ACK"',
            "NO_PRACK": 'SIP;cause=408;text="No PRACK"',
            "NO_ANSWER": 'SIP;cause=488;text="Offer without an answer"',
            "GONE": 'SIP;cause=481;text="Call/Transaction Does Not Exist"',
            "SILENT": 'SIP;cause=408;text="Request Timeout"',
            "EXPIRED": 'SIP;cause=408;text="Session expired"',
        }
        self.assertEqual(set(OF_END), set(Cause))
        self.assertEqual({cause.name: end_reason(cause) for cause in Cause}, expected)

    def test_refused(self) -> None:
        """A refusal is told in the words of the table, so that nothing leaks here either."""
        self.assertEqual(end_reason(Cause.REFUSED, 486), 'SIP;cause=486;text="Busy Here"')
        self.assertEqual(
            end_reason(Cause.REFUSED, 401), 'SIP;cause=500;text="Server Internal Error"'
        )
        for status in range(300, 700):
            self.assertEqual(parse_word(end_reason(Cause.REFUSED, status) or "").value, "SIP")

    def test_answered_elsewhere(self) -> None:
        """A CANCEL with the cause 200 means that somebody else has the call."""
        for texts, expected in (
            (['SIP;cause=200;text="Call completed elsewhere"'], True),
            (["Q.850;cause=16", "sip ;cause=200"], True),
            (["Q.850;cause=200"], False),
            (["SIP;cause=487"], False),
            (["SIP;cause=two hundred".replace(" ", "-"), "SIP"], False),
            ([], False),
        ):
            reasons = [parse_word(text) for text in texts]
            self.assertEqual(answered_elsewhere(reasons), expected, texts)


class BetterRefusalTests(SynchronousTestCase):
    """Of several refusals one reaches the caller."""

    def test_order(self) -> None:
        """6xx wins, then the lowest class, then whoever was there; nothing counts for nothing."""
        for winner, loser in ((603, 486), (486, 500), (302, 404), (486, 480), (486, 0), (480, 503)):
            self.assertEqual(better_refusal(winner, loser), winner)
            self.assertEqual(better_refusal(loser, winner), winner)
