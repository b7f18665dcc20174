"""Confidence intervals of the metrics of a set of images.

An online Poisson bootstrap (Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data
streams", Google): in every replicate each image has a weight from Poisson(1). This corresponds to drawing as many
images as there are with replacement, and the weights can be drawn when an image arrives. Only weighted sums are kept,
so memory does not grow with the set.
"""

from typing import Any

import jax
import numpy as np

from colorgan.evaluation import metrics

NUM_REPLICATES = 1000
_SEED = 12
_PERCENTILES = (2.5, 97.5)


class Bootstrap:
    """Metrics of a set of images with 95% confidence intervals; deterministic for the same images.

    The weights of an image follow from its index and are the same for all its rows, so that the prediction, the gray
    and the real image are compared on the same draws.
    """

    def __init__(self, num_replicates: int = NUM_REPLICATES) -> None:
        """Without replicates there are no intervals, and sums take a thousandth of the memory."""
        self._num_replicates = num_replicates
        self._sums: Any = None  # a Comparison of sums [1+R,...]: the set itself, then the replicates
        self._totals = np.zeros(1 + num_replicates)

    @property
    def num_images(self) -> int:
        """The number of images that were added."""
        return int(self._totals[0])

    def add(self, indices: np.ndarray, rows: metrics.Comparison) -> None:
        """Adds images.

        Args:
          indices: int [N], different for every image of the set.
          rows: NumPy arrays [N,...] from `metrics.compare`. Histograms are normalized, so that large images have the
            same weight as small ones.
        """
        weights = np.stack([_weights(index, self._num_replicates) for index in indices.tolist()], axis=-1)  # [1+R,N]

        def normalize(row: metrics.Row) -> metrics.Row:
            histogram = row.ab_histogram.astype(np.float64)
            return row._replace(ab_histogram=histogram / histogram.sum(axis=(1, 2), keepdims=True))

        def weighted_sum(values: np.ndarray) -> np.ndarray:
            return np.tensordot(weights, values.astype(np.float64), axes=1)

        sums = jax.tree.map(weighted_sum, metrics.Comparison(*map(normalize, rows)))
        self._sums = sums if self._sums is None else jax.tree.map(np.add, self._sums, sums)
        self._totals += weights.sum(axis=-1)

    def summarize(self) -> tuple[dict[str, dict[str, float]], dict[str, tuple[float, float]]]:
        """The rows of `metrics.summarize`, and the interval of every metric of "prediction".

        The intervals are percentiles of the replicates; there are none for a single image, or without replicates.
        """
        rows = self._replicate(0)
        if self.num_images < 2 or not self._num_replicates:
            return rows, {}
        drawn = np.flatnonzero(self._totals > 0)[1:]  # with two images, a seventh of the replicates is empty
        replicates = [self._replicate(n)["prediction"] for n in drawn.tolist()]
        intervals = {name: [replicate[name] for replicate in replicates] for name in rows["prediction"]}
        percentiles = {name: np.percentile(values, _PERCENTILES) for name, values in intervals.items()}
        return rows, {name: (float(low), float(high)) for name, (low, high) in percentiles.items()}

    def _replicate(self, number: int) -> dict[str, dict[str, float]]:
        total = self._totals[number]
        return metrics.summarize(jax.tree.map(lambda sums: sums[number] / total, self._sums))


def _weights(index: int, num_replicates: int) -> np.ndarray:
    """The weight of an image in the set itself, 1, and in every replicate: [1+R]."""
    drawn = np.random.default_rng((_SEED, index)).poisson(1.0, num_replicates)
    return np.concatenate([[1.0], drawn])
