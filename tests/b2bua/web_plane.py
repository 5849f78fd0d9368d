"""A media plane with transports that remembers what it is told, for tests of browsers' legs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from b2bua.media_plane import (
    Address,
    LocalTransport,
    MediaPortsExhausted,
    RemoteTransport,
    TransportEvent,
    WebMediaPlane,
)
from tests.b2bua.network import OURS, FakePlane

FINGERPRINT = ":".join(["AB"] * 32)


@dataclass
class FakeTransport:
    """What is known of one transport."""

    tell: Callable[[TransportEvent], None]
    controlling: bool
    port: int
    generation: int = 1
    remotes: list[RemoteTransport] = field(default_factory=list)
    """All that was told of the peer, the latest at the end."""

    @property
    def remote(self) -> RemoteTransport:
        """What was told last."""
        return self.remotes[-1]


class FakeWebPlane(FakePlane):
    """Its transports have ports from 36000 on."""

    def __init__(self, pairs: int = 100) -> None:
        super().__init__(pairs)
        self.transports: dict[int, FakeTransport] = {}
        self.on: dict[int, int] = {}
        """The transport of each end of a browser."""

    def open_transport(self, tell: Callable[[TransportEvent], None], *, controlling: bool) -> int:
        if len(self.transports) >= self._pairs:
            raise MediaPortsExhausted("no port is free")
        handle = next(self._next)
        self.transports[handle] = FakeTransport(tell, controlling, 36000 + handle)
        return handle

    def describe_transport(self, transport: int) -> LocalTransport:
        known = self.transports[transport]
        return LocalTransport(
            ufrag=f"ours{transport}g{known.generation}",
            password=f"password{transport}generation{known.generation}".ljust(24, "x"),
            candidates=(f"1 1 udp 2130706431 {OURS} {known.port} typ host",),
            default=(OURS, known.port),
            fingerprint=("sha-256", FINGERPRINT),
        )

    def set_remote(self, transport: int, remote: RemoteTransport) -> None:
        self.transports[transport].remotes.append(remote)

    def restart(self, transport: int) -> None:
        self.transports[transport].generation += 1

    def close_transport(self, transport: int) -> None:
        assert transport not in {self.on[end] for end in self.open_ends if end in self.on}
        del self.transports[transport]

    def open_on(self, transport: int) -> int:
        assert transport in self.transports
        end = next(self._next)
        self.open_ends.add(end)
        self.on[end] = transport
        return end

    def local(self, end: int) -> Address:
        assert end not in self.on
        return super().local(end)

    def source_of(self, end: int) -> tuple[int, str]:
        return 1000 + end, f"cname{end}"

    def when_gathered(self, ufrag: str, then: Callable[[tuple[str, ...]], None]) -> None:
        then(())

    @property
    def only(self) -> FakeTransport:
        """The one transport that there is."""
        (transport,) = self.transports.values()
        return transport


def _is_a_web_plane(plane: FakeWebPlane) -> WebMediaPlane:
    return plane
