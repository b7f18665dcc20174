"""Jitted evaluation of a generator on batches, and its metrics over a set of images."""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from colorgan import color, sharding
from colorgan.errors import printable
from colorgan.evaluation import hints, metrics

log = logging.getLogger(__name__)

# (variables, gray [B,S,S,1] in [-1,1], maybe planes of hints [B,S,S,3]) to RGB [B,S,S,3] in [-1,1]; traceable by JAX.
PredictFn = Callable[..., jax.Array]
_MAX_AHEAD = 3  # batches that are dispatched ahead of the one that is finished
SumStepFn = Callable[[Any, jax.Array, jax.Array], Any]


def compare_step(
    variables: Any,
    images: jax.Array,
    places: jax.Array | None = None,
    *,
    predict_fn: PredictFn,
    image_metrics: Mapping[str, metrics.Metric] = metrics.METRICS,
) -> tuple[jax.Array, metrics.Comparison]:
    """Colors `images` and compares, image by image.

    Args:
      variables: of `predict_fn`, usually the moving average.
      images: uint8 [B,S,S,3] at the generator's image size.
      places: where the generator gets the colors of `images` as hints, see `hints.random_places`; None without hints.
      predict_fn: the generator.
      image_metrics: by name.

    Returns:
      The predictions, [B,S,S,3] in 0..255, rounded, and the result of `metrics.compare`.
    """
    real = color.to_signed(images)
    gray = color.luma(real)
    planes = [] if places is None else [hints.true_planes(real, places)]
    prediction = color.to_pixels(predict_fn(variables, gray, *planes))
    gray_rgb = color.to_pixels(color.gray_to_rgb(gray))
    return prediction, metrics.compare(images.astype(jnp.float32), prediction, gray_rgb, image_metrics)


class Evaluation(NamedTuple):
    """The result of an evaluation.

    Attributes:
      rows: of `metrics.summarize`.
      num_images: that were evaluated.
      image_values: by "prediction" and "gray" and the metric, the value of each image of the set, in its order; NaN for
        images that cannot be read.
      histograms: by "prediction" and "truth", the mean ab histogram, [45,45].
    """

    rows: dict[str, dict[str, float]]
    num_images: int
    image_values: dict[str, dict[str, np.ndarray]]
    histograms: dict[str, np.ndarray]


def sum_step(
    variables: Any, images: jax.Array, mask: jax.Array, *, predict_fn: PredictFn
) -> tuple[metrics.Comparison, jax.Array, dict[str, dict[str, jax.Array]]]:
    """Sums of what `compare_step` returns over the images where `mask` [B] is true, and their number.

    The third result is the metrics of each image, for "prediction" and "gray", [B], with NaN where `mask` is false.
    """
    _, rows = compare_step(variables, images, predict_fn=predict_fn)

    def masked_sum(value: jax.Array) -> jax.Array:
        return jnp.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, 0).sum(axis=0)

    values = {"prediction": rows.prediction.values, "gray": rows.gray.values}
    image_values = jax.tree.map(lambda value: jnp.where(mask, value, jnp.nan), values)
    return jax.tree.map(masked_sum, rows), mask.sum(), image_values


def create_sum_step(predict_fn: PredictFn, mesh: Mesh) -> SumStepFn:
    """`sum_step`, jitted for global batches on `mesh`."""
    step = functools.partial(sum_step, predict_fn=predict_fn)
    return sharding.jit(step, mesh, ("replicated", "batch", "batch"), "replicated")


def evaluate(sum_step_fn: SumStepFn, variables: Any, batches: Iterable[tuple[jax.Array, jax.Array]]) -> Evaluation:
    """Evaluates all images of `batches`.

    The results stay on the devices and are fetched at the end, so that no batch waits for the one before.

    Args:
      sum_step_fn: from `create_sum_step`.
      variables: of the generator.
      batches: global images and masks, as `sum_step` takes them, in the order of the set.
    """
    results: list[Any] = []
    for images, mask in batches:
        results.append(sum_step_fn(variables, images, mask))
        jax.block_until_ready(results[-1 - _MAX_AHEAD : -_MAX_AHEAD])  # bounds the batches in memory
    sums, counts, values = zip(*jax.device_get(results), strict=True)
    # In float64: float32 sums over large sets lose digits.
    total = jax.tree.map(lambda *parts: np.sum(parts, axis=0, dtype=np.float64), *sums)
    count = int(np.sum(counts))
    means = jax.tree.map(lambda value: value / max(count, 1.0), total)
    histograms = {"prediction": means.prediction.ab_histogram, "truth": means.truth.ab_histogram}
    image_values = jax.tree.map(lambda *parts: np.concatenate(parts), *values)
    return Evaluation(metrics.summarize(means), count, image_values, histograms)


def warn_about_gray(rows: dict[str, dict[str, float]], name: str) -> None:
    """Warns if a set has no color to compare with."""
    if rows["truth"]["score"] == 0.0:
        log.warning("%s holds gray images: metrics of color mean nothing there", printable(name))


def validation_metrics(rows: dict[str, dict[str, float]], num_images: int) -> dict[str, float]:
    """The metrics of a validation as a run logs them: "validation/psnr", "validation/gray_psnr" and so on."""
    flat = {f"validation/{name}": value for name, value in rows["prediction"].items()}
    flat |= {f"validation/gray_{name}": value for name, value in rows["gray"].items()}
    return flat | {"validation/true_colorfulness": rows["truth"]["colorfulness"], "validation/num_images": num_images}
