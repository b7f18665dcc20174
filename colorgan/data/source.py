"""The interface of a source of images."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """Images by index. It holds names, not pixels, and is sent to data workers by pickle."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | np.ndarray:
        """An encoded image, or uint8 RGB [H,W,3]. Raises an exception of any type for a record that cannot be read."""

    def name(self, index: int) -> str:
        """The name of the image in messages: its relative path, if it has one; never a path to write to.

        It may hold any character of a file name (see `errors.printable`). Raises nothing.
        """
