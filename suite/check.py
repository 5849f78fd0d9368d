"""
``webrtc-suite check``: is a TURN server reachable from here, and does data flow through it?

It runs as a process of its own, without Twisted's reactor, beside or far from the server. A server
may answer whatever it likes: the check ends with a verdict, never with a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from suite.check_nat import NatReport, describe, nat_type
from suite.check_probe import binding, probe
from suite.check_relay import Server
from suite.check_report import Report
from suite.check_target import Target, parse_target
from suite.check_verdict import printable
from suite.web.credentials import LIFETIME, PAGE_ID, Credential, rest_credential
from turn.five_tuple import Transport

WORKS, FAILS, MISUSED = 0, 1, 2

DESCRIPTION = """\
Ask a TURN server for relays over UDP, TCP and TLS, send data from relay to relay,
and say what works and what to do about what does not."""

EPILOG = """\
The server is turn:HOST:PORT (UDP and TCP), turns:HOST:PORT (TLS), either with
?transport=udp or ?transport=tcp, or plain HOST[:PORT] (all three, port 443).

A password or secret is best given in a file or in the environment variables
TURN_PASSWORD and TURN_SECRET: the command line is seen by every user of this
machine.

The exit code is 0 if everything that was tried works, 1 if something does not,
2 if the check could not start."""


def parser() -> argparse.ArgumentParser:
    """Make the command line's grammar."""
    options = argparse.ArgumentParser(
        prog="webrtc-suite check",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("server", help="turn:HOST:PORT, turns:HOST:PORT or HOST[:PORT]")
    who = options.add_argument_group("credentials")
    who.add_argument("-u", "--user", default="", help="user name")
    who.add_argument("-p", "--password", help="password (better: a file or TURN_PASSWORD)")
    who.add_argument("--password-file", type=Path, help="file whose first line is the password")
    who.add_argument(
        "-W", "--secret", help="shared secret of the server; makes a REST credential with it"
    )
    who.add_argument("--secret-file", type=Path, help="file whose first line is the secret")
    who.add_argument("--sha256", action="store_true", help="REST password with SHA-256")
    tls = options.add_argument_group("TLS")
    tls.add_argument("--ca", type=Path, help="trust the authorities in this PEM file too")
    tls.add_argument("--insecure", action="store_true", help="do not check the certificate")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options.add_argument("--no-nat", action="store_true", help="leave out the NAT test")
    options.add_argument(
        "--timeout", type=float, default=10.0, help="seconds to wait for each answer (%(default)s)"
    )
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check that ``argv`` asks for and give the exit code."""
    options = parser().parse_args(argv)
    try:
        target = parse_target(options.server)
        credential = credential_from(options)
        context = tls_context(options.ca, insecure=options.insecure)
        address = resolve(target)
    except (ValueError, OSError) as error:
        print(f"webrtc-suite check: {printable(str(error))}", file=sys.stderr)
        return MISUSED
    server = Server(target.host, address, target.port, context, options.timeout)
    try:
        report = asyncio.run(check(target, server, credential, nat=not options.no_nat))
    except KeyboardInterrupt:
        print("webrtc-suite check: interrupted", file=sys.stderr)
        return MISUSED
    print(report.as_json() if options.json else report.as_text())
    return WORKS if report.works else FAILS


def credential_from(options: argparse.Namespace) -> Credential | None:
    """
    Find the credential in the options, their files, or the environment.

    None where nothing was given: the server may be an open one. Raises ValueError.
    """
    for option in ("password", "secret"):
        if getattr(options, option) is not None:
            hint = f"--{option}-file or TURN_{option.upper()}"
            print(f"Everybody on this machine can see the {option}; use {hint}.", file=sys.stderr)
    secret = _given(options.secret, options.secret_file, "TURN_SECRET")
    if secret is not None:
        digest = "sha256" if options.sha256 else "sha1"
        user = options.user or PAGE_ID
        return rest_credential(secret, int(time.time()) + LIFETIME, user, digest=digest)
    password = _given(options.password, options.password_file, "TURN_PASSWORD")
    if not options.user:
        if password is not None:
            raise ValueError("a password needs a user name (-u)")
        return None
    if password is None:
        if not sys.stdin.isatty():
            raise ValueError("no password: use --password-file or TURN_PASSWORD")
        password = getpass.getpass("Password: ")
    return Credential(options.user, password)


def _given(value: str | None, file: Path | None, variable: str) -> str | None:
    if value is not None:
        return value
    if file is not None:
        lines = file.read_text().splitlines()
        if not lines or not lines[0]:
            raise ValueError(f"{file} is empty")
        return lines[0]
    return os.environ.get(variable)


def tls_context(authorities: Path | None, *, insecure: bool) -> ssl.SSLContext:
    """Make what TLS is checked with: the system's authorities and those in the file."""
    context = ssl.create_default_context()
    if authorities is not None:
        try:
            context.load_verify_locations(cafile=authorities)
        except ssl.SSLError as error:
            raise ValueError(f"{authorities} holds no certificate in PEM form") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def resolve(target: Target) -> str:
    """Find the address of the server; the first one, as a browser would use."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ValueError(
            f"the name {target.host} was not found: check its spelling and the DNS"
        ) from error
    return str(found[0][4][0])


async def check(
    target: Target, server: Server, credential: Credential | None, *, nat: bool = True
) -> Report:
    """Try the transports one after another, so that they do not disturb each other's times."""
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: faults.append(str(context.get("exception") or context["message"]))
    )
    outcomes = []
    for transport in target.transports:
        _progress(f"{transport}: asking {target} for a relay and sending data through it")
        outcome = await probe(server, transport, credential)
        if faults and not outcome.works:
            # What the client library could not make sense of came from the server.
            outcome.verdict += f" It sent something that is no TURN: {printable(faults[0])}."
        faults.clear()
        outcomes.append(outcome)
    found = None
    if nat and Transport.UDP in target.transports:
        _progress("NAT: testing, at most 10 seconds")
        found = await find_nat(server)
    _progress("")
    return Report(target, server.address, outcomes, found)


async def find_nat(server: Server) -> NatReport | None:
    """Find out what stands between here and the server; None where UDP does not get there."""
    try:
        mapped, local = await binding(server)
    except OSError:
        # The verdict on UDP has told why already.
        return None
    kind = None
    if mapped is not None and ":" not in server.address:
        kind = await nat_type((server.address, server.port), local[0])
    return describe(local, mapped, kind)


def _progress(sentence: str) -> None:
    """Show what is being waited for, on one line that the next overwrites."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{sentence}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
