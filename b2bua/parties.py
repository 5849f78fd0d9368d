"""
Who calls, and who is called: numbers, their URIs, and where the phones of one are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.uri import SipUri, TelUri, Uri, escape_user

SELF: Final = "self"
"""Whom a browser calls to hear and see itself."""


@dataclass(frozen=True, slots=True)
class PhoneContact:
    """Where one phone of a DN is reached."""

    uri: SipUri
    hop: Hop
    route: tuple[str, ...] = ()


def number_of(uri: Uri) -> str:
    """The number, or the name, that a URI is about; "" where there is none."""
    if isinstance(uri, SipUri):
        return uri.user_text.partition(";")[0]
    return uri.digits if isinstance(uri, TelUri) else ""


def sip_uri(number: str, domain: str) -> SipUri:
    """The URI of a number in a domain."""
    return SipUri("sip", escape_user(number), None, domain)


def without_dialog(party: NameAddr) -> NameAddr:
    """A party without what belongs to the dialog it came in."""
    uri = party.uri
    if isinstance(uri, SipUri):
        uri = SipUri(uri.scheme, uri.user, None, uri.host, uri.port)
    return NameAddr(party.display, uri)
