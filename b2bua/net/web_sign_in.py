"""
Signing in: at once, or when the SIP Server has judged the password that a page brings.

Where only the SIP Server knows a DN's password, the answer waits for what it says of the REGISTER,
so that a wrong one is told to whoever has typed it. It waits for ``WAIT`` seconds: a SIP Server
that is slow, or is not there, keeps nobody from signing in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import Request
from twisted.web.server import NOT_DONE_YET

from b2bua.gateway.errors import SignInRefusal
from b2bua.gateway.gateway import Verdict
from b2bua.gateway.session import Session
from b2bua.net.web_access import Client
from b2bua.net.web_answers import COOKIE, content, sentence, vouch

if TYPE_CHECKING:
    from b2bua.net.web import WebInterface

WAIT: Final = 3.0
_RETRY_AFTER: Final = b"10"
_REGISTERED: Final = frozenset({0, 200})


class _Held:
    """A sign-in whose session is there, and whose answer is not."""

    __slots__ = ("client", "delayed", "request", "session")

    def __init__(self, session: Session, request: Request, client: Client) -> None:
        self.session = session
        self.request = request
        self.client = client
        self.delayed: IDelayedCall | None = None


class SignIns:
    """Those of one interface."""

    def __init__(self, web: WebInterface) -> None:
        self._web = web
        self._held: dict[Session, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def answer(self, request: Request, user: str, password: str, client: Client) -> bytes | int:
        """Sign a page in, and answer it, now or later."""
        web = self._web
        try:
            session = web.gateway.sign_in(user, password, client.host, web.now())
        except SignInRefusal as error:
            return refused(request, error)
        web.pump()
        if web.gateway.verdict(session) is not Verdict.AWAITED:
            return self._judged(session, request, client)
        held = self._held[session] = _Held(session, request, client)
        held.delayed = web.clock.callLater(WAIT, self._finish, held)
        request.notifyFinish().addErrback(lambda _: self._drop(held))
        return NOT_DONE_YET

    def judged(self, dn: str) -> None:
        """The SIP Server has said something of a DN: answer those that wait for it."""
        for held in [each for each in self._held.values() if each.session.user == dn]:
            if self._web.gateway.verdict(held.session) is not Verdict.AWAITED:
                self._finish(held)

    def stop(self) -> None:
        """Answer all of them."""
        for held in list(self._held.values()):
            self._finish(held)

    def _finish(self, held: _Held) -> None:
        if self._drop(held):
            held.request.write(self._judged(held.session, held.request, held.client))
            held.request.finish()

    def _drop(self, held: _Held) -> bool:
        """Let one go; whether it was still held."""
        if held.delayed is not None and held.delayed.active():
            held.delayed.cancel()
        return self._held.pop(held.session, None) is not None

    def _judged(self, session: Session, request: Request, client: Client) -> bytes:
        web = self._web
        if web.gateway.verdict(session) is Verdict.REFUSED:
            error = web.gateway.refuse(session, web.now())
            web.pump()
            return refused(request, error)
        if session.register_status not in _REGISTERED or session.is_over:
            web.gateway.end(session, "not-registered", web.now())
            web.pump()
            return sentence(request, 503, "Not signed in: not registered.")
        vouch(request, session)
        request.responseHeaders.addRawHeader(b"set-cookie", _cookie(session.sid, client))
        # The old client reads the first line only.
        rings = "no" if session.is_anonymous else "yes"
        return content(request, 200, f"{COOKIE}={session.sid}\nrings={rings}\n")


def refused(request: Request, error: SignInRefusal) -> bytes:
    """Say why nobody is signed in."""
    if error.status == 503:
        request.setHeader(b"retry-after", _RETRY_AFTER)
    return sentence(request, error.status, f"Not signed in: {error.reason}.")


def _cookie(sid: str, client: Client) -> bytes:
    scope = "SameSite=None; Secure" if client.is_secure else "SameSite=Lax"
    return f"{COOKIE}={sid}; Path=/; HttpOnly; {scope}".encode()
