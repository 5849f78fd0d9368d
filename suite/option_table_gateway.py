"""
The gateway's options, with the names and defaults of its guide: [log], [rsmp], [ems], [snmp].

[log] and [rsmp] are served; the part of [rsmp] for browsers stands in ``option_table_web``. What
nothing here corresponds to is known and checked, so that a file of the gateway's starts as it is.
"""

from __future__ import annotations

from suite.option_kinds import (
    BOOLEAN,
    HOST,
    PEM,
    PORT,
    PORT_OR_OFF,
    TEXT,
    Kind,
    choices,
    integers,
    words,
)
from suite.option_kinds_b2bua import (
    IP_VERSION,
    SERVICE_NAME,
    SIP_HOST,
    SIP_SERVERS,
)
from suite.option_kinds_gateway import (
    CODECS,
    DIAL_NUMBERS,
    DOMAINS,
    EXPIRY,
    LOG_FILTER,
    METRICS,
    OUTPUTS,
    SEGMENT,
    STARTUP_FILE,
    VERBOSE,
)
from suite.option_table_web import WEB
from suite.options import NO_MARK, Mark, Option, Status
from suite.settings import TimeFormat

LIVE = Mark.LIVE
SECURITY = Mark.SECURITY

CHECK_POINT = integers(0, 24, 1, "hours")
MESSAGE_FORMAT = words("short", "full")
TIME_CONVERT = words("local", "utc")
TIME_FORMAT = choices(TimeFormat, "ISO8601")

_DEFAULT_OUTPUT = "../logs/rsmplog"
_NO_MESSAGE_SERVER = "there is no Message Server; records go to files, syslog or stdout"


def _log(
    name: str,
    kind: Kind[object],
    default: str,
    meaning: str,
    unset: str | None = None,
    status: Status = Status.SERVED,
    reason: str = "",
) -> Option:
    return Option(
        section="log",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        unset=unset,
        status=status,
        reason=reason,
        marks=NO_MARK if name == "keep-startup-file" else LIVE,
    )


LOG = (
    _log("verbose", VERBOSE, "debug", "The most detailed level that is written.", "trace"),
    _log("all", OUTPUTS, _DEFAULT_OUTPUT, "Where all records go.", "stdout"),
    _log("standard", OUTPUTS, _DEFAULT_OUTPUT, "Where records of level standard go.", ""),
    _log("interaction", OUTPUTS, _DEFAULT_OUTPUT, "Where interaction and rarer records go.", ""),
    _log("trace", OUTPUTS, _DEFAULT_OUTPUT, "Where trace and rarer records go.", ""),
    _log("debug", OUTPUTS, _DEFAULT_OUTPUT, "Where debug and rarer records go.", ""),
    _log("segment", SEGMENT, "10000", "When a log file is closed: size or hours; false: never."),
    _log("expire", EXPIRY, "20", "How many old log files stay, or for how many days."),
    _log("check-point", CHECK_POINT, "1", "Hours between check-point records; 0: none."),
    _log("memory", TEXT, "", "The file that the output memory is written to."),
    _log("message_format", MESSAGE_FORMAT, "short", "short or full record headers."),
    _log("time_format", TIME_FORMAT, "time", "How a record's time is written.", "ISO8601"),
    _log("time_convert", TIME_CONVERT, "local", "local time or utc."),
    _log(
        "compatible-output-priority",
        BOOLEAN,
        "false",
        "Send each level to its own outputs only.",
        status=Status.NOT_YET,
    ),
    _log(
        "keep-startup-file",
        STARTUP_FILE,
        "false",
        "Keep the first log file.",
        status=Status.NOT_YET,
    ),
    _log(
        "print-attributes",
        BOOLEAN,
        "false",
        "Write extended attributes.",
        status=Status.NOT_YET,
    ),
    _log(
        "messagefile",
        TEXT,
        "",
        "The *.lms file with the texts of log events.",
        status=Status.NO_MEANING,
        reason="the texts are built in",
    ),
    _log(
        "spool",
        TEXT,
        "",
        "Folder for the temporary files of network output.",
        status=Status.NO_MEANING,
        reason=_NO_MESSAGE_SERVER,
    ),
    Option(
        section="log",
        name="json",
        kind=BOOLEAN,
        default="false",
        meaning="Write each record as one JSON object.",
        marks=LIVE,
    ),
)


def _sip(
    name: str, kind: Kind[object], default: str, meaning: str, marks: Mark = NO_MARK
) -> Option:
    return Option(
        section="rsmp", name=name, kind=kind, default=default, meaning=meaning, marks=marks
    )


