"""
TLS for SIP: contexts for both ends, and whose certificate is believed (RFC 5922).

A server is checked against the domain that was asked for, never against the host that the DNS
named for it: whoever forges a DNS answer would choose that name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    ServiceID,
    verify_service_identity,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET
_SESSION = b"sip"

_SAID_AGAIN_AFTER = 600.0
"""Seconds. A server that is down is asked again every few seconds."""
_MOST_TOLD = 256
_NO_TLS = frozenset({"wrong version number", "packet length too long", "record layer failure"})

# X509_V_ERR_* of OpenSSL that somebody who runs a server can do something about.
_CHAIN_FAULTS = {
    2: "the CA that signed it is not among the trusted ones",
    9: "not valid yet",
    10: "expired",
    18: "self-signed and not trusted",
    19: "its root CA is not trusted",
    20: "the CA that signed it is not among the trusted ones",
    21: "the server does not send its intermediate certificates",
    23: "revoked",
    24: "signed by a certificate that is no CA",
    26: "not meant for TLS servers",
}


class TlsFilesError(Exception):
    """A file of certificates or keys that cannot be used; the text names it and says why."""


class PeerRefused(Exception):
    """The peer's certificate is not believed; the text says why."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """Certificate chain and private key that we show, as PEM files."""

    certificate: Path
    key: Path


class ClientTls:
    """
    What connections to servers are made with.

    ``trusted`` is a PEM file of CAs; without one nobody is checked, and the log says so.
    """

    log = Logger(namespace="sip")

    def __init__(self, trusted: Path | None, own: OwnCertificate | None = None) -> None:
        self.checks = trusted is not None
        self._told: dict[str, float] = {}
        self.context = _context(SSL.TLS_CLIENT_METHOD, own)
        if trusted is None:
            self.log.warn(
                "SIP servers are not checked over TLS: without sip-tls-trusted-ca whoever answers"
                " is believed"
            )
            return
        _trust(self.context, trusted)
        self.context.set_verify(SSL.VERIFY_PEER, _note_chain_fault)

    def toward(self, domain: str) -> ServerAt:
        """What one connection to a server of this domain is made with."""
        return ServerAt(domain, self)

    def complain(self, text: str, now: float) -> None:
        """Log why a connection cannot be, unless the same was said a while ago."""
        if now < self._told.get(text, -math.inf) + _SAID_AGAIN_AFTER:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[text] = now
        self.log.error("TLS to {text}", text=text)


