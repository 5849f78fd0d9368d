#!/bin/sh
# The programs of others that the tests talk to, from Debian's packages and package-lock.json.
#
# What is here already is left alone. Installing needs root or a sudo that asks nothing; what
# stays missing is named, and the tests that need it fail, or skip under ALLOW_MISSING_PEERS=1.
# No service is started or left enabled by an install. With the word "bench" those that only the
# benchmarks need are installed, too.
set -u
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
policy=/usr/sbin/policy-rc.d
purpose=${1:-test}

say() { printf 'peers: %s\n' "$*"; }

# A name with slashes is a part of a program, in /usr/lib or the folder of this machine's kind.
is_here() {
    case $1 in
        /*) [ -e "$1" ] ;;
        */*) ls "/usr/lib/$1" /usr/lib/*/"$1" 2>/dev/null | grep -q . ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

of_benchmarks() {
    [ "$purpose" = bench ] || return 0
    cat <<PROGRAMS
rtpengine rtpengine-daemon
cc gcc
/usr/include/srtp2/srtp.h libsrtp2-dev
/usr/include/openssl/ssl.h libssl-dev
PROGRAMS
}

packages_of_missing_programs() {
    while read -r program package; do
        [ -n "$program" ] || continue
        is_here "$program" || printf '%s\n' "$package"
    done <<PROGRAMS | sort -u
$(of_benchmarks)
turnserver coturn
turnutils_uclient coturn
turnutils_stunclient coturn
turnutils_peer coturn
chromium chromium
firefox-esr firefox-esr
pulseaudio pulseaudio
certutil libnss3-tools
squid squid
nft nftables
haproxy haproxy
dnsmasq dnsmasq-base
sipp sip-tester
kamailio kamailio
kamailio/modules/tls.so kamailio-tls-modules
baresip baresip-core
sipsak sipsak
tshark tshark
dumpcap wireshark-common
ip iproute2
openssl openssl
node nodejs
npm npm
PROGRAMS
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -eq 0 ] || { command -v sudo && sudo -n true; } >/dev/null 2>&1
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
}

# Debian starts a service as soon as it is installed unless this file says no.
forbid_service_starts() {
    [ ! -e "$policy" ] || return 0
    trap 'as_root rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

disable_services() {
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
            coturn | haproxy | kamailio | rtpengine-daemon | squid)
                as_root systemctl --quiet disable "$package"
                ;;
            pulseaudio) as_root systemctl --quiet --global disable pulseaudio.service pulseaudio.socket ;;
        esac
    done
}

install_packages() {
    say "installing $*"
    forbid_service_starts
    apt_install "$@" >.cache/apt.log 2>&1 ||
        { as_root apt-get -qq update && apt_install "$@"; } >.cache/apt.log 2>&1 ||
        { say "apt-get failed:"; tail -n 5 .cache/apt.log; }
    disable_services "$@" 2>/dev/null
}

install_node_modules() {
    [ -e package-lock.json ] && command -v npm >/dev/null || return 0
    stamp=$(cat package.json package-lock.json | sha256sum)
    [ "$(cat node_modules/.made-from 2>/dev/null)" != "$stamp" ] || return 0
    say "installing the packages of package-lock.json"
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 \
        npm ci --no-audit --no-fund --loglevel=error </dev/null &&
        printf '%s\n' "$stamp" > node_modules/.made-from
}

mkdir -p .cache
missing=$(packages_of_missing_programs)
if [ -n "$missing" ] && may_install; then
    # shellcheck disable=SC2086 # one word is one package
    install_packages $missing
    missing=$(packages_of_missing_programs)
fi
install_node_modules || say "npm could not install them: the browser tests will tell"

if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    say "missing:" $missing
    # shellcheck disable=SC2086
    say "as root: apt-get install --no-install-recommends" $missing
    if [ "${ALLOW_MISSING_PEERS:-}" = 1 ]; then
        say "ALLOW_MISSING_PEERS=1: the tests that need them will skip"
    else
        say "the tests that need them will fail (ALLOW_MISSING_PEERS=1 lets them skip)"
    fi
fi
exit 0
