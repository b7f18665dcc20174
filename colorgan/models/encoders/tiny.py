"""An encoder for tests."""

from typing import ClassVar

import flax.linen as nn
import jax

from colorgan.models.encoders.encoder import Encoder, SpatialConvolution
from colorgan.models.layers import MOMENTUM, BatchNorm, Momentum


class TinyEncoder(Encoder):
    """Five 3x3 convolutions of stride 2, each with BatchNorm: 4,564 values."""

    stem: ClassVar[str] = "conv.0"

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of each feature."""
        return (4, 8, 8, 16, 16)

    @nn.compact
    def __call__(self, gray: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM) -> list[jax.Array]:
        """See `Encoder`."""
        features = [gray]
        for n, channels in enumerate(self.channels):
            convolution = SpatialConvolution(channels, 3, 2, dtype=self.dtype, platform=self.platform, name=f"conv_{n}")
            x, _ = BatchNorm(self.dtype, self.frozen_norm, name=f"bn_{n}")(
                convolution(features[-1]), training, momentum
            )
            features.append(nn.relu6(x))
        return features[1:]
