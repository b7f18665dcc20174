"""The input pipeline: from a source to this process's part of every global batch, decoded and square. Uses Grain.

The order depends only on the random seed. Batch k of B images holds elements k*B to (k+1)*B-1 of an endless sequence
in which every epoch is a new permutation of all records, so the position in the data is step x batch size.
"""

import dataclasses
import logging
from collections.abc import Generator, Iterator
from typing import NamedTuple

import grain
import numpy as np

from colorgan import library_patches
from colorgan.data import transforms, workers
from colorgan.data.source import Source
from colorgan.errors import UserError, printable, reason

log = logging.getLogger(__name__)

GOOD, BAD, TOO_MANY_BAD = 0, 1, 2  # values of `bad`
REPLACED, LEFT_OUT = "replaced by a neighbor", "left out"
# Limits for one transfer from a worker through shared memory; a batch of training images can exceed them.
_TRANSFER_IMAGES, _TRANSFER_BYTES = 512, 16 * 2**20
_FOREVER = 2**20  # epochs; Grain's endless repeat() overflows in batches of one image


class Record(NamedTuple):
    """One decoded image.

    Attributes:
      image: uint8 [S,S,3].
      bad: GOOD, BAD (`image` is of another record, or black) or TOO_MANY_BAD (black).
    """

    image: np.ndarray
    bad: int


class TrainBatch(NamedTuple):
    """This process's part of a training batch.

    Attributes:
      image: uint8 [N,S,S,3].
      record_index: indices of the records in the source, int [N].
      bad: as in `Record`, int8 [N].
    """

    image: np.ndarray
    record_index: np.ndarray
    bad: np.ndarray


class OrderedBatch(NamedTuple):
    """This process's part of a batch of images in the source's order.

    Attributes:
      image: uint8 [N,S,S,3].
      filled: bool [N], false for the padding of the last batch.
      mask: bool [N], false for the padding and for bad records.
    """

    image: np.ndarray
    filled: np.ndarray
    mask: np.ndarray


