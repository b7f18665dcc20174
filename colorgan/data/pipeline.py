"""Grain: from a source to this process's slice of every global batch, decoded and square.

The order follows from the seed alone. Batch k of B images holds draws k*B to (k+1)*B-1 of an endless sequence in
which every epoch is a new permutation of all records, so the place in the data is step x batch size.
"""

import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import grain
import numpy as np

from colorgan.data import transforms
from colorgan.data.source import Source
from colorgan.errors import UserError, printable, reason
from colorgan.run.memory import keep_freed_memory

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

GOOD, BAD, TOO_MANY_BAD = 0, 1, 2
REPLACED, LEFT_OUT = "replaced by a neighbour", "left out"
# At most in what a worker hands over, through shared memory, if a batch is smaller.
_IMAGES_TOGETHER, _BYTES_TOGETHER = 512, 16 * 2**20
_FOREVER = 2**20  # epochs; Grain's endless repeat() overflows in batches of one image


class Images:
    """A source's images, decoded to uint8 [size,size,3]; a record that cannot be read is replaced by a neighbour.

    More such than the share `max_bad_fraction` are an error. With None any number is borne, and they are black.
    """

    def __init__(self, source: Source, size: int, max_bad_fraction: float | None) -> None:
        self.source, self.size = source, size
        self.max_bad = None if max_bad_fraction is None else int(max_bad_fraction * len(source))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image, its record's index, and GOOD or not; never an exception, which Grain cannot bear."""
        for distance in self._distances():
            try:
                image = self.decode((index + distance) % len(self))
            except Exception:  # decoders raise of every kind; the main process tells the user which
                continue
            return {"image": image, "index": index, "bad": BAD if distance else GOOD}
        bad = BAD if self.max_bad is None else TOO_MANY_BAD
        return {"image": np.zeros(self.shape, np.uint8), "index": index, "bad": bad}

    def _distances(self) -> Iterator[int]:
        """How far on to look for a record that can be read: at all up to max_bad, since more in a row end the run.

        In leaps first: they soon leave a shard that is lost as a whole, each of its records for another place.
        """
        yield 0
        max_bad = self.max_bad or 0
        yield from (2**n for n in range(max_bad.bit_length()))
        yield from range(max_bad, 2, -1)

    def load(self, indices: np.ndarray) -> Batch:
        """The same of many, int [N], in one array for each key; only zeros after one that is TOO_MANY_BAD."""
        batch = {
            "image": np.empty((len(indices), *self.shape), np.uint8),
            "index": indices,
            "bad": np.zeros(len(indices), np.int8),
        }
        for n, index in enumerate(indices.tolist()):
            record = self[index]
            batch["image"][n], batch["bad"][n] = record["image"], record["bad"]
            if record["bad"] == TOO_MANY_BAD:  # ends the run, and takes too long to be found out for each
                batch["image"][n:] = 0
                break
        return batch

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, 3

    def decode(self, index: int) -> np.ndarray:
        """uint8 [size,size,3] of one record. Raises any exception for a record that cannot be read."""
        return transforms.square(transforms.decode_image(self.source.read(index), self.size), self.size)


@dataclasses.dataclass(frozen=True)
class Loading:
    """How batches are loaded; changes nothing about what they hold.

    Attributes:
      num_workers: processes that decode; 0 decodes in threads of this process.
      num_threads: decoding threads in each.
      process_index, process_count: this process's place among those that share every global batch.
    """

    num_workers: int = 0
    num_threads: int = 2
    process_index: int = 0
    process_count: int = 1


