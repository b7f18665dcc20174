"""Epochs in steps."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Where epochs end: an epoch ends with the step that draws its last image."""

    num_images: int
    batch_size: int

    def finished(self, step: int) -> int:
        """The number of epochs that have ended after `step` steps."""
        return step * self.batch_size // self.num_images

    def last_step(self, epoch: int) -> int:
        """The last step of `epoch`. Steps and epochs are counted from 1."""
        return math.ceil(epoch * self.num_images / self.batch_size)

    def metrics(self, step: int) -> dict[str, float]:
        """`train/epoch` after `step` steps: the number of passes over the images, a fraction."""
        return {"train/epoch": step * self.batch_size / self.num_images}
