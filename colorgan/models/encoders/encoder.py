"""What the encoders share."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from colorgan.models.layers import MOMENTUM, Momentum, add_bias
from colorgan.models.spatial_convolutions import convolve, depthwise, pointwise


class Encoder(nn.Module):
    """Base class: a module of (gray [B,S,S,1], training, momentum) that returns features, finest first.

    Its modules are named after those of timm with _ for a dot, which `weights.convert` relies on.

    Attributes:
      dtype: the type of computation and of the features; parameters are float32.
      platform: how convolutions are computed: the fastest way for "cpu", "gpu" or "tpu".
      frozen_norm: whether BatchNorm uses the running averages in training too, and keeps them.
    """

    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"
    frozen_norm: bool = False

    strides: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32)  # of the features; S is a multiple of the last one
    stem: ClassVar[str]  # timm's name of the first convolution
    # Of the three channels, in [0,1], that the stem of pretrained weights expects to be normalized: [-1,1] here.
    input_mean: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)
    input_std: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of each feature."""
        raise NotImplementedError

    def __call__(self, gray: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM) -> list[jax.Array]:
        """Features [B,S/stride,S/stride,channels] for `strides` and `channels`, of gray [B,S,S,1] in [-1,1].

        Training normalizes by the batch (pass `mutable=["batch_stats"]`). `momentum` is that of the running averages of
        the batch statistics.
        """
        raise NotImplementedError


class PointwiseConvolution(nn.Module):
    """A 1x1 convolution without bias: its kernel is [C,features]. Computes in `dtype`."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B,H,W,C] to [B,H,W,features]."""
        kernel = self.param("kernel", nn.initializers.he_normal(), (x.shape[-1], self.features))
        return pointwise(x.astype(self.dtype), kernel.astype(self.dtype))


class SpatialConvolution(nn.Module):
    """A convolution of `spatial_convolutions` with its kernel, HWIO, and its bias. Computes in `dtype`.

    Attributes:
      features: the number of output channels; if `is_depthwise`, of input channels too.
      size: height and width of the kernel.
      stride: the step between outputs.
      is_depthwise: whether each output channel has one input channel.
      use_bias: whether it has a bias.
      dtype: the type of computation.
      platform: how it is computed: the fastest way for "cpu", "gpu" or "tpu".
    """

    features: int
    size: int
    stride: int = 1
    is_depthwise: bool = False
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `x` [B,H,W,C] to [B,H/stride,W/stride,features], with "same" padding."""
        shape = (self.size, self.size, 1 if self.is_depthwise else x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(self.dtype)
        convolve_fn = depthwise if self.is_depthwise else convolve
        y = convolve_fn(x.astype(self.dtype), kernel, self.stride, self.platform)
        if self.use_bias:
            y = add_bias(y, self.param("bias", nn.initializers.zeros, (self.features,)), self.platform)
        return y
