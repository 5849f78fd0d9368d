"""
The addresses of the HTTP interface: ping, sign_in, wait, message and sign_out.

Queries and bodies are read raw: a page's ID may begin with a plus sign, and a body that is said to
be a form is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote_to_bytes

from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from b2bua.gateway.errors import Malformed, TooLarge, TooOften
from b2bua.gateway.kinds import kind_of
from b2bua.gateway.roap import LONGEST
from b2bua.gateway.session import Session
from b2bua.net.web_access import Access, Client, Judgement, origin_of, set_cors
from b2bua.net.web_answers import COOKIE, PLAIN, sentence, vouch

if TYPE_CHECKING:
    from b2bua.net.web import WebInterface

_SOON: Final = b"1"
_LONGEST_LOGIN: Final = 1024


class Leaf(Resource, ABC):
    """What the addresses share: who may ask, by which methods, and what every answer says."""

    isLeaf = True
    methods: ClassVar[tuple[bytes, ...]] = (b"GET",)
    longest_body: ClassVar[int] = 0

    def __init__(self, web: WebInterface) -> None:
        super().__init__()
        self.web = web

    def render(self, request: Request) -> bytes | int:
        """Check everything that is the same for all, then ``answer``."""
        request.responseHeaders.removeHeader(b"server")
        for name, value in _HEADERS:
            request.setHeader(name, value)
        access = self.web.access
        client = access.client(request)
        judgement = self.judge(request, client)
        set_cors(request, judgement)
        if not access.allows(client):
            return sentence(request, 403, "Not from this network.")
        if judgement is Judgement.REFUSED:
            return sentence(request, 403, "Not from this origin.")
        if getattr(request, "postpath", None):
            return sentence(request, 404, "There is nothing here.")
        if request.method == b"OPTIONS":
            return answer_preflight(request, self.methods)
        if request.method not in self.methods:
            request.setHeader(b"allow", b", ".join((*self.methods, b"OPTIONS")))
            return sentence(request, 405, "Not by this method.")
        if _is_too_large(request, self.longest_body):
            _close_after(request)
            return sentence(request, 413, "This is too long.")
        return self.answer(request, client)

    def judge(self, request: Request, client: Client) -> Judgement:
        """Judge the page that asks."""
        return self.web.access.judge(request, client)

    @abstractmethod
    def answer(self, request: Request, client: Client) -> bytes | int:
        """Answer a request that may be made."""

    def session(self, request: Request, name: str) -> Session | None:
        """The session of a request."""
        session = session_of(self.web, request, name)
        if session is not None:
            vouch(request, session)
        return session


class Ping(Leaf):
    """Says that the interface is there; for load balancers too, so of no origin."""

    methods = (b"GET", b"HEAD")

    def judge(self, request: Request, client: Client) -> Judgement:
        """Anybody may know."""
        return Judgement.OPEN

    def answer(self, request: Request, client: Client) -> bytes:
        """Say so."""
        return sentence(request, 200, "up")


class SignInPage(Leaf):
    """Begins a session: by GET with the bare ID for a query, by POST with ID:PASSWORD."""

    methods = (b"GET", b"POST")
    longest_body = _LONGEST_LOGIN

    def answer(self, request: Request, client: Client) -> bytes | int:
        """Give the session's id, in the answer and as a cookie."""
        user, password = _login(request)
        return self.web.sign_ins.answer(request, user, password, client)


class WaitPage(Leaf):
    """Brings one message, as soon as there is one."""

    def answer(self, request: Request, client: Client) -> bytes | int:
        """Hold the request."""
        session = self.session(request, "id")
        if session is None:
            return _unknown(request)
        self.web.hold(session, request)
        self.web.pump()
        return NOT_DONE_YET


class MessagePage(Leaf):
    """Takes one message of a page to, or about, a peer."""

    methods = (b"POST",)
    longest_body = LONGEST

    def answer(self, request: Request, client: Client) -> bytes:
        """Take it, copies too."""
        session = self.session(request, "from")
        if session is None:
            return _unknown(request)
        assert request.content is not None
        request.content.seek(0)
        web = self.web
        try:
            text = request.content.read().decode()
            web.gateway.post(session, read_query(request.uri).get("to", ""), text, web.now())
            web.received[kind_of(text)] += 1
        except UnicodeDecodeError:
            return self._refuse(request, 400, "malformed", "Not UTF-8.")
        except TooLarge as error:
            return self._refuse(request, 413, "too-large", f"Not taken: {error}.")
        except Malformed as error:
            return self._refuse(request, 400, "malformed", f"Not understood: {error}.")
        except TooOften:
            request.setHeader(b"retry-after", _SOON)
            return self._refuse(request, 429, "too-often", "Too many messages: a moment, please.")
        finally:
            web.pump()
        return sentence(request, 200, "")

    def _refuse(self, request: Request, status: int, reason: str, text: str) -> bytes:
        self.web.refused[reason] += 1
        return sentence(request, status, text)


