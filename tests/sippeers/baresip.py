"""
baresip as a phone: registers, calls, answers, holds; over UDP, TCP or TLS.

It is worked through its ctrl_tcp module: commands and events as JSON in netstrings.
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.programs import RunningProgram, require_program, running
from tests.sippeers.addresses import Endpoint, own_address

_MODULES = Path("/usr/lib/baresip/modules")
_CONTROL = -616
"""Of the port of SIP."""
_WAVE_HEADER = 44
_PICTURES = (
    "module avcodec.so",
    "module fakevideo.so",
    "video_source fakevideo,nil",
    "video_display fakevideo,nil",
    "video_size 320x240",
    "video_bitrate 300000",
    "video_fps 15",
)
"""It shows nobody what it sees, and films nothing in particular."""
_LOUD = 500
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PICTURES_SEEN = re.compile(r" efps=[\d.]+/([\d.]+)")
_RATES = re.compile(r" audio=\d+/(\d+) \(bit/s\)")
_REGISTERED = re.compile(r"\} 200 OK .*\[\d+ binding")
Event = dict[str, object]
CODECS = {"PCMU": "PCMU", "PCMA": "PCMA", "G722": "G722/16000/1", "opus": "opus/48000/2"}
SAMPLES = {"PCMU": (8000, 1), "PCMA": (8000, 1), "G722": (16000, 1), "opus": (48000, 2)}
"""Of each codec: how many in a second, and channels."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who the phone is, and where it registers."""

    dn: str
    server: Endpoint
    password: str
    transport: str = "udp"
    trusted: Path | None = None
    """The CA that the server's certificate must come from; for transport tls."""
    answer_mode: str = "manual"
    """manual or auto."""
    interval: int = 120
    codec: str = "PCMU"
    """The only one of sound that it knows: PCMU, PCMA, G722 or opus."""
    video: str = ""
    """The only one of pictures that it knows, such as H264; none without."""
    encryption: str = ""
    """srtp: keys beside RTP/AVP; srtp-mand: RTP/SAVP or nothing."""

    def line(self) -> str:
        """Its line in baresip's file of accounts."""
        parameters = {
            "auth_user": self.dn,
            "auth_pass": self.password,
            "answermode": self.answer_mode,
            "regint": str(self.interval),
            "audio_codecs": CODECS[self.codec],
            "outbound": f'"sip:{self.server};transport={self.transport}"',
        }
        if self.video:
            parameters["video_codecs"] = self.video
        if self.encryption:
            parameters["mediaenc"] = self.encryption
        told = "".join(f";{name}={value}" for name, value in parameters.items())
        return f"<sip:{self.dn}@{self.server};transport={self.transport}>{told}\n"


