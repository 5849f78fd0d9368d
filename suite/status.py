"""
Health and metrics over plain HTTP, on an address of their own that is not for the public.

``/ping`` is the guide's; ``/health/live`` asks whether to restart the process, ``/health/ready``
whether to send it clients.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.web import http, server
from twisted.web.resource import Resource

from suite.metrics import CONTENT_TYPE, Metrics
from suite.unit import Health
from suite.web.connections import PageSite
from suite.web.site import LabPages

LONGEST_LAG = 1.0
_IDLE_TIMEOUT = 15


class Readiness(Protocol):
    """Where the status pages get their answers."""

    @property
    def ready(self) -> bool:
        """Whether clients may be sent here."""

    @property
    def draining(self) -> bool:
        """Whether the process is on its way out."""

    def health(self) -> dict[str, tuple[bool, Health]]:
        """Each unit's name, whether it is required, and how it is."""


class Page(Resource):
    """One answer, made anew for each request; nothing below it."""

    isLeaf = True

    def __init__(self, answer: Callable[[], tuple[int, str, bytes]]) -> None:
        """``answer`` gives status code, content type and body."""
        super().__init__()
        self._answer = answer

    def render(self, request: server.Request) -> bytes:
        """Answer GET and HEAD only."""
        if request.method in (b"GET", b"HEAD"):
            return self.render_GET(request)
        request.setResponseCode(http.NOT_ALLOWED)
        request.setHeader(b"allow", b"GET, HEAD")
        return b""

    def render_GET(self, request: server.Request) -> bytes:
        code, content_type, body = self._answer()
        request.setResponseCode(code)
        request.setHeader(b"content-type", content_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        return body


class Folder(Resource):
    """Leads to pages, and says in a word what is not there."""

    def getChild(self, path: bytes, request: server.Request) -> Resource:
        return Page(lambda: (http.NOT_FOUND, "text/plain; charset=utf-8", b"not found"))


class StatusSite(PageSite):
    """A site without an access log: a scrape every few seconds is no news."""

    noisy = False


def status_site(
    readiness: Readiness,
    metrics: Metrics,
    lag: Callable[[], float],
    clock: IReactorTime,
    metrics_path: str = "/metrics",
    lab: LabPages | None = None,
) -> StatusSite:
    """
    Make the site. ``lag`` is the reactor's worst delay of late, in seconds.

    With ``lab`` its addresses are here, too: the command line asks them.
    """
    root = Folder()
    if lab is not None:
        api = Folder()
        root.putChild(b"api", api)
        api.putChild(b"lab", lab.api())
    _put(root, "/ping", lambda: (http.OK, "text/plain; charset=utf-8", b"up"))
    _put(root, "/health/live", lambda: _live(lag()))
    _put(root, "/health/ready", lambda: _ready(readiness))
    _put(root, metrics_path, lambda: (http.OK, CONTENT_TYPE, metrics.render()))
    return StatusSite(root, timeout=_IDLE_TIMEOUT, reactor=clock)


def _live(lag: float) -> tuple[int, str, bytes]:
    code = http.OK if lag < LONGEST_LAG else http.SERVICE_UNAVAILABLE
    return _json(code, {"live": code == http.OK, "reactor_lag_seconds": round(lag, 4)})


def _ready(readiness: Readiness) -> tuple[int, str, bytes]:
    ready = readiness.ready
    units = {
        name: {"ok": health.ok, "required": required, "detail": health.detail}
        for name, (required, health) in readiness.health().items()
    }
    body = {"ready": ready, "draining": readiness.draining, "units": units}
    return _json(http.OK if ready else http.SERVICE_UNAVAILABLE, body)


def _json(code: int, value: object) -> tuple[int, str, bytes]:
    return code, "application/json", json.dumps(value, indent=1).encode() + b"\n"


def _put(root: Resource, path: str, answer: Callable[[], tuple[int, str, bytes]]) -> None:
    *folders, last = [part.encode() for part in path.split("/") if part]
    for folder in folders:
        below = root.children.get(folder)
        if below is None:
            below = Folder()
            root.putChild(folder, below)
        root = below
    root.putChild(last, Page(answer))
