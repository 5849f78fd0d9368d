"""
The REGISTER and OPTIONS that go to a SIP Server, and what its answers say (RFC 3261, section 10).

The answers are a peer's: what cannot be read in them counts as missing, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from b2bua.registration_terms import Answer, Register
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import NameAddr, parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.message import HeaderValue, Message, Request, Response
from b2bua.sip.uri import SipUri, Uri, escape_user, host_port
from b2bua.upstreams import SECURE

_T = TypeVar("_T")
_MOST_CONTACTS = 64
"""How many of the Contacts in an answer are looked at."""


class RequestMaker:
    """
    Makes requests to whatever server is in use.

    ``domain`` is the host in the URIs of our DNs, ``contact`` our address as a server reaches it,
    ``token`` a new word, and ``allow`` the methods that we take.
    """

    def __init__(
        self,
        domain: str,
        contact: Callable[[Hop], NameAddr],
        token: Callable[[], str],
        allow: tuple[str, ...],
    ) -> None:
        self._domain = host_port(domain.strip("[]"), None)
        self._registrar = SipUri("sip", "", None, domain.strip("[]").lower())
        self._contact = contact
        self._token = token
        self._allow = ", ".join(allow)

    def register(self, register: Register, hop: Hop) -> Request:
        """The REGISTER of a DN; with an ``expires`` of 0 it ends the binding."""
        who = f"<sip:{escape_user(register.dn)}@{self._domain}>"
        headers: list[tuple[str, HeaderValue]] = [
            ("Max-Forwards", 70),
            ("From", f"{who};tag={self._token()}"),
            ("To", who),
            ("Call-ID", register.call_id),
            ("CSeq", f"{register.cseq} REGISTER"),
            ("Contact", self._contact_of(register.dn, hop)),
            ("Expires", register.expires),
            ("Allow", self._allow),
            ("Supported", "path"),
        ]
        return Request("REGISTER", self._registrar, headers)

    def options(self, hop: Hop) -> Request:
        """
        The OPTIONS that asks whether a server lives.

        It is for the server itself and not for the domain, so that no other answers in its place.
        """
        transport = "" if hop.transport == "UDP" else f";transport={hop.transport.lower()}"
        uri = f"sip:{host_port(hop.host, hop.port)}{transport}"
        ours = self._contact(hop)
        headers: list[tuple[str, HeaderValue]] = [
            ("Max-Forwards", 70),
            ("From", f"<sip:{self._domain}>;tag={self._token()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", self._token()),
            ("CSeq", "1 OPTIONS"),
            ("Contact", ours),
            ("Accept", "application/sdp"),
        ]
        return Request("OPTIONS", uri, headers)

    def _contact_of(self, dn: str, hop: Hop) -> NameAddr:
        contact = self._contact(hop)
        if not isinstance(contact.uri, SipUri):
            raise TypeError("a Contact of ours that is no SIP URI")
        return replace(contact, uri=replace(contact.uri, user=escape_user(dn)))


def answer_of(request: Request, response: Response, expires: int) -> Answer:
    """What matters of a final response to a REGISTER that asked for ``expires`` seconds."""
    return Answer(
        response.status,
        granted(request, response, expires) if response.is_success else 0,
        _read(lambda: response.min_expires) or 0,
        retry_after(response),
    )


def granted(request: Request, response: Response, expires: int) -> int:
    """
    How long our own binding lasts, by a 2xx (section 10.2.4).

    Its Contact says so, among those of other devices, or the Expires header does, or else it is
    what was asked for. Where bindings are listed and ours is not among them, there is none.
    """
    ours = request.contact
    contacts = _contacts(response)
    found = _find(ours.uri, contacts) if ours is not None else None
    if found is not None and found.expires is not None:
        return found.expires
    stated = _read(lambda: response.expires)
    if stated is not None:
        return stated
    return 0 if contacts and found is None else expires


def retry_after(response: Response) -> float:
    """How many seconds the server wants to be left alone; 0.0 where it does not say."""
    stated = _read(lambda: response.retry_after)
    return float(stated.seconds) if stated is not None else 0.0


def _contacts(message: Message) -> list[NameAddr]:
    """Every Contact that can be read."""
    values = _read(lambda: message.get_all("Contact")) or []
    read = (_read(partial(parse_name_addr, value)) for value in values[:_MOST_CONTACTS])
    return [contact for contact in read if contact is not None]


def _find(ours: Uri, contacts: list[NameAddr]) -> NameAddr | None:
    """Our Contact among others: the same by the RFC, or else with parameters that came or went."""
    for is_ours in (_is_same, _is_same_place):
        for contact in contacts:
            if is_ours(ours, contact.uri):
                return contact
    return None


def _is_same(ours: Uri, other: Uri) -> bool:
    return isinstance(ours, SipUri) and ours.matches(other)


def _is_same_place(ours: Uri, other: Uri) -> bool:
    """Registrars add parameters, drop some, and write default ports out, or do not."""
    if not isinstance(ours, SipUri) or not isinstance(other, SipUri):
        return False
    return (ours.user_text, ours.host, _port(ours)) == (other.user_text, other.host, _port(other))


def _port(uri: SipUri) -> int:
    is_secure = uri.scheme == "sips" or uri.transport in SECURE
    return uri.port or (5061 if is_secure else 5060)


def _read(read: Callable[[], _T | None]) -> _T | None:
    """What an accessor gives; None where the peer wrote something that cannot be read."""
    try:
        return read()
    except ParseError:
        return None