class TrainBatches:
    """Endless iterator over this process's slices of the training batches; close it.

    Each is {"image": uint8 [B/P,size,size,3], ...}. Bad records are logged by name and counted once each; more than
    the images' `max_bad` raise UserError.
    """

    def __init__(self, images: Images, batch_size: int, seed: int, first_batch: int, loading: Loading) -> None:
        self._from_workers = loading.num_workers > 0
        # To hand something over takes a worker and this process a millisecond or two, however little it is.
        num_images = min(_IMAGES_TOGETHER, _BYTES_TOGETHER // (images.size**2 * 3))
        together = num_images * loading.process_count // batch_size
        self._num_together = max(1, together) if self._from_workers else 1
        order = _train_order(len(images), batch_size, seed, first_batch, loading, self._num_together)
        self._images, self._bad = images, set[int]()
        self._iterator = iter(_load(order.map(images.load), loading))
        self._waiting: list[Batch] = []

    def metrics(self) -> dict[str, float]:
        """How many different records were bad so far, in this process since it started."""
        return {"data/bad_records": len(self._bad)}

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if not self._waiting:
            together = next(self._iterator)
            if self._from_workers:  # these lie in memory shared with the worker; a copy lets go of that at once
                together = {key: np.array(value) for key, value in together.items()}
            parts = {key: np.split(value, self._num_together) for key, value in together.items()}
            self._waiting = [{key: part[n] for key, part in parts.items()} for n in range(self._num_together)]
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
    """The images of `TrainBatches` by their indices alone: int32 [B/P] for each of its batches; close it."""
    order = _train_order(num_images, batch_size, seed, first_batch, loading)
    iterator = iter(_load(order, dataclasses.replace(loading, num_workers=0)))
    try:
        for indices in iterator:
            yield indices.astype(np.int32)
    finally:
        iterator.close()


def ordered_batches(
    images: Images, batch_size: int, loading: Loading, fate: str = LEFT_OUT
) -> Generator[Batch, None, None]:
    """This process's slices of all images in their own order, each global batch filled up to `batch_size`.

    Each is {"image": uint8 [B/P,size,size,3], "filled": bool [B/P], "mask": bool [B/P]}; "filled" is false for what
    fills up the last batch, and the mask for bad records too. `fate` is what the caller makes of these, for the log.
    """
    local_size = batch_size // loading.process_count
    num_batches = -(-len(images) // batch_size)
    order = grain.MapDataset.range(len(images)).repeat(_FOREVER)[: num_batches * batch_size]
    order = order.batch(local_size)[loading.process_index :: loading.process_count]
    iterator = iter(_load(order.map(images.load), loading))
    bad: set[int] = set()
    try:
        for n, batch in enumerate(iterator):
            _report_bad(images, batch, bad, fate)
            position = (n * loading.process_count + loading.process_index) * local_size + np.arange(local_size)
            filled = position < len(images)
            yield {"image": batch["image"], "filled": filled, "mask": filled & (batch["bad"] == GOOD)}
    finally:
        iterator.close()


def _train_order(
    num_images: int, batch_size: int, seed: int, first_batch: int, loading: Loading, num_together: int = 1
) -> grain.MapDataset:
    """Indices of this process's slices of the batches from `first_batch` on: `num_together` slices, end to end."""
    count, index = loading.process_count, loading.process_index
    order = grain.MapDataset.range(num_images).seed(seed).shuffle().repeat(_FOREVER)
    slices = order.batch(batch_size // count)[first_batch * count + index :: count]
    return slices.batch(num_together, batch_fn=np.concatenate) if num_together > 1 else slices


def _load(dataset: grain.MapDataset, loading: Loading) -> grain.IterDataset:
    # Grain's default would prefetch 500 batches.
    options = grain.ReadOptions(num_threads=loading.num_threads, prefetch_buffer_size=2 * loading.num_threads)
    loaded = dataset.to_iter_dataset(options)
    if loading.num_workers:
        workers = grain.MultiprocessingOptions(num_workers=loading.num_workers, per_worker_buffer_size=1)
        loaded = loaded.mp_prefetch(workers, worker_init_fn=_begin_worker)
    return loaded


def _begin_worker(worker_index: int, worker_count: int) -> None:
    """In a worker: lives exactly as long as the trainer does."""
    del worker_index, worker_count
    keep_freed_memory()
    # Ctrl-C and SIGTERM reach the whole process group, and the trainer decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _report_bad(images: Images, batch: Batch, seen: set[int], fate: str) -> None:
    """Logs the batch's bad records that are not in `seen`, adds them, and raises UserError past the limit."""
    for index in map(int, batch["index"][batch["bad"] != GOOD]):
        if index in seen:
            continue
        seen.add(index)
        log.warning("bad record %s: %s", fate, _describe_bad(images, index))
    if images.max_bad is not None and (len(seen) > images.max_bad or (batch["bad"] == TOO_MANY_BAD).any()):
        example = _describe_bad(images, next(iter(seen)))
        raise UserError(
            f"more than {images.max_bad} of {len(images)} images, which config.data.max_bad_fraction allows, cannot be "
            f"read; one of them is {example}: mend them, or leave them out, as colorgan.prepare does"
        )


def _describe_bad(images: Images, index: int) -> str:
    try:
        images.decode(index)
        told = "readable now"
    except Exception as error:
        told = reason(error)
    return printable(f"{images.source.name(index)} ({told})")
