"""The critic: how probably a colour image is the true one for its gray image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorgan.models.convolutions import convolve, convolve_down
from colorgan.models.layers import LEAK, BatchNorm, Convolution

HIDDEN_WIDTH = 100


class Critic(nn.Module):
    """Three halvings, one more convolution, and two dense layers, as in the seed; ends in a logit, not a sigmoid.

    Attributes:
      width: channels of the first layer (64 in the seed); then 2, 4 and 4 times as many, up to `max_width`.
      max_width: the most channels of a layer.
      dtype: what it computes in; parameters and output are float32.
      lowering: how convolutions are computed, see `convolutions.lowering_for`.
    """

    width: int
    max_width: int
    dtype: Any = jnp.float32
    lowering: str = "native"

    @nn.compact
    def __call__(self, gray: jax.Array, color: jax.Array, training: bool = False) -> jax.Array:
        """gray [B,S,S,1] and color [B,S,S,3], both in [-1,1], to logits [B], float32.

        The sigmoid of a logit is the probability that the colours are true. Training normalises by the batch
        (pass `mutable=["batch_stats"]`).
        """
        pieces = [gray, color]
        layers = ((1, convolve_down), (2, convolve_down), (4, convolve_down), (4, convolve))
        for n, (multiple, convolve_fn) in enumerate(layers):
            width = min(multiple * self.width, self.max_width)
            x = Convolution(width, convolve_fn, self.dtype, self.lowering, normalized=n > 0)(*pieces)
            if n > 0:
                x, _ = BatchNorm(self.dtype)(x, training)
            x = nn.leaky_relu(x, LEAK)
            pieces = [x]
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(HIDDEN_WIDTH, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        x, _ = BatchNorm(self.dtype)(x, training)
        x = nn.leaky_relu(x, LEAK)
        x = nn.Dense(1, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        return x[:, 0].astype(jnp.float32)
