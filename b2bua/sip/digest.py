"""
Digest authentication: what both sides compute, and the client (RFC 3261, section 22; RFC 7616).

MD5, SHA-256 and SHA-512-256 with qop "auth", and without qop where a server is older than that.
Not here: the "-sess" variants, "auth-int" and userhash, none of which a SIP peer needs, and
Authentication-Info. Randomness is passed in; passwords are in no repr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import Parameters, is_quoted, quote
from b2bua.sip.headers import Challenge, CSeq, parse_challenge, parse_credentials
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response

NEVER_AUTHORIZED = frozenset({"ACK", "BYE", "CANCEL"})
"""
Methods that never carry an answer to a challenge. ACK and CANCEL cannot be challenged; a BYE is
what a callee would challenge to be given a hash to crack, and a call ends without it too.
"""
MAX_ATTEMPTS = 4
"""How often one request is tried again: for a proxy and a server, and for stale nonces of both."""
MAX_SPACES = 8
"""How many nonces one client remembers."""

_CREDENTIALS_OF = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}


class Algorithm(Enum):
    """A hash function, by its name on the wire."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"

    def hash(self, text: str) -> str:
        """The hash of a text, in hexadecimal digits."""
        data = text.encode(errors="surrogateescape")
        return hashlib.new(_HASHES[self], data, usedforsecurity=False).hexdigest()

    def secret(self, username: str, realm: str, password: str) -> str:
        """H(A1): what may be stored in place of a password, and is as good as it in its realm."""
        return self.hash(f"{username}:{realm}:{password}")


_HASHES = {
    Algorithm.MD5: "md5",
    Algorithm.SHA_256: "sha256",
    Algorithm.SHA_512_256: "sha512_256",
}
_BY_NAME = {algorithm.value.upper(): algorithm for algorithm in Algorithm}


def algorithm_of(challenge: Challenge) -> Algorithm | None:
    """The algorithm of a challenge or of credentials: MD5 where none is named, None if unknown."""
    return _BY_NAME.get((challenge.text("algorithm") or "MD5").upper())


@dataclass(frozen=True, slots=True)
class Proof:
    """What a response value is computed over, beside the secret (RFC 7616, section 3.4)."""

    method: str
    uri: str
    nonce: str
    count: str = ""
    """The nonce count as on the wire; "" for the form of RFC 2069, without qop."""
    client_nonce: str = ""

    def response(self, algorithm: Algorithm, secret: str) -> str:
        """The response value, in hexadecimal digits."""
        request = algorithm.hash(f"{self.method}:{self.uri}")
        if not self.count:
            return algorithm.hash(f"{secret}:{self.nonce}:{request}")
        return algorithm.hash(
            f"{secret}:{self.nonce}:{self.count}:{self.client_nonce}:auth:{request}"
        )


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a realm."""

    username: str
    password: str = field(repr=False)


class Unanswerable(Exception):
    """A challenge that gets no answer; ``reason`` is a fixed word, fit for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Space:
    """
    What is needed of a challenge, and how often its nonce has been used.

    There is one for each DN that is registered, so the challenge itself is not kept.
    """

    algorithm: Algorithm
    realm: str
    nonce: str
    header: str
    has_qop: bool
    has_algorithm: bool
    opaque: str | None
    is_stale: bool
    as_it_came: tuple[str, str] | None
    """Realm and nonce, where they were quoted in a way that is not ours."""
    used: int = 0


_SpaceKey = tuple[str, str, int, str, str]


