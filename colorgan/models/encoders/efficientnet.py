"""EfficientNet-Lite as an encoder."""

import math
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from colorgan.models.encoders.encoder import Encoder, PointwiseConvolution, SpatialConvolution
from colorgan.models.layers import MOMENTUM, BatchNorm, Momentum

_STEM_CHANNELS = 32


class Stage(NamedTuple):
    """Equal blocks, of which the first one has the stride and changes the number of channels."""

    size: int  # of the kernels
    stride: int
    expansion: int
    channels: int
    repeats: int


_STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)


class EfficientNetLite(Encoder):
    """EfficientNet (Tan and Le 2019, arXiv:1905.11946) with ReLU6 and without squeeze-and-excitation, without its head.

    As in https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, the stem's channels and the
    repeats of the first and the last stage are not scaled. A feature is the input of a block that halves the size, or
    the last output.

    Attributes:
      width: scales the channels.
      depth: scales the repeats.
    """

    width: float = 1.0
    depth: float = 1.0

    stem: ClassVar[str] = "conv_stem"

    @property
    def stages(self) -> list[Stage]:
        """The scaled stages."""
        repeats = [stage.repeats if stage.repeats == 1 else math.ceil(self.depth * stage.repeats) for stage in _STAGES]
        return [
            stage._replace(channels=_round_channels(self.width * stage.channels), repeats=n)
            for stage, n in zip(_STAGES, repeats, strict=True)
        ]

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of each feature."""
        stages = self.stages
        before = [stage.channels for stage, after in zip(stages, stages[1:], strict=False) if after.stride > 1]
        return (*before, stages[-1].channels)

    @nn.compact
    def __call__(self, gray: jax.Array, training: bool = False, momentum: Momentum = MOMENTUM) -> list[jax.Array]:
        """See `Encoder`."""
        stem = SpatialConvolution(_STEM_CHANNELS, 3, 2, dtype=self.dtype, platform=self.platform, name="conv_stem")
        x, _ = BatchNorm(self.dtype, self.frozen_norm, name="bn1")(stem(gray), training, momentum)
        x = nn.relu6(x)
        features = []
        for s, stage in enumerate(self.stages):
            if stage.stride > 1:
                features.append(x)
            for n in range(stage.repeats):
                block = _Block(
                    stage if n == 0 else stage._replace(stride=1),
                    self.dtype,
                    self.platform,
                    self.frozen_norm,
                    name=f"blocks_{s}_{n}",
                )
                x = block(x, training, momentum)
        return [*features, x]


class _Block(nn.Module):
    """An inverted residual block (MobileNetV2, Sandler et al. 2018, arXiv:1801.04381)."""

    stage: Stage
    dtype: DTypeLike
    platform: str
    frozen_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, training: bool, momentum: Momentum) -> jax.Array:
        """[B,H,W,C] to [B,H/stride,W/stride,channels]."""
        size, stride, expansion, channels, _ = self.stage
        inner = expansion * x.shape[-1]
        middle = SpatialConvolution(inner, size, stride, True, dtype=self.dtype, platform=self.platform, name="conv_dw")
        layers: list[nn.Module] = [
            middle,
            PointwiseConvolution(channels, self.dtype, name="conv_pwl" if expansion > 1 else "conv_pw"),
        ]
        if expansion > 1:
            layers.insert(0, PointwiseConvolution(inner, self.dtype, name="conv_pw"))
        y = x
        for n, layer in enumerate(layers, 1):
            y, _ = BatchNorm(self.dtype, self.frozen_norm, name=f"bn{n}")(layer(y), training, momentum)
            if n < len(layers):
                y = nn.relu6(y)
        return x + y if x.shape == y.shape else y


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, but at least 8, and not less than 90 %."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
