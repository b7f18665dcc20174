"""Compilation of the training step for TPUs and GPUs that are not present, and its cost."""

import importlib.util
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.errors import UserError, reason
from colorgan.profiling import device_peaks, gpu_targets, program_cost
from colorgan.profiling.device_peaks import DevicePeaks
from colorgan.profiling.operations import Operation
from colorgan.training import build
from colorgan.training.state import abstract_state, state_shardings

# "... Used 22.31G of 15.75G hbm. ...": XLA's message for a program that does not fit.
_TOO_LARGE = re.compile(r"Used ([\d.]+)([KMG]?) of ([\d.]+)([KMG]?) hbm")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SHORT_SECONDS = 2e-6  # a launch takes a GPU about as long
_EXAMPLES = "v5e:2x4, v5p:2x2x1, h100 and h100:8"


def describe_mesh(topology: str) -> Mesh:
    """Returns a mesh over the devices of a topology, none of which need be present.

    Args:
      topology: kind and arrangement of TPU chips, such as "v5e:2x4", or one of `gpu_targets.TARGETS` and the number of
        GPUs in one host, such as "h100" or "h100:8".

    Raises:
      UserError: the compiler is not installed, or does not know the topology.
    """
    kind, _, number = topology.partition(":")
    try:
        if kind in gpu_targets.TARGETS:
            _check_installed("jax_plugins.xla_cuda12", "the CUDA compiler, jax-cuda12-plugin,", "compile-cuda")
            described = topologies.get_topology_desc(
                platform="cuda",
                topology_name=kind,
                topology=f"1x{int(number or 1)}x1",
                target_config=gpu_targets.describe(gpu_targets.TARGETS[kind]),
            )
        else:
            _check_installed("libtpu", "the TPU compiler, libtpu,", "tpu")
            described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except UserError:
        raise
    except Exception as error:  # the plug-ins raise many types
        raise UserError(
            f"the compiler does not know --topology={topology}; examples of topologies are {_EXAMPLES}; GPUs are "
            f"{', '.join(gpu_targets.TARGETS)} ({reason(error)})"
        ) from error
    return sharding.create_mesh(described.devices)


def _check_installed(module: str, name: str, extra: str) -> None:
    try:
        is_installed = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        raise UserError(f"{name} is not installed: pip install 'colorgan[{extra}]'")


def compile_ahead(config: ConfigDict, mesh: Mesh, num_explained: int = 0) -> dict[str, Any]:
    """Compiles the training step of `config` for `mesh`. Prints a line to stderr every ten seconds.

    Args:
      config: a valid config whose batch size is a multiple of the number of devices.
      mesh: from `describe_mesh`.
      num_explained: the number of operations that "most_expensive" lists.

    Returns:
      Values for JSON: "device_kind", "num_devices" and "images_per_device"; for one device "fits", "memory_bytes" and
      "memory_left_bytes", by the published size of its memory; and if XLA compiles it, the cost of a step, its shortest
      time by the published peaks, its exchanges between devices, and the seconds of the compilation.

    Raises:
      UserError: the peaks of the device are not known.
    """
    device_kind, platform = mesh.devices.flat[0].device_kind, sharding.platform_of(mesh)
    peaks = device_peaks.peaks_of(device_kind)
    gan = build.create_gan(config, platform)
    state = abstract_state(gan, state_shardings(gan, mesh))
    images = config.batch_size // mesh.size
    report: dict[str, Any] = {"device_kind": device_kind, "num_devices": mesh.size, "images_per_device": images}
    if platform == "gpu":
        jax.config.update("jax_enable_compilation_cache", False)  # it cannot be read without a GPU
    start = time.perf_counter()
    try:
        compiled = _with_progress(lambda: build.compile_train_step(config, gan, mesh, state))
    except jax.errors.JaxRuntimeError as error:
        if not (sizes := _TOO_LARGE.search(str(error))):
            raise
        used, capacity = (float(sizes[n]) * _UNITS[sizes[n + 1]] for n in (1, 3))
        return report | {"fits": False, "memory_bytes": int(used), "memory_left_bytes": int(capacity - used)}
    seconds = time.perf_counter() - start
    cost = program_cost.program_cost(compiled, platform)
    report |= {
        "fits": cost.memory_bytes <= peaks.memory_bytes,
        "memory_bytes": cost.memory_bytes,
        "memory_left_bytes": peaks.memory_bytes - cost.memory_bytes,
        "flop_per_image": cost.flop / images,
        "bytes_per_image": cost.bytes_accessed / images,
        "main_memory_bytes_per_image": sum(operation.num_bytes for operation in cost.operations) / images,
        **describe_operations(cost.operations, peaks),
        **describe_roofline(cost, images, peaks),
        "collectives": program_cost.describe_collectives(cost.collectives),
        "compile_seconds": round(seconds, 1),
    }
    if num_explained:
        report["most_expensive"] = most_expensive(cost.operations, images, peaks, num_explained)
    return report


def describe_operations(operations: Sequence[Operation], peaks: DevicePeaks) -> dict[str, Any]:
    """The number of launches: of all, of cuDNN's and cuBLAS', and of those that are estimated to be short."""
    return {
        "launches": len(operations),
        "library_calls": sum(operation.is_library_call for operation in operations),
        "launches_under_2_microseconds": sum(peaks.estimate_seconds(op) < _SHORT_SECONDS for op in operations),
    }


def describe_roofline(cost: program_cost.ProgramCost, images: int, peaks: DevicePeaks) -> dict[str, float]:
    """The shortest time of a step if all operations overlap, and if they run one after the other.

    The latter is by the shapes of the operations.
    """
    overlapping = peaks.roofline_seconds(cost.flop, cost.bytes_accessed)
    in_turn = sum(peaks.estimate_seconds(operation) for operation in cost.operations)
    return {
        "roofline_step_seconds": overlapping,
        "roofline_images_per_second_per_device": images / overlapping,
        "roofline_in_turn_step_seconds": in_turn,
        "roofline_in_turn_images_per_second_per_device": images / in_turn,
    }


def most_expensive(
    operations: Sequence[Operation], images: int, peaks: DevicePeaks, number: int
) -> list[dict[str, Any]]:
    """The operations with the longest estimated time, as values for JSON."""
    ranked = sorted(operations, key=peaks.estimate_seconds, reverse=True)
    return [
        {
            "name": operation.name,
            "kind": operation.kind,
            "microseconds": round(1e6 * peaks.estimate_seconds(operation), 1),
            "flop_per_image": operation.flop / images,
            "bytes_per_image": operation.num_bytes / images,
            "source": operation.source,
            "op_name": operation.op_name,
        }
        for operation in ranked[:number]
    ]


def _with_progress(work: Callable[[], Any]) -> Any:
    """Runs `work` in a thread, so that this one can print progress and handle Ctrl-C, which XLA's compilers do not."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:  # raised again by the caller's thread
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    start = time.perf_counter()
    thread.start()
    while thread.is_alive():
        thread.join(timeout=10)
        if thread.is_alive():
            print(f"compiling for {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    result, error = outcome[0]
    if error:
        raise error
    return result
