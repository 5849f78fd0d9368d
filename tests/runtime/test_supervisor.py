"""Units start, fail, come back and stop, each by itself."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from suite.supervisor import LONGEST_DELAY, START_TIMEOUT, Supervisor
from suite.unit import Health, Unit


class ScriptedUnit:
    """A unit that does what the test says."""

    def __init__(self, name: str = "unit", *, required: bool = True) -> None:
        self.name = name
        self.required = required
        self.on_start: Callable[[], Deferred[None] | None] = lambda: None
        self.on_stop: Callable[[], Deferred[None] | None] = lambda: None
        self.well = Health(True)
        self.calls: list[str] = []

    def start(self) -> Deferred[None] | None:
        self.calls.append("start")
        return self.on_start()

    def stop(self) -> Deferred[None] | None:
        self.calls.append("stop")
        return self.on_stop()

    def health(self) -> Health:
        return self.well


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.running: list[str] = []
        self.unstopped: list[str] = []

    def started(self, unit: Unit, tries: int) -> None:
        self.running.append(f"{unit.name} {tries}")

    def failed(self, unit: Unit, failure: Failure, tries: int, delay: float) -> None:
        self.delays.append(delay)

    def stop_failed(self, unit: Unit, failure: Failure) -> None:
        self.unstopped.append(f"{unit.name} {failure.type.__name__}")


def refuse() -> None:
    """A start that fails as a busy port does."""
    raise OSError(98, "Address already in use")


class SupervisorTests(SynchronousTestCase):
    """What the supervisor promises, on a clock that stands still until told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.notes = Notes()

    def supervise(self, *stages: list[ScriptedUnit]) -> Supervisor:
        return Supervisor(stages, clock=self.clock, observer=self.notes, jitter=lambda: 1.0)

    def test_a_failing_unit_leaves_others_alone(self) -> None:
        """A unit that cannot start does not keep its neighbours from running."""
        broken, sound = ScriptedUnit("broken"), ScriptedUnit("sound")
        broken.on_start = refuse
        supervisor = self.supervise([broken, sound])
        self.successResultOf(supervisor.start())
        self.assertEqual(self.notes.running, ["sound 1"])
        self.assertFalse(supervisor.ready)
        self.assertIn("Address already in use", supervisor.units[0].health().detail)

    def test_delays_double_up_to_the_longest(self) -> None:
        """Tries are 1, 2, 4, 8, 16 and then 30 seconds apart, for as long as it takes."""
        broken = ScriptedUnit()
        broken.on_start = refuse
        self.supervise([broken]).start()
        for _ in range(2000):
            self.clock.advance(1)
        self.assertEqual(self.notes.delays[:7], [1, 2, 4, 8, 16, LONGEST_DELAY, LONGEST_DELAY])
        self.assertGreater(len(self.notes.delays), 60)

    def test_a_unit_comes_back(self) -> None:
        """When the cause is gone, the next try succeeds and the suite is ready."""
        unit = ScriptedUnit()
        unit.on_start = refuse
        supervisor = self.supervise([unit])
        supervisor.start()
        unit.on_start = lambda: None
        self.clock.advance(1)
        self.assertEqual(self.notes.running, ["unit 2"])
        self.assertTrue(supervisor.ready)

    def test_what_a_failed_start_holds_is_released(self) -> None:
        """stop is called after a failed start, before the next try."""
        unit = ScriptedUnit()
        unit.on_start = refuse
        self.supervise([unit]).start()
        self.clock.advance(1)
        self.assertEqual(unit.calls, ["start", "stop", "start", "stop"])

    def test_a_start_without_an_answer_counts_as_failed(self) -> None:
        """A start that takes longer than its time-out is cancelled and tried again."""
        unit, other = ScriptedUnit(), ScriptedUnit("later")
        unit.on_start = Deferred
        started = self.supervise([unit], [other]).start()
        self.assertNoResult(started)
        self.clock.advance(START_TIMEOUT)
        self.successResultOf(started)
        self.assertEqual(self.notes.running, ["later 1"])
        self.assertEqual(self.notes.delays, [1])

    def test_stages_start_in_order_and_stop_in_reverse(self) -> None:
        """What others rest on starts before them and stops after them."""
        order: list[str] = []
        base, top = ScriptedUnit("base"), ScriptedUnit("top")
        for unit in (base, top):
            unit.on_start = lambda name=unit.name: order.append(f"start {name}")
            unit.on_stop = lambda name=unit.name: order.append(f"stop {name}")
        supervisor = self.supervise([base], [top])
        supervisor.start()
        self.successResultOf(supervisor.stop(8))
        self.assertEqual(order, ["start base", "start top", "stop top", "stop base"])

    def test_a_hung_stop_is_abandoned_in_time(self) -> None:
        """Units that never stop cost the whole no more than its time, and are named."""
        hung, base = ScriptedUnit("hung"), ScriptedUnit("base")
        hung.on_stop = base.on_stop = Deferred
        supervisor = self.supervise([base], [hung])
        supervisor.start()
        stopped = supervisor.stop(8)
        self.clock.advance(4)
        self.assertNoResult(stopped)
        self.clock.advance(4)
        self.successResultOf(stopped)
        self.assertEqual(self.notes.unstopped, ["hung TimeoutError", "base TimeoutError"])

    def test_a_stop_that_raises_is_named(self) -> None:
        """An exception in stop ends that unit's stop only."""
        broken, base = ScriptedUnit("broken"), ScriptedUnit("base")
        supervisor = self.supervise([base], [broken])
        supervisor.start()
        broken.on_stop = refuse
        self.successResultOf(supervisor.stop(8))
        self.assertEqual(self.notes.unstopped, ["broken OSError"])
        self.assertEqual(base.calls, ["start", "stop"])

    def test_stop_while_waiting_and_while_starting(self) -> None:
        """No try follows a stop, wherever the unit was in its life, and no timer is left."""
        waiting, starting = ScriptedUnit("waiting"), ScriptedUnit("starting")
        waiting.on_start, starting.on_start = refuse, Deferred
        supervisor = self.supervise([waiting, starting])
        started = supervisor.start()
        self.successResultOf(supervisor.stop(8))
        self.successResultOf(started)
        self.clock.advance(1000)
        self.assertEqual(waiting.calls, ["start", "stop"])
        self.assertEqual(starting.calls, ["start", "stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_start(self) -> None:
        """A supervisor that never started stops at once and calls no unit."""
        unit = ScriptedUnit()
        self.successResultOf(self.supervise([unit]).stop(8))
        self.assertEqual(unit.calls, [])

    def test_abandon_ends_a_stop(self) -> None:
        """After abandon nothing is waited for."""
        unit = ScriptedUnit()
        unit.on_stop = Deferred
        supervisor = self.supervise([unit])
        supervisor.start()
        stopped = supervisor.stop(8)
        supervisor.abandon()
        self.successResultOf(stopped)
        self.clock.advance(8)

    def test_only_required_units_decide_readiness(self) -> None:
        """An optional unit that is down leaves the suite ready; draining never does."""
        broken = ScriptedUnit("extra", required=False)
        broken.on_start = refuse
        supervisor = self.supervise([broken, ScriptedUnit("core")])
        supervisor.start()
        self.assertTrue(supervisor.ready)
        supervisor.stop(8)
        self.assertFalse(supervisor.ready)

    def test_a_health_that_raises_is_not_well(self) -> None:
        """A unit whose health cannot be told counts as down, with the reason."""

        class Broken(ScriptedUnit):
            def health(self) -> Health:
                raise ValueError("no idea")

        supervisor = self.supervise([Broken()])
        supervisor.start()
        self.assertEqual(supervisor.units[0].health(), Health(False, "ValueError: no idea"))
