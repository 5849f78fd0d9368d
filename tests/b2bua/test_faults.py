"""Faults of our own: what nobody has foreseen ends the call that it happens in, and no other."""

from __future__ import annotations

from b2bua.call import Call
from b2bua.call_events import CallEnded, Fault
from b2bua.media_plane import Address, StreamCounters, StreamTerms
from b2bua.sip.usage_events import OfferReceived
from tests.b2bua.network import PHONE, SERVER_A, Ended, FakePlane, sdp
from tests.b2bua.test_calls import CallCase


class Injected(Exception):
    """Nobody has foreseen this one."""


class FaultyPlane(FakePlane):
    """A method of it raises once, for one end."""

    def __init__(self) -> None:
        super().__init__()
        self.faulty: tuple[str, int] | None = None

    def _raise(self, method: str, end: int) -> None:
        if self.faulty == (method, end):
            self.faulty = None
            raise Injected(method)

    def local(self, end: int) -> Address:
        self._raise("local", end)
        return super().local(end)

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        self._raise("set_terms", end)
        super().set_terms(end, terms)

    def close(self, end: int) -> StreamCounters:
        self._raise("close", end)
        return super().close(end)


class FaultTests(CallCase):
    """Two calls of the SIP Server to the phone; something goes wrong in the first one."""

    def build(self, **changes: object) -> None:
        self.plane = FaultyPlane()
        super().build(plane=self.plane, **changes)
        self.network.expects_faults = True

    def ring(self) -> list[Call]:
        """Two calls that ring."""
        self.a.call("1001", sdp(port=40000), caller="5001")
        self.a.call("1001", sdp(port=40002), caller="5002")
        calls = list(self.network.core.calls)
        self.assertEqual([call.caller.number for call in calls], ["5001", "5002"])
        return calls

    def up(self) -> list[Call]:
        """Two calls that are answered."""
        for port in (40000, 40002):
            self.a.call("1001", sdp(port=port))
            self.phone.called.answer(self.now, sdp(PHONE, port + 1000))
            self.settle()
        return list(self.network.core.calls)

    def assert_told_once(self, call: Call) -> None:
        """It is told once, with its traceback, and so is the end of the call, and of none else."""
        (fault,) = self.network.told(Fault)
        self.assertEqual(fault.call, call.id)
        self.assertIsInstance(fault.error, Injected)
        self.assertIsNotNone(fault.error.__traceback__)
        (ended,) = self.network.told(CallEnded)
        self.assertEqual((ended.call, ended.status, ended.cause), (call.id, 500, "fault"))

    def assert_other_goes_on(self, other: Call) -> None:
        """The other call is the only one; it can be held, and when it ends nothing is left."""
        self.assertEqual(list(self.network.core.calls), [other])
        self.assertEqual(len(self.plane.open_ends), 2)
        assert other.callee is not None
        other.work(other.caller, True, self.now)
        self.settle_core()
        self.assertTrue(self.phone.has(OfferReceived))
        other.hang_up("test", self.now)
        self.settle_core()
        self.network.advance(70)
        self.assertTrue(self.network.is_clean())

    def settle_core(self) -> None:
        """Let what was done behind the core's back go out."""
        self.network.core.handle_timeout(self.now)
        self.settle()

    def ended_legs(self) -> list[str]:
        """What told the ends of calls, by where it went."""
        said = [f"{where} {what}" for where in (SERVER_A, PHONE) for what in self.sent(where)]
        return [each for each in said if each.split()[1] in ("BYE", "CANCEL", "500")]

    def test_fault_as_the_callee_answers(self) -> None:
        """The caller, who has no answer yet, gets 500, and the callee BYE."""
        first, _ = self.ring()
        usages = [event.usage for event in self.phone.events if hasattr(event, "request")]
        self.plane.open = self.failing_open  # type: ignore[method-assign]
        usages[0].answer(self.now, sdp(PHONE, 5000))  # type: ignore[attr-defined]
        self.settle()
        self.assert_told_once(first)
        self.assertEqual(self.ended_legs(), [f"{SERVER_A} 500 INVITE", f"{PHONE} BYE"])
        usages[1].answer(self.now, sdp(PHONE, 5002))  # type: ignore[attr-defined]
        self.settle()
        self.assert_other_goes_on(next(iter(self.network.core.calls)))

    def failing_open(self) -> int:
        """No ends any more, and not for want of ports; the next time there are."""
        del self.plane.open
        raise Injected("open")

    def test_fault_as_media_begin(self) -> None:
        """Both legs stand by then: both get BYE."""
        first, _ = self.ring()
        usages = [event.usage for event in self.phone.events if hasattr(event, "request")]
        self.plane.faulty = ("set_terms", next(iter(first.rung[0].media.ends.values())))
        usages[0].answer(self.now, sdp(PHONE, 5000))  # type: ignore[attr-defined]
        self.settle()
        self.assert_told_once(first)
        self.assertEqual(self.ended_legs(), [f"{SERVER_A} BYE", f"{PHONE} BYE"])
        usages[1].answer(self.now, sdp(PHONE, 5002))  # type: ignore[attr-defined]
        self.settle()
        self.assert_other_goes_on(next(iter(self.network.core.calls)))

    def test_fault_in_an_offer(self) -> None:
        """A hold whose offer goes wrong inside the session ends its call."""
        first, other = self.up()
        assert first.callee is not None
        self.plane.faulty = ("local", first.callee.media.ends["audio"])
        hold = sdp(port=40000, version=2, direction="sendonly")
        next(iter(self.a.agent._usages.values())).modify(lambda: hold, self.now)
        self.settle()
        self.assert_told_once(first)
        self.assertEqual(self.ended_legs(), [f"{SERVER_A} BYE", f"{PHONE} BYE"])
        self.assert_other_goes_on(other)

    def test_events_of_one_round(self) -> None:
        """Both calls end in the same moment: the fault of one does not lose the other's end."""
        self.phone.works = False
        first, _ = self.ring()
        self.plane.faulty = ("close", first.rung[0].media.ends["audio"])
        self.network.advance(40)
        self.assertEqual(len(self.network.told(Fault)), 1)
        ended = [event.status for event in self.a.events if isinstance(event, Ended)]
        self.assertEqual(len(ended), 2)
        self.assertEqual(len(self.network.core.calls), 0)
        self.assertEqual(self.network.core.calls.residue, 0)

    def test_timers_of_one_moment(self) -> None:
        """Both calls have rung for long enough: the fault of one does not lose the other's."""
        first, _ = self.ring()
        self.plane.faulty = ("close", first.rung[0].media.ends["audio"])
        self.network.advance(250)
        self.assertEqual(len(self.network.told(Fault)), 1)
        causes = sorted(event.cause for event in self.network.told(CallEnded))
        self.assertEqual(causes, ["fault", "no-answer"])
        self.assertEqual(len([e for e in self.a.events if isinstance(e, Ended)]), 2)
        self.assertEqual(len([e for e in self.phone.events if isinstance(e, Ended)]), 2)
        self.assertEqual(len(self.network.core.calls), 0)
        self.assertEqual(self.network.core.calls.residue, 0)
        self.assertEqual(len(self.network.core.agent), 0)
