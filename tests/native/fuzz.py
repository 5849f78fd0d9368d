"""
Run the harnesses with as many inputs as there is time for: ``make fuzz``.

With clang they are guided by coverage, and what is found stays in ``.cache/fuzz`` for the next
run; else what is kept is mutated blindly. What fails is left there, too, as ``NAME-crash-...``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.native.harness import HARNESSES, LIBFUZZER, REPLAY, build
from tests.native.inputs import inputs

CACHE = Path(".cache/fuzz")


def main(words: Sequence[str]) -> int:
    """Run; how many harnesses failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.native.fuzz")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs of each harness")
    parser.add_argument("names", nargs="*", default=list(HARNESSES))
    wanted = parser.parse_args(words)
    guided = not LIBFUZZER.missing
    if not guided:
        print(f"{LIBFUZZER.missing}: blind mutations only")
    return sum(_fails(name, wanted.runs, guided) for name in wanted.names)


def _fails(name: str, runs: int, guided: bool) -> bool:
    tools = LIBFUZZER if guided else REPLAY
    folder = CACHE / tools.compiler
    for made in folder.glob("*.o"):
        made.unlink()
    program = build(name, tools, folder)
    corpus = CACHE / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs(name)):
        (corpus / f"kept-{number}").write_bytes(data)
    return _run(program, name, corpus, runs, guided) != 0


def _run(program: Path, name: str, corpus: Path, runs: int, guided: bool) -> int:
    print(f"{name}: {runs} inputs", flush=True)
    if not guided:
        return subprocess.run([program, str(runs), *corpus.iterdir()], check=False).returncode
    options = ["-max_len=256", f"-artifact_prefix={CACHE}/{name}-", "-print_final_stats=1"]
    return subprocess.run(
        [program, str(corpus), f"-runs={runs}", "-verbosity=0", *options], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
