"""
The relay's settings, made of the chosen options of section [turn].
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from b2bua.settings import WebMediaSettings
from suite.chosen import Chosen
from suite.config_files import why_unreadable
from suite.diagnostics import HIDDEN, Level
from suite.machine import Machine
from suite.option_kinds import (
    ADDRESS_RANGE,
    BOOLEAN,
    BYTES_PER_SECOND,
    COUNT,
    ENDPOINT,
    EXTERNAL,
    LISTEN_HOST,
    PATH,
    PORT,
    RANDOM,
    REALM,
    SECONDS,
    SECONDS_OR_NEVER,
    SECRET,
    SEPARATOR,
    USER,
)
from suite.option_table_turn import (
    CHANNELS,
    DIGEST,
    PERMISSIONS,
    PROFILE,
    SHARED_PEERS,
    SHARED_PORTS,
)
from turn.settings import (
    CredentialSettings,
    ExternalAddress,
    PeerProfile,
    PeerSettings,
    SharedPorts,
    StaticUser,
    TurnSettings,
)

TURN = "turn"

PUBLISHED = {
    "genesys": ("genesys",),
    "ninefingers": ("youhavetoberealistic",),
    "username1": ("key1", "password1"),
    "username2": ("key2", "password2"),
}
"""Users that stand in the guide and in coTURN's sample file."""
PUBLISHED_SECRETS = ("north", "logen", "changeme", "secret", "genesys")


def turn_settings(chosen: Chosen, machine: Machine, *, coturn_file: bool) -> TurnSettings:
    """Make the relay's settings; what contradicts is reported on the way."""

    def flag(name: str) -> bool:
        return chosen.one(TURN, name, BOOLEAN)

    def seconds(name: str) -> int:
        return chosen.one(TURN, name, SECONDS)

    def count(name: str) -> int:
        return chosen.one(TURN, name, COUNT)

    first, last = _relay_ports(chosen)
    external, ask = _external_addresses(chosen)
    limited = flag("unauthorized-ratelimit")
    _check_limits(chosen)
    return TurnSettings(
        realm=chosen.one(TURN, "realm", REALM),
        relay_addresses=relay_addresses(chosen, machine),
        external_addresses=external,
        external_auto=ask,
        external_stun_server=chosen.maybe(TURN, "external-stun-server", ENDPOINT),
        min_port=first,
        max_port=last,
        shared_ports=shared_ports(chosen),
        peers=_warned_peers(chosen),
        credentials=_credentials(chosen, machine, coturn_file=coturn_file),
        stun=not flag("no-stun"),
        turn=not flag("stun-only"),
        classic_stun=flag("rfc3489-compatibility") and not flag("no-stun-backward-compatibility"),
        authenticate_binding=flag("secure-stun"),
        user_quota=count("user-quota"),
        total_quota=count("total-quota"),
        max_bps=chosen.one(TURN, "max-bps", BYTES_PER_SECOND),
        bps_capacity=chosen.one(TURN, "bps-capacity", BYTES_PER_SECOND),
        max_lifetime=max(600, seconds("max-allocate-lifetime")),
        permission_lifetime=seconds("permission-lifetime"),
        channel_lifetime=seconds("channel-lifetime"),
        max_permissions=chosen.one(TURN, "max-permissions", PERMISSIONS),
        max_channels=chosen.one(TURN, "max-channels", CHANNELS),
        nonce_lifetime=chosen.one(TURN, "stale-nonce", SECONDS_OR_NEVER),
        nonce_secret=chosen.maybe(TURN, "stateless-nonce-secret", SECRET) or "",
        unauthorized_rate=count("unauthorized-ratelimit-rps") if limited else 0,
        binding_rate=count("binding-ratelimit-rps"),
        fingerprint=flag("fingerprint"),
        software=_software(chosen),
        reason_phrases=flag("include-reason-string"),
        legacy_channel_numbers=flag("rfc5766-channel-numbers"),
    )


