"""
Who we are toward the SIP Servers: per DN, the answers to their challenges.

REGISTER and INVITE of a DN share one client, so that a nonce serves both. No hash goes to anybody
but the servers.
"""

from __future__ import annotations

from collections.abc import Callable

from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.digest import DigestClient, Login, Unanswerable
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response


class Accounts:
    """
    The digest clients of the DNs that have been challenged.

    ``password`` is the policy, ``is_server`` says whether a hop leads to a server of ours, and
    ``is_ours`` whether a DN is signed in, so that ``forget`` will be called for it.
    """

    def __init__(
        self,
        password: Callable[[str], str | None],
        is_server: Callable[[Hop], bool],
        is_ours: Callable[[str], bool],
        token: Callable[[], str],
    ) -> None:
        self.password = password
        self.is_server = is_server
        self._is_ours = is_ours
        self._token = token
        self._clients: dict[str, DigestClient] = {}
        self._used: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def client(self, dn: str) -> DigestClient | None:
        """The client of a DN, None where it has no password; it is kept while the DN is ours."""
        client = self._clients.get(dn)
        if client is not None or self.password(dn) is None:
            return client
        client = DigestClient(_Account(dn, self), self._token)
        if self._is_ours(dn):
            self._clients[dn] = client
        return client

    def authorize(self, dn: str, request: Request, hop: Hop) -> None:
        """Put credentials on a request, if a nonce of this server is known."""
        client = self._clients.get(dn)
        if client is not None:
            client.authorize(request, hop)

    def learn(self, dn: str, transaction: ClientTransaction, response: Response) -> bool:
        """Take a challenge; whether the DN's next request will have an answer to it."""
        client = self.client(dn)
        if client is None:
            return False
        try:
            client.learn(transaction.request, response, transaction.hop)
        except Unanswerable:
            return False
        return True

    def is_challenged(self, dn: str) -> bool:
        """Whether the servers have asked for a DN's password, and had an answer."""
        client = self._clients.get(dn)
        return client is not None and client.has_challenge

    def note(self, dn: str, password: str) -> None:
        """An answer to a challenge is made of this password."""
        if dn in self._clients:
            self._used[dn] = password

    def used(self, dn: str) -> str | None:
        """Of what password the latest answer for a DN was made."""
        return self._used.get(dn)

    def forget(self, dn: str) -> None:
        """The DN is not ours any more."""
        self._clients.pop(dn, None)
        self._used.pop(dn, None)


class _Account:
    """One DN's login. There are thousands, so it is not a closure."""

    __slots__ = ("_accounts", "_dn")

    def __init__(self, dn: str, accounts: Accounts) -> None:
        self._dn = dn
        self._accounts = accounts

    def __call__(self, realm: str, hop: Hop) -> Login | None:
        password = self._accounts.password(self._dn)
        if password is None or not self._accounts.is_server(hop):
            return None
        self._accounts.note(self._dn, password)
        return Login(self._dn, password)
