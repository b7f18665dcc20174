"""The critics: how probable it is that a color image, or each part of it, is the real one for its gray image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from colorgan.models.convolutions import convolve, convolve_down
from colorgan.models.layers import LEAK, MOMENTUM, BatchNorm, Convolution, ConvolveFn, Momentum

HIDDEN_WIDTH = 100
# Channels in multiples of the width, and the convolution, of the layers that both critics have.
_LAYERS = ((1, convolve_down), (2, convolve_down), (4, convolve_down), (4, convolve))


class Critic(nn.Module):
    """Base class: a module of (gray [B,S,S,1], color [B,S,S,3], training, momentum) that returns logits [B,...].

    The sigmoid of a logit is the probability that the colors are real.

    Attributes:
      width: channels of the first layer (64 in the baseline); then 2, 4 and 4 times as many, up to `max_width`.
      max_width: the maximum number of channels of a layer.
      dtype: the type of computation; parameters and output are float32.
      platform: how convolutions are computed: the fastest way for "cpu", "gpu" or "tpu".
    """

    width: int
    max_width: int
    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"


class DenseCritic(Critic):
    """The baseline's critic: convolutions with BatchNorm, and two dense layers that judge the image as a whole."""

    @nn.compact
    def __call__(
        self, gray: jax.Array, color: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM
    ) -> jax.Array:
        """Logits, float32 [B], of gray [B,S,S,1] and color [B,S,S,3], both in [-1,1].

        Training normalizes by the batch (pass `mutable=["batch_stats"]`). `momentum` is that of the running averages of
        the batch statistics.
        """
        inputs = [gray, color]
        for n, (multiple, convolve_fn) in enumerate(_LAYERS):
            width = min(multiple * self.width, self.max_width)
            x = Convolution(width, convolve_fn, self.dtype, self.platform, use_bias=n == 0)(*inputs)
            if n > 0:
                x, _ = BatchNorm(self.dtype)(x, training, momentum)
            x = nn.leaky_relu(x, LEAK)
            inputs = [x]
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(HIDDEN_WIDTH, use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        x, _ = BatchNorm(self.dtype)(x, training, momentum)
        x = nn.leaky_relu(x, LEAK)
        x = nn.Dense(1, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x)
        return x[:, 0].astype(jnp.float32)


class PatchCritic(Critic):
    """Judges overlapping patches, each by a logit (PatchGAN, Isola et al. 2017, arXiv:1611.07004).

    The layout of the image is left to the L1 loss. Spectral norm (Miyato et al. 2018, arXiv:1802.05957) instead of
    BatchNorm bounds the critic's slope.
    """

    @nn.compact
    def __call__(
        self, gray: jax.Array, color: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM
    ) -> jax.Array:
        """Logits of patches, float32 [B,S/8,S/8], of gray [B,S,S,1] and color [B,S,S,3], both in [-1,1].

        Training improves the estimates of the spectral norms (pass `mutable=["batch_stats"]`). `momentum` is not used.
        """
        del momentum

        def convolution(features: int, convolve_fn: ConvolveFn, *inputs: jax.Array) -> jax.Array:
            layer = Convolution(features, convolve_fn, self.dtype, self.platform)
            y: jax.Array = nn.SpectralNorm(layer)(*inputs, update_stats=training)
            return y

        inputs = [gray, color]
        for multiple, convolve_fn in _LAYERS:
            width = min(multiple * self.width, self.max_width)
            inputs = [nn.leaky_relu(convolution(width, convolve_fn, *inputs), LEAK)]
        return convolution(1, convolve, *inputs)[..., 0].astype(jnp.float32)
