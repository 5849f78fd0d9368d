"""
Where browsers sign in: http-port, the port behind proxies, the redirect, and their certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from b2bua.origins import Origins
from b2bua.settings import B2buaSettings
from suite.chosen import Chosen
from suite.config_listen import SUITE, web_hosts
from suite.config_sip_listen import RSMP, allows_six, is_six
from suite.config_tls import CERTIFICATE, check_pem, check_plain_key, named_file
from suite.config_web import GATEWAY, is_beyond, networks
from suite.diagnostics import Level
from suite.machine import Machine
from suite.option_kinds import BOOLEAN, LISTEN_HOST, LOCALHOST, PORT, PORT_OR_OFF, PORTS
from suite.settings import TcpListen, TlsSettings

_ANYBODY = ("https://a.invalid", "http://a.invalid")
"""Pages that no operator has (RFC 2606)."""


def gateway_listeners(chosen: Chosen, machine: Machine, *, lab: bool) -> tuple[TcpListen, ...]:
    """One for each address of http-port, and of the port behind proxies."""
    hosts = gateway_hosts(chosen, machine, lab=lab)
    secure = chosen.one(RSMP, "enable-https", BOOLEAN)
    port = chosen.one(RSMP, "http-port", PORT)
    behind = chosen.one(GATEWAY, "proxy-port", PORT_OR_OFF)
    first = TcpListen(
        address=("", port),
        tls=secure,
        plain=False,
        turn=False,
        web=True,
        http_port=True,
        plain_http=not secure,
        https_certificate=secure and chosen.is_set(RSMP, "https-cert"),
    )
    found = [replace(first, address=(host, port)) for host in hosts]
    if behind:
        sources = networks(chosen, "proxy-networks")
        found += [replace(first, address=(h, behind), proxy_from=sources) for h in hosts]
    if behind == port:
        problem, accepted = "http-port is the same", "a port of its own (example: 8087)"
        chosen.complain(Level.ERROR, GATEWAY, "proxy-port", problem, accepted)
    if not hosts:
        accepted = f"one of: {', '.join(machine.addresses)}"
        chosen.complain(Level.ERROR, GATEWAY, "address", "nothing to listen on", accepted)
    elif not secure and is_beyond(hosts) and not networks(chosen, "proxy-networks"):
        problem = "passwords and calls pass in the clear, and browsers refuse the microphone"
        accepted = "true; or proxy-networks = the proxies that bring HTTPS"
        chosen.complain(Level.WARNING, RSMP, "enable-https", problem, accepted)
    return tuple(found)


def gateway_hosts(chosen: Chosen, machine: Machine, *, lab: bool) -> tuple[str, ...]:
    """The addresses of http-port: its own, else the pages', else all that may be used."""
    given = chosen.every(GATEWAY, "address", LISTEN_HOST)
    if given:
        hosts = [each for host, _ in given for each in machine.expand(host)]
        _check_addresses(chosen, hosts)
    elif lab:
        hosts = list(machine.expand(LOCALHOST))
    elif chosen.is_set(SUITE, "web-address"):
        hosts = list(web_hosts(chosen, machine))
    else:
        hosts = list(machine.addresses)
    if lab and is_beyond(hosts):
        problem = "browsers of other machines would get in, and the lab is on"
        accepted = "address = localhost, or [lab] enabled = false"
        chosen.complain(Level.ERROR, GATEWAY, "address", problem, accepted)
    return tuple(dict.fromkeys(each for each in hosts if allows_six(chosen) or not is_six(each)))


def _check_addresses(chosen: Chosen, hosts: list[str]) -> None:
    for host in hosts:
        if is_six(host) and not allows_six(chosen) and not _stands_for_both(chosen):
            accepted = "allow-ipv6 = true in [rsmp] too, or an IPv4 address"
            chosen.complain(Level.ERROR, GATEWAY, "address", "IPv6 is not allowed", accepted, host)


def _stands_for_both(chosen: Chosen) -> bool:
    return any(host == LOCALHOST for host, _ in chosen.every(GATEWAY, "address", LISTEN_HOST))


