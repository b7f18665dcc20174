"""Where images lie: random access by index, named by one string.

procedural:COUNT      scenes made on the spot
folder:PATH           JPEG, PNG, WebP, BMP and TIFF files, subfolders included
array_record:GLOB     the shards that `colorgan.prepare` writes
tfds:NAME/SPLIT       a set of TensorFlow Datasets, fetched on first use
"""

import array
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgpack
import numpy as np
from array_record.python import array_record_data_source

from colorgan.data import procedural
from colorgan.data.tfds_source import TfdsSource
from colorgan.errors import UserError

KINDS = ("procedural:COUNT", "folder:PATH", "array_record:GLOB", "tfds:NAME/SPLIT")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
TRAIN_SEED, VALIDATION_SEED = 0, 1


class Source(Protocol):
    """Images by index. Holds names, not pixels, and travels to data workers by pickle."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | np.ndarray:
        """An encoded image, or uint8 RGB [H,W,3]. Raises any exception for a record that cannot be read."""

    def name(self, index: int) -> str:
        """What to call the image in a message or a file name; a relative path if it has one."""


def check_name(name: str) -> None:
    """Raises UserError for a string that names no kind of source."""
    kind, _, rest = name.partition(":")
    if kind not in [known.partition(":")[0] for known in KINDS] or not rest:
        hint = f"; did you mean folder:{name}?" if os.path.isdir(name) else ""
        raise UserError(f"unknown data source {name!r}: use one of {', '.join(KINDS)}{hint}")
    if kind == "procedural" and not (rest.isdecimal() and int(rest) > 0):
        raise UserError(f"data source {name!r} needs a number of images, as in procedural:2000")
    if kind == "tfds" and "/" not in rest:
        raise UserError(f"data source {name!r} needs a set and a split, as in tfds:imagenette/320px-v2/train")


def open_source(name: str, size: int, seed: int = VALIDATION_SEED) -> Source:
    """The source that `name` names.

    Args:
      name: one of `KINDS`.
      size: side in pixels of images that are made on the spot; others come at their own size.
      seed: tells the made images of training from those of validation; others ignore it.

    Raises:
      UserError: there is no such source, or it holds no images.
    """
    check_name(name)
    kind, _, rest = name.partition(":")
    if kind == "procedural":
        return ProceduralSource(int(rest), size, seed)
    if kind == "folder":
        return FolderSource(rest)
    if kind == "array_record":
        return ArrayRecordSource(rest)
    return TfdsSource(rest)


class ProceduralSource:
    """`count` scenes that follow from (seed, index)."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count, self._size, self._seed = count, size, seed

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> np.ndarray:
        return procedural.create_image(index, self._size, self._seed)

    def name(self, index: int) -> str:
        return f"scene_{index:06d}.png"


class FolderSource:
    """Image files below a folder, sorted in each, so that the order does not hang on the file system."""

    def __init__(self, folder: str) -> None:
        self._root = os.path.expanduser(folder)
        if not os.path.isdir(self._root):
            raise UserError(f"there is no folder {folder!r} to read images from")
        # One string of all names, not a list: 200,000 objects would take 30 MB here and in every worker.
        names, ends = bytearray(), array.array("Q")
        for name in find_images(self._root):
            names += os.fsencode(name)
            ends.append(len(names))
        self._names, self._ends = bytes(names), ends

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, index: int) -> bytes:
        return Path(self._root, self.name(index)).read_bytes()

    def name(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._names[start : self._ends[index]])


def find_images(folder: str) -> Iterator[str]:
    """Paths, relative to `folder`, of the image files in it and its subfolders; not those that are hidden.

    Raises:
      UserError: there is none.
    """
    seen, found = set(), False
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back into the tree
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith("."):
                found = True
                yield os.path.relpath(os.path.join(parent, file), folder)
    if not found:
        raise UserError(f"folder {folder!r} holds no images ({', '.join(IMAGE_SUFFIXES)})")


class ArrayRecordSource:
    """Records that `pack_record` wrote, in the shards that a glob pattern (or a folder) names."""

    def __init__(self, pattern: str) -> None:
        pattern = os.path.expanduser(pattern)
        if os.path.isdir(pattern):
            pattern = os.path.join(pattern, "*.array_record*")
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise UserError(f"no file matches array_record:{pattern}")
        try:
            self._records = array_record_data_source.ArrayRecordDataSource(paths)
            self._length = len(self._records)
        except Exception as error:  # array_record raises bare errors of its C++ side
            raise UserError(f"array_record:{pattern} cannot be read: {error}") from error
        if not self._length:
            raise UserError(f"array_record:{pattern} holds no records")

    def __len__(self) -> int:
        return self._length

    def read(self, index: int) -> bytes:
        return unpack_record(self._records[index])[1]

    def name(self, index: int) -> str:
        return unpack_record(self._records[index])[0]


def pack_record(name: str, image: bytes) -> bytes:
    """One ArrayRecord record: a msgpack map of the original name and the encoded image."""
    return msgpack.packb({"name": name, "image": image})


def unpack_record(record: bytes) -> tuple[str, bytes]:
    """Name and encoded image of a record of `pack_record`."""
    fields = msgpack.unpackb(record)
    return fields["name"], fields["image"]
