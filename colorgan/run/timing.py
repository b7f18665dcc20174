"""Timing of a run: a step timer, a profiler, and the memory of a device."""

import contextlib
import logging
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

SIDE_COSTS = ("logging", "validation", "sampling", "checkpoint")

log = logging.getLogger(__name__)


class StepTimer:
    """Images per second and the fraction of time spent waiting for data, between two readings."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._metrics: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        """Discards the time since the last reading, which was not training."""
        self._start, self._waited, self._steps = time.monotonic(), 0.0, 0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures the wait for the batch of one step."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start
        self._steps += 1

    def read(self) -> dict[str, float]:
        """The metrics since the last reading; the same as before if there was no step."""
        if not self._steps:
            return self._metrics
        seconds = max(time.monotonic() - self._start, 1e-9)
        self._metrics = {
            "perf/images_per_second": self._steps * self._batch_size / seconds,
            "perf/data_wait_fraction": self._waited / seconds,
            "perf/device_memory_bytes": float(device_memory_bytes()),
        }
        self.restart()
        return self._metrics


class SideCosts:
    """Seconds spent on other work than steps, by kind, between two readings."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(SIDE_COSTS, 0.0)

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measures work of one of `SIDE_COSTS`."""
        start = time.monotonic()
        yield
        self._seconds[name] += time.monotonic() - start

    def read(self) -> dict[str, float]:
        """The metrics since the last reading, of the kinds that occurred."""
        metrics = {f"perf/{name}_seconds": seconds for name, seconds in self._seconds.items() if seconds}
        self._seconds = dict.fromkeys(SIDE_COSTS, 0.0)
        return metrics


class Profiler:
    """Records a jax.profiler trace of `steps`, (first, last) or empty for none, into `folder`. Close it at the end."""

    def __init__(self, folder: Path, steps: Sequence[int]) -> None:
        self._folder, self._steps, self._running = folder, steps, False

    def step(self, step: int) -> contextlib.AbstractContextManager[Any]:
        """What runs within it is this step's in the trace, which is started if it is due."""
        if self._steps and step == self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        return jax.profiler.StepTraceAnnotation("train", step_num=step) if self._running else contextlib.nullcontext()

    def after_step(self, step: int, result: Any) -> None:
        """`result` is what the step returned; the trace waits for it."""
        if self._running and step >= self._steps[1]:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Ends the trace if it is running."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            log.info("profile of steps %d to %d: %s", *self._steps, self._folder)


def device_memory_bytes() -> int:
    """Peak memory of one device of this process; for a CPU, peak memory of the process."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
