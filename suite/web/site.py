"""
The suite's pages over HTTP: the check page, its scripts, its ICE servers, and ``/ping``.

Nothing here asks another host for anything, and the policy sent with every answer forbids the
browser to. Requests carry no body that is looked at, so a large one ends the connection.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from importlib import resources
from typing import Protocol, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web import http, server
from twisted.web.resource import Resource

from suite.web.connections import IDLE_TIMEOUT, PageSite
from suite.web.gateway_pages import Channel, GatewayDoor, RelayUser, put_gateway
from suite.web.ice_servers import Offer

SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

Headers = tuple[tuple[bytes, bytes], ...]

PHONE_HEADERS: Headers = (
    (
        b"content-security-policy",
        dict(SECURITY_HEADERS)[b"content-security-policy"].replace(
            b"connect-src 'self'", b"connect-src 'self' http: https:"
        ),
    ),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=()"),
    (b"referrer-policy", b"same-origin"),
)
"""
The phone's page may use microphone and camera, and a person types whose gateway it talks to. Its
own gateway hears where it is: over plain HTTP a GET has nothing else that says so.
"""

LIBRARY = ("grtc.js", "grtc.mjs", "grtc.d.ts")
LIBRARY_HEADERS: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"cache-control", b"public, max-age=3600"),
)
"""The library is for applications of every site; it holds no secret."""

STATIC_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".mjs": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".ts": b"text/plain; charset=utf-8",
}

LAB_PLACE = b"<!-- lab -->"
"""Where the start page and the phone's lead to the lab, if there is one."""
LAB_LINK = b' \xc2\xb7 <a href="/lab">The lab: kill a SIP Server and watch</a>'

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")


class Page(Resource):
    """
    What all pages share: the security headers, GET and HEAD only unless one says otherwise, and
    404 below a leaf.

    The name of the server software is not told.
    """

    cache_control = b"no-cache"
    methods: tuple[bytes, ...] = (b"GET", b"HEAD")

    def getChild(self, path: bytes, request: server.Request) -> Resource:
        """Answer 404 for every path that nobody put here."""
        return Missing()

    def render(self, request: server.Request) -> bytes | int:
        """Check the method, set the headers, then ask ``answer`` for the content."""
        request.responseHeaders.removeHeader(b"server")
        for name, value in SECURITY_HEADERS:
            request.setHeader(name, value)
        request.setHeader(b"cache-control", self.cache_control)
        if getattr(request, "is_too_large", False):
            request.setHeader(b"connection", b"close")
            return plain(request, http.REQUEST_ENTITY_TOO_LARGE, "This is too long.")
        if request.method not in self.methods:
            request.setHeader(b"allow", b", ".join(self.methods))
            return plain(request, http.NOT_ALLOWED, self._what_it_is_for())
        return self.answer(request)

    def answer(self, request: server.Request) -> bytes | int:
        """
        Give the body; status and content type are set on ``request``.

        Or NOT_DONE_YET, by whoever finishes the request later.
        """
        return plain(request, http.NOT_FOUND, "There is no such page here.")

    def _what_it_is_for(self) -> str:
        if b"GET" in self.methods:
            return "This address is for reading only."
        return f"This address takes {b', '.join(self.methods).decode('ascii')} only."


def plain(request: server.Request, code: int, sentence: str) -> bytes:
    """Answer with a sentence and nothing of what the client sent."""
    request.setResponseCode(code)
    return content(request, b"text/plain; charset=utf-8", sentence.encode() + b"\n")


def content(request: server.Request, content_type: bytes, body: bytes) -> bytes:
    """Set type and length of ``body``; HEAD gets the headers only."""
    request.setHeader(b"content-type", content_type)
    request.setHeader(b"content-length", b"%d" % len(body))
    return b"" if request.method == b"HEAD" else body


class Missing(Page):
    """Every address that is not served."""

    cache_control = b"no-store"


class Ping(Page):
    """``/ping``: "up", for load balancers and for people."""

    cache_control = b"no-store"

    def answer(self, request: server.Request) -> bytes:
        """Say that the process serves pages."""
        return content(request, b"text/plain; charset=utf-8", b"up")


class StaticFile(Page):
    """One file of ours, kept in memory: the set is small, and no path of a request is opened."""

    def __init__(self, content_type: bytes, body: bytes) -> None:
        super().__init__()
        self._type = content_type
        self._body = body
        self._etag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode("ascii")

    def answer(self, request: server.Request) -> bytes:
        """Give the file, or 304 to a browser that has it."""
        if request.setETag(self._etag) is http.CACHED:
            return b""
        return content(request, self._type, self._body)

    def with_words(self, old: bytes, new: bytes) -> StaticFile:
        """The same file with some of its words changed; they must be there."""
        if old not in self._body:
            raise ValueError(f"{old!r} is not in this file")
        return StaticFile(self._type, self._body.replace(old, new))


class OpenedFile(Page):
    """A file with other headers than pages have: they are put over those."""

    def __init__(self, file: StaticFile, headers: Headers) -> None:
        super().__init__()
        self._file = file
        self._headers = headers

    def answer(self, request: server.Request) -> bytes | int:
        """Give the file."""
        for name, value in self._headers:
            request.setHeader(name, value)
        return self._file.answer(request)


