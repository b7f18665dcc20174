"""`procedural:COUNT`: synthetic images, drawn when they are read."""

import numpy as np

from colorgan.data.synthetic import scenes
from colorgan.errors import UserError


class ProceduralSource:
    """The synthetic images (`scenes.create_image`) with indices from 0 to `count` - 1.

    Args:
      count: the number of images, at least 1, as a string of digits.
      size: side of the images in pixels, at least 16.
      seed: the random seed, at least 0. Each seed gives other images.
    """

    def __init__(self, count: str, size: int, seed: int) -> None:
        self._count, self._size, self._seed = int(count), size, seed

    @staticmethod
    def check(count: str) -> None:
        """Raises UserError unless `count` is a positive number."""
        if not (count.isdecimal() and int(count) > 0):
            source = f"procedural:{count}"
            raise UserError(f"data source {source!r} needs a number of images, as in procedural:2000")

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> np.ndarray:
        """See `source.Source`."""
        return scenes.create_image(index, self._size, self._seed)

    def name(self, index: int) -> str:
        """See `source.Source`."""
        return f"scene_{index:06d}.png"
