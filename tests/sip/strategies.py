"""Hypothesis strategies for SIP: URIs, header field values, messages, broken messages, chunks."""

from __future__ import annotations

from hypothesis import strategies as st

from b2bua.sip.grammar import Parameters, quote
from b2bua.sip.headers import CSeq, NameAddr, Via
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.uri import AbsoluteUri, SipUri, TelUri, Uri, canonical_host, escape_user
from tests.strategies import ipv4_hosts, ipv6_hosts

_TOKEN = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-.!%*_+`'~"

tokens = st.text(_TOKEN, min_size=1, max_size=12)
numbers = st.integers(0, 0x7FFFFFFF)
ports = st.none() | st.integers(1, 65535)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)
"""Any text that a quoted string can hold."""
names = st.text("abcxyz0189-", min_size=1, max_size=12).filter(lambda name: name[0] != "-")
hosts = names | ipv4_hosts | ipv6_hosts.map(lambda host: canonical_host(f"[{host}]"))

_header_values = st.one_of(
    st.just(""), tokens, texts.map(quote), ipv6_hosts, ipv4_hosts, hosts.filter(lambda h: h != "")
)
_uri_values = st.just("") | texts.map(lambda text: escape_user(text).replace("?", "%3F")).map(
    lambda text: text.translate({ord(c): f"%{ord(c):02x}" for c in ";=,@"})
)


def parameters(values: st.SearchStrategy[str]) -> st.SearchStrategy[Parameters]:
    """Some parameters with such values."""
    return st.dictionaries(tokens.map(str.lower), values, max_size=3).map(Parameters)


_uri_parameters = st.dictionaries(
    st.sampled_from(["transport", "lr", "user", "maddr", "ob", "x-y"]), _uri_values, max_size=3
).map(lambda values: Parameters({n: v for n, v in values.items()}))

sip_uris = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=texts.map(escape_user),
    password=st.none(),
    host=hosts,
    port=ports,
    parameters=_uri_parameters,
    headers=st.lists(st.tuples(names, names), max_size=2).map(tuple),
)
uris: st.SearchStrategy[Uri] = st.one_of(
    sip_uris,
    st.from_regex(r"\+?[0-9][0-9.\-]{0,12}", fullmatch=True).map(TelUri),
    st.builds(AbsoluteUri, st.sampled_from(["http", "urn", "im"]), names),
)
name_addrs = st.builds(
    NameAddr,
    display=texts.map(lambda text: text.strip(" \t")),
    uri=uris,
    parameters=parameters(_header_values),
)
vias = st.builds(
    Via,
    transport=st.sampled_from(["UDP", "TCP", "TLS", "WSS"]),
    host=hosts,
    port=ports,
    parameters=parameters(_header_values),
)

methods = st.sampled_from(["INVITE", "BYE", "NOTIFY", "REGISTER", "OPTIONS"]) | tokens
bodies = st.binary(max_size=60)
values = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]),
    max_size=30,
).map(lambda text: text.strip(" \t"))
extensions = st.lists(
    st.tuples(st.sampled_from(["Subject", "X-genesys-Key", "User-Agent", "x-y"]), values),
    max_size=4,
    unique_by=lambda pair: pair[0],
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request with everything that a request has, in any order."""
    method = draw(methods)
    headers = draw(st.permutations(_common(draw, method) + draw(extensions)))
    uri = draw(uris.filter(lambda uri: not getattr(uri, "headers", ())))
    return Request(method, uri, headers, draw(bodies))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """A response likewise."""
    headers = draw(st.permutations(_common(draw, draw(methods)) + draw(extensions)))
    return Response(draw(st.integers(100, 699)), draw(values), headers, draw(bodies))


def _common(draw: st.DrawFn, method: str) -> list[tuple[str, str]]:
    lines = [("Via", str(via)) for via in draw(st.lists(vias, min_size=1, max_size=3))]
    lines += [
        ("From", str(draw(name_addrs))),
        ("To", str(draw(name_addrs))),
        ("Call-ID", draw(tokens)),
        ("CSeq", str(CSeq(draw(numbers), method))),
    ]
    if draw(st.booleans()):
        lines.append(("Contact", ", ".join(map(str, draw(st.lists(name_addrs, min_size=1))))))
    if draw(st.booleans()):
        lines.append(("Max-Forwards", str(draw(st.integers(0, 255)))))
    return lines


messages: st.SearchStrategy[Message] = requests() | responses()

_fragments = st.sampled_from(
    [
        *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">"),
        *(b'"', b"\\", b"=", b"@", b"%", b"[", b"]", b"?", b"\xff", b"\xc3\xa9", b"SIP/2.0"),
        *(b"\r\n ", b"Content-Length: 5\r\n", b"l: -1\r\n", b"Via: x\r\n", b"Contact: *\r\n"),
        *(b"Route: <sip:a;lr>, <sip:b>\r\n", b"Expires: 99999999999\r\n", b"\xe2\x80\xa8"),
    ]
) | st.binary(max_size=6)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The bytes of a message with pieces taken out, put in or repeated."""
    data = draw(messages).render()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 20))
        middle = draw(_fragments | st.just(data[at : at + cut] * 2))
        data = data[:at] + middle + data[at + cut :]
    return data


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
