"""The contact sheet of an evaluation: the best, the middle and the worst images of a set."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from colorgan.data.source import Source
from colorgan.errors import printable
from colorgan.evaluation import image_grid
from colorgan.evaluation.predictions import ExamplesFn, to_gray

NUM_EACH = 4
_CELL = 256  # pixels; larger images are made smaller
_NAME_LENGTH = 36  # letters that a cell has room for


def draw(source: Source, ranked: Sequence[int], color_all: ExamplesFn, heading: str) -> Image.Image:
    """The sheet, of images that are coloured once more for it.

    Args:
      source: the set.
      ranked: places in it, from the best image to the worst.
      color_all: colours and compares a set.
      heading: says what was evaluated.
    """
    groups = chosen(len(ranked))
    ranks = list(groups)
    gray, fake, real, captions = [], [], [], []
    for some in color_all(_Chosen(source, [ranked[rank] for rank in ranks])):
        figures = some.rows["prediction"]
        for n, place in enumerate(some.indices.tolist()):
            rank = ranks[place]
            gray.append(_thumbnail(to_gray(some.truths[n])))
            fake.append(_thumbnail(some.predictions[n]))
            real.append(_thumbnail(some.truths[n]))
            captions.append(
                (
                    f"{groups[rank]}: {rank + 1} of {len(ranked)}",
                    "AuC {auc:.3f}, PSNR {psnr:.1f}, SSIM {ssim:.2f}".format_map({k: v[n] for k, v in figures.items()}),
                    printable(source.name(ranked[rank]))[-_NAME_LENGTH:],
                )
            )
    return image_grid.draw_grid(gray, fake, real, captions, heading)


def chosen(num_images: int) -> dict[int, str]:
    """The ranks that a sheet shows, in order, each with the name of its group; all ranks of a small set."""
    middle = max(0, (num_images - NUM_EACH) // 2)
    groups = {"worst": max(0, num_images - NUM_EACH), "median": middle, "best": 0}  # where they overlap, the better
    names = {first + n: name for name, first in groups.items() for n in range(NUM_EACH) if first + n < num_images}
    return dict(sorted(names.items()))


class _Chosen:
    """Some images of a source."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> bytes | np.ndarray:
        return self._source.read(self._indices[index])

    def name(self, index: int) -> str:
        return self._source.name(self._indices[index])


def _thumbnail(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image)
    small.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
    return np.asarray(small)