class DigestClient:
    """
    Answers challenges for one account, and spares the next request the challenge.

    ``login_for`` is the policy: it says who we are to a realm at a server, or None, and then no
    hash ever goes there. ``token`` gives words that nobody can guess.
    """

    __slots__ = ("_login_for", "_spaces", "_token")

    def __init__(
        self, login_for: Callable[[str, Hop], Login | None], token: Callable[[], str]
    ) -> None:
        self._login_for = login_for
        self._token = token
        self._spaces: dict[_SpaceKey, _Space] = {}

    @property
    def has_challenge(self) -> bool:
        """Whether it has been asked for credentials that it has."""
        return bool(self._spaces)

    def authorize(self, request: Request, hop: Hop) -> None:
        """
        Put credentials on a request that is about to go over this hop, as far as is known.

        Credentials that were on it are replaced: a nonce count is used once.
        """
        for header in _CREDENTIALS_OF.values():
            request.remove(header)
        if request.method in NEVER_AUTHORIZED:
            return
        for key, space in self._spaces.items():
            login = self._login_for(space.realm, hop) if key[:3] == _place(hop) else None
            if login is not None:
                request.add(space.header, self._credentials(space, login, request))

    def withhold(self, request: Request, hop: Hop) -> None:
        """
        Take off the credentials that are not for whoever is at this hop.

        An ACK repeats those of its INVITE, but goes where the answer's Contact or Record-Route
        says: to somebody, perhaps, who would like to have a hash to crack.
        """
        for header in _CREDENTIALS_OF.values():
            rows = request.get_rows(header)
            kept = [row for row in rows if self._is_for(hop, row)]
            if len(kept) < len(rows):
                request.replace(header, *kept)

    def _is_for(self, hop: Hop, row: str) -> bool:
        realm = parse_credentials(row).text("realm") or ""
        return self._login_for(realm, hop) is not None

    def answer(
        self, request: Request, response: Response, hop: Hop, sequence: int, attempt: int = 0
    ) -> Request:
        """
        Give the request again with the answer to a 401 or 407, or raise Unanswerable.

        ``hop`` is where the request went, ``sequence`` the number of the new one, ``attempt`` how
        often it has been tried again. Nothing is answered twice for a realm and a nonce: where
        credentials made for that very challenge are refused, the password is wrong.
        """
        self.learn(request, response, hop, attempt)
        again = _again(request, sequence)
        self.authorize(again, hop)
        return again

    def learn(self, request: Request, response: Response, hop: Hop, attempt: int = 0) -> None:
        """
        Take a 401 or 407 for the next request, which ``authorize`` will prepare.

        Raises Unanswerable where that would change nothing, as ``answer`` does.
        """
        if request.method in NEVER_AUTHORIZED:
            raise Unanswerable("method")
        if attempt >= MAX_ATTEMPTS:
            raise Unanswerable("attempts")
        for space in self._answerable(request, response, hop):
            self._remember(space, hop)

    def _answerable(self, request: Request, response: Response, hop: Hop) -> list[_Space]:
        """For each realm, the topmost challenge that is supported (RFC 8760, section 2.4)."""
        spaces: dict[tuple[str, str], _Space] = {}
        reason = "no-challenge"
        for space in _supported(response):
            if (space.header, space.realm) in spaces:
                continue
            if self._login_for(space.realm, hop) is None:
                reason = "not-allowed"
                continue
            if self._was_refused(request, space, hop):
                self._spaces.pop(_key(space, hop), None)
                raise Unanswerable("refused")
            spaces[space.header, space.realm] = space
        if not spaces:
            raise Unanswerable(reason)
        return list(spaces.values())

    def _was_refused(self, request: Request, space: _Space, hop: Hop) -> bool:
        """Whether the request carried credentials that were right but for the password."""
        given = _credentials_for(request, space.header, space.realm)
        if given is None:
            return False
        nonce = given.text("nonce")
        if nonce == space.nonce:
            return True
        if space.is_stale:
            return False
        known = self._spaces.get(_key(space, hop))
        if known is not None and known.nonce == nonce and not known.has_qop:
            return known.used == 1
        # A nonce used again may have been forgotten, by a server that does not say "stale".
        return (given.text("nc") or "1").lstrip("0") == "1"

    def _remember(self, space: _Space, hop: Hop) -> None:
        key = _key(space, hop)
        self._spaces.pop(key, None)
        if len(self._spaces) >= MAX_SPACES:
            del self._spaces[next(iter(self._spaces))]
        self._spaces[key] = space

    def _credentials(self, space: _Space, login: Login, request: Request) -> Challenge:
        space.used += 1
        algorithm = space.algorithm
        proof = Proof(request.method, str(request.uri), space.nonce)
        if space.has_qop:
            proof = Proof(proof.method, proof.uri, proof.nonce, f"{space.used:08x}", self._token())
        secret = algorithm.secret(login.username, space.realm, login.password)
        realm, nonce = space.as_it_came or (quote(space.realm), quote(space.nonce))
        values = {
            "username": quote(login.username),
            "realm": realm,
            "nonce": nonce,
            "uri": quote(proof.uri),
            "response": quote(proof.response(algorithm, secret)),
        }
        # What an older server did not offer it does not expect either.
        if space.has_algorithm:
            values["algorithm"] = algorithm.value
        if space.opaque is not None:
            values["opaque"] = space.opaque
        if space.has_qop:
            values |= {"qop": "auth", "cnonce": quote(proof.client_nonce), "nc": proof.count}
        return Challenge("Digest", Parameters(values))


def _supported(response: Response) -> Iterator[_Space]:
    """The challenges of a response that could be answered, topmost first."""
    for header, credentials in _CREDENTIALS_OF.items():
        for row in response.get_rows(header):
            try:
                space = _space_of(parse_challenge(row), credentials)
            except ParseError:
                # Another scheme's challenge need not have the form that ours has.
                continue
            if space is not None:
                yield space


def _space_of(challenge: Challenge, header: str) -> _Space | None:
    algorithm = algorithm_of(challenge)
    realm, nonce, qop = (challenge.text(name) for name in ("realm", "nonce", "qop"))
    if challenge.scheme.lower() != "digest" or algorithm is None or realm is None or not nonce:
        return None
    if qop is not None and "auth" not in [word.strip().lower() for word in qop.split(",")]:
        return None
    given = challenge.parameters
    came = _quoted(given["realm"]), _quoted(given["nonce"])
    return _Space(
        algorithm,
        realm,
        nonce,
        header,
        has_qop=qop is not None,
        has_algorithm="algorithm" in given,
        opaque=_quoted(given["opaque"]) if "opaque" in given else None,
        is_stale=(challenge.text("stale") or "").lower() == "true",
        as_it_came=None if came == (quote(realm), quote(nonce)) else came,
    )


def _place(hop: Hop) -> tuple[str, str, int]:
    return (hop.transport, hop.host, hop.port)


def _key(space: _Space, hop: Hop) -> _SpaceKey:
    return (*_place(hop), space.header, space.realm)


def _credentials_for(request: Request, header: str, realm: str) -> Challenge | None:
    """The credentials for a realm that a request of ours carries."""
    for row in request.get_rows(header):
        credentials = parse_credentials(row)
        if credentials.text("realm") == realm:
            return credentials
    return None


def _again(request: Request, sequence: int) -> Request:
    """The same request under a new number, without the Via of the first try."""
    headers = [(name, value) for name, value in request.headers if name != "Via"]
    again = Request(request.method, request.uri, headers, request.body)
    again.replace("CSeq", CSeq(sequence, request.method))
    return again


def _quoted(value: str) -> str:
    """A parameter as it came; between quotes if it came, against the grammar, without."""
    return value if is_quoted(value) else quote(value)
