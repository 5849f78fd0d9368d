"""
The certificate that TLS listeners show: the one that is named, or this install's own.
"""

from __future__ import annotations

import re
from pathlib import Path

from suite.chosen import Chosen
from suite.config_files import is_exposed, why_unreadable
from suite.diagnostics import Level
from suite.machine import Machine
from suite.option_kinds import BOOLEAN, CIPHERS, PEM, SECRET
from suite.settings import TlsSettings

TURN = "turn"
OWN_CERTIFICATE = "certificate.pem"
OWN_KEY = "key.pem"

CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----")
KEY = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


def tls_settings(chosen: Chosen, machine: Machine, state: Path, folder: Path) -> TlsSettings:
    """The named pair, checked; without one, the pair that the suite makes in ``state``."""
    certificate = named_file(chosen, machine, TURN, "cert", folder)
    key = named_file(chosen, machine, TURN, "pkey", folder)
    password = chosen.maybe(TURN, "pkey-pwd", SECRET)
    if certificate:
        check_pem(chosen, TURN, "cert", certificate, CERTIFICATE)
    if key:
        check_pem(chosen, TURN, "pkey", key, KEY)
        _check_exposure(chosen, TURN, "pkey", key)
        _check_password(chosen, (TURN, "pkey"), key, "pkey-pwd", password)
    if bool(certificate) != bool(key):
        name, other = ("cert", "pkey") if certificate else ("pkey", "cert")
        chosen.complain(
            Level.ERROR, TURN, name, f"{other} is missing", f"set both cert and {other}"
        )
    elif not certificate:
        problem = f"clients see the certificate that this install made itself, in {state}"
        accepted = "set cert and pkey to one that clients trust"
        chosen.complain(Level.NOTICE, TURN, "cert", problem, accepted)
    return TlsSettings(
        certificate=certificate or state / OWN_CERTIFICATE,
        private_key=key or state / OWN_KEY,
        key_password=password,
        cipher_list=chosen.maybe(TURN, "cipher-list", CIPHERS),
        minimum="1.3" if chosen.one(TURN, "no-tlsv1_2", BOOLEAN) else "1.2",
    )


def named_file(
    chosen: Chosen, machine: Machine, section: str, name: str, folder: Path
) -> Path | None:
    """The file as named; without a leading / it is looked for like coTURN does."""
    path = chosen.maybe(section, name, PEM)
    if path is None or path.is_absolute():
        return path
    candidates = [place / path for place in (folder, Path(), *machine.certificate_folders)]
    return next((each for each in candidates if not why_unreadable(each)), folder / path)


def check_pem(
    chosen: Chosen, section: str, name: str, path: Path, marker: re.Pattern[bytes]
) -> bool:
    """
    Report a file that cannot be read, or that holds none of what ``marker`` finds; whether it does.
    """
    what = "private key" if marker is KEY else "certificate"
    fault = why_unreadable(path)
    if not fault and not holds(path, marker):
        fault = f"it holds no {what} in PEM form"
    if fault:
        accepted = f"a PEM file with a {what} that this user may read"
        chosen.complain(Level.ERROR, section, name, fault, accepted, str(path))
    return not fault


def check_plain_key(chosen: Chosen, section: str, name: str, path: Path) -> None:
    """Report a private key that others may read, or that only a password opens."""
    check_pem(chosen, section, name, path, KEY)
    _check_exposure(chosen, section, name, path)
    if not why_unreadable(path) and holds(path, _ENCRYPTED):
        problem = "the private key is encrypted"
        accepted = "a key without a password (openssl pkey -in KEY -out NEW)"
        chosen.complain(Level.ERROR, section, name, problem, accepted, str(path))


def _check_exposure(chosen: Chosen, section: str, name: str, path: Path) -> None:
    if not why_unreadable(path) and any(is_exposed(path)):
        accepted = f"chmod 600 {path}, owned by the user that runs this server"
        problem = "others than its owner may read the private key"
        chosen.complain(Level.ERROR, section, name, problem, accepted, str(path))


def check_named_key(
    chosen: Chosen, name: str, path: Path, password_name: str, password: str | None
) -> None:
    """Report a private key of [rsmp] that others may read, or whose password is missing."""
    check_pem(chosen, "rsmp", name, path, KEY)
    _check_exposure(chosen, "rsmp", name, path)
    _check_password(chosen, ("rsmp", name), path, password_name, password)


def _check_password(
    chosen: Chosen, option: tuple[str, str], path: Path, password_name: str, password: str | None
) -> None:
    if not password and not why_unreadable(path) and holds(path, _ENCRYPTED):
        problem = f"the private key is encrypted and {password_name} is missing"
        accepted = f"{password_name} = its password"
        chosen.complain(Level.ERROR, *option, problem, accepted, str(path))


def holds(path: Path, marker: re.Pattern[bytes]) -> bool:
    """Whether a file that can be read has what ``marker`` finds."""
    with path.open("rb") as file:
        return marker.search(file.read(1024 * 1024)) is not None
