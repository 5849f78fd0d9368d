"""
Options of section [turn], under coTURN's names: those of ``turnserver.conf``, and a few of ours.

These are the served ones. ``option_table_turn_unserved`` has those without effect, and
``option_table_turn_old`` what was dropped between coTURN 4.6 and 4.17.
"""

from __future__ import annotations

from suite.option_kinds import (
    ADDRESS_RANGE,
    BOOLEAN,
    BYTES_PER_SECOND,
    CIPHERS,
    COUNT,
    ENDPOINT,
    EXTERNAL,
    HOST,
    LISTEN_ENDPOINT,
    LISTEN_HOST,
    NETWORKS,
    PATH,
    PEM,
    PORT,
    PORTS,
    REALM,
    SECONDS,
    SECONDS_OR_NEVER,
    SECRET,
    SEPARATOR,
    TEXT,
    URL_PATH,
    USER,
    Kind,
    choices,
    integers,
    words,
)
from suite.option_table_turn_old import OLD
from suite.option_table_turn_unserved import UNSERVED
from suite.options import NO_MARK, Mark, Option
from turn.settings import PeerProfile, SecretDigest

SECURITY, LIVE, REPEAT = Mark.SECURITY, Mark.LIVE, Mark.REPEAT
SECRET_MARKS = Mark.SECURITY | Mark.SECRET

PROFILE = choices(PeerProfile, "safe")
DIGEST = choices(SecretDigest, "sha256")
LOG_LEVEL = words("debug", "info", "warning", "error")
CHANNELS = integers(1, 4096, 256)
PERMISSIONS = integers(1, 4096, 256)
SHARED_PORTS = integers(1, 256, 4)
SHARED_PEERS = integers(1, 65535, 256)
BUFFER = integers(4096, 2**30, 2 * 1024 * 1024, "bytes")


def _row(
    name: str,
    kind: Kind[object],
    default: str,
    meaning: str,
    marks: Mark = NO_MARK,
    bare: str | None = None,
) -> Option:
    return Option(
        section="turn",
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        marks=marks,
        bare="true" if kind is BOOLEAN else bare,
    )


_LISTEN = (
    _row(
        "listening-ip",
        LISTEN_HOST,
        "",
        "An address to listen on; repeat for more. Unset: every IPv4 address of this machine. "
        "0.0.0.0 and :: stand for every address of their family.",
        REPEAT,
    ),
    _row("listening-port", PORT, "3478", "UDP and TCP, and TLS too where it is on.", SECURITY),
    _row("tls-listening-port", PORT, "5349", "A second port, the usual one of turns:.", SECURITY),
    _row(
        "aux-server",
        LISTEN_ENDPOINT,
        "",
        "One more address:port to listen on, such as 0.0.0.0:443; repeat for more.",
        SECURITY | REPEAT,
    ),
    _row(
        "tcp-proxy-port",
        PORT,
        "",
        "A TCP port whose connections begin with a PROXY protocol header; no TLS on it.",
        SECURITY,
    ),
    _row(
        "proxy-port",
        PORTS,
        "",
        "TCP ports whose connections begin with a PROXY protocol header; TLS and plain follow.",
        SECURITY,
    ),
    _row(
        "proxy-from",
        NETWORKS,
        "",
        "Networks whose PROXY header is believed; others are refused. Unset: this machine only.",
        SECURITY | REPEAT,
    ),
    _row("no-udp", BOOLEAN, "false", "Do not listen on UDP."),
    _row("no-tcp", BOOLEAN, "false", "Do not accept TURN over plain TCP."),
    _row("no-tls", BOOLEAN, "false", "Do not accept TURN over TLS."),
    _row("sock-buf-size", BUFFER, "2097152", "Kernel buffers of each UDP listener, bytes."),
)

_RELAY = (
    _row(
        "relay-ip",
        LISTEN_HOST,
        "",
        "A local address of relay sockets; repeat for more. Unset: the listening-ip that were "
        "given, else the address the client reached.",
        REPEAT,
    ),
    _row(
        "external-ip",
        EXTERNAL,
        "",
        "The public address of a server behind NAT: public, public/private, or auto (ask "
        "external-stun-server); repeat, at most one without /private per family.",
        REPEAT,
    ),
    _row(
        "external-stun-server",
        ENDPOINT,
        "",
        "The STUN server that external-ip = auto asks.",
    ),
    _row("min-port", PORT, "49152", "First port of relay addresses.", SECURITY),
    _row("max-port", PORT, "65535", "Last port of relay addresses.", SECURITY),
    _row(
        "multiplex-peer",
        BOOLEAN,
        "false",
        "Relay on a few ports that all allocations share, in place of one of min-port to max-port "
        "for each. Departs from RFC 8656, see docs/shared-ports.md.",
    ),
    _row("multiplex-peer-port", PORT, "3480", "The first of the shared ports.", SECURITY),
    _row(
        "multiplex-peer-ports",
        SHARED_PORTS,
        "4",
        "How many shared ports there are, the same ones on every relay address; so many clients "
        "reach the same peer at a time.",
        SECURITY,
    ),
    _row(
        "multiplex-peer-max-peers",
        SHARED_PEERS,
        "256",
        "Peers of one allocation on shared ports.",
        SECURITY,
    ),
)

