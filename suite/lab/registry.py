"""
The registrar of the lab (RFC 3261, section 10.3): one store of bindings for both servers.

Whatever server a REGISTER comes to, both know it at once, nonces and counts too: so does a pair
that keeps its contacts in step. Path, GRUU and outbound are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from b2bua.sip.digest import Algorithm
from b2bua.sip.digest_server import DigestServer, NotAuthenticated
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import SipUri, Uri

MOST_CONTACTS = 8
"""Of one DN."""
MOST_DNS = 20_000


@dataclass(frozen=True, slots=True)
class Binding:
    """One Contact of one DN."""

    dn: str
    contact: SipUri
    hop: Hop
    """Where calls for it go; any connection there will do."""
    server: str
    """The server that took the latest REGISTER."""
    call_id: str
    sequence: int
    expires_at: float
    said: str
    """The Contact as it is shown: URI only."""


class Registry:
    """The bindings, and who may make them: whoever proves the lab's password for the DN."""

    def __init__(
        self,
        realm: str,
        password: str,
        longest: int,
        key: bytes,
        random: Callable[[int], bytes],
    ) -> None:
        algorithms = (Algorithm.SHA_256, Algorithm.MD5)
        self._digest = DigestServer(realm, key, random, algorithms=algorithms)
        self._realm = realm
        self._password = password
        self._longest = longest
        self._bindings: dict[str, dict[str, Binding]] = {}

    def register(
        self,
        request: Request,
        server: str,
        way: Callable[[Uri, Hop], Hop | None],
        hop: Hop,
        now: float,
    ) -> Response:
        """Answer a REGISTER. ``way`` says where a Contact leads. Raises ParseError."""
        dn = user_of(request.to.uri)
        refusal = self.challenge(request, dn, now)
        if refusal is not None:
            return refusal
        self._forget_expired_of(dn, now)
        if request.contact_is_wildcard:
            if request.expires != 0 or self._is_out_of_order(dn, request):
                return request.response(400)
            self._bindings.pop(dn, None)
            return self._success(request, dn, now)
        status = self._take(request, dn, server, way, hop, now)
        return self._success(request, dn, now) if status == 200 else request.response(status)

    def challenge(self, request: Request, dn: str, now: float) -> Response | None:
        """What a request is refused with that does not prove to be of this DN; None if it does."""
        try:
            user = self._digest.authenticate(request, self._secret, now)
        except NotAuthenticated as wanting:
            return request.response(401, None, self._digest.challenges(now, stale=wanting.stale))
        return None if user == dn else request.response(403)

    def _secret(self, username: str, algorithm: Algorithm) -> str:
        return algorithm.secret(username, self._realm, self._password)

    def _is_out_of_order(self, dn: str, request: Request) -> bool:
        kept = self._bindings.get(dn, {}).values()
        return any(
            binding.call_id == request.call_id and binding.sequence > request.cseq.number
            for binding in kept
        )

    def _take(
        self,
        request: Request,
        dn: str,
        server: str,
        way: Callable[[Uri, Hop], Hop | None],
        hop: Hop,
        now: float,
    ) -> int:
        """Make, renew or end the bindings that a REGISTER names: all or none."""
        if self._is_out_of_order(dn, request):
            return 500
        kept = dict(self._bindings.get(dn, {}))
        for contact in request.contacts:
            uri = contact.uri
            to = way(uri, hop)
            seconds = self._granted(request, contact)
            if seconds == 0:
                kept.pop(_key(uri), None)
                continue
            if not isinstance(uri, SipUri) or to is None:
                return 403
            kept[_key(uri)] = Binding(
                *(dn, uri, to, server, request.call_id, request.cseq.number),
                expires_at=now + seconds,
                said=str(uri),
            )
        if len(kept) > MOST_CONTACTS or not self._has_room_for(dn, now):
            return 503
        self._bindings[dn] = kept
        if not kept:
            del self._bindings[dn]
        return 200

    def _has_room_for(self, dn: str, now: float) -> bool:
        if dn not in self._bindings and len(self._bindings) >= MOST_DNS:
            self.forget_expired(now)
        return dn in self._bindings or len(self._bindings) < MOST_DNS

    def _granted(self, request: Request, contact: NameAddr) -> int:
        wanted = contact.expires
        if wanted is None:
            wanted = request.expires
        return self._longest if wanted is None else min(wanted, self._longest)

    def _success(self, request: Request, dn: str, now: float) -> Response:
        contacts = [
            ("Contact", f"<{binding.contact}>;expires={max(1, round(binding.expires_at - now))}")
            for binding in self._bindings.get(dn, {}).values()
        ]
        return request.response(200, None, contacts)

    def binding(self, dn: str, now: float) -> Binding | None:
        """The binding of a DN that was made or renewed last."""
        live = [b for b in self._bindings.get(dn, {}).values() if b.expires_at > now]
        return max(live, key=lambda binding: binding.expires_at, default=None)

    def bindings(self, now: float) -> list[Binding]:
        """Everything that is registered."""
        self.forget_expired(now)
        return [binding for kept in self._bindings.values() for binding in kept.values()]

    def forget_expired(self, now: float) -> None:
        """Drop what has run out."""
        for dn in list(self._bindings):
            self._forget_expired_of(dn, now)

    def _forget_expired_of(self, dn: str, now: float) -> None:
        kept = self._bindings.get(dn, {})
        for key, binding in list(kept.items()):
            if binding.expires_at <= now:
                del kept[key]
        if not kept:
            self._bindings.pop(dn, None)


def user_of(uri: Uri) -> str:
    """The DN that a URI names, or ""."""
    return uri.user_text if isinstance(uri, SipUri) else ""


def _key(uri: Uri) -> str:
    """Contacts are the same that differ in nothing but parameters of no consequence."""
    if not isinstance(uri, SipUri):
        return str(uri)
    return f"{uri.user_text}@{uri.host}:{uri.port or ''};{uri.transport}"
