"""
The core of the B2BUA with two SIP Servers and phones around it, in memory, at a set time.

Servers and phones are user agents of the same stack: what is tested here is what lies between
them. Messages travel as bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from ipaddress import ip_network
from itertools import count
from typing import TypeVar

from b2bua.call_events import Event, Fault
from b2bua.core import B2bua, Randomness
from b2bua.dial_numbers import parse_dial_numbers
from b2bua.media_plane import Address, MediaPortsExhausted, StreamCounters, StreamTerms
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import (
    B2buaSettings,
    MediaSettings,
    PhoneSettings,
    ServerSettings,
    SipAddress,
)
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import RequestReceived, ResponseReceived, Send
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import parse_uri
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    Established,
    InDialogRequest,
    Invitation,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    UsageEvent,
)
from b2bua.sip.user_agent import UserAgent
from b2bua.upstreams import Server
from tests.sip.exchanges import counted

E = TypeVar("E")
OURS, SERVER_A, SERVER_B, PHONE = "192.0.2.1", "192.0.2.11", "192.0.2.12", "198.51.100.7"
_FOLLOWED = (OfferReceived, OfferRequested, AnswerReceived, InDialogRequest)
_KEPT = ("INVITE", "NOTIFY", "INFO", "BYE", "CANCEL")


def sdp(
    host: str = "203.0.113.5",
    port: int = 40000,
    *,
    codecs: str = "0 8",
    direction: str = "sendrecv",
    version: int = 1,
    address: str = "",
    more: str = "",
) -> bytes:
    """A description of one audio medium."""
    return (
        f"v=0\r\no=peer 77 {version} IN IP4 {host}\r\ns=-\r\n"
        f"c=IN IP4 {address or host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codecs}\r\na={direction}\r\n{more}"
    ).encode()


class FakePlane:
    """Remembers what it is told."""

    def __init__(self, pairs: int = 100) -> None:
        self.terms: dict[int, StreamTerms] = {}
        self.joined: list[tuple[int, int]] = []
        self.open_ends: set[int] = set()
        self.pictures: list[int] = []
        """Ends whose peer was to be asked for one."""
        self.count = StreamCounters()
        """What every end has moved."""
        self._pairs = pairs
        self._next = count(1)

    def open(self) -> int:
        if len(self.open_ends) >= self._pairs:
            raise MediaPortsExhausted("no pair is free")
        end = next(self._next)
        self.open_ends.add(end)
        return end

    def local(self, end: int) -> Address:
        return OURS, 9000 + 2 * end

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        assert end in self.open_ends
        self.terms[end] = terms

    def join(self, first: int, second: int) -> None:
        self.joined.append((first, second))

    def ask_for_picture(self, end: int) -> None:
        assert end in self.open_ends
        self.pictures.append(end)

    def counters(self, end: int) -> StreamCounters:
        return self.count

    def close(self, end: int) -> StreamCounters:
        self.open_ends.remove(end)
        return self.count

    @property
    def free_pairs(self) -> int:
        return self._pairs - len(self.open_ends)


class Peer:
    """A SIP Server or a phone: a user agent at one address, which a test drives."""

    def __init__(self, network: Network, name: str, host: str, profile: Profile | None) -> None:
        self.network = network
        self.name = name
        self.hop = Hop("UDP", host, 5060)
        self.ours = network.ours
        self.works = True
        self.events: list[UsageEvent] = []
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self.behave: Callable[[Request], int] = lambda request: 200
        self.challenge = 'Digest realm="net", nonce="n", algorithm=MD5'
        token = counted(name)
        self.table = TransactionTable(lambda hop: f"{host}:5060", token)
        self.agent = UserAgent(
            self.table,
            sent_by=lambda hop: f"{host}:5060",
            token=token,
            contact=lambda hop: parse_name_addr(f"<sip:{name}@{host}:5060>"),
            route=lambda uri, hop: hop,
            random_below=lambda bound: 0,
            profile=profile or Profile(session_expires=0),
        )

    def last(self, kind: type[E]) -> E:
        """The latest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def has(self, kind: type[UsageEvent]) -> bool:
        """Whether an event of a kind came."""
        return any(isinstance(event, kind) for event in self.events)

    def seen(self, method: str) -> list[Request]:
        """The requests of a method that came."""
        return [request for request in self.requests if request.method == method]

    @property
    def called(self) -> InviteServerUsage:
        """The latest session that was asked for here."""
        usage = self.last(Invited).usage
        assert isinstance(usage, InviteServerUsage)
        return usage

    def call(
        self,
        number: str,
        body: bytes = b"",
        caller: str = "5000",
        headers: tuple[tuple[str, str], ...] = (),
        max_forwards: int = 70,
    ) -> InviteClientUsage:
        """Ask for a session with a number."""
        from_ = parse_name_addr(f'"Caller" <sip:{caller}@sip.example.com>')
        usage = self.agent.invite(
            Invitation(
                parse_uri(f"sip:{number}@{OURS}:5066"),
                from_,
                parse_name_addr(f"<sip:{number}@sip.example.com>"),
                body,
                headers,
                max_forwards=max_forwards,
            ),
            self.ours,
            self.network.now,
        )
        self.network.settle()
        return usage

    def ask(self, method: str, uri: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Send a request outside any dialog; give its final response."""
        request = Request(
            method,
            parse_uri(uri),
            [
                ("Max-Forwards", 70),
                ("From", f"<sip:{self.name}@sip.example.com>;tag=f{len(self.responses)}"),
                ("To", f"<sip:{self.name}@sip.example.com>"),
                ("Call-ID", f"ask-{self.hop.host}-{len(self.responses)}"),
                ("CSeq", f"{len(self.responses) + 1} {method}"),
                *headers,
            ],
        )
        self.table.start(request, self.ours, self.network.now)
        self.network.settle()
        return self.responses[-1]

    def register(self, dn: str = "", headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Register with the B2BUA."""
        contact = ("Contact", f"<sip:{dn or self.name}@{self.hop.host}:5060>")
        return self.ask("REGISTER", f"sip:{OURS}:5066", (contact, ("Expires", "3600"), *headers))

    def receive(self, message: Message) -> None:
        """Take what the core has sent here."""
        self.agent.receive(message, self.ours, self.network.now)
        if isinstance(message, Request) and message.method in _KEPT:
            self.requests.append(message)

    def collect(self) -> None:
        """Put what this peer wants to send on the wire, and keep what it is told."""
        while outputs := self.agent.take_outputs():
            for output in outputs:
                if isinstance(output, Send):
                    self.network.send(self.hop, output.hop, output.message)
                elif isinstance(output, UsageEvent):
                    self.events.append(output)
                    if isinstance(output, _FOLLOWED):
                        self.network.after(self, output)
                elif isinstance(output, RequestReceived):
                    self._answer(output)
                elif isinstance(output, ResponseReceived) and not output.response.is_provisional:
                    self.responses.append(output.response)

    def _answer(self, output: RequestReceived) -> None:
        request = output.transaction.request
        self.requests.append(request)
        status = self.behave(request)
        contact = request.get("Contact")
        bound = [("Contact", f"{contact};expires=140")] if contact and status == 200 else []
        asked = [("WWW-Authenticate", self.challenge)] if status == 401 else []
        response = output.transaction.response(status, None, bound + asked)
        self.agent.respond(output.transaction, response, self.network.now)


class Network:
    """The core under test, its peers and the wires."""

    def __init__(self, **changes: object) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        self.expects_faults = False
        self.plane: FakePlane = changes.pop("plane", None) or FakePlane()  # type: ignore[assignment]
        self.ours = Hop("UDP", OURS, 5066)
        self.trace: list[tuple[str, str, Message]] = []
        self.flying: list[tuple[Hop, Hop, bytes]] = []
        self.after: Callable[[Peer, UsageEvent], None] = lambda peer, event: None
        token = counted("core")
        numbers = count(7)
        settings = dataclasses.replace(default_settings(), **changes)  # type: ignore[arg-type]
        self.core = B2bua(
            settings,
            self.plane,
            Randomness(
                token=token,
                below=lambda bound: next(numbers) % bound,
                fraction=lambda: 0.5,
                octets=lambda size: bytes(size),
            ),
            sent_by=lambda hop: f"{OURS}:5066",
            own_names=lambda: frozenset({f"{OURS}:5066"}),
            emit=self.tell,
            now=self.now,
            has_left=self.has_left,
        )
        self.a = Peer(self, "a", SERVER_A, None)
        self.b = Peer(self, "b", SERVER_B, None)
        self.phone = Peer(self, "1001", PHONE, None)
        self.peers = {peer.hop.host: peer for peer in (self.a, self.b, self.phone)}
        self.settle()

    def tell(self, event: Event) -> None:
        """Keep an event; a fault is one of the test, unless it is expected."""
        self.events.append(event)
        if isinstance(event, Fault) and not self.expects_faults:
            raise event.error

    def has_left(self, hop: Hop, now: float) -> bool:
        """Whether the page at a hop is gone."""
        return False

    def told(self, kind: type[E]) -> list[E]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def send(self, source: Hop, target: Hop, message: Message) -> None:
        """Put a message on the wire."""
        self.trace.append((source.host, target.host, message))
        self.flying.append((source, target, message.render()))

    def settle(self) -> None:
        """Let everything happen that happens without the clock."""
        self._collect()
        while self.flying:
            source, target, data = self.flying.pop(0)
            message = parse_datagram(data)
            if target.host == OURS:
                self.core.receive(message, source, self.now)
            elif (peer := self.peers.get(target.host)) is not None and peer.works:
                peer.receive(message)
            self._collect()

    def _collect(self) -> None:
        for peer in self.peers.values():
            if peer.works:
                peer.collect()
        for output in self.core.take_outputs():
            if isinstance(output, Send):
                self.send(self.ours, output.hop, output.message)

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self.now + seconds
        while True:
            agents = [peer.agent for peer in self.peers.values() if peer.works]
            moments = [agent.next_timeout() for agent in agents] + [self.core.next_timeout()]
            due = min((m for m in moments if m is not None), default=end + 1)
            if due > end:
                break
            self.now = max(self.now, due)
            self.core.handle_timeout(self.now)
            for agent in agents:
                agent.handle_timeout(self.now)
            self.settle()
        self.now = end

    def is_clean(self) -> bool:
        """Whether nothing of any call is left anywhere in the core."""
        core = self.core
        return not (
            len(core.calls)
            or core.calls.residue
            or len(core.agent)
            or len(core.agent.dialogs)
            or self.plane.open_ends
        )


def default_settings() -> B2buaSettings:
    """Two servers by address, phones without a password in one network, three echo DNs."""
    codecs = parse_codec_list("(pcmu,pcma,g722,telephone-event=101)")
    return B2buaSettings(
        listens=(SipAddress(transport="UDP", host=OURS, port=5066),),
        servers=ServerSettings(addresses=(Server(SERVER_A), Server(SERVER_B))),
        registered=parse_dial_numbers("1000-1999"),
        phones=PhoneSettings(networks=(ip_network("198.51.100.0/24"),)),
        media=MediaSettings(host=OURS, rules=CodecRules(codecs=codecs, transcoding=False)),
        echo=parse_dial_numbers("7001,7002,7003"),
        service_type="WebRTC",
    )


def described(message: Message) -> SessionDescription:
    """The session description of a message."""
    return parse(message.body)


__all__ = [
    "Ended",
    "Established",
    "Network",
    "Peer",
    "default_settings",
    "described",
    "sdp",
]
