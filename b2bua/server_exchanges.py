"""
REGISTER and OPTIONS to a SIP Server that are under way, or may still be answered late.
"""

from __future__ import annotations

from dataclasses import dataclass

from b2bua.registration_terms import Register
from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from b2bua.sip.outputs import (
    ResponseReceived,
    Terminated,
    TimedOut,
    TransportFailed,
    Unanswered,
)
from b2bua.sip.transactions import TableFull, TransactionTable
from b2bua.sip.user_agent import AgentOutput
from b2bua.upstreams import Sent


@dataclass(slots=True)
class Exchange:
    """One request, and the notes of whoever wanted it."""

    transaction: ClientTransaction
    sent: Sent
    register: Register | None
    """None for OPTIONS."""
    has_failed: bool = False
    """That was told, and is not to be told again."""


class Exchanges:
    """Starts requests on ``table``, and knows the outputs that are about them."""

    def __init__(self, table: TransactionTable) -> None:
        self._table = table
        self._exchanges: dict[ClientTransaction, Exchange] = {}

    def __len__(self) -> int:
        return len(self._exchanges)

    def start(
        self, request: Request, hop: Hop, sent: Sent, register: Register | None, now: float
    ) -> bool:
        """Send a request; False if there is no room for it."""
        try:
            transaction = self._table.start(request, hop, now)
        except TableFull:
            return False
        self._exchanges[transaction] = Exchange(transaction, sent, register)
        return True

    def of(self, output: AgentOutput) -> Exchange | None:
        """The exchange that an output is about; with ``Terminated`` it is forgotten."""
        if not isinstance(
            output, ResponseReceived | Unanswered | TimedOut | TransportFailed | Terminated
        ):
            return None
        transaction = output.transaction
        if not isinstance(transaction, ClientTransaction):
            return None
        if isinstance(output, Terminated):
            return self._exchanges.pop(transaction, None)
        return self._exchanges.get(transaction)
