"""Whatever peers and strangers send in the middle of a call, the core stays up and forgets it."""

from __future__ import annotations

import contextlib
import re
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
from tests.b2bua.network import OURS, PHONE, SERVER_A, SERVER_B, Network, Peer, sdp
from tests.sip import torture

pytestmark = pytest.mark.hypothesis

Mutation = Callable[[bytes], bytes]

STRANGER: Final = "203.0.113.66"
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_LIST: Final = ["", ",", "a,,b", 'a"', "100rel", "timer", "replaces", "x, 100rel", "\\", "é"]
_NUMBER: Final = ["", "0", "1", "-1", "90", "2147483647", "4294967296", "9" * 25, "1;refresher=uac"]
_ADDRESS: Final = [
    "",
    "*",
    "<sip:x@127.0.0.1:9>",
    "<sip:192.0.2.1:5066>",
    "<sip:x@victim.example;transport=sctp>",
    "<sip:x@[::1]:5060;transport=tls>",
    "<sip:x@192.0.2.11;transport=a/b>;expires=1",
    "<sip:%0d%0aX:%20y@192.0.2.12;method=BYE?Route=%3Cx%3E>",
    "<sips:x@0.0.0.0:1>",
    "<tel:+1-2(3);x=y>",
    "<urn:service:sos>",
    '"a\\"b\\\\" <sip:1001@x;lr>;tag=',
    "sip:1001@x;tag=zz",
    "<sip:a;lr>, <sip:b>",
    "<sip:@x>",
]
HOSTILE: Final[dict[str, list[str]]] = {
    "Via": [
        "",
        "x",
        "a,,b",
        "SIP/2.0/UDP h;branch=z9hG4bK",
        "SIP/2.0/SCTP [::1]:1;rport;received=x",
    ],
    "From": _ADDRESS,
    "To": _ADDRESS,
    "Contact": _ADDRESS,
    "Route": _ADDRESS,
    "Record-Route": _ADDRESS,
    "Path": _ADDRESS,
    "P-Asserted-Identity": _ADDRESS,
    "Diversion": [*_ADDRESS, '<sip:x@y>;privacy="'],
    "History-Info": _ADDRESS,
    "Require": _LIST,
    "Supported": [*_LIST, "100rel, timer"],
    "Allow": [*_LIST, "UPDATE, INVITE, INFO"],
    "Allow-Events": [*_LIST, "talk, hold"],
    "CSeq": ["1 BYE", "0 INVITE", "2147483647 INVITE", "2147483647 INFO", "1 ACK", "1 NOTIFY", "x"],
    "Call-ID": ["", "x", "core1"],
    "Max-Forwards": _NUMBER,
    "Content-Length": _NUMBER,
    "Expires": _NUMBER,
    "Session-Expires": _NUMBER,
    "Min-SE": _NUMBER,
    "RSeq": _NUMBER,
    "Retry-After": [*_NUMBER, "5 (a"],
    "RAck": [*_NUMBER, "1 1 INVITE", "4294967295 4294967295 INVITE"],
    "Replaces": [
        "",
        "x",
        "x;to-tag=a;from-tag=b",
        "x;to-tag=;from-tag=",
        "core1;to-tag=core2;from-tag=a1",
    ],
    "Event": ["", "talk", "hold;x", "Talk", "refer", '"', "presence"],
    "Content-Type": [
        *("", "application/sdp", "text/plain", "application/dtmf-relay", FORM[1]),
        *("multipart/mixed", "multipart/mixed;boundary=x", 'multipart/mixed;boundary="\\""', "x/"),
    ],
    "Info-Package": ["", "x", "dtmf"],
    "Reason": [
        "",
        "SIP;cause=200",
        "Q.850;cause=x",
        'SIP;text="\\\x01"',
        "SIP;text=é",
        ",",
        'SIP;text="',
    ],
    "User-to-User": ["", "00;encoding=hex", '"\\\x01"', '"', "a b"],
    "Privacy": ["", "id", "none", "a;;b", "é"],
    "X-genesys-a": ["", "%0d%0aX: y", "%", "%ff", "%00", "é", "x" * 2000, '"\\\x01'],
    "X-Genesys-CallUUID": ["", "x"],
    "WWW-Authenticate": ["", "Digest", 'Digest realm="x", nonce="y"', "Basic realm=x"],
    "Warning": ["", "x"],
    "Timestamp": ["", "x"],
}
_SDP: Final = [
    *(
        b"v=1",
        b"o=",
        b"o=- 99999999999999999999 1 IN IP4 x",
        b"c=IN IP4 127.0.0.1",
        b"c=IN IP4 0.0.0.0",
    ),
    *(
        b"c=IN IP6 ::",
        b"c=IN IP4 192.0.2.1",
        b"c=IN IP4 224.0.0.1/127",
        b"c=IN IP4 victim.example",
        b"c=",
    ),
    *(
        b"m=audio 0 RTP/AVP 0",
        b"m=audio 65535 RTP/AVP 0",
        b"m=audio 9 RTP/AVP 8 8 8",
        b"m=audio 9/3 RTP/AVP 0",
    ),
    *(
        b"m=video 9 RTP/AVP 96",
        b"m=audio 70000 RTP/AVP 0",
        b"m=audio 9 RTP/SAVP 0",
        b"m=image 9 udptl t38",
    ),
    *(
        b"a=sendonly",
        b"a=inactive",
        b"a=recvonly",
        b"a=sendrecv",
        b"a=rtpmap:0",
        b"a=rtpmap:101 X/0",
        b"a=rtcp:1",
    ),
    *(
        b"a=rtcp:9 IN IP4 x",
        b"a=rtpmap:8 PCMU/8000",
        b"a=fmtp:101 0-15\r\na=x",
        b"t=",
        b"a=rtcp-mux",
        b"\xff",
    ),
]
_FRAGMENTS: Final = st.sampled_from(
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\0",
        b";",
        b",",
        b'"',
        b"\\",
        b"<",
        b">",
        b"%0d%0a",
        b"\xc3",
        b"%",
        b"@",
        b":",
    ]
) | st.binary(max_size=4)


