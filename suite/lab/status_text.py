"""
The live picture of the lab as text for a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from suite.lab.gateway import GatewaySnapshot
from suite.lab.status import LabStatus

MOST_ROWS = 40
"""Of one table; a note tells how many are left out."""

Row = tuple[str, ...]


def status_text(lab: LabStatus, gateway: GatewaySnapshot | None) -> str:
    """Lay out everything, one table under the other."""
    parts = [_servers(lab), _dns(lab), *_gateway(gateway), _registrations(lab), _calls(lab)]
    parts.append(_phones(lab))
    return "\n\n".join(part for part in parts if part)


def table(heading: Row, rows: Sequence[Row]) -> str:
    """Align the columns; what is empty shows as a dash."""
    lines = [heading, *(tuple(cell or "-" for cell in row) for row in rows[:MOST_ROWS])]
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip()
        for line in lines
    ]
    if len(rows) > MOST_ROWS:
        text.append(f"... and {len(rows) - MOST_ROWS} more")
    return "\n".join(text)


def _servers(lab: LabStatus) -> str:
    rows = [
        (
            each.name,
            each.address,
            each.state,
            "active" if each.active else "",
            str(each.registered),
            str(each.transactions),
        )
        for each in lab.servers
    ]
    return table(("SERVER", "ADDRESS", "STATE", "IN USE", "REGISTERED", "REQUESTS"), rows)


def _dns(lab: LabStatus) -> str:
    dns = lab.dns
    state = "on" if dns.on else "off"
    return table(
        ("NAME SERVER OF", "ADDRESS", "STATE", "QUERIES"),
        [(dns.name, dns.address, state, str(dns.queries))],
    )


def _gateway(gateway: GatewaySnapshot | None) -> list[str]:
    if gateway is None:
        return ["The B2BUA is not running."]
    line = (
        f"The B2BUA uses {gateway.active or 'no server'} ({gateway.state}, "
        f"generation {gateway.generation}); {_count(gateway.registered, 'DN')} registered."
    )
    parts = [line]
    if gateway.servers:
        rows = [(each.address, each.state) for each in gateway.servers]
        parts.append(table(("ITS SERVERS", "STATE"), rows))
    if gateway.calls:
        calls = [
            (each.id, each.caller, each.callee, each.state, f"{each.since:.0f} s", each.held_by)
            for each in gateway.calls
        ]
        parts.append(table(("ITS CALLS", "FROM", "TO", "STATE", "FOR", "HELD BY"), calls))
    return parts


def _registrations(lab: LabStatus) -> str:
    if not lab.registrations:
        return "No DN is registered."
    rows = [
        (each.dn, each.server, f"{each.expires_in} s", each.contact) for each in lab.registrations
    ]
    return table(("DN", "SERVER", "EXPIRES IN", "CONTACT"), rows)


def _calls(lab: LabStatus) -> str:
    if not lab.calls:
        return "No calls."
    rows = [
        (
            each.id,
            each.caller,
            each.callee,
            each.state,
            f"{each.since:.0f} s",
            each.server,
            "lab" if each.third_party else "",
        )
        for each in lab.calls
    ]
    return table(("CALL", "FROM", "TO", "STATE", "FOR", "SERVER", "MADE BY"), rows)


def _phones(lab: LabStatus) -> str:
    rows = [(each.name, each.dn, each.address, each.state) for each in lab.phones]
    return table(("PHONE", "DN", "ADDRESS", "STATE"), rows) if rows else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
