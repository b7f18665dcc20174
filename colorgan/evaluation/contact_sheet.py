"""The contact sheet of an evaluation: the best, the median and the worst images of a set."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from colorgan.data.source import Source
from colorgan.errors import printable
from colorgan.evaluation import image_grid
from colorgan.evaluation.predictions import PredictSetFn, to_gray

NUM_EACH = 4
_CELL = 256  # pixels; larger images are reduced
_NAME_LENGTH = 36  # characters that fit below a cell


def draw(source: Source, ranked: Sequence[int], predict_set: PredictSetFn, heading: str) -> Image.Image:
    """Draws the sheet. Its images are predicted again, since a report does not keep them.

    Args:
      source: the set.
      ranked: positions in it, from the best image to the worst.
      predict_set: colors and compares a set.
      heading: describes the evaluation.
    """
    groups = chosen_ranks(len(ranked))
    ranks = list(groups)
    gray, fake, real, captions = [], [], [], []
    for some in predict_set(_Subset(source, [ranked[rank] for rank in ranks])):
        values = some.rows.prediction.values
        for n, position in enumerate(some.indices.tolist()):
            rank = ranks[position]
            gray.append(_thumbnail(to_gray(some.truths[n])))
            fake.append(_thumbnail(some.predictions[n]))
            real.append(_thumbnail(some.truths[n]))
            captions.append(
                (
                    f"{groups[rank]}: {rank + 1} of {len(ranked)}",
                    f"AuC {values['auc'][n]:.3f}, PSNR {values['psnr'][n]:.1f}, SSIM {values['ssim'][n]:.2f}",
                    printable(source.name(ranked[rank]))[-_NAME_LENGTH:],
                )
            )
    return image_grid.draw_grid(gray, fake, real, captions, heading)


def chosen_ranks(num_images: int) -> dict[int, str]:
    """The ranks that a sheet shows, in order, each with the name of its group; all ranks of a small set."""
    median = max(0, (num_images - NUM_EACH) // 2)
    groups = {"worst": max(0, num_images - NUM_EACH), "median": median, "best": 0}  # the better where they overlap
    names = {first + n: name for name, first in groups.items() for n in range(NUM_EACH) if first + n < num_images}
    return dict(sorted(names.items()))


class _Subset:
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
