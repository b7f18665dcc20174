"""The layers that both networks are made of."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

KERNEL_INIT = nn.initializers.normal(0.02)
LEAK = 0.2  # slope of LeakyReLU below zero, as in the seed

Array = jax.Array


class Convolution(nn.Module):
    """One of the three of `convolutions`, with its kernel and bias. Computes in `dtype`, keeps float32."""

    features: int
    convolve_fn: Callable[[Array, Array, str], Array]
    dtype: Any = jnp.float32
    lowering: str = "native"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", KERNEL_INIT, (4, 4, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return self.convolve_fn(x, kernel, self.lowering) + bias


class BatchNorm(nn.Module):
    """Batch normalisation with Keras' constants (epsilon 1e-3, momentum 0.99), as the seed has it.

    In training the statistics are those of the global batch, over all devices; else the running averages.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, training: bool) -> Array:
        return nn.BatchNorm(use_running_average=not training, momentum=0.99, epsilon=1e-3, dtype=self.dtype)(x)
