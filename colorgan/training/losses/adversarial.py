"""The adversarial losses of both networks, of logits of any shape (not of sigmoids)."""

import jax
import jax.numpy as jnp
import optax


def critic_loss(logits_real: jax.Array, logits_fake: jax.Array) -> jax.Array:
    """The critic's loss: real images should get high logits, generated ones low logits.

    Cross entropy (Goodfellow et al. 2014, arXiv:1406.2661), a float32 scalar; 2 ln 2 = 1.386 for a critic that cannot
    tell them apart.
    """
    on_real = optax.sigmoid_binary_cross_entropy(logits_real, jnp.ones_like(logits_real))
    on_fake = optax.sigmoid_binary_cross_entropy(logits_fake, jnp.zeros_like(logits_fake))
    return on_real.mean() + on_fake.mean()


def generator_adversarial_loss(logits_fake: jax.Array) -> jax.Array:
    """The generator's adversarial loss: low if the critic gives its images high logits.

    Non-saturating (Goodfellow et al. 2014, section 3), a float32 scalar.
    """
    return optax.sigmoid_binary_cross_entropy(logits_fake, jnp.ones_like(logits_fake)).mean()
