"""Color spaces and value ranges: pure functions of JAX arrays or, where noted, also of NumPy arrays."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

ArrayT = TypeVar("ArrayT", np.ndarray, jax.Array)

# Rec. 601 luma. The baseline rounds the first weight to 0.2989; these sum to 1, so that a gray image is its own luma.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)


def to_signed(image: jax.Array) -> jax.Array:
    """uint8 0..255 to float32 in [-1,1]."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_pixels(image: jax.Array) -> jax.Array:
    """float32 in [-1,1] to float32 in 0..255, rounded as a uint8 image would be. Inverse of `to_signed`."""
    return jnp.clip(jnp.round((image + 1.0) * 127.5), 0.0, 255.0)


def luma(rgb: ArrayT) -> ArrayT:
    """[...,3] RGB to [...,1] luma, in the range of the input. NumPy or JAX arrays."""
    red, green, blue = LUMA_WEIGHTS
    return red * rgb[..., 0:1] + green * rgb[..., 1:2] + blue * rgb[..., 2:3]


def gray_to_rgb(gray: jax.Array) -> jax.Array:
    """[...,1] luma to [...,3] with R=G=B."""
    return jnp.repeat(gray, 3, axis=-1)


def chroma_to_rgb(gray: ArrayT, chroma: ArrayT) -> ArrayT:
    """The RGB image [...,3] with a luma [...,1] and a chroma [...,2]. NumPy or JAX arrays.

    Chroma that exceeds the range of RGB is scaled down, which keeps the luma and the hue: `luma` of the result is
    `gray`, except for rounding.

    Args:
      gray: luma in [-1,1].
      chroma: Cb and Cr in [-1,1]: those of JFIF (Rec. 601, full range) times two, since the luma has twice the range.
    """
    xp = gray.__array_namespace__()
    red, green, blue = LUMA_WEIGHTS
    red_less_luma = 2 * (1 - red) * chroma[..., 1:2]
    blue_less_luma = 2 * (1 - blue) * chroma[..., 0:1]
    green_less_luma = -(red * red_less_luma + blue * blue_less_luma) / green  # so that their luma is 0
    color = xp.concatenate([red_less_luma, green_less_luma, blue_less_luma], axis=-1)
    room = 1 - xp.sign(color) * gray  # to the end of the range, in the direction of the color
    share = room / xp.maximum(xp.abs(color), room + 1e-6)  # at most 1; never divides by 0
    # NumPy's own minimum over three values takes a third of the time of coloring a photograph.
    smallest = xp.minimum(xp.minimum(share[..., 0:1], share[..., 1:2]), share[..., 2:3])
    return gray + color * smallest


def rgb_to_chroma(rgb: ArrayT) -> ArrayT:
    """RGB [...,3] in [-1,1] to (Cb, Cr) [...,2] as in `chroma_to_rgb`; their length is at most about 1.2.

    NumPy or JAX arrays.
    """
    red, _, blue = LUMA_WEIGHTS
    gray = luma(rgb)
    return rgb.__array_namespace__().concatenate(
        [(rgb[..., 2:3] - gray) / (2 * (1 - blue)), (rgb[..., 0:1] - gray) / (2 * (1 - red))], axis=-1
    )


# sRGB (IEC 61966-2-1) to CIE XYZ under D65, rounded as in scikit-image, and the white point.
_RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(rgb: ArrayT) -> ArrayT:
    """Converts sRGB [...,3] in 0..255 to CIE L*a*b* under D65. NumPy or JAX arrays.

    L is from 0 to 100, a from -86 to 98, b from -108 to 94.
    """
    xp = rgb.__array_namespace__()
    rgb = rgb / 255.0
    linear = xp.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    red, green, blue = linear[..., 0], linear[..., 1], linear[..., 2]

    def root(weights: tuple[float, float, float], white: float) -> Any:
        # No matrix product, which may use fewer bits on an accelerator.
        value = weights[0] / white * red + weights[1] / white * green + weights[2] / white * blue
        return xp.where(value > 0.008856, value ** (1 / 3), 7.787 * value + 16.0 / 116.0)

    x, y, z = (root(weights, white) for weights, white in zip(_RGB_TO_XYZ, _WHITE, strict=True))
    return xp.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)
