"""
Which web origins may sign in and speak SIP with us: the patterns of ``domain-whitelist``.

A pattern is ``scheme://host:port``. The scheme may be ``*`` or left out, for both; the port may be
``*``, and left out it is the scheme's own, or 80. ``*.foo.com`` is every sub-domain of foo.com, and
``*foo.com`` is foo.com too. Whole labels count: ``badfoo.com`` is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_OWN_PORTS = {"http": "80", "https": "443"}
_PLAIN_PORT = "80"

_ORIGIN = re.compile(
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)
_PATTERN = re.compile(r"(?:(\*|[a-z]+)://)?(\*?)([^:\[\]]*|\[[^\]]*\])(?::(\*|[0-9]+))?")


@dataclass(frozen=True, slots=True)
class _Pattern:
    scheme: str
    begins_open: bool
    host: str
    port: str

    def covers(self, scheme: str, host: str, port: str) -> bool:
        return (
            self.scheme in ("", "*", scheme)
            and self._covers_host(host)
            and self._covers_port(scheme, port)
        )

    def _covers_host(self, host: str) -> bool:
        if not self.begins_open:
            return host == self.host
        if self.host.startswith(".") or not self.host:
            return host.endswith(self.host)
        return host == self.host or host.endswith("." + self.host)

    def _covers_port(self, scheme: str, port: str) -> bool:
        if self.port:
            return self.port in ("*", port)
        return port in (_PLAIN_PORT, _OWN_PORTS[scheme])


class Origins:
    """The patterns of a list; none at all allow everybody."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_parsed(text.lower()) for text in patterns)

    def allows(self, origin: str) -> bool:
        """
        Whether a page of this origin may come in; "" is somebody who names none, so no browser.

        Opaque origins ("null") are on no list.
        """
        if not self._patterns or not origin:
            return True
        found = _ORIGIN.fullmatch(origin.lower())
        if not found:
            return False
        scheme, host, port = found[1], found[2], found[3] or _OWN_PORTS[found[1]]
        return any(pattern.covers(scheme, host, port) for pattern in self._patterns)


def _parsed(text: str) -> _Pattern:
    found = _PATTERN.fullmatch(text)
    if not found:
        raise ValueError(f"no pattern of origins: {text}")
    return _Pattern(found[1] or "", bool(found[2]), found[3], found[4] or "")
