"""
What ``{{name arguments}}`` stands for in a scenario.

Steps, on lines of their own between the messages::

    {{expect 200 INVITE}}           that response, or a request: {{expect BYE}}
    {{offer 200 INVITE sendrecv}}   the same with SDP of that direction ({{offer INVITE sendonly}})
    {{maybe 100 INVITE}}            it may come or not
    {{expect 200 NOTIFY 2}}         that response to the request of that transaction, no other one

What is between ``<send`` and ``>``::

    {{starts 2}}                    the transaction with this CSeq

Heads of messages, each with all that a dialog needs. SIPp is the caller in ``invite``, ``request``,
``ack``, ``refused`` (the ACK of a failure) and ``cancel``, the callee in ``callee-request``::

    {{request NOTIFY 2}}            with this CSeq
    {{reply 200 OK}}                to the message received last

Whole passages: ``{{answered}}``, a call with an offer that is answered and acknowledged (CSeq 1),
``{{answered-offerless}}``, ``{{answered-by-method}}``, and ``{{hang-up 7}}``.

Whoever is busy sends a message twice. Without transactions SIPp goes by the methods of what it has
sent: a second 200 to its INVITE passes for the answer to its NOTIFY. Within one it goes by the
branch, acknowledges such a 200 again and ignores a copy of any other response.

Ends of messages: ``empty``, or ``sdp DIRECTION VERSION HOST PORT FORMAT`` with defaults;
``both-sdp`` and ``second-sdp`` have two slots, of which the first one is encrypted or refused.
``{{hook NAME}}`` stands for what one run does at that place, mostly nothing.
``{{repeat N}} ... {{end}}`` repeats; ``n`` counts from 0 in arguments such as ``2n+2``, so that
no two requests share a CSeq or a branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

ALLOW = "ACK,BYE,CANCEL,INFO,INVITE,MESSAGE,NOTIFY,OPTIONS,PRACK,REFER,UPDATE"
_MACRO = re.compile(r"\{\{([a-z-]+)((?: +[^ {}]+)*)\}\}")
_HOOK = re.compile(r"\{\{hook ([a-z-]+)\}\}")
_REPEAT = re.compile(r"[ \t]*\{\{repeat (\d+)\}\}\n(.*?)[ \t]*\{\{end\}\}\n", re.DOTALL)
_COUNTED = re.compile(r"(?<=[ :])(\d*)n(?:\+(\d+))?(?=[ }])")
_OF_TRANSACTION = re.compile(r' (?:start|response|ack)_txn="[^"]*"')
_CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
_FORMATS = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "111": "opus/48000/2"}


def expand(text: str, hooks: Mapping[str, str] | None = None) -> str:
    """The whole of a scenario, as SIPp reads it, with what a run puts into its hooks."""
    text = _HOOK.sub(lambda found: (hooks or {}).get(found[1], ""), text)
    text = _REPEAT.sub(_repeated, text)
    text = _MACRO.sub(_expanded, text)
    # SIPp refuses a scenario with a variable that is written and never read.
    written = [name for name in ("any", "caller", "callee") if f'assign_to="{name}"' in text]
    read = f'  <Reference variables="{",".join(written)}"/>\n' if written else ""
    return text.replace("</scenario>", f"{read}</scenario>")


def _repeated(found: re.Match[str]) -> str:
    return "".join(_numbered(found[2], number) for number in range(int(found[1])))


def _numbered(text: str, number: int) -> str:
    return _MACRO.sub(lambda macro: _counted(macro[0], number), text)


def _counted(macro: str, number: int) -> str:
    def value(found: re.Match[str]) -> str:
        return str(int(found[1] or 1) * number + int(found[2] or 0))

    return _COUNTED.sub(value, macro)


def _expanded(found: re.Match[str]) -> str:
    part = _PARTS.get(found[1])
    if part is None:
        raise AssertionError(f"no part of a scenario has the name {found[1]}")
    return part(*found[2].split())


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _via(branch: str) -> str:
    own = f"z9hG4bK-[pid]-[call_number]-{branch}"
    return f"Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch={own}"


def _caller(cseq: str, method: str, *, tagged: bool = True) -> list[str]:
    peer = "[peer_tag_param]" if tagged else ""
    return [
        "From: <sip:[own]@[local_ip]:[local_port]>;tag=[pid]A[call_number]",
        f"To: <sip:[service]@[remote_ip]:[remote_port]>{peer}",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        "Contact: <sip:[own]@[local_ip]:[local_port];transport=[transport]>",
    ]


def _out_of_dialog(method: str, cseq: str = "1") -> str:
    return _lines(
        f"{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
        _via(f"{cseq}-{method}"),
        *_caller(cseq, method, tagged=False),
        f"Allow: {ALLOW}",
    )


def _invite(cseq: str = "1") -> str:
    return _out_of_dialog("INVITE", cseq)


def _request(method: str, cseq: str, branch: str = "") -> str:
    return _lines(
        f"{method} [next_url] SIP/2.0",
        _via(branch or f"{cseq}-{method}"),
        "[routes]",
        *_caller(cseq, method),
    )


def _ack(cseq: str) -> str:
    return _request("ACK", cseq)


def _refused(cseq: str) -> str:
    """An ACK within the INVITE's transaction."""
    return _lines(
        "ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
        _via(f"{cseq}-INVITE"),
        *_caller(cseq, "ACK"),
    )


