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

_PLANE = ("table", "plane", "out")
_RELAY = (
    *(*_PLANE, "relay", "relay_up", "relay_down", "relay_peers"),
    *("relay_shared", "relay_ways", "relay_links", "relay_names"),
)
_STREAM = (*_RELAY, "stream", "stream_frame", "stream_out", "stream_backlog", "stream_tls")
_MEDIA = (
    "media",
    "media_rtp",
    "media_lost",
    "media_event",
    "media_latch",
    "media_srtp",
    "media_read",
    "media_say",
)


@dataclass(frozen=True, slots=True)
class Harness:
    """What a harness links of the core, and of the tests besides NAME_fuzz.c."""

    core: tuple[str, ...]
    parts: tuple[str, ...] = ()


HARNESSES = {
    "table": Harness(("table",)),
    "plane": Harness(_PLANE),
    "relay": Harness(_RELAY, ("relay_model", "traffic")),
    "shared": Harness(_RELAY, ("traffic",)),
    "stream": Harness(_STREAM, ("stream_model", "tls_stand_in", "traffic")),
    "media": Harness(
        (*_PLANE, *_MEDIA, "media_plain", "media_web"), ("media_model", "srtp_stand_in", "traffic")
    ),
}

_KERNEL = ("kernel", "kernel_calls")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_FLAGS = (
    *_SANITIZERS,
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Werror",
    f"-I{CORE}",
    f"-I{HERE}",
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler, and what makes a program of a harness with it."""

    compiler: str
    guided: tuple[str, ...] = ()
    """For the core only: where the fuzzer has been is counted there."""
    linked: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Besides the harness, the kernel and the core."""

    @property
    def core(self) -> tuple[str, ...]:
        """The command that compiles a source of the core."""
        return self.compiler, *_FLAGS, *self.guided

    @property
    def rest(self) -> tuple[str, ...]:
        """The command that compiles a source of the tests."""
        return self.compiler, *_FLAGS

    @property
    def link(self) -> tuple[str, ...]:
        """The command that makes the program."""
        return self.compiler, *_SANITIZERS, *self.linked

    @property
    def missing(self) -> str:
        """Why it cannot be used here; empty if it can."""
        lacks = [name for name in (self.compiler, "objcopy", "nm") if not shutil.which(name)]
        return f"no {' and no '.join(lacks)} here" if lacks else ""


LIBFUZZER = Toolchain(
    "clang",
    guided=("-fsanitize-coverage=inline-8bit-counters,pc-table",),
    linked=("-fsanitize=fuzzer",),
)
"""Guided by coverage: Debian's clang and libclang-rt-dev."""
REPLAY = Toolchain("gcc", sources=("replay",))
"""The corpus and mutations of it, with what every machine with a compiler has."""


def build(name: str, tools: Toolchain, folder: Path) -> Path:
    """
    Build one harness; AssertionError with the compiler's words.

    What is in the folder is taken as it is, so that harnesses share what they have in common.
    """
    harness = HARNESSES[name]
    folder.mkdir(parents=True, exist_ok=True)
    core = [_compile(CORE / f"{part}.c", tools.core, folder) for part in harness.core]
    kernel, own = (
        [_compile(HERE / f"{part}.c", tools.rest, folder) for part in parts]
        for parts in (_KERNEL, (f"{name}_fuzz", *harness.parts, *tools.sources))
    )
    renamed = folder / "renamed"
    renamed.write_text("".join(f"{call} kernel_{call}\n" for call in _calls(kernel)))
    for made in core:
        _run(["objcopy", f"--redefine-syms={renamed}", str(made)])
    program = folder / name
    _run([*tools.link, "-o", str(program), *map(str, [*kernel, *core, *own])])
    return program


def _compile(source: Path, command: Sequence[str], folder: Path) -> Path:
    made = folder / f"{source.stem}.o"
    if not made.exists():
        _run([*command, "-c", str(source), "-o", str(made)])
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
