"""Which devices there are and how arrays lie on them: batches split, everything else copied."""

import ctypes
import sys
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from colorgan.errors import UserError

DATA_AXIS = "data"


def join_hosts(platform: str) -> None:
    """On "tpu", joins this process to those of the slice's other hosts. Call before any device is used."""
    if platform == "tpu":
        try:
            jax.distributed.initialize()
        except Exception as error:  # of the metadata server, the coordinator, or JAX
            if "coordinator_address should be defined" not in str(error):  # else no slice was found: a host alone
                raise UserError(f"the hosts of the TPU slice cannot be joined: {error}") from error


def select_platform(platform: str) -> None:
    """Makes JAX use `platform` ("cpu", "gpu", "tpu", or "" for the best there is). Call before any device is used.

    Raises:
      UserError: this machine has no such device.
    """
    # XLA:CPU aborts or deadlocks when several devices' steps overlap; elsewhere this changes nothing.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if platform:
        jax.config.update("jax_platforms", "cuda" if platform == "gpu" else platform)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where the plug-in of a GPU is not installed
        reason = str(error).partition("(set JAX_PLATFORMS")[0].strip() or "no plug-in for it is installed"
        install = {"gpu": "pip install -e '.[cuda]'", "tpu": "pip install -e '.[tpu]'"}.get(platform, "jax")
        raise UserError(
            f"config.platform is {platform!r} but JAX finds no such device here ({reason}); where there is one, "
            f"{install} brings what it needs, and --config.platform=cpu does without"
        ) from error
    if jax.default_backend() == "cpu":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Has glibc's malloc keep what is freed: XLA:CPU asks for its gigabytes anew in every step.

    Handed back to the system, each page of them would have to be cleared again: 25 to 40% of a step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


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


def platform_of(mesh: Mesh) -> str:
    """What the devices of `mesh` are: "cpu", "gpu" or "tpu"."""
    return mesh.devices.flat[0].platform
