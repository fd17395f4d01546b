"""Whether this process is still the Spore, or a copy of it that a task has forked, without a system call each time.

A page that the kernel hands to every copy of the process empty tells, also when the fork was made by C code that Python
does not see. Where the kernel cannot do that, Python's own forks are seen.
"""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import suppress
from weakref import WeakSet

WIPE_ON_FORK = 18  # MADV_WIPEONFORK of <asm-generic/mman-common.h>, which the module mmap does not name
_pages: WeakSet[mmap.mmap] = WeakSet()


def marked_page() -> mmap.mmap | bytearray:
    """A page whose first byte is 1 in this process, and 0 in every copy that is made of it from now on."""
    if not hasattr(os, "fork"):
        return bytearray(b"\1")
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        with suppress(OSError):  # a kernel that does not know it
            page.madvise(WIPE_ON_FORK)
    page[0] = 1
    _pages.add(page)
    return page


def _wipe() -> None:
    for page in _pages:
        page[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_wipe)
