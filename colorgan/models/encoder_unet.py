"""A generator around an encoder that may be pretrained."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from colorgan.models import hints as hint_layers
from colorgan.models.encoders.encoder import Encoder, SpatialConvolution
from colorgan.models.generator import OUTPUT_CHANNELS, Generator
from colorgan.models.layers import KERNEL_INIT, MOMENTUM, BatchNorm, Momentum
from colorgan.models.upsampling import upsample_bilinear

LATENT_SIZE = 512
LEAK = 0.1  # slope of LeakyReLU below zero in the decoder


class EncoderUNet(Generator):
    """A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) over the features of an encoder.

    The latent vector is computed from the mean of the deepest features. The decoder begins with these features and the
    latent vector; each of its blocks doubles the size and appends the encoder's features of that size, if there are
    any. The last block has half of the image's size, and its output is enlarged.

    Attributes:
      width: channels of the block at a quarter of the image's size: 2, 4 ... times as many at smaller sizes, up to
        `max_width`, and half as many in the last block.
      max_width: the maximum number of channels of a block.
      create_encoder: a function of the fields of `Encoder`.
      frozen_norm: see `Encoder`.
    """

    create_encoder: Callable[..., Encoder] = Encoder
    frozen_norm: bool = False

    def setup(self) -> None:
        """Creates the layers."""
        self.encoder = self.create_encoder(dtype=self.dtype, platform=self.platform, frozen_norm=self.frozen_norm)
        self.latent = nn.Dense(LATENT_SIZE, dtype=self.dtype)
        self.from_latent = nn.Dense(self.encoder.channels[-1], dtype=self.dtype, kernel_init=KERNEL_INIT)
        self.decoder = [
            _DecoderBlock(min(self.width * stride // 4, self.max_width), self.dtype, self.platform)
            for stride in self._strides()
        ]
        if self.takes_hints:
            self.latent_hints = hint_layers.HintStatistics(LATENT_SIZE, self.dtype)
        self.to_color = SpatialConvolution(
            OUTPUT_CHANNELS[self.output], 3, use_bias=True, dtype=self.dtype, platform=self.platform
        )

    def encode(
        self,
        gray: jax.Array,
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Encodes gray [B,S,S,1] in [-1,1] to latent vectors [B,1,512] and the encoder's features, finest first."""
        features = self.encoder(gray, training, momentum)
        latent = self.latent(features[-1].mean(axis=(1, 2)))
        if hints is not None:
            latent += self.latent_hints(hints)
        return nn.relu(latent)[:, None], features

    def decode(
        self,
        latent: jax.Array,
        skips: list[jax.Array],
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> jax.Array:
        """The outputs of `encode` to RGB [B,S,S,3] or chroma [B,S,S,2], depending on `output`, in (-1,1), float32."""
        by_stride = dict(zip(self.encoder.strides, skips, strict=True))
        x = skips[-1] + self.from_latent(latent)[:, None]
        for stride, block in zip(self._strides(), self.decoder, strict=True):
            x = block(x, by_stride.get(stride), training, momentum, hints)
        return nn.tanh(upsample_bilinear(self.to_color(x).astype(jnp.float32), self.platform))

    def _strides(self) -> list[int]:
        """The image's size divided by that of each block: 16, 8, 4, 2."""
        return [self.encoder.strides[-1] >> n for n in range(1, self.encoder.strides[-1].bit_length() - 1)]


class _DecoderBlock(nn.Module):
    features: int
    dtype: DTypeLike
    platform: str

    @nn.compact
    def __call__(
        self, x: jax.Array, skip: jax.Array | None, training: bool, momentum: Momentum, hints: jax.Array | None
    ) -> jax.Array:
        """[B,H,W,C], [B,2H,2W,D] and hints [B,S,S,3] to [B,2H,2W,features]."""
        before, x = x, upsample_bilinear(x, self.platform)
        if skip is not None:
            x = jnp.concatenate([x, skip], axis=-1)
        for n in range(2):
            x = SpatialConvolution(self.features, 3, dtype=self.dtype, platform=self.platform)(x)
            if n == 0 and hints is not None:
                x += hint_layers.HintLayer(self.features, self.dtype, self.platform)(before, hints)
            x, _ = BatchNorm(self.dtype)(x, training, momentum)
            x = nn.leaky_relu(x, LEAK)
        return x
