"""Metrics of steps that the device has not finished yet, and steps that are skipped because one is not finite."""

import logging
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from colorgan.errors import UserError

_MAX_AHEAD = 3  # steps that the host dispatches ahead of the one that is finished

log = logging.getLogger(__name__)


class StepMetrics(struct.PyTreeNode):
    """The metrics of a step as one array, which comes from the device in one transfer.

    Attributes:
      values: float32 [N].
      names: of the values.
    """

    values: jax.Array
    names: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def create(cls, metrics: Mapping[str, ArrayLike]) -> "StepMetrics":
        """From scalars by name."""
        return cls(jnp.stack([jnp.asarray(value, jnp.float32) for value in metrics.values()]), tuple(metrics))

    def fetch(self) -> dict[str, float]:
        """Scalars by name; waits for the device."""
        return dict(zip(self.names, np.asarray(self.values).tolist(), strict=True))


class PendingMetrics:
    """Metrics of steps, left on the device until they are needed.

    They also keep the host from running far ahead, with a batch in memory for every unfinished step.

    Attributes:
      skipped: the number of steps that changed nothing because a metric was not finite: "in_all", and "in_a_row" up
        to the last step that was taken.
    """

    def __init__(self, max_skipped_in_a_row: int, skipped: Mapping[str, int]) -> None:
        """`skipped` is that of the checkpoint from which the run resumes, or empty."""
        self._steps: list[tuple[int, StepMetrics]] = []
        self._max_in_a_row = max_skipped_in_a_row
        self.skipped = {"in_all": 0, "in_a_row": 0} | dict(skipped)

    def add(self, step: int, metrics: StepMetrics) -> None:
        """Adds the metrics of a step. Waits for the step `_MAX_AHEAD` steps before."""
        self._steps.append((step, metrics))
        jax.block_until_ready([metrics for _, metrics in self._steps[-1 - _MAX_AHEAD : -_MAX_AHEAD]])

    def take(self, before: int | None = None) -> dict[str, float]:
        """The metrics of the last step (before the step `before`), empty if there is none; drops it and all earlier.

        Of a skipped step, those that are finite.

        Raises:
          UserError: more steps in a row than may be skipped have a metric that is not finite. Names the first.
        """
        taken = [(step, metrics) for step, metrics in self._steps if before is None or step < before]
        self._steps = self._steps[len(taken) :]
        finite: dict[str, float] = {}
        for step, metrics in [(step, fetched.fetch()) for step, fetched in jax.device_get(taken)]:
            finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
            if len(finite) == len(metrics):
                self.skipped = self.skipped | {"in_a_row": 0}  # a new dict: a save may still be writing the old one
                continue
            if self.skipped["in_a_row"] == self._max_in_a_row:
                check_finite(step, metrics)
            self.skipped = {name: count + 1 for name, count in self.skipped.items()}
            names = ", ".join(sorted(metrics.keys() - finite.keys()))
            log.warning("step %d skipped: not finite are %s", step, names)
        return finite | {"train/skipped_steps": self.skipped["in_all"]} if taken else {}


def check_finite(step: int, metrics: Mapping[str, float]) -> None:
    """Raises UserError with the name of the metric and the step, if one is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise UserError(
                f"{name} is {value} at step {step}: the run cannot continue. Its checkpoints are kept; try a lower "
                "learning rate or another seed, with another --workdir"
            )
