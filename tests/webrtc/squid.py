"""Squid as the proxy of a company: the only way out of the desk."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import RunningProgram, require_program, running
from tests.webrtc.network import NAME, PROXY, SUITE

PORT = 3128
_CONFIGURATION = """\
http_port {host}:{port}
acl secure_port port 443
acl tunnel method CONNECT
http_access deny tunnel !secure_port
http_access allow all
cache deny all
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
cache_store_log none
coredump_dir {folder}
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname proxy.test
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
"""


@dataclass(frozen=True)
class Squid:
    """One that runs."""

    program: RunningProgram
    folder: Path

    server = f"{PROXY}:{PORT}"
    passes = f"ip daddr {PROXY} tcp dport {PORT}"
    """The firewall's rule for it."""

    def tunnels(self) -> list[str]:
        """Where it was asked to connect to, for tunnels that are over."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [line.split()[6] for line in lines if " CONNECT " in line]


@contextmanager
def squid() -> Iterator[Squid]:
    """Run it in the data centre."""
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        configuration = folder / "squid.conf"
        configuration.write_text(_CONFIGURATION.format(host=PROXY, port=PORT, folder=folder))
        # It is the proxy who looks names up.
        (folder / "hosts").write_text(f"{SUITE} {NAME}\n")
        # It gives up root's rights, and writes its files as its own user.
        shutil.chown(folder, "proxy")
        command = [require_program("squid"), "-N", "-f", str(configuration)]
        with running(command, folder / "log") as program:
            program.wait_for(_accepts, "open")
            yield Squid(program, folder)


def _accepts() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((PROXY, PORT)) == 0
