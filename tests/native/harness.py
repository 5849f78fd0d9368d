"""
Builds the fuzz harnesses of the data plane's C core, without Python in them.

The core's objects call a kernel of the tests' own (kernel.h): objcopy renames what they call, so
that neither the sources nor what is shipped know of it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CORE = HERE.parent.parent / "suite" / "datapath" / "native"
CORPUS = HERE / "corpus"

HARNESSES: dict[str, tuple[str, ...]] = {
    "table": ("table",),
    "plane": ("table", "plane", "out"),
}
"""What each harness links of the core; its own source is NAME_fuzz.c."""

_KERNEL = ("kernel", "kernel_calls")
_FLAGS = (
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Werror",
    f"-I{CORE}",
    f"-I{HERE}",
)
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler, and what makes a program of a harness with it."""

    compiler: str
    compile: tuple[str, ...]
    link: tuple[str, ...]
    sources: tuple[str, ...]
    """Besides the harness, the kernel and the core."""

    @property
    def missing(self) -> str:
        """Why it cannot be used here; empty if it can."""
        lacks = [name for name in (self.compiler, "objcopy", "nm") if not shutil.which(name)]
        return f"no {' and no '.join(lacks)} here" if lacks else ""


LIBFUZZER = Toolchain(
    "clang",
    (*_SANITIZERS, "-fsanitize=fuzzer-no-link"),
    (*_SANITIZERS, "-fsanitize=fuzzer"),
    (),
)
"""Guided by coverage: Debian's clang and libclang-rt-dev."""
REPLAY = Toolchain("gcc", _SANITIZERS, _SANITIZERS, ("replay",))
"""The corpus and mutations of it, with what every machine with a compiler has."""


def build(name: str, tools: Toolchain, folder: Path) -> Path:
    """Build one harness; raises subprocess.CalledProcessError with the compiler's words."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel = [_compile(HERE / f"{part}.c", tools, folder) for part in _KERNEL]
    core = [_compile(CORE / f"{part}.c", tools, folder) for part in HARNESSES[name]]
    own = [_compile(HERE / f"{part}.c", tools, folder) for part in (f"{name}_fuzz", *tools.sources)]
    renamed = folder / "renamed"
    renamed.write_text("".join(f"{call} kernel_{call}\n" for call in _calls(kernel)))
    for made in core:
        _run(["objcopy", f"--redefine-syms={renamed}", str(made)])
    program = folder / name
    _run([tools.compiler, *tools.link, "-o", str(program), *map(str, [*kernel, *core, *own])])
    return program


def corpus(name: str) -> list[Path]:
    """The inputs that are kept for a harness."""
    return sorted((CORPUS / name).iterdir())


def _compile(source: Path, tools: Toolchain, folder: Path) -> Path:
    made = folder / f"{source.stem}.o"
    _run([tools.compiler, *_FLAGS, *tools.compile, "-c", str(source), "-o", str(made)])
    return made


def _calls(objects: Iterable[Path]) -> list[str]:
    listed = _run(["nm", "--defined-only", "-g", *map(str, objects)])
    names = [line.split()[-1] for line in listed.splitlines() if " T kernel_" in line]
    return [name.removeprefix("kernel_") for name in names]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout
