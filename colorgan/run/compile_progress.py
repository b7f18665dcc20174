"""The progress line while a program is compiled, with the time that it took the last time."""

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
from etils import epath
from tqdm import tqdm

from colorgan.errors import Unreachable
from colorgan.run.storage import bucket_errors, write_whole

_BAR = "{desc} {percentage:3.0f}%|{bar:20}| step {n}/{total}"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def compiling(program: Any, step: int, num_steps: int, enabled: bool) -> Iterator[None]:
    """Logs that the training step is compiled and, on a terminal, shows a line with the time left.

    Args:
      program: what determines the program; by it the time of an earlier compilation is found, in the folder where JAX
        keeps compiled programs.
      step: the number of finished steps.
      num_steps: of the whole run.
      enabled: False in processes other than 0.
    """
    if not enabled:
        yield
        return
    path = _path(program)
    last = _read(path)
    expected = "usually up to a minute, longer for a large encoder" if last is None else f"{last:.0f} s the last time"
    log.info("compiling the training step (%s)", expected)
    start, is_done = time.monotonic(), threading.Event()
    # disable=None: nothing in a file or a pipe.
    form = {"bar_format": _BAR, "disable": None, "dynamic_ncols": True, "leave": False}
    with tqdm(desc=_describe(0, last), total=num_steps, initial=step, **form) as bar:

        def show() -> None:
            while not is_done.wait(1):
                bar.set_description_str(_describe(time.monotonic() - start, last))

        thread = threading.Thread(target=show, daemon=True)
        if not bar.disable:
            thread.start()
        try:
            yield
        finally:
            is_done.set()
            if not bar.disable:
                thread.join()
    _write(path, time.monotonic() - start)


def _describe(elapsed: float, last: float | None) -> str:
    if last is None and elapsed < 60:
        return f"compiling, {elapsed:.0f} s of up to a minute"
    if last is not None and elapsed < last:
        return f"compiling, about {last - elapsed:.0f} s left"
    return f"compiling, {elapsed:.0f} s"


def _path(program: Any) -> epath.Path | None:
    """The file with the time of `program`; None if compiled programs are not kept."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    device = jax.local_devices()[0].device_kind
    key = json.dumps([program, device, jax.device_count(), jax.__version__], sort_keys=True, default=str)
    return epath.Path(folder) / f"seconds-{hashlib.sha256(key.encode()).hexdigest()[:16]}" if folder else None


def _read(path: epath.Path | None) -> float | None:
    with contextlib.suppress(OSError, ValueError, Unreachable):
        if path:
            with bucket_errors(path):
                return float(path.read_text())
    return None


def _write(path: epath.Path | None, seconds: float) -> None:
    with contextlib.suppress(OSError, Unreachable):
        if path:
            with bucket_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{seconds:.1f}\n".encode())
