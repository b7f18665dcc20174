"""Losses that compare images pixel by pixel."""

import jax
import jax.numpy as jnp


def l1_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Mean absolute difference of images in [-1,1]: 0 to 2."""
    return jnp.abs(real - fake).mean()
