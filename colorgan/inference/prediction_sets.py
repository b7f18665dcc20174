"""How a loaded generator colors the images of a set, to be compared with the real ones."""

import functools
from collections.abc import Mapping

import numpy as np

from colorgan import sharding
from colorgan.errors import UserError
from colorgan.evaluation import predictions
from colorgan.evaluation.metrics import Metric
from colorgan.evaluation.predictions import PredictSetFn
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import from_truth
from colorgan.inference.load_exported import TAKES_NO_HINTS
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.models.generator import predict

_BATCH_SIZE = 32


def create(loaded: LoadedGenerator, size: str, image_metrics: Mapping[str, Metric], num_hints: int = 0) -> PredictSetFn:
    """A function that colors the images of a set.

    Args:
      loaded: the generator.
      size: "model" for the central square at the generator's size, "own" for whole images, like `colorgan colorize`.
      image_metrics: by name.
      num_hints: hints for each image, with its real colors at random places, see `evaluation.hints`.

    Raises:
      UserError: there are hints, and the generator takes none.
    """
    if num_hints and not loaded.generator.takes_hints:
        raise UserError(TAKES_NO_HINTS)
    if size == "model":
        predict_fn, mesh = functools.partial(predict, loaded.generator), sharding.create_mesh()
        return predictions.create_square_fn(
            predict_fn, loaded.variables, loaded.image_size, _BATCH_SIZE, mesh, image_metrics, num_hints
        )
    colorizer = Colorizer.from_loaded(loaded)

    def color_fn(image: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        return colorizer(image, hints=[] if places is None else from_truth(image, places))

    return predictions.create_full_size_fn(color_fn, image_metrics, num_hints)
