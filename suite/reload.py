"""
What of a changed configuration can be applied while the suite runs.

Pure: settings in, a plan out. Users, secrets, peer rules, quotas, rates and lifetimes change at
once and the log too; whatever is bound to a socket or a port range waits for a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from suite.settings import SuiteSettings
from turn.settings import TurnSettings

LIVE = frozenset({"log", "tls", "turn", "sources"})
"""Fields of SuiteSettings that change while running; ``turn`` only in part, see below."""

TURN_AT_START = frozenset(
    {
        "realm",
        "relay_addresses",
        "external_addresses",
        "external_auto",
        "external_stun_server",
        "min_port",
        "max_port",
        "stun",
        "turn",
        "nonce_secret",
        "legacy_channel_numbers",
    }
)
"""Fields of TurnSettings that stay as they were at the start."""


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
    named = tuple(name for name in applied if name != "sources")
    return Change(settings=settings, applied=named, waiting=tuple(waiting))


def _is_live(name: str, running: SuiteSettings, read: SuiteSettings) -> bool:
    # TLS that is switched on or off changes what the listeners accept, not only a certificate.
    switched = (getattr(running, name) is None) != (getattr(read, name) is None)
    return name in LIVE and not switched


def _plan_turn(
    running: TurnSettings | None, read: TurnSettings | None
) -> tuple[TurnSettings | None, list[str], list[str]]:
    if running is None or read is None:
        return running, [], [] if running is read else ["turn"]
    applied, waiting = [], []
    changes = {}
    for field in fields(TurnSettings):
        value = getattr(read, field.name)
        if value == getattr(running, field.name):
            continue
        if field.name in TURN_AT_START:
            waiting.append(f"turn.{field.name}")
        else:
            changes[field.name] = value
            applied.append(f"turn.{field.name}")
    return replace(running, **changes), applied, waiting
