"""Where images lie: random access by index, named by one string.

procedural:COUNT      scenes made on the spot
folder:PATH           JPEG, PNG, WebP, BMP and TIFF files, subfolders included
array_record:GLOB     the shards that `colorgan.prepare` writes
tfds:NAME/SPLIT       a set of TensorFlow Datasets, fetched on first use
"""

import array
import bisect
import concurrent.futures
import glob
import itertools
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np
from array_record.python import array_record_data_source
from array_record.python.array_record_module import ArrayRecordReader

from colorgan.data.source import Source
from colorgan.data.synthetic import scenes
from colorgan.data.tfds import TfdsSource
from colorgan.errors import UserError

log = logging.getLogger(__name__)

KINDS = ("procedural:COUNT", "folder:PATH", "array_record:GLOB", "tfds:NAME/SPLIT")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
TRAIN_SEED, VALIDATION_SEED = 0, 1
MAX_FILE_BYTES = 2 * 2**30  # an image of `transforms.MAX_PIXELS` in 16-bit RGB has 1.2 GB
SHARD_COUNTS_FILE = "shards.json"  # beside ArrayRecord shards: {file name: number of records}


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
        return scenes.create_image(index, self._size, self._seed)

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
        return read_image_file(Path(self._root, self.name(index)))

    def name(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._names[start : self._ends[index]])


def find_images(folder: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[str]:
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
            if file.lower().endswith(suffixes) and not file.startswith("."):
                found = True
                yield os.path.relpath(os.path.join(parent, file), folder)
    if not found:
        raise UserError(f"folder {folder!r} holds no images ({', '.join(suffixes)})")


def read_image_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
      OSError: it cannot be read, is a pipe or a device, which might never end, or larger than `MAX_FILE_BYTES`.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise OSError(f"larger than {MAX_FILE_BYTES / 2**30:g} GiB")
    return path.read_bytes()


class ArrayRecordSource:
    """Records that `pack_record` wrote, in the shards that a glob pattern (or a folder) names.

    The footer of a shard that was cut short is lost, and with it all of its records. If `shards.json` beside it says
    how many there were, they keep their places and cannot be read, and all others keep theirs.
    """

    def __init__(self, pattern: str) -> None:
        pattern = os.path.expanduser(pattern)
        if os.path.isdir(pattern):
            pattern = os.path.join(pattern, "*.array_record*")
        self._paths = sorted(glob.glob(pattern, recursive=True))
        if not self._paths:
            raise UserError(f"no file matches array_record:{pattern}")
        with concurrent.futures.ThreadPoolExecutor(64) as threads:
            counts = list(threads.map(_count_records, self._paths))
        self._ends = list(itertools.accumulate(counts))
        if not self._ends[-1]:
            raise UserError(f"array_record:{pattern} holds no records")
        # Told how many records there are, it opens a shard when it first reads from it: no bad one is in the way.
        shards = [f"{path}[0:{count}]" for path, count in zip(self._paths, counts, strict=True)]
        self._records = array_record_data_source.ArrayRecordDataSource(shards)

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, index: int) -> bytes:
        return self._unpack(index)[1]

    def name(self, index: int) -> str:
        try:
            return self._unpack(index)[0]
        except Exception:  # too damaged to hold its name
            shard = bisect.bisect_right(self._ends, index)
            position = index - (self._ends[shard - 1] if shard else 0)
            return f"record {position} of {os.path.basename(self._paths[shard])}"

    def _unpack(self, index: int) -> tuple[str, bytes]:
        try:
            record = self._records[index]
        except RuntimeError as error:  # bare errors of ArrayRecord's C++ side
            raise OSError(f"the shard is cut short or damaged: {error}") from error
        if not record:  # what ArrayRecord makes of a shard that was cut short after it was opened
            raise OSError("the shard is cut short")
        return unpack_record(record)


def _count_records(path: str) -> int:
    """How many records a shard holds, or held.

    Raises:
      UserError: it cannot be read, and nothing beside it says how many it held.
    """
    shard = Path(path)
    try:
        reader = ArrayRecordReader(path)
        count = reader.num_records()
        reader.close()
    except Exception as error:  # bare errors of its C++ side, one of them without a text
        reason = str(error) or "no footer"
        try:
            count = int(json.loads(shard.with_name(SHARD_COUNTS_FILE).read_bytes())[shard.name])
        except (OSError, ValueError, TypeError, KeyError):
            raise UserError(
                f"the shard {path} cannot be read ({reason}), and no {SHARD_COUNTS_FILE} beside it says how many "
                "images it held: copy it anew, write the set anew with colorgan.prepare, or leave the shard out"
            ) from error
        log.warning("%s is cut short or damaged: its %d images count as bad (%s)", shard.name, count, reason)
    return count


def pack_record(name: str, image: bytes) -> bytes:
    """One ArrayRecord record: a msgpack map of the original name and the encoded image."""
    return msgpack.packb({"name": name, "image": image}, unicode_errors="surrogateescape")


def unpack_record(record: bytes) -> tuple[str, bytes]:
    """Name and encoded image of a record of `pack_record`."""
    fields = msgpack.unpackb(record, unicode_errors="surrogateescape")
    return str(fields["name"]), fields["image"]
