"""
HTTP/1.1 as a browser's XMLHttpRequest sends it: raw, with nothing normalised on the way.

The request target goes out as it was given. What comes back is seen by the page only where CORS
allows it, as in a browser; everything else is a network failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]
Headers = Sequence[tuple[str, str]]
TYPED = ("json", "xml", "javascript")
"""Content types that jQuery converts, and fails to."""


@dataclass(frozen=True)
class Reply:
    """A response, before anybody asked whether a page may see it."""

    status: int
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a header field."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The only value; what is there twice is a fault of the sender."""
        found = self.values(name)
        if len(found) > 1:
            raise AssertionError(f"{name} twice: {found}")
        return found[0] if found else None

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


class NetworkFailure(Exception):
    """What a page sees as status 0: nothing came, or nothing that it may see."""


@dataclass(frozen=True)
class Habits:
    """What one browser does otherwise than another."""

    name: str
    agent: str
    sends_credentials: bool
    """withCredentials: the client sets it in Chromium only."""
    is_firefox: bool = False


CHROMIUM = Habits(
    name="chromium",
    agent=(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/156.0.0.0 Safari/537.36"
    ),
    sends_credentials=True,
)
FIREFOX = Habits(
    name="firefox",
    agent="Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    sends_credentials=False,
    is_firefox=True,
)


@dataclass
class Page:
    """Where the application's page came from, and the cookies of its browser."""

    habits: Habits = CHROMIUM
    origin: str = "http://127.0.0.1:8090"
    cookies: dict[str, str] = field(default_factory=dict)
    """Of the gateway's host; several pages of one browser may share them."""
    keeps_alive: bool = True
    """Off: a proxy between that asks for a connection of its own for each request."""

    def headers(self, host: str) -> list[tuple[str, str]]:
        """What every request has."""
        return [
            ("Host", host),
            ("Connection", "keep-alive" if self.keeps_alive else "close"),
            ("User-Agent", self.habits.agent),
            ("Accept", "*/*"),
            ("Origin", self.origin),
            ("Referer", f"{self.origin}/"),
            ("Sec-Fetch-Site", "same-site"),
            ("Sec-Fetch-Mode", "cors"),
            ("Sec-Fetch-Dest", "empty"),
            ("Accept-Encoding", "gzip, deflate"),
            ("Accept-Language", "en-US,en;q=0.9"),
            *self._cookie(),
        ]

    def _cookie(self) -> list[tuple[str, str]]:
        if not self.habits.sends_credentials or not self.cookies:
            return []
        return [("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items()))]

    def keep_cookies(self, reply: Reply) -> None:
        """Store what a page of the same site may store over plain HTTP on this machine."""
        if not self.habits.sends_credentials:
            return
        for line in reply.values("Set-Cookie"):
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            lower = {attribute.lower() for attribute in attributes}
            if "max-age=0" in lower or any(a.startswith("expires=thu, 01") for a in lower):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def may_see(self, reply: Reply) -> bool:
        """Whether CORS lets the page see a response."""
        allowed = reply.value("Access-Control-Allow-Origin")
        if not self.habits.sends_credentials:
            return allowed in ("*", self.origin)
        credentials = reply.value("Access-Control-Allow-Credentials")
        return allowed == self.origin and credentials == "true"


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Browser:
    """The HTTP side of one page: connections that are used again, CORS, cookies."""

    def __init__(self, gateway: Address, page: Page) -> None:
        self.gateway = gateway
        self.page = page
        self.replies: list[tuple[str, Reply]] = []
        """What was asked, and every response that was read, in order."""
        self._idle: list[_Connection] = []

    async def get(self, target: str) -> Reply:
        """GET as the page does; raises NetworkFailure."""
        return await self._fetch("GET", target, [], b"")

    async def post(self, target: str, body: bytes) -> Reply:
        """POST text as jQuery does: as if it were a form."""
        kind = "application/x-www-form-urlencoded; charset=UTF-8"
        more = [("Content-Length", str(len(body))), ("Content-Type", kind)]
        return await self._fetch("POST", target, more, body)

    async def raw(self, method: str, target: str, headers: Headers, body: bytes = b"") -> Reply:
        """Exactly this, whoever may see the answer."""
        connection = await self._connect()
        try:
            return await _exchange(connection, _head(method, target, headers) + body)
        finally:
            connection.writer.close()

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    async def _fetch(self, method: str, target: str, more: Headers, body: bytes) -> Reply:
        headers = [*self.page.headers(f"{self.gateway[0]}:{self.gateway[1]}"), *more]
        message = _head(method, target, headers) + body
        try:
            reply = await self._send(message)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            raise NetworkFailure(str(error) or type(error).__name__) from error
        self.page.keep_cookies(reply)
        self.replies.append((f"{method} {target}", reply))
        if not self.page.may_see(reply):
            raise NetworkFailure(f"CORS hides {method} {target}: {reply}")
        return reply

    async def _send(self, message: bytes) -> Reply:
        while self._idle:
            connection = self._idle.pop()
            if connection.reader.at_eof():
                connection.writer.close()
                continue
            try:
                return await self._over(connection, message)
            except asyncio.IncompleteReadError as error:
                # An idle connection that the server has closed: browsers try anew.
                if error.partial:
                    raise
            except ConnectionError:
                continue
        return await self._over(await self._connect(), message)

    async def _over(self, connection: _Connection, message: bytes) -> Reply:
        try:
            reply = await _exchange(connection, message)
        except BaseException:
            # An abort of the page closes the connection.
            connection.writer.close()
            raise
        if (reply.value("Connection") or "").lower() == "close":
            connection.writer.close()
        else:
            self._idle.append(connection)
        return reply

    async def _connect(self) -> _Connection:
        return _Connection(*await asyncio.open_connection(*self.gateway, limit=1 << 20))


def _head(method: str, target: str, headers: Headers) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _exchange(connection: _Connection, message: bytes) -> Reply:
    connection.writer.write(message)
    await connection.writer.drain()
    reader = connection.reader
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    status = int(first.split(" ")[1])
    pairs = (line.partition(":") for line in lines)
    headers = [(name, value.strip()) for name, _, value in pairs]
    reply = Reply(status, headers, b"")
    return Reply(status, headers, await _body(reader, reply))


async def _body(reader: asyncio.StreamReader, reply: Reply) -> bytes:
    if (reply.value("Transfer-Encoding") or "").lower() == "chunked":
        return await _chunks(reader)
    length = reply.value("Content-Length")
    if length is not None:
        return await reader.readexactly(int(length))
    return b"" if reply.status in (204, 304) else await reader.read()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]


def is_converted(reply: Reply) -> bool:
    """Whether jQuery takes the body for something else than text, and loses it."""
    kind = (reply.value("Content-Type") or "").lower()
    return any(word in kind for word in TYPED)
