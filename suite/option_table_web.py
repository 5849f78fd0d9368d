"""
The gateway's options that concern browsers: their part of [rsmp], and what the guide has no
options for, [gateway].
"""

from __future__ import annotations

from suite.option_kinds import (
    BOOLEAN,
    CIPHERS,
    EXTERNAL,
    LISTEN_HOST,
    NETWORKS,
    PEM,
    PORT,
    PORT_OR_OFF,
    SECRET,
    TEXT,
    Kind,
    integers,
    words,
)
from suite.option_kinds_b2bua import AUTO, SWITCH, seconds
from suite.option_kinds_gateway import CODECS, DIAL_NUMBERS, HOSTS, STUN_SERVER, TURN_SERVER
from suite.options import NO_MARK, Mark, Option, Status

SECURITY = Mark.SECURITY
SECRET_MARKS = Mark.SECURITY | Mark.SECRET

SRTP_MODE = words("none", "optional", "strict")
TRACE_LEVEL = integers(0, 4, 1)
RELAY_TYPE = integers(0, 1, 0)
PICTURE_TIME = integers(0, 3_600_000, 1000, "ms")
POLL_TIME = seconds(10, 3600, "120")
SESSION_TIME = seconds(10, 3600, "60")
SESSIONS = integers(1, 1_000_000, 5000)
SESSIONS_OF_ONE = integers(1, 1000, 4)
CALLS_PER_MINUTE = integers(1, 10_000, 6)

_NO_TRANSCODING = "there is no transcoding yet, so the two sides of a call need a common codec"


def _rsmp(
    name: str,
    kind: Kind[object],
    default: str,
    meaning: str,
    marks: Mark = NO_MARK,
    *,
    unset: str | None = None,
    status: Status = Status.SERVED,
    reason: str = "",
) -> Option:
    return Option(
        section="rsmp",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        marks=marks,
        unset=unset,
        status=status,
        reason=reason,
    )


