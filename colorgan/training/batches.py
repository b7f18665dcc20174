"""Training batches on the devices: streamed from the host, or selected from a copy of the set in device memory.

Both are endless iterators over global arrays uint8 [B,L,L,3], split over the devices. Close them at the end.
"""

import logging
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from colorgan import sharding
from colorgan.data import pipeline
from colorgan.errors import UserError

_FILL_IMAGES = 256  # the minimum that is decoded at a time
_CACHE_SHARE = 0.8  # the maximum of a device's memory; a step needs the rest

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


def _decode_all(
    images: pipeline.Images, batch_size: int, loading: pipeline.Loading, mesh: Mesh
) -> tuple[jax.Array, int]:
    """All images, uint8 [N or more, L*L*3] on every device, and the number of bad ones in this process's part.

    Flat, since a TPU would pad a last axis of 3 channels to 128.
    """
    chunk = batch_size * -(-_FILL_IMAGES // batch_size)
    num_rows, row_size = -(-len(images) // chunk) * chunk, int(np.prod(images.shape))
    _check_memory(num_rows * row_size, mesh)
    log.info("decoding %d images into device memory, %.0f MB on each device", len(images), num_rows * row_size / 1e6)
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


def _check_memory(size: int, mesh: Mesh) -> None:
    device = mesh.local_devices[0]
    statistics = device.memory_stats() or {}
    # The devices of a CPU share its memory.
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // len(mesh.local_devices)
    limit = statistics.get("bytes_limit", total) * _CACHE_SHARE
    if size > limit:
        raise UserError(
            f"config.data.cache is 'device', which takes {size / 1e9:.2f} GB on each device, but {device.device_kind} "
            f"has only {limit / 1e9:.2f} GB for it; use a smaller config.data.load_size, or 'none'"
        )
