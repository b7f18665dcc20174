"""The processes that decode: how many there may be, the memory that they share, and how each begins and ends."""

import os
import shutil
import signal
import threading
import time

from colorgan.errors import UserError
from colorgan.run.memory import keep_freed_memory

_SHARED_MEMORY = "/dev/shm"  # of Linux, which Grain uses


def num_cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_shared_memory(element_bytes: int, num_workers: int) -> None:
    """Raises UserError if the elements that workers have ready do not fit into shared memory.

    Without it a worker ends with a bus error.

    Args:
      element_bytes: size of one transfer from a worker.
      num_workers: processes. Each has up to four elements there: in work, ready, on the way, and in use.
    """
    needed = 4 * num_workers * element_bytes
    if needed and os.path.isdir(_SHARED_MEMORY) and needed > (free := shutil.disk_usage(_SHARED_MEMORY).free):
        raise UserError(
            f"data workers ({num_workers}) need {needed / 1e6:.0f} MB in {_SHARED_MEMORY}, where {free / 1e6:.0f} MB "
            "are free: make it larger (docker run --shm-size=4g), or set fewer config.data.num_workers: 0 needs none"
        )


def begin(worker_index: int, worker_count: int) -> None:
    """Prepares a worker process, which must live exactly as long as the main process."""
    del worker_index, worker_count
    keep_freed_memory()
    # Ctrl-C and SIGTERM reach the whole process group, and the main process decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
