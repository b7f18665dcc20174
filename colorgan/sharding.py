"""How arrays are placed on the devices.

Batches are split, and so is the part of the training state that only the update needs; everything else is replicated.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding
from jax.typing import DTypeLike

DATA_AXIS = "data"
_MIN_SPREAD = 2**15  # elements; smaller arrays are not worth an exchange of their own


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
    """Whether the training state is split over the devices: if there are several."""
    return mesh.size > 1


def spread(mesh: Mesh, shapes: Any) -> Any:
    """For a pytree of arrays or shapes: each split over the devices along one dimension, if it is worth it.

    This is how ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) places parameters and the optimizer's state. The
    dimension is the largest that the devices divide evenly, and only if there is no other the last one, which a TPU
    keeps in rows of 128. Small arrays are replicated.
    """

    def place(array: Any) -> NamedSharding:
        shape = array.shape
        axes = [axis for axis, size in enumerate(shape) if size % mesh.size == 0]
        if not axes or array.size < _MIN_SPREAD or not is_spread(mesh):
            return replicated(mesh)
        axis = max(axes, key=lambda axis: (axis < len(shape) - 1, shape[axis]))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA_AXIS))

    return jax.tree.map(place, shapes)


def gather(mesh: Mesh, params: Any, dtype: DTypeLike = jnp.float32) -> Any:
    """Parameters that are spread, whole on every device; of the gradient each device gets its share.

    Args:
      mesh: the devices.
      params: a pytree of arrays, placed as by `spread`.
      dtype: the type of the kernels in the result; all others keep theirs.
    """
    if not is_spread(mesh):
        return params
    return jax.tree.map(lambda x: _gather(x, mesh, dtype if x.ndim > 1 else x.dtype), params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(x: jax.Array, mesh: Mesh, dtype: DTypeLike) -> jax.Array:
    spec = spread(mesh, x).spec
    x = x.astype(dtype)  # before it is sent
    if not _is_manual(mesh) or not spec:
        share = jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))
        return jax.lax.with_sharding_constraint(share, replicated(mesh))
    gather_share = functools.partial(jax.lax.all_gather, axis_name=DATA_AXIS, axis=spec.index(DATA_AXIS), tiled=True)
    return jax.shard_map(gather_share, mesh=mesh, in_specs=spec, out_specs=PartitionSpec(), check_vma=False)(x)


def _share_of_gradient(mesh: Mesh, dtype: DTypeLike, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    spec = spread(mesh, gradient).spec
    if not _is_manual(mesh) or not spec:
        share = jax.lax.with_sharding_constraint(gradient, NamedSharding(mesh, spec))  # a reduce-scatter
        return (share.astype(jnp.float32),)
    axis = spec.index(DATA_AXIS)
    size = gradient.shape[axis] // mesh.size

    def own_share(whole: jax.Array) -> jax.Array:
        first = size * jax.lax.axis_index(DATA_AXIS)
        return jax.lax.dynamic_slice_in_dim(whole, first, size, axis).astype(jnp.float32)

    return (jax.shard_map(own_share, mesh=mesh, in_specs=PartitionSpec(), out_specs=spec, check_vma=False)(gradient),)


_gather.defvjp(lambda x, mesh, dtype: (_gather(x, mesh, dtype), None), _share_of_gradient)


def _is_manual(mesh: Mesh) -> bool:
    """Whether `gather` and its gradient are written by device instead of as constraints.

    From the constraints XLA:TPU concludes that it should split the networks' computations too, and exchanges four times
    as much. XLA:GPU makes a reduce-scatter of them, but not of the other (benchmarks/RESULTS.md).
    """
    return platform_of(mesh) == "tpu"


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