_ACCESS = (
    _row("realm", REALM, "webrtc-suite", "The realm of users and of ready-made keys.", SECURITY),
    _row(
        "lt-cred-mech",
        BOOLEAN,
        "false",
        "Long-term credentials; on by itself with users. In a turnserver.conf without any it "
        "opens coTURN's own database, if there is one.",
    ),
    _row(
        "user",
        USER,
        "",
        "A user: name:password, or name:0x and the MD5 key; repeat for more.",
        SECRET_MARKS | REPEAT | LIVE,
    ),
    _row(
        "use-auth-secret",
        BOOLEAN,
        "false",
        "Time-limited credentials made of a shared secret; users are then not looked at.",
        SECURITY,
    ),
    _row(
        "static-auth-secret",
        SECRET,
        "",
        "The shared secret; repeat while rotating it. random: a new one at every start.",
        SECRET_MARKS | REPEAT | LIVE,
    ),
    _row(
        "secret-digest",
        DIGEST,
        "sha1",
        "The HMAC that makes passwords of the shared secret; sha1 is what coTURN's users have.",
        SECURITY | LIVE,
    ),
    _row(
        "rest-api-separator",
        SEPARATOR,
        ":",
        "Between expiry time and name in time-limited user names.",
        SECURITY | LIVE,
    ),
    _row("userdb", PATH, "", "coTURN's SQLite user database.", SECURITY),
    _row("db", PATH, "", "The same as userdb.", SECURITY),
    _row(
        "no-auth",
        BOOLEAN,
        "false",
        "Relay for everybody: an OPEN RELAY, which strangers will find and use.",
        SECURITY,
    ),
    _row("secure-stun", BOOLEAN, "false", "Ask for credentials for Binding too.", SECURITY),
    _row(
        "stale-nonce",
        SECONDS_OR_NEVER,
        "600",
        "Seconds that a nonce is good for; 0: for ever.",
        SECURITY,
        bare="600",
    ),
    _row(
        "stateless-nonce-secret",
        SECRET,
        "",
        "Shared by servers that accept each other's nonces. Unset: random at start.",
        SECRET_MARKS,
    ),
    _row(
        "unauthorized-ratelimit",
        BOOLEAN,
        "true",
        "Limit 401 replies over UDP (always on here unless set to false).",
        SECURITY | LIVE,
    ),
    _row(
        "unauthorized-ratelimit-rps",
        COUNT,
        "10",
        "401 replies per second to one source.",
        SECURITY | LIVE,
    ),
    _row(
        "binding-ratelimit-rps",
        COUNT,
        "100",
        "Binding replies over UDP per second to one source; 0: no limit.",
        SECURITY | LIVE,
    ),
)

_PEERS = (
    _row(
        "profile",
        PROFILE,
        "safe",
        "Built-in peer rules. safe: only addresses routable on the Internet; coturn: private and "
        "multicast peers too, as coTURN has it.",
        SECURITY | LIVE,
    ),
    _row(
        "allowed-peer-ip",
        ADDRESS_RANGE,
        "",
        "Peers to allow, before every denial: address, first-last or CIDR; repeat for more.",
        SECURITY | REPEAT | LIVE,
    ),
    _row(
        "denied-peer-ip",
        ADDRESS_RANGE,
        "",
        "Peers to deny: address, first-last or CIDR; repeat for more.",
        SECURITY | REPEAT | LIVE,
    ),
    _row(
        "allow-loopback-peers",
        BOOLEAN,
        "false",
        "Let clients reach this machine's own services. For tests.",
        SECURITY | LIVE,
    ),
    _row(
        "no-multicast-peers",
        BOOLEAN,
        "false",
        "Deny multicast peers (profile safe always does).",
        SECURITY | LIVE,
    ),
)

