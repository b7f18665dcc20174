"""How JAX runs in this process: other processes, devices, memory and the compilation cache."""

import contextlib
import dataclasses
import glob
import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from colorgan import library_patches
from colorgan.errors import LostProcess, UserError, reason
from colorgan.run import preemption
from colorgan.run.memory import keep_freed_memory

log = logging.getLogger(__name__)

_GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")  # the last one in WSL
_INSTALL_CUDA, _INSTALL_TPU = "pip install 'colorgan[cuda]'", "pip install 'colorgan[tpu]'"
_TPU_FILES = ("/dev/accel[0-9]*", "/dev/vfio/[0-9]*")
_JOIN_SECONDS = 300  # the first process waits this long for the last


@dataclasses.dataclass(frozen=True)
class Processes:
    """How this process finds the others of its run; None: from TPU metadata or Slurm, if there are several.

    Attributes:
      coordinator: HOST:PORT of process 0.
      num_processes: the number of processes.
      process_id: the number of this process, from 0.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def join_processes(platform: str, processes: Processes) -> None:
    """Joins the processes that train together, one or more on each host. Call before any device is used.

    Raises:
      UserError: `processes` is not valid, or the hosts of a TPU slice cannot be found.
      LostProcess: the others did not start within `_JOIN_SECONDS`.
    """
    given = dataclasses.astuple(processes)
    if given != (None, None, None):
        _check_processes(*given)
        _initialize(
            coordinator_address=processes.coordinator,
            num_processes=processes.num_processes,
            process_id=processes.process_id,
            cluster_detection_method="deactivate",
        )
    elif _num_slurm_tasks() > 1 and "SLURM_PROCID" in os.environ:
        if "SLURM_STEP_NUM_TASKS" not in os.environ:
            raise UserError(
                f"this Slurm job has {_num_slurm_tasks()} tasks, but the command was not started by srun: use srun or "
                "launch/slurm.sbatch, or ask Slurm for one task"
            )
        _initialize()  # JAX knows Slurm
    elif platform == "tpu" or (platform != "cpu" and _has_tpu()):
        try:
            _initialize()
        except LostProcess:
            raise
        except Exception as error:  # of the metadata server or JAX
            if "coordinator_address should be defined" not in str(error):  # else no slice was found: a host alone
                raise UserError(f"the hosts of the TPU slice cannot be joined: {error}") from error


def _num_slurm_tasks() -> int:
    number = os.environ.get("SLURM_NTASKS", "")
    return int(number) if number.isdecimal() else 1


def _has_tpu() -> bool:
    """Whether this machine has TPU chips and their runtime. JAX must not be asked before the hosts are joined."""
    is_installed = importlib.util.find_spec("libtpu") is not None
    return is_installed and any(glob.glob(pattern) for pattern in _TPU_FILES)


def _check_processes(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    if coordinator is None or num_processes is None or process_id is None:
        raise UserError(
            "--coordinator, --num_processes and --process_id go together; TPU slices and Slurm need none of them"
        )
    if not re.fullmatch(r".+:\d+", coordinator):
        raise UserError(f"--coordinator is {coordinator!r} but must be HOST:PORT of process 0")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id is {process_id} but must be from 0 to --num_processes - 1, {num_processes - 1}")


def _initialize(**options: Any) -> None:
    try:
        jax.distributed.initialize(initialization_timeout=_JOIN_SECONDS, **options)
    except jax.errors.JaxRuntimeError as error:
        raise LostProcess(f"the processes of this run did not find each other: {error}") from error


@contextlib.contextmanager
def reporting_lost_processes() -> Iterator[None]:
    """Turns what JAX and Orbax raise when another process of the run has ended into `LostProcess`."""
    try:
        yield
    except Exception as error:
        if not preemption.means_lost_process(error):
            raise
        raise LostProcess(
            f"another process of this run has ended ({reason(error)[:200]}); "
            "once all have ended, the same command resumes from the last checkpoint"
        ) from error


def select_platform(platform: str) -> None:
    """Makes JAX use `platform` ("cpu", "gpu", "tpu", or "" for the best available). Call before any device is used.

    Also sets up its memory, its compilation cache and 32-bit types, the only ones that a checkpoint holds.

    Raises:
      UserError: this machine has no such device.
    """
    library_patches.block_cpu_dispatch()
    library_patches.leave_out_device_warnings()
    jax.config.update("jax_enable_x64", False)  # also with JAX_ENABLE_X64=1
    if platform:
        jax.config.update("jax_platforms", "cuda" if platform == "gpu" else platform)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where the plug-in for GPUs is not installed
        if preemption.means_lost_process(error):
            raise
        problem = str(error).partition("(set JAX_PLATFORMS")[0].strip() or "no plug-in for it is installed"
        chosen = os.environ.get("JAX_PLATFORMS")
        if not platform and chosen:
            raise UserError(
                f"JAX_PLATFORMS is {chosen!r} but JAX finds no such device here ({problem}); unset JAX_PLATFORMS, or "
                "set it to cpu"
            ) from error
        install = {"gpu": _INSTALL_CUDA, "tpu": _INSTALL_TPU}.get(platform, "jax")
        raise UserError(
            f"config.platform is {platform!r} but JAX finds no such device here ({problem}); where there is one, "
            f"{install} installs what it needs, and --config.platform=cpu runs without"
        ) from error
    if jax.default_backend() == "cpu":
        keep_freed_memory()
        if not (platform or os.environ.get("JAX_PLATFORMS")):
            _warn_about_unused_devices()
    _keep_compiled_programs()


def _warn_about_unused_devices() -> None:
    for name, files, library, install in (
        ("an NVIDIA GPU", _GPU_FILES, "jax_cuda12_plugin", _INSTALL_CUDA),
        ("a TPU", _TPU_FILES, "libtpu", _INSTALL_TPU),
    ):
        if any(glob.glob(pattern) for pattern in files):
            is_installed = importlib.util.find_spec(library) is not None
            hint = "see above, or run nvidia-smi" if is_installed else f"to use it: {install}"
            log.warning("this machine seems to have %s, but JAX uses the CPU; %s", name, hint)


def _keep_compiled_programs() -> None:
    """Caches compiled programs in the user's cache folder, unless JAX_COMPILATION_CACHE_DIR is set (also to "").

    A step that takes half a minute to compile is then loaded in a second or two.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        with contextlib.suppress(OSError, RuntimeError):  # no home folder, or one that cannot be written
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "colorgan", "xla")
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