WEB = (
    _rsmp(
        "allow-anonymous-user",
        BOOLEAN,
        "true",
        "Browsers may sign in with any name that is no DN of sip-register. They can call, and "
        "nobody can call them. Off: only DNs sign in.",
        SECURITY,
    ),
    _rsmp(
        "enable-https",
        BOOLEAN,
        "false",
        "http-port serves HTTPS, and nothing else; off: plain HTTP, as behind a proxy that has "
        "the certificate.",
        SECURITY,
    ),
    _rsmp(
        "enable-transcoding",
        BOOLEAN,
        "true",
        "Transcode where no codec is common.",
        status=Status.NOT_YET,
        reason=_NO_TRANSCODING,
    ),
    _rsmp(
        "http-port",
        PORT,
        "8086",
        "Port of the browsers' sign-in and messages. The ports of the pages have them too.",
        SECURITY,
    ),
    _rsmp(
        "https-cert",
        PEM,
        "",
        "The host's certificate on http-port, with its chain. Unset: that of the pages. It is "
        "read again when it changes.",
        SECURITY,
    ),
    _rsmp("https-cert-key", PEM, "", "Its private key, without a password.", SECURITY),
    _rsmp(
        "https-trusted-ca",
        PEM,
        "",
        "The certificates of its authorities, sent behind it. Browsers are never asked for one "
        "of theirs.",
        SECURITY,
    ),
    _rsmp(
        "http-trace",
        BOOLEAN,
        "false",
        "Log the browsers' requests and the answers, without passwords and session ids.",
    ),
    _rsmp(
        "rtp-trace-level",
        TRACE_LEVEL,
        "1",
        "How many packets of media are logged, at level debug, without their payload. 0: the "
        "first of each kind and the last RTCP; 1: at most one a second of each stream; 2: more, "
        "and all bad ones; 3: all RTCP too; 4: all, which is slow. No more than 200 a second.",
    ),
    _rsmp(
        "sip-added-codecs",
        CODECS,
        "(vp8,h264)",
        "Codecs added to offers to the SIP side.",
        status=Status.NOT_YET,
        reason=_NO_TRANSCODING,
    ),
    _rsmp(
        "sip-no-avpf",
        BOOLEAN,
        "true",
        "Do not negotiate AVPF on the SIP side; off: video may have its feedback there.",
    ),
    _rsmp(
        "sip-no-rtcpfb",
        BOOLEAN,
        "false",
        "Do not pass the browsers' RTCP feedback on to the SIP side.",
    ),
    _rsmp(
        "sip-srtp-mode",
        SRTP_MODE,
        "none",
        "SRTP on the SIP side, by keys in SDP: none; optional, offered beside RTP in an m-line of "
        "its own, and either is taken; strict, calls without it are refused. The keys are as "
        "secret as SIP is: use TLS.",
        SECURITY,
    ),
    _rsmp(
        "stun-server",
        STUN_SERVER,
        "",
        "Asked for the public address of ICE, where this machine does not know it. external-ip "
        "of [gateway] saves the asking.",
    ),
    _rsmp("turn-passwd", SECRET, "", "Our password at turn-server.", SECRET_MARKS),
    _rsmp(
        "turn-relay-type",
        RELAY_TYPE,
        "0",
        "How turn-server is reached: 0 UDP, 1 TCP. Unset, ?transport=tcp in turn-server means TCP.",
    ),
    _rsmp(
        "turn-server",
        TURN_SERVER,
        "",
        "A TURN server that our side of ICE relays by; seldom needed, see the relay for browsers.",
    ),
    _rsmp("turn-user", TEXT, "", "Our user there."),
    _rsmp(
        "use-sid-from-url",
        BOOLEAN,
        "true",
        "A session is known by its id in the URL or by the cookie; off: by the cookie only.",
    ),
    _rsmp(
        "web-added-codecs",
        CODECS,
        "(g722,pcmu,vp8)",
        "Codecs added to offers to browsers.",
        status=Status.NOT_YET,
        reason=_NO_TRANSCODING,
    ),
    _rsmp(
        "web-disable-sdes",
        BOOLEAN,
        "true",
        "Our first offers have no keys of SDES (RFC 4568). An offer that has nothing else is "
        "answered all the same, unless refuse-sdes of [gateway] is set.",
        SECURITY,
    ),
    _rsmp("web-disallowed-codecs", CODECS, "(h264)", "Codecs never used with browsers."),
    _rsmp(
        "web-dtls-certificate",
        PEM,
        "../config/x509_certificate.pem",
        "The certificate of DTLS, with or without its key. Unset, or the default where that file "
        "is not there: one that this install makes.",
        SECURITY,
        unset="",
    ),
    _rsmp(
        "web-dtls-cipherlist",
        CIPHERS,
        "",
        "OpenSSL's ciphers for DTLS. Unset: authenticated encryption with forward secrecy.",
        SECURITY,
    ),
    _rsmp("web-dtls-keypassword", SECRET, "", "The password of the private key.", SECRET_MARKS),
    _rsmp(
        "web-dtls-privatekey",
        PEM,
        "",
        "The private key, where it does not stand with web-dtls-certificate.",
        SECURITY,
    ),
    _rsmp(
        "web-enable-dtls",
        BOOLEAN,
        "true",
        "Encrypt media of browsers by DTLS-SRTP. Off: by SDES only, which no browser takes any "
        "more.",
        SECURITY,
    ),
    _rsmp(
        "web-ice-addresses",
        HOSTS,
        "",
        "The addresses of this machine that browsers send media to. Unset: all but loopback (with "
        "the lab: all, and only browsers of this machine are answered).",
        SECURITY,
    ),
    _rsmp(
        "web-media-bundle",
        BOOLEAN,
        "true",
        "One port for audio and video of a call, where the browser can. Off is discouraged.",
    ),
    _rsmp(
        "web-nack-enabled",
        BOOLEAN,
        "true",
        "Ask browsers for lost packets (NACK), at most once a second; off: never.",
    ),
    _rsmp(
        "web-offer-bundle-only",
        BOOLEAN,
        "true",
        "Media after the first are offered as bundle-only.",
    ),
    _rsmp(
        "web-pli-always",
        BOOLEAN,
        "true",
        "Ask browsers for a whole picture every web-pli-mintime; off: only when somebody needs "
        "one.",
    ),
    _rsmp(
        "web-pli-mintime",
        PICTURE_TIME,
        "1000",
        "The least time between two requests to a browser for a whole picture, in milliseconds: a "
        "request that comes sooner waits. 0: browsers are sent none.",
    ),
    _rsmp(
        "web-rtcp-mux",
        BOOLEAN,
        "true",
        "RTP and RTCP on one port.",
        status=Status.NO_MEANING,
        reason="it stays on: browsers take no media without it",
    ),
    _rsmp("web-rtp-max-port", PORT, "36999", "The last port of browsers' media.", SECURITY),
    _rsmp("web-rtp-min-port", PORT, "36000", "The first port of browsers' media.", SECURITY),
)


