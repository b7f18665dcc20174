"""Losses that compare the distributions of colors, of all images of a batch together."""

import jax
import jax.numpy as jnp

from colorgan import color

_PALETTE_SIDE, _PALETTE_IMAGES, _NUM_DIRECTIONS = 16, 64, 8
_BIN_WIDTH, _NUM_BINS = 0.04, 31  # of Cb and of Cr, from -0.6 to 0.6; values beyond count in the last bins


def palette_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Distance between the color distributions of the real and the generated images [B,H,W,3] in [-1,1].

    The L1 loss has its minimum at the median of the possible colors of a pixel, which is brown. This loss has its
    minimum where every color is as frequent as in the real images, wherever it is: the sliced Wasserstein distance
    (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3; as a loss Heitz et al. 2021, arXiv:2006.07229) of (Cb, Cr)
    over the global batch.
    """
    angles = jnp.arange(_NUM_DIRECTIONS) * (jnp.pi / _NUM_DIRECTIONS)
    directions = jnp.stack([jnp.cos(angles), jnp.sin(angles)])  # [2,K]

    def sorted_projections(image: jax.Array) -> jax.Array:
        return jnp.sort((_palettes(image)[:, :, None] * directions.T).sum(axis=-1), axis=1)

    return jnp.abs(sorted_projections(real) - sorted_projections(fake)).mean()


def histogram_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Total variation between the (Cb, Cr) histograms of the real and the generated images [B,H,W,3]: 0 to 1.

    `palette_loss` measures how far colors have to move, so rare colors and small errors hardly count. This loss
    measures how many pixels have a wrong color. Each pixel counts in the four nearest bins by bilinear weights
    (Ustinova and Lempitsky 2016, arXiv:1611.00822), which makes the histograms differentiable.
    """
    centers = (jnp.arange(_NUM_BINS) - _NUM_BINS // 2) * _BIN_WIDTH

    def histograms(image: jax.Array) -> jax.Array:
        palettes = jnp.clip(_palettes(image), centers[0], centers[-1])
        shares = jax.nn.relu(1 - jnp.abs(palettes[..., None] - centers) / _BIN_WIDTH)  # [P,N,2,K]
        counts = jnp.einsum("pni,pnj->pij", shares[:, :, 0], shares[:, :, 1], precision="highest")
        return counts / palettes.shape[1]

    return jnp.abs(histograms(real) - histograms(fake)).sum(axis=(1, 2)).mean() / 2


def _palettes(image: jax.Array) -> jax.Array:
    """(Cb, Cr) of a batch [B,H,W,3] averaged over blocks, `_PALETTE_SIDE` squared blocks for each image: [P,N,2].

    With single pixels instead of blocks, the generator learns pixels that differ from their neighbors. A large batch
    is divided into P equal parts of `_PALETTE_IMAGES` images or a few more. This bounds the cost of sorting for each
    image and keeps the meaning of the weights, since distances shrink as palettes grow.
    """
    batch, height, width, _ = image.shape
    side = min(height, _PALETTE_SIDE)
    blocks = image.reshape(batch, side, height // side, side, width // side, 3).mean(axis=(2, 4))
    num_parts = max((n for n in range(1, batch // _PALETTE_IMAGES + 1) if batch % n == 0), default=1)
    return color.rgb_to_chroma(blocks).reshape(num_parts, -1, 2)
