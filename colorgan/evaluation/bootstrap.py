"""How sure the figures of a set of images are: the set, drawn again many times.

An online Poisson bootstrap (Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data
streams", Google): in every replicate each image counts as often as a number from Poisson(1) says, which stands for
drawing as many images as there are with replacement, and can be drawn when the image comes by. What is kept are
weighted sums, so memory does not grow with the set.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from colorgan.evaluation import metrics

NUM_REPLICATES = 1000
_SEED = 12
_PERCENTILES = (2.5, 97.5)


class Bootstrap:
    """Figures of a set of images, and intervals that hold them at 95% confidence; the same for the same images.

    An image's weights follow from its index alone, and go to all its rows: prediction, gray and truth are compared on
    the same draws.
    """

    def __init__(self) -> None:
        self._sums: Any = None  # of rows as in `add`, [1 + R,...] for each figure: the set itself, then the replicates
        self._totals = np.zeros(1 + NUM_REPLICATES)

    def add(self, indices: np.ndarray, rows: Mapping[str, metrics.Figures]) -> None:
        """Adds images.

        Args:
          indices: int [N], another one for every image of the set.
          rows: NumPy arrays, [N,...] for each figure, from `metrics.compare_rows`. Histograms count as shares, so that
            large images weigh no more than small ones.
        """
        weights = np.stack([_weights(index) for index in indices.tolist()], axis=-1)  # [1+R,N]

        def weighted_sum(path: Any, values: np.ndarray) -> np.ndarray:
            values = values.astype(np.float64)
            if path[-1].key == "ab_histogram":
                values = values / values.sum(axis=(1, 2), keepdims=True)
            return np.tensordot(weights, values, axes=1)

        sums = jax.tree_util.tree_map_with_path(weighted_sum, dict(rows))
        self._sums = sums if self._sums is None else jax.tree.map(np.add, self._sums, sums)
        self._totals += weights.sum(axis=-1)

    def summarize(self) -> tuple[dict[str, dict[str, float]], dict[str, tuple[float, float]]]:
        """The rows of `metrics.summarize`, and the interval of every figure of "prediction".

        The intervals are percentiles of the replicates; there are none for a single image.
        """
        rows = self._replicate(0)
        if self._totals[0] < 2:
            return rows, {}
        drawn = np.flatnonzero(self._totals > 0)[1:]  # of two images, a seventh of the replicates has none
        replicates = [self._replicate(n)["prediction"] for n in drawn.tolist()]
        intervals = {name: [replicate[name] for replicate in replicates] for name in rows["prediction"]}
        percentiles = {name: np.percentile(values, _PERCENTILES) for name, values in intervals.items()}
        return rows, {name: (float(low), float(high)) for name, (low, high) in percentiles.items()}

    def _replicate(self, number: int) -> dict[str, dict[str, float]]:
        total = self._totals[number]
        return metrics.summarize(jax.tree.map(lambda sums: sums[number] / total, self._sums))


def _weights(index: int) -> np.ndarray:
    """How often an image counts in the set itself, once, and in every replicate: [1+R]."""
    drawn = np.random.default_rng((_SEED, index)).poisson(1.0, NUM_REPLICATES)
    return np.concatenate([[1.0], drawn])
