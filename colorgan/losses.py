"""Losses of the GAN: pure functions of logits and images, each a mean over the batch (a float32 scalar)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from colorgan import color

_PALETTE_SIDE, _NUM_DIRECTIONS = 16, 8


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the two networks are trained for.

    Attributes:
      adversarial: "cross_entropy" or "hinge".
      l1_weight: of the L1 loss, beside an adversarial loss of weight 1.
      chroma_weight: see `l1_loss`.
      palette_weight: of `palette_loss`.
      warmup_steps: for so many the generator has no adversarial loss, while the critic learns to tell its images.
    """

    adversarial: str
    l1_weight: float
    chroma_weight: float
    palette_weight: float
    warmup_steps: int


def critic_loss(kind: str, logits_real: jax.Array, logits_fake: jax.Array) -> jax.Array:
    """What the critic minimises: true images should be called true, made ones not. Logits of any shape, not sigmoids.

    "cross_entropy" is that of Goodfellow et al. 2014 (arXiv:1406.2661); 2 ln 2 = 1.386 where the critic knows nothing.
    "hinge" (Lim and Ye 2017, arXiv:1705.02894) leaves logits alone that are beyond 1 on their side, so that the
    critic's effort goes to what it cannot tell yet; 2 where it knows nothing.
    """
    if kind == "hinge":
        return (jax.nn.relu(1 - logits_real) + jax.nn.relu(1 + logits_fake)).mean()
    on_real = optax.sigmoid_binary_cross_entropy(logits_real, jnp.ones_like(logits_real))
    on_fake = optax.sigmoid_binary_cross_entropy(logits_fake, jnp.zeros_like(logits_fake))
    return on_real.mean() + on_fake.mean()


def generator_adversarial_loss(kind: str, logits_fake: jax.Array) -> jax.Array:
    """What the generator minimises of made images' logits: they should be called true.

    "cross_entropy", non-saturating, or for "hinge" the negative mean.
    """
    if kind == "hinge":
        return -logits_fake.mean()
    return optax.sigmoid_binary_cross_entropy(logits_fake, jnp.ones_like(logits_fake)).mean()


def l1_loss(real: jax.Array, fake: jax.Array, chroma_weight: float = 0.0) -> jax.Array:
    """Mean absolute difference of [B,H,W,3] images in [-1,1], 0 to 2, weighted by the true colour.

    A pixel counts 1 + `chroma_weight` * c times, c being the length of the true (Cb, Cr), about 0 to 1.2: most pixels
    are nearly gray, and without weights their median pulls all colours to brown. The class rebalancing of Zhang et al.
    2016 (arXiv:1603.08511) for a loss without classes: rare is, above all, what is vivid.
    """
    difference = jnp.abs(real - fake)
    if not chroma_weight:
        return difference.mean()
    weights = 1 + chroma_weight * jnp.linalg.norm(color.rgb_to_chroma(real), axis=-1, keepdims=True)
    return (difference * weights).mean() / weights.mean()


def palette_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """How far the colours of the made images [B,H,W,3], all taken together, are from those of the true ones.

    The L1 loss is least at the median of what a pixel may be, which is brown; this is least where browns, blues and
    greens are as frequent as in truth, whatever their places, and takes the shortest way there: sliced Wasserstein
    distance (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3; as a loss Heitz et al. 2021, arXiv:2006.07229) of
    (Cb, Cr) over the global batch, in blocks whose means make each image `_PALETTE_SIDE` squared. Single pixels in
    their place would learn to stand out from their neighbours.
    """
    angles = jnp.arange(_NUM_DIRECTIONS) * (jnp.pi / _NUM_DIRECTIONS)
    directions = jnp.stack([jnp.cos(angles), jnp.sin(angles)])  # [2,K]

    def sorted_projections(image: jax.Array) -> jax.Array:
        batch, height, width, _ = image.shape
        side = min(height, _PALETTE_SIDE)
        blocks = image.reshape(batch, side, height // side, side, width // side, 3).mean(axis=(2, 4))
        chroma = color.rgb_to_chroma(blocks).reshape(-1, 2)
        return jnp.sort((chroma[:, :, None] * directions).sum(axis=1), axis=0)

    return jnp.abs(sorted_projections(real) - sorted_projections(fake)).mean()
