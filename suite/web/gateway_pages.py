"""
The gateway's addresses among the pages: sign in, wait, message, sign out, ping.

They belong to the B2BUA, which may be down, and is another one after it was restarted: each
request asks for the one that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from twisted.web import http, server
from twisted.web.resource import IResource, Resource, getChildForRequest

from b2bua.net.web_access import Access
from b2bua.net.web_pages import answer_preflight, judge_unserved

NAMES = (b"ping", b"sign_in", b"wait", b"message", b"sign_out")
"""First parts of paths, as the guide has them."""
HELD = b"wait"
OF_SIGNED_IN = frozenset({b"sign_in", b"message", b"sign_out"})
"""Where 200 says that the client has a session, or had one until now."""
_UNREAD = frozenset({http.BAD_REQUEST, http.REQUEST_ENTITY_TOO_LARGE})

Pages = Callable[[], Mapping[bytes, IResource] | None]
"""The addresses of the gateway that runs; None: none does."""
Unread = Callable[[server.Request], None]
"""Is told of each message that could not be read, once it has been answered."""
Trace = Callable[[server.Request, str], None]
"""Is told of each request, with the name of its address, before it is answered."""
RelayUser = Callable[[server.Request], str | None]
"""
Gives the id of the session that a request for ICE servers comes from, and says in the answer's head
who may read it; None where it comes from none, or from a page that may not have them.
"""


class Channel(Protocol):
    """The connection that a request came by, as far as it matters here."""

    def known(self) -> None:
        """The request's client has signed in."""

    def held(self) -> None:
        """The request's client, who has signed in, waits for something to be told."""


@dataclass(frozen=True, slots=True)
class GatewayDoor:
    """Where requests for the gateway go."""

    pages: Pages
    trace: Trace | None = None
    """None: nobody wants to know."""
    unread: Unread | None = None
    relay_user: RelayUser | None = None
    """None: sessions have no relay here."""
    access: Access | None = None
    """Whose pages may read that the gateway does not run; None: those of no other site."""


class GatewayPage(Resource):
    """One of the addresses, and what is below it."""

    isLeaf = True

    def __init__(self, name: bytes, door: GatewayDoor) -> None:
        super().__init__()
        self._name = name
        self._door = door

    def render(self, request: server.Request) -> bytes | int:
        """Let the gateway answer; without one say so."""
        if self._door.trace is not None:
            self._door.trace(request, self._name.decode("ascii"))
        page = (self._door.pages() or {}).get(self._name)
        if page is None:
            return self._unavailable(request)
        found: IResource = getChildForRequest(page, request)
        answer: bytes | int = found.render(request)
        channel = cast(Channel, request.channel)
        if answer == server.NOT_DONE_YET:
            if self._name == HELD:
                # A stranger's is answered at once, so whoever waits has signed in.
                channel.held()
            else:
                finished = request.notifyFinish()
                finished.addCallbacks(lambda _: self._answered(request, channel), lambda _: None)
            return answer
        self._answered(request, channel)
        return answer

    def _answered(self, request: server.Request, channel: Channel) -> None:
        """See what the answer says of who has asked."""
        if request.code == http.OK and self._name in OF_SIGNED_IN:
            channel.known()
        elif request.code in _UNREAD and self._name == b"message" and self._door.unread:
            self._door.unread(request)

    def _unavailable(self, request: server.Request) -> bytes:
        """Say that there is none; a browser that asks first is told so by the request itself."""
        request.responseHeaders.removeHeader(b"server")
        request.setHeader(b"cache-control", b"no-store")
        access = self._door.access
        methods = () if access is None else judge_unserved(request, self._name, access)
        return answer_preflight(request, methods) if methods else _say_unavailable(request)


def put_gateway(root: Resource, door: GatewayDoor) -> None:
    """Put the gateway's addresses below ``root``, in the place of what is there already."""
    for name in NAMES:
        root.putChild(name, GatewayPage(name, door))


def _say_unavailable(request: server.Request) -> bytes:
    body = b"The gateway does not run at present.\n"
    request.setResponseCode(http.SERVICE_UNAVAILABLE)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.setHeader(b"retry-after", b"5")
    return b"" if request.method == b"HEAD" else body
