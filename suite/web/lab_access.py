"""
Who may use the lab: a person, or a program, on this machine, and our own page in its browser.

Any page that a person has open can send requests to ports of this machine. A request is therefore
believed only if it comes over the loopback interface, from nobody's proxy, for a loopback name
(another name led here by its owner's DNS is refused), and, as far as the browser tells, from a
page of this origin. What changes something must besides be JSON by its type, which no form can
send, and which a page of another origin may not send without asking first; asking is refused.
"""

from __future__ import annotations

import ipaddress

from twisted.web import http, server

from suite.web.site import requested_host

Refusal = tuple[int, str]
"""Status code and sentence."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_NOT_LOCAL: Refusal = (http.FORBIDDEN, "The lab is for this machine only.")
_OTHER_NAME: Refusal = (
    http.FORBIDDEN,
    "The lab answers for localhost only. Open it as http://localhost:PORT/lab",
)
_OTHER_SITE: Refusal = (http.FORBIDDEN, "Only the lab's own page may ask for this.")
_NOT_JSON: Refusal = (http.UNSUPPORTED_MEDIA_TYPE, "Commands come as application/json.")


def why_not_here(request: server.Request) -> Refusal | None:
    """Check where a request comes from and by which name; None if it is welcome."""
    if not is_loopback(getattr(request.getClientAddress(), "host", "")):
        return _NOT_LOCAL
    if any(request.requestHeaders.hasHeader(name) for name in _FORWARDED):
        return _NOT_LOCAL
    hosts = field_values(request, b"host")
    host = requested_host(hosts[0]) if len(hosts) == 1 else None
    if host is None or not (host.lower() == "localhost" or is_loopback(host)):
        return _OTHER_NAME
    return None


def why_not_read(request: server.Request) -> Refusal | None:
    """Check a request that only looks."""
    refusal = why_not_here(request)
    if refusal is not None:
        return refusal
    if request.getHeader("sec-fetch-site") not in (None, "same-origin", "none"):
        return _OTHER_SITE
    return None if _is_own_origin(request) else _OTHER_SITE


def why_not_change(request: server.Request) -> Refusal | None:
    """Check a request that does something."""
    refusal = why_not_read(request)
    if refusal is not None:
        return refusal
    if request.getHeader("sec-fetch-site") not in (None, "same-origin"):
        return _OTHER_SITE
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    return None if kind == "application/json" else _NOT_JSON


def field_values(request: server.Request, name: bytes) -> list[str]:
    """All values of a header field, whatever bytes they have."""
    found = request.requestHeaders.getRawHeaders(name) or []
    return [value.decode("latin-1") for value in found]


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine only; names are not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_own_origin(request: server.Request) -> bool:
    origins = field_values(request, b"origin")
    if not origins:
        # A browser names the origin of whatever is not a plain GET of its own; a program does not.
        return True
    host = (request.getHeader("host") or "").strip().lower()
    scheme = "https" if request.isSecure() else "http"
    return [origin.strip().lower() for origin in origins] == [f"{scheme}://{host}"]
