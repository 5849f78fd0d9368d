"""
What of a changed configuration can be applied while the suite runs.

Pure: settings in, a plan out. Users, secrets, peer rules, quotas, the certificate and the log
change at once; everything else waits for a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from suite.settings import SuiteSettings
from turn.settings import CredentialSettings, TurnSettings

_Settings = TypeVar("_Settings", TurnSettings, CredentialSettings)

LIVE = frozenset({"log", "tls", "https", "turn"})
"""Fields of SuiteSettings that change while running; ``turn`` only in part, see below."""

TURN_LIVE = frozenset(
    {
        "credentials",
        "peers",
        "user_quota",
        "total_quota",
        "max_bps",
        "bps_capacity",
        "unauthorized_rate",
        "binding_rate",
        "max_lifetime",
        "permission_lifetime",
        "channel_lifetime",
        "max_permissions",
        "max_channels",
    }
)
"""Fields of TurnSettings that ``turn.net.service.TurnService.reload`` takes over."""

CREDENTIALS_AT_START = frozenset({"anonymous", "use_secrets", "database", "algorithms"})
"""Of the credentials, what stays all the same: what the nonces promise, and the database."""


@dataclass(frozen=True, slots=True)
class Change:
    """From the running settings to those that were read."""

    settings: SuiteSettings
    """What runs from now on: the new values where they can be had, otherwise the old ones."""
    applied: tuple[str, ...]
    """Names of what changes now."""
    waiting: tuple[str, ...]
    """Names of what changes at the next start."""


def plan(running: SuiteSettings, read: SuiteSettings) -> Change:
    """Tell what to do about the difference."""
    turn, applied, waiting = _plan_turn(running.turn, read.turn)
    for field in fields(SuiteSettings):
        if field.name == "turn" or getattr(running, field.name) == getattr(read, field.name):
            continue
        (applied if _is_live(field.name, running, read) else waiting).append(field.name)
    changes = {name: getattr(read, name) for name in applied if "." not in name}
    settings = replace(running, turn=turn, **changes)
    return Change(settings=settings, applied=tuple(applied), waiting=tuple(waiting))


def _is_live(name: str, running: SuiteSettings, read: SuiteSettings) -> bool:
    # TLS that is switched on or off changes what the listeners accept, not only a certificate.
    switched = (getattr(running, name) is None) != (getattr(read, name) is None)
    # The install's own certificate stands in the state directory, and that one waits.
    moved = name == "tls" and running.state_directory != read.state_directory
    return name in LIVE and not switched and not moved


def _plan_turn(
    running: TurnSettings | None, read: TurnSettings | None
) -> tuple[TurnSettings | None, list[str], list[str]]:
    if running is None or read is None:
        return running, [], [] if running is read else ["turn"]
    # Which ports browsers' media have is read at a start only, and so is who may reach them.
    peers = replace(
        read.peers,
        open_ports=running.peers.open_ports,
        local_faces=running.peers.local_faces,
    )
    read = replace(read, peers=peers)
    differing = _differing(running, read)
    late = differing - TURN_LIVE
    new, old = read.credentials, running.credentials
    late_credentials = _differing(old, new) & CREDENTIALS_AT_START
    credentials = replace(new, **{name: getattr(old, name) for name in late_credentials})
    settings = replace(
        read, credentials=credentials, **{name: getattr(running, name) for name in late}
    )
    applied = [f"turn.{name}" for name in sorted(_differing(running, settings))]
    waiting = [f"turn.credentials.{name}" for name in sorted(late_credentials)]
    return settings, applied, waiting + [f"turn.{name}" for name in sorted(late)]


def _differing(one: _Settings, other: _Settings) -> set[str]:
    names = {field.name for field in fields(one)}
    return {name for name in names if getattr(one, name) != getattr(other, name)}
