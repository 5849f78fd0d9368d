"""
A gateway that is none: just enough of HTTP and of forwarding to try the client itself.

Media go from client to client; nothing is kept, nothing is checked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

Headers = dict[str, str]
Answer = tuple[int, str, str]
"""Status, text and Pragma."""


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: Headers
    body: str


@dataclass
class FakeGateway:
    """Takes sign-ins, holds polls, passes messages on."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    boxes: dict[str, asyncio.Queue[tuple[str, str]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Session by DN."""
    instead: Callable[[Asked], Answer | None] = lambda asked: None
    """What a test answers in our place."""
    sends_cors: bool = True
    polls: dict[str, asyncio.Future[tuple[str, str]]] = field(default_factory=dict)

    def tell(self, ssid: str, text: str, pragma: str) -> None:
        """Put a text into a session's box."""
        self.boxes[ssid].put_nowait((text, pragma))

    def requests(self, start: str) -> list[Asked]:
        """What was asked whose target begins so."""
        return [one for one in self.asked if one.target.startswith(start)]

    async def answer(self, asked: Asked) -> Answer | None:
        """The answer; None closes the connection."""
        given = self.instead(asked)
        if given is not None:
            return None if given[0] == 0 else given
        path, _, query = asked.target.partition("?")
        if path == "/sign_in":
            return self._sign_in(unquote(query) or asked.body.split(":")[0])
        values = dict(part.partition("=")[::2] for part in query.split("&"))
        if path == "/wait":
            return await self._hold(values["id"])
        if path == "/message":
            self._pass_on(values["from"], values["to"], asked.body)
        return 200, "", ""

    async def _hold(self, ssid: str) -> Answer | None:
        """Wait for a text; a newer poll takes the place of an older one."""
        older = self.polls.pop(ssid, None)
        if older is not None:
            older.cancel()
        self.polls[ssid] = waiting = asyncio.ensure_future(self.boxes[ssid].get())
        await asyncio.wait([waiting])
        return None if waiting.cancelled() else (200, *waiting.result())

    def _sign_in(self, name: str) -> Answer:
        ssid = f"s{len(self.names)}"
        self.names[name] = ssid
        self.boxes[ssid] = asyncio.Queue()
        return 200, f"sid={ssid}\nmore=1", ""

    def _pass_on(self, ssid: str, to: str, body: str) -> None:
        sender = next((name for name, known in self.names.items() if known == ssid), "")
        if body.startswith("RSMP "):
            message = json.loads(body[5:])
            for one in message.get("Candidates") or []:
                one.pop("sdpMid")
            found = [c for c in message.get("Candidates") or [] if c["candidate"]]
            message = {**message, "Candidates": found} if found else message
            body = f"{'SDP ' if message['messageType'] == 'OFFER' else ''}{json.dumps(message)}"
        if to in self.names:
            self.tell(self.names[to], body, sender)


@asynccontextmanager
async def fake_gateway() -> AsyncIterator[FakeGateway]:
    """One that listens on a free port."""
    gateway = FakeGateway()
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while await _serve_one(gateway, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    gateway.port = server.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        server.close()
        for task in serving:
            if task is not None:
                task.cancel()
        await asyncio.sleep(0)


async def _serve_one(
    gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
    asked = Asked(method, target, headers, body)
    gateway.asked.append(asked)
    answer = await gateway.answer(asked)
    if answer is None:
        return False
    status, text, pragma = answer
    cors = ""
    if gateway.sends_cors:
        cors = f"Access-Control-Allow-Origin: {headers.get('origin', '*')}\r\n"
        cors += "Access-Control-Allow-Credentials: true\r\nSet-Cookie: sid=c1; SameSite=None\r\n"
    told = f"Pragma: {pragma}\r\n" if pragma else ""
    data = text.encode()
    head = f"HTTP/1.1 {status} X\r\n{cors}{told}Content-Type: text/plain; charset=utf-8\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    await writer.drain()
    return True
