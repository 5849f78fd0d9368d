"""
Questions to the DNS by way of twisted.names: each asked once at a time, and none too often.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DnsTimeout
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime, IResolver
from twisted.logger import Logger
from twisted.names import dns, hosts
from twisted.names.error import DNSNameError, DomainError
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from b2bua.net.dns_records import Answer, Answers, Kind, Naptr, Question, Record
from b2bua.srv import SrvRecord

QUERY_TIMEOUTS: Final = (1, 2)
"""Seconds for each name server, twice: a SIP request that waits longer is given up anyhow."""
_MOST_OPEN: Final = 64
_FILE_TTL: Final = 30.0
"""How long a line of the hosts file holds for whoever keeps it."""

_TYPES: Final = {Kind.A: dns.A, Kind.AAAA: dns.AAAA, Kind.SRV: dns.SRV, Kind.NAPTR: dns.NAPTR}
Section = list[dns.RRHeader]


class Dns:
    """
    Answers questions from what is known, or asks ``resolver``.

    ``hosts_file`` is looked into first for addresses, as everywhere on the machine. An answer that
    is over its time is given for as long as no newer one can be had.
    """

    log = Logger(namespace="sip")

    def __init__(
        self,
        resolver: IResolver,
        clock: IReactorTime,
        hosts_file: str = "/etc/hosts",
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.asked = 0
        """Questions that went to name servers."""
        self.silences = 0
        """Questions that were not answered."""
        self.stop = stop
        """Ends what ``resolver`` does by itself; nothing is to be asked after it."""
        self._resolver = resolver
        self._clock = clock
        self._hosts = FilePath(hosts_file) if hosts_file else None
        self._answers = Answers()
        self._open: dict[Question, list[Deferred[Answer | None]]] = {}

    def ask(self, name: str, kind: Kind) -> Deferred[Answer | None]:
        """Give the answer; None where there is none and never was. Never fails."""
        return self._ask(Question(name.rstrip(".").lower(), kind))

    def ask_now(self, name: str, kind: Kind) -> Deferred[Answer | None]:
        """
        Give an answer whose time is not over; None where none is to be had now. Never fails.

        Its TTL is what is left of it: when that is over, asking again brings a newer one.
        """
        question = Question(name.rstrip(".").lower(), kind)
        return self._ask(question).addCallback(self._still_holding, question)

    def _still_holding(self, answer: Answer | None, question: Question) -> Answer | None:
        if answer is None or answer is not self._answers.last(question):
            # There is none, or it is from the file, where it may change at any time.
            return answer
        now = self._clock.seconds()
        fresh = self._answers.fresh(question, now)
        return replace(fresh, ttl=self._answers.left(question, now)) if fresh else None

    def _ask(self, question: Question) -> Deferred[Answer | None]:
        answer = self._answers.fresh(question, self._clock.seconds()) or self._from_file(question)
        if answer is not None:
            return succeed(answer)
        waiting: Deferred[Answer | None] = Deferred()
        if question in self._open:
            self._open[question].append(waiting)
            return waiting
        if not self._may_ask(question):
            return succeed(self._answers.last(question))
        self._open[question] = [waiting]
        self._put(question)
        return waiting

    def _may_ask(self, question: Question) -> bool:
        if len(self._open) >= _MOST_OPEN:
            return False
        return self._answers.may_ask(question, self._clock.seconds())

    def _put(self, question: Question) -> None:
        self.asked += 1
        query = dns.Query(question.name.encode("ascii", "replace"), _TYPES[question.kind], dns.IN)
        try:
            asked = cast(
                Deferred[tuple[Section, Section, Section]],
                self._resolver.query(query, QUERY_TIMEOUTS),
            )
        except (CannotListenError, OSError) as error:
            # No socket to ask with: as good as no name server.
            self._failed(Failure(error), question)
            self._tell(question)
            return
        asked.addCallback(self._answered, question)
        asked.addErrback(self._failed, question)
        asked.addBoth(lambda _: self._tell(question))

    def _answered(self, sections: tuple[Section, Section, Section], question: Question) -> None:
        answers, authority, _ = sections
        found = [header for header in answers if header.type == _TYPES[question.kind]]
        records = tuple(_read(header) for header in found)
        ttls = [header.ttl for header in (answers if found else authority)]
        answer = Answer(records, float(min(ttls, default=0)))
        self._answers.answered(question, answer, self._clock.seconds())

    def _failed(self, failure: Failure, question: Question) -> None:
        if failure.check(DNSNameError):
            # That the name does not exist is an answer.
            self._answers.answered(question, Answer((), exists=False), self._clock.seconds())
            return
        self.silences += 1
        self._answers.failed(question, self._clock.seconds())
        if not failure.check(DomainError, TimeoutError, DnsTimeout, CannotListenError, OSError):
            self.log.failure("a DNS answer could not be used", failure)

    def _tell(self, question: Question) -> None:
        answer = self._answers.last(question)
        for waiting in self._open.pop(question, ()):
            waiting.callback(answer)

    def _from_file(self, question: Question) -> Answer | None:
        if self._hosts is None or question.kind not in (Kind.A, Kind.AAAA):
            return None
        found = hosts.searchFileForAll(self._hosts, question.name.encode("ascii", "replace"))
        wanted = tuple(host for host in found if (":" in host) == (question.kind is Kind.AAAA))
        return Answer(wanted, _FILE_TTL) if wanted else None


def _read(header: dns.RRHeader) -> Record:
    payload: object = header.payload
    if isinstance(payload, dns.Record_SRV):
        return SrvRecord(
            payload.priority, payload.weight, payload.port, _text(payload.target), header.ttl
        )
    if isinstance(payload, dns.Record_NAPTR):
        return Naptr(
            payload.order,
            payload.preference,
            payload.flags.string.decode("latin-1").lower(),
            payload.service.string.decode("latin-1").upper(),
            _text(payload.replacement),
        )
    if isinstance(payload, dns.Record_AAAA):
        return socket.inet_ntop(socket.AF_INET6, payload.address)
    if isinstance(payload, dns.Record_A) and payload.address is not None:
        return socket.inet_ntop(socket.AF_INET, payload.address)
    raise ValueError(f"a record of type {header.type} without its content")


def _text(name: dns.Name) -> str:
    return name.name.decode("ascii", "replace").rstrip(".").lower()
