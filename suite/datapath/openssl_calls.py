"""
OpenSSL's functions for the streams in C: those of the library that ``cryptography`` has loaded.

They are reachable but nobody's public interface. So they serve only after a connection with
itself: a handshake, the connection handed over to C, and known answers both ways.
"""

from __future__ import annotations

import contextlib
import socket
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from suite.datapath._native import OPENSSL_FUNCTIONS, Core, OpenSsl, Stream, Streams, TlsLayer
from suite.datapath.native_core import STREAM

_QUESTION: Final = bytes.fromhex("000100002112a442") + b"transaction!"
_ANSWER: Final = bytes.fromhex("010100002112a442") + b"transaction!"


class OpenSslUnusable(Exception):
    """Connections cannot be handed over to C; the text says why."""


@cache
def openssl_calls() -> OpenSsl:
    """
    The functions, after they have passed their test.

    Raises OpenSslUnusable.
    """
    try:
        openssl = _find()
    except (ImportError, AttributeError, TypeError) as error:
        raise OpenSslUnusable(f"cryptography has other insides: {error}") from None
    for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
        try:
            _try(openssl, version)
        except (SSL.Error, OSError, AttributeError, TypeError, ValueError) as error:
            raise OpenSslUnusable(f"the test of itself ended in {error!r}") from None
    return openssl


def layer(openssl: OpenSsl, connection: SSL.Connection) -> TlsLayer:
    """A connection whose handshake is over, for C; nobody else may use it from now on."""
    return TlsLayer(
        openssl,
        connection,
        *(
            _address(getattr(connection, name))
            for name in (
                "_ssl",
                "_into_ssl",
                "_from_ssl",
            )
        ),
    )


def unsent_records(connection: SSL.Connection) -> bytes:
    """What OpenSSL has written and nobody has sent yet."""
    records = []
    while True:
        try:
            records.append(connection.bio_read(2**16))
        except SSL.WantReadError:
            return b"".join(records)


def _find() -> OpenSsl:
    ffi, lib = _binding()
    return OpenSsl({name: _address(ffi.addressof(lib, name)) for name in OPENSSL_FUNCTIONS})


def _binding() -> tuple[Any, Any]:
    from cryptography.hazmat.bindings._rust import _openssl

    return _openssl.ffi, _openssl.lib


def _address(pointer: object) -> int:
    ffi, _ = _binding()
    return int(ffi.cast("uintptr_t", pointer))


# The test


def _try(openssl: OpenSsl, version: int) -> None:
    server, client = _connected(version)
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        core = Core()
        streams = Streams(core, 0.5, 2**18, 200)
        try:
            stream = Stream(
                streams, ours.fileno(), unsent_records(server), layer(openssl, server), 0.0
            )
        except OSError:
            ours.close()
            raise
        ours.detach()
        _exchange(core, stream, client, theirs)


def _exchange(core: Core, stream: Stream, client: SSL.Connection, wire: socket.socket) -> None:
    client.send(_QUESTION)
    wire.sendall(client.bio_read(2**16))
    events = core.drain(0.0)
    if [(kind, data) for kind, _, _, _, data in events] != [(STREAM, _QUESTION)]:
        raise ValueError("what was sent has not come")
    stream.send_control(_ANSWER, 0.0)
    client.bio_write(wire.recv(2**16))
    if client.recv(2**16) != _ANSWER:
        raise ValueError("what came is not what was sent")
    stream.close()
    client.bio_write(wire.recv(2**16))
    try:
        client.recv(1)
    except SSL.ZeroReturnError:
        return
    raise ValueError("no close_notify has come")


def _connected(version: int) -> tuple[SSL.Connection, SSL.Connection]:
    """Two ends in memory whose handshake is over."""
    server = SSL.Connection(_server_context(version), None)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            records = unsent_records(one)
            if records:
                other.bio_write(records)
    # What the server says after its handshake has to be read before the rest.
    try:
        client.recv(1)
    except SSL.WantReadError:
        return server, client
    raise ValueError("a server that was silent was heard")


def _server_context(version: int) -> SSL.Context:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "itself")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context
