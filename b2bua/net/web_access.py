"""
Who may use the HTTP interface: networks, proxies before us, and origins of pages (CORS).

The whitelist is ``domain-whitelist`` (see ``b2bua.origins``). An origin that is allowed is echoed
with credentials, which the old client sends; one that is not gets no word that its page can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from twisted.web.http import Request

from b2bua.origins import Origins
from b2bua.settings import GatewaySettings, Network

_READING: Final = frozenset({b"GET", b"HEAD"})
_LONGEST_ORIGIN: Final = 512
_MOST_PROXIES: Final = 16


class Judgement(Enum):
    """What a request's origin is."""

    ECHOED = "echoed"
    """Its page may read the answer, and send credentials."""
    OPEN = "open"
    """No page of another site asks, or one without an origin: readable, without credentials."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, as the first proxy that we believe says."""

    host: str
    is_secure: bool


class Access:
    """The rules, and what of an answer's header they make."""

    def __init__(self, settings: GatewaySettings, origins: Iterable[str]) -> None:
        listed = tuple(origins)
        self._settings = settings
        self._has_list = bool(listed)
        self._origins = Origins(listed)

    def client(self, request: Request) -> Client:
        """Who asks, and whether over HTTPS."""
        host = str(getattr(request.getClientAddress(), "host", ""))
        is_secure = request.isSecure()
        address = _address(host)
        if address is None or not _is_in(address, self._settings.proxies):
            return Client("" if address is None else str(address), is_secure)
        said = (request.getHeader("x-forwarded-proto") or "").strip().lower()
        return Client(self._behind(request, str(address)), is_secure or said == "https")

    def _behind(self, request: Request, host: str) -> str:
        """The last address that no proxy of ours has: what is before it anybody may have said."""
        fields = request.requestHeaders.getRawHeaders(b"x-forwarded-for") or []
        rows = [field.decode("latin-1") for field in fields]
        listed = [part.strip() for row in rows for part in row.split(",")]
        for part in reversed(listed[-_MOST_PROXIES:]):
            address = _address(part)
            if address is None:
                return host
            host = str(address)
            if not _is_in(address, self._settings.proxies):
                break
        return host

    def allows(self, client: Client) -> bool:
        """Whether anybody at this address may use the interface."""
        networks = self._settings.networks
        if not networks:
            return True
        address = _address(client.host)
        return address is not None and _is_in(address, networks)

    def judge(self, request: Request, client: Client) -> Judgement:
        """Judge the origin of a request to the interface."""
        origin = origin_of(request)
        if not self._has_list:
            return Judgement.ECHOED if origin not in ("", "null") else Judgement.OPEN
        if is_same_origin(request, client, origin):
            return Judgement.ECHOED if origin else Judgement.OPEN
        allowed = bool(origin) and self._origins.allows(origin)
        return Judgement.ECHOED if allowed else Judgement.REFUSED

    def believes_cookie(self, request: Request, client: Client) -> bool:
        """
        Whether a cookie alone says whose request it is.

        Without a list pages of every site may ask, and a browser sends the cookie with what they
        ask. Where the URL may name the session a page that means its own says so there.
        """
        if self._has_list or not self._settings.sid_from_url:
            return True
        fetched = request.getHeader("sec-fetch-site")
        if fetched is not None:
            return fetched != "cross-site"
        origin = origin_of(request)
        return not origin or origin.lower() == _own_origin(request, client)


def origin_of(request: Request) -> str:
    """The origin of the page that asks, or ""."""
    origin = (request.getHeader("origin") or "").strip()
    fits = len(origin) <= _LONGEST_ORIGIN and origin.isascii() and origin.isprintable()
    return origin if fits else "null"


def is_same_origin(request: Request, client: Client, origin: str) -> bool:
    """
    Whether a page of this very host asks. Pages cannot set any of these header fields themselves.

    Over plain HTTP a name proves nothing: whoever owns it can have it lead here after his page
    has come from elsewhere. There browsers say neither an origin nor Sec-Fetch-Site with a GET of
    the page's own host, but where the page is. A page can keep that back, and name no other one.
    """
    fetched = request.getHeader("sec-fetch-site")
    if fetched is not None:
        return fetched == "same-origin"
    own = _own_origin(request, client)
    if request.getHeader("origin") is None and request.method in _READING:
        is_own = (request.getHeader("referer") or "").lower().startswith(f"{own}/")
    else:
        is_own = origin.lower() == own
    return is_own and (client.is_secure or _is_here(request.getHeader("host") or ""))


def _own_origin(request: Request, client: Client) -> str:
    """The origin of pages of the host that is asked, as it was named."""
    scheme = "https" if client.is_secure else "http"
    return f"{scheme}://{request.getHeader('host') or ''}".lower()


def _is_here(host: str) -> bool:
    """Whether what a Host header has can lead to one place only: an address, or localhost."""
    return _address(host) is not None or host.lower().partition(":")[0] == "localhost"


def set_cors(request: Request, judgement: Judgement) -> None:
    """Say in an answer who may read it."""
    headers = request.responseHeaders
    headers.setRawHeaders("vary", ["Origin"])
    if judgement is Judgement.ECHOED:
        headers.setRawHeaders("access-control-allow-origin", [origin_of(request)])
        headers.setRawHeaders("access-control-allow-credentials", ["true"])
    elif judgement is Judgement.OPEN:
        headers.setRawHeaders("access-control-allow-origin", ["*"])


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """An address, IPv4 also where it is mapped, without zone, or with a port behind it."""
    text = host.partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
