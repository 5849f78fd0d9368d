"""
TLS contexts of the listeners: what is offered, which protocol is agreed on, and how a new
certificate takes the place of the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from suite.certificate import CertificateError, ExpiryNotices, Identity, load
from suite.settings import TlsSettings

DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: authenticated encryption with forward secrecy. TLS 1.3 has nothing else."""
_MINIMUM = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# No tickets and no cache: a resumed session would show the certificate of the time before a
# reload, and a ticket key that lives as long as the process undoes forward secrecy.
_OPTIONS = (
    SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_NO_TICKET
    | SSL.OP_CIPHER_SERVER_PREFERENCE
    | SSL.OP_SINGLE_ECDH_USE
)


class TlsContexts:
    """
    The context for new connections, replaced as a whole by ``reload``.

    Connections keep the context they began with. Making one, and ``reload``, raise
    CertificateError when the files cannot be served.
    """

    _log = Logger()

    def __init__(
        self, settings: TlsSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._now = now
        self._notices = ExpiryNotices()
        self._identity = load(settings)
        self._contexts: dict[tuple[bytes, ...], SSL.Context] = {
            (): make_context(self._identity, settings, ())
        }
        self.reloads = 0
        if now() < self._identity.not_before:
            self._log.error(
                "{path}: the certificate is not valid before {when}; it is served all the same",
                path=settings.certificate,
                when=self._identity.not_before,
            )
        self.check_expiry()

    @property
    def not_after(self) -> datetime:
        """When the certificate that is served ends."""
        return self._identity.not_after

    def seconds_left(self) -> float:
        """How long the certificate is valid yet, for a metric; below zero: since when it is not."""
        return (self.not_after - self._now()).total_seconds()

    def check_expiry(self) -> None:
        """Log what there is to say about the certificate's end, once for each occasion."""
        sentence = self._notices.due(self.not_after, self._now())
        if sentence is None:
            return
        if self.seconds_left() > 0:
            self._log.warn("{path}: {sentence}", path=self._settings.certificate, sentence=sentence)
        else:
            self._log.error(
                "{path}: {sentence}", path=self._settings.certificate, sentence=sentence
            )

    def reload(self, settings: TlsSettings | None = None) -> None:
        """
        Read the files again, or those of new settings; on CertificateError nothing has changed.

        A certificate that is out of its time does not replace one that is served.
        """
        settings = self._settings if settings is None else settings
        identity = load(settings)
        if not identity.not_before <= self._now() < identity.not_after:
            raise CertificateError(
                settings.certificate,
                f"valid only from {identity.not_before:%Y-%m-%d %H:%M}"
                f" to {identity.not_after:%Y-%m-%d %H:%M} UTC",
            )
        contexts = {
            protocols: make_context(identity, settings, protocols) for protocols in self._contexts
        }
        self._settings, self._identity, self._contexts = settings, identity, contexts
        self.reloads += 1
        self._log.info(
            "{path}: loaded, valid until {until:%Y-%m-%d}",
            path=settings.certificate,
            until=identity.not_after,
        )

    def offering(self, protocols: Sequence[bytes]) -> ServerConnections:
        """What a listener that serves these ALPN protocols makes its connections with."""
        key = tuple(protocols)
        if key not in self._contexts:
            self._contexts[key] = make_context(self._identity, self._settings, key)
        return ServerConnections(self, key)

    def connection(self, protocols: tuple[bytes, ...]) -> SSL.Connection:
        """A server's end of a new connection of a listener that offers ``protocols``."""
        return SSL.Connection(self._contexts[protocols], None)


@implementer(IOpenSSLServerConnectionCreator)
class ServerConnections:
    """Makes the connections of one listener, each with the context of the moment."""

    def __init__(self, contexts: TlsContexts, protocols: tuple[bytes, ...]) -> None:
        self._contexts = contexts
        self._protocols = protocols

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the server's end of a connection; Twisted asks for it once each."""
        return self._contexts.connection(self._protocols)


def make_context(
    identity: Identity, settings: TlsSettings, protocols: tuple[bytes, ...]
) -> SSL.Context:
    """
    A context that shows ``identity`` and agrees to ``protocols``.

    Raises CertificateError for what OpenSSL refuses.
    """
    if settings.minimum not in _MINIMUM:
        raise CertificateError(
            settings.certificate, f"TLS {settings.minimum} is not offered, only 1.2 and 1.3"
        )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_MINIMUM[settings.minimum])
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(partial(select_protocol, protocols))
    try:
        context.set_cipher_list((settings.cipher_list or DEFAULT_CIPHERS).encode("ascii"))
    except (SSL.Error, UnicodeEncodeError):
        raise CertificateError(
            settings.certificate, f"OpenSSL knows no cipher of {settings.cipher_list!r}"
        ) from None
    try:
        _show(context, identity)
    except (SSL.Error, TypeError) as error:
        raise CertificateError(settings.certificate, f"OpenSSL refuses it: {error}") from None
    return context


def _show(context: SSL.Context, identity: Identity) -> None:
    # pyOpenSSL's stubs name fewer kinds of keys than it takes.
    context.use_certificate(identity.chain[0])
    for certificate in identity.chain[1:]:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(identity.key)  # type: ignore[arg-type]
    context.check_privatekey()


def select_protocol(
    ours: tuple[bytes, ...], connection: SSL.Connection, offered: list[bytes]
) -> bytes | SSL._NoOverlappingProtocols:
    """
    Choose the ALPN protocol (RFC 7301, RFC 7443): the first of ours that the client offers.

    Where there is none, none is agreed on and the handshake goes on: many clients offer what
    they never use. An exception here would end the handshake.
    """
    for protocol in ours:
        if protocol in offered:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS
