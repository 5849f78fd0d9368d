"""
What the relay tells about itself, as log records.

Names and addresses that clients send are quoted and escaped; the address of the packet's sender
stands before them in every line, so a forged user name cannot pass for one (fail2ban reads these).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from suite.log_records import LogEvent, Value, Word
from suite.logs import Log
from suite.settings import LogLevel
from turn import events
from turn.data_plane import Counters
from turn.five_tuple import FiveTuple, joined

_PEERS_REMEMBERED = 1024


class EventLog:
    """A subscriber of ``turn.events``. ``allow_line`` gives the option that allows a peer."""

    def __init__(self, log: Log, allow_line: Callable[[str], str]) -> None:
        self._log = log
        self._allow_line = allow_line
        self._denied: OrderedDict[str, None] = OrderedDict()
        self._writers = cast(
            "dict[type[object], Callable[[object], None]]",
            {
                events.AuthenticationFailed: self._authentication_failed,
                events.PeerDenied: self._peer_denied,
                events.AllocationCreated: self._allocation_created,
                events.AllocationRefreshed: self._allocation_refreshed,
                events.AllocationEnded: self._allocation_ended,
                events.RequestRefused: self._request_refused,
                events.ChallengeSent: self._challenge_sent,
                events.ChallengeSuppressed: self._challenge_suppressed,
                events.BindingRefused: self._binding_refused,
            },
        )

    def __call__(self, event: events.Event) -> None:
        """Write the event, if it is one for the log; the others are only counted."""
        writer = self._writers.get(type(event))
        if writer is not None:
            writer(event)

    def _authentication_failed(self, event: events.AuthenticationFailed) -> None:
        self._log.standard(
            LogEvent.AUTHENTICATION_FAILED,
            "auth-fail",
            proto=Word(event.client.transport),
            service=Word("turn"),
            client=Word(event.client.client[0]),
            port=event.client.client[1],
            user=event.username,
            reason=event.reason,
        )

    def _peer_denied(self, event: events.PeerDenied) -> None:
        known = event.peer in self._denied
        self._denied[event.peer] = None
        self._denied.move_to_end(event.peer)
        if len(self._denied) > _PEERS_REMEMBERED:
            self._denied.popitem(last=False)
        line = self._allow_line(event.peer)
        self._log.write(
            LogLevel.DEBUG if known else LogLevel.STANDARD,
            LogEvent.PEER_DENIED,
            "peer-denied",
            **_client(event.client),
            allocation=event.allocation,
            peer=event.peer,
            rule=event.rule,
            user=event.username,
            to_allow=Word(line or "(no option allows it)"),
        )

    def _allocation_created(self, event: events.AllocationCreated) -> None:
        self._log.write(
            LogLevel.INTERACTION,
            LogEvent.ALLOCATION_CREATED,
            "allocation-created",
            allocation=event.allocation,
            **_client(event.client),
            relay=Word(",".join(joined(relay) for relay in event.relays)),
            lifetime=event.lifetime,
            user=event.username,
        )

    def _allocation_refreshed(self, event: events.AllocationRefreshed) -> None:
        self._log.write(
            LogLevel.TRACE,
            LogEvent.ALLOCATION_REFRESHED,
            "allocation-refreshed",
            allocation=event.allocation,
            lifetime=event.lifetime,
            user=event.username,
        )

    def _allocation_ended(self, event: events.AllocationEnded) -> None:
        self._log.write(
            LogLevel.INTERACTION,
            LogEvent.ALLOCATION_ENDED,
            "allocation-ended",
            allocation=event.allocation,
            **_client(event.client),
            duration=event.duration,
            reason=event.reason,
            **_traffic(event.counters),
            user=event.username,
        )

    def _request_refused(self, event: events.RequestRefused) -> None:
        self._log.write(
            LogLevel.TRACE,
            LogEvent.REQUEST_REFUSED,
            "request-refused",
            **_client(event.client),
            method=Word(event.method),
            code=event.code,
            reason=event.reason,
        )

    def _challenge_sent(self, event: events.ChallengeSent) -> None:
        self._debug(LogEvent.CHALLENGE_SENT, "challenge-sent", event.client, code=event.code)

    def _challenge_suppressed(self, event: events.ChallengeSuppressed) -> None:
        self._debug(LogEvent.CHALLENGE_SUPPRESSED, "challenge-suppressed", event.client)

    def _binding_refused(self, event: events.BindingRefused) -> None:
        self._debug(LogEvent.BINDING_REFUSED, "binding-refused", event.client, code=event.code)

    def _debug(self, event: LogEvent, text: str, client: FiveTuple, **more: Value) -> None:
        # These come at the rate of a flood: no field is made unless somebody reads it.
        if self._log.enabled(LogLevel.DEBUG):
            self._log.write(LogLevel.DEBUG, event, text, **_client(client), **more)


def _client(client: FiveTuple) -> dict[str, Value]:
    return {"proto": Word(client.transport), "client": Word(joined(client.client))}


def _traffic(counters: Counters) -> dict[str, Value]:
    return {
        "rcvp": counters.received_packets,
        "rcvb": counters.received_bytes,
        "sentp": counters.sent_packets,
        "sentb": counters.sent_bytes,
        "peer_rcvp": counters.peer_received_packets,
        "peer_rcvb": counters.peer_received_bytes,
        "peer_sentp": counters.peer_sent_packets,
        "peer_sentb": counters.peer_sent_bytes,
        "dropped": counters.dropped_packets,
    }
