"""Color hints as planes: the input by which a generator learns the colors of places. NumPy or JAX arrays.

A place is a square of one color. The planes [B,S,S,3] are Cb, Cr (as in `color.chroma_to_rgb`) and a mask, 1 where
there is a hint; all are 0 elsewhere. This is the "local hints" input of Zhang et al. 2017 (arXiv:1705.02999).
"""

from typing import Any

import jax
import numpy as np

Array = Any  # numpy.ndarray or jax.Array

# Side of a place as a share of the square: the 7 of 256 pixels that Zhang et al. reveal.
PLACE_SIZE = 7 / 256


def render(places: Array, sizes: Array, chroma: Array, weights: Array, side: int) -> Array:
    """The planes [B,side,side,3] of hints, float32.

    A pixel gets the mean color of the hints that cover it, weighted with their weights.

    Args:
      places: centers as (row, column) in pixels, [B,N,2]; the first pixel is from 0 to 1. What is outside of the square
        colors nothing.
      sizes: sides of the places in pixels, [B,N]; at least the pixel with the center is covered.
      chroma: Cb and Cr, [B,N,2].
      weights: [B,N]; 0 for no hint.
      side: of the square in pixels.
    """
    xp = places.__array_namespace__()
    rows, columns = _covered(places, sizes, side)
    values = xp.concatenate([chroma, xp.ones_like(chroma[..., :1])], axis=-1) * weights[..., None]
    sums = _einsum("bnh,bnw,bnc->bhwc", rows, columns, values)
    total = sums[..., 2:]
    return xp.where(total > 0, sums / xp.where(total > 0, total, 1.0), 0.0).astype(np.float32)


def means(image: Array, places: Array, sizes: Array) -> Array:
    """The mean [B,N,C] of `image` [B,S,S,C] in each place, see `render`."""
    rows, columns = _covered(places, sizes, image.shape[1])
    sums = _einsum("bnh,bhwc,bnw->bnc", rows, image, columns)
    num_pixels = rows.sum(axis=-1) * columns.sum(axis=-1)
    return sums / num_pixels.clip(1)[..., None]


def _covered(places: Array, sizes: Array, side: int) -> tuple[Array, Array]:
    """Which rows, and which columns, each place covers: float32 [B,N,side]."""
    xp = places.__array_namespace__()
    centers = xp.arange(side, dtype=np.float32) + np.float32(0.5)
    reach = xp.maximum(sizes, 1.0)[..., None] / 2
    rows, columns = (
        # With one end only, so that a place of one pixel between two pixels does not cover both.
        ((centers - places[..., axis, None] > -reach) & (centers - places[..., axis, None] <= reach)).astype(np.float32)
        for axis in (0, 1)
    )
    return rows, columns


def _einsum(formula: str, first: Array, second: Array, third: Array) -> Array:
    if isinstance(first, np.ndarray):
        return np.einsum(formula, first, second, third, optimize=True)
    return jax.numpy.einsum(formula, first, second, third, precision="highest")
