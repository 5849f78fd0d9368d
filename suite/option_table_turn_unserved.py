"""
coTURN's options that have no effect here: not yet, or because nothing corresponds to them.

They are checked all the same. A row marked VITAL refuses the start, because the server would
otherwise be more open than its operator believes.
"""

from __future__ import annotations

from suite.option_kinds import (
    BOOLEAN,
    COUNT,
    HOST,
    PATH,
    PORT,
    PORT_OR_OFF,
    SECRET,
    TEXT,
    Kind,
    integers,
    words,
)
from suite.options import NO_MARK, Mark, Option, Status

SECURITY = Mark.SECURITY
REPEAT = Mark.REPEAT
SECRET_MARKS = Mark.SECURITY | Mark.SECRET
FAMILY = words("ipv4", "ipv6", "keep")


def _later(
    name: str,
    kind: Kind[object],
    default: str,
    meaning: str,
    reason: str = "",
    marks: Mark = NO_MARK,
) -> Option:
    return Option(
        section="turn",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        reason=reason,
        marks=marks,
        status=Status.NOT_YET,
        bare="true" if kind is BOOLEAN else None,
    )


def _never(
    name: str, kind: Kind[object], default: str, reason: str, marks: Mark = NO_MARK
) -> Option:
    return Option(
        section="turn",
        name=name,
        kind=kind,
        default=default,
        meaning=reason,
        reason=reason,
        marks=marks,
        status=Status.NO_MEANING,
        bare="true" if kind is BOOLEAN else None,
    )


_NO_SQL = "only SQLite is served so far: put the users into userdb"
_WORKERS = "packets are moved by one loop, without relay threads"
_BATCHED = "batched sending and receiving need no option here"
_TWISTD = "twistd does that"
_NO_CONSOLE = "there is no telnet console and none will come"
_NO_WEB_ADMIN = "there are no administration pages over the network"
_NO_DTLS = "DTLS is not served yet; TURN over UDP, TCP and TLS is"
_NO_RFC5780 = "NAT behaviour discovery is not served yet"
_NO_TCP_RELAY = "TCP relaying (RFC 6062) is not served yet"
_OPENSSL = "OpenSSL chooses the groups of TLS 1.2 and 1.3"

_NOT_YET = (
    _later("listening-device", TEXT, "", "Bind listeners to a device.", "use listening-ip"),
    _later("relay-device", TEXT, "", "Bind relay sockets to a device.", "use relay-ip"),
    _later("alt-listening-port", PORT_OR_OFF, "0", "Second port of RFC 5780.", _NO_RFC5780),
    _later("alt-tls-listening-port", PORT_OR_OFF, "0", "Second port of RFC 5780.", _NO_RFC5780),
    _later("rfc5780", BOOLEAN, "false", "NAT behaviour discovery.", _NO_RFC5780),
    _later("dtls", BOOLEAN, "false", "TURN over DTLS.", _NO_DTLS),
    _later(
        "no-udp-relay",
        BOOLEAN,
        "false",
        "Relay over TCP only.",
        "UDP is the only relaying there is: nothing would be left",
        Mark.VITAL | SECURITY,
    ),
    _later("mobility", BOOLEAN, "false", "Mobility of allocations (RFC 8016)."),
    _later("oauth", BOOLEAN, "false", "Third-party authorization (RFC 7635)."),
    _later("server-name", TEXT, "", "The audience of OAuth tokens.", "there is no OAuth yet"),
    _later("check-origin-consistency", BOOLEAN, "false", "One ORIGIN per session."),
    _later(
        "CA-file",
        PATH,
        "",
        "Ask clients for certificates of this authority.",
        "client certificates are not asked for yet, so the server would be more open than meant",
        Mark.VITAL | SECURITY,
    ),
    _later("raw-public-keys", BOOLEAN, "false", "Raw public keys in TLS (RFC 7250)."),
    _later("udp-self-balance", BOOLEAN, "false", "Send UDP clients to the aux-servers."),
    _later("alternate-server", TEXT, "", "Redirect clients.", marks=REPEAT),
    _later("tls-alternate-server", TEXT, "", "Redirect TLS clients.", marks=REPEAT),
    _later("udp-alternate-server", TEXT, "", "Redirect UDP clients.", marks=REPEAT),
    _later("tcp-alternate-server", TEXT, "", "Redirect TCP clients.", marks=REPEAT),
    _later("drain-min-allocations", COUNT, "0", "Where a drain ends."),
    _later("psql-userdb", SECRET, "", "PostgreSQL user database.", _NO_SQL, SECRET_MARKS),
    _later("sql-userdb", SECRET, "", "PostgreSQL user database.", _NO_SQL, SECRET_MARKS),
    _later("mysql-userdb", SECRET, "", "MySQL user database.", _NO_SQL, SECRET_MARKS),
    _later("secret-key-file", PATH, "", "Key of the MySQL password.", _NO_SQL),
    _later("mongo-userdb", SECRET, "", "MongoDB user database.", _NO_SQL, SECRET_MARKS),
    _later("redis-userdb", SECRET, "", "Redis user database.", _NO_SQL, SECRET_MARKS),
    _later(
        "redis-statsdb",
        SECRET,
        "",
        "Redis statistics.",
        "read the metrics instead",
        SECRET_MARKS,
    ),
    _later("log-binding", BOOLEAN, "false", "Log Binding requests.", "they are counted"),
    _later("syslog-facility", TEXT, "", "The facility of syslog records."),
    _later("new-log-timestamp-format", TEXT, "%FT%T.%f%z", "Form of times in the log."),
    _later("acme-redirect", TEXT, "", "Redirect ACME challenges."),
    _later("allocation-default-address-family", FAMILY, "ipv4", "Family when none is asked for."),
    _later(
        "prometheus-username-labels",
        BOOLEAN,
        "false",
        "User names in metrics.",
        "labels of users would grow without bound",
    ),
    _later("prometheus-tls", BOOLEAN, "false", "Metrics over HTTPS.", marks=SECURITY | Mark.VITAL),
    _later("prometheus-cert", PATH, "", "Certificate of the metrics.", "they are plain HTTP"),
    _later("prometheus-key", PATH, "", "Key of the metrics.", "they are plain HTTP"),
)

