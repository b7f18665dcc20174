"""How arrays are placed on the devices.

Batches are split, and so is the part of the training state that only the update needs; everything else is replicated.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

DATA_AXIS = "data"
_MIN_SPREAD = 2**12  # elements


def create_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh over `devices`, by default all devices of all hosts."""
    # Ordered by process, so that a process's slice of a batch is on its own devices.
    ordered = sorted(jax.devices() if devices is None else devices, key=lambda d: (d.process_index, d.id))
    return Mesh(np.asarray(ordered), (DATA_AXIS,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def is_spread(mesh: Mesh) -> bool:
    """Whether the training state is split over the devices: over several that are no TPUs.

    For TPUs XLA splits the networks' computations too, exchanges four times as much, and moves 133 instead of 103 MB an
    image for configs/baseline.py at 256 images a chip (benchmarks/RESULTS.md).
    """
    return mesh.size > 1 and platform_of(mesh) != "tpu"


def spread(mesh: Mesh, shapes: Any) -> Any:
    """For a pytree of arrays or shapes: each split over the devices along one dimension, if it is worth it.

    This is how ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) places parameters and the optimizer's state. The
    dimension is the largest that the devices divide evenly, and only if there is no other the last one, which a TPU
    keeps in rows of 128. Small arrays are replicated, and on TPUs all: see `is_spread`.
    """

    def place(array: Any) -> NamedSharding:
        shape = array.shape
        axes = [axis for axis, size in enumerate(shape) if size % mesh.size == 0]
        if not axes or array.size < _MIN_SPREAD or not is_spread(mesh):
            return replicated(mesh)
        axis = max(axes, key=lambda axis: (axis < len(shape) - 1, shape[axis]))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA_AXIS))

    return jax.tree.map(place, shapes)


def jit(fn: Callable[..., Any], mesh: Mesh, inputs: Sequence[Any], output: Any, **options: Any) -> jax.stages.Wrapped:
    """`jax.jit` of `fn` on `mesh`.

    Args:
      fn: a pure function of positional arguments.
      mesh: the devices.
      inputs: for each argument "batch", split over the devices, "replicated", "any", as the caller has it, or a pytree
        of shardings.
      output: "batch" or "replicated", or a pytree of shardings.
      options: further arguments of `jax.jit`.
    """
    placements = {"batch": batch_sharding(mesh), "replicated": replicated(mesh), "any": None}
    in_shardings, out_shardings = jax.tree.map(
        lambda name: placements[name] if isinstance(name, str) else name, (tuple(inputs), output)
    )
    return jax.jit(fn, in_shardings=in_shardings, out_shardings=out_shardings, **options)


def abstract_arrays(shapes: Any, shardings: Any) -> Any:
    """A pytree of shapes and types with one sharding, or a pytree of them; such as the target of a restore."""
    if isinstance(shardings, Sharding):
        shardings = jax.tree.map(lambda _: shardings, shapes)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def to_global(mesh: Mesh, local: np.ndarray) -> jax.Array:
    """This process's contiguous slice of a batch to the global array over all processes' devices."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), local)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """A pytree of NumPy arrays on every device of all processes, which have the same values."""
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, replicated(mesh), lambda _: x), tree)


def same_everywhere(value: int) -> bool:
    """Whether all processes have the same `value`, from 0 to 2**32 - 1. Call it in all of them."""
    values = multihost_utils.process_allgather(np.asarray(value, np.uint32))
    return bool(np.all(values == values.flat[0]))


def mesh_of(shardings: Any) -> Mesh:
    """The devices of a pytree of `NamedSharding`."""
    mesh: Mesh = jax.tree.leaves(shardings)[0].mesh
    return mesh


def platform_of(mesh: Mesh) -> str:
    """The platform of the devices of `mesh`: "cpu", "gpu" or "tpu"."""
    return mesh.devices.flat[0].platform
