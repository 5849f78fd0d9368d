"""
What a configuration would start, in a few lines for people.
"""

from __future__ import annotations

from b2bua.settings import B2buaSettings, WebMediaSettings
from suite.lab.settings import LabSettings
from suite.settings import SuiteSettings, TcpListen
from turn.five_tuple import joined
from turn.settings import CredentialSettings, TurnSettings


def summary(settings: SuiteSettings) -> str:
    """One line per service, each listener named."""
    lines = [f"{settings.name} would start:"]
    lines += [f"  {joined(each.address)} UDP: TURN" for each in settings.udp]
    lines += [f"  {joined(each.address)} TCP: {_served(each)}" for each in settings.tcp]
    if settings.b2bua:
        lines += [f"  {line}" for line in _sip(settings.b2bua)]
    if settings.lab:
        lines.append(f"  lab: {_lab(settings.lab)}")
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
        served.append("pages and browsers over plain HTTP" if listener.plain_http else "pages")
    if listener.redirect_to:
        served.append(f"redirect to HTTPS on port {listener.redirect_to}")
    text = ", ".join(served)
    if listener.proxy_from:
        text += f", PROXY header from {', '.join(str(each) for each in listener.proxy_from)}"
    return text


def _relay(turn: TurnSettings) -> list[str]:
    if not turn.turn:
        return ["STUN only, nothing is relayed"]
    where = ", ".join(turn.relay_addresses) or "the address that the client reached"
    first, last = turn.relay_ports
    shared = " shared by all allocations" if turn.shared_ports else ""
    return [
        f"relay on {where}, ports {first} to {last}{shared}",
        f"realm {turn.realm}, {_who(turn.credentials)}",
        f"peers: profile {turn.peers.profile}, {len(turn.peers.allowed)} allowed and "
        f"{len(turn.peers.denied)} denied ranges of your own",
    ]


def _sip(b2bua: B2buaSettings) -> list[str]:
    lines = [
        f"{joined((each.host, each.port))} {each.transport}: SIP"
        + (f", shown as {each.advertised}" if each.advertised else "")
        for each in b2bua.listens
    ]
    if b2bua.web is not None:
        lines.append(_media_of_browsers(b2bua.web))
    if b2bua.gateway is not None:
        anonymous = "and anonymous users" if b2bua.gateway.allow_anonymous else "only"
        lines.append(f"browsers sign in: DNs {anonymous}")
    servers, media, phones = b2bua.servers, b2bua.media, b2bua.phones
    named = ", ".join(joined((each.host, each.port)) for each in servers.addresses)
    shown = f", shown as {media.advertised}" if media.advertised else ""
    return [
        *lines,
        f"SIP Servers {named or f'of {servers.srv_name} by SRV'} over {servers.srv_transport}",
        f"RTP on {media.host}{shown}, ports {media.first_port} to {media.last_port}",
        f"phones: {len(phones.users)} with a password, {len(phones.networks)} networks without",
    ]


def _media_of_browsers(web: WebMediaSettings) -> str:
    shown = [
        f"{host}, shown as {web.external[host]}" if host in web.external else host
        for host in web.addresses
    ]
    return f"ICE on {'; '.join(shown)}, ports {web.first_port} to {web.last_port}"


def _lab(lab: LabSettings) -> str:
    servers = f"SIP Servers A {joined(lab.server_a)} and B {joined(lab.server_b)}"
    return f"{servers}, name server {joined(lab.name_server)}"


def _who(credentials: CredentialSettings) -> str:
    if credentials.anonymous:
        return "OPEN TO EVERYBODY"
    database = f", database {credentials.database}" if credentials.database else ""
    if credentials.use_secrets:
        return f"{len(credentials.secrets)} shared secrets{database}"
    return f"{len(credentials.users)} users{database}"
