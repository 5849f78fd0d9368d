"""
The B2BUA's settings, and the lab's, made of sections [rsmp], [b2bua], [users] and [lab].
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from b2bua.dial_numbers import DialNumbers
from b2bua.settings import (
    B2buaSettings,
    CallLimits,
    MediaSettings,
    Network,
    PhoneSettings,
    ServerSettings,
    SipAddress,
    SrtpMode,
)
from b2bua.srv import IpVersion
from b2bua.upstreams import PoolTimes, Server
from suite.chosen import Chosen
from suite.config_listen import SUITE
from suite.config_sip_listen import (
    B2BUA,
    RSMP,
    allows_six,
    check_six,
    listens,
    local_host,
    media_pairs,
    media_settings,
    sip_hosts,
    sip_tls,
)
from suite.config_web import (
    GATEWAY,
    Folders,
    gateway_settings,
    remark_on_idle_gateway,
    serves_browsers,
    wants_browsers,
    web_media_settings,
)
from suite.diagnostics import Level
from suite.lab.settings import LabSettings
from suite.machine import Machine
from suite.option_kinds import BOOLEAN, NETWORKS, PORT_OR_OFF, REALM, SECRET, TEXT, URL_PATH
from suite.option_kinds_b2bua import (
    AUTO,
    CALLS,
    ECHO_ANSWER,
    FAIL_BACK,
    FAILOVER_TIME,
    IP_VERSION,
    NAME_SERVERS,
    PASSWORD,
    PORT_RANGE,
    REGISTER_EXPIRES,
    REGISTER_RATE,
    RING_TIME,
    SERVICE_NAME,
    SIP_SERVERS,
    SIP_TRANSPORT,
    SWITCH,
)
from suite.option_kinds_gateway import DIAL_NUMBERS, DOMAINS
from suite.option_table import OPTIONS
from suite.option_table_web import SRTP_MODE
from suite.options import Status
from turn.five_tuple import Address

USERS = "users"
LAB = "lab"
LAB_PASSWORD = "lab"
"""Known to everybody on this machine, whom the lab is for; a phone may use it there directly."""
THIS_MACHINE: Network = ip_network("127.0.0.0/8")

PAGES_OF_THIS_MACHINE = ("*://localhost:*", "*://127.0.0.1:*", "*://[::1]:*")
PATHS_OF_PAGES = frozenset(
    {"", "api", "jsapi", "lab", "message", "phone", "ping", "sign_in", "sign_out", "static", "wait"}
)
"""What the first part of a path may be in ``suite.web.site``."""

_OF_THE_LAB = (
    (RSMP, "sip-proxy"),
    (RSMP, "sip-proxy-srv"),
    (B2BUA, "dns-server"),
    (B2BUA, "register-password"),
)
"""What the lab brings, so that nobody takes its servers for real ones."""


def lab_settings(chosen: Chosen) -> LabSettings | None:
    """The lab, where it is on; it stands beside no real SIP Server."""
    if not chosen.one(LAB, "enabled", BOOLEAN):
        return None
    for section, name in _OF_THE_LAB:
        if chosen.is_set(section, name):
            problem = "the lab is on, and brings its own"
            accepted = f"remove {name}, or [lab] enabled = false"
            chosen.complain(Level.ERROR, section, name, problem, accepted)
    if chosen.one(B2BUA, "transport", SIP_TRANSPORT) != "udp":
        problem = "the lab is on, and its SIP Servers speak UDP"
        accepted = "transport = udp, or [lab] enabled = false"
        chosen.complain(Level.ERROR, B2BUA, "transport", problem, accepted)
    if chosen.one(RSMP, "sip-srtp-mode", SRTP_MODE) == SrtpMode.STRICT:
        problem = "the lab is on, and its SIP Servers have no SRTP"
        accepted = "sip-srtp-mode = optional, or [lab] enabled = false"
        chosen.complain(Level.ERROR, RSMP, "sip-srtp-mode", problem, accepted)
    return LabSettings(password=LAB_PASSWORD)


def lab_addresses(lab: LabSettings) -> set[Address]:
    """Where the lab takes in UDP."""
    return {lab.server_a, lab.server_b, lab.name_server, lab.echo, lab.music}


def b2bua_settings(
    chosen: Chosen, machine: Machine, lab: LabSettings | None, folders: Folders
) -> B2buaSettings | None:
    """The B2BUA, where it is on; what contradicts is reported on the way."""
    if not _is_on(chosen, lab):
        _remark_on_idle(chosen)
        if chosen.one(GATEWAY, "enabled", SWITCH) == "true":
            problem = "browsers call through the B2BUA, and it is off"
            accepted = "[b2bua] enabled = true, or false here too"
            chosen.complain(Level.ERROR, GATEWAY, "enabled", problem, accepted)
        return None
    has_lab = lab is not None
    browsers = wants_browsers(chosen, lab=has_lab)
    if not browsers:
        remark_on_idle_gateway(chosen)
    hosts = sip_hosts(chosen, machine, lab=has_lab)
    servers = _server_settings(chosen, lab)
    toward = tuple(server.host for server in servers.addresses)
    if lab is not None:
        toward = (lab.server_a[0], lab.server_b[0])
    settings = B2buaSettings(
        listens=listens(chosen, hosts),
        tls=sip_tls(chosen, machine, folders.configuration),
        allowed_origins=_allowed_origins(chosen, lab),
        web_socket_path=chosen.one(B2BUA, "ws-path", URL_PATH),
        local_host=local_host(chosen, machine, hosts),
        local_ports=chosen.maybe(B2BUA, "local-ports", PORT_RANGE),
        servers=servers,
        registered=chosen.maybe(RSMP, "sip-register", DIAL_NUMBERS) or DialNumbers(),
        phones=_phone_settings(chosen, lab),
        media=media_settings(chosen, machine, hosts, toward),
        talk_hold=chosen.one(B2BUA, "talk-hold", BOOLEAN),
        service_type=chosen.one(RSMP, "reporting-service-type", TEXT),
        echo=chosen.maybe(B2BUA, "echo", DIAL_NUMBERS) or DialNumbers(),
        echo_answer=chosen.one(B2BUA, "echo-answer", ECHO_ANSWER),
        limits=_limits(chosen),
        web=web_media_settings(chosen, machine, folders, lab=has_lab)
        if serves_browsers(chosen, lab=has_lab)
        else None,
        gateway=gateway_settings(chosen) if browsers else None,
        avpf=not chosen.one(RSMP, "sip-no-avpf", BOOLEAN),
        feedback=not chosen.one(RSMP, "sip-no-rtcpfb", BOOLEAN),
        srtp=SrtpMode(chosen.one(RSMP, "sip-srtp-mode", SRTP_MODE)),
    )
    _check(chosen, settings)
    return settings


def _allowed_origins(chosen: Chosen, lab: LabSettings | None) -> tuple[str, ...]:
    given = chosen.maybe(RSMP, "domain-whitelist", DOMAINS) or ()
    # In the lab phones need no password, so a page from elsewhere must not pass for one.
    return given if given or lab is None else PAGES_OF_THIS_MACHINE


def _is_on(chosen: Chosen, lab: LabSettings | None) -> bool:
    word = chosen.one(B2BUA, "enabled", SWITCH)
    if word != AUTO:
        return word == "true"
    named = chosen.is_set(RSMP, "sip-proxy") or chosen.is_set(RSMP, "sip-proxy-srv")
    return named or lab is not None or wants_browsers(chosen, lab=False)


def _remark_on_idle(chosen: Chosen) -> None:
    """Say once that options of the B2BUA do nothing while it is off, unless that is meant."""
    if chosen.is_set(B2BUA, "enabled"):
        return
    for section in (RSMP, B2BUA, USERS):
        for name in chosen.names(section):
            row = OPTIONS.find(section, name)
            if row is not None and row.status is Status.SERVED:
                problem = "the B2BUA is off, so nothing of its options has an effect"
                accepted = "sip-proxy = the SIP Servers"
                chosen.complain(Level.NOTICE, section, name, problem, accepted)
                return


def _server_settings(chosen: Chosen, lab: LabSettings | None) -> ServerSettings:
    transport = chosen.one(B2BUA, "transport", SIP_TRANSPORT).upper()
    name = chosen.maybe(RSMP, "sip-proxy-srv", SERVICE_NAME) or ""
    failover = chosen.one(B2BUA, "failover-time", FAILOVER_TIME)
    rate = chosen.one(B2BUA, "register-rate", REGISTER_RATE)
    settings = ServerSettings(
        addresses=_addresses(chosen, transport, with_default=not name and lab is None),
        srv_name=name,
        srv_transport=transport,
        name_servers=chosen.maybe(B2BUA, "dns-server", NAME_SERVERS) or (),
        prefer=_preference(chosen),
        ipv6=allows_six(chosen),
        password=chosen.maybe(B2BUA, "register-password", SECRET),
        times=PoolTimes(
            failover=failover,
            fail_back=chosen.one(B2BUA, "fail-back", FAIL_BACK) or None,
        ),
        register_expires=chosen.one(B2BUA, "register-expires", REGISTER_EXPIRES),
        register_rate=rate,
        register_burst=_burst(chosen, rate),
    )
    if settings.register_expires <= 2 * failover + 2:
        problem = "no time is left to try again when a SIP Server is silent for failover-time"
        accepted = f"more than {2 * failover + 2:g}"
        chosen.complain(Level.ERROR, B2BUA, "register-expires", problem, accepted)
    if lab is None:
        return settings
    return replace(
        settings,
        addresses=(),
        srv_name=lab.domain,
        name_servers=(lab.name_server,),
        password=lab.password,
    )


def _addresses(chosen: Chosen, transport: str, *, with_default: bool) -> tuple[Server, ...]:
    if not chosen.is_set(RSMP, "sip-proxy"):
        if not with_default:
            return ()
        problem = "the SIP Server is expected on this machine"
        accepted = "sip-proxy = the SIP Servers"
        chosen.complain(Level.NOTICE, RSMP, "sip-proxy", problem, accepted)
    usual = 5061 if transport == "TLS" else 5060
    found = chosen.one(RSMP, "sip-proxy", SIP_SERVERS)
    for host, _ in found:
        check_six(chosen, "sip-proxy", host)
    return tuple(Server(host, port or usual, transport) for host, port in found)


def _preference(chosen: Chosen) -> IpVersion:
    preferred = chosen.one(RSMP, "sip-preferred-ipversion", IP_VERSION)
    if preferred is IpVersion.IPV6 and not allows_six(chosen):
        problem, accepted = "IPv6 is not allowed", "allow-ipv6 = true too"
        chosen.complain(Level.ERROR, RSMP, "sip-preferred-ipversion", problem, accepted)
    return preferred


def _burst(chosen: Chosen, rate: int) -> int:
    burst = chosen.one(B2BUA, "register-burst", REGISTER_RATE)
    if burst > rate and chosen.is_set(B2BUA, "register-burst"):
        problem = f"more at once than register-rate {rate} lets through in a second"
        chosen.complain(Level.ERROR, B2BUA, "register-burst", problem, f"1 to {rate}")
    return min(burst, rate)


def _phone_settings(chosen: Chosen, lab: LabSettings | None) -> PhoneSettings:
    users = {dn: chosen.one(USERS, dn, PASSWORD) for dn in chosen.names(USERS)}
    for dn, password in users.items():
        if password == dn:
            problem, accepted = "a password that is easily guessed", "a long random word"
            chosen.complain(Level.WARNING, USERS, dn, problem, accepted)
    networks: list[Network] = []
    for some, place in chosen.every(B2BUA, "phone-networks", NETWORKS):
        networks += some
        for network in some:
            if network.prefixlen == 0:
                say = chosen.voice(B2BUA, "phone-networks", place, str(network))
                problem = "everybody may register, and be called in the place of others"
                say(Level.WARNING, problem, "the networks of your phones")
    if lab is not None:
        networks.append(THIS_MACHINE)
    realm = chosen.one(B2BUA, "realm", REALM)
    return PhoneSettings(users=users, networks=tuple(dict.fromkeys(networks)), realm=realm)


def _limits(chosen: Chosen) -> CallLimits:
    return CallLimits(
        calls=chosen.one(B2BUA, "max-calls", CALLS),
        calls_per_dn=chosen.one(B2BUA, "calls-per-dn", CALLS),
        ringing_seconds=chosen.one(B2BUA, "ring-time", RING_TIME),
    )


def _check(chosen: Chosen, settings: B2buaSettings) -> None:
    _check_srtp(chosen, settings)
    _check_web(chosen, settings)
    _check_loop(chosen, settings)
    _check_pairs(chosen, settings)
    if not settings.registered:
        problem = "unset, so nobody is registered with the SIP Server or can be called"
        accepted = "the DNs of your phones (example: sip-register = 1020,2020-2050)"
        chosen.complain(Level.NOTICE, RSMP, "sip-register", problem, accepted)


def _check_srtp(chosen: Chosen, settings: B2buaSettings) -> None:
    if settings.srtp is SrtpMode.NONE or settings.servers.srv_transport == "TLS":
        return
    problem = "the keys go to the SIP Server in the clear: whoever reads SIP can decrypt"
    accepted = "[b2bua] transport = tls"
    chosen.complain(Level.WARNING, RSMP, "sip-srtp-mode", problem, accepted, settings.srtp.value)


def _check_web(chosen: Chosen, settings: B2buaSettings) -> None:
    has_port = chosen.one(B2BUA, "ws-port", PORT_OR_OFF) != 0
    has_pages = chosen.one(SUITE, "web", BOOLEAN)
    first = settings.web_socket_path.split("/")[1]
    if has_pages and first in PATHS_OF_PAGES:
        problem, accepted = "that is a page of ours", "another path (example: /sip)"
        chosen.complain(Level.ERROR, B2BUA, "ws-path", problem, accepted)
    if not settings.allowed_origins and (has_port or (has_pages and settings.phones.networks)):
        # Who needs no password is at the mercy of every page that is open in the browser.
        problem = "pages of every web site may open a WebSocket"
        accepted = "domain-whitelist = your sites (example: https://*.example.com:443)"
        option = "ws-port" if has_port else "phone-networks"
        chosen.complain(Level.WARNING, B2BUA, option, problem, accepted)
    if has_port and settings.tls.certificate is None:
        problem = "the WebSockets are not secured, so pages of HTTPS sites cannot open one"
        accepted = "sip-tls-cert and sip-tls-cert-key"
        chosen.complain(Level.NOTICE, B2BUA, "ws-port", problem, accepted)


def _check_loop(chosen: Chosen, settings: B2buaSettings) -> None:
    ours = {(each.host, each.port) for each in settings.listens}
    ours |= {(each.advertised, each.port) for each in settings.listens if each.advertised}
    for server in settings.servers.addresses:
        if (server.host, server.port) in ours:
            problem = "that is our own address, every call would come back"
            accepted = "the address of a SIP Server, or another sip-port"
            value = f"{server.host}:{server.port}"
            chosen.complain(Level.ERROR, RSMP, "sip-proxy", problem, accepted, value)


def _check_pairs(chosen: Chosen, settings: B2buaSettings) -> None:
    first, last = settings.media.first_port, settings.media.last_port
    pairs = media_pairs(first, last)
    if first <= last and not pairs:
        problem = "no pair of an even port and the next one is within the range"
        accepted = "two ports for each leg of a call"
        chosen.complain(Level.ERROR, RSMP, _range_option(chosen), problem, accepted)
    elif chosen.is_set(B2BUA, "max-calls") and 2 * settings.limits.calls > pairs:
        problem = f"there are RTP ports for {pairs // 2} calls with one medium each"
        accepted = "a wider range of sip-rtp-min-port to sip-rtp-max-port"
        chosen.complain(Level.WARNING, B2BUA, "max-calls", problem, accepted)


def check_sip_ports(
    chosen: Chosen,
    settings: B2buaSettings,
    taken_tcp: set[Address],
    taken_udp: set[Address],
) -> None:
    """Refuse SIP and RTP where other services listen, and RTP where SIP does."""
    for port in sorted({each.port for each in settings.listens}):
        if any(_clashes(each, port, taken_tcp, taken_udp) for each in settings.listens):
            section, name = _option_of(chosen, port)
            problem = f"port {port} is taken by another service of this server already"
            chosen.complain(Level.ERROR, section, name, problem, "a port that nothing else uses")
    datagrams = {(each.host, each.port) for each in settings.listens if each.transport == "UDP"}
    _check_media(chosen, settings.media, taken_udp | datagrams)


def _clashes(
    listen: SipAddress, port: int, taken_tcp: set[Address], taken_udp: set[Address]
) -> bool:
    taken = taken_udp if listen.transport == "UDP" else taken_tcp
    return listen.port == port and (listen.host, port) in taken


def _option_of(chosen: Chosen, port: int) -> tuple[str, str]:
    for section, name in ((RSMP, "sip-tls-port"), (B2BUA, "ws-port")):
        if chosen.one(section, name, PORT_OR_OFF) == port:
            return section, name
    return RSMP, "sip-port"


def _check_media(chosen: Chosen, media: MediaSettings, taken: set[Address]) -> None:
    inside = sorted(
        port
        for host, port in taken
        if host == media.host and media.first_port <= port <= media.last_port
    )
    if inside:
        shown = ", ".join(str(port) for port in inside)
        problem = f"the RTP ports {media.first_port} to {media.last_port} contain port {shown}"
        accepted = "ports that nothing else uses"
        chosen.complain(Level.ERROR, RSMP, _range_option(chosen), problem, accepted)


def _range_option(chosen: Chosen) -> str:
    last = "sip-rtp-max-port"
    return last if chosen.is_set(RSMP, last) else "sip-rtp-min-port"


def sip_secrets_on(chosen: Chosen, path: Path) -> bool:
    """Whether the file at ``path`` itself holds a phone's or a DN's password."""
    places = [chosen.place(USERS, dn) for dn in chosen.names(USERS)]
    if chosen.maybe(B2BUA, "register-password", SECRET):
        places.append(chosen.place(B2BUA, "register-password"))
    return any(place.file == str(path) for place in places)
