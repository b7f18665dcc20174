"""The evaluation of a set: metrics with intervals, a table, and saved images.

docs/evaluation.md is the protocol: what the metrics mean, and their limits.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from colorgan.data.source import Source
from colorgan.errors import UserError
from colorgan.evaluation import bootstrap
from colorgan.evaluation.predictions import Predictions, PredictSetFn


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
      rows: of `metrics.summarize`.
      intervals: 95% confidence intervals of the prediction's metrics; empty for a single image.
      ranked: positions in the source by AuC, from the best image to the worst.
      num_images, num_bad: images evaluated, and images that cannot be read.
    """

    rows: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    ranked: list[int]
    num_images: int
    num_bad: int

    def table(self) -> str:
        """Metrics as rows of text: prediction, interval, gray image, real image."""
        lines = [f"{'':22}{'prediction':>10}  {'95% interval':16}  {'gray':>8}  {'truth':>8}"]
        for name, value in self.rows["prediction"].items():
            interval = "{:.3f} to {:.3f}".format(*self.intervals[name]) if name in self.intervals else ""
            gray, truth = self.rows["gray"][name], self.rows["truth"][name]
            lines.append(f"{name:22}{value:10.3f}  {interval:16}  {gray:8.3f}  {truth:8.3f}")
        return "\n".join(lines)


def evaluate_set(
    source: Source,
    predict_set: PredictSetFn,
    save_fn: Callable[[Predictions], None] = lambda predictions: None,
) -> Report:
    """Colors and compares all images of `source`, with a progress bar on a terminal.

    Args:
      source: the images.
      predict_set: from `predictions`.
      save_fn: called with all predictions, such as the one of `create_saver`.

    Raises:
      UserError: no image can be read.
    """
    draws, indices, aucs = bootstrap.Bootstrap(), list[int](), list[float]()
    with tqdm(total=len(source), unit=" images", dynamic_ncols=True, disable=None) as bar:
        for some in predict_set(source):
            draws.add(some.indices, some.rows)
            indices += some.indices.tolist()
            aucs += some.rows.prediction.values["auc"].tolist()
            save_fn(some)
            bar.update(indices[-1] + 1 - bar.n)
    if not indices:
        raise UserError("no image can be read")
    rows, intervals = draws.summarize()
    ranked = np.asarray(indices)[np.argsort(-np.asarray(aucs), kind="stable")].tolist()
    return Report(rows, intervals, ranked, len(indices), len(source) - len(indices))


def create_saver(folder: Path) -> Callable[[Predictions], None]:
    """A function that writes images as predictions/000123.png and truths/000123.png, by position in the source.

    Raises:
      UserError: the folder is not empty: other images in it would be taken for this evaluation's.
      OSError: it cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--save_images={folder} exists and is not an empty folder")

    def save(some: Predictions) -> None:
        for name, images in (("predictions", some.predictions), ("truths", some.truths)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for index, image in zip(some.indices.tolist(), images, strict=True):
                Image.fromarray(image).save(folder / name / f"{index:06d}.png")

    return save