_NO_MEANING = (
    _never("stateless-nonce", BOOLEAN, "true", "nonces are always stateless here"),
    _never("drop-invalid-packets", BOOLEAN, "true", "what is not STUN is always dropped"),
    _never("drop-invalid-packets-log", BOOLEAN, "false", "it is counted, not logged"),
    _never("relay-threads", integers(0, 128, 0), "", _WORKERS),
    _never("cpus", integers(1, 4096, 1), "", _WORKERS),
    _never("udp-gso", BOOLEAN, "false", _BATCHED),
    _never("udp-recvmmsg", BOOLEAN, "true", _BATCHED),
    _never("udp-recvmmsg-log", BOOLEAN, "false", _BATCHED),
    _never("udp-sendmmsg-log", BOOLEAN, "false", _BATCHED),
    _never("no-tcp-relay", BOOLEAN, "true", _NO_TCP_RELAY),
    _never("stun-backward-compatibility", BOOLEAN, "false", "MAPPED-ADDRESS is never doubled"),
    _never("tlsv1", BOOLEAN, "false", "TLS 1.0 is never accepted"),
    _never("tlsv1_1", BOOLEAN, "false", "TLS 1.1 is never accepted"),
    _never("dh566", BOOLEAN, "false", _OPENSSL),
    _never("dh1066", BOOLEAN, "false", _OPENSSL),
    _never("dh-file", PATH, "", _OPENSSL),
    _never("ec-curve-name", TEXT, "", _OPENSSL),
    _never("no-auth-pings", BOOLEAN, "false", "the user database is a file"),
    _never("no-dynamic-ip-list", BOOLEAN, "true", "peer rules come from the configuration only"),
    _never("no-dynamic-realms", BOOLEAN, "true", "there is one realm"),
    _never("respond-http-unsupported", BOOLEAN, "false", "HTTP is answered where pages are on"),
    _never("server-relay", BOOLEAN, "false", "it would skip permissions and is never done"),
    _never("daemon", BOOLEAN, "false", f"{_TWISTD}: without --nodaemon"),
    _never("pidfile", TEXT, "", f"{_TWISTD}: --pidfile"),
    _never("proc-user", TEXT, "", f"{_TWISTD}: --uid"),
    _never("proc-group", TEXT, "", f"{_TWISTD}: --gid"),
    _never("cli", BOOLEAN, "false", _NO_CONSOLE),
    _never("cli-ip", HOST, "127.0.0.1", _NO_CONSOLE),
    _never("cli-port", PORT, "5766", _NO_CONSOLE),
    _never("cli-password", SECRET, "", _NO_CONSOLE, SECRET_MARKS),
    _never("cli-max-output-sessions", COUNT, "256", _NO_CONSOLE),
    _never("web-admin", BOOLEAN, "false", _NO_WEB_ADMIN),
    _never("web-admin-ip", HOST, "127.0.0.1", _NO_WEB_ADMIN),
    _never("web-admin-port", PORT, "8080", _NO_WEB_ADMIN),
    _never("web-admin-listen-on-workers", BOOLEAN, "false", _NO_WEB_ADMIN),
    _never("version", BOOLEAN, "false", "it belongs on the command line: twistd --version"),
    _never("no-dtls", BOOLEAN, "true", "DTLS is off"),
    _never("no-cli", BOOLEAN, "true", _NO_CONSOLE),
    _never("no-rfc5780", BOOLEAN, "true", _NO_RFC5780),
    _never("keep-address-family", BOOLEAN, "false", "the family is IPv4 unless asked for"),
    _never("response-origin-only-with-rfc5780", BOOLEAN, "true", "RESPONSE-ORIGIN is not sent"),
)

UNSERVED = (*_NOT_YET, *_NO_MEANING)
