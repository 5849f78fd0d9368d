"""
What the B2BUA tells about itself, as log records.

A call has one id in every record, for both of its legs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from b2bua import call_events as events
from b2bua.media_plane import TransportEvent
from b2bua.sip.hop import Hop
from b2bua.transport_owner import TransportOwner
from suite.log_records import LogEvent, Value, Word
from suite.logs import Log
from suite.settings import LogLevel
from turn.five_tuple import joined


class Transport(Protocol):
    """What is told of a browser's transport."""

    @property
    def port(self) -> int:
        """Ours."""

    @property
    def client(self) -> tuple[str, int] | None:
        """The browser's address, if it has ever been reached."""

    @property
    def trouble(self) -> str:
        """What keeps media from flowing."""


class TransportLog:
    """Hears from the media plane what becomes of browsers' transports."""

    def __init__(
        self, log: Log, owner: Callable[[int], TransportOwner | None] = lambda number: None
    ) -> None:
        """``owner`` tells whose a transport is."""
        self._log = log
        self._owner = owner

    def __call__(self, event: TransportEvent, number: int, transport: Transport) -> None:
        """Write it; what keeps media from flowing has the guide's id for ICE."""
        told: dict[str, Value] = {
            "transport": number,
            "port": transport.port,
            "client": Word(joined(transport.client) if transport.client else "none"),
        }
        if event is TransportEvent.CONNECTED:
            self._log.write(LogLevel.TRACE, LogEvent.TRANSPORT, "transport-connected", **told)
            return
        owner = self._owner(number)
        if owner is not None:
            page = Word(owner.host or "none")
            told |= {"call": Word(owner.call), "page": page, "dn": owner.number}
        told["reason"] = transport.trouble
        self._log.standard(LogEvent.ICE, f"transport-{event.value}", **told)


WRONG_PASSWORD = "password"
"""The word of a sign-in whose password was wrong."""


