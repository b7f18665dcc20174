"""`array_record:GLOB`: ArrayRecord shards written by `colorgan prepare`, and the format of their records."""

import bisect
import concurrent.futures
import glob
import itertools
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
from array_record.python.array_record_module import ArrayRecordReader

from colorgan.data import open_files
from colorgan.errors import UserError

log = logging.getLogger(__name__)

SHARD_COUNTS_FILE = "shards.json"  # beside the shards: {file name: number of records}
_MAX_THREADS = 64  # that open shards to count their records


class ArrayRecordSource:
    """Records of `pack_record` in ArrayRecord shards.

    A truncated shard has lost its footer, and with it all of its records. If `shards.json` beside it says how many
    records it had, they keep their indices and cannot be read, and all other records keep theirs.

    Args:
      pattern: a glob pattern of shards, or a folder of `*.array_record*` files; a leading ~ is expanded.

    Raises:
      UserError: no file matches, there are no records, or a damaged shard is not listed in `shards.json`.
    """

    def __init__(self, pattern: str) -> None:
        pattern = os.path.expanduser(pattern)
        if os.path.isdir(pattern):
            pattern = os.path.join(pattern, "*.array_record*")
        self._paths = sorted(glob.glob(pattern, recursive=True))
        if not self._paths:
            raise UserError(f"no file matches array_record:{pattern}")
        num_open = open_files.raise_limit(len(self._paths))
        if num_open < len(self._paths):
            message = "array_record:%s has %d shards, of which %d can be open: the others are opened for each image; %s"
            log.warning(message, pattern, len(self._paths), num_open, open_files.HINT)
        with concurrent.futures.ThreadPoolExecutor(max(1, min(_MAX_THREADS, num_open))) as threads:
            counts = list(threads.map(_count_records, self._paths))
        self._ends = list(itertools.accumulate(counts))
        if not self._ends[-1]:
            raise UserError(f"array_record:{pattern} holds no records")
        self._shards = _Shards(self._paths)

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, index: int) -> bytes:
        """See `source.Source`."""
        return self._unpack(index)[1]

    def name(self, index: int) -> str:
        """See `source.Source`."""
        try:
            return self._unpack(index)[0]
        except Exception:  # the record is so damaged that its name is lost
            shard, position = self._place(index)
            return f"record {position} of {os.path.basename(self._paths[shard])}"

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the record's shard, and its position there."""
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def _unpack(self, index: int) -> tuple[str, bytes]:
        try:
            record = self._shards.read(*self._place(index))
        except RuntimeError as error:  # raised by ArrayRecord's C++ code
            if open_files.is_exceeded(error):
                raise OSError(f"too many open files: {open_files.HINT}") from error
            raise OSError(f"the shard is cut short or damaged: {error}") from error
        if not record:  # what ArrayRecord returns where a shard was truncated after it was opened
            raise OSError("the shard is cut short")
        return unpack_record(record)


class _Shards:
    """Reads records of shards, in any number of threads.

    A shard is opened when it is first read, so that a damaged one does not block the others. It stays open if the limit
    of open files allows it. Otherwise it is opened for each record, which takes 0.1 ms on a local disk.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._open: dict[int, Any] = {}

    def __getstate__(self) -> Sequence[str]:
        return self._paths

    def __setstate__(self, paths: Sequence[str]) -> None:
        self._paths, self._open = paths, {}
        open_files.raise_limit(len(paths))  # of a data worker

    def read(self, shard: int, position: int) -> bytes:
        """Raises RuntimeError if the shard cannot be opened or read; the result is empty if it was truncated."""
        reader = self._open.get(shard)
        if reader is not None:
            return reader.read([position])[0]
        has_room = open_files.has_room()
        options = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 32_768}
        reader = ArrayRecordReader(self._paths[shard], **options)
        record = reader.read([position])[0]
        if has_room:
            self._open.setdefault(shard, reader)  # another thread may have opened it too
        else:
            reader.close()
        return record


def _count_records(path: str) -> int:
    """Returns how many records a shard has, or had before it was damaged.

    Raises:
      UserError: the shard may not be read, or it is damaged and `shards.json` does not list it; or too many files are
        open.
    """
    shard = Path(path)
    try:
        with open(shard, "rb") as file:
            file.read(1)
    except OSError as error:  # of access, which says nothing about the content
        if open_files.is_exceeded(error):
            raise UserError(f"cannot open the shard {path}: too many open files; {open_files.HINT}") from error
        raise UserError(f"cannot read the shard {path}: {error.strerror}") from error
    try:
        reader = ArrayRecordReader(path)
        count = reader.num_records()
        reader.close()
    except Exception as error:  # of several types, one of them without a message
        problem = str(error) or "no footer"
        try:
            count = int(json.loads(shard.with_name(SHARD_COUNTS_FILE).read_bytes())[shard.name])
        except (OSError, ValueError, TypeError, KeyError):
            raise UserError(
                f"the shard {path} cannot be read ({problem}), and no {SHARD_COUNTS_FILE} beside it says how many "
                "images it held: copy the shard again, write all shards again with `colorgan prepare`, or remove it"
            ) from error
        log.warning("%s is cut short or damaged: all its images count as bad: %d (%s)", shard.name, count, problem)
    return count


def pack_record(name: str, image: bytes) -> bytes:
    """Returns an ArrayRecord record: a msgpack map of the image's original name and the encoded image."""
    return msgpack.packb({"name": name, "image": image}, unicode_errors="surrogateescape")


def unpack_record(record: bytes) -> tuple[str, bytes]:
    """Returns the name and the encoded image of a record of `pack_record`."""
    fields = msgpack.unpackb(record, unicode_errors="surrogateescape")
    return str(fields["name"]), fields["image"]
