"""What a run keeps of its last validation for its report: metrics by folder, ab histograms, best and worst images."""

import json
import logging
import os
from collections.abc import Callable, Mapping
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
_NAME_LENGTH = 14  # characters that fit below an image


def _gains(evaluation: Evaluation) -> np.ndarray:
    """AuC of each prediction minus that of the gray image, [N]: AuC alone ranks images by how gray they are."""
    return evaluation.image_values["prediction"]["auc"] - evaluation.image_values["gray"]["auc"]


def best_and_worst(evaluation: Evaluation, number: int) -> dict[int, str]:
    """Positions of the best and then of the worst images, by the gain of AuC over the gray image, with their rank.

    They are `number` in all, or all of a small set.
    """
    gains = _gains(evaluation)
    ranked = [index for index in np.argsort(-gains, kind="stable").tolist() if not np.isnan(gains[index])]
    ranks = {index: f"{n + 1} of {len(ranked)}" for n, index in enumerate(ranked)}
    shown = ranked if len(ranked) <= number else ranked[: number // 2] + ranked[number // 2 - number :]
    return {index: ranks[index] for index in shown}


def captions(
    evaluation: Evaluation, indices: Mapping[int, str], name_fn: Callable[[int], str]
) -> list[tuple[str, ...]]:
    """The texts below the images of a row: metrics of the gray image, of the prediction, and the rank and the name."""
    prediction, gray = (evaluation.image_values[kind] for kind in ("prediction", "gray"))
    return [
        (
            f"AuC {gray['auc'][index]:.3f}, {gray['psnr'][index]:.1f} dB",
            f"AuC {prediction['auc'][index]:.3f}, {prediction['psnr'][index]:.1f} dB",
            f"{rank}: {name_fn(index)[-_NAME_LENGTH:]}",
        )
        for index, rank in indices.items()
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
        "num_better": int((_gains(evaluation) > 0).sum()),
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
