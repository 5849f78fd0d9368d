"""Only for the optional native extension that pyproject.toml and setup.cfg cannot describe."""

import sys
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("suite", "datapath", "native")


def extensions() -> list[Extension]:
    """
    Give the C data plane; without it, for want of a compiler, the pure-Python one serves.

    Only Linux has what it is made of, and only CPython is fast in calling it.
    """
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("no Cython: the native data plane is left out", file=sys.stderr)
        return []
    native = Extension(
        "suite.datapath._native",
        ["suite/datapath/_native.pyx", *sorted(map(str, NATIVE.glob("*.c")))],
        depends=sorted(map(str, [*NATIVE.glob("*.h"), *NATIVE.glob("*.pxi")])),
        include_dirs=[str(NATIVE)],
        define_macros=[("_GNU_SOURCE", None)],
        extra_compile_args=["-std=gnu11", "-O2", "-g1", "-fvisibility=hidden"],
        optional=True,
    )
    return list(cythonize([native], build_dir="build/cython", quiet=True))


setup(ext_modules=extensions())
