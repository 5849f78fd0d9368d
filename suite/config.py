"""
From files and command line to settings: the suite's one way to be configured.

``load`` reads everything, reports every problem in one run and makes ``SuiteSettings`` unless one
of them is an error. ``check`` does the same without starting anything. Nothing here binds a port.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from b2bua.settings import B2buaSettings
from suite.chosen import Chosen, Source
from suite.config_b2bua import (
    b2bua_settings,
    check_sip_ports,
    lab_addresses,
    lab_settings,
    sip_secrets_on,
)
from suite.config_files import Assignment, is_exposed, why_unreadable
from suite.config_gateway import check_gateway, check_ice_ports
from suite.config_https import (
    check_exposed_gateway,
    gateway_listeners,
    https_settings,
    redirect_listeners,
)
from suite.config_listen import (
    check_ports,
    status_settings,
    tcp_listeners,
    udp_listeners,
    web_hosts,
)
from suite.config_log import log_settings
from suite.config_summary import summary
from suite.config_tls import tls_settings
from suite.config_turn import secrets_on, turn_settings, with_ice
from suite.config_web import Folders
from suite.diagnostics import Diagnostic, Findings, Level, Place, exit_code
from suite.ini import read_ini
from suite.lab.settings import LabSettings
from suite.machine import Machine, this_machine
from suite.option_kinds import BOOLEAN, COUNT, PATH, SECONDS, TEXT
from suite.option_table import OPTIONS
from suite.option_table_turn import BUFFER, PROFILE
from suite.options import Mark
from suite.settings import SuiteSettings, TcpListen, TlsSettings
from suite.turnserver_conf import read_turnserver_conf
from suite.web.credentials import CONFINED_PAGE, CONFINED_SESSIONS
from turn.five_tuple import Address
from turn.settings import PeerProfile, TurnSettings

SUITE = "suite"
TURN = "turn"
EMBEDDED = Path(__file__).with_name("run.conf")
"""What is started when no file is named: everything, for this machine only."""

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """
    What the command line says about the configuration.

    Of a single option the last word counts: ``config``, then ``turn_config``, then ``overrides``.
    Repeated options add up over all three.
    """

    config: Path | None = None
    turn_config: Path | None = None
    """A turnserver.conf. Without ``config`` the relay alone is started."""
    overrides: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(option, value); the option is one of [turn] or [suite], or written section.option."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, None if there is an error, and all that was found."""

    settings: SuiteSettings | None
    diagnostics: tuple[Diagnostic, ...]


def load(arguments: Arguments, *, machine: Machine | None = None) -> Loaded:
    """Read files, then overrides; never raises for what they hold."""
    machine = machine or this_machine()
    findings = Findings()
    chosen = Chosen(OPTIONS, findings)
    sources = _read(arguments, chosen, findings)
    chosen.remark_on_unserved()
    settings = _settings(arguments, chosen, machine, sources, findings)
    for path in sources:
        _check_exposure(path, chosen, findings)
    return Loaded(None if findings.refused else settings, findings.all())


def check(
    arguments: Arguments,
    *,
    machine: Machine | None = None,
    write: Callable[[str], object] = sys.stdout.write,
) -> int:
    """Print all diagnostics and what would be started; give the exit code."""
    loaded = load(arguments, machine=machine)
    for each in loaded.diagnostics:
        write(f"{each}\n")
    if loaded.settings is None:
        write("webrtc-suite would not start with this configuration.\n")
    else:
        write(summary(loaded.settings))
    return exit_code(loaded.diagnostics)


def _read(arguments: Arguments, chosen: Chosen, findings: Findings) -> tuple[Path, ...]:
    files: list[Path] = []
    config = arguments.config
    if config is None and arguments.turn_config is None:
        config = EMBEDDED
        problem = "no configuration is named: this machine only is served"
        findings.add(Level.NOTICE, Place(str(EMBEDDED)), problem, accepted="--config FILE")
    if config is not None:
        chosen.take(read_ini(config, findings), Source(str(config)))
        files.append(config)
    if arguments.turn_config is not None:
        path = arguments.turn_config
        chosen.take(read_turnserver_conf(path, findings), Source(str(path), lenient=True))
        files.append(path)
    if arguments.overrides:
        chosen.take(_overrides(arguments, findings), Source(COMMAND_LINE))
    return tuple(files)


