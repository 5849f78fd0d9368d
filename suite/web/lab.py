"""
The lab over HTTP: ``/lab`` for people, ``/api/lab/`` for that page and for the command line.

``GET status`` is the live picture, ``POST command`` with ``{"words": [...]}`` does something, and
``GET ladder/CALL.svg`` draws a call. Whatever is refused is answered with ``{"error": sentence}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server

from suite.lab.errors import LabError
from suite.lab.gateway import Gateway, GatewaySnapshot
from suite.lab.ladder import ladder
from suite.lab.status import LabStatus
from suite.lab.status_text import status_text
from suite.lab.trace import Trace, TracedCall
from suite.web.lab_access import Refusal, why_not_change, why_not_here, why_not_read
from suite.web.site import Page, StaticFile, content, plain

MOST_BODY = 4096
MOST_WORDS = 16
LONGEST_WORD = 128
OTHERS = "others"
"""The name, in an address, of the messages that belong to no call."""

_log = Logger()


class Lab(Protocol):
    """What is asked of the lab itself."""

    @property
    def trace(self) -> Trace:
        """The messages of the last calls."""

    def status(self) -> LabStatus:
        """Tell how everything in it is. Raises LabError while it does not run."""

    def command(self, words: Sequence[str]) -> str | Deferred[str]:
        """Do what a person typed and say what was done. Raises LabError with a sentence."""


class LabWeb:
    """The lab's pages. ``gateway`` tells what the B2BUA thinks, None where there is none."""

    def __init__(self, lab: Lab, gateway: Gateway | None = None) -> None:
        self._lab = lab
        self._gateway = gateway

    def page(self, document: StaticFile) -> Page:
        """The page for people."""
        return _Document(document)

    def api(self) -> Page:
        """The tree of ``/api/lab``, made anew for each site that has it."""
        root = Page()
        root.putChild(b"status", _Status(self))
        root.putChild(b"command", _Command(self))
        root.putChild(b"ladder", _Ladders(self))
        return root

    def picture(self) -> dict[str, object]:
        """Everything that is shown, fit for JSON."""
        snapshot, trace = self._snapshot(), self._lab.trace
        return {
            "lab": self._lab.status().plain(),
            "gateway": snapshot.plain() if snapshot else None,
            "ladders": [_entry(each) for each in (*trace.calls(), trace.others())],
        }

    def command(self, words: Sequence[str]) -> str | Deferred[str]:
        """Do what a person typed; what ``status`` says comes from here, as both views do."""
        if list(words) == ["status"]:
            return status_text(self._lab.status(), self._snapshot())
        return self._lab.command(words)

    def ladder(self, name: str) -> str | None:
        """Draw a call, or what belongs to none; None if there is no such call."""
        trace = self._lab.trace
        if name == OTHERS:
            return ladder(trace.others(), self._headings(), latest=True)
        call = trace.call(name)
        return None if call is None else ladder(call, self._headings())

    def _snapshot(self) -> GatewaySnapshot | None:
        return self._gateway.snapshot() if self._gateway else None

    def _headings(self) -> dict[str, str]:
        snapshot, status = self._snapshot(), self._lab.status()
        gateway = {address: "gateway" for address in snapshot.addresses} if snapshot else {}
        servers = {each.name: f"SIP Server {each.name}" for each in status.servers}
        phones = {each.name: f"{each.name} phone" for each in status.phones}
        return {**gateway, **servers, **phones}


def _entry(call: TracedCall) -> dict[str, object]:
    return {
        "name": call.name or OTHERS,
        "title": call.title,
        "messages": len(call.messages),
        "latest": call.messages[-1].at if call.messages else 0.0,
    }


class _Document(Page):
    """The page, for this machine only. A link from anywhere may lead to it: it changes nothing."""

    def __init__(self, document: StaticFile) -> None:
        super().__init__()
        self._document = document

    def answer(self, request: server.Request) -> bytes | int:
        refusal = why_not_here(request)
        return plain(request, *refusal) if refusal else self._document.answer(request)