@st.composite
def _line_changed(draw: st.DrawFn) -> Mutation:
    """A header field, perhaps one more of its name, has a value that nobody expects."""
    name = draw(st.sampled_from(sorted(HOSTILE)))
    value = draw(st.sampled_from(HOSTILE[name]))
    line = f"{name}: {value}".encode()
    is_more = draw(st.booleans())

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [
            it for it in lines if is_more or not it.lower().startswith(name.lower().encode() + b":")
        ]
        return b"\r\n".join([*kept, line]) + gap + body

    return change


@st.composite
def _tagged(draw: st.DrawFn) -> Mutation:
    """A header field that is there gets something appended."""
    at = draw(st.integers(1, 20))
    more = draw(
        st.sampled_from([";tag=x", ";x", ",", ", <sip:y@z>", ";", ";expires=0", '"', ";tag=", " "])
    )

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        at_line = at % len(lines)
        lines[at_line] += more.encode()
        return b"\r\n".join(lines) + gap + body

    return change


@st.composite
def _spliced(draw: st.DrawFn) -> Mutation:
    """Bytes are put in, taken out or repeated."""
    place, cut, middle = draw(st.floats(0, 1)), draw(st.integers(0, 9)), draw(_FRAGMENTS)

    def change(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + middle + data[at + cut :]

    return change


@st.composite
def _described_otherwise(draw: st.DrawFn) -> Mutation:
    """A line of the body is another; Content-Length says so."""
    line, place = draw(st.sampled_from(_SDP)), draw(st.floats(0, 0.99))
    is_more = draw(st.booleans())

    def change(data: bytes) -> bytes:
        head, gap, body = data.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")
        at = int(place * len(lines))
        lines[at : at + (not is_more)] = [line]
        body = b"\r\n".join(lines)
        return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + gap + body

    return change


@st.composite
def _status_changed(draw: st.DrawFn) -> Mutation:
    """A response has another status, a request another method."""
    status = draw(
        st.sampled_from(
            [100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 481, 487, 491, 500, 503, 600]
        )
    )
    method = draw(
        st.sampled_from(["ACK", "BYE", "CANCEL", "INFO", "NOTIFY", "PRACK", "REFER", "UPDATE", "X"])
    )

    def change(data: bytes) -> bytes:
        if data.startswith(b"SIP/2.0 "):
            return b"SIP/2.0 %d" % status + data[11:]
        old = data.partition(b" ")[0]
        return re.sub(
            rb"(CSeq: \d+ )" + old, rb"\1" + method.encode(), method.encode() + data[len(old) :]
        )

    return change


mutations: Final = st.one_of(
    _line_changed(),
    _line_changed(),
    _tagged(),
    _spliced(),
    _described_otherwise(),
    _status_changed(),
)
fates: Final = st.fixed_dictionaries(
    {},
    optional={
        "mutations": st.lists(mutations, min_size=1, max_size=2),
        "copies": st.integers(0, 2),
        "source": st.sampled_from([STRANGER, PHONE, SERVER_A, SERVER_B, OURS]),
        "as_well": st.just(True),
        "late": st.just(True),
    },
)
"""What becomes of one message on its way to the core."""

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
        self, beginning: tuple[str, ...], actions: list[str], fates: list[dict[str, object]]
    ) -> None:
        """No message raises, and 200 s after the last call no table has an entry left."""
        network = HostileNetwork()
        for action in beginning:
            act(network, action)
        network.fates = iter(fates)
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
