"""
Where phones, and web pages, register with us (RFC 3261, section 10.3; RFC 3327).

A call for a DN goes back over the way that its REGISTER came by, which is all that leads to a
phone behind a NAT or to a web page; so a connection that is closed ends its bindings at once.
Of RFC 5626 there is the instance, by which a phone that was restarted takes its own place again;
``reg-id`` and the option tag ``outbound`` are tolerated. Who may register is the gate's decision,
before this. Absent: GRUUs, registration by a third party, and any thought about domains: the host
of an address-of-record is whatever name the phone has for us.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from b2bua.bindings import Binding, Bindings, flow_of
from b2bua.call_events import PhoneBound, PhoneGone, PhoneRefused, Subscriber
from b2bua.dn import dn_of
from b2bua.settings import PhoneSettings
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import NameAddr, parse_name_addr
from b2bua.sip.hop import BROWSER, DATAGRAM, Hop
from b2bua.sip.message import Request

SUPPORTED: Final = frozenset({"path", "outbound"})
"""What a REGISTER may require."""
DEFAULT_EXPIRES: Final = 3600
"""Where a phone asks for nothing, or for what cannot be read (section 10.2.1.1)."""
LIMIT: Final = 20_000
"""How many bindings there may be."""
LONGEST_CONTACT: Final = 2048
"""Characters of a contact with its Path and Call-ID, all of which is kept."""
RETRY_AFTER: Final = 30

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SignIn:
    """A DN has its first binding: it is to be registered with the SIP Server."""

    dn: str


@dataclass(frozen=True, slots=True)
class SignOut:
    """It has lost its last one."""

    dn: str


RegistrarOutput = SignIn | SignOut


class _Refused(Exception):
    """A REGISTER that is not accepted; ``reason`` is a fixed word."""

    def __init__(self, status: int, reason: str, headers: Headers | None = None) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers or []


@dataclass(slots=True)
class _Changes:
    """What one REGISTER does to the bindings of its DN, all of it or nothing."""

    removed: dict[Binding, str]
    """With the reason that is told; "" for what is only refreshed."""
    added: dict[Binding, bool]
    """Whether it is new to the DN, and not only refreshed."""


class Registrar:
    """
    The bindings of all phones.

    ``is_registered`` says which DNs are registered with the SIP Server too: of these ``SignIn``
    and ``SignOut`` are given. Any other DN is bound all the same, and can be called by us.
    """

    def __init__(
        self,
        settings: PhoneSettings,
        is_registered: Callable[[str], bool],
        emit: Subscriber,
        limit: int = LIMIT,
    ) -> None:
        self._settings = settings
        self._is_registered = is_registered
        self._emit = emit
        self._limit = limit
        self._bindings = Bindings()
        self._outputs: list[RegistrarOutput] = []

    def __len__(self) -> int:
        return len(self._bindings)

    # What phones do.

    def register(
        self, request: Request, hop: Hop, now: float, user: str | None = None
    ) -> tuple[int, Headers]:
        """
        Take a REGISTER that came by ``hop``, and say how to answer it.

        ``user`` is who has proved to send it, and must be the DN in its To; None where nobody
        needed to prove anything.
        """
        self.handle_timeout(now)
        try:
            return self._register(request, hop, now, user)
        except ParseError:
            refused = _Refused(400, "malformed")
        except _Refused as error:
            refused = error
        self._emit(PhoneRefused(hop, refused.status, refused.reason))
        return refused.status, refused.headers

    def flow_lost(self, hop: Hop, now: float) -> None:
        """
        Note that a connection was closed. Its bindings end.

        Datagrams have no connection: what a network says of an address there proves nothing.
        """
        self.handle_timeout(now)
        if hop.transport == DATAGRAM:
            return
        for binding in self._bindings.of_hop(hop):
            self._end(binding, "connection-lost")

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return self._bindings.next_end()

    def handle_timeout(self, now: float) -> None:
        """End the bindings that have expired."""
        for binding in self._bindings.take_ended(now):
            self._ended(binding, "expired")

    # What others ask.

    def bindings(self, dn: str, now: float) -> list[Binding]:
        """Where a call for a DN goes; what is preferred first, among equals the newest first."""
        live = [binding for binding in self._bindings.of_dn(dn) if binding.expires_at > now]
        return sorted(reversed(live), key=lambda binding: -binding.q)

    def dns_of(self, hop: Hop) -> Collection[str]:
        """The DNs that are bound over this connection, or to this source of datagrams."""
        return {binding.dn for binding in self._bindings.of_hop(hop)}

    def take_outputs(self) -> list[RegistrarOutput]:
        """Give what is to be registered and unregistered, in order, once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # Section 10.3, step by step.

    def _register(
        self, request: Request, hop: Hop, now: float, user: str | None
    ) -> tuple[int, Headers]:
        _check_required(request)
        dn = _check_identity(request, user)
        existing = self._bindings.of_dn(dn)
        if request.contact_is_wildcard:
            changes = self._clear(request, hop, existing)
        else:
            changes = self._change(request, hop, now, dn, existing)
        if len(self) - len(changes.removed) + len(changes.added) > self._limit:
            raise _Refused(503, "full", [("Retry-After", str(RETRY_AFTER))])
        self._apply(changes, dn)
        return 200, self._listed(request, dn, now)

    def _clear(self, request: Request, hop: Hop, existing: list[Binding]) -> _Changes:
        """Step 6: every binding goes."""
        if request.expires != 0:
            raise _Refused(400, "wildcard")
        for binding in existing:
            _check_order(request, hop, binding)
        return _Changes(dict.fromkeys(existing, "signed-out"), {})

    def _change(
        self, request: Request, hop: Hop, now: float, dn: str, existing: list[Binding]
    ) -> _Changes:
        """Step 7: one contact after the other."""
        changes = _Changes({}, {})
        path = _path(request)
        for contact in request.contacts:
            seconds = self._granted(request, contact)
            known = _matching(existing, contact)
            for binding in known:
                _check_order(request, hop, binding)
                changes.removed[binding] = "" if seconds else "signed-out"
            for binding in _matching(changes.added, contact):
                # The same contact stood before in this request; the last word counts.
                del changes.added[binding]
            if seconds:
                binding = _bind(request, hop, contact, path, dn, now + seconds)
                changes.added[binding] = not known
                _take_place(binding, existing, changes)
        self._make_room(hop, existing, changes)
        return changes

    def _granted(self, request: Request, contact: NameAddr) -> int:
        """How long a contact is bound: what was asked for, unless too short or too long."""
        shortest, longest = self._settings.shortest_expires, self._settings.longest_expires
        asked = contact.expires if "expires" in contact.parameters else request.expires
        if asked is None:
            return max(shortest, min(DEFAULT_EXPIRES, longest))
        if 0 < asked < shortest:
            raise _Refused(423, "too-brief", [("Min-Expires", str(shortest))])
        return min(asked, longest)

    def _make_room(self, hop: Hop, existing: list[Binding], changes: _Changes) -> None:
        """
        Where a DN has too many contacts, let the oldest of the same way go, then the oldest.

        A phone that comes back from another address without telling its instance finds room so;
        the bindings that it left behind would otherwise keep it out until they expire.
        """
        most = self._settings.most_contacts
        if hop.transport == BROWSER:
            # How many pages a DN may have is the gateway's decision; phones are not to make room.
            return
        if len(changes.added) > most:
            raise _Refused(403, "too-many-contacts")
        kept = [
            binding
            for binding in existing
            if binding not in changes.removed and binding.hop.transport != BROWSER
        ]
        kept.sort(key=lambda binding: flow_of(binding.hop) != flow_of(hop))
        for binding in kept[: max(0, len(kept) + len(changes.added) - most)]:
            changes.removed[binding] = "replaced"

    # Changes.

    def _apply(self, changes: _Changes, dn: str) -> None:
        was_bound = bool(self._bindings.of_dn(dn))
        for binding, reason in changes.removed.items():
            self._bindings.remove(binding)
            if reason:
                self._emit(PhoneGone(dn, reason))
        for binding, is_new in changes.added.items():
            self._bindings.add(binding)
            if is_new:
                self._emit(PhoneBound(dn, binding.hop))
        self._tell(dn, was_bound)

    def _end(self, binding: Binding, reason: str) -> None:
        self._bindings.remove(binding)
        self._ended(binding, reason)

    def _ended(self, binding: Binding, reason: str) -> None:
        self._emit(PhoneGone(binding.dn, reason))
        self._tell(binding.dn, True)

    def _tell(self, dn: str, was_bound: bool) -> None:
        is_bound = bool(self._bindings.of_dn(dn))
        if is_bound != was_bound and self._is_registered(dn):
            self._outputs.append(SignIn(dn) if is_bound else SignOut(dn))

    def _listed(self, request: Request, dn: str, now: float) -> Headers:
        """Step 8: every contact of the DN, and the Path where that is understood."""
        headers = []
        for binding in self._bindings.of_dn(dn):
            seconds = max(1, round(binding.expires_at - now))
            contact = binding.contact.with_parameter("expires", str(seconds))
            headers.append(("Contact", str(contact)))
        if "path" in request.tokens("Supported"):
            headers += [("Path", row) for row in request.get_rows("Path")]
        return headers


