"""How arrays lie on the devices: batches split, everything else copied."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA_AXIS = "data"


def create_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh over `devices`, by default all of all hosts."""
    # Process by process, so that a process's slice of a batch lies where it stands in the whole.
    ordered = sorted(jax.devices() if devices is None else devices, key=lambda d: (d.process_index, d.id))
    return Mesh(np.asarray(ordered), (DATA_AXIS,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def to_global(mesh: Mesh, local: np.ndarray) -> jax.Array:
    """This process's contiguous slice of a batch to the global array over all processes' devices."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), local)


def same_everywhere(value: int) -> bool:
    """Whether all processes have the same `value`, from 0 to 2**32 - 1. All have to ask."""
    values = multihost_utils.process_allgather(np.asarray(value, np.uint32))
    return bool(np.all(values == values.flat[0]))


def platform_of(mesh: Mesh) -> str:
    """What the devices of `mesh` are: "cpu", "gpu" or "tpu"."""
    return mesh.devices.flat[0].platform
