"""The planes under test: both make the same of the same packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from suite.datapath.choice import missing_reason
from suite.datapath.polled import PACKETS_PER_WAKE_UP
from suite.datapath.twin import TwinPlane
from turn.data_plane import ControlReceiver

if TYPE_CHECKING:
    from suite.datapath.native_relay import NativePlane

    Plane = TwinPlane | NativePlane

LARGE = 1 << 20
"""Bytes of a listener's buffers, for tests that let packets wait."""


class ReactorStandIn:
    """Takes the plane's one descriptor and never wakes by itself."""

    def __init__(self) -> None:
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)


class TwinMade:
    """A test case of the pure-Python plane."""

    reactor: ReactorStandIn

    def make_plane(self, control: ControlReceiver) -> Plane:
        """The plane under test."""
        return TwinPlane(self.reactor, control, buffer=LARGE)  # type: ignore[arg-type]

    def entries(self, plane: Plane) -> int | None:
        """What the native plane keeps at all; None where nobody counts."""
        return None


class NativeMade(TwinMade):
    """The same test case with the native plane, in a core of its own."""

    skip = missing_reason() or None

    def make_plane(self, control: ControlReceiver) -> Plane:
        """The plane under test, with the budget of the other one."""
        from suite.datapath.native_core import NativeCore
        from suite.datapath.native_relay import NativePlane

        core = NativeCore(self.reactor, lambda: 0.0)  # type: ignore[arg-type]
        core.core.budget = PACKETS_PER_WAKE_UP
        return NativePlane(core, control, buffer=LARGE)

    def entries(self, plane: Plane) -> int | None:
        """What the plane keeps at all."""
        return None if isinstance(plane, TwinPlane) else plane._turn.entries
