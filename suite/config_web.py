"""
Media of browsers and their sessions, as sections [rsmp] and [gateway] have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from b2bua.net.dtls_identity import DtlsIdentity, DtlsIdentityError
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import (
    DtlsSettings,
    GatewaySettings,
    Network,
    TurnAccess,
    WebMediaSettings,
)
from suite.chosen import Chosen
from suite.config_sip_listen import RSMP, allows_six, is_loopback, is_six
from suite.config_tls import CERTIFICATE, KEY, check_named_key, check_pem, holds, named_file
from suite.config_turn import PUBLISHED, peer_settings, relay_port_range
from suite.diagnostics import HIDDEN, Level
from suite.ice_peers import IcePeers, SoughtPeers
from suite.machine import Machine
from suite.option_kinds import (
    BOOLEAN,
    CIPHERS,
    EXTERNAL,
    NETWORKS,
    PEM,
    PORT,
    PORT_OR_OFF,
    SECRET,
    TEXT,
)
from suite.option_kinds_b2bua import AUTO, SWITCH
from suite.option_kinds_gateway import CODECS, DIAL_NUMBERS, HOSTS, STUN_SERVER, TURN_SERVER
from suite.option_table import OPTIONS
from suite.option_table_web import (
    CALLS_PER_MINUTE,
    PICTURE_TIME,
    POLL_TIME,
    RELAY_TYPE,
    SESSION_TIME,
    SESSIONS,
    SESSIONS_OF_ONE,
    WEB,
)
from suite.options import Status
from turn.settings import ExternalAddress

GATEWAY = "gateway"
B2BUA = "b2bua"
TURN = "turn"
CERTIFICATE_OPTION = "web-dtls-certificate"
OF_SIP = frozenset(
    {
        "enable-transcoding",
        "rtp-trace-level",
        "sip-added-codecs",
        "sip-no-avpf",
        "sip-no-rtcpfb",
        "sip-srtp-mode",
    }
)
"""Options that mean something without any browser, so none of them switches the gateway on."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where files without a folder are looked for, and where this install keeps its own."""

    configuration: Path
    state: Path


def wants_browsers(chosen: Chosen, *, lab: bool) -> bool:
    """Whether the gateway is asked for, in as many words or by an option that only it has."""
    word = chosen.one(GATEWAY, "enabled", SWITCH)
    if word != AUTO:
        return word == "true"
    if lab:
        return True
    return any(row.name not in OF_SIP and chosen.is_set(RSMP, row.name) for row in WEB)


def serves_browsers(chosen: Chosen, *, lab: bool) -> bool:
    """Whether their media is served: the gateway's, and of pages that speak SIP themselves."""
    return wants_browsers(chosen, lab=lab) or chosen.one(B2BUA, "ws-port", PORT_OR_OFF) != 0


def remark_on_idle_gateway(chosen: Chosen) -> None:
    """Say that options of browsers do nothing, where the B2BUA runs without the gateway."""
    if chosen.is_set(GATEWAY, "enabled"):
        return
    for name in chosen.names(GATEWAY):
        problem = "the gateway is off, so this has no effect"
        accepted = "[gateway] enabled = true, or http-port in [rsmp]"
        chosen.complain(Level.NOTICE, GATEWAY, name, problem, accepted)
        return


# Media


def web_media_settings(
    chosen: Chosen, machine: Machine, folders: Folders, *, lab: bool
) -> WebMediaSettings:
    """ICE, DTLS and SDP of browsers; what contradicts is reported on the way."""
    addresses = _ice_addresses(chosen, machine, lab=lab)
    external = _external(chosen, addresses)
    loopback = any(is_loopback(host) for host in addresses)
    _check_inert(chosen)
    return WebMediaSettings(
        addresses=addresses,
        external=external,
        first_port=chosen.one(RSMP, "web-rtp-min-port", PORT),
        last_port=chosen.one(RSMP, "web-rtp-max-port", PORT),
        stun_server=chosen.maybe(RSMP, "stun-server", STUN_SERVER),
        turn_server=_turn_access(chosen),
        dtls=_dtls_settings(chosen, machine, folders),
        rules=CodecRules(
            codecs=chosen.one(RSMP, "codecs", CODECS),
            disallowed=chosen.maybe(RSMP, "web-disallowed-codecs", CODECS) or (),
            transcoding=False,
        ),
        bundle=chosen.one(RSMP, "web-media-bundle", BOOLEAN),
        bundle_only=chosen.one(RSMP, "web-offer-bundle-only", BOOLEAN),
        nack=chosen.one(RSMP, "web-nack-enabled", BOOLEAN),
        picture_spacing=_picture_spacing(chosen),
        picture_interval=_picture_interval(chosen),
        allows_peer=IcePeers(
            loopback=loopback,
            only=_only_peers(chosen, machine, lab=lab),
        ),
        seeks_peer=SoughtPeers(
            peers=peer_settings(chosen),
            machine=machine.addresses,
            external={public: local for local, public in external.items()},
            relay_ports=relay_port_range(chosen),
            loopback=loopback,
        ),
    )


