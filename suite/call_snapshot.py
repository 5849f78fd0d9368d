"""
What the B2BUA thinks at one moment, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from b2bua.call import Call
from b2bua.call_legs import CallState
from b2bua.net.service import B2buaService
from b2bua.servers import ServerState
from b2bua.upstreams import State
from suite.lab.gateway import (
    MOST_CALLS,
    MOST_DNS,
    GatewayCall,
    GatewayServer,
    GatewaySnapshot,
)


class CallSnapshots:
    """Looks at the service that runs, if one does."""

    def __init__(self, service: Callable[[], B2buaService | None]) -> None:
        self._service = service

    def snapshot(self) -> GatewaySnapshot | None:
        """Tell it as of now; None while it does not run."""
        service = self._service()
        if service is None:
            return None
        core, now = service.core, service.now()
        servers = core.servers
        states = servers.states(now)
        active = next((each.server for each in states if each.is_active), "")
        return GatewaySnapshot(
            active=active,
            state="in use" if servers.state is State.ACTIVE else "all down",
            generation=servers.generation,
            servers=tuple(GatewayServer(address=s.server, state=_words(s)) for s in states),
            registered=servers.registered,
            dns=tuple(islice(servers.registered_dns(), MOST_DNS)),
            calls=tuple(_call(call, now) for call in islice(core.calls, MOST_CALLS)),
            call_count=len(core.calls),
            addresses=tuple(f"{host}:{port}" for _, host, port in service.transports.bound()),
        )


def _words(state: ServerState) -> str:
    if state.is_active:
        return "in use"
    return "down" if state.is_suspect else "spare"


def _call(call: Call, now: float) -> GatewayCall:
    held: list[str] = [leg.kind for leg in call.legs() if leg.media.session.hold.by_them]
    held += ["server"] if not held and call.is_worked else []
    held += ["gateway"] if not held and any(leg.media.by_us for leg in call.legs()) else []
    if call.state is not CallState.UP:
        state = "ringing" if call.has_rung else "calling"
    else:
        state = "held" if held else "talking"
    since = call.started_at if call.answered_at is None else call.answered_at
    return GatewayCall(
        id=call.id,
        caller=call.caller.number,
        callee=call.number,
        state=state,
        since=now - since,
        held_by=held[0] if held else "",
    )
