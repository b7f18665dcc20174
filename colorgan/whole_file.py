"""Files that are there whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A hidden place beside `path`, with its suffix, to write a file to: `with writing(path) as scratch`.

    At the end of the block it takes the place of `path`. Where the block raises, `path` stays as it was.

    Raises:
      OSError: it cannot be put there.
    """
    scratch = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")  # short: a name has at most 255 bytes
    try:
        yield scratch
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it has its name by now, or was never there
            scratch.unlink()
