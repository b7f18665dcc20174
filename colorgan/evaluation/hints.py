"""Color hints taken from real images, at random places that are the same in every evaluation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from colorgan import color, hint_planes

_SEED = 0


def random_places(indices: Sequence[int], num_hints: int) -> np.ndarray:
    """Places for the images of a set, float32 [B,num_hints,2], as (row, column) in fractions of the image.

    They follow from the position of an image in its set. More hints are those before, and others.
    """
    places = [np.random.default_rng((_SEED, index)).random((num_hints, 2), np.float32) for index in indices]
    return np.stack(places)


def true_planes(real: jax.Array, places: jax.Array) -> jax.Array:
    """The planes [B,S,S,3] of `hint_planes` with the mean chroma of images at places.

    Zhang et al. 2017 (arXiv:1705.02999) evaluate with such hints of this size.

    Args:
      real: images [B,S,S,3] in [-1,1].
      places: of `random_places`, [B,N,2].
    """
    side = real.shape[1]
    sizes = jnp.full(places.shape[:2], side * hint_planes.PLACE_SIZE)
    chroma = hint_planes.means(color.rgb_to_chroma(real), side * places, sizes)
    return hint_planes.render(side * places, sizes, chroma, jnp.ones_like(sizes), side)