class CallLog:
    """A subscriber of the B2BUA's events."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._writers = cast(
            "dict[type[object], Callable[[object], None]]",
            {
                events.CallStarted: self._started,
                events.CallRinging: self._ringing,
                events.CallAnswered: self._answered,
                events.CallHeld: self._held,
                events.CallResent: self._resent,
                events.CallMedia: self._media,
                events.CallEnded: self._ended,
                events.CallRefused: self._refused,
                events.ServerChanged: self._server_changed,
                events.ServersDown: self._servers_down,
                events.ServersUnknown: self._servers_unknown,
                events.DnRegistered: self._dn_registered,
                events.DnUnregistered: self._dn_unregistered,
                events.PhoneBound: self._phone_bound,
                events.PhoneGone: self._phone_gone,
                events.PhoneRefused: self._phone_refused,
                events.SignedIn: self._signed_in,
                events.SignedOut: self._signed_out,
                events.PageGone: self._page_gone,
                events.SignInRefused: self._sign_in_refused,
            },
        )

    def __call__(self, event: events.Event) -> None:
        """Write the event, if it is one for the log."""
        writer = self._writers.get(type(event))
        if writer is not None:
            writer(event)

    def _trace(self, event: LogEvent, text: str, **fields: Value) -> None:
        self._log.write(LogLevel.TRACE, event, text, **fields)

    def _started(self, event: events.CallStarted) -> None:
        self._trace(
            LogEvent.CALL_STARTED,
            "call-started",
            call=Word(event.call),
            caller=event.caller,
            callee=event.callee,
            legs=Word("-".join(event.legs)),
        )

    def _ringing(self, event: events.CallRinging) -> None:
        self._log.write(
            LogLevel.DEBUG,
            LogEvent.CALL_RINGING,
            "call-ringing",
            call=Word(event.call),
            status=event.status,
        )

    def _answered(self, event: events.CallAnswered) -> None:
        self._trace(
            LogEvent.CALL_ANSWERED,
            "call-answered",
            call=Word(event.call),
            after=round(event.after, 3),
        )

    def _held(self, event: events.CallHeld) -> None:
        self._trace(
            LogEvent.CALL_HELD,
            "call-held" if event.held else "call-retrieved",
            call=Word(event.call),
            by=Word(event.by),
        )

    def _resent(self, event: events.CallResent) -> None:
        self._trace(
            LogEvent.CALL_RESENT, "call-resent", call=Word(event.call), server=Word(event.server)
        )

    def _media(self, event: events.CallMedia) -> None:
        counters = event.counters
        self._trace(
            LogEvent.CALL_MEDIA,
            "call-media",
            call=Word(event.call),
            leg=Word(event.leg),
            kind=Word(event.kind),
            received=counters.received_packets,
            sent=counters.sent_packets,
            dropped=sum(counters.dropped.values()),
            lost=counters.lost,
            jitter=Word(f"{counters.jitter * 1000:.1f}ms"),
            source=Word(joined(counters.source) if counters.source else "none"),
        )
        too_long = counters.dropped.get("too-long", 0)
        if too_long:
            self._log.standard(
                LogEvent.PACKETS_TOO_LONG,
                "Packets longer than SRTP takes were lost: let their sender make shorter ones",
                call=Word(event.call),
                leg=Word(event.leg),
                kind=Word(event.kind),
                packets=too_long,
            )

    def _ended(self, event: events.CallEnded) -> None:
        self._trace(
            LogEvent.CALL_ENDED,
            "call-ended",
            call=Word(event.call),
            status=event.status,
            cause=Word(event.cause),
            by=Word(event.by),
            seconds=round(event.seconds, 3),
        )

    def _refused(self, event: events.CallRefused) -> None:
        self._trace(
            LogEvent.CALL_REFUSED,
            "call-refused",
            **_source(event.source),
            status=event.status,
            reason=Word(event.reason),
        )

    def _server_changed(self, event: events.ServerChanged) -> None:
        self._log.standard(
            LogEvent.SIP_SERVER,
            f"SIP Server {event.new} is in use",
            before=Word(event.old.replace(" ", "/") or "none"),
            reason=Word(event.reason),
        )

    def _servers_down(self, _: events.ServersDown) -> None:
        self._log.standard(LogEvent.SIP, "No SIP Server answers: calls are refused until one does")

    def _servers_unknown(self, event: events.ServersUnknown) -> None:
        self._log.standard(
            LogEvent.SIP,
            f"The DNS gives no SIP Server for {event.name}. Check [rsmp]:[sip-proxy-srv]",
            problem=Word(event.problem),
        )

    def _dn_registered(self, event: events.DnRegistered) -> None:
        self._trace(LogEvent.DN_REGISTERED, "dn-registered", dn=event.dn)

    def _dn_unregistered(self, event: events.DnUnregistered) -> None:
        level = LogLevel.STANDARD if event.status else LogLevel.TRACE
        self._log.write(
            level, LogEvent.DN_UNREGISTERED, "dn-unregistered", dn=event.dn, status=event.status
        )

    def _phone_bound(self, event: events.PhoneBound) -> None:
        self._trace(LogEvent.PHONE_BOUND, "phone-bound", **_source(event.hop), dn=event.dn)

    def _phone_gone(self, event: events.PhoneGone) -> None:
        self._trace(LogEvent.PHONE_GONE, "phone-gone", dn=event.dn, reason=Word(event.reason))

    def _phone_refused(self, event: events.PhoneRefused) -> None:
        # The address stands before everything that a peer chose: fail2ban reads these.
        self._log.standard(
            LogEvent.AUTHENTICATION_FAILED,
            "auth-fail",
            proto=Word(event.hop.transport),
            service=Word("sip"),
            client=Word(event.hop.host),
            port=event.hop.port,
            status=event.status,
            reason=event.reason,
        )

    def _signed_in(self, event: events.SignedIn) -> None:
        self._log.write(
            LogLevel.INTERACTION,
            LogEvent.SIGNED_IN,
            "signed-in",
            client=Word(event.host),
            anonymous=Word("yes" if event.is_anonymous else "no"),
            user=event.user,
        )

    def _signed_out(self, event: events.SignedOut) -> None:
        self._log.write(
            LogLevel.INTERACTION,
            LogEvent.SIGNED_OUT,
            "signed-out",
            client=Word(event.host),
            reason=Word(event.reason),
            user=event.user,
        )

    def _page_gone(self, event: events.PageGone) -> None:
        self._log.write(
            LogLevel.INTERACTION,
            LogEvent.PAGE_GONE,
            "page-gone",
            client=Word(event.host),
            calls=event.calls,
            user=event.user,
        )

    def _sign_in_refused(self, event: events.SignInRefused) -> None:
        # Only a wrong password is a guess; who was refused for another reason is not to be banned.
        if event.reason != WRONG_PASSWORD:
            self._log.write(
                LogLevel.INTERACTION,
                LogEvent.SIGN_IN_REFUSED,
                "sign-in-refused",
                client=Word(event.host),
                status=event.status,
                reason=event.reason,
            )
            return
        self._log.standard(
            LogEvent.AUTHENTICATION_FAILED,
            "auth-fail",
            proto=Word("HTTP"),
            service=Word("gateway"),
            client=Word(event.host),
            status=event.status,
            reason=event.reason,
        )


def _source(hop: Hop) -> dict[str, Value]:
    return {"proto": Word(hop.transport), "client": Word(hop.host), "port": hop.port}