def _only_peers(chosen: Chosen, machine: Machine, *, lab: bool) -> frozenset[str]:
    """Whom the lab serves: this machine, unless addresses for browsers were chosen for it."""
    is_closed = lab and not chosen.is_set(RSMP, "web-ice-addresses")
    return frozenset(machine.addresses) if is_closed else frozenset()


def _picture_spacing(chosen: Chosen) -> float | None:
    least = chosen.one(RSMP, "web-pli-mintime", PICTURE_TIME)
    return least / 1000 if least else None


def _picture_interval(chosen: Chosen) -> float | None:
    return _picture_spacing(chosen) if chosen.one(RSMP, "web-pli-always", BOOLEAN) else None


def _ice_addresses(chosen: Chosen, machine: Machine, *, lab: bool) -> tuple[str, ...]:
    given = chosen.maybe(RSMP, "web-ice-addresses", HOSTS)
    if given is not None:
        return tuple(dict.fromkeys(each for each in given if _may_bind(chosen, machine, each)))
    usable = [each for each in machine.addresses if allows_six(chosen) or not is_six(each)]
    outer = [each for each in usable if not is_loopback(each)]
    inner = tuple(each for each in usable if is_loopback(each))
    if lab:
        # Firefox talks to no loopback address; whoever is elsewhere is no peer, see IcePeers.
        return (*inner, *outer)
    if outer:
        return tuple(outer)
    problem = f"only {', '.join(inner)}: browsers of other machines cannot be talked to"
    accepted = "an address of this machine"
    chosen.complain(Level.WARNING, RSMP, "web-ice-addresses", problem, accepted)
    return inner


def _may_bind(chosen: Chosen, machine: Machine, host: str) -> bool:
    if is_six(host) and not allows_six(chosen):
        problem, accepted = "IPv6 is not allowed", "allow-ipv6 = true too, or an IPv4 address"
    elif host in machine.addresses or (is_loopback(host) and not is_six(host)):
        return True
    else:
        problem = "no address of this machine"
        accepted = (
            f"some of: {', '.join(machine.addresses)}; a public address that leads here "
            "is external-ip of [gateway]"
        )
    chosen.complain(Level.ERROR, RSMP, "web-ice-addresses", problem, accepted, host)
    return False


def _external(chosen: Chosen, addresses: tuple[str, ...]) -> Mapping[str, str]:
    """The public face of each local address: [gateway]'s, else those of the relay."""
    section = GATEWAY if chosen.is_set(GATEWAY, "external-ip") else TURN
    faces: dict[str, str] = {}
    for found, _ in chosen.every(section, "external-ip", EXTERNAL):
        if found is None:
            _refuse_auto(chosen, section)
            continue
        local = found.local or _inner(addresses, found)
        if local in addresses:
            faces[local] = found.public
        elif section == GATEWAY:
            problem = "what stands behind it is none of the addresses of ICE"
            accepted = f"public/private with one of: {', '.join(addresses)}"
            chosen.complain(Level.ERROR, section, "external-ip", problem, accepted, found.public)
    return faces


def _refuse_auto(chosen: Chosen, section: str) -> None:
    if section == GATEWAY:
        accepted = "the address, or stun-server in [rsmp], which is asked for it"
        problem = "ICE does not find it out this way"
        chosen.complain(Level.ERROR, section, "external-ip", problem, accepted)


def _inner(addresses: tuple[str, ...], found: ExternalAddress) -> str:
    """Which of ours a public address leads to where that is not said: the first of its family."""
    alike = [each for each in addresses if is_six(each) == is_six(found.public)]
    return next((each for each in alike if not is_loopback(each)), "")


