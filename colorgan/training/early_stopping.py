"""The best validation of a run, and when training no longer helps."""

from collections.abc import Mapping
from typing import Any


class EarlyStop:
    """Ends a run once so many validations in a row were no better than the best before them.

    What DeOldify's NoGAN recipe does by eye: adversarial training gives the best colours after a while, and then spoils
    them. A run that goes on counts from where it was.

    Attributes:
      saved: JSON values, what a checkpoint keeps of it.
    """

    def __init__(self, patience: int, metric: str, images: str, saved: Mapping[str, Any]) -> None:
        """Looks at `metric`, higher is better, of the validation `images`; `patience` 0 never ends.

        `saved` is a checkpoint's, or empty; that of another metric or other images says nothing.
        """
        self._patience, self._metric = patience, metric
        new = {"metric": metric, "images": images, "best": None, "best_epoch": 0, "num_since_best": 0}
        is_same = all(saved.get(key) == new[key] for key in ("metric", "images"))
        self.saved: dict[str, Any] = dict(saved) if is_same else new

    def add(self, epoch: int, validation: Mapping[str, float]) -> None:
        """Takes the figures of one more validation, after `epoch`."""
        value, best = validation[self._metric], self.saved["best"]
        # New ones: a save may still be writing the old.
        if best is None or value > best:
            self.saved = self.saved | {"best": value, "best_epoch": epoch, "num_since_best": 0}
        else:
            self.saved = self.saved | {"num_since_best": self.saved["num_since_best"] + 1}

    @property
    def best(self) -> str:
        """What was best, as "best score 0.472 in epoch 15"; empty before the first validation."""
        if self.saved["best"] is None:
            return ""
        return f"best {self._metric.rpartition('/')[2]} {self.saved['best']:.3f} in epoch {self.saved['best_epoch']}"

    @property
    def is_due(self) -> bool:
        """Whether the run is over."""
        return self._patience > 0 and self.saved["num_since_best"] >= self._patience
