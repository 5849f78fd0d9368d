"""
How many instructions a packet takes in the relay's C core, by valgrind: the same on a busy machine.

    python -m benchmarks.instructions [--keep] [--check]

Only the core counts, not the kernel nor what the loopback costs. ``--keep`` writes the figures to
results/instructions.json; ``--check`` compares with those that are kept, and ends with status 1
where a packet takes a tenth more than it did. They are those of one compiler.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import load
from benchmarks.load import LoadFailed
from benchmarks.servers import CHECKOUT

KEPT = load.HERE / "results" / "instructions.json"
NATIVE = CHECKOUT / "suite" / "datapath" / "native"
KINDS = ("up", "down", "indications", "trains")
ROUNDS = 400
MOST_MORE = 1.1
COUNTED = re.compile(r"Collected : (\d+)")


def build(folder: Path) -> Path:
    """The core and its driver as one program. Raises LoadFailed."""
    program = folder / "instructions"
    command = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g1", f"-I{NATIVE}", "-o", str(program)]
    command += [str(load.HERE / "instructions.c"), *sorted(map(str, NATIVE.glob("*.c")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadFailed(f"the core does not compile: {done.stderr.strip()}")
    return program


def counted(program: Path, kind: str) -> float:
    """Instructions for each packet that came out. Raises LoadFailed."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=dp_drain"]
    command += [f"--callgrind-out-file={program}.{kind}", str(program), kind, str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise LoadFailed(f"{kind}: {done.stderr.strip().splitlines()[-1]}")
    return per_packet(done.stdout, done.stderr)


def per_packet(output: str, valgrind: str) -> float:
    """What was counted by what came out. Raises LoadFailed where nothing did."""
    found, packets = COUNTED.search(valgrind), int(output or 0)
    if found is None or not packets:
        raise LoadFailed(f"{packets} packets came out, and valgrind said: {valgrind[-200:]}")
    return round(int(found.group(1)) / packets, 1)


def measure() -> dict[str, float]:
    """Every kind. Raises LoadFailed."""
    if shutil.which("valgrind") is None:
        raise LoadFailed("valgrind is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        program = build(Path(name))
        return {kind: counted(program, kind) for kind in KINDS}


def grown(before: dict[str, float], now: dict[str, float]) -> list[str]:
    """The kinds whose packets take too much more than before."""
    return [kind for kind, count in now.items() if count > MOST_MORE * before.get(kind, count)]


def main() -> int:
    """Count, print, keep or check."""
    parser = argparse.ArgumentParser(description="instructions a packet in the relay's C core")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    try:
        now = measure()
    except LoadFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for kind, count in now.items():
        print(f"{kind:12} {count:8.0f} instructions a packet, kept {before.get(kind, 'none')}")
    if chosen.keep:
        KEPT.write_text(json.dumps(now, indent=1) + "\n")
    return int(chosen.check and bool(grown(before, now)))


if __name__ == "__main__":
    sys.exit(main())
