"""The limit for the number of open files of a process, `ulimit -n`."""

import errno
import os
import resource

HINT = "raise the limit with `ulimit -n 4096` before the command"
_RESERVED = 128  # for JAX, Grain, checkpoints and metrics, which have up to 70 open
_ENOUGH = 65_536


def raise_limit(num_files: int) -> int:
    """Raises this process's limit, if `num_files` need it and the system allows it.

    Returns:
      How many of `num_files` can be open at the same time.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < num_files + _RESERVED:
        wanted = max(_ENOUGH, num_files + _RESERVED)
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return num_files if soft == resource.RLIM_INFINITY else max(0, min(num_files, soft - _RESERVED))


def has_room() -> bool:
    """Whether this process can open another file and keep it open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        lowest_free = os.open(os.devnull, os.O_RDONLY)  # about as large as the number of open files
    except OSError:
        return False
    os.close(lowest_free)
    return soft == resource.RLIM_INFINITY or lowest_free < soft - _RESERVED


def is_exceeded(error: BaseException) -> bool:
    """Whether the limit caused `error`, which may come from C++ code, with a text alone."""
    return os.strerror(errno.EMFILE) in str(error)
