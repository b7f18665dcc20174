"""What the folder of a run holds for its report."""

import base64
import dataclasses
import functools
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from etils import epath
from PIL import Image

from colorgan.run import workdir as workdir_lib
from colorgan.run.storage import bucket_errors

MAX_POINTS = 500  # of a curve
MAX_GRIDS = 24  # sample grids of a run: about 0.2 MB each
MAX_BYTES = 9_000_000  # of the sample grids of a report: with plotly.js it stays below 15 MB
_MAX_LINES = 100  # warnings and changes that are listed
_MAX_SIDE = 2000  # pixels of an image
_QUALITY = 80
_LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ ([A-Z]+) (.*)$")
_STARTED = "training images: "
_CHANGED = "changed since the checkpoint: "


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run, as far as its report shows it.

    Attributes:
      name: of its folder.
      config: a nested dict.
      lines: of metrics.jsonl, in order.
      validation: of `validation_record.describe`; empty before the first validation.
      images: sample grids by epoch, as data URIs.
      best_and_worst: the same; "" if there is none.
      warnings, changes: lines of the log, with their time.
      setup: what the log says about the devices, and the sizes of the networks.
    """

    name: str
    config: Mapping[str, Any]
    lines: Sequence[Mapping[str, float]]
    validation: Mapping[str, Any]
    images: Mapping[int, str]
    best_and_worst: str
    warnings: Sequence[str]
    changes: Sequence[str]
    setup: str = ""

    @classmethod
    def read(cls, workdir: epath.Path, max_bytes: int = MAX_BYTES) -> Self:
        """The run in a folder.

        Args:
          workdir: the folder.
          max_bytes: of its sample grids: if they are larger, fewer are read.

        Raises:
          UserError: it holds no run.
          OSError, Unreachable: a file cannot be read.
        """
        config = workdir_lib.read_config(workdir)
        with bucket_errors(workdir):
            lines = [json.loads(line) for line in _read(workdir / workdir_lib.METRICS_FILE).splitlines() if line]
            networks = json.loads(_read(workdir / workdir_lib.NETWORKS_FILE) or "{}")
            record = json.loads(_read(workdir / workdir_lib.VALIDATION_FILE) or "{}")
            grids = _spaced(list(workdir_lib.find_samples(workdir).items()), MAX_GRIDS)
            images = [(epoch, _data_uri(path)) for epoch, path in grids]
            while len(images) > 2 and sum(len(uri) for _, uri in images) > max_bytes:
                images = list(_spaced(images, len(images) - 1))
            shown = workdir / workdir_lib.BEST_AND_WORST_FILE
            best_and_worst = _data_uri(shown) if shown.exists() else ""
            entries = list(filter(None, map(_LOG_LINE.match, _read(workdir / workdir_lib.LOG_FILE).splitlines())))
        parsed = [entry.groups() for entry in entries]
        warnings = [f"{time}: {text}" for time, level, text in parsed if level in ("WARNING", "ERROR")]
        changes = [f"{time}: {text}" for time, _, text in parsed if text.startswith(_CHANGED)]
        started = [text for _, _, text in parsed if text.startswith(_STARTED)]
        sizes = ", ".join(f"{name.removeprefix('num_').replace('_', ' ')}: {size:,}" for name, size in networks.items())
        setup = "; ".join(filter(None, [*started[-1:], sizes]))
        said = warnings[-_MAX_LINES:], changes[-_MAX_LINES:], setup
        return cls(workdir.name or str(workdir), config, lines, record, dict(images), best_and_worst, *said)

    def curve(self, metric: str) -> tuple[list[float], list[float]]:
        """Epochs and finite values of a metric, at most `MAX_POINTS`, evenly spaced, with the last one."""
        pairs = ((line.get("train/epoch"), line.get(metric)) for line in self.lines)
        points = [
            (epoch, value) for epoch, value in pairs if epoch is not None and value is not None and math.isfinite(value)
        ]
        epochs, values = zip(*_spaced(points, MAX_POINTS), strict=True) if points else ((), ())
        return list(epochs), list(values)

    def last(self, metric: str) -> float | None:
        """The last value of a metric."""
        return next((line[metric] for line in reversed(self.lines) if metric in line), None)

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, sorted."""
        return sorted({name for line in self.lines for name in line})


def _read(path: epath.Path) -> str:
    """The text of a file, "" if there is none."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _spaced(values: Sequence[Any], number: int) -> Sequence[Any]:
    """At most `number` of `values`, evenly spaced, with the first and the last."""
    if len(values) <= number:
        return values
    return [values[round(n * (len(values) - 1) / (number - 1))] for n in range(number)]


def _data_uri(path: epath.Path) -> str:
    stat = path.stat()
    return _encode(path, stat.length, stat.mtime)


@functools.lru_cache(4 * MAX_GRIDS)
def _encode(path: epath.Path, length: int, mtime: float) -> str:
    """An image as a JPEG in a data URI; kept, since the report is written again after each checkpoint."""
    del length, mtime  # they only tell one version of the file from another
    with Image.open(io.BytesIO(path.read_bytes())) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
