"""Losses of the GAN: pure functions of logits and images, each a mean over the batch (a float32 scalar)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from colorgan import color

_PALETTE_SIDE, _PALETTE_IMAGES, _NUM_DIRECTIONS = 16, 64, 8
_BIN_WIDTH, _NUM_BINS = 0.04, 31  # of Cb and of Cr, from -0.6 to 0.6; what little lies beyond is in the last ones


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the two networks are trained for.

    Attributes:
      l1_weight: of the L1 loss, beside an adversarial loss of weight 1.
      palette_weight: of `palette_loss`.
      histogram_weight: of `histogram_loss`.
    """

    l1_weight: float
    palette_weight: float
    histogram_weight: float


def critic_loss(logits_real: jax.Array, logits_fake: jax.Array) -> jax.Array:
    """What the critic minimises: true images should be called true, made ones not. Logits of any shape, not sigmoids.

    Cross entropy (Goodfellow et al. 2014, arXiv:1406.2661); 2 ln 2 = 1.386 where the critic knows nothing.
    """
    on_real = optax.sigmoid_binary_cross_entropy(logits_real, jnp.ones_like(logits_real))
    on_fake = optax.sigmoid_binary_cross_entropy(logits_fake, jnp.zeros_like(logits_fake))
    return on_real.mean() + on_fake.mean()


def generator_adversarial_loss(logits_fake: jax.Array) -> jax.Array:
    """What the generator minimises of made images' logits: they should be called true. Non-saturating."""
    return optax.sigmoid_binary_cross_entropy(logits_fake, jnp.ones_like(logits_fake)).mean()


def l1_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Mean absolute difference of images in [-1,1]: 0 to 2."""
    return jnp.abs(real - fake).mean()


def palette_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """How far the colours of the made images [B,H,W,3], all taken together, are from those of the true ones.

    The L1 loss is least at the median of what a pixel may be, which is brown; this is least where browns, blues and
    greens are as frequent as in truth, whatever their places, and takes the shortest way there: sliced Wasserstein
    distance (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3; as a loss Heitz et al. 2021, arXiv:2006.07229) of
    (Cb, Cr) over the global batch.
    """
    angles = jnp.arange(_NUM_DIRECTIONS) * (jnp.pi / _NUM_DIRECTIONS)
    directions = jnp.stack([jnp.cos(angles), jnp.sin(angles)])  # [2,K]

    def sorted_projections(image: jax.Array) -> jax.Array:
        return jnp.sort((_palettes(image)[:, :, None] * directions.T).sum(axis=-1), axis=1)

    return jnp.abs(sorted_projections(real) - sorted_projections(fake)).mean()


def histogram_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """What share of the colours of the made images [B,H,W,3], all taken together, the true ones do not have: 0 to 1.

    `palette_loss` counts how far colours are from where they should be, and hardly sees those that are rare or near;
    this one counts how many: total variation between (Cb, Cr) histograms, in which each colour counts in the four bins
    around it by how near they are (Ustinova and Lempitsky 2016, arXiv:1611.00822), so that it has a slope.
    """
    centers = (jnp.arange(_NUM_BINS) - _NUM_BINS // 2) * _BIN_WIDTH

    def histograms(image: jax.Array) -> jax.Array:
        palettes = jnp.clip(_palettes(image), centers[0], centers[-1])
        shares = jax.nn.relu(1 - jnp.abs(palettes[..., None] - centers) / _BIN_WIDTH)  # [P,N,2,K]
        counts = jnp.einsum("pni,pnj->pij", shares[:, :, 0], shares[:, :, 1], precision="highest")
        return counts / palettes.shape[1]

    return jnp.abs(histograms(real) - histograms(fake)).sum(axis=(1, 2)).mean() / 2


def _palettes(image: jax.Array) -> jax.Array:
    """(Cb, Cr) of the batch [B,H,W,3] in blocks whose means make each image `_PALETTE_SIDE` squared: [P,N,2].

    Single pixels in their place would learn to stand out from their neighbours. Large batches are P equal parts of
    `_PALETTE_IMAGES`, or as few more as divide the batch: sorting costs no more an image, and weights mean the same
    (distances shrink as palettes grow).
    """
    batch, height, width, _ = image.shape
    side = min(height, _PALETTE_SIDE)
    blocks = image.reshape(batch, side, height // side, side, width // side, 3).mean(axis=(2, 4))
    num_parts = max((n for n in range(1, batch // _PALETTE_IMAGES + 1) if batch % n == 0), default=1)
    return color.rgb_to_chroma(blocks).reshape(num_parts, -1, 2)
