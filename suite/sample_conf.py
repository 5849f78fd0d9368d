"""
Prints the sample configuration: every option that is served, with its default and its meaning,
and of the gateway's guide also those that are not, with what stands in their way.

``python -m suite.sample_conf > conf/suite.conf`` renews the file; a test compares the two.
"""

from __future__ import annotations

import sys
import textwrap

from suite.option_table import OPTIONS
from suite.options import Mark, Option, Status

_HEAD = """\
# webrtc-suite: every option, commented out with its default.
#
# Options marked [reload] are read again on SIGHUP, the others at a start. Values may stand in
# double quotes. Comments stand on lines of their own. `webrtc-suite check-config --config FILE`
# says what is wrong with a file.
#
# [turn] has coTURN's names, and --turn-config reads a turnserver.conf as it is. Of its options,
# those not listed here have no effect; the check says why.
"""
_SECTIONS = {
    "suite": "The process, its pages and its limits.",
    "turn": "The STUN and TURN relay. It needs a user, a shared secret or a user database.",
    "rsmp": "SIP, browsers and the media of both. The names are those of the gateway's guide.",
    "gateway": "What else the gateway for browsers is told; the rest of it stands in [rsmp].",
    "b2bua": "What else the B2BUA between SIP phones and the SIP Servers is told.",
    "users": "Passwords of phones, by DN. Keep the file from others: chmod 600.",
    "lab": "SIP Servers to try things with, on this machine only.",
    "log": "The log. stdout, stderr, syslog, memory or a file's path, parted by commas.",
}


def sample() -> str:
    """The text of the sample file."""
    parts = [_HEAD]
    for section in OPTIONS.sections:
        rows = [row for row in OPTIONS.rows if row.section == section and _is_listed(row)]
        if rows:
            parts.append(f"\n# {_SECTIONS[section]}\n[{section}]\n")
            parts += [_entry(row) for row in rows]
    return "".join(parts)


def _is_listed(row: Option) -> bool:
    # Who brings a file of the gateway's finds every option of it here.
    served = row.status is Status.SERVED or row.section == "rsmp"
    return served and not row.has(Mark.OLD)


def _entry(row: Option) -> str:
    meaning = row.meaning
    if not row.effective_default:
        meaning += f" Example: {row.kind.example}"
    if row.status is not Status.SERVED:
        meaning += f" It has no effect: {row.reason}."
    if row.unset is not None:
        meaning += f" (The gateway's default: {row.default})"
    if row.has(Mark.LIVE):
        meaning += " [reload]"
    lines = textwrap.wrap(meaning, 94, break_on_hyphens=False)
    comment = "".join(f"# {line}\n" for line in lines)
    setting = f"#{row.name} = {row.effective_default}".rstrip()
    return f"\n{comment}{setting}\n"


if __name__ == "__main__":
    sys.stdout.write(sample())
