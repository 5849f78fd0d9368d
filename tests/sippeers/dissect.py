"""
tshark as the judge of what we send: nothing of it may be malformed, or an error to its experts.

What it judges is either a capture of the loopback interface, which takes the right to capture, or
made from the messages in SIPp's logs, which takes none.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import RunningProgram, lack, require_program, running
from tests.sippeers.conversation import Conversation

_RAW_IPV4 = 228
_ERROR = 0x00800000
_PROBLEM = f"_ws.malformed || _ws.expert.severity >= {_ERROR}"
_FIELDS = ("frame.number", "ip.src", "_ws.col.Protocol", "_ws.col.Info", "_ws.expert.message")


def complaints(capture: Path, *, sip_ports: Iterable[int] = (5060,), source: str = "") -> list[str]:
    """What tshark finds wrong with the packets of a capture, or only with those of one address."""
    wanted = f"({_PROBLEM}) && ip.src == {source}" if source else _PROBLEM
    decode = [w for port in sip_ports for w in ("-d", f"udp.port=={port},sip")]
    return _lines(capture, wanted, decode)


def understood(capture: Path, wanted: str) -> int:
    """How many packets a display filter matches, such as ``sip.Request-Line``."""
    return len(_lines(capture, wanted, []))


def _lines(capture: Path, wanted: str, decode: list[str]) -> list[str]:
    fields = [word for field in _FIELDS for word in ("-e", field)]
    command = [
        require_program("tshark"),
        *("-r", str(capture), "-Y", wanted, "-T", "fields"),
        *fields,
        *decode,
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=_clean()
    )
    if done.returncode != 0:
        raise AssertionError(f"tshark ended with {done.returncode}: {done.stderr}")
    return done.stdout.splitlines()


def _clean() -> dict[str, str]:
    """No preferences of whoever runs the tests."""
    return {**os.environ, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}


def write_capture(path: Path, conversations: Iterable[Conversation]) -> int:
    """All messages that SIPp received, each as one datagram; gives their number."""
    seen = [message for one in conversations for message in one.received()]
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _RAW_IPV4))
        for message in seen:
            packet = _datagram(message.data)
            seconds, rest = divmod(message.at, 1)
            head = (int(seconds), int(rest * 1e6), len(packet), len(packet))
            out.write(struct.pack("<IIII", *head) + packet)
    return len(seen)


def _datagram(data: bytes) -> bytes:
    udp = struct.pack("!HHHH", 5060, 5060, 8 + len(data), 0) + data
    addresses = socket.inet_aton("127.0.0.1") + socket.inet_aton("127.0.0.2")
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses + udp


@dataclass(frozen=True)
class Capture:
    """The packets of loopback; whole once the block that made it has ended."""

    path: Path
    program: RunningProgram


@contextmanager
def captured(expression: str) -> Iterator[Capture]:
    """Capture what the expression of pcap-filter(7) selects."""
    lack(None if may_capture() else "this user may not capture on the loopback interface")
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        command = [
            require_program("dumpcap"),
            *("-i", "lo", "-f", expression, "-w", str(folder / "capture.pcapng")),
        ]
        with running(command, folder / "log") as program:
            program.wait_for(lambda: "File: " in program.log(), "capturing")
            one = Capture(folder / "capture.pcapng", program)
            yield one


def finish(capture: Capture, packets: int = 0) -> Path:
    """End it once it has so many packets; all are in the file then."""
    program = capture.program
    program.wait_for(lambda: _captured(program.log()) >= packets, f"{packets} packets")
    program.send_signal(signal.SIGINT)
    program.wait(10)
    return capture.path


def _captured(log: str) -> int:
    found = re.findall(r"Packets: (\d+)", log)
    return int(found[-1]) if found else 0


def may_capture() -> bool:
    """Whether the kernel lets this process see packets of others."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True
