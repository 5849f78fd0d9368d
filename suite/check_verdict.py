"""
What a failure on the way to a TURN server means, and what to do about it, in words.

Whatever a server said is shown without control characters: a terminal is not its to steer.
"""

from __future__ import annotations

import errno
import ssl
from enum import Enum

from aioice import stun

from turn.five_tuple import Address, Transport, joined


class Stage(Enum):
    """How far a check had come when it failed."""

    CONNECTING = 1
    SECURING = 2
    ALLOCATING = 3
    RELAYING = 4


SERVER_REFUSALS = {
    300: "The server sends its clients to another server. Check that one.",
    400: "The server calls the request malformed. It may be no TURN server, or a very old one.",
    401: "The server refused the user name and password, or the secret that they were made with. "
    "Check them; a user name that starts with a number is a temporary one: it may have expired, or "
    "the two clocks differ.",
    403: "The server forbids this user or this address to use the relay.",
    437: "The server still holds a relay of an earlier attempt. Wait a minute and try again.",
    438: "The server kept calling the request stale. Servers that share a name need the same "
    "nonce secret.",
    440: "The server has no relay address of this address family.",
    441: "The server holds this address for another user. Wait a minute and try again.",
    442: "The server does not relay UDP.",
    486: "This user holds as many relays as the server allows (user-quota). Wait, or raise it.",
    500: "The server had an error of its own. Its log should tell.",
    508: "The server has no free relay port or bandwidth. Widen min-port to max-port.",
}

CERTIFICATE_FAULTS = {
    9: "The server's certificate is not valid yet: one of the two clocks is wrong.",
    10: "The server's certificate has expired. Renew it.",
    18: "The server's certificate is signed by nobody but itself, so no browser trusts it.",
    19: "The server's certificate comes from a private authority that is not trusted here.",
    20: "The authority of the server's certificate is not known here: it is a private one, or "
    "the server does not send the certificates between (the chain).",
    21: "The server sends its certificate without the chain to a known authority.",
    62: "The server's certificate is for another name.",
    64: "The server's certificate is not for this IP address. Use the server's name.",
}

NO_CREDENTIAL = (
    "The server asks for a user name and a password (-u and --password-file), or for a REST "
    "credential (--secret-file)."
)

CERTIFICATE_REMEDY = (
    " Give the server a certificate from a public authority; for a private one, pass its "
    "certificate with --ca and install it on every device that makes calls."
)


def printable(text: str, longest: int = 200) -> str:
    """Give ``text`` without what could steer a terminal, and not endlessly."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


def explain(error: Exception, stage: Stage, transport: Transport, server: Address) -> str:
    """Say in one or two sentences what went wrong and what mends it."""
    match error:
        case stun.TransactionFailed():
            return _refused_by_server(error, stage, server)
        case ssl.SSLCertVerificationError():
            return _untrusted(error)
        case ssl.SSLError():
            reason = printable(str(error))
            return (
                f"TLS could not be set up with {joined(server)} ({reason}): the port speaks "
                "something else, or only TLS that is too old."
            )
        case stun.TransactionTimeout() | TimeoutError():
            return _silence(stage, transport, server)
        case OSError():
            return _unreachable(error, transport, server)
    return f"The server's answer made no sense: {printable(str(error))}"


def _refused_by_server(error: stun.TransactionFailed, stage: Stage, server: Address) -> str:
    code, phrase = error.response.attributes.get("ERROR-CODE", (0, "no code"))
    said = f" ({code} {printable(phrase)})"
    if stage is Stage.RELAYING and code == 403:
        return (
            "The relay was given, but the server forbids relaying to its own relay address, "
            "which two callers behind firewalls need. Allow that address as a peer." + said
        )
    return SERVER_REFUSALS.get(code, "The server refused the request.") + said


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    fault = CERTIFICATE_FAULTS.get(
        error.verify_code, "The server's certificate is not trusted here."
    )
    remedy = "" if error.verify_code in (9, 10, 62, 64) else CERTIFICATE_REMEDY
    return f"{fault} ({printable(error.verify_message)}){remedy}"


def _silence(stage: Stage, transport: Transport, server: Address) -> str:
    where = joined(server)
    if stage is Stage.RELAYING:
        return (
            "The relay was given, but nothing comes through it. A firewall stands before the "
            "relay ports, or the server's external-ip is wrong."
        )
    if transport is Transport.UDP:
        return (
            f"No answer over UDP from {where}. The server is not running there, or a firewall "
            f"drops UDP to port {server[1]}: open it."
        )
    if stage is Stage.CONNECTING:
        return (
            f"{where} does not take the connection. A firewall drops TCP to port {server[1]}: "
            "open it, or check the address."
        )
    if stage is Stage.SECURING:
        return (
            f"{where} takes TCP, but does not answer TLS. Another service has this port, or the "
            "server speaks no TLS on it."
        )
    return (
        f"{where} takes the connection, but does not answer as a TURN server. Another service "
        "has this port, or a proxy stands between."
    )


def _unreachable(error: OSError, transport: Transport, server: Address) -> str:
    where = joined(server)
    if isinstance(error, ConnectionRefusedError):
        kind = "UDP" if transport is Transport.UDP else "TCP"
        return (
            f"{where} refuses {kind}: nothing listens there, or a firewall rejects it. Start the "
            "server, or correct the port."
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return f"There is no way from here to {server[0]}. Has this machine the address family?"
    if isinstance(error, ConnectionError):
        return (
            f"{where} closed the connection. Another service has this port, a proxy stands "
            "between, or the server does not accept this transport."
        )
    return f"{where} could not be reached: {printable(error.strerror or str(error))}."
