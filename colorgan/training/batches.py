"""Batches on the devices.

Training batches are streamed from the host, or selected from a copy of the set in device memory. Both are endless
iterators over global arrays uint8 [B,L,L,3], split over the devices. Close them at the end. Validation batches are
decoded once, if they fit into device memory.
"""

import logging
import math
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from colorgan import sharding
from colorgan.data import pipeline
from colorgan.errors import UserError

_FILL_IMAGES = 256  # the minimum that is decoded at a time
_CACHE_SHARE = 0.8  # the maximum of a device's memory; a step needs the rest
_AUTO_SHARE = 0.3  # the same where nobody asked for the cache
_VALIDATION_SHARE = 0.05  # of a device's memory, for validation images

log = logging.getLogger(__name__)


class StreamedBatches:
    """Decodes every image in every epoch. The copy to the device overlaps with the caller."""

    def __init__(self, batches: pipeline.TrainBatches, mesh: Mesh) -> None:
        self._batches, self._mesh = batches, mesh

    def __next__(self) -> jax.Array:
        return sharding.to_global(self._mesh, next(self._batches).image)

    def metrics(self) -> dict[str, float]:
        """Data metrics to log."""
        return self._batches.metrics()

    def close(self) -> None:
        """Ends the workers."""
        self._batches.close()


class CachedBatches:
    """Decodes every image once into the memory of every device; a batch is then selected by indices.

    A set of N images of L pixels a side takes N * L * L * 3 bytes on each device.
    """

    def __init__(
        self,
        images: pipeline.Images,
        batch_size: int,
        seed: int,
        first_batch: int,
        loading: pipeline.Loading,
        mesh: Mesh,
    ) -> None:
        """Raises UserError if the devices' memory is too small."""
        self._mesh = mesh
        self._cache, self._num_bad = _decode_all(images, batch_size, loading, mesh)
        self._indices = pipeline.train_indices(len(images), batch_size, seed, first_batch, loading)

        def choose(cache: jax.Array, indices: jax.Array) -> jax.Array:
            return jnp.take(cache, indices, axis=0, mode="clip").reshape(-1, *images.shape)

        self._choose_fn = sharding.jit(choose, mesh, ("replicated", "batch"), "batch")

    def __next__(self) -> jax.Array:
        return self._choose_fn(self._cache, sharding.to_global(self._mesh, next(self._indices)))

    def metrics(self) -> dict[str, float]:
        """Data metrics to log."""
        return {"data/bad_records": self._num_bad}

    def close(self) -> None:
        """Ends the threads."""
        self._indices.close()


class ValidationBatches:
    """All images once, in the source's order, as (images uint8 [B,S,S,3], mask bool [B]), split over the devices.

    They are decoded in the first pass and stay on the devices, if they take no more than a twentieth of the memory.
    Otherwise they are decoded in each pass.
    """

    def __init__(self, images: pipeline.Images, batch_size: int, loading: pipeline.Loading, mesh: Mesh) -> None:
        self._images, self._batch_size, self._loading, self._mesh = images, batch_size, loading, mesh
        num_rows = -(-len(images) // batch_size) * batch_size
        size = num_rows * math.prod(images.shape) // mesh.size
        fits = size <= _memory_bytes(mesh) * _VALIDATION_SHARE
        self._kept: list[tuple[jax.Array, jax.Array]] | None = [] if fits else None

    def __iter__(self) -> Iterator[tuple[jax.Array, jax.Array]]:
        if self._kept:
            yield from self._kept
            return
        batches = []
        for batch in pipeline.ordered_batches(self._images, self._batch_size, self._loading):
            arrays = sharding.to_global(self._mesh, batch.image), sharding.to_global(self._mesh, batch.mask)
            if self._kept is not None:
                batches.append(arrays)
            yield arrays
        if batches:
            self._kept = batches


def choose_cache(cache: str, images: pipeline.Images, mesh: Mesh) -> str:
    """The value "none" or "device" for one of `config.data.cache`.

    "auto" is "device" if that takes at most 30% of the memory. All processes choose the same.
    """
    if cache != "auto":
        return cache
    size, limit = len(images) * math.prod(images.shape), int(_memory_bytes(mesh) * _AUTO_SHARE)
    fits = size <= limit
    chosen = "device" if sharding.same_everywhere(int(fits)) and fits else "none"
    message = "config.data.cache is 'auto', here '%s': the images take %.2f GB, with a limit of %.2f GB on each device"
    log.info(message, chosen, size / 1e9, limit / 1e9)
    return chosen


def _decode_all(
    images: pipeline.Images, batch_size: int, loading: pipeline.Loading, mesh: Mesh
) -> tuple[jax.Array, int]:
    """All images, uint8 [N or more, L*L*3] on every device, and the number of bad ones in this process's part.

    Flat, since a TPU would pad a last axis of 3 channels to 128.
    """
    chunk = batch_size * -(-_FILL_IMAGES // batch_size)
    num_rows, row_size = -(-len(images) // chunk) * chunk, math.prod(images.shape)
    _check_memory(num_rows * row_size, mesh)
    message = "decoding all images into device memory: %d, %.0f MB on each device"
    log.info(message, len(images), num_rows * row_size / 1e6)
    cache = sharding.jit(lambda: jnp.zeros((num_rows, row_size), jnp.uint8), mesh, (), "replicated")()

    def write(cache: jax.Array, chunk: jax.Array, first: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(cache, chunk.reshape(-1, row_size), first, axis=0)

    write_fn = sharding.jit(write, mesh, ("replicated", "batch", "any"), "replicated", donate_argnums=0)
    num_good = num_decoded = 0
    for n, batch in enumerate(pipeline.ordered_batches(images, chunk, loading, pipeline.REPLACED)):
        cache = write_fn(cache, sharding.to_global(mesh, batch.image), np.int32(n * chunk))
        num_good += int(batch.mask.sum())
        num_decoded += int(batch.filled.sum())
    return cache, num_decoded - num_good


def _memory_bytes(mesh: Mesh) -> int:
    """Of each device. The devices of a CPU share its memory."""
    statistics = mesh.local_devices[0].memory_stats() or {}
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // len(mesh.local_devices)
    return statistics.get("bytes_limit", total)


def _check_memory(size: int, mesh: Mesh) -> None:
    device, limit = mesh.local_devices[0], _memory_bytes(mesh) * _CACHE_SHARE
    if size > limit:
        raise UserError(
            f"config.data.cache is 'device', which takes {size / 1e9:.2f} GB on each device, but {device.device_kind} "
            f"has only {limit / 1e9:.2f} GB for it; use a smaller config.data.load_size, or 'none'"
        )
