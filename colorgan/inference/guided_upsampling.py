"""Scales the chroma of a network up to a photograph's size, guided by its luma. NumPy, in strips."""

import numpy as np
from PIL import Image

_RADIUS = 1  # of the guided filter's windows, in the network's pixels
# The variance of luma, in [-1,1], above which chroma follows it. Of 1e-4 to 0.1, and radius 1 and 2, these have the
# least error on photographs whose real chroma was reduced by factors of 4, 8 and 15 and scaled up again.
_EPSILON = 0.03


class GuidedChroma:
    """Chroma at a photograph's size, with edges at the edges of its luma.

    The fast guided filter (He and Sun 2015, arXiv:1505.00996): in every window of the small image chroma is modeled as
    a linear function of luma, and the slopes are scaled up to the photograph's size. Here they are applied to the
    difference of the photograph's luma from the upsampled small one, and added to bicubic interpolation: chroma that
    does not follow the luma is no worse than by interpolation alone.
    """

    def __init__(self, gray: np.ndarray, chroma: np.ndarray, size: tuple[int, int]) -> None:
        """Small luma [h,w] and chroma [h,w,C], float32, and the photograph's (height, width) in pixels."""
        mean, chroma_mean = _window_mean(gray[..., None]), _window_mean(chroma)
        variance = _window_mean(gray[..., None] ** 2) - mean**2
        slope = (_window_mean(gray[..., None] * chroma) - mean * chroma_mean) / (variance + _EPSILON)
        self._gray, self._chroma, self._slope = gray[..., None], chroma, _window_mean(slope)
        self._size = size

    def rows(self, gray: np.ndarray, top: int) -> np.ndarray:
        """Chroma [N,W,C] of the N rows from `top` on, with the photograph's luma `gray` [N,W]."""
        small_gray, chroma, slope = (self._enlarge(x, top, len(gray)) for x in (self._gray, self._chroma, self._slope))
        return chroma + slope * (gray[..., None] - small_gray)

    def _enlarge(self, small: np.ndarray, top: int, num_rows: int) -> np.ndarray:
        height, width = self._size
        scale = small.shape[0] / height
        box = (0, top * scale, small.shape[1], min((top + num_rows) * scale, small.shape[0]))
        enlarged = [
            np.asarray(Image.fromarray(plane).resize((width, num_rows), Image.Resampling.BICUBIC, box=box))
            for plane in np.ascontiguousarray(np.moveaxis(small, -1, 0))
        ]
        return np.stack(enlarged, axis=-1)


def _window_mean(x: np.ndarray) -> np.ndarray:
    """[h,w,C]: means over square windows; pixels at the edges are repeated."""
    padded = np.pad(x, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="edge")
    side = 2 * _RADIUS + 1
    windows = [padded[r : r + x.shape[0], c : c + x.shape[1]] for r in range(side) for c in range(side)]
    return sum(windows, np.zeros_like(x)) / np.float32(side**2)