def _refused_again(cseq: str) -> str:
    """The same of a re-INVITE."""
    return _request("ACK", cseq, f"{cseq}-INVITE")


def _cancel(cseq: str) -> str:
    return _lines(
        "CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
        _via(f"{cseq}-INVITE"),
        *_caller(cseq, "CANCEL", tagged=False),
    )


def _callee_request(method: str, cseq: str, branch: str = "") -> str:
    return _lines(
        f"{method} [next_url] SIP/2.0",
        _via(branch or f"{cseq}-{method}"),
        "[routes]",
        "From: [$callee];tag=[pid]B[call_number]",
        "To: [$caller]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        "Contact: <sip:[service]@[local_ip]:[local_port];transport=[transport]>",
    )


def _reply(status: str, *reason: str, tag: str = "") -> str:
    return _lines(
        f"SIP/2.0 {status} {' '.join(reason)}",
        "[last_Via:]",
        "[last_Record-Route:]",
        "[last_From:]",
        f"[last_To:]{tag}",
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "Contact: <sip:[own]@[local_ip]:[local_port];transport=[transport]>",
    )


def _callee_reply(status: str, *reason: str) -> str:
    return _reply(status, *reason, tag=";tag=[pid]B[call_number]")


def _branch_reply(branch: str, status: str, *reason: str) -> str:
    """Of one of several branches, to the INVITE whose header fields are kept."""
    return _lines(
        f"SIP/2.0 {status} {' '.join(reason)}",
        "Via: [$via]",
        "From: [$caller]",
        f"To: [$callee];tag=[pid]{branch}[call_number]",
        "Call-ID: [call_id]",
        "CSeq: [$cseq]",
        "Contact: <sip:[service]@[local_ip]:[local_port];transport=[transport]>",
    )


def _acknowledged(branch: str) -> str:
    """An ACK to that branch."""
    return _step(("ACK",), _check("hdr", f"tag=[0-9]+{branch}", "To:"))


def _register(cseq: str) -> str:
    """Of the phone for itself, as long as those of real phones: a challenge must not be longer."""
    return _lines(
        "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0",
        _via(f"{cseq}-REGISTER"),
        "From: <sip:[service]@[remote_ip]>;tag=[pid]P[call_number]",
        "To: <sip:[service]@[remote_ip]>",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} REGISTER",
        "Max-Forwards: 70",
        "Contact: <sip:[service]@[local_ip]:[local_port];transport=[transport]>",
        "User-Agent: SIPp as a telephone",
        "Supported: path",
        f"Allow: {ALLOW}",
    )


def _registered() -> str:
    """The 200 to a REGISTER: its own Contact, for 140 seconds."""
    return _lines(
        "SIP/2.0 200 OK",
        "[last_Via:]",
        "[last_From:]",
        "[last_To:];tag=[pid]R[call_number]",
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "[last_Contact:]",
        "Expires: 140",
    )


def _empty() -> str:
    return "Content-Length: 0\n"


def _sdp(
    direction: str = "sendrecv",
    version: str = "1",
    host: str = "[media_ip]",
    port: str = "[media_port]",
    formats: str = "0",
) -> str:
    numbers = formats.split(",")
    # SIPp cannot compute; the DTMF format goes with every offer, as phones have it.
    return _lines(
        "Content-Type: application/sdp",
        "Content-Length: [len]",
        "",
        "v=0",
        f"o=server 4711 {version} IN IP[media_ip_type] [media_ip]",
        "s=-",
        f"c=IN IP[media_ip_type] {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(numbers)} 101",
        *(f"a=rtpmap:{number} {_FORMATS[number]}" for number in numbers),
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        f"a={direction}",
    )


def _both_sdp() -> str:
    """A slot that is encrypted (RFC 4568), and one in the clear."""
    head, _, medium = _sdp().partition("m=audio")
    encrypted = "m=audio" + medium.replace("RTP/AVP", "RTP/SAVP")
    return _lines(head + encrypted, _CRYPTO, f"m=audio{medium}")


def _second_sdp() -> str:
    """An answer that refuses the first of two slots."""
    return _sdp().replace("m=audio", "m=audio 0 RTP/SAVP 0\nm=audio", 1)


def _session_sdp(direction: str, version: str) -> str:
    """With the direction where it holds for all media."""
    lines = _sdp(direction, version).split("\n")
    return _lines(
        *lines[:-1][: lines.index("t=0 0") + 1], lines[-1], *lines[lines.index("t=0 0") + 1 : -1]
    )


