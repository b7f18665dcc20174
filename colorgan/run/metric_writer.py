"""What a person sees of a run: TensorBoard, metrics.jsonl, log.txt, samples and a progress line."""

import collections
import contextlib
import io
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import jax
import numpy as np
from etils import epath
from PIL import Image
from tqdm import tqdm

from colorgan.errors import Stopped, Unreachable, UserError
from colorgan.run.append_file import AppendFile
from colorgan.run.event_file import Board
from colorgan.run.storage import bucket_errors, folder_errors, write_whole

METRICS_FILE, LOG_FILE, SAMPLES_FOLDER, TENSORBOARD_FOLDER = "metrics.jsonl", "log.txt", "samples", "tensorboard"
_MAX_AHEAD = 3  # steps that the host hands to the device ahead of the one that is done
_BAR = "{desc} {percentage:3.0f}%|{bar:20}| step {n}/{total}, {elapsed} gone, {remaining} left{postfix}"

log = logging.getLogger(__name__)


class Monitor:
    """Writes a run's figures, texts and pictures; a context manager. In processes other than 0 it does nothing.

    What an earlier, stopped run wrote for steps after `first_step` is cut, so every step stands there once.
    """

    def __init__(self, workdir: epath.Path, first_step: int, num_steps: int, enabled: bool) -> None:
        """`first_step` is the last finished one, `num_steps` the last of the whole run."""
        self._enabled, self._workdir = enabled, workdir
        self._first_step, self._step, self._num_steps = first_step, first_step, num_steps
        if not enabled:
            return
        with folder_errors():
            cut_metrics(workdir / METRICS_FILE, first_step)
            self._metrics = AppendFile(workdir / METRICS_FILE)
            self._board = Board(workdir / TENSORBOARD_FOLDER, first_step)
        # disable=None: no bar where nobody watches (a file, a pipe).
        self._start = time.monotonic()
        self._bar = tqdm(total=num_steps, initial=first_step, bar_format=_BAR, disable=None, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._bar.close()
            self._board.close()
            self._metrics.close()

    def progress(self, step: int, description: str) -> None:
        """Moves the progress line on to `step`."""
        if self._enabled:
            self._bar.set_description_str(description, refresh=False)
            self._bar.update(step - self._step)
            self._step = step

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Scalars of one step, to TensorBoard and as one line of metrics.jsonl. Once for a step."""
        if self._enabled:
            self._board.scalars(step, figures)
            self._metrics.write((json.dumps({"step": step, **figures}) + "\n").encode())
            self._metrics.flush()
            self._bar.set_postfix_str(_in_short(figures), refresh=False)

    def log_epoch(self, epoch: int, num_epochs: int, figures: Mapping[str, float], best: str) -> None:
        """One line about a finished epoch, with the time left if the rest is as fast. `best` was another."""
        if self._enabled:
            steps, steps_left = self._step - self._first_step, self._num_steps - self._step
            left = tqdm.format_interval((time.monotonic() - self._start) / steps * steps_left)
            parts = [_in_short(figures), *[best] * bool(best), f"{left} left"]
            log.info("epoch %d/%d: %s", epoch, num_epochs, ", ".join(parts))

    def write_text(self, name: str, text: str, step: int) -> None:
        """A text in TensorBoard, shown as it is, in columns."""
        if self._enabled:
            self._board.text(step, name, "\n".join("    " + line for line in text.splitlines()))

    def write_samples(self, epoch: int, step: int, grid: Image.Image) -> None:
        """A grid of samples, to TensorBoard and to samples/epoch_NNNN.png."""
        if self._enabled:
            self._board.image(step, "samples", np.asarray(grid))
            encoded = io.BytesIO()
            grid.save(encoded, "PNG")
            path = self._workdir / SAMPLES_FOLDER / f"epoch_{epoch:04d}.png"
            try:
                with bucket_errors(path):
                    path.parent.mkdir(exist_ok=True)
                write_whole(path, encoded.getvalue())
            except (OSError, Unreachable) as error:
                log.warning("cannot write %s: %s", path, error)

    def sync(self) -> None:
        """Returns when all figures are on disk: a checkpoint never runs ahead of its figures."""
        if self._enabled:
            self._board.sync()
            self._metrics.sync()


def cut_metrics(path: epath.Path, last_step: int) -> None:
    """Keeps the lines of a metrics.jsonl up to `last_step`; later ones go, and those that cannot be read.

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
            num_bad += line.endswith(b"\n")  # else it was torn when the run was, and will be written again
    if num_bad:
        log.warning("%s: %d damaged lines are left out; TensorBoard may still have these steps", path, num_bad)
    if kept != before:
        write_whole(path, kept)


def _in_short(figures: Mapping[str, float]) -> str:
    """The figures that a progress line has room for."""
    text = "l1 {train/generator/l1:.3f}, adversarial {train/generator/adversarial:.2f}, "
    text += "critic {train/critic/loss:.2f}, {perf/images_per_second:.0f} images/s"
    if "validation/psnr" in figures:
        text += ", validation psnr {validation/psnr:.2f} (gray {validation/gray_psnr:.2f})"
        text += ", score {validation/score:.3f}"
    return text.format_map(collections.defaultdict(lambda: math.nan, figures))


class PendingFigures:
    """Figures of steps, left on the device until they are wanted.

    They also keep the host from running far ahead, with a batch in memory for every step not yet done.

    Attributes:
      skipped: how many steps changed nothing since a figure was not finite: "in_all", and "in_a_row" up to the last
        that was taken.
    """

    def __init__(self, max_skipped_in_a_row: int, skipped: Mapping[str, int]) -> None:
        """`skipped` is that of the checkpoint that the run goes on from, or empty."""
        self._steps: list[tuple[int, Mapping[str, jax.Array]]] = []
        self._max_in_a_row = max_skipped_in_a_row
        self.skipped = {"in_all": 0, "in_a_row": 0} | dict(skipped)

    def add(self, step: int, figures: Mapping[str, jax.Array]) -> None:
        """Float scalars on the device. Waits for the step `_MAX_AHEAD` before."""
        self._steps.append((step, figures))
        jax.block_until_ready([figures for _, figures in self._steps[-1 - _MAX_AHEAD : -_MAX_AHEAD]])

    def take(self, before: int | None = None) -> dict[str, float]:
        """The figures of the last step there is (ahead of step `before`), empty if none; forgets it and all earlier.

        Of a skipped step they are those that are finite.

        Raises:
          UserError: more steps in a row than may be skipped have a figure that is not finite; names the first.
        """
        taken = [(step, figures) for step, figures in self._steps if before is None or step < before]
        self._steps = self._steps[len(taken) :]
        fetched: dict[str, float] = {}
        for step, figures in jax.device_get(taken):
            fetched = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
            if len(fetched) == len(figures):
                self.skipped = self.skipped | {"in_a_row": 0}  # a new one: a save may still be writing the old one
                continue
            if self.skipped["in_a_row"] == self._max_in_a_row:
                check_finite(step, figures)
            self.skipped = {name: count + 1 for name, count in self.skipped.items()}
            log.warning("step %d skipped: not finite are %s", step, ", ".join(sorted(figures.keys() - fetched.keys())))
        return fetched | {"train/skipped_steps": self.skipped["in_all"]} if taken else {}


def check_finite(step: int, figures: Mapping[str, float]) -> None:
    """Raises UserError, naming the figure and the step, if one is not finite."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name} is {value} at step {step}: the run cannot go on; its checkpoints are kept, and a lower "
                "learning rate or another seed, with another --workdir, may get past"
            )


@contextlib.contextmanager
def logging_to(workdir: epath.Path, enabled: bool) -> Iterator[None]:
    """Sends colorgan's messages to the terminal, above the progress line, and to log.txt of the run.

    What ends the run is left to the command to tell; log.txt has it too.
    """
    logger = logging.getLogger("colorgan")
    handlers: list[logging.Handler] = []
    if enabled:
        file_handler = _FileHandler(workdir / LOG_FILE)
        file_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers = [file_handler, _TerminalHandler()]
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except (Stopped, UserError) as error:
        if enabled:
            level_of_end = logging.INFO if isinstance(error, Stopped) else logging.ERROR
            handlers[0].handle(logger.makeRecord(logger.name, level_of_end, "", 0, str(error), (), None))
        raise
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _FileHandler(logging.Handler):
    def __init__(self, path: epath.Path) -> None:
        super().__init__()
        self._file = AppendFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write((self.format(record) + "\n").encode(errors="replace"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


class _TerminalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a pipe that is closed does not end the run
            tqdm.write(self.format(record))  # stdout, without tearing the progress line
