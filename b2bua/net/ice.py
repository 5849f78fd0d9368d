"""
ICE of one transport (RFC 8445): its agents, one after another, over the same sockets.

An ICE restart makes a second agent beside the first. Media go on over the first one's pair until
the second has one (RFC 8445, section 9); then the first only answers checks for a while. Checks
are told apart by the ufrag in them. No datagram is read or written here: ``receive`` takes those
that begin like STUN, and bases send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aioice import stun

from b2bua.media_plane import LocalTransport, RemoteTransport
from b2bua.net.ice_agent import IceAgent, IceBase, IceTerms, Path, local_ufrag, read_message
from b2bua.net.ice_candidates import Address, make_candidate
from b2bua.net.ice_gathering import Arrival, Gathering, IceServers, RelayedBase

MOST_BEFORE = 2
"""Agents of before restarts that have led nowhere yet, and as many that only answer."""


class Ice:
    """
    All agents of one transport.

    ``changed`` is called, never from within a method, when ``path`` or ``selected`` may have
    changed. ``arrived`` takes what comes in at a relayed address.
    """

    def __init__(
        self,
        bases: Sequence[IceBase],
        terms: IceTerms,
        servers: IceServers,
        *,
        controlling: bool,
        external: Mapping[str, str],
        changed: Callable[[], None],
        arrived: Arrival,
    ) -> None:
        self.ignored = 0
        """STUN messages that nobody asked for, or that prove nothing."""
        self._bases = list(bases)
        self._terms = terms
        self._external = external
        self._tell = changed
        self._timers: list[asyncio.TimerHandle] = []
        self._gathering = Gathering(terms.loop, servers, self._bases, arrived, self._relayed)
        self._current = self._make(controlling)
        self._is_told = True
        """Whether the peer may know of the newest agent's credentials."""
        self._before: list[IceAgent] = []
        """Those of before restarts that have led nowhere yet, the newest first."""
        self._retired: list[IceAgent] = []

    # What our SDP says

    def describe(self, fingerprint: tuple[str, str]) -> LocalTransport:
        """Say what our SDP has of the newest agent, and of the addresses of this machine."""
        self._is_told = True
        hosts = [base for base in self._bases if base.kind == "host"]
        first = next((base for base in hosts if ":" not in base.address[0]), hosts[0])
        return LocalTransport(
            ufrag=self._current.local_username,
            password=self._current.local_password,
            candidates=tuple(
                make_candidate(base.kind, self._outside(base), base.preference).to_sdp()
                for base in hosts
            ),
            default=self._outside(first),
            fingerprint=fingerprint,
        )

    def has_ufrag(self, ufrag: str) -> bool:
        """Whether an agent of ours has it."""
        return any(agent.local_username == ufrag for agent in self._agents)

    def when_gathered(self, then: Callable[[tuple[str, ...]], None]) -> None:
        """Call with the candidates beside those of this machine; after a second with what is."""
        told = {self._outside(base) for base in self._bases if base.kind == "host"}

        def done() -> None:
            found = self._gathering.candidates
            then(tuple(one.to_sdp() for one in found if (one.host, one.port) not in told))

        self._gathering.when_done(done, self._terms.times.gathering)

    # What the peer's SDP says

    def set_remote(self, remote: RemoteTransport) -> bool:
        """Take credentials and candidates; tell whether an agent begins with them."""
        agent = self._agent_of(remote)
        begins = not agent.has_remote
        if begins:
            agent.begin(remote.ufrag, remote.password, is_lite=remote.is_lite)
        agent.add_candidates(remote.candidates)
        return begins

    def restart(self) -> None:
        """Take new credentials, unless we have some that no peer has heard of, or answered."""
        if self._current.has_remote and self._is_told:
            self._begin_anew()

    # Datagrams

    def receive(self, data: bytes, base: IceBase, source: Address) -> None:
        """Take a datagram that looks like STUN; one that is forged changes nothing."""
        message = read_message(data)
        if message is None:
            self.ignored += 1
        elif message.message_class == stun.Class.REQUEST:
            ufrag = local_ufrag(message)
            for agent in self._agents:
                if agent.local_username == ufrag:
                    agent.receive(message, base, source)
                    return
            self.ignored += 1
        elif not self._gathering.receive(message, source):
            for agent in self._agents:
                agent.receive(message, base, source)

    @property
    def selected(self) -> Path | None:
        """Where media go: the pair of the newest agent that has one."""
        for agent in self._agents:
            if agent.selected is not None:
                return agent.selected
        return None

    @property
    def path(self) -> Path | None:
        """
        Where a handshake may go already: the selected pair, or the best valid one.

        It is the newest agent's if that has any: another peer may have begun with it.
        """
        for agent in self._agents:
            if agent.selected is not None:
                return agent.selected
            paths = [] if agent.has_expired else agent.paths
            if paths:
                return paths[0]
        return None

    def is_authentic(self, path: Path) -> bool:
        """Whether a check that proves to be the peer's came that way."""
        return any(path in agent.authentic for agent in self._agents)

    def rest(self) -> None:
        """Check nothing any more."""
        for agent in self._agents:
            agent.rest()

    def close(self) -> None:
        """Stop everything; the sockets are somebody else's to close."""
        for timer in self._timers:
            timer.cancel()
        for agent in self._agents:
            agent.stop()
        self._gathering.close()

    @property
    def _agents(self) -> list[IceAgent]:
        return [self._current, *self._before, *self._retired]

    def _make(self, controlling: bool) -> IceAgent:
        return IceAgent(self._bases, self._terms, self._changed, controlling=controlling)

    def _agent_of(self, remote: RemoteTransport) -> IceAgent:
        """Return the agent with these credentials of the peer, or one that has none yet."""
        for agent in self._agents:
            if agent.knows(remote.ufrag, remote.password):
                return agent
        if self._current.has_remote:
            self._begin_anew()
            self._is_told = False
        return self._current

    def _begin_anew(self) -> None:
        self._before.insert(0, self._current)
        self._current = self._make(self._current.ice_controlling)
        # A peer may restart as often as it likes; media need the one that carries them.
        carrier = next((each for each in self._before if each.selected is not None), None)
        for agent in self._before[MOST_BEFORE:]:
            if agent is not carrier:
                agent.stop()
                self._before.remove(agent)

    def _changed(self) -> None:
        if self._current.selected is not None and self._before:
            self._retire()
        for base in self._bases:
            base.valid.clear()
        for agent in self._agents:
            for base, address in agent.paths:
                base.valid.add(address)
        self._tell()

    def _retire(self) -> None:
        """Let those of before only answer, and for a while."""
        agents, self._before = self._before, []
        for agent in agents:
            agent.selected = None
            agent.has_expired = False
            agent.rest()
        self._retired += agents
        for agent in self._retired[:-MOST_BEFORE]:
            agent.stop()
            self._retired.remove(agent)
        times = self._terms.times
        self._timers.append(self._terms.loop.call_later(times.retirement, self._forget, agents))

    def _forget(self, agents: list[IceAgent]) -> None:
        for agent in agents:
            if agent in self._retired:
                agent.stop()
                self._retired.remove(agent)
        self._changed()

    def _relayed(self, base: RelayedBase) -> None:
        self._bases.append(base)
        for agent in self._agents:
            agent.add_base(base)

    def _outside(self, base: IceBase) -> Address:
        host, port = base.address
        return self._external.get(host, host), port