def _step(words: tuple[str, ...], checks: str, *, optional: bool = False) -> str:
    """A recv element; a response is known by its number and its CSeq."""
    may = ' optional="true"' if optional else ""
    if not words[0].isdigit():
        learn = ' rrs="true"' if words[0] == "INVITE" else ""
        action = f"<action>{checks}</action>" if checks else ""
        return f'<recv request="{words[0]}"{learn}{may}>{action}</recv>'
    status, method, *transaction = words
    # Who is talked to is learnt from whatever makes a dialog.
    learn = ' rrs="true"' if method == "INVITE" and "101" <= status < "300" else ""
    learn += "".join(f' response_txn="{_transaction(cseq)}"' for cseq in transaction)
    if optional:
        return f'<recv response="{status}"{learn}{may}></recv>'
    cseq = _check("hdr", method, "CSeq:")
    return f'<recv response="{status}"{learn}><action>{cseq}{checks}</action></recv>'


def _transaction(cseq: str) -> str:
    return f"cseq-{cseq}"


def _starts(cseq: str) -> str:
    return f'start_txn="{_transaction(cseq)}"'


def _check(where: str, regexp: str, header: str = "", *, absent: bool = False) -> str:
    must = "check_it_inverse" if absent else "check_it"
    named = f' header="{header}"' if header else ""
    return f'<ereg regexp="{regexp}" search_in="{where}"{named} {must}="true" assign_to="any"/>'


def _expect(*words: str) -> str:
    return _step(words, "")


def _maybe(*words: str) -> str:
    return _step(words, "", optional=True)


def _offer(*words: str) -> str:
    """With SDP of a direction, or of one of several: ``recvonly/inactive``."""
    *message, direction = words
    return _step(tuple(message), _direction(direction))


def _direction(wanted: str) -> str:
    if wanted == "sendrecv":
        return _check("body", "m=audio [1-9]") + _check(
            "body", "a=(sendonly|recvonly|inactive)", absent=True
        )
    return _check("body", f"a=({wanted.replace('/', '|')})")


def _listing(status: str, method: str, header: str, value: str) -> str:
    """A response with a header field that holds a word."""
    return _step((status, method), _check("hdr", value, f"{header}:"))


def _call(*_: str) -> str:
    """The INVITE that makes SIPp the callee; later requests of its own need both names."""
    keep = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{name}"/>'
        for header, name in (("From", "caller"), ("To", "callee"))
    )
    return f'<recv request="INVITE" rrs="true"><action>{keep}</action></recv>'


def _registrar() -> str:
    """
    In front of a scenario of a SIP Server's: REGISTER and OPTIONS have a 200, and that is all.

    What follows is the scenario of any other request.
    """
    return _lines(
        '<recv request="REGISTER" optional="true" next="register"/>',
        '<recv request="OPTIONS" optional="true" next="options"/>',
    )


def _registrar_end() -> str:
    """Behind such a scenario."""
    return _lines(
        '<nop next="over"/>',
        '<label id="register"/>',
        _send(_registered(), _empty(), again=False),
        '<nop next="over"/>',
        '<label id="options"/>',
        _send(_callee_reply("200", "OK"), _empty(), again=False),
        '<label id="over"/>',
    )


def _send(*lines: str, again: bool = True, told: str = "") -> str:
    attributes = "".join(f" {one}" for one in ('retrans="500"' if again else "", told) if one)
    return _lines(f"<send{attributes}><![CDATA[", *lines, "]]></send>")


def _answered(offer: str = "", answer: str = "") -> str:
    return _lines(
        _send(_invite(), offer or _sdp(), told=_starts("1")),
        _maybe("100", "INVITE", "1"),
        _maybe("180", "INVITE", "1"),
        _step(("200", "INVITE", "1"), _direction("sendrecv")),
        _send(_ack("1"), answer or _empty(), again=False, told=f'ack_txn="{_transaction("1")}"'),
    )


def _answered_offerless() -> str:
    return _answered(_empty(), _sdp())


def _answered_by_method() -> str:
    """Without a transaction: SIPp then takes every 200 to an INVITE for a copy of this one."""
    return _OF_TRANSACTION.sub("", _answered())


def _hang_up(cseq: str) -> str:
    return _lines(_send(_request("BYE", cseq), _empty()), _expect("200", "BYE"))


_PARTS: dict[str, Callable[..., str]] = {
    "ack": _ack,
    "acknowledged": _acknowledged,
    "answered": _answered,
    "answered-by-method": _answered_by_method,
    "answered-offerless": _answered_offerless,
    "both-sdp": _both_sdp,
    "branch-reply": _branch_reply,
    "call": _call,
    "callee-reply": _callee_reply,
    "callee-request": _callee_request,
    "cancel": _cancel,
    "empty": _empty,
    "expect": _expect,
    "hang-up": _hang_up,
    "invite": _invite,
    "listing": _listing,
    "maybe": _maybe,
    "offer": _offer,
    "out-of-dialog": _out_of_dialog,
    "refused": _refused,
    "refused-again": _refused_again,
    "register": _register,
    "registered": _registered,
    "registrar": _registrar,
    "registrar-end": _registrar_end,
    "reply": _reply,
    "request": _request,
    "sdp": _sdp,
    "second-sdp": _second_sdp,
    "session-sdp": _session_sdp,
    "starts": _starts,
}
