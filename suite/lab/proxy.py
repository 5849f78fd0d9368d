"""
How a SIP Server of the lab passes messages on (RFC 3261, section 16).

It is a stateless proxy that stays on the path of dialogs: what a request needs on its way back,
its flow too, stands in the Via that is put on it, and a copy or a CANCEL gets the branch of its
INVITE again. So nothing is lost where one of the pair dies and the other goes on. Unlike the
proxy of section 16.11 it says 100 to each INVITE at once, as the servers do that it stands for.

In Record-Route stands the name of the pair, never one server's address: whoever survives is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import parse_number
from b2bua.sip.headers import BRANCH_COOKIE, Via
from b2bua.sip.hop import DATAGRAM, Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.uri import SipUri
from suite.lab.registry import user_of
from suite.lab.site import Site, hop_to

MAX_FORWARDS = 70
_FLOW = "flow"


@dataclass(frozen=True, slots=True)
class Passed:
    """A message and where it goes next; ``request`` is what it answers, if it is ours."""

    message: Message
    hop: Hop


class Proxy:
    """
    One server's way with messages that are neither for it nor for the registrar.

    ``sent_by`` gives host and port of its Via. ``life`` tells one life of the server from the
    next: connections of an earlier one are gone.
    """

    def __init__(self, site: Site, sent_by: Callable[[Hop], str], life: Callable[[], int]) -> None:
        self._site = site
        self._sent_by = sent_by
        self._life = life

    # Requests.

    def request(self, request: Request, hop: Hop, now: float) -> list[Passed]:
        """Pass a request on, or answer it. Raises ParseError."""
        if request.max_forwards == 0:
            return self._refuse(request, hop, 483)
        passed = self._copy(request)
        self._drop_own_routes(passed)
        found = self._next(passed, now)
        if isinstance(found, int):
            return self._refuse(request, hop, found)
        if request.method == "INVITE" and not request.to.tag:
            passed.prepend("Record-Route", f"<sip:{self._site.domain};lr>")
        passed.prepend("Via", self._via(request, hop, found))
        before = [Passed(request.response(100), hop)] if request.method == "INVITE" else []
        return [*before, Passed(passed, found)]

    def _refuse(self, request: Request, hop: Hop, status: int) -> list[Passed]:
        if request.method == "ACK":
            return []
        return [Passed(request.response(status, to_tag=_digest(request, "to")), hop)]

    def _copy(self, request: Request) -> Request:
        copy = Request(request.method, request.uri, request.headers, request.body)
        left = MAX_FORWARDS if request.max_forwards is None else request.max_forwards - 1
        copy.replace("Max-Forwards", left)
        return copy

    def _drop_own_routes(self, request: Request) -> None:
        routes = request.route
        own = 0
        while own < len(routes) and self._site.is_ours(routes[own].uri):
            own += 1
        if own:
            request.replace("Route", *routes[own:])

    def _next(self, request: Request, now: float) -> Hop | int:
        """Where a request goes next, or the status that refuses it."""
        if request.route:
            uri = request.route[0].uri
            if isinstance(uri, SipUri) and not uri.loose:
                return 502
            return hop_to(uri) or 404
        if not self._site.is_ours(request.uri):
            return hop_to(request.uri) or 404
        place = self._site.place(user_of(request.uri), now)
        if place is None:
            return 481 if request.to.tag else 404
        request.uri, found = place
        return found

    def _via(self, request: Request, came: Hop, to: Hop) -> str:
        flow = f"{self._life()}-{came.flow}"
        branch = BRANCH_COOKIE + _digest(request, "via")
        return f"SIP/2.0/{to.transport} {self._sent_by(to)};branch={branch};rport;{_FLOW}={flow}"

    # Responses.

    def response(self, response: Response) -> Passed | None:
        """Pass a response on along its Vias; None where it is not ours to pass on."""
        vias = response.vias
        if len(vias) < 2 or (vias[0].host, vias[0].port or 5060) not in self._site.servers:
            return None
        passed = Response(response.status, response.reason, response.headers, response.body)
        passed.replace("Via", *response.get_all("Via")[1:])
        return Passed(passed, self._hop_back(vias[0], vias[1]))

    def _hop_back(self, ours: Via, theirs: Via) -> Hop:
        port = theirs.rport or theirs.port or 5060
        flow = self._flow_of(ours)
        return Hop(theirs.transport or DATAGRAM, theirs.received or theirs.host, port, flow)

    def _flow_of(self, via: Via) -> int:
        life, _, flow = via.parameters.get(_FLOW, "").partition("-")
        try:
            return parse_number(flow) if life == str(self._life()) else 0
        except ParseError:
            return 0


def _digest(request: Request, purpose: str) -> str:
    """What a request has in common with its copies, its CANCEL and the ACK of its refusal."""
    via = request.via
    words = [purpose, via.branch, via.sent_by, request.call_id, request.from_.tag]
    words.append(str(request.cseq.number))
    return blake2b("\n".join(words).encode(errors="replace"), digest_size=9).hexdigest()