class SignOutPage(Leaf):
    """Ends a session."""

    methods = (b"GET", b"POST")
    longest_body = _LONGEST_LOGIN

    def answer(self, request: Request, client: Client) -> bytes:
        """End it, and let its poll go."""
        session = self.session(request, "id")
        if session is None:
            return _unknown(request)
        self.web.gateway.sign_out(session, self.web.now())
        self.web.pump()
        return sentence(request, 200, "")


_HEADERS: Final = (
    (b"content-type", PLAIN),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


_LEAVES: Final[Mapping[bytes, type[Leaf]]] = {
    b"ping": Ping,
    b"sign_in": SignInPage,
    b"wait": WaitPage,
    b"message": MessagePage,
    b"sign_out": SignOutPage,
}


def pages(web: WebInterface) -> Mapping[bytes, IResource]:
    """The addresses, by name."""
    return {name: leaf(web) for name, leaf in _LEAVES.items()}


def answer_preflight(request: Request, methods: tuple[bytes, ...]) -> bytes:
    """Say by which methods an address may be asked, and to a browser what else it may send."""
    request.setHeader(b"allow", b", ".join((*methods, b"OPTIONS")))
    if is_preflight(request):
        request.setHeader(b"access-control-allow-methods", b", ".join(methods))
        request.setHeader(b"access-control-allow-headers", b"content-type, x-requested-with")
        request.setHeader(b"access-control-max-age", b"600")
    request.setResponseCode(204)
    return b""


def is_preflight(request: Request) -> bool:
    """Whether a browser asks on behalf of a page; load balancers may send OPTIONS too."""
    asked = request.getHeader("access-control-request-method")
    return request.method == b"OPTIONS" and asked is not None


def judge_unserved(request: Request, name: bytes, access: Access) -> tuple[bytes, ...]:
    """
    Say in the answer of a gateway that does not run whose page may read it.

    The methods that a browser may be told of, which asks before it sends the request; else none.
    """
    is_open = name == b"ping"
    judgement = Judgement.OPEN if is_open else access.judge(request, access.client(request))
    set_cors(request, judgement)
    may_ask = judgement is not Judgement.REFUSED and is_preflight(request)
    return _LEAVES[name].methods if may_ask else ()


def session_of(web: WebInterface, request: Request, name: str = "id") -> Session | None:
    """
    The session of a request, by its URL or by its cookie.

    The URL comes first: two tabs of a browser share one cookie, and each has its own URL.
    """
    sids = []
    if web.settings.sid_from_url:
        query = read_query(request.uri)
        sids = [query[key] for key in (name, "sid") if key in query]
    if not sids:
        cookie = request.getCookie(COOKIE.encode())
        if cookie is not None and web.access.believes_cookie(request, web.access.client(request)):
            sids.append(cookie.decode("latin-1"))
    return web.gateway.sessions.find(sids[0]) if sids else None


def judged_session(web: WebInterface, request: Request) -> Session | None:
    """
    The session of a request for what is not the interface's own, if its page may read that.

    Then the answer says so; without one nothing is said. A page whose origin is
    null has none of it, whatever session it names.
    """
    client = web.access.client(request)
    judgement = web.access.judge(request, client)
    if not web.access.allows(client) or judgement is Judgement.REFUSED:
        return None
    session = None if origin_of(request) == "null" else session_of(web, request)
    if session is not None and judgement is Judgement.ECHOED:
        set_cors(request, judgement)
    return session


def read_query(uri: bytes) -> dict[str, str]:
    """The pairs of a query, in which a plus sign is a plus sign; the first of each name."""
    found: dict[str, str] = {}
    for part in uri.partition(b"?")[2].decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        found.setdefault(name, _unescaped(value))
    return found


def _unescaped(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode(errors="replace")


def _login(request: Request) -> tuple[str, str]:
    if request.method == b"GET":
        return _unescaped(request.uri.partition(b"?")[2].decode("latin-1")), ""
    assert request.content is not None
    request.content.seek(0)
    user, _, password = request.content.read().decode(errors="replace").partition(":")
    return user.strip(), password.rstrip("\r\n")


def _unknown(request: Request) -> bytes:
    return sentence(request, 404, "There is no such session.")


def _close_after(request: Request) -> None:
    """End the connection with this answer."""
    request.setHeader(b"connection", b"close")
    request.channel.persistent = False


def _is_too_large(request: Request, longest: int) -> bool:
    if getattr(request, "is_too_large", False):
        return True
    if request.content is None or request.method == b"GET":
        return False
    request.content.seek(0, 2)
    size = int(request.content.tell())
    request.content.seek(0)
    return size > longest
