"""How arrays are placed on the devices: batches are split, everything else is replicated."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

DATA_AXIS = "data"


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


def jit(fn: Callable[..., Any], mesh: Mesh, inputs: Sequence[str], output: str, **options: Any) -> jax.stages.Wrapped:
    """`jax.jit` of `fn` on `mesh`.

    Args:
      fn: a pure function of positional arguments.
      mesh: the devices.
      inputs: for each argument "batch", split over the devices, "replicated", or "any", as the caller has it.
      output: "batch" or "replicated".
      options: further arguments of `jax.jit`.
    """
    placements = {"batch": batch_sharding(mesh), "replicated": replicated(mesh), "any": None}
    in_shardings = tuple(placements[name] for name in inputs)
    return jax.jit(fn, in_shardings=in_shardings, out_shardings=placements[output], **options)


def abstract_arrays(shapes: Any, sharding: Sharding) -> Any:
    """A pytree of shapes and types with a sharding, such as the target of a restore."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


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


def platform_of(mesh: Mesh) -> str:
    """The platform of the devices of `mesh`: "cpu", "gpu" or "tpu"."""
    return mesh.devices.flat[0].platform
