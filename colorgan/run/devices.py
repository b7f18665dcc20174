"""How JAX runs in this process: with which others, on which devices, with which memory and which cache."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from colorgan import library_patches
from colorgan.errors import LostProcess, UserError
from colorgan.run import preemption
from colorgan.run.memory import keep_freed_memory

_JOIN_SECONDS = 300  # how long the first process waits for the last


@dataclasses.dataclass(frozen=True)
class Processes:
    """Where this process finds those that it trains with; None is found from TPU metadata or Slurm, if there are any.

    Attributes:
      coordinator: HOST:PORT of process 0.
      num_processes: how many there are.
      process_id: which of them this is, from 0.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def join_processes(platform: str, processes: Processes) -> None:
    """Joins the processes that train together, one or more on each host. Call before any device is used.

    Raises:
      UserError: `processes` makes no sense, or the hosts of a TPU slice cannot be told.
      LostProcess: the others did not come within `_JOIN_SECONDS`.
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
    elif int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:
        _initialize()  # JAX knows Slurm
    elif platform == "tpu":
        try:
            _initialize()
        except LostProcess:
            raise
        except Exception as error:  # of the metadata server or JAX
            if "coordinator_address should be defined" not in str(error):  # else no slice was found: a host alone
                raise UserError(f"the hosts of the TPU slice cannot be joined: {error}") from error


def _check_processes(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    if coordinator is None or num_processes is None or process_id is None:
        raise UserError("--coordinator, --num_processes and --process_id go together, or are left to TPU or Slurm")
    if not re.fullmatch(r".+:\d+", coordinator):
        raise UserError(f"--coordinator is {coordinator!r} but must be HOST:PORT of process 0")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id is {process_id} but must be from 0 to --num_processes - 1, {num_processes - 1}")


def _initialize(**options: Any) -> None:
    try:
        jax.distributed.initialize(initialization_timeout=_JOIN_SECONDS, **options)
    except jax.errors.JaxRuntimeError as error:
        raise LostProcess(f"the processes of this run did not come together: {error}") from error


@contextlib.contextmanager
def telling_lost_processes() -> Iterator[None]:
    """Turns what JAX and Orbax raise when another process of the run is gone into `LostProcess`."""
    try:
        yield
    except Exception as error:
        if not preemption.means_lost_process(error):
            raise
        raise LostProcess(
            f"this process has lost another one of its run ({str(error).splitlines()[0][:200]}); "
            "once all have ended, the same command goes on from the last checkpoint"
        ) from error


def select_platform(platform: str) -> None:
    """Makes JAX use `platform` ("cpu", "gpu", "tpu", or "" for the best there is). Call before any device is used.

    Sets up its memory and its compilation cache too.

    Raises:
      UserError: this machine has no such device.
    """
    library_patches.block_cpu_dispatch()
    if platform:
        jax.config.update("jax_platforms", "cuda" if platform == "gpu" else platform)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where the plug-in of a GPU is not installed
        if preemption.means_lost_process(error):
            raise
        reason = str(error).partition("(set JAX_PLATFORMS")[0].strip() or "no plug-in for it is installed"
        install = {"gpu": "pip install -e '.[cuda]'", "tpu": "pip install -e '.[tpu]'"}.get(platform, "jax")
        raise UserError(
            f"config.platform is {platform!r} but JAX finds no such device here ({reason}); where there is one, "
            f"{install} brings what it needs, and --config.platform=cpu does without"
        ) from error
    if jax.default_backend() == "cpu":
        keep_freed_memory()
    _keep_compiled_programs()


def _keep_compiled_programs() -> None:
    """Keeps what XLA compiles in the user's cache folder, unless JAX_COMPILATION_CACHE_DIR says another or "".

    A step that took half a minute to compile is then loaded in a second or two.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "colorgan", "xla")
        with contextlib.suppress(OSError):  # a home that cannot be written does without
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
