"""When training no longer helps."""

from collections.abc import Mapping
from typing import Any


class EarlyStop:
    """Ends a run once so many validations in a row were no better than the best before them.

    What DeOldify's NoGAN recipe does by eye: adversarial training gives the best colours after a while, and then spoils
    them. A run that goes on counts from where it was.

    Attributes:
      saved: JSON values, what a checkpoint keeps of it.
    """

    def __init__(self, patience: int, metric: str, saved: Mapping[str, Any]) -> None:
        """Looks at `metric`, higher is better; `patience` 0 never ends. `saved` is a checkpoint's, or empty."""
        self._patience, self._metric = patience, metric
        new = {"metric": metric, "best": None, "num_since_best": 0}
        self.saved: dict[str, Any] = dict(saved) if saved.get("metric") == metric else new

    def add(self, validation: Mapping[str, float]) -> None:
        """Takes the figures of one more validation."""
        value, best = validation[self._metric], self.saved["best"]
        # New ones: a save may still be writing the old.
        if best is None or value > best:
            self.saved = self.saved | {"best": value, "num_since_best": 0}
        else:
            self.saved = self.saved | {"num_since_best": self.saved["num_since_best"] + 1}

    @property
    def is_due(self) -> bool:
        """Whether the run is over."""
        return self._patience > 0 and self.saved["num_since_best"] >= self._patience
