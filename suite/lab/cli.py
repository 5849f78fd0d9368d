"""
``webrtc-suite lab``: asks the running suite for the picture of its lab, or to do something to it.

It speaks HTTP with the status port, or with the pages where there is none, and always over the
loopback interface. What stands in the configuration tells where that is.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from suite.check_verdict import printable
from suite.config import Arguments, load
from suite.diagnostics import Level
from suite.settings import SuiteSettings
from turn.five_tuple import Address, joined

DONE, REFUSED, FAILED = 0, 1, 2
LONGEST_ANSWER = 4 * 1024 * 1024
TIMEOUT = 30.0

DESCRIPTION = """\
Show the lab of the suite that runs on this machine, or do something to it."""

EPILOG = """\
  status                     who is active, what is registered where, which calls there are
  kill A                     end SIP Server A, as if its process had died
  freeze A                   let it take everything and answer nothing
  slow A 5s                  let it answer 5 seconds late
  503 A                      let it refuse everything with 503
  reset A                    let it reset its connections
  revive A                   make it well again
  dns off | dns on           silence the name server, or let it speak again
  call FROM TO               let the SIP Server connect two phones
  talk CALL                  let whoever rings answer (NOTIFY talk)
  hold CALL [rfc3264|zero]   put a call of the lab's on hold, in either form
  retrieve CALL | hangup CALL
  transfer CALL DN [WHO-LEAVES]
  ladder [CALL]              the messages of a call, or of none, as SVG

A suite that was started with --config or -o is found with the same options.
The exit code is 0 if it was done, 1 if the lab refused, 2 if nobody could be asked."""


class CannotAsk(Exception):
    """Nobody to ask, or no sense in the answer; says what to do about it."""


_LONGEST_LINE = 1000
"""Characters: a refusal may list every command."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    code: int
    body: bytes

    def member(self, name: str) -> str | None:
        """One text of a JSON object; None if that is not what came."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        text = value.get(name) if isinstance(value, dict) else None
        return text if isinstance(text, str) else None


def parser() -> argparse.ArgumentParser:
    """Make the command line's grammar."""
    options = argparse.ArgumentParser(
        prog="webrtc-suite lab",
        description=DESCRIPTION,
        epilog=f"commands:\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("words", nargs="*", metavar="WORD", help="a command; without: status")
    where = options.add_argument_group("where the suite is")
    where.add_argument("-c", "--config", type=Path, help="the suite's configuration file")
    where.add_argument("--turn-config", type=Path, help="its turnserver.conf")
    where.add_argument(
        *("-o", "--override"), action="append", default=[], metavar="NAME=VALUE", help="as for run"
    )
    where.add_argument("--url", help="where it answers instead, such as http://127.0.0.1:9641")
    options.add_argument("--json", action="store_true", help="print the status as JSON")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` asks for and give the exit code."""
    options = parser().parse_args(argv)
    words = options.words or ["status"]
    try:
        where = address_of(options.url) if options.url else find(_arguments(options))
        return _do(where, words, json_wanted=options.json)
    except CannotAsk as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)


def find(arguments: Arguments) -> Address:
    """Read from the configuration where the suite answers on this machine."""
    loaded = load(arguments)
    if loaded.settings is None:
        errors = [each for each in loaded.diagnostics if each.level is Level.ERROR]
        raise CannotAsk("\n".join(str(each) for each in errors))
    for host, port in _addresses(loaded.settings):
        address = ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        if ip_address(host).is_loopback:
            return host, port
    raise CannotAsk(
        "by its configuration the suite takes no plain HTTP on this machine: set status-port and "
        "status-address = 127.0.0.1, or give --url"
    )


def address_of(url: str) -> Address:
    """Take host and port out of an URL that a person typed."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CannotAsk(f"{url} is no address: {error}") from error
    if parts.scheme not in ("", "http") or not host or parts.path not in ("", "/"):
        raise CannotAsk(f"{url} is not an address like http://127.0.0.1:9641")
    return host, port or 80


def ask(where: Address, method: str, path: str, value: object = None) -> Answer:
    """Send one request. Raises CannotAsk."""
    body = None if value is None else json.dumps(value).encode()
    headers = {"Content-Type": "application/json"} if body else {}
    connection = http.client.HTTPConnection(*where, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(LONGEST_ANSWER))
    except ConnectionRefusedError as error:
        raise CannotAsk(
            f"no suite runs here: nothing listens on {joined(where)}. Start one with "
            "webrtc-suite run --default (in a checkout: make run)"
        ) from error
    except TimeoutError as error:
        sentence = f"{joined(where)} did not answer within {TIMEOUT:.0f} s"
        raise CannotAsk(sentence) from error
    except (OSError, http.client.HTTPException) as error:
        raise CannotAsk(f"{joined(where)}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _arguments(options: argparse.Namespace) -> Arguments:
    pairs = (text.partition("=") for text in options.override)
    return Arguments(
        config=options.config,
        turn_config=options.turn_config,
        overrides=tuple((name, value if equals else "true") for name, equals, value in pairs),
    )


def _addresses(settings: SuiteSettings) -> Iterator[Address]:
    if settings.status is not None:
        yield settings.status.address
    yield from (each.address for each in settings.tcp if each.web and not each.proxy_from)


def _do(where: Address, words: Sequence[str], *, json_wanted: bool) -> int:
    if words[0] == "ladder" and len(words) <= 2:
        return _print_ladder(where, words[1] if len(words) == 2 else "others")
    if json_wanted and list(words) == ["status"]:
        answer = ask(where, "GET", "/api/lab/status")
        if answer.code == http.client.OK:
            print(answer.body.decode("utf-8", "replace").rstrip())
            return DONE
        return _refused(where, answer)
    answer = ask(where, "POST", "/api/lab/command", {"words": list(words)})
    text = answer.member("text")
    if answer.code == http.client.OK and text is not None:
        print(_shown(text))
        return DONE
    return _refused(where, answer)


def _print_ladder(where: Address, call: str) -> int:
    if not (call.isascii() and call.isalnum()):
        raise CannotAsk(f"{call!r} is not the name of a call, such as c1")
    answer = ask(where, "GET", f"/api/lab/ladder/{call}.svg")
    if answer.code == http.client.OK:
        print(answer.body.decode("utf-8", "replace").rstrip())
        return DONE
    return _refused(where, answer)


def _refused(where: Address, answer: Answer) -> int:
    sentence = answer.member("error")
    # What is not there is not there for a POST either, which is told first.
    missing = (http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED)
    if sentence is None and answer.code in missing:
        raise CannotAsk(
            f"a suite answers on {joined(where)}, but its lab is off: set enabled = true in [lab]"
        )
    if sentence is None:
        raise CannotAsk(f"{joined(where)} gave no answer of a lab ({answer.code})")
    if answer.code in (http.client.CONFLICT, http.client.NOT_FOUND):
        return _complain(sentence, REFUSED)
    raise CannotAsk(sentence)


def _complain(text: str, code: int) -> int:
    print(f"webrtc-suite lab: {_shown(text)}", file=sys.stderr)
    return code


def _shown(text: str) -> str:
    return "\n".join(printable(line, _LONGEST_LINE) for line in text.splitlines())
