"""
Where the lab lives and who may register there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from suite.lab.errors import LabError

Address = tuple[str, int]
"""Host and port; port 0 takes a free one."""

_LOOPBACK = IPv4Network("127.0.0.0/8")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """The addresses, names and numbers of the lab. Raises LabError for one that is not loopback."""

    server_a: Address = ("127.0.0.11", 5060)
    server_b: Address = ("127.0.0.12", 5060)
    name_server: Address = ("127.0.0.10", 5353)
    echo: Address = ("127.0.0.13", 5060)
    music: Address = ("127.0.0.13", 5062)
    domain: str = "siplab.test"
    """The SRV name that stands for both servers."""
    password: str = field(repr=False)
    """Of every DN."""
    realm: str = "siplab"
    echo_dn: str = "7001"
    music_dn: str = "7002"
    expires: int = 140
    """The longest registration that is granted, in seconds."""
    challenges_calls: bool = False
    """Whether an INVITE from outside must prove the password too."""
    ttl: int = 5
    """Seconds that DNS answers may be kept."""
    patience: float = 8.0
    """Seconds that a command waits for SIP's answers before it tells how far things are."""

    def __post_init__(self) -> None:
        """Refuse an address that others could reach."""
        for name in (item.name for item in fields(self)):
            value = getattr(self, name)
            if isinstance(value, tuple) and not is_loopback(value[0]):
                raise LabError(
                    f"{name.replace('_', ' ')} of the lab is {value[0]}:"
                    " the lab lives on addresses of 127.0.0.0/8 only"
                )


def is_loopback(host: str) -> bool:
    """Whether a host is an address of 127.0.0.0/8."""
    try:
        return IPv4Address(host) in _LOOPBACK
    except AddressValueError:
        return False
