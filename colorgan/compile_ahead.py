"""`python -m colorgan.compile_ahead --config=FILE --topology=v5e:2x4`: compiles the train step for absent TPUs.

Prints as JSON whether the step fits into a chip's memory and what it costs, for a user who plans a pod. The compiler
is the TPU's own (extra `tpu`) and the program the one that `colorgan.main` would run there; nothing is trained. Memory
is counted from the published size, of which the runtime keeps a little for itself (0.25 of 16 GiB on v5e).
"""

import importlib.util
import json
import os
import re
import time
from typing import Any

# JAX asks the metadata server of a TPU machine when it is imported; this need not be one.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # the compiler touches no chip that another might use

import jax
from absl import flags
from jax.experimental import topologies
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from colorgan import command_line, sharding
from colorgan import config as config_lib
from colorgan.errors import UserError
from colorgan.profiling import device_peaks, program_cost
from colorgan.run import devices

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, e.g. configs/tpu.py.")
_TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x4", "Kind and arrangement of the chips, e.g. v5e:2x4, v5p:2x2x1.")
# "... Used 22.31G of 15.75G hbm. ...": what XLA says of a program that does not fit.
_TOO_LARGE = re.compile(r"Used ([\d.]+)([KMG]?) of ([\d.]+)([KMG]?) hbm")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def main() -> None:
    """Prints one line of JSON."""
    config_lib.check_config(_CONFIG.value)
    devices.select_platform("cpu")  # leave the devices that are here alone
    mesh = describe_mesh(_TOPOLOGY.value)
    config_lib.check_batch_size(_CONFIG.value.batch_size, mesh.size)
    print(json.dumps({"topology": _TOPOLOGY.value, **compile_ahead(_CONFIG.value, mesh)}))


def describe_mesh(topology: str) -> Mesh:
    """A mesh over the described chips of `topology`, "v5e:2x4" for one.

    Raises:
      UserError: the TPU compiler is missing, or knows no such topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError("the TPU compiler, libtpu, is not installed; pip install -e '.[tpu]' brings it")
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except Exception as error:  # of libtpu, whose kinds are many
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"--topology={topology} is none that the TPU compiler knows, as v5e:2x4 and v5p:2x2x1 are ({reason})"
        ) from error
    return sharding.create_mesh(described.devices)


def compile_ahead(config: ConfigDict, mesh: Mesh) -> dict[str, Any]:
    """Compiles the train step of `config` for `mesh`: its cost on one chip, and the time by published peaks."""
    from colorgan.training import build  # here, since --help needs neither Flax nor Orbax
    from colorgan.training import state as train_state  # here, since --help needs neither Flax nor Orbax

    device_kind = mesh.devices.flat[0].device_kind
    peaks = device_peaks.peaks_of(device_kind)
    gan = build.create_gan(config, sharding.platform_of(mesh), build.SOME_EPOCHS)
    state = train_state.abstract_state(gan, sharding.replicated(mesh))
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


if __name__ == "__main__":
    command_line.run_with_config(main)
