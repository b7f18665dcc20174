"""The evaluation of a set: metrics with intervals, a table, and saved images.

docs/evaluation.md is the protocol: what the metrics mean, and their limits.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from colorgan.data.source import Source
from colorgan.errors import UserError, printable
from colorgan.evaluation import bootstrap
from colorgan.evaluation.predictions import Predictions, PredictSetFn


class Folder(NamedTuple):
    """The images of one folder of a set: their number, and the rows of `metrics.summarize`."""

    num_images: int
    rows: dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
      rows: of `metrics.summarize`.
      intervals: 95% confidence intervals of the prediction's metrics; empty for a single image.
      folders: the same of each folder's images, by its path in the source; empty if there is only one.
      ranked: positions in the source by AuC, from the best image to the worst.
      num_images, num_bad: images evaluated, and images that cannot be read.
    """

    rows: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    folders: dict[str, Folder]
    ranked: list[int]
    num_images: int
    num_bad: int

    def table(self) -> str:
        """Metrics as rows of text: prediction, interval, gray image, real image; then a row for each folder."""
        lines = [f"{'':22}{'prediction':>10}  {'95% interval':16}  {'gray':>8}  {'truth':>8}"]
        for name, value in self.rows["prediction"].items():
            interval = "{:.3f} to {:.3f}".format(*self.intervals[name]) if name in self.intervals else ""
            gray, truth = self.rows["gray"][name], self.rows["truth"][name]
            lines.append(f"{name:22}{value:10.3f}  {interval:16}  {gray:8.3f}  {truth:8.3f}")
        if self.folders:
            lines += ["", f"{'prediction by folder':22}{'images':>6}  " + "  ".join(self.rows["prediction"])]
        for name, folder in self.folders.items():
            values = [f"{value:{len(key)}.3f}" for key, value in folder.rows["prediction"].items()]
            lines.append(f"{printable(name):22}{folder.num_images:6}  " + "  ".join(values))
        return "\n".join(lines)


def table_of_hints(rows: Mapping[int, Mapping[str, float]]) -> str:
    """The metrics of predictions by their number of hints, as rows of text."""
    names = ("psnr", "auc", "ciede2000")
    lines = ["", f"{'hints':>10}" + "".join(f"{name:>12}" for name in names)]
    lines += [f"{number:10}" + "".join(f"{row[name]:12.3f}" for name in names) for number, row in rows.items()]
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
    folders: dict[str, bootstrap.Bootstrap] = {}
    with tqdm(total=len(source), unit=" images", dynamic_ncols=True, disable=None) as bar:
        for some in predict_set(source):
            draws.add(some.indices, some.rows)
            names = np.array([os.path.dirname(source.name(index)) for index in some.indices.tolist()])
            for name in np.unique(names).tolist():
                chosen = np.flatnonzero(names == name)
                rows_of_folder = jax.tree.map(lambda values, chosen=chosen: values[chosen], some.rows)
                folder = folders.setdefault(name, bootstrap.Bootstrap(num_replicates=0))
                folder.add(some.indices[chosen], rows_of_folder)
            indices += some.indices.tolist()
            aucs += some.rows.prediction.values["auc"].tolist()
            save_fn(some)
            bar.update(indices[-1] + 1 - bar.n)
    if not indices:
        raise UserError("no image can be read")
    rows, intervals = draws.summarize()
    by_folder = {name: Folder(folder.num_images, folder.summarize()[0]) for name, folder in sorted(folders.items())}
    ranked = np.asarray(indices)[np.argsort(-np.asarray(aucs), kind="stable")].tolist()
    num_bad = len(source) - len(indices)
    return Report(rows, intervals, by_folder if len(folders) > 1 else {}, ranked, len(indices), num_bad)


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