_LIMITS = (
    _row(
        "user-quota",
        COUNT,
        "0",
        "Allocations per user; 0: no limit. Those whom the pages and the gateway give credentials"
        " to have quotas of their own besides, see docs/gateway.md.",
        SECURITY | LIVE,
    ),
    _row("total-quota", COUNT, "0", "Allocations in all; 0: no limit.", SECURITY | LIVE),
    _row(
        "max-bps",
        BYTES_PER_SECOND,
        "0",
        "Bytes per second of one allocation, each way; 0: no limit.",
        SECURITY | LIVE,
    ),
    _row(
        "bps-capacity",
        BYTES_PER_SECOND,
        "0",
        "Bytes per second that all allocations may be promised; needs max-bps; 0: no limit.",
        SECURITY | LIVE,
    ),
    _row(
        "max-allocate-lifetime",
        SECONDS,
        "3600",
        "The longest lifetime of an allocation between two refreshes.",
        LIVE,
        bare="3600",
    ),
    _row("permission-lifetime", SECONDS, "300", "Leave as it is (RFC 8656).", LIVE, bare="300"),
    _row("channel-lifetime", SECONDS, "600", "Leave as it is (RFC 8656).", LIVE, bare="600"),
    _row(
        "max-allocate-timeout",
        SECONDS,
        "",
        "coTURN's name for [suite] unauthenticated-timeout, which it replaces when set.",
    ),
    _row("max-permissions", PERMISSIONS, "256", "Permissions of one allocation.", SECURITY | LIVE),
    _row("max-channels", CHANNELS, "256", "Channels of one allocation.", SECURITY | LIVE),
)

_TLS = (
    _row(
        "cert",
        PEM,
        "",
        "The certificate chain, PEM. Unset: the certificate that this install made itself.",
        SECURITY | LIVE,
    ),
    _row("pkey", PEM, "", "Its private key, PEM, readable by its owner only.", SECURITY | LIVE),
    _row("pkey-pwd", SECRET, "", "The password of the private key.", SECRET_MARKS | LIVE),
    _row(
        "cipher-list",
        CIPHERS,
        "",
        "OpenSSL's cipher list for TLS 1.2. Unset: AEAD with forward secrecy.",
        SECURITY | LIVE,
    ),
    _row("no-tlsv1_2", BOOLEAN, "false", "Accept nothing older than TLS 1.3.", SECURITY | LIVE),
)

_PROTOCOL = (
    _row("stun-only", BOOLEAN, "false", "Answer STUN and relay nothing.", SECURITY),
    _row("no-stun", BOOLEAN, "false", "Do not answer Binding."),
    _row("fingerprint", BOOLEAN, "false", "Add FINGERPRINT to every reply, asked for or not."),
    _row("software-attribute", BOOLEAN, "false", "Send SOFTWARE."),
    _row("no-software-attribute", BOOLEAN, "true", "The older spelling of the opposite."),
    _row("include-reason-string", BOOLEAN, "false", "Say in error replies what is wrong."),
    _row(
        "rfc3489-compatibility",
        BOOLEAN,
        "true",
        "Answer the classic Binding without a cookie.",
    ),
    _row(
        "rfc5766-channel-numbers",
        BOOLEAN,
        "false",
        "Accept channel numbers 0x5000 to 0x7FFF.",
    ),
)

_LOG = (
    _row("verbose", BOOLEAN, "false", "Log allocations as they come and go.", LIVE),
    _row("Verbose", BOOLEAN, "false", "Log everything.", LIVE),
    _row("log-min-level", LOG_LEVEL, "debug", "The least grave records that are written.", LIVE),
    _row("log-file", TEXT, "", "A log file; stdout, - and syslog are understood.", LIVE),
    _row("no-stdout-log", BOOLEAN, "false", "Log to the file only.", LIVE),
    _row("syslog", BOOLEAN, "false", "Log to syslog instead of a file.", LIVE),
    _row("simple-log", BOOLEAN, "false", "One log file for ever (logrotate and SIGHUP).", LIVE),
    _row("new-log-timestamp", BOOLEAN, "true", "ISO 8601 times; false: time of day.", LIVE),
    _row("prometheus", BOOLEAN, "false", "Serve metrics on prometheus-address.", SECURITY),
    _row("prometheus-port", PORT, "9641", "Its port.", SECURITY),
    _row("prometheus-address", HOST, "", "Its address. Unset: every IPv4 address.", SECURITY),
    _row("prometheus-path", URL_PATH, "/metrics", "The path of the metrics."),
)

TURN = (
    *_LISTEN,
    *_RELAY,
    *_ACCESS,
    *_PEERS,
    *_LIMITS,
    *_TLS,
    *_PROTOCOL,
    *_LOG,
    *UNSERVED,
    *OLD,
)