def _check_required(request: Request) -> None:
    unknown = request.tokens("Require") - SUPPORTED
    if unknown:
        raise _Refused(420, "extension", [("Unsupported", ", ".join(sorted(unknown)))])


def _check_identity(request: Request, user: str | None) -> str:
    """Steps 3 to 5: the DN, which its own phone registers, and nobody else."""
    dn = dn_of(request.to.uri)
    if not dn:
        raise _Refused(404, "no-dn")
    if dn_of(request.from_.uri) != dn:
        raise _Refused(403, "third-party")
    if user is not None and user != dn:
        raise _Refused(403, "other-user")
    return dn


def _check_order(request: Request, hop: Hop, known: Binding) -> None:
    """
    Refuse a request that was sent before the one that made this binding.

    Over another connection there is no order to keep: a phone that was restarted may count from
    1 again with the Call-ID that it always has.
    """
    if request.call_id != known.call_id or request.cseq.number > known.sequence:
        return
    if hop.transport == DATAGRAM or flow_of(hop) == flow_of(known.hop):
        raise _Refused(500, "order")


def _matching(existing: Iterable[Binding], contact: NameAddr) -> list[Binding]:
    return [binding for binding in existing if binding.uri.matches(contact.uri)]


def _take_place(new: Binding, existing: list[Binding], changes: _Changes) -> None:
    """
    Let go what the same phone had before: by its instance, or by where it is.

    A phone without an instance that makes up a new user for its Contact at each start has the
    host and port it had, over the way it had. With a Path it is somebody else that has the way.
    """
    for old in existing:
        is_same_place = (
            flow_of(old.hop) == flow_of(new.hop)
            and old.place == new.place
            and not (old.path or new.path or old.instance or new.instance)
        )
        if is_same_place or (new.instance and old.instance == new.instance):
            changes.removed.setdefault(old, "replaced")


def _bind(
    request: Request, hop: Hop, contact: NameAddr, path: tuple[str, ...], dn: str, until: float
) -> Binding:
    if contact.uri.scheme not in ("sip", "sips"):
        raise _Refused(400, "contact")
    kept = (str(contact.uri), str(contact.parameters), request.call_id, *path)
    if sum(map(len, kept)) > LONGEST_CONTACT:
        raise _Refused(400, "too-long")
    bare = NameAddr("", contact.uri, contact.parameters.without("expires"))
    return Binding(dn, bare, hop, path, contact.q, until, request.call_id, request.cseq.number)


def _path(request: Request) -> tuple[str, ...]:
    path = request.get_all("Path")
    for hop in path:
        parse_name_addr(hop)
    return tuple(path)
