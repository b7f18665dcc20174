"""Epochs in steps."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Where epochs end, in steps: after the step that draws the last of an epoch's images."""

    num_images: int
    batch_size: int

    def finished(self, step: int) -> int:
        """How many epochs are over after `step` steps."""
        return step * self.batch_size // self.num_images

    def last_step(self, epoch: int) -> int:
        """The step that ends `epoch`, counted from 1."""
        return math.ceil(epoch * self.num_images / self.batch_size)

    def figures(self, step: int) -> dict[str, float]:
        """How many times the run has seen every image."""
        return {"train/epoch": step * self.batch_size / self.num_images}
