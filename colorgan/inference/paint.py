"""From a photograph of any size to a network's input, and from the network's chroma to a photograph in color."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from colorgan import color
from colorgan.inference.guided_upsampling import GuidedChroma

_STRIP_PIXELS = 2**20  # of a photograph that are in memory as float32 at a time
_REDUCING_GAP = 3  # block means reduce an image to this multiple of its target size, as in `transforms.square`


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
    return np.asarray(image.resize(target, Image.Resampling.BICUBIC, box=(0, 0, width / block, height / block)))


def paint(
    pixels: np.ndarray,
    small: np.ndarray,
    chroma: np.ndarray,
    strength: float = 1.0,
    saturation: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Combines a photograph's luma with a network's chroma.

    Args:
      pixels: uint8 or uint16 [H,W], [H,W,1] or [H,W,3].
      small: its luma from `shrink`, [h,w].
      chroma: predicted for it, [h,w,2].
      strength: see `Colorizer.__call__`.
      saturation: see `Colorizer.__call__`.
      out: the array to write to and return, [H,W,3] of the type of `pixels`, which it may be; a new array by default.
    """
    if out is None:
        out = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    half = np.iinfo(pixels.dtype).max / 2
    guided = GuidedChroma(small, saturation * chroma, pixels.shape[:2])
    for top, gray in _strips(pixels, max(1, _STRIP_PIXELS // pixels.shape[1])):
        rgb = color.chroma_to_rgb(gray[..., None], guided.rows(gray, top))
        rgb = gray[..., None] + strength * (rgb - gray[..., None])
        out[top : top + len(gray)] = np.clip(np.rint((rgb + 1) * half), 0, 2 * half)
    return out


def _strips(pixels: np.ndarray, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """The luma of `num_rows` rows at a time, float32 [N,W] in [-1,1], with the number of the first row."""
    half = np.float32(np.iinfo(pixels.dtype).max / 2)
    for top in range(0, len(pixels), num_rows):
        strip = pixels[top : top + num_rows].astype(np.float32) / half - 1
        if strip.ndim == 3:
            strip = (color.luma(strip) if strip.shape[2] == 3 else strip)[..., 0]
        yield top, strip