def _turn_access(chosen: Chosen) -> TurnAccess | None:
    server = chosen.maybe(RSMP, "turn-server", TURN_SERVER)
    user, password = (
        chosen.maybe(RSMP, "turn-user", TEXT),
        chosen.maybe(RSMP, "turn-passwd", SECRET),
    )
    if server is None:
        if user or password:
            problem, accepted = "turn-server is not set", "the server that knows this user"
            chosen.complain(Level.NOTICE, RSMP, "turn-user", problem, accepted)
        return None
    if not user or not password:
        problem, accepted = "it lets nobody relay without them", "turn-user and turn-passwd"
        chosen.complain(Level.ERROR, RSMP, "turn-server", problem, accepted)
        return None
    if password in PUBLISHED.get(user, ()):
        problem = "a published sample credential, known to everybody"
        chosen.complain(Level.WARNING, RSMP, "turn-passwd", problem, "change it", HIDDEN)
    over_tcp = chosen.one(RSMP, "turn-relay-type", RELAY_TYPE) == 1
    if not chosen.is_set(RSMP, "turn-relay-type"):
        over_tcp = server.over_tcp or False
    return TurnAccess(
        host=server.host, port=server.port, user=user, password=password, over_tcp=over_tcp
    )


def _dtls_settings(chosen: Chosen, machine: Machine, folders: Folders) -> DtlsSettings:
    before = chosen.faults
    certificate, key = _dtls_files(chosen, machine, folders.configuration)
    enabled = chosen.one(RSMP, "web-enable-dtls", BOOLEAN)
    silent = chosen.one(RSMP, "web-disable-sdes", BOOLEAN)
    refuses = chosen.one(GATEWAY, "refuse-sdes", BOOLEAN)
    if not enabled and refuses:
        problem, accepted = "without DTLS nothing else is left", "refuse-sdes = false"
        chosen.complain(Level.ERROR, GATEWAY, "refuse-sdes", problem, accepted)
    if not enabled and silent and chosen.is_set(RSMP, "web-disable-sdes"):
        problem = "without DTLS an offer of ours would have no keys at all"
        accepted = "web-enable-dtls = true, or web-disable-sdes = false"
        chosen.complain(Level.ERROR, RSMP, "web-disable-sdes", problem, accepted)
    if not enabled:
        problem = "no browser of today can be talked to: all of them want DTLS"
        chosen.complain(Level.WARNING, RSMP, "web-enable-dtls", problem, "true")
    settings = DtlsSettings(
        certificate=certificate,
        key=key,
        key_password=chosen.maybe(RSMP, "web-dtls-keypassword", SECRET),
        state_directory=folders.state,
        ciphers=chosen.maybe(RSMP, "web-dtls-cipherlist", CIPHERS) or "",
        enabled=enabled,
        offers_sdes=not silent or not enabled,
        accepts_sdes=not refuses,
    )
    if chosen.faults == before:
        _check_identity(chosen, settings)
    return settings


def _check_identity(chosen: Chosen, settings: DtlsSettings) -> None:
    """Report what DTLS could not begin with; here no certificate of this install is made."""
    try:
        DtlsIdentity.load(replace(settings, state_directory=None))
    except DtlsIdentityError as error:
        option = "web-dtls-privatekey" if error.about == settings.key else CERTIFICATE_OPTION
        accepted = "a certificate and its key, both PEM"
        chosen.complain(Level.ERROR, RSMP, option, error.problem, accepted, str(error.about))


def _dtls_files(chosen: Chosen, machine: Machine, folder: Path) -> tuple[Path | None, Path | None]:
    certificate = named_file(chosen, machine, RSMP, CERTIFICATE_OPTION, folder)
    key = named_file(chosen, machine, RSMP, "web-dtls-privatekey", folder)
    if certificate is None or _is_absent_default(chosen, certificate):
        if key is not None:
            problem = "it belongs to no certificate"
            accepted = f"{CERTIFICATE_OPTION} too, or neither of them"
            chosen.complain(Level.ERROR, RSMP, "web-dtls-privatekey", problem, accepted)
        return None, None
    is_certificate = check_pem(chosen, RSMP, CERTIFICATE_OPTION, certificate, CERTIFICATE)
    password = chosen.maybe(RSMP, "web-dtls-keypassword", SECRET)
    if key is not None:
        check_named_key(chosen, "web-dtls-privatekey", key, "web-dtls-keypassword", password)
    elif not is_certificate:
        # That has been said; what follows from it need not be.
        pass
    elif not holds(certificate, KEY):
        problem, accepted = "the private key is not in it", "web-dtls-privatekey = its key"
        chosen.complain(Level.ERROR, RSMP, CERTIFICATE_OPTION, problem, accepted)
    else:
        check_named_key(chosen, CERTIFICATE_OPTION, certificate, "web-dtls-keypassword", password)
    return certificate, key


