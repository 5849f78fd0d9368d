# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
The data plane's C core for Python. What packets need is in native/*.c; here is only the way there.

One Core is a process's: its descriptor is watched by the reactor, and ``drain`` does one wake-up's
work without the GIL and returns what Python is to hear of.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close as close_descriptor

include "native/core.pxi"
include "native/relay.pxi"
include "native/stream.pxi"
include "native/media.pxi"
include "native/media_web.pxi"
