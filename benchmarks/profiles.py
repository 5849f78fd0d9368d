"""
Where the time of a packet goes: our relay and our bridge under perf, condensed to a few shares.

    python -m benchmarks.profiles [--seconds 5] [--plane native] [NAME ...]

The kernel's stacks tell sends from receives and from waiting, the user's file tells Python from
native code. Load and regime are those of the tables: server and generator on CPU 0, 10,000 packets
a second in ticks of a millisecond. Shares are kept in results/profile.json by name and data plane,
so those of the twin stay beside those of the native one. Needs Debian's linux-perf, and root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import filterfalse
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import bridge, bridge_servers, load, servers
from benchmarks.load import LoadFailed
from benchmarks.relay_bench import told
from benchmarks.relay_costs import TRAFFIC
from benchmarks.run import enter_namespace
from benchmarks.sdes import AES_CM, CLEAR
from benchmarks.servers import ServerDidNotStart

KEPT = load.HERE / "results" / "profile.json"
SAMPLES_PER_SECOND = 1999
LONGEST = 20.0
LEAST_SAMPLES = 200
WARM_UP = 1.5
"""Seconds until a generator's traffic counts."""

Stack = list[tuple[str, str]]
"""Symbol and file of each frame, the innermost first."""

BY_SYMBOL = {
    "kernel: send": r"(sendto|sendmsg|sendmmsg|sys_write|sock_write_iter)",
    "kernel: receive": r"(recvfrom|recvmsg|recvmmsg|sys_recv|sys_read|sock_read_iter)",
    "kernel: epoll": r"epoll",
}
"""The share of a stack, by the symbols of the kernel and of libc; the first that fits counts."""
BY_FILE = {
    "native data plane": r"/suite/datapath/_native",
    "SRTP (libsrtp)": r"(pylibsrtp|libsrtp)",
    "TLS (OpenSSL)": r"(libssl|libcrypto|cryptography|_rust\.abi3)",
    "event loop (uvloop)": r"uvloop",
    "Python": r"(python3|/lib-dynload/|\.so$|libc\.so|libm\.so)",
}
"""And by the file of the innermost frame where it is none of them."""
KERNEL = "kernel: other"
OTHER = "other"
SWITCHED_IN = "finish_task_switch"
"""
Where perf's clock begins anew when a process gets its core back. How many samples fall there says
how many others wanted the core, so they are left out.
"""


def share_of(stack: Stack) -> str:
    """What one sample's time went to."""
    system = [symbol for symbol, file in stack if "kernel" in file or "libc.so" in file]
    for share, pattern in BY_SYMBOL.items():
        if any(re.search(pattern, symbol) for symbol in system):
            return share
    if any("kernel" in file for _, file in stack):
        return KERNEL
    file = stack[0][1] if stack else ""
    return next((share for share, of in BY_FILE.items() if re.search(of, file)), OTHER)


def switched_in(stack: Stack) -> bool:
    """Whether a sample only says that the process has its core back."""
    return bool(stack) and stack[0][0].startswith(SWITCHED_IN)


def stacks(text: str) -> Iterator[Stack]:
    """The stacks that ``perf script -F ip,sym,dso`` prints, with an empty line behind each."""
    stack: Stack = []
    for line in text.splitlines():
        frame = re.match(r"\s+[0-9a-f]+ (.+) \((.+)\)$", line)
        if frame:
            stack.append((frame.group(1), frame.group(2)))
        elif stack:
            yield stack
            stack = []
    if stack:
        yield stack


def condensed(found: Iterable[Stack]) -> tuple[dict[str, float], int]:
    """Percent of each share, the largest first, and how many samples there were."""
    counts = Counter(map(share_of, filterfalse(switched_in, found)))
    samples = counts.total()
    return {share: round(100 * n / samples, 1) for share, n in counts.most_common()}, samples


