"""
Keeps the DNs of sessions bound at the B2BUA, as phones keep theirs (RFC 3261, section 10.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from b2bua.call_events import Subscriber
from b2bua.faults import contained
from b2bua.gateway.session import Session
from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.headers import CSeq, NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Deadlines
from b2bua.sip.transaction import Transaction
from b2bua.sip.transactions import TableFull
from b2bua.sip.uri import SipUri, escape_user
from b2bua.sip.user_agent import UserAgent

OF_GATEWAY: Final = "gateway.invalid:5060"
"""Where messages of ours seem to come from; no resolver knows it (RFC 2606)."""
_REFRESH: Final = 0.8
"""Of its time, after which a binding is refreshed."""
_EXPIRES: Final = 3600
_RETRY: Final = 30.0
"""Seconds until a refresh that was refused is tried again."""


class Registers:
    """The REGISTERs of all sessions; their ends are not sent, since the hop ends with them."""

    def __init__(
        self, agent: UserAgent, domain: str, token: Callable[[], str], emit: Subscriber
    ) -> None:
        self._agent = agent
        self._domain = domain
        self._token = token
        self._emit = emit
        self._sent: dict[Transaction, Session] = {}
        self._refreshes: Deadlines[Session] = Deadlines()

    def __len__(self) -> int:
        return len(self._sent) + len(self._refreshes)

    def register(self, session: Session, now: float) -> None:
        """Bind a session's DN to it, or refresh that."""
        try:
            transaction = self._agent.table.start(self._request(session), session.hop, now)
        except TableFull:
            session.register_status = session.register_status or 503
            self._refreshes.set(session, now + _RETRY)
        else:
            self._sent[transaction] = session

    def _request(self, session: Session) -> Request:
        session.register_sequence += 1
        own = NameAddr("", uri_of(session.user, self._domain))
        # The first of what a message says of us is the Contact.
        said = self._agent.profile.headers(contact_of(session.hop), "REGISTER")
        return Request(
            "REGISTER",
            uri_of("", self._domain),
            [
                ("Max-Forwards", 70),
                ("From", own.with_tag(self._token())),
                ("To", own),
                ("Call-ID", f"{session.number}@{OF_GATEWAY}"),
                ("CSeq", CSeq(session.register_sequence, "REGISTER")),
                ("Expires", str(_EXPIRES)),
                *said,
            ],
        )

    def take(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take a response, if it is to one of these."""
        session = self._sent.get(transaction)
        if session is None or response.is_provisional:
            return
        del self._sent[transaction]
        session.register_status = response.status
        if session.is_over:
            return
        if response.status != 200:
            self._refreshes.set(session, now + _RETRY)
            return
        contact = contact_of(session.hop)
        granted = [c.expires for c in response.contacts if c.uri.matches(contact.uri)]
        seconds = granted[0] if granted and granted[0] is not None else _EXPIRES
        self._refreshes.set(session, now + _REFRESH * seconds)

    def forget(self, transaction: Transaction) -> None:
        """Nothing more is heard of a transaction."""
        self._sent.pop(transaction, None)

    def stop(self, session: Session) -> None:
        """Refresh a session's binding no more."""
        self._refreshes.set(session, None)

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return self._refreshes.next()

    def handle_timeout(self, now: float) -> None:
        """Refresh what is due."""
        for session in self._refreshes.take_due(now):
            # The answer sets it anew. Where a fault of ours lets none come it is tried again.
            self._refreshes.set(session, now + _RETRY)
            with contained(self._emit):
                self.register(session, now)


def contact_of(hop: Hop) -> NameAddr:
    """The Contact of a session, by its number."""
    host, _, port = OF_GATEWAY.partition(":")
    return NameAddr("", SipUri("sip", f"w{hop.flow}", None, host, int(port)))


def uri_of(user: str, domain: str) -> SipUri:
    """The URI of a user."""
    return SipUri("sip", escape_user(user), None, domain)