@implementer(IOpenSSLClientConnectionCreator)
class ServerAt:
    """
    Our end of one connection. ``verify`` is called after the handshake and before anything is sent.
    """

    def __init__(self, domain: str, client: ClientTls) -> None:
        self._domain = domain
        self._client = client
        self._connection = SSL.Connection(client.context, None)
        if not _is_address(domain):
            # A server of several domains learns which one is meant.
            self._connection.set_tlsext_host_name(domain.rstrip(".").encode("ascii"))

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Give our end of the connection; Twisted asks for it once."""
        return self._connection

    def verify(self) -> None:
        """Raise PeerRefused where the certificate is not the domain's."""
        if not self._client.checks:
            return
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            raise PeerRefused(f"{self._domain}: no certificate was shown")
        verify_domain(certificate.to_cryptography(), self._domain)

    @property
    def fault(self) -> str:
        """Why the server's chain of certificates was not believed, "" if it was."""
        noted = self._connection.get_app_data()
        return f"{self._domain}: {noted}" if isinstance(noted, str) else ""

    def words_of(self, error: SSL.Error) -> str:
        """What the end of a connection by TLS means, as far as it is known."""
        words = _openssl_words(error)
        if "alert" in words and ("certificate" in words or "unknown ca" in words):
            return f"{self._domain}: it does not accept our certificate ({words})"
        if words in _NO_TLS:
            return f"{self._domain}: it does not speak TLS there ({words})"
        return f"{self._domain}: TLS failed ({words})"

    def complain(self, text: str, now: float) -> None:
        """Log why the connection cannot be: ``where it leads for domain: why``."""
        self._client.complain(text, now)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """
    Makes our end of connections from clients.

    With ``client_ca`` a client must show a certificate of one of these CAs.
    """

    def __init__(self, own: OwnCertificate, client_ca: Path | None = None) -> None:
        self._context = _context(SSL.TLS_SERVER_METHOD, own)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_session_id(_SESSION)
        if client_ca is not None:
            _trust(self._context, client_ca)
            demanded = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            self._context.set_verify(demanded, _note_chain_fault)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make our end of a connection; Twisted asks for it once each."""
        return SSL.Connection(self._context, None)


def verify_domain(certificate: x509.Certificate, domain: str) -> None:
    """
    Raise PeerRefused unless the certificate is for this SIP domain (RFC 5922, section 7).

    Identities are the ``sip:`` URIs without a user, and only where there is none the DNS names.
    None of them may hold a wildcard. An address is compared with addresses only.
    """
    try:
        names = _alternative_names(certificate)
    except ValueError as error:
        raise PeerRefused(f"{domain}: the certificate cannot be read: {error}") from None
    patterns, wanted = _identities(names, domain)
    try:
        verify_service_identity(patterns, [wanted], [])
    except (VerificationError, CertificateError):
        # The latter says that there is no identity at all.
        shown = ", ".join(str(name.value) for name in list(names or ())[:8]) or "nobody"
        raise PeerRefused(f"{domain}: the certificate is for {shown}") from None


def _identities(
    names: x509.SubjectAlternativeName | None, domain: str
) -> tuple[list[CertificatePattern], ServiceID]:
    if _is_address(domain):
        addresses = names.get_values_for_type(x509.IPAddress) if names else []
        return [
            IPAddressPattern(pattern=address)
            for address in addresses
            if isinstance(address, IPv4Address | IPv6Address)
        ], IPAddress_ID(domain)
    texts = _sip_hosts(names) or (names.get_values_for_type(x509.DNSName) if names else [])
    patterns: list[CertificatePattern] = []
    for text in texts:
        try:
            pattern = DNSPattern.from_bytes(text.encode("ascii"))
        except (CertificateError, UnicodeEncodeError):
            continue  # No host name, so nobody's identity.
        if b"*" not in pattern.pattern:
            patterns.append(pattern)
    try:
        return patterns, DNS_ID(domain.rstrip("."))
    except ValueError:
        raise PeerRefused(f"{domain}: no domain that a certificate could be for") from None


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _sip_hosts(names: x509.SubjectAlternativeName | None) -> list[str]:
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    rests = [uri[4:] for uri in uris if uri[:4].lower() == "sip:" and "@" not in uri]
    return [rest.partition(";")[0].partition("?")[0].partition(":")[0] for rest in rests]


def _is_address(domain: str) -> bool:
    try:
        ip_address(domain)
    except ValueError:
        return False
    return True


def _context(method: int, own: OwnCertificate | None) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_cipher_list(_CIPHERS)
    if own is not None:
        _show(context, own)
    return context


def _show(context: SSL.Context, own: OwnCertificate) -> None:
    try:
        context.use_certificate_chain_file(str(own.certificate))
    except SSL.Error as error:
        raise TlsFilesError(f"{own.certificate}: {_openssl_words(error)}") from None
    try:
        context.use_privatekey_file(str(own.key))
        context.check_privatekey()
    except SSL.Error as error:
        raise TlsFilesError(f"{own.key}: {_openssl_words(error)}") from None


def _trust(context: SSL.Context, trusted: Path) -> None:
    try:
        context.load_verify_locations(str(trusted))
    except SSL.Error as error:
        raise TlsFilesError(f"{trusted}: {_openssl_words(error)}") from None


def _openssl_words(error: SSL.Error) -> str:
    """The last of what OpenSSL says, which is the nearest to the cause."""
    reasons = error.args[0] if error.args else ()
    words = [entry[2] for entry in reasons if len(entry) > 2 and entry[2]]
    return words[0] if words else "cannot be read"


def _note_chain_fault(
    connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int
) -> bool:
    if not ok:
        fault = _CHAIN_FAULTS.get(number, f"not believed (OpenSSL error {number})")
        which = "certificate" if depth == 0 else f"certificate {depth} above it"
        connection.set_app_data(f"{which}: {fault}")
    return bool(ok)
