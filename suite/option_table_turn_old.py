"""
Names of coTURN options that were valid up to 4.6 and are gone in 4.17.

They are accepted with a warning. All but one describe what is so here anyway.
"""

from __future__ import annotations

from suite.option_kinds import BOOLEAN, SECONDS, Kind, integers
from suite.options import Mark, Option, Status


def _old(name: str, kind: Kind[object], reason: str, default: str = "") -> Option:
    return Option(
        section="turn",
        name=name,
        kind=kind,
        default=default,
        meaning=reason,
        reason=reason,
        marks=Mark.OLD,
        status=Status.NO_MEANING,
        bare="true" if kind is BOOLEAN else None,
    )


OLD = (
    _old("ne", integers(1, 3, 3), "there is one network engine"),
    _old("prod", BOOLEAN, "SOFTWARE is not sent unless software-attribute asks for it"),
    _old("no-sslv2", BOOLEAN, "TLS 1.2 is the oldest that is accepted"),
    _old("no-sslv3", BOOLEAN, "TLS 1.2 is the oldest that is accepted"),
    _old("no-tlsv1", BOOLEAN, "TLS 1.2 is the oldest that is accepted"),
    _old("no-tlsv1_1", BOOLEAN, "TLS 1.2 is the oldest that is accepted"),
    Option(
        section="turn",
        name="no-stun-backward-compatibility",
        kind=BOOLEAN,
        default="false",
        meaning="Do not answer the classic Binding; rfc3489-compatibility = false says the same.",
        reason="say rfc3489-compatibility = false",
        marks=Mark.OLD,
        bare="true",
    ),
    _old("secret-ts-exp-time", SECONDS, "the user name itself says when it expires"),
    _old("no-loopback-peers", BOOLEAN, "loopback peers are denied unless asked for"),
)