def _overrides(arguments: Arguments, findings: Findings) -> list[Assignment]:
    found = []
    for name, value in arguments.overrides:
        section, dot, option = name.partition(".")
        if not (dot and section in OPTIONS.sections):
            section, option = TURN, name
            if not OPTIONS.find(TURN, name) and OPTIONS.find(SUITE, name):
                section = SUITE
        row = OPTIONS.find(section, option)
        if row is not None and row.has(Mark.SECRET) and value:
            findings.add(
                Level.WARNING,
                Place(COMMAND_LINE),
                "a secret on the command line is seen in the process list",
                section=section,
                option=option,
                accepted="write it into a file",
                security=True,
            )
        found.append(Assignment(section, option, value, Place(COMMAND_LINE)))
    return found


def _settings(
    arguments: Arguments,
    chosen: Chosen,
    machine: Machine,
    sources: tuple[Path, ...],
    findings: Findings,
) -> SuiteSettings:
    coturn_file = arguments.config is None and arguments.turn_config is not None
    web = chosen.one(SUITE, "web", BOOLEAN)
    if coturn_file and not chosen.is_set(SUITE, "web"):
        web = False
    state = chosen.maybe(SUITE, "state-directory", PATH) or machine.state_directory
    folder = sources[-1].parent
    lab = lab_settings(chosen)
    b2bua = b2bua_settings(chosen, machine, lab, Folders(folder, state))
    turn = _has_relay(chosen, b2bua)
    udp = udp_listeners(chosen, machine) if turn else ()
    more = _more_listeners(chosen, machine, b2bua, lab=lab is not None, web=web)
    tcp = tcp_listeners(chosen, machine, turn=turn, web=web, more=more)
    _check_something(chosen, serves=bool(udp or tcp or b2bua))
    status = status_settings(chosen, coturn_file=coturn_file)
    check_ports(chosen, tcp, udp, status)
    check_gateway(chosen)
    if b2bua is not None:
        taken_tcp = {each.address for each in tcp} | ({status.address} if status else set())
        _check_media_ports(chosen, b2bua, taken_tcp, {each.address for each in udp}, lab)
    if coturn_file:
        _announce_profile(chosen, findings, sources[-1])
    tls = _tls(chosen, machine, tcp, state, folder)
    return SuiteSettings(
        name=chosen.one(SUITE, "name", TEXT),
        state_directory=state,
        udp=udp,
        tcp=tcp,
        tls=tls,
        https=https_settings(chosen, machine, tls, folder) if b2bua and b2bua.gateway else None,
        turn=_relay(chosen, machine, b2bua, coturn_file=coturn_file, web=web) if turn else None,
        b2bua=b2bua,
        lab=lab,
        web=web,
        log=log_settings(chosen, coturn_file=coturn_file),
        status=status,
        socket_buffer=chosen.one(TURN, "sock-buf-size", BUFFER),
        handshake_timeout=float(chosen.one(SUITE, "handshake-timeout", SECONDS)),
        frame_timeout=float(chosen.one(SUITE, "frame-timeout", SECONDS)),
        unauthenticated_timeout=float(_unauthenticated_timeout(chosen)),
        stop_timeout=float(chosen.one(SUITE, "stop-timeout", SECONDS)),
        max_connections=chosen.one(SUITE, "max-connections", COUNT),
    )


def _check_media_ports(
    chosen: Chosen,
    b2bua: B2buaSettings,
    taken_tcp: set[Address],
    taken_udp: set[Address],
    lab: LabSettings | None,
) -> None:
    taken_udp = taken_udp | (lab_addresses(lab) if lab else set())
    check_sip_ports(chosen, b2bua, taken_tcp, taken_udp)
    check_ice_ports(chosen, b2bua, taken_udp)


