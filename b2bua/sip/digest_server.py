"""
Digest authentication, the server: who challenges, and whom to believe (RFC 7616; RFC 8760).
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

from b2bua.sip.digest import Algorithm, Proof, algorithm_of
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import Parameters, quote
from b2bua.sip.headers import Challenge, parse_credentials
from b2bua.sip.message import Request

NONCE_LIFETIME = 300.0
NONCE_LIMIT = 20_000
"""How many nonces in use are remembered; above, the oldest are stale before their time."""

_TIME_LENGTH = 5
_SALT_LENGTH = 7
_MAC_LENGTH = 12
_is_count = re.compile(r"[0-9A-Fa-f]{8}").fullmatch


class NotAuthenticated(Exception):
    """A request that must be challenged; ``reason`` is a fixed word, not for the peer's eyes."""

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stale = stale
        """The credentials prove the password, over a nonce that is of no use any more."""


class DigestServer:
    """
    Challenges for one realm, and judges the answers.

    A nonce proves by itself when it was made, by whom, and for which ``client``, a text that tells
    one from another: who sends a nonce that is not for it cannot have received ours, and so has
    proved nothing, not even that it is there. Its password is not looked at. Only nonces that were
    used with the right password are remembered, with their counts, so that nothing can be
    replayed. The URI in the credentials need not be that of the request: proxies change it
    (section 22.4).
    """

    def __init__(
        self,
        realm: str,
        key: bytes,
        random: Callable[[int], bytes],
        *,
        lifetime: float = NONCE_LIFETIME,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA_256, Algorithm.MD5),
        limit: int = NONCE_LIMIT,
    ) -> None:
        self._realm = realm
        self._key = key
        self._random = random
        self._lifetime = lifetime
        self._algorithms = tuple(algorithms)
        self._limit = limit
        self._counts: dict[str, int] = {}
        self._floor = -1

    def challenges(
        self, now: float, *, stale: bool = False, client: str = ""
    ) -> list[tuple[str, str]]:
        """The header fields of a 401, the preferred algorithm first (RFC 8760, section 2.3)."""
        time = int(now).to_bytes(_TIME_LENGTH, "big")
        nonce = self._nonce(time, self._random(_SALT_LENGTH), client)
        values = {"realm": quote(self._realm), "nonce": quote(nonce), "qop": quote("auth")}
        if stale:
            values["stale"] = "true"
        return [
            (
                "WWW-Authenticate",
                str(Challenge("Digest", Parameters(values | {"algorithm": algorithm.value}))),
            )
            for algorithm in self._algorithms
        ]

    def authenticate(
        self,
        request: Request,
        secret_of: Callable[[str, Algorithm], str | None],
        now: float,
        *,
        client: str = "",
    ) -> str:
        """
        Return the user name that a request proves, or raise NotAuthenticated.

        ``secret_of`` gives ``Algorithm.secret`` of a user, or None for one that there is not.
        """
        credentials = self._own_credentials(request)
        algorithm = algorithm_of(credentials)
        if algorithm is None or algorithm not in self._algorithms:
            raise NotAuthenticated("algorithm")
        proof = _proof(request.method, credentials)
        issued = self._time_of(proof.nonce, client)
        if issued is None:
            raise NotAuthenticated("nonce", stale=True)
        username = credentials.text("username") or ""
        secret = secret_of(username, algorithm)
        # Whoever asks for a user that there is not must wait as long as for one that there is.
        expected = proof.response(algorithm, secret or "")
        given = (credentials.text("response") or "").lower()
        if not hmac.compare_digest(given.encode(), expected.encode()) or secret is None:
            raise NotAuthenticated("password" if secret is not None else "user")
        self._use(proof, issued, now)
        return username

    def _own_credentials(self, request: Request) -> Challenge:
        reason = "missing"
        for row in request.get_rows("Authorization"):
            try:
                credentials = parse_credentials(row)
            except ParseError:
                reason = "malformed"
                continue
            if credentials.scheme.lower() == "digest" and credentials.text("realm") == self._realm:
                return credentials
            reason = "realm"
        raise NotAuthenticated(reason)

    def _use(self, proof: Proof, issued: int, now: float) -> None:
        """Use a nonce, with a password that is right; once per count, within its lifetime."""
        if issued <= self._floor or not 0 <= now - issued <= self._lifetime + 1:
            raise NotAuthenticated("stale", stale=True)
        count = int(proof.count, 16)
        if count <= self._counts.get(proof.nonce, 0):
            raise NotAuthenticated("replay", stale=True)
        self._counts[proof.nonce] = count
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        """Drop nonces that are stale by now; if there are too many, make the oldest stale."""
        while self._counts:
            oldest = next(iter(self._counts))
            issued = _time_in(urlsafe_b64decode(oldest))
            if len(self._counts) > self._limit:
                self._floor = max(self._floor, issued)
            elif now - issued <= self._lifetime + 1:
                return
            del self._counts[oldest]

    def _nonce(self, time: bytes, salt: bytes, client: str) -> str:
        text = f"{self._realm}\n{client}".encode(errors="surrogateescape")
        mac = hmac.digest(self._key, time + salt + text, "sha256")[:_MAC_LENGTH]
        return urlsafe_b64encode(time + salt + mac).decode()

    def _time_of(self, nonce: str, client: str) -> int | None:
        """When a nonce was made, or None if it is not one of ours for this client."""
        try:
            data = urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        time, salt = data[:_TIME_LENGTH], data[_TIME_LENGTH:-_MAC_LENGTH]
        if not hmac.compare_digest(nonce.encode(), self._nonce(time, salt, client).encode()):
            return None
        return _time_in(data)


def _time_in(data: bytes) -> int:
    return int.from_bytes(data[:_TIME_LENGTH], "big")


def _proof(method: str, credentials: Challenge) -> Proof:
    """What credentials claim to prove; all parts of the qop "auth" must be there."""
    nonce, uri, count, client_nonce, qop = (
        credentials.text(name) or "" for name in ("nonce", "uri", "nc", "cnonce", "qop")
    )
    if qop.lower() != "auth" or not (nonce and uri and client_nonce) or not _is_count(count):
        raise NotAuthenticated("malformed")
    return Proof(method, uri, nonce, count, client_nonce)
