"""The images of a set, colored and compared with the real ones one by one."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from colorgan import color, sharding
from colorgan.data import pipeline, transforms
from colorgan.data.source import Source
from colorgan.errors import printable, reason
from colorgan.evaluation import metrics
from colorgan.evaluation.hints import random_places
from colorgan.evaluation.steps import PredictFn, compare_step

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Some images of a set, without those that cannot be read.

    Attributes:
      indices: their positions in the source, [N].
      truths, predictions: N images, uint8 [H,W,3].
      rows: of `metrics.compare`, NumPy arrays [N,...].
    """

    indices: np.ndarray
    truths: Sequence[np.ndarray]
    predictions: Sequence[np.ndarray]
    rows: metrics.Comparison


PredictSetFn = Callable[[Source], Iterator[Predictions]]


def create_square_fn(
    predict_fn: PredictFn,
    variables: Any,
    image_size: int,
    batch_size: int,
    mesh: Mesh,
    image_metrics: Mapping[str, metrics.Metric] = metrics.METRICS,
    num_hints: int = 0,
) -> PredictSetFn:
    """Colors the central square of every image at the generator's size, like the validation of a run.

    Args:
      predict_fn: the generator.
      variables: its variables.
      image_size: of its square, in pixels.
      batch_size: images in a batch, rounded up to a multiple of the devices.
      mesh: the devices.
      image_metrics: by name.
      num_hints: hints for each image, at the places of `hints.random_places`.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size
    step = functools.partial(compare_step, predict_fn=predict_fn, image_metrics=image_metrics)
    inputs = ("replicated", "batch", "batch") if num_hints else ("replicated", "batch")
    step_fn = sharding.jit(step, mesh, inputs, "batch")

    def predict_set(source: Source) -> Iterator[Predictions]:
        images = pipeline.Images(source, image_size, max_bad_fraction=None)
        for n, batch in enumerate(pipeline.ordered_batches(images, batch_size, pipeline.Loading())):
            first = n * batch_size
            places = [random_places(range(first, first + batch_size), num_hints)] if num_hints else []
            arrays = [sharding.to_global(mesh, array) for array in (batch.image, *places)]
            outputs = jax.device_get(step_fn(variables, *arrays))
            good = np.flatnonzero(batch.mask)
            predictions, rows = jax.tree.map(lambda values, good=good: values[good], outputs)
            if len(good):
                truths = batch.image[good]
                yield Predictions(first + good, list(truths), list(predictions.astype(np.uint8)), rows)

    return predict_set


def create_full_size_fn(
    color_fn: Callable[..., np.ndarray],
    image_metrics: Mapping[str, metrics.Metric] = metrics.METRICS,
    num_hints: int = 0,
) -> PredictSetFn:
    """Colors every image whole, like `colorgan colorize`, and compares at its own size in NumPy (nothing to compile).

    Args:
      color_fn: from uint8 [H,W,3], and with hints their places [num_hints,2], to uint8 [H,W,3].
      image_metrics: by name.
      num_hints: hints for each image, at the places of `hints.random_places`.
    """

    def predict_set(source: Source) -> Iterator[Predictions]:
        for index in range(len(source)):
            try:
                photo = transforms.decode_image(source.read(index))
                _check_size(photo, image_metrics)
            except Exception as error:  # decoders raise exceptions of many types
                problem = printable(f"{source.name(index)} ({reason(error)})")
                log.warning("bad record %s: %s", pipeline.LEFT_OUT, problem)
                continue
            truth = np.asarray(photo)
            prediction = color_fn(truth, *random_places([index], num_hints)) if num_hints else color_fn(truth)
            real, fake, gray = (image[None].astype(np.float32) for image in (truth, prediction, to_gray(truth)))
            yield Predictions(
                np.array([index]), [truth], [prediction], metrics.compare(real, fake, gray, image_metrics)
            )

    return predict_set


def to_gray(image: np.ndarray) -> np.ndarray:
    """uint8 RGB [H,W,3] to its luma as RGB."""
    return np.rint(color.luma(image.astype(np.float32))).astype(np.uint8).repeat(3, axis=-1)


def _check_size(photo: Image.Image, image_metrics: Mapping[str, metrics.Metric]) -> None:
    """Raises ValueError for an image that cannot be compared at its own size."""
    min_side = max(metric.min_side for metric in image_metrics.values())
    max_pixels = min(metric.max_pixels for metric in image_metrics.values())
    if min(photo.size) < min_side:
        raise ValueError(f"a side of less than {min_side} pixels")
    if photo.width * photo.height > max_pixels:
        raise ValueError(f"more than {max_pixels // 10**6} megapixels, the limit of --size=own with these metrics")