class LabPages(Protocol):
    """What a lab shows, where there is one."""

    def page(self, document: StaticFile) -> Page:
        """The page for people, made of its file."""

    def api(self) -> Page:
        """The tree of ``/api/lab``."""


class IceServersPage(Page):
    """
    ``/api/ice-servers``: our relay's URLs with a credential made for this answer.

    A session at the gateway gets one of its own, wherever its page is that the gateway talks to.
    Of everybody else only our own page may ask: a browser that says the request comes from
    another site is refused, so no other site can use this address as its source of credentials.
    """

    cache_control = b"no-store"

    def __init__(
        self, offer: Offer, relay_user: RelayUser | None, *, is_for_strangers: bool = True
    ) -> None:
        super().__init__()
        self._offer = offer
        self._relay_user = relay_user
        self._is_for_strangers = is_for_strangers

    def answer(self, request: server.Request) -> bytes | int:
        """Give the JSON that the page fills its form from."""
        user_id = self._relay_user(request) if self._relay_user else None
        if user_id is not None:
            cast(Channel, request.channel).known()
        elif not self._is_for_strangers:
            return super().answer(request)
        elif request.getHeader("sec-fetch-site") not in (None, "same-origin", "none"):
            return plain(request, http.FORBIDDEN, "Only the check page itself may ask for this.")
        host = requested_host(request.getHeader("host"))
        if host is None:
            return plain(request, http.BAD_REQUEST, "The Host header is not a host name.")
        offered = self._offer(host) if user_id is None else self._offer(host, user_id)
        return content(request, b"application/json", json.dumps(offered.as_json()).encode())


def requested_host(header: str | None) -> str | None:
    """
    Take the host out of a Host header: a name or an IP address, without port and brackets.

    None if it is neither; what is returned is safe in a URL.
    """
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]{1,5})?", (header or "").strip())
    if match is None:
        return None
    host = match[1]
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return None
        return None if address.scope_id else address.compressed
    return host if _HOST_NAME.fullmatch(host) else None


def static_files() -> dict[str, StaticFile]:
    """Read the page's files, by name."""
    folder = resources.files("suite.web") / "static"
    files = {}
    for entry in folder.iterdir():
        if entry.is_file() and _suffix(entry.name) in STATIC_TYPES:
            files[entry.name] = StaticFile(STATIC_TYPES[_suffix(entry.name)], entry.read_bytes())
    return files


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _library() -> Page:
    """Make the tree of ``/jsapi``."""
    folder, root = resources.files("suite.jsapi"), Page()
    for name in LIBRARY:
        file = StaticFile(STATIC_TYPES[_suffix(name)], (folder / name).read_bytes())
        root.putChild(name.encode("ascii"), OpenedFile(file, LIBRARY_HEADERS))
    return root


def build_root(
    ice_servers: Offer,
    lab: LabPages | None = None,
    gateway: GatewayDoor | None = None,
) -> Page:
    """
    Make the tree of pages; other parts of the suite may put their own children on it.

    ``ice_servers`` is called with the host that the browser used, and with who asks. With ``lab``
    its page is there, and the start page leads to it; with ``gateway`` its addresses.
    """
    root, static, api = Page(), Page(), Page()
    relay_user = None if gateway is None else gateway.relay_user
    files = static_files()
    start, lab_page, phone = (files.pop(f"{name}.html") for name in ("index", "lab", "phone"))
    root.putChild(b"ping", Ping())
    root.putChild(b"static", static)
    root.putChild(b"api", api)
    api.putChild(b"ice-servers", IceServersPage(ice_servers, relay_user))
    if lab is not None:
        start, phone = (page.with_words(LAB_PLACE, LAB_LINK) for page in (start, phone))
        root.putChild(b"lab", lab.page(lab_page))
        api.putChild(b"lab", lab.api())
    root.putChild(b"", start)
    root.putChild(b"phone", OpenedFile(phone, PHONE_HEADERS))
    root.putChild(b"jsapi", _library())
    for name, file in files.items():
        static.putChild(name.encode("ascii"), file)
    if gateway is not None:
        put_gateway(root, gateway)
    return root


def build_gateway_root(gateway: GatewayDoor, ice_servers: Offer | None = None) -> Page:
    """
    Make the tree where the pages are off: the gateway's addresses and nothing else.

    ``ice_servers`` are for its sessions; None: there is no relay.
    """
    root = Page()
    put_gateway(root, gateway)
    if ice_servers is not None:
        api = Page()
        root.putChild(b"api", api)
        page = IceServersPage(ice_servers, gateway.relay_user, is_for_strangers=False)
        api.putChild(b"ice-servers", page)
    return root


def build_site(
    ice_servers: Offer,
    reactor: IReactorTime | None = None,
    lab: LabPages | None = None,
    gateway: GatewayDoor | None = None,
) -> server.Site:
    """Make the factory that speaks HTTP with whoever the listener says is a web client."""
    return site_of(build_root(ice_servers, lab, gateway), reactor)


def site_of(root: Page, reactor: IReactorTime | None = None) -> server.Site:
    """Make the factory for a tree of pages."""
    # No form is taken here, and what is said to be one may be something else.
    site = PageSite(root, timeout=IDLE_TIMEOUT, reactor=reactor, parsePOSTFormSubmission=False)
    return cast(server.Site, site)