class Baresip:
    """One that runs. Commands are those of its menu, by their long names."""

    def __init__(
        self, at: Endpoint, program: RunningProgram, control: socket.socket, folder: Path
    ) -> None:
        self.at = at
        self.program = program
        self.events: list[Event] = []
        self._folder = folder
        self._control = control
        self._received = b""

    def command(self, name: str, parameters: str = "") -> None:
        """Have it done; that it cannot be is a failure."""
        text = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        answer = self._until(lambda message: bool(message.get("response")), f"answer to {name}")
        if not answer.get("ok"):
            raise AssertionError(f"baresip {name} {parameters}: {answer.get('data')}")

    def registered(self) -> None:
        """Wait until the server has taken its REGISTER, which may be before we can hear events."""
        self.program.wait_for(lambda: bool(_REGISTERED.search(self.log())), "registered")

    def event(self, kind: str, timeout: float = 10) -> Event:
        """
        The next event of that kind that nobody asked for before, such as CALL_ESTABLISHED.

        Events before it are forgotten.
        """
        for index, event in enumerate(self.events):
            if event.get("type") == kind:
                del self.events[: index + 1]
                return event
        found = self._until(lambda message: message.get("type") == kind, kind, timeout)
        self.events.clear()
        return found

    def _until(self, wanted: object, what: str, timeout: float = 10) -> Event:
        assert callable(wanted)
        deadline = time.monotonic() + timeout
        while True:
            for message in self._messages():
                if message.get("event"):
                    self.events.append(message)
                if wanted(message):
                    return message
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                seen = [event.get("type") for event in self.events]
                raise AssertionError(f"baresip: no {what}; events {seen}\n{self.log()}")

    def _messages(self) -> Iterator[Event]:
        while True:
            size, colon, rest = self._received.partition(b":")
            if not colon or len(rest) <= int(size):
                return
            self._received = rest[int(size) + 1 :]
            yield json.loads(rest[: int(size)])

    def _read(self, timeout: float) -> bool:
        self._control.settimeout(timeout)
        try:
            data = self._control.recv(65536)
        except TimeoutError:
            return False
        self._received += data
        return bool(data)

    def heard(self, codec: str) -> float:
        """Hz of the last half second that it has heard by that codec; 0 for nothing loud."""
        rate, channels = SAMPLES[codec]
        size = rate // 2 * channels * 2
        files = sorted(self._folder.glob("dump-*-dec.wav"))
        raw = files[-1].read_bytes()[_WAVE_HEADER:][-size:] if files else b""
        samples = memoryview(raw[: len(raw) // 4 * 4]).cast("h")[::channels]
        if len(raw) < size or max(map(abs, samples)) < _LOUD:
            return 0.0
        return 2.0 * sum(one < 0 <= other for one, other in pairwise(samples))

    @property
    def rate(self) -> int:
        """Bits of sound that it has received in the last second, headers not counted."""
        found = _RATES.findall(self.log())
        return int(found[-1]) if found else 0

    @property
    def pictures(self) -> float:
        """Pictures that it has decoded in a second, over the last few."""
        found = _PICTURES_SEEN.findall(self.log())
        return float(found[-1]) if found else 0.0

    def log(self) -> str:
        """What it printed, without colours."""
        return _COLOUR.sub("", self.program.log())


@contextmanager
def baresip(account: Account, at: Endpoint | None = None) -> Iterator[Baresip]:
    """
    Start the phone on an address of its own; its registration is under way then.

    Its media come from 127.0.0.1 whatever the address: who looks at them puts it there.
    """
    at = at or Endpoint(own_address())
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        (folder / "accounts").write_text(account.line())
        (folder / "config").write_text(_configuration(at, account, folder))
        (folder / "contacts").write_text("")
        command = [require_program("baresip"), "-f", str(folder)]
        with running(command, folder / "log", {"HOME": name}) as program:
            control = _connected(at, program)
            try:
                yield Baresip(at, program, control, folder)
            finally:
                control.close()


def _connected(at: Endpoint, program: RunningProgram) -> socket.socket:
    opened: list[socket.socket] = []

    def connect() -> bool:
        one = socket.socket()
        control = _control(at)
        if one.connect_ex((control.host, control.port)) == 0:
            opened.append(one)
            return True
        one.close()
        return False

    program.wait_for(connect, "open to commands")
    return opened[0]


def _control(at: Endpoint) -> Endpoint:
    return at.at(at.port + _CONTROL)


def _configuration(at: Endpoint, account: Account, folder: Path) -> str:
    lines = [
        f"sip_listen {at}",
        f"ctrl_tcp_listen {_control(at)}",
        f"net_interface {at.host}",
        *([f"sip_cafile {account.trusted}"] if account.trusted else []),
        "poll_method epoll",
        "call_local_timeout 60",
        "call_max_calls 4",
        f"module_path {_MODULES}",
        *(f"module {one}.so" for one in ("g711", "g722", "opus", "ausine", "sndfile", "srtp")),
        *(f"module_app {one}.so" for one in ("account", "menu", "ctrl_tcp")),
        # It says 400 Hz, in the only form that its source has, and writes down what it hears.
        "audio_source ausine,400",
        "ausrc_srate 48000",
        "ausrc_channels 2",
        f"snd_path {folder}",
        "audio_path /usr/share/baresip",
        "rtp_ports 10000-19998",
        "jitter_buffer_delay 1-2",
        *(_PICTURES if account.video else ()),
    ]
    return "".join(f"{line}\n" for line in lines)
