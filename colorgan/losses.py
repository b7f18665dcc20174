"""Losses of the GAN: pure functions of logits and images, each a mean over the batch (a float32 scalar)."""

import jax
import jax.numpy as jnp
import optax


def critic_loss(logits_real: jax.Array, logits_fake: jax.Array) -> jax.Array:
    """Cross-entropy of the critic: true images should be called true, made ones not. Logits [B], not sigmoids.

    Goodfellow et al. 2014 (arXiv:1406.2661); 2 ln 2 = 1.386 where the critic knows nothing.
    """
    on_real = optax.sigmoid_binary_cross_entropy(logits_real, jnp.ones_like(logits_real))
    on_fake = optax.sigmoid_binary_cross_entropy(logits_fake, jnp.zeros_like(logits_fake))
    return on_real.mean() + on_fake.mean()


def generator_adversarial_loss(logits_fake: jax.Array) -> jax.Array:
    """Cross-entropy of the generator, non-saturating: made images [B] should be called true."""
    return optax.sigmoid_binary_cross_entropy(logits_fake, jnp.ones_like(logits_fake)).mean()


def l1_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Mean absolute difference of [B,H,W,3] images in [-1,1]: 0 to 2."""
    return jnp.abs(real - fake).mean()