def relay_addresses(chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    """Those of relay-ip, else of listening-ip, as coTURN has it; else none."""
    for name in ("relay-ip", "listening-ip"):
        if chosen.is_set(TURN, name):
            given = chosen.every(TURN, name, LISTEN_HOST)
            hosts = [each for host, _ in given for each in machine.expand(host)]
            return tuple(dict.fromkeys(hosts))
    return ()


def _relay_ports(chosen: Chosen) -> tuple[int, int]:
    first = chosen.one(TURN, "min-port", PORT)
    last = chosen.one(TURN, "max-port", PORT)
    if first > last:
        name = "min-port" if chosen.is_set(TURN, "min-port") else "max-port"
        problem = f"min-port {first} is above max-port {last}"
        accepted = "min-port is at most max-port (defaults: 49152 and 65535)"
        chosen.complain(Level.ERROR, TURN, name, problem, accepted)
    elif first < 1024:
        accepted = "49152 to 65535 is what other machines expect"
        chosen.complain(Level.WARNING, TURN, "min-port", "relays on privileged ports", accepted)
    return first, last


def shared_ports(chosen: Chosen) -> SharedPorts | None:
    """The ports that all allocations share, if they do."""
    if not chosen.one(TURN, "multiplex-peer", BOOLEAN):
        return None
    first = chosen.one(TURN, "multiplex-peer-port", PORT)
    last = first + chosen.one(TURN, "multiplex-peer-ports", SHARED_PORTS) - 1
    if last > 65535:
        problem = f"the shared ports would be {first} to {last}"
        accepted = "multiplex-peer-port and multiplex-peer-ports make 65536 at most"
        chosen.complain(Level.ERROR, TURN, "multiplex-peer-port", problem, accepted)
    peers = chosen.one(TURN, "multiplex-peer-max-peers", SHARED_PEERS)
    return SharedPorts(first=first, last=last, max_peers=peers)


def relay_port_range(chosen: Chosen) -> tuple[int, int]:
    """The first and the last port on which peers meet relays."""
    shared = shared_ports(chosen)
    if shared is not None:
        return shared.first, shared.last
    return chosen.one(TURN, "min-port", PORT), chosen.one(TURN, "max-port", PORT)


def _external_addresses(chosen: Chosen) -> tuple[tuple[ExternalAddress, ...], bool]:
    given = chosen.every(TURN, "external-ip", EXTERNAL)
    addresses = tuple(address for address, _ in given if address is not None)
    plain = [address.public for address in addresses if address.local is None]
    for family in ("IPv4", "IPv6"):
        if sum((":" in host) == (family == "IPv6") for host in plain) > 1:
            problem = f"more than one {family} address without its private address"
            accepted = "public/private for each (example: external-ip = 198.51.100.7/10.0.0.7)"
            chosen.complain(Level.ERROR, TURN, "external-ip", problem, accepted)
    ask = any(address is None for address, _ in given)
    if ask and plain:
        accepted = "keep either auto or the address"
        chosen.complain(Level.ERROR, TURN, "external-ip", "auto beside an address", accepted)
    if ask and not chosen.is_set(TURN, "external-stun-server"):
        accepted = "external-stun-server (example: external-stun-server = stun.example.org:3478)"
        chosen.complain(Level.ERROR, TURN, "external-ip", "auto needs a server to ask", accepted)
    return addresses, ask


def peer_settings(chosen: Chosen) -> PeerSettings:
    """Who may be a peer, as far as options say."""
    profile = chosen.one(TURN, "profile", PROFILE)
    return PeerSettings(
        profile=profile,
        allowed=tuple(each for each, _ in chosen.every(TURN, "allowed-peer-ip", ADDRESS_RANGE)),
        denied=tuple(each for each, _ in chosen.every(TURN, "denied-peer-ip", ADDRESS_RANGE)),
        allow_loopback=chosen.one(TURN, "allow-loopback-peers", BOOLEAN),
        deny_multicast=profile is PeerProfile.SAFE
        or chosen.one(TURN, "no-multicast-peers", BOOLEAN),
    )


def _warned_peers(chosen: Chosen) -> PeerSettings:
    if chosen.one(TURN, "allow-loopback-peers", BOOLEAN):
        problem = "clients may reach every service on this machine"
        accepted = "remove it unless this is a test"
        chosen.complain(Level.WARNING, TURN, "allow-loopback-peers", problem, accepted)
    return peer_settings(chosen)


def with_ice(peers: PeerSettings, web: WebMediaSettings) -> PeerSettings:
    """Open the ports of browsers' media, and nothing else there, also under their public face."""
    faces = tuple((public, local) for local, public in web.external.items())
    hosts = (*web.addresses, *(public for public, _ in faces))
    opened = tuple((host, web.first_port, web.last_port) for host in hosts)
    return replace(
        peers,
        open_ports=tuple(dict.fromkeys((*peers.open_ports, *opened))),
        local_faces=tuple(dict.fromkeys((*peers.local_faces, *faces))),
    )


def _software(chosen: Chosen) -> bool:
    """SOFTWARE is sent if either spelling asks for it and none forbids it."""
    hidden = chosen.one(TURN, "no-software-attribute", BOOLEAN)
    if chosen.is_set(TURN, "no-software-attribute") and hidden:
        return False
    return chosen.one(TURN, "software-attribute", BOOLEAN) or not hidden


def _check_limits(chosen: Chosen) -> None:
    capacity = chosen.one(TURN, "bps-capacity", BYTES_PER_SECOND)
    each = chosen.one(TURN, "max-bps", BYTES_PER_SECOND)
    if capacity and not each:
        accepted = "set max-bps too: what one allocation is promised"
        chosen.complain(Level.ERROR, TURN, "bps-capacity", "max-bps is not set", accepted)
    elif capacity and each > capacity:
        accepted = "max-bps is at most bps-capacity"
        problem = "less than max-bps, so no allocation would fit"
        chosen.complain(Level.ERROR, TURN, "bps-capacity", problem, accepted)
    if chosen.one(TURN, "max-allocate-lifetime", SECONDS) < 600:
        accepted = "600 seconds is the least that is given"
        problem = "shorter than the default lifetime"
        chosen.complain(Level.WARNING, TURN, "max-allocate-lifetime", problem, accepted)
    for name, standard in (("permission-lifetime", 300), ("channel-lifetime", 600)):
        if chosen.one(TURN, name, SECONDS) != standard:
            problem = f"RFC 8656 says {standard}, and clients rely on it"
            chosen.complain(Level.WARNING, TURN, name, problem, "remove it")


def _credentials(chosen: Chosen, machine: Machine, *, coturn_file: bool) -> CredentialSettings:
    users = _users(chosen)
    secrets = _secrets(chosen, machine)
    use_secrets = _uses_secrets(chosen)
    anonymous = chosen.one(TURN, "no-auth", BOOLEAN)
    database = _database(chosen, machine, wanted=coturn_file and not (users or secrets))
    if anonymous:
        _check_anonymous(chosen)
    else:
        _check_somebody(chosen, bool(secrets if use_secrets else users), bool(database))
    if users and use_secrets:
        problem = "not looked at, because use-auth-secret is on"
        accepted = "keep either users or the shared secret"
        chosen.complain(Level.WARNING, TURN, "user", problem, accepted, HIDDEN)
    if users and not chosen.is_set(TURN, "realm") and any(each.md5_key for each in users):
        problem = "ready-made keys belong to a realm, and realm is not set"
        accepted = "set realm to the one that the keys were made for"
        chosen.complain(Level.WARNING, TURN, "user", problem, accepted, HIDDEN)
    return CredentialSettings(
        anonymous=anonymous,
        users=users,
        secrets=secrets,
        use_secrets=use_secrets,
        secret_digest=chosen.one(TURN, "secret-digest", DIGEST),
        separator=chosen.one(TURN, "rest-api-separator", SEPARATOR),
        database=database,
    )


def _users(chosen: Chosen) -> tuple[StaticUser, ...]:
    users: dict[str, StaticUser] = {}
    for user, place in chosen.every(TURN, "user", USER):
        say = chosen.voice(TURN, "user", place, HIDDEN)
        if user.name in users:
            say(Level.WARNING, "this name was given before; the last counts", "keep one of them")
        if user.password == "":
            say(Level.WARNING, "an empty password; the user is left out", "give it a password")
            users.pop(user.name, None)
            continue
        if user.password in PUBLISHED.get(user.name, ()):
            say(Level.WARNING, "a published sample credential, known to everybody", "change it")
        users[user.name] = user
    return tuple(users.values())


def _secrets(chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    secrets: list[str] = []
    for secret, place in chosen.every(TURN, "static-auth-secret", SECRET):
        say = chosen.voice(TURN, "static-auth-secret", place, HIDDEN)
        if not secret:
            say(Level.WARNING, "an empty secret, which is left out", "write a long random word")
            continue
        if secret in PUBLISHED_SECRETS:
            say(Level.WARNING, "a published sample secret, known to everybody", "change it")
        secrets.append(machine.random_secret() if secret == RANDOM else secret)
    return tuple(dict.fromkeys(secrets))


def _uses_secrets(chosen: Chosen) -> bool:
    """A static secret implies the mechanism, as in coTURN, unless it is switched off by name."""
    if chosen.is_set(TURN, "use-auth-secret"):
        return chosen.one(TURN, "use-auth-secret", BOOLEAN)
    return chosen.is_set(TURN, "static-auth-secret")


def _database(chosen: Chosen, machine: Machine, *, wanted: bool) -> str:
    """The user database that was named, else coTURN's own where its file looks for one."""
    for name in ("userdb", "db"):
        path = chosen.maybe(TURN, name, PATH)
        if path is not None:
            fault = why_unreadable(path)
            if fault:
                accepted = "a database that turnadmin made (example: /var/lib/turn/turndb)"
                chosen.complain(Level.ERROR, TURN, name, fault, accepted, str(path))
            return str(path)
    asked = [
        name
        for name in ("lt-cred-mech", "use-auth-secret")
        if chosen.is_set(TURN, name) and chosen.one(TURN, name, BOOLEAN)
    ]
    found = next((path for path in machine.user_databases if not why_unreadable(path)), None)
    if not (wanted and asked and found):
        return ""
    problem = f"credentials are taken from {found}"
    chosen.complain(Level.NOTICE, TURN, asked[0], problem, "userdb names another")
    return str(found)


def _check_anonymous(chosen: Chosen) -> None:
    flags = ("lt-cred-mech", "use-auth-secret")
    against = [name for name in flags if chosen.one(TURN, name, BOOLEAN)]
    against += [name for name in ("static-auth-secret", "user") if chosen.is_set(TURN, name)]
    if against:
        accepted = "remove no-auth, or everything about credentials"
        problem = f"contradicts {', '.join(against)}"
        chosen.complain(Level.ERROR, TURN, "no-auth", problem, accepted)
    elif not chosen.one(TURN, "stun-only", BOOLEAN):
        problem = "an OPEN RELAY: everybody may send through this server under its name"
        accepted = "use-auth-secret or user lines"
        chosen.complain(Level.WARNING, TURN, "no-auth", problem, accepted)


def _check_somebody(chosen: Chosen, static: bool, database: bool) -> None:
    needless = chosen.one(TURN, "stun-only", BOOLEAN) and not chosen.one(
        TURN, "secure-stun", BOOLEAN
    )
    if static or database or needless:
        return
    name = "use-auth-secret" if _uses_secrets(chosen) else "user"
    chosen.complain(
        Level.ERROR,
        TURN,
        name,
        "nobody could relay: there is no user, no shared secret and no user database",
        "add user = name:password, or static-auth-secret = a long random word, or userdb = path "
        "(no-auth would make an open relay)",
    )


def secrets_on(chosen: Chosen, path: Path) -> bool:
    """Whether the file at ``path`` itself holds a secret that means something."""
    given = [
        place
        for name, kind in (("user", USER), ("static-auth-secret", SECRET), ("pkey-pwd", SECRET))
        for value, place in chosen.every(TURN, name, kind)
        if value not in ("", RANDOM)
    ]
    return any(place.file == str(path) for place in given)
