"""Damage like that of old photographs and their scans, for training and evaluation. Pure functions of JAX arrays."""

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from scipy import fft

from colorgan import color

if TYPE_CHECKING:
    from colorgan.data.pipeline import Images

Array = jax.Array

# Lengths are fractions of the image's side.
_MAX_BLUR = 0.012  # standard deviation
_MAX_GRAIN = 0.06  # standard deviation, for a range of 1
_MAX_BORDER = 0.2  # on each side
_NUM_SCRATCHES, _NUM_SPOTS = 3, 6  # at most
# Quantization of JPEG's luma at quality 50 (ITU-T T.81, table K.1).
_QUANTIZATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_COSINES = fft.dct(np.eye(8, dtype=np.float32), axis=0, norm="ortho")


def degrade_some(images: Array, rng: Array, share: float | jax.Array) -> Array:
    """Degrades each image [B,S,S,3] in [-1,1] with probability `share`."""
    choice_rng, image_rng = jax.random.split(rng)
    chosen = jax.random.bernoulli(choice_rng, share, (len(images), 1, 1, 1))
    return jnp.where(chosen, jax.vmap(degrade)(images, jax.random.split(image_rng, len(images))), images)


def degrade(image: Array, rng: Array) -> Array:
    """Damages the luma of an image, and keeps its colors, except in borders, scratches and spots, which are neutral.

    Each kind of damage has its own random strength and, except for grain and fading, occurs in a half or a third of the
    images: blur, fading, uneven exposure, grain, scratches, spots, a white, black or gray border, and JPEG's blocks.

    Args:
      image: [S,S,3] in [-1,1], S a multiple of 8.
      rng: a random key.

    Returns:
      An image like `image`, whose luma is the input for a network, and which is what the network should predict.
    """
    blur_rng, fade_rng, exposure_rng, grain_rng, scratch_rng, spot_rng, border_rng, jpeg_rng = jax.random.split(rng, 8)
    light = (color.luma(image)[..., 0] + 1) / 2  # [S,S] in [0,1]
    light = _blur(light, blur_rng)
    light = _fade(light, fade_rng)
    light = _expose(light, exposure_rng)
    light = jnp.clip(light + _grain(len(light), grain_rng), 0, 1)
    neutral = jnp.zeros_like(light)
    for cover, rng in ((_scratches, scratch_rng), (_spots, spot_rng), (_border, border_rng)):
        share, tone = cover(len(light), rng)
        light += share * (tone - light)
        neutral = jnp.maximum(neutral, share)
    gray = 2 * _compress(light, jpeg_rng) - 1
    return color.chroma_to_rgb(gray[..., None], color.rgb_to_chroma(image) * (1 - neutral)[..., None])