def _has_relay(chosen: Chosen, b2bua: B2buaSettings | None) -> bool:
    """An exported file of the gateway says nothing of a relay, and needs none to start."""
    if b2bua is None or chosen.is_set(SUITE, "turn") or chosen.names(TURN):
        return chosen.one(SUITE, "turn", BOOLEAN)
    problem = "nothing is set in [turn], so no relay is started"
    accepted = "a user or a secret in [turn], or turn = false"
    chosen.complain(Level.NOTICE, SUITE, "turn", problem, accepted)
    return False


def _more_listeners(
    chosen: Chosen, machine: Machine, b2bua: B2buaSettings | None, *, lab: bool, web: bool
) -> tuple[TcpListen, ...]:
    found: tuple[TcpListen, ...] = redirect_listeners(chosen, machine) if web else ()
    if b2bua is None or b2bua.gateway is None:
        return found
    gateway = gateway_listeners(chosen, machine, lab=lab)
    hosts = {each.address[0] for each in gateway}
    hosts |= set(web_hosts(chosen, machine)) if web else set()
    check_exposed_gateway(chosen, b2bua, hosts)
    return found + gateway


def _tls(
    chosen: Chosen, machine: Machine, tcp: tuple[TcpListen, ...], state: Path, folder: Path
) -> TlsSettings | None:
    if any(each.tls and not each.https_certificate for each in tcp):
        return tls_settings(chosen, machine, state, folder)
    return None


def _relay(
    chosen: Chosen,
    machine: Machine,
    b2bua: B2buaSettings | None,
    *,
    coturn_file: bool,
    web: bool,
) -> TurnSettings:
    settings = turn_settings(chosen, machine, coturn_file=coturn_file)
    if b2bua is not None and b2bua.web is not None:
        settings = replace(settings, peers=with_ice(settings.peers, b2bua.web))
    has_gateway = b2bua is not None and b2bua.gateway is not None
    confined = (CONFINED_PAGE,) if web else ()
    return replace(settings, confined=(*confined, *(CONFINED_SESSIONS if has_gateway else ())))


def _unauthenticated_timeout(chosen: Chosen) -> int:
    given = chosen.maybe(TURN, "max-allocate-timeout", SECONDS)
    return given or chosen.one(SUITE, "unauthenticated-timeout", SECONDS)


def _check_something(chosen: Chosen, *, serves: bool) -> None:
    if serves:
        return
    name = "turn" if chosen.is_set(SUITE, "turn") else "web"
    problem = "nothing is left to serve: relay, pages and B2BUA are off, or all their ports"
    accepted = "turn = true, web = true or sip-proxy"
    chosen.complain(Level.ERROR, SUITE, name, problem, accepted)


def _announce_profile(chosen: Chosen, findings: Findings, path: Path) -> None:
    """coTURN relays to private addresses; whoever brings its file should know that we do not."""
    if chosen.is_set(TURN, "profile") or chosen.one(TURN, "profile", PROFILE) != PeerProfile.SAFE:
        return
    findings.add(
        Level.NOTICE,
        Place(str(path)),
        "private, shared and multicast peers are denied, which coTURN would allow",
        accepted="allowed-peer-ip for some, or profile = coturn for its rules",
        security=True,
    )


def _check_exposure(path: Path, chosen: Chosen, findings: Findings) -> None:
    if why_unreadable(path) or not (secrets_on(chosen, path) or sip_secrets_on(chosen, path)):
        return
    group, everybody = is_exposed(path)
    if not (group or everybody):
        return
    who = "everybody on this machine" if everybody else "the file's group"
    findings.add(
        Level.WARNING if everybody else Level.NOTICE,
        Place(str(path)),
        f"{who} may read the secrets in this file",
        accepted="chmod 640, or 600" if everybody else "chmod 600 unless that is meant",
        security=True,
    )
