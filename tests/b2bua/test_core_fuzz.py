"""Whatever peers and strangers send in the middle of a call, the core stays up and forgets it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import ParseError
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.message import Message
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import (
    InDialogRequest,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    UsageEvent,
)
from b2bua.sip.usage_states import Exchange, UsageState
from tests import fewer
from tests.b2bua.hostility import FORM, STRANGER, Mutation, fates, mutations
from tests.b2bua.network import OURS, PHONE, SERVER_A, Network, Peer, sdp
from tests.sip import torture

pytestmark = pytest.mark.hypothesis

BEGINNINGS: Final = (
    (),
    ("register",),
    ("register", "call", "answer"),
    ("register", "call", "ring"),
    ("register", "call offerless", "answer"),
    ("register", "call reliable", "early"),
    ("register", "called", "answer"),
    ("register", "called reliable", "early"),
    ("echo",),
)
"""What goes well before the first message is tampered with."""
ACTIONS: Final = (
    *("register", "call", "call offerless", "call reliable", "called", "called reliable", "echo"),
    *(
        "ring",
        "early",
        "answer",
        "answer",
        "change",
        "ask",
        "hold",
        "talk",
        "info",
        "digits",
        "bye",
    ),
    *("cancel", "reject", "replace", "switch", "wait", "long", "late", "close", "fail"),
)


class HostileNetwork(Network):
    """Lets some of what peers send arrive changed, twice, late, or from elsewhere."""

    def __init__(self) -> None:
        self.fates: Iterator[dict[str, object]] = iter(())
        self._late: list[tuple[Hop, bytes]] = []
        super().__init__()
        for name in ("receive", "handle_timeout", "hop_failed", "flow_closed"):
            setattr(self.core, name, _telling(getattr(self.core, name)))
        for peer in (self.a, self.phone):
            peer.agent.profile = Profile(session_expires=0, allow_events=("talk", "hold"))
        self.after = _respond

    def send(self, source: Hop, target: Hop, message: Message) -> None:
        """Put a message on the wire, or what became of it."""
        if target.host != OURS:
            super().send(source, target, message)
            return
        fate = next(self.fates, {})
        data = message.render()
        for mutation in fate.get("mutations", ()):  # type: ignore[attr-defined]
            data = mutation(data)
        hop = Hop("UDP", str(fate.get("source", source.host)), source.port)
        if "late" in fate:
            self._late.append((hop, data))
        else:
            for _ in range(1 + int(str(fate.get("copies", 0)))):
                self.put(hop, data)
        if "as_well" in fate:
            self.put(source, message.render())

    def put(self, hop: Hop, data: bytes) -> None:
        """Let bytes arrive at the core, if they are a message at all."""
        try:
            message = parse_datagram(data)
        except ParseError:
            return
        self.core.receive(message, hop, self.now)

    def let_come(self) -> None:
        """What was late arrives."""
        late, self._late = self._late, []
        for hop, data in late:
            self.put(hop, data)
        self.settle()


def _telling(function: Callable[..., None]) -> Callable[..., None]:
    """Let no fault of the core pass for one of a peer that was asked for the impossible."""

    def call(*given: object) -> None:
        try:
            function(*given)
        except Exception as error:
            raise AssertionError(f"the core raised {error!r}") from error

    return call


def _respond(peer: Peer, event: UsageEvent) -> None:
    """Accept every change, and answer what is asked."""
    usage = event.usage
    if isinstance(event, InDialogRequest):
        usage.respond(event.transaction, 200, peer.network.now)
    if isinstance(event, OfferReceived | OfferRequested):
        with contextlib.suppress(OutOfPlace):
            usage.accept(sdp(port=40002), peer.network.now, event.dialog)


def act(network: HostileNetwork, action: str) -> None:
    """Have a peer do something, if it is in a state to do it."""
    try:
        _act(network, action)
    except (OutOfPlace, StopIteration, TypeError, IndexError):
        # The peers' own state does not allow it: they are not what is tested.
        return
    finally:
        network.settle()


def _act(network: HostileNetwork, action: str) -> None:
    a, phone, now = network.a, network.phone, network.now
    invited = [p for p in (a, phone) if p.has(Invited)]
    usages = {e.usage: p for p in (a, phone) for e in p.events if e.usage.state < UsageState.ENDED}
    if action == "register":
        phone.register("1001")
    elif action.startswith("call ") or action == "call":
        body = b"" if action.endswith("offerless") else sdp()
        required = (("Require", "100rel"),) if action.endswith("reliable") else ()
        a.call("1001", body, headers=(*required, ("X-genesys-a", "b"), ("User-to-User", "00")))
    elif action.startswith("called"):
        required = (("Require", "100rel"),) if action.endswith("reliable") else ()
        phone.call("5000", sdp("198.51.100.7"), caller="1001", headers=required)
    elif action == "echo":
        a.call("7001", sdp())
    elif action in ("ring", "early"):
        invited[-1].called.ring(
            180 if action == "ring" else 183, now, sdp() if action == "early" else b""
        )
    elif action == "answer":
        session = invited[-1].called.session
        said = session is not None and session.exchange is Exchange.DONE
        invited[-1].called.answer(now, b"" if said else sdp(port=40010))
    elif action == "reject":
        invited[-1].called.reject(486, now)
    elif action == "wait":
        network.advance(0.6)
    elif action == "long":
        network.advance(40)
    elif action == "late":
        network.let_come()
    elif action == "switch":
        a.works, network.b.works = network.b.works, a.works
    elif action == "close":
        network.core.flow_closed(phone.hop, now)
    elif action == "fail":
        network.core.hop_failed(a.hop, now)
    elif action == "replace":
        usage = next(iter(usages))
        dialog = usage.dialogs[0]
        tags = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
        a.call("1001", sdp(), headers=(("Replaces", tags),))
    else:
        usage = list(usages)[-1]
        _within(usage, action, now)


def _within(usage: InviteClientUsage, action: str, now: float) -> None:
    if action == "change":
        usage.modify(lambda: sdp(version=2, direction="sendonly"), now)
    elif action == "ask":
        usage.modify(None, now)
    elif action in ("hold", "talk"):
        usage.notify(action, now, dialog=usage.sessions()[0].dialog)
    elif action == "info":
        usage.info([FORM], b"a=b&c=%0d%0a", now)
    elif action == "digits":
        usage.info([("Content-Type", "application/dtmf-relay")], b"Signal=1\r\n", now)
    elif action == "cancel":
        usage.cancel(now)
    else:
        usage.bye(now)


def is_quiet(network: Network) -> bool:
    """Whether nothing is left of any call once its peers have been silent for long."""
    for peer in network.peers.values():
        peer.works = False
    network.core.calls.hang_up_all(network.now)
    network.settle()
    network.advance(200)
    return network.is_clean()


class CoreFuzzTests(SynchronousTestCase):
    """Calls over a hostile network."""

    @fewer(2)
    @given(
        st.sampled_from(BEGINNINGS),
        st.lists(st.sampled_from(ACTIONS), max_size=12),
        st.lists(fates, max_size=24),
    )
    def test_hostile_messages_end_in_nothing(
        self, beginning: tuple[str, ...], actions: list[str], tampered: list[dict[str, object]]
    ) -> None:
        """No message raises, and 200 s after the last call no table has an entry left."""
        network = HostileNetwork()
        for action in beginning:
            act(network, action)
        network.fates = iter(tampered)
        for action in actions:
            act(network, action)
        self.assertTrue(is_quiet(network))

    @fewer(2)
    @given(
        st.sampled_from(sorted(torture.names("rfc4475"))),
        st.lists(mutations, max_size=3),
        st.sampled_from([STRANGER, PHONE, SERVER_A]),
    )
    def test_torture_messages_end_in_nothing(
        self, name: str, changes: list[Mutation], host: str
    ) -> None:
        """So it is with the messages of RFC 4475, as they are and with faults."""
        network = HostileNetwork()
        data = torture.read("rfc4475", name)
        for change in changes:
            data = change(data)
        network.put(Hop("UDP", host, 5060), data)
        network.settle()
        self.assertTrue(is_quiet(network))