def sampled(pids: list[int], seconds: float) -> tuple[dict[str, float], int]:
    """The shares of some processes for so long. Raises LoadFailed where perf does not work."""
    if shutil.which("perf") is None:
        raise LoadFailed("perf is not installed: apt-get install linux-perf")
    with tempfile.TemporaryDirectory(prefix="profile-bench-") as name:
        record = ["perf", "record", "-q", "-F", str(SAMPLES_PER_SECOND), "-e", "cpu-clock", "-g"]
        record += ["-o", f"{name}/data", "-p", ",".join(map(str, pids))]
        done = subprocess.run(
            [*record, "--", "sleep", str(seconds)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LoadFailed(f"perf: {done.stderr.strip()}")
        script = ["perf", "script", "-i", f"{name}/data", "-F", "ip,sym,dso"]
        text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    shares, samples = condensed(stacks(text))
    if samples < LEAST_SAMPLES:
        raise LoadFailed(f"only {samples} samples")
    return shares, samples


@contextlib.contextmanager
def relaying(traffic: load.Traffic, plane: str, seconds: float, **how: bool) -> Iterator[list[int]]:
    """Our relay with that traffic; its processes."""
    with servers.ours(plane=plane, **how) as server:
        found: load.Record = {}
        with load.relaying(server, told(server, traffic.at(traffic.rate, seconds)), found):
            yield server.pids()


@contextlib.contextmanager
def bridging(suite: str, plane: str, seconds: float) -> Iterator[list[int]]:
    """Our bridge with the calls of the table; its processes."""
    with bridge_servers.ours(bridge.CALLS, suite, plane=plane) as server:
        with load.background(bridge.command(server, bridge.RATE, seconds, 0)) as process:
            time.sleep(WARM_UP)
            yield server.pids()
            output, _ = process.communicate(timeout=seconds + 30)
        bridge.checked("ours", bridge.RATE, output)


Under = Callable[[str, float], contextlib.AbstractContextManager[list[int]]]
PROFILES: dict[str, Under] = {
    "relay udp-172": lambda plane, s: relaying(TRAFFIC["udp-172"], plane, s),
    "relay shared-172": lambda plane, s: relaying(
        TRAFFIC["shared-172"], plane, s, shares_ports=True
    ),
    "relay trains": lambda plane, s: relaying(TRAFFIC["trains"], plane, s),
    "relay tls": lambda plane, s: relaying(TRAFFIC["tls"], plane, s),
    "bridge rtp-rtp": lambda plane, s: bridging(CLEAR, plane, s),
    "bridge rtp-srtp": lambda plane, s: bridging(AES_CM, plane, s),
}


def keep(name: str, plane: str, shares: dict[str, float], samples: int) -> None:
    """Put one profile among those that are kept, in place of an older one of its kind."""
    profiles = json.loads(KEPT.read_text()) if KEPT.exists() else []
    profiles = [each for each in profiles if (each["name"], each["plane"]) != (name, plane)]
    profiles.append({"name": name, "plane": plane, "samples": samples, "shares": shares})
    order = list(PROFILES)
    profiles.sort(key=lambda each: (order.index(each["name"]), each["plane"] == servers.NATIVE))
    KEPT.write_text(json.dumps(profiles, indent=1) + "\n")


def main() -> int:
    """Take the profiles, print and keep them. Not 0 if one could not be had."""
    parser = argparse.ArgumentParser(description="where the time of a packet goes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROFILES))
    parser.add_argument("--seconds", type=float, default=5.0)
    planes = (servers.NATIVE, servers.PYTHON)
    parser.add_argument("--plane", choices=planes, default=servers.PYTHON)
    chosen = parser.parse_args()
    enter_namespace()
    load.build()
    seconds, failed = min(chosen.seconds, LONGEST), 0
    for name in chosen.names or PROFILES:
        try:
            with PROFILES[name](chosen.plane, seconds + 1) as pids:
                shares, samples = sampled(pids, seconds)
        except (LoadFailed, ServerDidNotStart) as failure:
            print(f"{name}: {failure}", file=sys.stderr)
            failed = 1
            continue
        keep(name, chosen.plane, shares, samples)
        print(f"{name}, {chosen.plane}, {samples} samples: {shares}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
