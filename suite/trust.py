"""
``webrtc-suite trust``: let this user's browsers trust the certificate that the install made.

Chromium, and what is built on it, reads the NSS database in the user's home; ``certutil`` (Debian:
libnss3-tools) writes it. The authority that is added has signed one certificate, and its key was
never kept, so nothing else can be signed by it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from suite.certificate import AUTHORITY_FILE
from suite.command_line import EX_USAGE
from suite.config import Arguments, load

NICKNAME = "webrtc-suite of this machine"
USAGE = """\
Usage: webrtc-suite trust [--config FILE] [--remove]

Adds the authority of this install's own certificate to the NSS database in your home, where
Chromium looks; --remove takes it out again. Start the browser anew afterwards. For Firefox, import
the file under Settings, Certificates, Authorities.
"""

Run = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str], home: Path | None = None, run: Run | None = None) -> int:
    """Do it; returns the exit code. ``run`` executes a command and gives its exit code."""
    given = list(arguments)
    remove = "--remove" in given
    if remove:
        given.remove("--remove")
    config = Path(given[1]) if len(given) == 2 and given[0] == "--config" else None
    if given and config is None:
        sys.stderr.write(USAGE)
        return 0 if given[0] in ("-h", "--help") else EX_USAGE
    settings = load(Arguments(config=config)).settings
    if settings is None:
        return _fail("the configuration has errors; webrtc-suite check-config tells them")
    authority = settings.state_directory / AUTHORITY_FILE
    try:
        found = authority.exists()
    except OSError as error:
        return _fail(f"{authority}: {error.strerror}")
    if not found and not remove:
        return _fail(f"there is no {authority} yet: start the suite once")
    if run is None:
        tool = shutil.which("certutil")
        if tool is None:
            return _fail(f"certutil is missing (Debian: libnss3-tools); the file is {authority}")
        run = _execute
    return _change(authority, (home or Path.home()) / ".pki" / "nssdb", remove, run)


def _change(authority: Path, database: Path, remove: bool, run: Run) -> int:
    where = f"sql:{database}"
    if not database.exists():
        database.mkdir(mode=0o700, parents=True)
        run(["certutil", "-d", where, "-N", "--empty-password"])
    if remove:
        code = run(["certutil", "-d", where, "-D", "-n", NICKNAME])
    else:
        add = ["-A", "-t", "C,,", "-n", NICKNAME, "-i", str(authority)]
        code = run(["certutil", "-d", where, *add])
    if code == 0:
        done = "no longer trusted" if remove else f"trusted from now on: {authority}"
        sys.stdout.write(f"{done} (in {database}). Start your browser anew.\n")
    return code


def _execute(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


def _fail(sentence: str) -> int:
    sys.stderr.write(f"webrtc-suite: {sentence}\n")
    return 1