class Images:
    """The images of a source, decoded, square and of one size. A bad record is replaced by a neighbor.

    A bad record is one that cannot be read.

    Args:
      source: the images.
      size: side S of the decoded images in pixels.
      max_bad_fraction: limit for the number of bad records, as a fraction of all records; the users of this class
        raise an error above it. With None there is no limit, and bad records become black images.

    Attributes:
      source, size: as above.
      max_bad: the limit as a number of records, or None.
    """

    def __init__(self, source: Source, size: int, max_bad_fraction: float | None) -> None:
        self.source, self.size = source, size
        self.max_bad = None if max_bad_fraction is None else int(max_bad_fraction * len(source))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        """Returns one record. Never raises, because Grain does not handle exceptions."""
        for distance in self._distances():
            try:
                image = self.decode((index + distance) % len(self))
            except Exception:  # decoders raise every type of exception; the main process reports it
                continue
            return Record(image, BAD if distance else GOOD)
        return Record(np.zeros(self.shape, np.uint8), BAD if self.max_bad is None else TOO_MANY_BAD)

    def _distances(self) -> Iterator[int]:
        """Yields the distances of the records to try: 0, then every distance up to max_bad.

        More than max_bad bad records in a row end the run. Powers of two come first: they soon leave a shard that is
        lost as a whole, and lead from each of its records to a different one.
        """
        yield 0
        max_bad = self.max_bad or 0
        yield from (2**n for n in range(max_bad.bit_length()))
        yield from range(max_bad, 2, -1)

    def load(self, indices: np.ndarray) -> TrainBatch:
        """Returns the records of `indices`, int [N]. After a record that is TOO_MANY_BAD, all images are black."""
        image = np.empty((len(indices), *self.shape), np.uint8)
        bad = np.zeros(len(indices), np.int8)
        for n, index in enumerate(indices.tolist()):
            image[n], bad[n] = self[index]
            if bad[n] == TOO_MANY_BAD:  # ends the run, and to search again for every other record would take too long
                image[n:] = 0
                break
        return TrainBatch(image, indices, bad)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image."""
        return self.size, self.size, 3

    def decode(self, index: int) -> np.ndarray:
        """Returns one image, uint8 [S,S,3].

        Raises:
          Exception: of any type, for a bad record.
        """
        return transforms.square(transforms.decode_image(self.source.read(index), self.size), self.size)


@dataclasses.dataclass(frozen=True)
class Loading:
    """How batches are loaded. Has no influence on their content, except for this process's part of each batch.

    Attributes:
      num_workers: number of processes that decode; with 0, threads of this process decode.
      num_threads: number of decoding threads in each of these processes.
      process_index: which part of every global batch is this process's.
      process_count: number of processes that share every global batch.
    """

    num_workers: int = 0
    num_threads: int = 2
    process_index: int = 0
    process_count: int = 1


class TrainBatches:
    """Endless iterator over this process's parts of the training batches. Must be closed.

    Logs the name of each bad record once. Raises UserError when there are more of them than the limit of `images`.

    Args:
      images: the images.
      batch_size: number B of images in a global batch; the P processes get B/P each.
      seed: random seed of the order.
      first_batch: number of the first batch, from 0.
      loading: how to load; the batches depend only on its `process_index` and `process_count`.
    """

    def __init__(self, images: Images, batch_size: int, seed: int, first_batch: int, loading: Loading) -> None:
        self._from_workers = loading.num_workers > 0
        # A transfer takes a millisecond or two of a worker and this process, however small it is: small batches are
        # transferred several at a time.
        num_images = min(_TRANSFER_IMAGES, _TRANSFER_BYTES // (images.size**2 * 3))
        num_batches = max(1, num_images * loading.process_count // batch_size)
        self._batches_per_transfer = num_batches if self._from_workers else 1
        num_images = self._batches_per_transfer * batch_size // loading.process_count
        workers.check_shared_memory(num_images * images.size**2 * 3, loading.num_workers)
        order = _train_order(len(images), batch_size, seed, first_batch, loading, self._batches_per_transfer)
        self._images, self._bad = images, set[int]()
        self._iterator = iter(_load(order.map(images.load), loading))
        self._waiting: list[TrainBatch] = []

    def metrics(self) -> dict[str, float]:
        """Returns the number of different bad records in this process since it started."""
        return {"data/bad_records": len(self._bad)}

    def __iter__(self) -> Iterator[TrainBatch]:
        return self

    def __next__(self) -> TrainBatch:
        if not self._waiting:
            transfer = next(self._iterator)
            if self._from_workers:  # its arrays are in memory shared with the worker; the copy frees that at once
                transfer = TrainBatch(*map(np.array, transfer))
            parts = (np.split(array, self._batches_per_transfer) for array in transfer)
            self._waiting = list(map(TrainBatch, *parts))
        batch = self._waiting.pop(0)
        _report_bad(self._images, batch, self._bad, REPLACED)
        return batch

    def close(self) -> None:
        """Ends the workers."""
        self._iterator.close()
        self._iterator = iter(())  # frees the workers' shared memory now, not at interpreter exit


def train_indices(
    num_images: int, batch_size: int, seed: int, first_batch: int, loading: Loading
) -> Generator[np.ndarray, None, None]:
    """Yields the indices of the images of `TrainBatches`, int32 [B/P] for each batch, without end. Must be closed.

    Args:
      num_images: number of images of the source.
      batch_size: as for `TrainBatches`.
      seed: as for `TrainBatches`.
      first_batch: as for `TrainBatches`.
      loading: as for `TrainBatches`.
    """
    order = _train_order(num_images, batch_size, seed, first_batch, loading)
    iterator = iter(_load(order, dataclasses.replace(loading, num_workers=0)))
    try:
        for indices in iterator:
            yield indices.astype(np.int32)
    finally:
        iterator.close()


def ordered_batches(
    images: Images, batch_size: int, loading: Loading, handling: str = LEFT_OUT
) -> Generator[OrderedBatch, None, None]:
    """Yields this process's parts of batches of all images, once and in the source's order.

    The last global batch is padded with images from the start.

    Args:
      images: the images.
      batch_size: number B of images in a global batch; the P processes get B/P each.
      loading: how to load.
      handling: what the caller does with bad records, for the log: LEFT_OUT or REPLACED.

    Yields:
      Batches of B/P images.

    Raises:
      UserError: there are more bad records than the limit of `images`.
    """
    local_size = batch_size // loading.process_count
    workers.check_shared_memory(local_size * images.size**2 * 3, loading.num_workers)
    num_batches = -(-len(images) // batch_size)
    order = grain.MapDataset.range(len(images)).repeat(_FOREVER)[: num_batches * batch_size]
    order = order.batch(local_size)[loading.process_index :: loading.process_count]
    iterator = iter(_load(order.map(images.load), loading))
    bad: set[int] = set()
    try:
        for n, batch in enumerate(iterator):
            _report_bad(images, batch, bad, handling)
            position = (n * loading.process_count + loading.process_index) * local_size + np.arange(local_size)
            filled = position < len(images)
            yield OrderedBatch(batch.image, filled, filled & (batch.bad == GOOD))
    finally:
        iterator.close()


def _train_order(
    num_images: int, batch_size: int, seed: int, first_batch: int, loading: Loading, batches_per_element: int = 1
) -> grain.MapDataset:
    """Returns the indices of this process's parts of the batches from `first_batch` on.

    Each element is the concatenation of `batches_per_element` parts.
    """
    count, index = loading.process_count, loading.process_index
    order = grain.MapDataset.range(num_images).seed(seed).shuffle().repeat(_FOREVER)
    parts = order.batch(batch_size // count)[first_batch * count + index :: count]
    return parts.batch(batches_per_element, batch_fn=np.concatenate) if batches_per_element > 1 else parts


def _load(dataset: grain.MapDataset, loading: Loading) -> grain.IterDataset:
    # Grain's default would prefetch 500 batches.
    options = grain.ReadOptions(num_threads=loading.num_threads, prefetch_buffer_size=2 * loading.num_threads)
    loaded = dataset.to_iter_dataset(options)
    if loading.num_workers:
        library_patches.parse_no_absl_flags()
        options_of_processes = grain.MultiprocessingOptions(num_workers=loading.num_workers, per_worker_buffer_size=1)
        loaded = loaded.mp_prefetch(options_of_processes, worker_init_fn=workers.begin)
    return loaded


def _report_bad(images: Images, batch: TrainBatch, seen: set[int], handling: str) -> None:
    """Logs the batch's bad records that are not in `seen`, adds them to it, and raises UserError above the limit."""
    for index in map(int, batch.record_index[batch.bad != GOOD]):
        if index in seen:
            continue
        seen.add(index)
        log.warning("bad record %s: %s", handling, _describe_bad(images, index))
    if images.max_bad is not None and (len(seen) > images.max_bad or (batch.bad == TOO_MANY_BAD).any()):
        example = _describe_bad(images, next(iter(seen)))
        raise UserError(
            f"at least {images.max_bad + 1} of {len(images)} images cannot be read, such as {example}; "
            f"config.data.max_bad_fraction allows {images.max_bad}: fix them, or leave them out, as `colorgan prepare` "
            "does"
        )


def _describe_bad(images: Images, index: int) -> str:
    try:
        images.decode(index)
        problem = "readable now"
    except Exception as error:
        problem = reason(error)
    return printable(f"{images.source.name(index)} ({problem})")
