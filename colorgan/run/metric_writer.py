"""Metrics, texts and sample grids of a run: TensorBoard, metrics.jsonl, samples and a progress bar."""

import collections
import json
import logging
import math
import time
from collections.abc import Mapping

import numpy as np
from etils import epath
from PIL import Image
from tqdm import tqdm

from colorgan.errors import Unreachable
from colorgan.run import workdir as workdir_lib
from colorgan.run.append_file import AppendFile
from colorgan.run.event_file import EventFile
from colorgan.run.storage import bucket_errors, folder_errors, write_image, write_whole

_BAR = "{desc} {percentage:3.0f}%|{bar:20}| step {n}/{total}, {elapsed} elapsed, {remaining} left{postfix}"

log = logging.getLogger(__name__)


class MetricWriter:
    """Writes the metrics, texts and images of a run. In processes other than 0 it does nothing. Close it at the end.

    What an earlier, stopped run wrote for steps after `first_step` is removed, so every step is written once.
    """

    def __init__(self, workdir: epath.Path, first_step: int, num_steps: int, enabled: bool) -> None:
        """`first_step` is the last finished step, `num_steps` the last step of the whole run."""
        self._enabled, self._workdir, self._is_first_epoch = enabled, workdir, True
        self._first_step, self._step, self._num_steps = first_step, first_step, num_steps
        if not enabled:
            return
        with folder_errors(workdir):
            cut_metrics(workdir / workdir_lib.METRICS_FILE, first_step)
            self._metrics = AppendFile(workdir / workdir_lib.METRICS_FILE)
            self._events = EventFile(workdir / workdir_lib.TENSORBOARD_FOLDER, first_step)
        # disable=None: no bar in a file or a pipe.
        self._start = self._last_progress = time.monotonic()
        self._bar = tqdm(total=num_steps, initial=first_step, bar_format=_BAR, disable=None, dynamic_ncols=True)

    def close(self) -> None:
        """Writes what is pending and closes the files."""
        if self._enabled:
            self._bar.close()
            self._events.close()
            self._metrics.close()

    def progress(self, step: int, description: str) -> None:
        """Moves the progress bar to `step`."""
        if self._enabled:
            self._bar.set_description_str(description, refresh=False)
            self._bar.update(step - self._step)
            self._step, self._last_progress = step, time.monotonic()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes scalars of one step to TensorBoard and as one line of metrics.jsonl. Call it once for a step."""
        if self._enabled:
            self._events.scalars(step, metrics)
            self._metrics.write((json.dumps({"step": step, **metrics}) + "\n").encode())
            self._metrics.flush()
            self._bar.set_postfix_str(_summary(metrics), refresh=False)

    def log_epoch(self, epoch: int, num_epochs: int, metrics: Mapping[str, float], best: str) -> None:
        """Logs one line about a finished epoch, with an estimate of the time left.

        `best` describes the best validation so far, and is empty if this epoch is the best.
        """
        if self._enabled:
            now = time.monotonic()
            # The first epoch ends with the compilation of validation and samples, which is not repeated.
            seconds = (self._last_progress if self._is_first_epoch else now) - self._start
            steps, steps_left = self._step - self._first_step, self._num_steps - self._step
            left = tqdm.format_interval(seconds / steps * steps_left)
            if self._is_first_epoch:
                self._is_first_epoch, self._start, self._first_step = False, now, self._step
            parts = [_summary(metrics), *[best] * bool(best), f"{left} left"]
            log.info("epoch %d/%d: %s", epoch, num_epochs, ", ".join(parts))

    def write_text(self, name: str, text: str, step: int) -> None:
        """Writes a preformatted text to TensorBoard."""
        if self._enabled:
            self._events.text(step, name, "\n".join("    " + line for line in text.splitlines()))

    def start_session(self, hyperparameters: Mapping[str, bool | float | str]) -> None:
        """Writes to TensorBoard what compares this run with others: its hyperparameters, and a layout of charts."""
        if self._enabled:
            self._events.layout(self._first_step)
            self._events.start_session(self._first_step, hyperparameters)

    def end_session(self) -> None:
        """Marks the run as complete in TensorBoard."""
        if self._enabled:
            self._events.end_session(self._step)

    def write_samples(self, epoch: int, step: int, grid: Image.Image) -> None:
        """Writes a sample grid to TensorBoard and to samples/epoch_NNNN.png."""
        if self._enabled:
            self._events.image(step, "samples", np.asarray(grid))
            path = self._workdir / workdir_lib.sample_file(epoch)
            try:
                write_image(path, grid)
            except (OSError, Unreachable) as error:
                log.warning("cannot write %s: %s", path, error)

    def sync(self) -> None:
        """Returns when all metrics are on disk, so that a checkpoint is never ahead of its metrics."""
        if self._enabled:
            self._events.sync()
            self._metrics.sync()


def cut_metrics(path: epath.Path, last_step: int) -> None:
    """Removes the lines of a metrics.jsonl after `last_step`, and those that cannot be parsed.

    Raises OSError if it cannot be written.
    """
    with bucket_errors(path):
        before, kept = path.read_bytes() if path.exists() else b"", b""
    num_bad = 0
    for line in before.splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= last_step:
                kept += line
        except (ValueError, KeyError, TypeError):
            num_bad += line.endswith(b"\n")  # else it was cut off when the run was, and is written again
    if num_bad:
        log.warning("%s: damaged lines that are removed: %d; TensorBoard may still have these steps", path, num_bad)
    if kept != before:
        write_whole(path, kept)


def _summary(metrics: Mapping[str, float]) -> str:
    """The metrics that fit on a progress line."""
    text = "l1 {train/generator/l1:.3f}"
    if "train/generator/adversarial" in metrics:
        text += ", adversarial {train/generator/adversarial:.2f}, critic {train/critic/loss:.2f}"
    text += ", {perf/images_per_second:.0f} images/s"
    if "validation/psnr" in metrics:
        text += ", validation psnr {validation/psnr:.2f} (gray {validation/gray_psnr:.2f})"
        text += ", score {validation/score:.3f}"
    return text.format_map(collections.defaultdict(lambda: math.nan, metrics))
