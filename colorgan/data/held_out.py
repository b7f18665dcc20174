"""The validation split: images of the training set that are held out, chosen by a hash of their names.

A record's name alone decides, so records that are added later move no earlier one from training to validation. Up to
20,000 records, they move none from validation to training either. Above, the split has its maximum size, and a new
record in it takes the place of an earlier one.
"""

import concurrent.futures
import hashlib
import logging
from collections.abc import Mapping

import numpy as np

from colorgan.data.source import Source

FRACTION, MAX_IMAGES = 0.05, 1000
_CHUNK = 4096  # names that a thread reads at a time
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: its multiples are spread evenly

log = logging.getLogger(__name__)


class Subset:
    """Some of the images of a source: a `Source`."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        """`indices`: of the images in `source`, int [N]."""
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> bytes | np.ndarray:
        """See `Source`."""
        return self._source.read(int(self._indices[index]))

    def name(self, index: int) -> str:
        """See `Source`."""
        return self._source.name(int(self._indices[index]))


def split(source: Source, indices: np.ndarray) -> tuple[Subset, Subset]:
    """All images but those with `indices`, and the images with `indices`."""
    others = np.delete(np.arange(len(source), dtype=np.int32), indices)
    return Subset(source, others), Subset(source, indices)


def choose(source: Source) -> np.ndarray:
    """The indices of the held-out images, int32 [N], sorted: about 5%, at least one and at most 1,000.

    Reads the name of every record, which for shards means to read the shards.
    """
    hashes = _hash_names(source)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    # Records of the same name are told apart by their order.
    repeats = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    hashes[order] += repeats.astype(np.uint64) * _GOLDEN
    number = np.count_nonzero(hashes < np.uint64(int(FRACTION * 2**64)))
    smallest = np.argsort(hashes, kind="stable")[: min(max(number, 1), MAX_IMAGES)]
    return np.sort(smallest).astype(np.int32)


def find_again(source: Source, names: Mapping[int, str]) -> np.ndarray:
    """The indices of images that were held out when a run started, int32 [N], sorted.

    Args:
      source: the images as they are today.
      names: by index, of that time. An image that has another index today is found by its name. One that is
        not found keeps its index: a damaged shard has lost its names, and a folder may have been renamed.
    """
    size = len(source)
    indices = {index for index, name in names.items() if index < size and source.name(index) == name}
    others = {index: name for index, name in names.items() if index not in indices}
    if others:
        wanted, places = set(others.values()), dict[str, int]()
        for index in range(size):
            if index not in indices and (name := source.name(index)) in wanted:
                places.setdefault(name, index)
        indices.update(places.values())
        lost = [index for index, name in others.items() if name not in places]
        indices.update(index for index in lost if index < size)
        if lost:
            log.warning(
                "validation images that have other names or cannot be read since the run started: %d of %d; those in "
                "their places are used",
                len(lost),
                len(names),
            )
    return np.array(sorted(indices), np.int32)


def _hash_names(source: Source) -> np.ndarray:
    """A hash of each name, uint64 [N]."""

    def hash_some(first: int) -> list[int]:
        return [_hash(source.name(index)) for index in range(first, min(first + _CHUNK, len(source)))]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        chunks = threads.map(hash_some, range(0, len(source), _CHUNK))
        return np.concatenate([np.array(chunk, np.uint64) for chunk in chunks])


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
