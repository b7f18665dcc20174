"""What a run keeps of its last validation for its report: metrics by folder, ab histograms, best and worst images."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from colorgan.errors import Unreachable
from colorgan.evaluation.steps import Evaluation
from colorgan.run import workdir as workdir_lib
from colorgan.run.storage import write_image, write_whole

log = logging.getLogger(__name__)

MAX_FOLDERS = 200  # that are listed: a set may have one for each photographer
_NAME_LENGTH = 22  # characters that fit below an image


def best_and_worst(evaluation: Evaluation, number: int) -> list[int]:
    """Positions of the best and then of the worst images by AuC, `number` in all, or all of a small set."""
    aucs = evaluation.image_values["prediction"]["auc"]
    ranked = [index for index in np.argsort(-aucs, kind="stable").tolist() if not np.isnan(aucs[index])]
    if len(ranked) <= number:
        return ranked
    return ranked[: number // 2] + ranked[number // 2 - number :]


def captions(evaluation: Evaluation, indices: Sequence[int], name_fn: Callable[[int], str]) -> list[tuple[str, ...]]:
    """The texts below the images of a row: name, AuC and PSNR, and the same of the gray image."""
    prediction, gray = (evaluation.image_values[kind] for kind in ("prediction", "gray"))
    return [
        (
            name_fn(index)[-_NAME_LENGTH:],
            f"AuC {prediction['auc'][index]:.3f}, {prediction['psnr'][index]:.1f} dB",
            f"gray: {gray['auc'][index]:.3f}, {gray['psnr'][index]:.1f} dB",
        )
        for index in indices
    ]


def describe(evaluation: Evaluation, name_fn: Callable[[int], str], step: int) -> dict[str, Any]:
    """The content of the JSON file.

    Args:
      evaluation: of all validation images.
      name_fn: from a position in the set to the name of the image.
      step: of the run.
    """
    values = evaluation.image_values
    is_good = ~np.isnan(values["prediction"]["auc"])
    folders: dict[str, list[int]] = {}
    for index in np.flatnonzero(is_good).tolist():
        folders.setdefault(os.path.dirname(name_fn(index)), []).append(index)
    by_folder = {
        folder: {"num_images": len(indices)}
        | {
            kind: {key: float(of_image[indices].mean()) for key, of_image in row.items()}
            for kind, row in values.items()
        }
        for folder, indices in sorted(folders.items())[:MAX_FOLDERS]
    }
    return {
        "step": step,
        "num_images": evaluation.num_images,
        "rows": evaluation.rows,
        "folders": by_folder,
        "histograms": {kind: np.round(counts, 3).tolist() for kind, counts in evaluation.histograms.items()},
    }


def write(workdir: epath.Path, record: dict[str, Any], images: Image.Image) -> None:
    """Writes both files. What prevents it is a warning: a run never ends because of its report."""
    path = workdir / workdir_lib.VALIDATION_FILE
    try:
        write_image(workdir / workdir_lib.BEST_AND_WORST_FILE, images)
        write_whole(path, json.dumps(record).encode())
    except (OSError, Unreachable) as error:
        log.warning("cannot write %s: %s", path, error)