def _blur(light: Array, rng: Array) -> Array:
    """A Gaussian blur of half of the images; pixels at the edges are repeated."""
    size = len(light)
    chance, width = jax.random.uniform(rng, (2,))
    width *= jnp.where(chance < 1 / 2, _MAX_BLUR * size, 0)
    reach = max(1, round(3 * _MAX_BLUR * size))
    weights = jnp.exp(-((jnp.arange(-reach, reach + 1) / jnp.maximum(width, 1e-3)) ** 2) / 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = jnp.pad(light, [(reach, reach) if n == axis else (0, 0) for n in (0, 1)], mode="edge")
        slices = (jax.lax.slice_in_dim(padded, n, n + size, axis=axis) for n in range(len(weights)))
        light = sum((weights[n] * part for n, part in enumerate(slices)), jnp.zeros_like(light))
    return light


def _fade(light: Array, rng: Array) -> Array:
    """Less contrast, and other gray values in between."""
    low, high = jnp.array([-0.5, 0, 0.65]), jnp.array([0.5, 0.3, 1])
    exponent, black, white = jax.random.uniform(rng, (3,), minval=low, maxval=high)
    return black + (white - black) * jnp.maximum(light, 1e-3) ** jnp.exp(exponent)


def _expose(light: Array, rng: Array) -> Array:
    """Half of the images are lighter in some parts than in others."""
    strength_rng, field_rng = jax.random.split(rng)
    chance, strength = jax.random.uniform(strength_rng, (2,))
    field = jax.image.resize(jax.random.normal(field_rng, (3, 3)), light.shape, "linear")
    return light * jnp.exp(jnp.where(chance < 1 / 2, 0.3 * strength, 0) * field)


def _grain(size: int, rng: Array) -> Array:
    """Noise of pixels and of squares of 2 x 2 pixels, [S,S]."""
    strength_rng, fine_rng, coarse_rng = jax.random.split(rng, 3)
    strength, mixture = jax.random.uniform(strength_rng, (2,))
    fine, coarse = jax.random.normal(fine_rng, (size, size)), jax.random.normal(coarse_rng, (size // 2, size // 2))
    coarse = coarse.repeat(2, axis=0).repeat(2, axis=1)
    angle = mixture * jnp.pi / 2
    return _MAX_GRAIN * strength**2 * (jnp.cos(angle) * fine + jnp.sin(angle) * coarse)  # mostly weak


def _scratches(size: int, rng: Array) -> tuple[Array, Array]:
    """Straight lines in a third of the images: the share of each pixel that they cover, and the tone there, [S,S]."""
    numbers = jax.random.uniform(rng, (8, _NUM_SCRATCHES, 1, 1))
    left, top, right, bottom = 1.6 * numbers[0:4] - 0.3  # its ends may lie outside
    radius = jnp.where((numbers[4, 0] < 1 / 3) & (numbers[5] < 0.6), 0.001 + 0.004 * numbers[6], -1)
    x, y = _coordinates(size)
    width, height = right - left, bottom - top
    along = jnp.clip(((x - left) * width + (y - top) * height) / (width**2 + height**2), 0, 1)
    distance = jnp.sqrt((x - left - along * width) ** 2 + (y - top - along * height) ** 2)
    return _cover(distance, radius, numbers[7])


def _spots(size: int, rng: Array) -> tuple[Array, Array]:
    """Discs in a third of the images; see `_scratches`."""
    numbers = jax.random.uniform(rng, (5, _NUM_SPOTS, 1, 1))
    radius = jnp.where(numbers[2, 0] < 1 / 3, 0.003 + 0.03 * numbers[3] ** 3, -1)
    x, y = _coordinates(size)
    distance = jnp.sqrt((x - numbers[0]) ** 2 + (y - numbers[1]) ** 2)
    return _cover(distance, radius, numbers[4])


def _coordinates(size: int) -> tuple[Array, Array]:
    """X [1,S] and y [S,1] of the pixels as fractions of the side."""
    axis = (jnp.arange(size) + 0.5) / size
    return axis[None, :], axis[:, None]


def _cover(distance: Array, radius: Array, number: Array) -> tuple[Array, Array]:
    """Shapes with soft edges, from the distances [N,S,S] of all pixels from their centers.

    Most of them are white, as where emulsion is gone; the others black, as from dust on a negative.
    """
    shares = jnp.clip((radius - distance) * distance.shape[-1] + 0.5, 0, 1)
    tones = jnp.where(number < 0.6, 1 - number / 3, number - 0.6)  # 0.8 to 1, or 0 to 0.4
    return shares.max(axis=0), (shares * tones).sum(axis=0) / jnp.maximum(shares.sum(axis=0), 1e-6)


def _border(size: int, rng: Array) -> tuple[Array, Array]:
    """A frame around a third of the images: white, black, or gray like the page of an album; see `_scratches`."""
    chance, kind, tone, width, *sides = jax.random.uniform(rng, (8,))
    tones = jnp.array([1 - 0.1 * tone, 0.1 * tone, 0.2 + 0.6 * tone])
    width *= jnp.where(chance < 1 / 3, _MAX_BORDER, 0)
    left, right, top, bottom = ((1 + side) / 2 * width for side in sides)
    x, y = _coordinates(size)
    is_inside = (x >= left) & (x <= 1 - right) & (y >= top) & (y <= 1 - bottom)
    return 1.0 - is_inside, jnp.broadcast_to(tones[jnp.int32(3 * kind)], (size, size))


def _compress(light: Array, rng: Array) -> Array:
    """Half of the images have the blocks of a JPEG file, of quality 12 to 75."""
    chance, strength = jax.random.uniform(rng, (2,))
    size = len(light)
    step = (0.5 + 3.5 * strength) * _QUANTIZATION / 255
    blocks = light.reshape(size // 8, 8, size // 8, 8).swapaxes(1, 2)
    transform = functools.partial(jnp.einsum, "ij,abjk,lk->abil", precision="highest")  # all bits on an accelerator too
    coefficients = jnp.round(transform(_COSINES, blocks, _COSINES) / step) * step
    blocks = transform(_COSINES.T, coefficients, _COSINES.T)
    compressed = jnp.clip(blocks.swapaxes(1, 2).reshape(size, size), 0, 1)
    return jnp.where(chance < 1 / 2, compressed, light)


class DegradedSource:
    """Square images, degraded, each always in the same way: a `Source`."""

    def __init__(self, images: "Images") -> None:
        """`images`: their side is a multiple of 8 pixels."""
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> np.ndarray:
        """uint8 [S,S,3]. Raises an exception of any type for a record that cannot be read."""
        return np.asarray(_degrade_pixels(self._images.decode(index), index))

    def name(self, index: int) -> str:
        """See `Source`."""
        return self._images.source.name(index)


@jax.jit
def _degrade_pixels(pixels: Array, index: Array) -> Array:
    """uint8 [S,S,3] to the same; the random numbers follow from `index`."""
    degraded = degrade(color.to_signed(pixels), jax.random.fold_in(jax.random.key(0), index))
    return color.to_pixels(degraded).astype(jnp.uint8)
