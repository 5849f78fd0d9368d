"""
What a configuration would start, in a few lines for people.
"""

from __future__ import annotations

from suite.settings import SuiteSettings, TcpListen
from turn.five_tuple import joined
from turn.settings import CredentialSettings, TurnSettings


def summary(settings: SuiteSettings) -> str:
    """One line per service, each listener named."""
    lines = [f"{settings.name} would start:"]
    lines += [f"  {joined(each.address)} UDP: TURN" for each in settings.udp]
    lines += [f"  {joined(each.address)} TCP: {_served(each)}" for each in settings.tcp]
    if settings.status:
        lines.append(f"  {joined(settings.status.address)} TCP: health and metrics, plain HTTP")
    if settings.turn:
        lines += [f"  {line}" for line in _relay(settings.turn)]
    if settings.tls:
        lines.append(
            f"  certificate {settings.tls.certificate}, TLS {settings.tls.minimum} or newer"
        )
    targets = ", ".join(f"{each.target} ({each.level})" for each in settings.log.outputs)
    lines.append(f"  log {settings.log.verbose or 'none'} to {targets}")
    return "\n".join(lines) + "\n"


def _served(listener: TcpListen) -> str:
    served = []
    if listener.turn:
        served += ["TURN"] if listener.plain else []
        served += ["TURN over TLS"] if listener.secures_turn else []
    if listener.web:
        served.append("pages")
    text = ", ".join(served)
    if listener.proxy_from:
        text += f", PROXY header from {', '.join(str(each) for each in listener.proxy_from)}"
    return text


def _relay(turn: TurnSettings) -> list[str]:
    if not turn.turn:
        return ["STUN only, nothing is relayed"]
    where = ", ".join(turn.relay_addresses) or "the address that the client reached"
    return [
        f"relay on {where}, ports {turn.min_port} to {turn.max_port}",
        f"realm {turn.realm}, {_who(turn.credentials)}",
        f"peers: profile {turn.peers.profile}, {len(turn.peers.allowed)} allowed and "
        f"{len(turn.peers.denied)} denied ranges of your own",
    ]


def _who(credentials: CredentialSettings) -> str:
    if credentials.anonymous:
        return "OPEN TO EVERYBODY"
    database = f", database {credentials.database}" if credentials.database else ""
    if credentials.use_secrets:
        return f"{len(credentials.secrets)} shared secrets{database}"
    return f"{len(credentials.users)} users{database}"
