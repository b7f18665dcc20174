"""Files on a disk or in a bucket: which of the two a path is, errors of buckets in one line, and atomic writes."""

import argparse
import contextlib
import io
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from etils import epath
from PIL import Image

from colorgan.errors import Unreachable, UserError


def is_remote(path: epath.Path) -> bool:
    """Whether `path` is in a bucket, where a file can be replaced but not appended to."""
    return "://" in os.fspath(path)


def parse_path(text: str) -> epath.Path:
    """The value of a flag as a path on a disk, where ~ is the home folder, or in a bucket.

    Raises argparse.ArgumentTypeError where there is no home folder.
    """
    expanded = os.path.expanduser(text)  # unlike Path.expanduser accepts ~x where there is no user x
    if expanded == "~" or expanded.startswith("~/"):
        raise argparse.ArgumentTypeError(f"{text} is in the home folder, which is not known: set HOME")
    return epath.Path(expanded)


def parse_local_path(text: str) -> Path:
    """The same for a flag that allows no bucket: raises argparse.ArgumentTypeError for one."""
    path = parse_path(text)
    if is_remote(path):
        raise argparse.ArgumentTypeError(f"{text} is not on a disk of this machine")
    return Path(path)


@contextlib.contextmanager
def folder_errors(folder: str | epath.Path, flag: str = "--workdir") -> Iterator[None]:
    """Raises UserError for an OSError about a folder to write to, which the flag chooses."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error}; choose another with {flag}=DIR") from error


@contextlib.contextmanager
def bucket_errors(path: epath.Path) -> Iterator[None]:
    """Turns the errors of a bucket's client, which are of many types with long messages, into OSError with one line.

    Raises `Unreachable` where a later attempt may succeed. FileNotFoundError stays as it is, and so does every error
    where `path` is on a disk.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, FileNotFoundError) or not is_remote(path):
            raise
        if isinstance(error, ImportError):
            raise OSError(f"{path} needs Google's libraries: pip install 'colorgan[gcs]'") from error
        text = " ".join(str(error).split())[:400] or type(error).__name__
        if re.search("50[0234]|429|Connect|Timeout|Retry", repr(error)):
            raise Unreachable(f"the bucket does not answer: {text}") from error
        raise OSError(text) from error


def check_bucket(path: epath.Path) -> None:
    """Raises OSError if `path` is in a bucket that does not exist or does not allow what Orbax needs for deletions."""
    if is_remote(path):
        with bucket_errors(path):
            _, scheme, name, *_ = path.parts
            if scheme != "gs":
                raise OSError(f"{path} is not in a bucket of Google Cloud Storage, gs://")
            from google.cloud import storage

            storage.Client().get_bucket(name)


@contextlib.contextmanager
def whole_file(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Writes a local file atomically, by a context manager that yields the path to write to.

    At the end of the block `scratch` replaces `path`. Where the block raises, `path` stays as it was.

    Args:
      path: the file to replace.
      scratch: a path in the same folder; a hidden one with a new name and the suffix of `path` by default.

    Raises:
      OSError: the file cannot be written. It names `path`, not `scratch`.
    """
    scratch = scratch or path.with_name(f".{uuid.uuid4().hex}{path.suffix}")  # short: a name has at most 255 bytes
    try:
        yield scratch
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        if error.filename == str(scratch):
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # it was renamed, or never created
            scratch.unlink()


def write_whole(path: epath.Path, data: bytes) -> None:
    """Replaces a file, on a disk or in a bucket, atomically. Raises OSError."""
    if is_remote(path):
        with bucket_errors(path):
            path.write_bytes(data)  # objects of a bucket appear whole
        return
    local = Path(path)
    # Always the same name: a run that is killed again and again leaves only one such file.
    with whole_file(local, local.with_name(local.name + ".tmp")) as scratch:
        scratch.write_bytes(data)


def write_image(path: epath.Path, image: Image.Image) -> None:
    """Writes a PNG like `write_whole`, into a folder that is created if it is missing. Raises OSError."""
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    with bucket_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encoded.getvalue())
