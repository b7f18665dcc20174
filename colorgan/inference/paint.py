"""From a photograph of any size to a network's input, and from the network's chroma to a photograph in color."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from PIL import Image

from colorgan import color
from colorgan.inference.guided_upsampling import GuidedChroma

_STRIP_PIXELS = 2**17  # of a photograph that are in memory as float32 at a time, so few that they stay in a cache
_OUTLIERS = 0.005  # share of pixels that levels ignore at each end
_MIN_RANGE = 0.1  # of luma: a photograph with less has no levels to find
WHOLE = (0.0, 1.0, 0.0, 1.0)  # a box: all of a photograph
_REDUCING_GAP = 3  # block means reduce an image to this multiple of its target size, as in `transforms.square`


class Levels(NamedTuple):
    """Luma in [-1,1] that is to be black, and white."""

    black: float
    white: float

    @classmethod
    def of(cls, gray: np.ndarray) -> Self:
        """The darkest and the brightest values of luma in [-1,1], without the few that are outliers."""
        black, white = np.percentile(gray, (100 * _OUTLIERS, 100 * (1 - _OUTLIERS)))
        return cls(float(black), float(white)) if white - black >= _MIN_RANGE else cls(-1.0, 1.0)

    @property
    def contrast(self) -> float:
        """The share of the range of luma between the two."""
        return (self.white - self.black) / 2

    def stretch(self, gray: np.ndarray) -> np.ndarray:
        """Luma in [-1,1] with full contrast, float32."""
        stretched = (gray - self.black) * np.float32(2 / (self.white - self.black)) - 1
        return np.clip(stretched, -1, 1)


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """The luma of uint8 or uint16 [H,W], [H,W,1] or [H,W,3] as input of a network: [h,w] in [-1,1], longer side `size`.

    Antialiased like training images: block means for large factors, then bicubic.
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    block = max(1, int(1 / scale / _REDUCING_GAP))
    reduced = [
        np.asarray(Image.fromarray(gray).reduce(block))
        for _, gray in _strips(pixels, max(1, _STRIP_PIXELS // (width * block)) * block)
    ]
    image = Image.fromarray(np.concatenate(reduced))
    target = max(1, round(width * scale)), max(1, round(height * scale))
    resized = image.resize(target, Image.Resampling.BICUBIC, box=(0, 0, width / block, height / block))
    return np.clip(
        np.asarray(resized), -1, 1
    )  # bicubic goes beyond the range at edges, which the networks have never seen


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A network's colors for a photograph, which `paint` applies to it at any size.

    Attributes:
      small: luma of the part that is colored, [h,w] in [-1,1], from `shrink`.
      chroma: for `small`, [h,w,2].
      box: the part that is colored, in shares of the height and the width: top, bottom, left, right.
      levels: to be written, and those of `small`; None for the photograph's own.
    """

    small: np.ndarray
    chroma: np.ndarray
    box: tuple[float, float, float, float] = WHOLE
    levels: Levels | None = None


def paint(
    pixels: np.ndarray,
    prediction: Prediction,
    strength: float = 1.0,
    saturation: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Combines a photograph's luma with a network's chroma.

    Args:
      pixels: uint8 or uint16 [H,W], [H,W,1] or [H,W,3].
      prediction: of this photograph. What is outside of its box stays as it is.
      strength: see `Colorizer.__call__`.
      saturation: see `Colorizer.__call__`.
      out: the array to write to and return, [H,W,3] of the type of `pixels`, which it may be; a new array by default.
    """
    height, width = pixels.shape[:2]
    if out is None:
        out = np.empty((height, width, 3), pixels.dtype)
    if prediction.box != WHOLE:
        out[:] = pixels.reshape(height, width, -1)
    top, bottom = (round(share * height) for share in prediction.box[:2])
    left, right = (round(share * width) for share in prediction.box[2:])
    pixels, inside = pixels[top:bottom, left:right], out[top:bottom, left:right]
    half = np.iinfo(pixels.dtype).max / 2
    guided = GuidedChroma(prediction.small, saturation * prediction.chroma, pixels.shape[:2])
    for first, gray in _strips(pixels, max(1, _STRIP_PIXELS // pixels.shape[1])):
        if prediction.levels:
            gray = prediction.levels.stretch(gray)
        rgb = color.chroma_to_rgb(gray[..., None], guided.rows(gray, first))
        rgb = gray[..., None] + strength * (rgb - gray[..., None])
        inside[first : first + len(gray)] = np.clip(np.rint((rgb + 1) * half), 0, 2 * half)
    return out


def _strips(pixels: np.ndarray, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """The luma of `num_rows` rows at a time, float32 [N,W] in [-1,1], with the number of the first row."""
    for top in range(0, len(pixels), num_rows):
        yield top, luma(pixels[top : top + num_rows])


def luma(pixels: np.ndarray) -> np.ndarray:
    """The luma of uint8 or uint16 [H,W], [H,W,1] or [H,W,3]: float32 [H,W] in [-1,1]."""
    values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max / 2) - 1
    if values.ndim == 3:
        values = (color.luma(values) if values.shape[2] == 3 else values)[..., 0]
    return values
