"""Errors of reading files that say nothing about what is in them: permissions, disks, buckets, memory."""

import errno
import os
import re
from collections.abc import Iterator

from etils import epath

from colorgan.errors import Stopped, UserError, reason
from colorgan.run.storage import is_remote

# What the operating system answers where a file is not as it was written; everything else is about access to it.
DAMAGE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG)
_BUCKET_SIGNS = "UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|ABORTED|CANCELLED"


def is_unreachable(error: BaseException | None) -> bool:
    """Whether a bucket did not answer or refused, which says nothing about its content."""
    for cause in _causes(error):
        is_clients = type(cause).__module__.partition(".")[0] in ("gcsfs", "aiohttp", "google", "requests")
        is_missing = isinstance(cause, FileNotFoundError)
        if is_clients or (isinstance(cause, OSError) and not is_missing) or re.match(_BUCKET_SIGNS, str(cause)):
            return True
    return False


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a device or the host had no memory left. Orbax wraps the error."""
    return any(isinstance(cause, MemoryError) or "RESOURCE_EXHAUSTED" in str(cause) for cause in _causes(error))


def check_access(folder: epath.Path, error: BaseException | None = None) -> None:
    """Raises OSError if a file in a local folder cannot be opened, or if `error` is about access to files.

    The files are tried too, since Orbax calls a folder that cannot be searched missing.
    """
    if is_remote(folder):
        return
    try:
        for parent, _, files in os.walk(folder, onerror=_raise):
            for name in files:
                with open(os.path.join(parent, name), "rb") as file:
                    file.read(1)
    except OSError as failed:
        if failed.errno not in DAMAGE_ERRNOS:
            raise
    for cause in _causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if found := re.search(r"os_error_code='(\d+)'", str(cause)):  # of TensorStore
            number = int(found[1])
        if number and number not in DAMAGE_ERRNOS:
            raise OSError(number, os.strerror(number), getattr(cause, "filename", None)) from cause


def access_error(path: epath.Path, error: OSError) -> Stopped | UserError:
    """What to raise for an OSError of `check_access`: `Stopped` where a later attempt may succeed."""
    if isinstance(error, PermissionError):
        name = error.filename or path
        return UserError(f"{path} cannot be read ({error.strerror}: {name}); allow it, as with chmod -R u+rwX")
    return Stopped(
        f"{path} cannot be read at the moment ({error.strerror}); try again, and if that does not help, check the disk"
    )


def short_reason(error: BaseException) -> str:
    """`reason` without Orbax's own message, which lacks the cause, and without TensorStore's long location."""
    line = reason(error.__cause__ or error).partition(" [")[0]
    return line if len(line) < 200 else "..." + line[-200:]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it comes from."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _raise(error: OSError) -> None:
    raise error
