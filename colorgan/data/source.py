"""What the input pipeline needs of a source of images."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """Images by index. Keeps names or file offsets, not pixels, since it is pickled and sent to the data workers."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | np.ndarray:
        """Returns one image.

        Args:
          index: from 0 to the number of images - 1.

        Returns:
          An encoded image in a format of `transforms.FORMATS`, or RGB pixels, uint8 [H,W,3].

        Raises:
          Exception: of any type, for a record that cannot be read.
        """

    def name(self, index: int) -> str:
        """Returns the image's name, such as its relative path. Raises nothing.

        It is used in messages, and decides whether the image is held out for validation: see `held_out`.
        The name comes from the data and can contain any character of a file name: print it with `errors.printable`,
        and do not write to it.
        """
