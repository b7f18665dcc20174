"""The memory of this process."""

import ctypes
import sys


def keep_freed_memory() -> None:
    """Has glibc's malloc keep what is freed for the next to ask; elsewhere it does nothing.

    Memory handed back to the system comes again as pages to be cleared one by one. XLA:CPU asks for its gigabytes anew
    in every step, where that takes a quarter of the time; for a data worker's images it is a tenth.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)
