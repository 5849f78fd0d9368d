"""rtpengine's control protocol, ng: bencoded dictionaries over UDP, as much as a call needs."""

from __future__ import annotations

import re
import secrets
import socket
from typing import Self

from benchmarks.load import LoadFailed
from benchmarks.sdes import NONE, suite_of

Value = int | str | list["Value"] | dict[str, "Value"]


def bencode(value: Value) -> bytes:
    """A value as bencode has it."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        text = value.encode()
        return b"%d:%s" % (len(text), text)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    pairs = (bencode(name) + bencode(value[name]) for name in sorted(value))
    return b"d" + b"".join(pairs) + b"e"


def bdecode(data: bytes) -> Value:
    """The value that bencode stands for. Raises ValueError."""
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _decode(data: bytes, at: int) -> tuple[Value, int]:
    first = data[at : at + 1]
    if first == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if first in (b"l", b"d"):
        items: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if first == b"l":
            return items, at + 1
        return {str(name): item for name, item in zip(items[::2], items[1::2], strict=True)}, at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(), end


class Control:
    """A control socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(2.0)
        self._sock.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, request: dict[str, Value]) -> dict[str, Value]:
        """Send a request, return its answer. Raises OSError where none comes."""
        self._sock.send(secrets.token_hex(6).encode() + b" " + bencode(request))
        answer = bdecode(self._sock.recv(65536).partition(b" ")[2])
        if not isinstance(answer, dict):
            raise LoadFailed("rtpengine's answer is no dictionary")
        return answer

    def description(self, request: dict[str, Value]) -> str:
        """The session description in the answer to an offer or answer."""
        answer = self.ask(request)
        if answer.get("result") != "ok":
            raise LoadFailed(f"rtpengine: {answer.get('error-reason', answer)}")
        return str(answer["sdp"])


def delete_request(call: str) -> dict[str, Value]:
    """Ends a call."""
    return {"command": "delete", "call-id": call, "from-tag": "a"}


def set_up(control: Control, call: str, line: str) -> str:
    """Set one call of rtpload's list up; return its line with the ports and keys agreed on."""
    fields = line.split()
    suite = suite_of(fields[7])
    common: dict[str, Value] = {"call-id": call, "from-tag": "a", "replace": ["origin"]}
    common |= {"ICE": "remove", "DTLS": "off"}
    offered = control.description(
        common
        | {
            "command": "offer",
            "sdp": _description(int(fields[0])),
            "transport-protocol": "RTP/SAVP" if suite else "RTP/AVP",
            "SDES": [f"only-{suite}"],
            "rtcp-mux": ["demux"],
        }
    )
    tag, key = _crypto(offered, suite)
    answer = _description(int(fields[1]), f"{tag} {suite} inline:{fields[7]}" if suite else "")
    answered = control.description(common | {"command": "answer", "to-tag": "b", "sdp": answer})
    fields[3], fields[4] = _port(answered), _port(offered)
    fields[8] = key
    return " ".join(fields)


def _description(port: int, crypto: str = "") -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
    lines += [f"m=audio {port} RTP/{'SAVP' if crypto else 'AVP'} 0", "a=rtpmap:0 PCMU/8000"]
    if crypto:
        lines.append(f"a=crypto:{crypto}")
    return "\r\n".join(lines) + "\r\n"


def _port(description: str) -> str:
    found = re.search(r"^m=audio (\d+)", description, re.MULTILINE)
    if found is None:
        raise LoadFailed("rtpengine named no port")
    return found.group(1)


def _crypto(description: str, suite: str) -> tuple[str, str]:
    pattern = rf"^a=crypto:(\d+) {suite} inline:([A-Za-z0-9+/]+)"
    found = re.search(pattern, description, re.MULTILINE)
    if found is None:
        return "1", NONE
    tag, key = found.groups()
    # It leaves out what base64 has at the end.
    return tag, key + "=" * (-len(key) % 4)
