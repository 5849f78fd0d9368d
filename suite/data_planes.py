"""
Makes the relay's data plane: the native one where it is, else its twin in Python.
"""

from __future__ import annotations

from typing import Protocol

from suite.datapath.twin import TwinPlane
from suite.log_records import LogEvent
from suite.parts import Plane
from suite.service import SuiteService
from turn.data_plane import ControlReceiver, DataPlane
from turn.net.service import StreamMaker
from turn.net.stream import StreamLimits


class RelayPlane(DataPlane, Plane, Protocol):
    """A data plane as the suite builds a relay around it."""

    control: ControlReceiver
    """Takes the STUN messages that are not forwarded."""

    @property
    def budget_exhausted(self) -> int:
        """Wake-ups that left packets for the next one."""

    @property
    def ignored(self) -> int:
        """Datagrams that were neither STUN nor known ChannelData."""

    @property
    def unsent(self) -> int:
        """Datagrams to clients that the kernel refused."""


def relay_plane(service: SuiteService, control: ControlReceiver) -> RelayPlane:
    """The relay's plane, which may share its core with others. Raises DataPlaneUnavailable."""
    buffer = service.settings.socket_buffer
    core = service.native_core
    if core is None:
        return TwinPlane(service.reactor, control, buffer=buffer)
    from suite.datapath.native_relay import NativePlane

    return NativePlane(core, control, buffer=buffer)


def stream_maker(service: SuiteService, limits: StreamLimits) -> StreamMaker | None:
    """Makes the relay's clients over TCP and TLS; None: Twisted moves their bytes."""
    core = service.native_core
    if core is None:
        return None
    from suite.datapath.native_stream import NativeStreams

    streams = NativeStreams(core, service.clocks.monotonic, limits)
    line = f"TURN over TCP: native; over TLS: {streams.tls_words}"
    service.log.standard(LogEvent.RELAY, line)
    return streams.client
