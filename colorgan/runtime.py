"""How JAX runs in this process: with which other hosts, on which devices, with which memory and which cache."""

import contextlib
import os
from pathlib import Path

import jax

from colorgan.errors import UserError
from colorgan.memory import keep_freed_memory


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

    Sets up its memory and its compilation cache too.

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
