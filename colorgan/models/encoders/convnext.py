"""ConvNeXt as an encoder."""

from typing import ClassVar

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from colorgan.models.encoders.encoder import Encoder, SpatialConvolution
from colorgan.models.layers import KERNEL_INIT, MOMENTUM, Momentum

_EPSILON = 1e-6  # of LayerNorm


class ConvNeXt(Encoder):
    """ConvNeXt (Liu et al. 2022, arXiv:2201.03545) without its head. A feature is the output of a stage.

    It has no BatchNorm: `training`, `momentum` and `frozen_norm` change nothing.

    Attributes:
      depths: the number of blocks of each stage.
      dims: the channels of each stage.
    """

    depths: tuple[int, ...] = (3, 3, 9, 3)
    dims: tuple[int, ...] = (96, 192, 384, 768)

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)
    stem: ClassVar[str] = "stem.0"
    input_mean: ClassVar[tuple[float, ...]] = (0.485, 0.456, 0.406)  # of ImageNet
    input_std: ClassVar[tuple[float, ...]] = (0.229, 0.224, 0.225)

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of each feature."""
        return self.dims

    @nn.compact
    def __call__(self, gray: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM) -> list[jax.Array]:
        """See `Encoder`."""
        x = _dense(self.dims[0], self.dtype, "stem_0")(_patches(gray, 4))
        x = _norm(self.dtype, "stem_1")(x)
        features = []
        for s, (depth, channels) in enumerate(zip(self.depths, self.dims, strict=True)):
            if s > 0:
                x = _norm(self.dtype, f"stages_{s}_downsample_0")(x)
                x = _dense(channels, self.dtype, f"stages_{s}_downsample_1")(_patches(x, 2))
            for n in range(depth):
                x = _Block(self.dtype, self.platform, name=f"stages_{s}_blocks_{n}")(x)
            features.append(x)
        return features


class _Block(nn.Module):
    dtype: DTypeLike
    platform: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B,H,W,C] to [B,H,W,C]."""
        channels = x.shape[-1]
        y = SpatialConvolution(channels, 7, 1, True, True, self.dtype, self.platform, name="conv_dw")(x)
        y = _dense(4 * channels, self.dtype, "mlp_fc1")(_norm(self.dtype, "norm")(y))
        y = _dense(channels, self.dtype, "mlp_fc2")(nn.gelu(y, approximate=False))
        gamma = self.param("gamma", nn.initializers.constant(1e-6), (channels,))
        return x + gamma.astype(self.dtype) * y


def _dense(features: int, dtype: DTypeLike, name: str) -> nn.Dense:
    return nn.Dense(features, dtype=dtype, kernel_init=KERNEL_INIT, name=name)


def _norm(dtype: DTypeLike, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(_EPSILON, dtype=dtype, name=name)


def _patches(x: jax.Array, size: int) -> jax.Array:
    """Squares of pixels as channels, in the order of HWI: [B,H,W,C] to [B,H/size,W/size,size*size*C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, height // size, width // size, size * size * channels)