_SIP = (
    _sip(
        "allow-ipv6",
        BOOLEAN,
        "false",
        "SIP and its media use IPv6 too; without it IPv6 addresses are neither listened on nor "
        "sent to.",
    ),
    _sip(
        "codecs",
        CODECS,
        "(g722,pcmu,pcma,opus,g729,telephone-event=126,vp8=100,"
        'h264=(pt=108,fmtp="[profile-level-id=42000B;packetization-mode=1]"))',
        "Codecs that may be used in a call, with their payload types and parameters. The order "
        "is that of whoever makes the offer.",
    ),
    _sip(
        "domain-whitelist",
        DOMAINS,
        "",
        "Web origins whose pages may sign in, or open a WebSocket for SIP; unset: all, with the "
        "lab those of this machine. Without a port the scheme's own is meant, and 80; https://* is "
        "every host with HTTPS on its own port, https://*:* on any.",
        SECURITY,
    ),
    _sip(
        "reporting-service-type",
        TEXT,
        "WebRTC",
        "Sent with each call to the SIP Server as X-genesys-service_type, for its reports; none: "
        "not sent.",
    ),
    _sip(
        "rtp-address",
        HOST,
        "",
        "The address in SDP that phones and SIP Servers send RTP to. One of this machine is "
        "listened on, any other only named, as behind NAT. Unset: sip-address if it is one of this "
        "machine, else the one that leads to the SIP Servers.",
    ),
    _sip(
        "sip-address",
        SIP_HOST,
        "",
        "The address that peers see in Via and Contact. One of this machine is the only one that "
        "is listened on; localhost is its loopback addresses, 0.0.0.0 all of IPv4. Any other "
        "address, and a name, is only shown to peers, as behind NAT, and every address is listened "
        "on. Unset: every address is listened on and shown as it is (with the lab: 127.0.0.1).",
        SECURITY,
    ),
    _sip("sip-disallowed-codecs", CODECS, "", "Codecs never used on the SIP side."),
    _sip("sip-port", PORT, "5066", "Our port of SIP over UDP and over TCP.", SECURITY),
    _sip(
        "sip-preferred-ipversion",
        IP_VERSION,
        "ipv4",
        "Which addresses of a SIP Server's name come first; ipv6 needs allow-ipv6.",
    ),
    _sip(
        "sip-proxy",
        SIP_SERVERS,
        "127.0.0.1",
        "The SIP Servers, proxy and registrar in one each, in the order of use. One is used at a "
        "time, the next one when it fails. The port is 5060 unless it is given, 5061 with TLS.",
        SECURITY | Mark.UNSETS,
    ),
    _sip(
        "sip-proxy-srv",
        SERVICE_NAME,
        "",
        "The name that stands for all the SIP Servers, in their requests and in the URIs of our "
        "DNs. Without sip-proxy its SRV records say which servers there are.",
        SECURITY,
    ),
    _sip(
        "sip-register",
        DIAL_NUMBERS,
        "",
        "Who signs in with one of these DNs is registered with the SIP Server, and can be called.",
        SECURITY,
    ),
    _sip("sip-rtp-max-port", PORT, "9999", "Last RTP port of the SIP side.", SECURITY),
    _sip("sip-rtp-min-port", PORT, "9000", "First RTP port of the SIP side.", SECURITY),
    _sip(
        "sip-tls-cert",
        PEM,
        "",
        "The certificate chain of SIP over TLS, ours first, shown to phones and to SIP Servers "
        "that ask.",
        SECURITY,
    ),
    _sip("sip-tls-cert-key", PEM, "", "Its private key, without a password.", SECURITY),
    _sip(
        "sip-tls-port",
        PORT_OR_OFF,
        "0",
        "Our port of SIP over TLS; 0: no TLS, neither in nor out.",
        SECURITY,
    ),
    _sip(
        "sip-tls-trusted-ca",
        PEM,
        "",
        "The certificate authorities that SIP Servers must be certified by. Unset: whoever "
        "answers is believed.",
        SECURITY,
    ),
)

RSMP = tuple(sorted((*_SIP, *WEB), key=lambda row: row.name))
"""The guide's order: both sides of the gateway, by name."""

EMS = tuple(
    Option(
        section="ems",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        status=Status.NO_MEANING,
        reason="there is no MF sink; read the log and the metrics instead",
    )
    for name, kind, default, meaning in (
        ("logconfig.MFSINK", LOG_FILTER, "* * *", "Records for the MF sink."),
        ("metricsconfig.MFSINK", METRICS, "*", "Metrics for the MF sink."),
    )
)

SNMP = (
    Option(
        section="snmp",
        name="timeout",
        kind=integers(1, 10**9, 100, "ms"),
        default="100",
        meaning="The longest wait for an SNMP task.",
        status=Status.NO_MEANING,
        reason="there is no SNMP; read the metrics instead",
    ),
)