def check_exposed_gateway(chosen: Chosen, settings: B2buaSettings, hosts: Iterable[str]) -> None:
    """Say who may do what, where others than this machine get in by these addresses."""
    gateway, phones = settings.gateway, settings.phones
    if gateway is None or not is_beyond(hosts):
        return
    if any(map(Origins(settings.allowed_origins).allows, _ANYBODY)):
        given = "everybody is on it" if settings.allowed_origins else "unset"
        problem = f"{given}, so pages of every web site may let their visitors sign in"
        accepted = "your sites (example: domain-whitelist = https://*.example.com:443)"
        chosen.complain(Level.WARNING, RSMP, "domain-whitelist", problem, accepted)
    if gateway.allow_anonymous and gateway.anonymous_destinations is None:
        problem = "everybody who reaches the gateway may call any number"
        accepted = "false; or anonymous-destinations in [gateway]"
        chosen.complain(Level.WARNING, RSMP, "allow-anonymous-user", problem, accepted)
    if settings.registered and not gateway.networks:
        problem = "browsers sign in as any of these without a password"
        if phones.users:
            problem += f", but for {len(phones.users)} of [users]"
        accepted = "passwords in [users], or client-networks in [gateway]"
        chosen.complain(Level.WARNING, RSMP, "sip-register", problem, accepted)


def redirect_listeners(chosen: Chosen, machine: Machine) -> tuple[TcpListen, ...]:
    """Plain HTTP that leads to HTTPS, where the pages are."""
    port = chosen.one(SUITE, "web-redirect-port", PORT_OR_OFF)
    if not port:
        return ()
    secure = chosen.one(SUITE, "web-ports", PORTS)
    if port in secure:
        problem, accepted = f"port {port} is one of web-ports", "another port (example: 80)"
        chosen.complain(Level.ERROR, SUITE, "web-redirect-port", problem, accepted)
    return tuple(
        TcpListen(
            address=(host, port), tls=False, plain=False, turn=False, redirect_to=_target(secure)
        )
        for host in web_hosts(chosen, machine)
    )


def _target(secure: tuple[int, ...]) -> int:
    return 443 if 443 in secure else secure[0]


def https_settings(
    chosen: Chosen, machine: Machine, tls: TlsSettings | None, folder: Path
) -> TlsSettings | None:
    """The certificate of http-port; None: none of its own."""
    certificate, key, authorities = (
        named_file(chosen, machine, RSMP, name, folder)
        for name in ("https-cert", "https-cert-key", "https-trusted-ca")
    )
    if certificate:
        check_pem(chosen, RSMP, "https-cert", certificate, CERTIFICATE)
    if key:
        check_plain_key(chosen, RSMP, "https-cert-key", key)
    if authorities:
        check_pem(chosen, RSMP, "https-trusted-ca", authorities, CERTIFICATE)
    _check_files(chosen, certificate, key, authorities)
    if certificate is None or key is None or not chosen.one(RSMP, "enable-https", BOOLEAN):
        return None
    return TlsSettings(
        certificate=certificate,
        private_key=key,
        authorities=authorities,
        cipher_list=tls.cipher_list if tls else None,
        minimum=tls.minimum if tls else "1.2",
    )


def _check_files(
    chosen: Chosen, certificate: Path | None, key: Path | None, authorities: Path | None
) -> None:
    enabled = chosen.one(RSMP, "enable-https", BOOLEAN)
    for name, path in (("https-cert-key", key), ("https-trusted-ca", authorities)):
        if path and not certificate:
            problem, accepted = "https-cert is missing", "set both, or neither"
            chosen.complain(Level.ERROR, RSMP, name, problem, accepted)
    if certificate and not enabled:
        problem = "enable-https is false, so nobody sees it"
        chosen.complain(Level.NOTICE, RSMP, "https-cert", problem, "enable-https = true")
    if enabled and not certificate:
        problem = "https-cert is not set, so http-port shows the certificate of the pages"
        accepted = "https-cert and https-cert-key, or cert and pkey of [turn]"
        chosen.complain(Level.NOTICE, RSMP, "enable-https", problem, accepted)