def _gateway(
    name: str, kind: Kind[object], default: str, meaning: str, marks: Mark = NO_MARK
) -> Option:
    return Option(
        section="gateway",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        marks=marks,
        bare="true" if kind is BOOLEAN or kind is SWITCH else None,
    )


GATEWAY = (
    _gateway(
        "enabled",
        SWITCH,
        AUTO,
        "Let browsers sign in over HTTP and call. auto: with the lab, and where an option of "
        "[rsmp] is set that only browsers need, such as http-port.",
        SECURITY,
    ),
    _gateway(
        "address",
        LISTEN_HOST,
        "",
        "An address of http-port; repeat for more. Unset: web-address of [suite], else every "
        "address of this machine (with the lab: localhost).",
        Mark.SECURITY | Mark.REPEAT,
    ),
    _gateway(
        "proxy-port",
        PORT_OR_OFF,
        "0",
        "A second port like http-port, where each connection begins with a PROXY protocol header "
        "of one of proxy-networks; 0: none.",
        SECURITY,
    ),
    _gateway(
        "proxy-networks",
        NETWORKS,
        "",
        "Proxies in front of us, whose X-Forwarded-For and X-Forwarded-Proto are believed; repeat "
        "for more.",
        Mark.SECURITY | Mark.REPEAT,
    ),
    _gateway(
        "client-networks",
        NETWORKS,
        "",
        "Where browsers may sign in from; repeat for more. The relay is not concerned. Unset: "
        "anywhere.",
        Mark.SECURITY | Mark.REPEAT,
    ),
    _gateway(
        "external-ip",
        EXTERNAL,
        "",
        "The public address of browsers' media, behind 1:1 NAT; repeat for more. Unset: "
        "external-ip of [turn].",
        Mark.SECURITY | Mark.REPEAT,
    ),
    _gateway(
        "anonymous-destinations",
        DIAL_NUMBERS,
        "",
        "Whom anonymous users may call. Unset: anybody.",
        SECURITY,
    ),
    _gateway(
        "anonymous-calls",
        CALLS_PER_MINUTE,
        "6",
        "Calls of anonymous users in a minute, for each address they come from.",
        SECURITY,
    ),
    _gateway(
        "refuse-sdes",
        BOOLEAN,
        "false",
        "Refuse an offer whose keys could be read by whoever sees the messages (488).",
        SECURITY,
    ),
    _gateway(
        "poll-time",
        POLL_TIME,
        "120",
        "Seconds that a browser's request for messages is held; a proxy must wait longer.",
    ),
    _gateway(
        "session-time",
        SESSION_TIME,
        "60",
        "Seconds without such a request after which a browser is signed out.",
    ),
    _gateway(
        "max-sessions",
        SESSIONS,
        "5000",
        "Browsers signed in at a time. Who has proved who he is finds a place; of those who have "
        "not, one address gets half.",
        SECURITY,
    ),
    _gateway(
        "sessions-per-user",
        SESSIONS_OF_ONE,
        "4",
        "Of one DN; one more ends the oldest without a call.",
        SECURITY,
    ),
    _gateway(
        "strangers-per-address",
        SESSIONS,
        "300",
        "Connections of one address whose browsers have not signed in. When all are taken, an idle "
        "one is closed for the next.",
        SECURITY,
    ),
)