class _Status(Page):
    """``status``: the live picture."""

    cache_control = b"no-store"

    def __init__(self, web: LabWeb) -> None:
        super().__init__()
        self._web = web

    def answer(self, request: server.Request) -> bytes | int:
        refusal = why_not_read(request)
        if refusal:
            return _refuse(request, refusal)
        try:
            return _json(request, self._web.picture())
        except LabError as error:
            return _refuse(request, (http.SERVICE_UNAVAILABLE, str(error)))


class _Ladders(Page):
    """``ladder/``: one drawing below it for each call that is kept."""

    def __init__(self, web: LabWeb) -> None:
        super().__init__()
        self._web = web

    def getChild(self, path: bytes, request: server.Request) -> Page:
        name = path.decode("ascii", "replace")
        return _Ladder(self._web, name.removesuffix(".svg")) if name.endswith(".svg") else Page()


class _Ladder(Page):
    """``ladder/CALL.svg``."""

    cache_control = b"no-store"

    def __init__(self, web: LabWeb, name: str) -> None:
        super().__init__()
        self._web = web
        self._name = name

    def answer(self, request: server.Request) -> bytes | int:
        refusal = why_not_read(request)
        if refusal:
            return _refuse(request, refusal)
        try:
            svg = self._web.ladder(self._name)
        except LabError as error:
            return _refuse(request, (http.SERVICE_UNAVAILABLE, str(error)))
        if svg is None:
            return _refuse(request, (http.NOT_FOUND, "No such call is kept."))
        return content(request, b"image/svg+xml", svg.encode())


class _Command(Page):
    """``command``: does what its words say."""

    cache_control = b"no-store"
    methods = (b"POST",)

    def __init__(self, web: LabWeb) -> None:
        super().__init__()
        self._web = web

    def answer(self, request: server.Request) -> bytes | int:
        refusal = why_not_change(request)
        if refusal:
            return _refuse(request, refusal)
        words = _words(request.content.read(MOST_BODY + 1) if request.content else b"")
        if words is None:
            sentence = f'A command is {{"words": [...]}}, with 1 to {MOST_WORDS} short words.'
            return _refuse(request, (http.BAD_REQUEST, sentence))
        doing = Deferred.fromCoroutine(self._do(request, words))
        doing.addErrback(lambda failure: _log.failure("The lab's answer", failure))
        return server.NOT_DONE_YET

    async def _do(self, request: server.Request, words: Sequence[str]) -> None:
        closed = _Closed(request)
        code, value = http.OK, {}
        try:
            value = {"text": await maybeDeferred(self._web.command, words)}
        except LabError as error:
            code, value = http.CONFLICT, {"error": str(error)}
        except Exception:
            _log.failure("A command of the lab")
            code = http.INTERNAL_SERVER_ERROR
            value = {"error": "The lab failed at this; the log tells why."}
        if not closed:
            request.write(_json(request, value, code))
            request.finish()


class _Closed:
    """True once the client has gone, who then gets no answer; what it asked for is done still."""

    def __init__(self, request: server.Request) -> None:
        self._closed = False
        request.notifyFinish().addErrback(self._note)

    def __bool__(self) -> bool:
        return self._closed

    def _note(self, _: Failure) -> None:
        self._closed = True


def _words(body: bytes) -> list[str] | None:
    try:
        value = json.loads(body) if len(body) <= MOST_BODY else None
    except (ValueError, RecursionError):
        return None
    words = value.get("words") if isinstance(value, dict) else None
    if not isinstance(words, list) or not 1 <= len(words) <= MOST_WORDS:
        return None
    return words if all(map(_is_word, words)) else None


def _is_word(word: object) -> bool:
    return isinstance(word, str) and 1 <= len(word) <= LONGEST_WORD and word.isprintable()


def _refuse(request: server.Request, refusal: Refusal) -> bytes:
    code, sentence = refusal
    return _json(request, {"error": sentence}, code)


def _json(request: server.Request, value: object, code: int = http.OK) -> bytes:
    request.setResponseCode(code)
    return content(request, b"application/json", json.dumps(value).encode() + b"\n")
