"""
What the suite says when it has started: what listens where, what could not be opened, where to
look. Text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suite.settings import SuiteSettings
from turn.five_tuple import Address, bracketed

_EVERYWHERE = ("0.0.0.0", "::")
_TRUST = "webrtc-suite trust (in a checkout: make trust)"
_TO_BEGIN_WITH = " (sign in as 1001, no password, and call 7002)"
_LAB = 'webrtc-suite lab status (in a checkout: make lab, then make lab ARGS="kill A")'


@dataclass(frozen=True, slots=True)
class Opened:
    """One address and what became of it; ``fault`` is empty where it is open."""

    transport: str
    address: Address
    serves: str
    fault: str = ""
    remedy: str = ""
    web: bool = False
    tls: bool = False


def announcement(
    settings: SuiteSettings, addresses: Sequence[Opened], host: str, *, lab: bool = False
) -> str:
    """The whole text, for a terminal; ``host`` is this machine's name, ``lab`` says it is on."""
    has_phone = settings.web and settings.b2bua is not None and settings.b2bua.gateway is not None
    lines = [f"{settings.name} is running.", ""]
    lines += _table([opened for opened in addresses if not opened.fault])
    failed = [opened for opened in addresses if opened.fault]
    if failed:
        lines += ["", "Not open, and tried again from time to time:"]
        lines += _table(failed)
        lines += _remedies(failed)
    urls = pages(addresses, host)
    if urls:
        # Without a relay the first page has nothing to try, and the phone's is what shows that.
        is_check = settings.turn is not None or not has_phone
        what = "To see whether it works, open" if is_check else "The pages:"
        lines += ["", f"{what} {' or '.join(urls)}"]
        if _is_own_certificate(settings):
            lines += [f"For TLS let your browser trust this install once: {_TRUST}"]
    if urls and has_phone:
        lines += ["", f"A phone in the browser{_TO_BEGIN_WITH if lab else ''}: {urls[0]}phone"]
    if lab:
        lines += ["", *_lab(addresses)]
    return "\n".join(lines) + "\n"


def pages(addresses: Sequence[Opened], host: str) -> list[str]:
    """The URLs that show the pages, the simplest first; at most one of each kind."""
    shown = [opened for opened in addresses if opened.web and not opened.fault]
    local = [o.address for o in shown if o.address[0] in _EVERYWHERE or _is_local(o.address[0])]
    other = [o.address for o in shown if o.tls and not _is_local(o.address[0])]
    # Plain HTTP on 443 works, but a browser may make HTTPS of it by itself.
    ports = sorted((port for _, port in local), key=lambda port: port == 443)
    urls = [f"http://localhost:{ports[0]}/"] if ports else []
    if other:
        name, port = other[0]
        visible = host if name in _EVERYWHERE else bracketed(name)
        urls.append(f"https://{visible}/" if port == 443 else f"https://{visible}:{port}/")
    return urls


def _lab(addresses: Sequence[Opened]) -> list[str]:
    shown = [opened for opened in addresses if opened.web and not opened.fault]
    here = [url for url in pages(shown, "") if url.startswith("http://localhost:")]
    page = f" Open {here[0]}lab" if here else ""
    return [
        f"A lab with two SIP Servers is on: kill one and watch.{page}",
        f"On the command line, to begin with: {_LAB}",
    ]


def _is_own_certificate(settings: SuiteSettings) -> bool:
    return settings.tls is not None and settings.tls.certificate.parent == settings.state_directory


def _is_local(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _table(addresses: Sequence[Opened]) -> list[str]:
    # One line for all that is alike: first the ports of a host, then the hosts with those ports.
    ports: dict[tuple[str, str, str], list[str]] = {}
    for opened in addresses:
        key = (opened.transport, opened.fault or opened.serves, opened.address[0])
        ports.setdefault(key, []).append(str(opened.address[1]))
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for (transport, words, host), numbers in ports.items():
        hosts.setdefault((transport, words, ", ".join(numbers)), []).append(host)
    rows = [(t, ", ".join(names), numbers, words) for (t, words, numbers), names in hosts.items()]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {transport}  {names:<{wide[1]}}  port {numbers:<{wide[2]}}  {words}"
        for transport, names, numbers, words in rows
    ]


def _remedies(failed: Sequence[Opened]) -> list[str]:
    # Several ports below 1024 have one cure: the line for the lowest of them does for all.
    by_port = sorted(failed, key=lambda opened: opened.address[1], reverse=True)
    kinds = {opened.fault: opened.remedy for opened in by_port if opened.remedy}
    return [f"  To allow it: {remedy}" for remedy in kinds.values()]
