"""Compilation of the training step for TPUs that are not present, and its cost."""

import importlib.util
import re
import time
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.errors import UserError, reason
from colorgan.profiling import device_peaks, program_cost
from colorgan.training import build
from colorgan.training.state import abstract_state

# "... Used 22.31G of 15.75G hbm. ...": XLA's message for a program that does not fit.
_TOO_LARGE = re.compile(r"Used ([\d.]+)([KMG]?) of ([\d.]+)([KMG]?) hbm")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def describe_mesh(topology: str) -> Mesh:
    """Returns a mesh over the chips of a topology, none of which need be present.

    Args:
      topology: kind and arrangement of the chips, such as "v5e:2x4".

    Raises:
      UserError: the TPU compiler is not installed, or does not know the topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError("the TPU compiler, libtpu, is not installed: pip install 'colorgan[tpu]'")
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except Exception as error:  # libtpu raises many types
        raise UserError(
            f"the TPU compiler does not know --topology={topology}; "
            f"examples of topologies are v5e:2x4 and v5p:2x2x1 ({reason(error)})"
        ) from error
    return sharding.create_mesh(described.devices)


def compile_ahead(config: ConfigDict, mesh: Mesh) -> dict[str, Any]:
    """Compiles the training step of `config` for `mesh`.

    Args:
      config: a valid config whose batch size is a multiple of the number of chips.
      mesh: from `describe_mesh`.

    Returns:
      Values for JSON: "device_kind", "num_chips" and "images_per_chip"; for one chip "fits", "memory_bytes" and
      "memory_left_bytes", by the published size of its memory; and if XLA compiles it, the cost of a step, its shortest
      time by the published peaks, its exchanges between chips, and the seconds of the compilation.

    Raises:
      UserError: the peaks of the chip are not known.
    """
    device_kind = mesh.devices.flat[0].device_kind
    peaks = device_peaks.peaks_of(device_kind)
    gan = build.create_gan(config, sharding.platform_of(mesh))
    state = abstract_state(gan, sharding.replicated(mesh))
    images = config.batch_size // mesh.size
    report: dict[str, Any] = {"device_kind": device_kind, "num_chips": mesh.size, "images_per_chip": images}
    start = time.perf_counter()
    try:
        compiled = build.compile_train_step(config, gan, mesh, state)
    except jax.errors.JaxRuntimeError as error:
        if not (sizes := _TOO_LARGE.search(str(error))):
            raise
        used, capacity = (float(sizes[n]) * _UNITS[sizes[n + 1]] for n in (1, 3))
        return report | {"fits": False, "memory_bytes": int(used), "memory_left_bytes": int(capacity - used)}
    seconds = time.perf_counter() - start
    cost = program_cost.program_cost(compiled)
    step_seconds = peaks.roofline_seconds(cost.flop, cost.bytes_accessed)
    return report | {
        "fits": cost.memory_bytes <= peaks.memory_bytes,
        "memory_bytes": cost.memory_bytes,
        "memory_left_bytes": peaks.memory_bytes - cost.memory_bytes,
        "flop_per_image": cost.flop / images,
        "bytes_per_image": cost.bytes_accessed / images,
        "roofline_step_seconds": step_seconds,
        "roofline_images_per_second_per_chip": images / step_seconds,
        "collectives": program_cost.describe_collectives(cost.collectives),
        "compile_seconds": round(seconds, 1),
    }
