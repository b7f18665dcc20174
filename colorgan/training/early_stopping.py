"""The best validation of a run, and when to end a run that no longer improves."""

from collections.abc import Mapping
from typing import Any

from colorgan.evaluation.metrics import VERSION


class EarlyStopping:
    """Ends a run after a number of successive validations that were not better than the best one before them.

    DeOldify's NoGAN recipe does this by eye: adversarial training first improves the colors and later degrades them.
    A resumed run continues to count.

    Attributes:
      saved: JSON values for the checkpoint.
    """

    def __init__(self, patience: int, metric: str, images: str, saved: Mapping[str, Any]) -> None:
        """Watches a metric.

        Args:
          patience: the number of validations without improvement; 0 never ends the run.
          metric: its name; higher is better.
          images: describes the validation images.
          saved: from a checkpoint, or empty. Ignored if it is of another metric or of other images.
        """
        self._patience, self._metric = patience, metric
        new = {"metric": metric, "images": images, "best": None, "best_epoch": 0, "num_since_best": 0}
        new["metrics_version"] = VERSION
        is_same = all(saved.get(key) == new[key] for key in ("metric", "images"))
        self.saved: dict[str, Any] = dict(saved) if is_same else new
        # A value of another version is not comparable; the count stays, so that a run that has ended stays so.
        if self.saved.get("metrics_version", 1) != VERSION:
            self.saved |= {"best": None, "metrics_version": VERSION}

    def add(self, epoch: int, validation: Mapping[str, float]) -> None:
        """Adds the metrics of the validation after `epoch`."""
        value, best = validation[self._metric], self.saved["best"]
        # A new dict each time: a save may still be writing the old one.
        if best is None or value > best:
            self.saved = self.saved | {"best": value, "best_epoch": epoch, "num_since_best": 0}
        else:
            self.saved = self.saved | {"num_since_best": self.saved["num_since_best"] + 1}

    @property
    def best(self) -> str:
        """The best validation, as "best score 0.472 in epoch 15"; empty before the first validation."""
        if self.saved["best"] is None:
            return ""
        return f"best {self._metric.rpartition('/')[2]} {self.saved['best']:.3f} in epoch {self.saved['best_epoch']}"

    @property
    def is_last_best(self) -> bool:
        """Whether the last validation was the best."""
        return self.saved["num_since_best"] == 0

    @property
    def is_due(self) -> bool:
        """Whether the run should end."""
        return self._patience > 0 and self.saved["num_since_best"] >= self._patience