def _is_absent_default(chosen: Chosen, certificate: Path) -> bool:
    """An exported configuration names the old install's own certificate; here it has no place."""
    row = OPTIONS.find(RSMP, CERTIFICATE_OPTION)
    named = chosen.maybe(RSMP, CERTIFICATE_OPTION, PEM)
    if row is None or str(named) != row.default or certificate.exists():
        return False
    problem = "there is no such file, so DTLS uses the certificate of this install"
    accepted = "what is right here; or the path of a certificate"
    chosen.complain(Level.NOTICE, RSMP, CERTIFICATE_OPTION, problem, accepted, str(named))
    return True


def _check_inert(chosen: Chosen) -> None:
    if chosen.is_set(RSMP, "enable-transcoding") and chosen.one(
        RSMP, "enable-transcoding", BOOLEAN
    ):
        row = OPTIONS.find(RSMP, "enable-transcoding")
        if row is not None and row.status is not Status.SERVED:
            problem = "not served yet, it has no effect"
            chosen.complain(Level.NOTICE, RSMP, "enable-transcoding", problem, row.reason, "true")


# Sessions


def gateway_settings(chosen: Chosen) -> GatewaySettings:
    """Who may sign in, and for how long; what is unwise is said."""
    settings = GatewaySettings(
        allow_anonymous=chosen.one(RSMP, "allow-anonymous-user", BOOLEAN),
        sid_from_url=chosen.one(RSMP, "use-sid-from-url", BOOLEAN),
        networks=networks(chosen, "client-networks"),
        proxies=networks(chosen, "proxy-networks"),
        poll_seconds=chosen.one(GATEWAY, "poll-time", POLL_TIME),
        reap_seconds=chosen.one(GATEWAY, "session-time", SESSION_TIME),
        sessions=chosen.one(GATEWAY, "max-sessions", SESSIONS),
        strangers_per_address=chosen.one(GATEWAY, "strangers-per-address", SESSIONS),
        sessions_per_user=chosen.one(GATEWAY, "sessions-per-user", SESSIONS_OF_ONE),
        anonymous_calls_per_minute=chosen.one(GATEWAY, "anonymous-calls", CALLS_PER_MINUTE),
        anonymous_destinations=chosen.maybe(GATEWAY, "anonymous-destinations", DIAL_NUMBERS),
        trace=chosen.one(RSMP, "http-trace", BOOLEAN),
    )
    _check_proxies(chosen, settings)
    if settings.anonymous_destinations is not None and not settings.allow_anonymous:
        problem = "there are no anonymous users"
        accepted = "allow-anonymous-user = true, or without this"
        chosen.complain(Level.NOTICE, GATEWAY, "anonymous-destinations", problem, accepted)
    return settings


def networks(chosen: Chosen, name: str) -> tuple[Network, ...]:
    """All networks of a repeated option of [gateway]."""
    found = [each for some, _ in chosen.every(GATEWAY, name, NETWORKS) for each in some]
    return tuple(dict.fromkeys(found))


def _check_proxies(chosen: Chosen, settings: GatewaySettings) -> None:
    if any(network.prefixlen == 0 for network in settings.proxies):
        problem = "everybody could pass for any address"
        accepted = "the addresses of your proxies (example: 10.1.0.5/32)"
        chosen.complain(Level.ERROR, GATEWAY, "proxy-networks", problem, accepted)
    if chosen.one(GATEWAY, "proxy-port", PORT_OR_OFF) and not settings.proxies:
        problem = "nobody may connect there: proxy-networks is not set"
        accepted = "the addresses of your proxies (example: proxy-networks = 10.1.0.5/32)"
        chosen.complain(Level.ERROR, GATEWAY, "proxy-port", problem, accepted)


def is_beyond(hosts: Iterable[str]) -> bool:
    """Whether any of these addresses can be reached from another machine."""
    return not all(ip_address(host).is_loopback for host in hosts)
