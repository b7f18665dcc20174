"""Color hints as people would give them, for training. On the devices, from a random key."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from colorgan import color, hint_planes

MAX_HINTS = 256
# Of the batches, which have no hints, so that the network colors without hints as before. Whole batches, since losses
# that compare the colors of a batch would otherwise be satisfied by images with hints, and those without become pale.
_SHARE_WITHOUT = 1 / 3
_SHARE_RECOLORED = 0.5  # of the images with hints
_MAX_SIZE = 9 / 128  # of a place, as a share of the image
# Of the noise of a hint's chroma, for a color from memory: less than CIEDE2000 3 for 99% of the colors of RGB.
_NOISE = 0.02
_NUM_CANDIDATES = 4  # of which the place with the least texture is chosen
_TEXTURE_WINDOW = 7 / 128  # as a share of the image


class Simulated(NamedTuple):
    """Images and their hints.

    Attributes:
      images: [B,S,S,3] in [-1,1], some with another color in a region; the luma is the same.
      planes: of `hint_planes`, [B,S,S,3].
    """

    images: jax.Array
    planes: jax.Array


def simulate(real: jax.Array, rng: jax.Array) -> Simulated:
    """Hints for images [B,S,S,3] in [-1,1].

    A third of the batches has none. In the others images have 1 to `MAX_HINTS`, small numbers as often as large ones
    (uniform in the logarithm), of 1 to 9 pixels at 128 px, with the mean chroma of the image there and some noise. In
    half of the images the places are random, in the others chosen within regions without texture, as people do. In some
    images a region has another color than in the photograph, and one hint at least is in it: the network learns to obey
    hints that are not likely.
    """
    batch, side = real.shape[:2]
    rngs = iter(jax.random.split(rng, 8))
    number = jnp.exp(jax.random.uniform(next(rngs), (batch,), maxval=math.log(MAX_HINTS + 1))).astype(jnp.int32)
    number = jnp.where(jax.random.bernoulli(next(rngs), _SHARE_WITHOUT), 0, number)
    gray = color.luma(real)
    places = _places(gray, next(rngs))  # [B,N,2]
    sizes = side * jax.random.uniform(next(rngs), places.shape[:2], maxval=_MAX_SIZE)
    is_recolored = jax.random.bernoulli(next(rngs), _SHARE_RECOLORED, (batch,)) & (number > 0)
    recolored = _recolor(real, gray, places[:, :1], next(rngs))
    real = jnp.where(is_recolored[:, None, None, None], recolored, real)
    chroma = hint_planes.means(color.rgb_to_chroma(real), places, sizes)
    chroma += _in_disk(next(rngs), chroma.shape[:2], _NOISE)
    weights = (jnp.arange(MAX_HINTS) < number[:, None]).astype(jnp.float32)
    return Simulated(real, hint_planes.render(places, sizes, chroma, weights, side))


def _places(gray: jax.Array, rng: jax.Array) -> jax.Array:
    """Centers (row, column) in pixels of `MAX_HINTS` places, [B,N,2]: random, or the flattest of some random ones."""
    batch, side = gray.shape[:2]
    place_rng, choice_rng = jax.random.split(rng)
    candidates = jax.random.uniform(place_rng, (batch, _NUM_CANDIDATES, MAX_HINTS, 2), maxval=side)
    pixels = candidates.astype(jnp.int32).clip(0, side - 1)
    texture = _texture(gray, max(1, round(_TEXTURE_WINDOW * side))).reshape(batch, -1)
    flat = (pixels[..., 0] * side + pixels[..., 1]).reshape(batch, -1)
    at_candidates = jnp.take_along_axis(texture, flat, axis=1).reshape(candidates.shape[:3])
    flattest = jnp.argmin(at_candidates, axis=1)
    is_flattest = jax.random.bernoulli(choice_rng, 0.5, (batch, 1))
    chosen = jnp.where(is_flattest, flattest, 0)
    return jnp.take_along_axis(candidates, chosen[:, None, :, None], axis=1)[:, 0]


def _texture(gray: jax.Array, size: int) -> jax.Array:
    """The variance of the luma [B,S,S,1] in a window around each pixel, [B,S,S]."""

    def mean(x: jax.Array) -> jax.Array:
        window = (1, size, size, 1)
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME") / size**2

    return (mean(gray**2) - mean(gray) ** 2)[..., 0]


def _recolor(real: jax.Array, gray: jax.Array, place: jax.Array, rng: jax.Array) -> jax.Array:
    """The images with another chroma in the region of `place` [B,1,2]: rotated, or moved to a random color.

    The region is what has a similar color, within a random distance.
    """
    batch, side = real.shape[:2]
    rngs = jax.random.split(rng, 5)
    chroma = color.rgb_to_chroma(real)
    values = jnp.concatenate([gray, 2 * chroma], axis=-1)
    at_place = hint_planes.means(values, place, jnp.full(place.shape[:2], 3 / 128 * side))  # [B,1,3]
    difference = jnp.sqrt(jnp.square(values - at_place[:, :, None]).sum(axis=-1))
    rows, columns = jnp.meshgrid(jnp.arange(side) + 0.5, jnp.arange(side) + 0.5, indexing="ij")
    away = jnp.stack([rows, columns], axis=-1) - place[:, :, None]
    distance = jnp.sqrt(jnp.square(away).sum(axis=-1)) / side
    similar = jax.random.uniform(rngs[0], (batch, 1, 1), minval=0.15, maxval=0.6)
    nearby = jax.random.uniform(rngs[1], (batch, 1, 1), minval=0.2, maxval=1.2)
    region = jax.nn.sigmoid((similar - difference) / 0.02) * jax.nn.sigmoid((nearby - distance) / 0.02)
    angle = jax.random.uniform(rngs[2], (batch, 1, 1), minval=math.pi / 4, maxval=7 * math.pi / 4)
    cos, sin, (blue, red) = jnp.cos(angle), jnp.sin(angle), jnp.moveaxis(chroma, -1, 0)
    rotated = jnp.stack([cos * blue - sin * red, sin * blue + cos * red], axis=-1)
    target = _in_disk(rngs[3], (batch, 1, 1), 0.5)
    moved = chroma + target - at_place[:, :, None, 1:] / 2
    other = jnp.where(jax.random.bernoulli(rngs[4], 0.5, (batch, 1, 1, 1)), rotated, moved)
    return color.chroma_to_rgb(gray, chroma + region[..., None] * (other - chroma))


def _in_disk(rng: jax.Array, shape: tuple[int, ...], radius: float) -> jax.Array:
    """Random vectors [...,2], uniform in a disk."""
    radius_rng, angle_rng = jax.random.split(rng)
    length = radius * jnp.sqrt(jax.random.uniform(radius_rng, shape))
    angle = jax.random.uniform(angle_rng, shape, maxval=2 * math.pi)
    return length[..., None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
