"""Benchmarks of the training step, of the data path and of the loop. Values are medians over repeats."""

import contextlib
import datetime
import gc
import io
import itertools
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from jax.experimental.compilation_cache import compilation_cache
from ml_collections import ConfigDict
from PIL import Image

from colorgan import config as config_lib
from colorgan import sharding
from colorgan.data import pipeline, workers
from colorgan.models.build import num_values
from colorgan.profiling import device_peaks, program_cost
from colorgan.run import timing
from colorgan.run.workdir import METRICS_FILE
from colorgan.training import batches as batches_lib
from colorgan.training import build
from colorgan.training.loop import train
from colorgan.training.state import create_state, state_shardings

_REPEATS = 5
_REPEAT_SECONDS = 1.0  # the minimum of each
_WARM_UP = 3  # steps
_LOOP_EPOCHS = 3  # the maximum; the first is left out

Metrics = dict[str, Any]


def measure_step(config: ConfigDict) -> Metrics:
    """Measures the training step on random images that are on the devices."""
    mesh = sharding.create_mesh()
    config_lib.set_batch_size(config, mesh.size)
    gan = build.create_gan(config, sharding.platform_of(mesh))
    state = create_state(gan, config.seed, state_shardings(gan, mesh))
    num_values_of_both = sum(num_values(network.variables) for network in (state.generator, state.critic))
    shape = (config.batch_size, config.data.load_size, config.data.load_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = jax.device_put(pixels, sharding.batch_sharding(mesh))
    hyperparameters = sharding.replicate(mesh, build.create_hyperparameters(config, num_steps=1000))
    with _fresh_compilation():
        start = time.perf_counter()
        train_step_fn = build.compile_train_step(config, gan, mesh, state)
        compile_seconds = time.perf_counter() - start

    def run(num_steps: int) -> None:
        nonlocal state
        for _ in range(num_steps):
            state, step_metrics = train_step_fn(state, images, hyperparameters)
        jax.block_until_ready(step_metrics)

    run(_WARM_UP)
    seconds = _median_seconds(run)
    cost = program_cost.program_cost(train_step_fn, sharding.platform_of(mesh))  # of one device
    metrics = {
        "images_per_second": config.batch_size / seconds,
        "step_seconds": seconds,
        "flop_per_image": cost.flop * mesh.size / config.batch_size,
        "bytes_per_image": cost.bytes_accessed * mesh.size / config.batch_size,
        "flop_per_second_per_device": cost.flop / seconds,
        "num_values": num_values_of_both,
        "compile_seconds": compile_seconds,
        "device_memory_bytes": timing.device_memory_bytes(),
    }
    peaks = device_peaks.PEAKS.get(jax.devices()[0].device_kind)
    if peaks and config.precision == "bfloat16":  # the precision of the published peaks
        metrics |= compare_with_peaks(cost, seconds, peaks)
    return metrics


def compare_with_peaks(cost: program_cost.ProgramCost, seconds: float, peaks: device_peaks.DevicePeaks) -> Metrics:
    """Returns what a step of `seconds` reaches of a device's arithmetic, and of both rooflines, 0 to 1.

    "share_of_roofline" is of the time that a step would take if all operations overlapped, "share_of_roofline_in_turn"
    if they ran one after the other.
    """
    return {
        "share_of_peak": cost.flop / seconds / peaks.flop_per_second,
        "share_of_roofline": peaks.roofline_seconds(cost.flop, cost.bytes_accessed) / seconds,
        "share_of_roofline_in_turn": sum(map(peaks.estimate_seconds, cost.operations)) / seconds,
    }


def measure_input(config: ConfigDict) -> Metrics:
    """Measures training batches: loading into host memory, or with `config.data.cache` selection on the devices."""
    mesh = sharding.create_mesh()
    config_lib.set_batch_size(config, mesh.size)
    images = build.open_images(config).train
    loading = build.create_loading(config)
    arguments = (images, config.batch_size, config.seed, 0, loading)
    decode = _minimal_loop(images)
    repeats, first_batch_seconds = [], []
    with contextlib.ExitStack() as stack:
        cached: Any = None
        if batches_lib.choose_cache(config.data.cache, images, mesh) == "device":
            start = time.perf_counter()
            cached = stack.enter_context(contextlib.closing(batches_lib.CachedBatches(*arguments, mesh)))
            jax.block_until_ready(next(cached))
            first_batch_seconds.append(time.perf_counter() - start)
        for _ in range(_REPEATS):  # alternating, since other work on the machine varies
            num_decoded, bare_cpu, _ = _draw_for(_REPEAT_SECONDS, decode)
            if cached:
                num_drawn, cpu, wall = _draw_for(_REPEAT_SECONDS, cached)
            else:
                # New workers each time: they have no batches ready, and do not run during the minimal loop.
                start = time.perf_counter()
                with contextlib.closing(pipeline.TrainBatches(*arguments)) as batches:
                    next(batches)
                    first_batch_seconds.append(time.perf_counter() - start)
                    _draw_for(_REPEAT_SECONDS, batches)
                    num_drawn, cpu, wall = _draw_for(_REPEAT_SECONDS, batches)
            num_images = num_drawn * config.batch_size
            repeats.append((num_decoded / bare_cpu, num_images / cpu, num_images / wall))
    bare, per_core, images_per_second = (statistics.median(values) for values in zip(*repeats, strict=True))
    return {
        "images_per_second": images_per_second,
        "images_per_second_per_core": per_core,
        "bare_images_per_second_per_core": bare,
        "ratio_to_bare": statistics.median(per_core / bare for bare, per_core, _ in repeats),
        "first_batch_seconds": statistics.median(first_batch_seconds),
    }


def measure_loop(config: ConfigDict) -> Metrics:
    """Measures `train` for up to three epochs; the first, which compiles, is left out if there are more."""
    parts = {
        "step": measure_step(config)["images_per_second"],
        "input": measure_input(config)["images_per_second"],
    }
    gc.collect()
    config = config.copy_and_resolve_references()
    periods = {"validation": config.checkpoint_every_epochs, "checkpoint": config.checkpoint_every_epochs}
    periods["sampling"] = config.num_epochs / len({config.num_epochs, *config.sample_epochs})
    config.num_epochs = min(config.num_epochs, _LOOP_EPOCHS)
    # In every epoch, so that each is measured after it has been compiled.
    config.checkpoint_every_epochs, config.sample_epochs = 1, tuple(range(1, _LOOP_EPOCHS + 1))
    with tempfile.TemporaryDirectory(prefix="colorgan-benchmark-") as folder:
        workdir = Path(folder, "run")
        train(config, workdir)
        lines = [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]
    counted = [line for line in lines if line["train/epoch"] > 1] or lines[1:] or lines
    images_per_second = statistics.median(line["perf/images_per_second"] for line in counted)
    slower = min(parts, key=lambda part: parts[part])
    last = lines[-1]
    steps_seconds = last["step"] * config.batch_size / last["train/epoch"] / images_per_second
    costs = {name: last.get(f"perf/{name}_seconds", 0.0) for name in timing.SIDE_COSTS}
    other_seconds = sum(costs[name] / period for name, period in periods.items())  # logging is part of the steps
    return {
        "images_per_second": images_per_second,
        "ratio_to_slower_part": images_per_second / parts[slower],
        "slower_part": slower,
        **{f"{part}_images_per_second": value for part, value in parts.items()},
        "data_wait_fraction": statistics.median(line["perf/data_wait_fraction"] for line in counted),
        "epoch_seconds": steps_seconds + other_seconds,
        "logging_seconds_per_epoch": costs["logging"],
        **{f"{name}_seconds_each": costs[name] for name in periods},
    }


# By the part of training: functions from a valid config to metrics for JSON. They raise UserError if the data cannot be
# used, or if the devices cannot share a batch evenly.
MEASURES: dict[str, Callable[[ConfigDict], Metrics]] = {
    "step": measure_step,
    "input": measure_input,
    "loop": measure_loop,
}


def as_text(metrics: Metrics) -> str:
    """Returns one metric per line, numbers with four digits."""
    return "\n".join(f"{name:32} {_in_short(value)}" for name, value in metrics.items())


def describe_setup(config: ConfigDict, config_name: str) -> Metrics:
    """Returns what a result depends on: values of the config, the machine and versions."""
    device = jax.devices()[0]
    return {
        "config": config_name,
        **{key: config[key] for key in ("batch_size", "image_size", "precision")},
        "load_size": config.data.load_size,
        "data": config.data.train,
        "cache": config.data.cache,
        "num_workers": config.data.num_workers,
        "num_threads": config.data.num_threads,
        "device": device.device_kind,
        "num_devices": jax.device_count(),
        "host_cores": workers.num_cores(),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def _median_seconds(run: Callable[[int], None]) -> float:
    """Returns the seconds of one of the n steps of `run(n)`: the median over repeats of at least a second."""
    number = max(1, round(_REPEAT_SECONDS / _measure(lambda: run(1))[1]))
    return statistics.median(_measure(lambda: run(number))[1] for _ in range(_REPEATS)) / number


def _draw_for(seconds: float, items: Iterator[Any]) -> tuple[int, float, float]:
    """Returns the number of items that `items` yields in `seconds`, and the result of `_measure`."""
    number = 0

    def draw() -> None:
        nonlocal number
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            jax.block_until_ready(next(items))
            number += 1

    cpu, wall = _measure(draw)
    return number, cpu, wall


def _measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Returns the seconds of `run()`: processor time of this process and its data workers, and wall time."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    run()
    return _cpu_seconds() - cpu, time.perf_counter() - wall


def _cpu_seconds() -> float:
    children = [psutil.Process(child.pid) for child in multiprocessing.active_children() if child.pid]
    times = [child.cpu_times() for child in children]  # to 10 ms; that of this process is exact, and never 0
    return time.process_time() + sum(t.user + t.system for t in times)


def _minimal_loop(images: pipeline.Images) -> Iterator[np.ndarray]:
    """Reads, decodes and resizes the same images with Pillow alone, in one thread, in random order, without end."""
    for index in itertools.cycle(np.random.default_rng(0).permutation(len(images)).tolist()):
        encoded = images.source.read(index)
        if not isinstance(encoded, bytes):  # synthetic
            yield encoded
            continue
        try:
            image = Image.open(io.BytesIO(encoded))
            image.draft("RGB", (2 * images.size, 2 * images.size))
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
            resized = image.convert("RGB").resize(
                (images.size, images.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0
            )
        except Exception:  # a bad record; decoders raise every type of exception
            continue
        yield np.asarray(resized)


@contextlib.contextmanager
def _fresh_compilation() -> Iterator[None]:
    """Within it, JAX compiles every program and loads none from the compilation cache."""
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # JAX remembers whether the cache is used
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def _in_short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
