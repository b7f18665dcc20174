"""The critic: how probably a colour image, or each part of it, is the true one for its gray image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorgan.models.convolutions import convolve, convolve_down
from colorgan.models.layers import LEAK, MOMENTUM, BatchNorm, Convolution, Momentum

HIDDEN_WIDTH = 100


class Critic(nn.Module):
    """Three halvings, one more convolution, and a head that ends in logits, not in a sigmoid.

    "dense" is the seed's: BatchNorm, and two dense layers that judge the image as a whole. "patch" judges overlapping
    patches, each by a logit (PatchGAN, Isola et al. 2017, arXiv:1611.07004), which leaves the image's layout to the
    L1 loss; spectral norm (Miyato et al. 2018, arXiv:1802.05957) in place of BatchNorm keeps its slopes bounded.

    Attributes:
      width: channels of the first layer (64 in the seed); then 2, 4 and 4 times as many, up to `max_width`.
      max_width: the most channels of a layer.
      kind: "dense" or "patch".
      dtype: what it computes in; parameters and output are float32.
      lowering: how convolutions are computed, see `convolutions.lowering_for`.
    """

    width: int
    max_width: int
    kind: str = "dense"
    dtype: Any = jnp.float32
    lowering: str = "native"

    @nn.compact
    def __call__(
        self, gray: jax.Array, color: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM
    ) -> jax.Array:
        """gray [B,S,S,1] and color [B,S,S,3], both in [-1,1], to logits, float32: [B], or [B,S/8,S/8] of patches.

        The sigmoid of a logit is the probability that the colours are true. Training normalises by the batch, or
        makes spectral norms more exact (pass `mutable=["batch_stats"]`). `momentum` is that of the batch statistics'
        running averages.
        """
        is_patch = self.kind == "patch"

        def apply(layer: nn.Module, *inputs: jax.Array) -> jax.Array:
            y: jax.Array = nn.SpectralNorm(layer)(*inputs, update_stats=training) if is_patch else layer(*inputs)
            return y

        pieces = [gray, color]
        layers = ((1, convolve_down), (2, convolve_down), (4, convolve_down), (4, convolve))
        for n, (multiple, convolve_fn) in enumerate(layers):
            width = min(multiple * self.width, self.max_width)
            has_norm = n > 0 and not is_patch
            x = apply(Convolution(width, convolve_fn, self.dtype, self.lowering, normalized=has_norm), *pieces)
            if has_norm:
                x, _ = BatchNorm(self.dtype)(x, training, momentum)
            x = nn.leaky_relu(x, LEAK)
            pieces = [x]
        if is_patch:
            x = apply(Convolution(1, convolve, self.dtype, self.lowering), x)
            return x[..., 0].astype(jnp.float32)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(HIDDEN_WIDTH, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        x, _ = BatchNorm(self.dtype)(x, training, momentum)
        x = nn.leaky_relu(x, LEAK)
        x = nn.Dense(1, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        return x[:, 0].astype(jnp.float32)
