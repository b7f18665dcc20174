"""The baseline's generator."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorgan.models import hints as hint_layers
from colorgan.models.convolutions import convolve_down, convolve_up
from colorgan.models.generator import OUTPUT_CHANNELS, Generator
from colorgan.models.layers import LEAK, MOMENTUM, BatchNorm, Convolution, Momentum, Normalized

NUM_DROPOUTS, DROPOUT = 3, 0.5  # the decoder's first layers, which see little more than the latent vector
Skip = tuple[jax.Array, Normalized]  # [B,H,W,C], and the input of its LeakyReLU


class UNet(Generator):
    """The baseline's: a U-Net of 4x4 convolutions with stride 2 (pix2pix, Isola et al. 2017, arXiv:1611.07004).

    The encoder halves the image down to 1x1, so its depth is log2(image_size): at 128 px it has the widths
    64-128-256-512-512-512 and then 512 for the latent vector. The decoder mirrors it with skip concatenations.

    Attributes:
      image_size: a power of two, at least 32.
      width: channels of the first layer; each layer doubles them, up to `max_width`.
      max_width: the maximum number of channels of a layer, and the length of the latent vector.
    """

    def setup(self) -> None:
        """Creates the layers."""
        depth = self.image_size.bit_length() - 2  # layers with a skip connection
        widths = [min(self.width << n, self.max_width) for n in range(depth)]
        decoder_widths = [min(2 * width, self.max_width) for width in reversed(widths)]
        convolution = functools.partial(Convolution, dtype=self.dtype, platform=self.platform)
        self.encoder = [convolution(w, convolve_down, use_bias=n == 0) for n, w in enumerate(widths)]
        self.encoder_norms = [BatchNorm(self.dtype) for _ in widths[1:]]
        self.bottleneck = convolution(self.max_width, convolve_down)
        self.decoder = [convolution(w, convolve_up, use_bias=False) for w in decoder_widths]
        self.decoder_norms = [BatchNorm(self.dtype) for _ in decoder_widths]
        self.dropout = nn.Dropout(DROPOUT)
        self.to_color = convolution(OUTPUT_CHANNELS[self.output], convolve_up)
        if self.takes_hints:
            layer = functools.partial(hint_layers.HintLayer, dtype=self.dtype, platform=self.platform)
            self.latent_hints = hint_layers.HintStatistics(self.max_width, self.dtype)
            self.decoder_hints = [layer(w) for w in (*decoder_widths, OUTPUT_CHANNELS[self.output])]

    def encode(
        self,
        gray: jax.Array,
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> tuple[jax.Array, list[Skip]]:
        """Encodes gray [B,S,S,1] in [-1,1] to latent vectors [B,1,max_width] and the skip connections."""
        x = gray
        skips = []
        for n, convolution in enumerate(self.encoder):
            x = convolution(x)
            normalized = Normalized.without_change(x)
            if n > 0:
                x, normalized = self.encoder_norms[n - 1](x, training, momentum)
            x = nn.leaky_relu(x, LEAK)
            skips.append((x, normalized))
        latent = self.bottleneck(x)  # [B,1,1,max_width]
        if hints is not None:
            latent += self.latent_hints(hints)[:, None, None]
        return nn.relu(latent)[:, 0], skips

    def decode(
        self,
        latent: jax.Array,
        skips: list[Skip],
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> jax.Array:
        """The outputs of `encode` to RGB [B,S,S,3] or chroma [B,S,S,2], depending on `output`, in (-1,1), float32."""
        pieces: tuple[jax.Array, ...] = (latent[:, None],)
        rectified = None
        for n, (convolution, norm) in enumerate(zip(self.decoder, self.decoder_norms, strict=True)):
            x = convolution(*pieces, rectified=rectified)
            if hints is not None:
                x += self.decoder_hints[n](pieces[0], hints)
            x, normalized = norm(x, training, momentum)
            if n < NUM_DROPOUTS:
                x = self.dropout(x, deterministic=not training)
                normalized = Normalized.without_change(x)
            skip, normalized_skip = skips[-1 - n]
            pieces = nn.relu(x), nn.relu(skip)
            rectified = normalized, normalized_skip  # the ReLU of a LeakyReLU is the ReLU of its input
        x = self.to_color(*pieces, rectified=rectified)
        if hints is not None:
            x += self.decoder_hints[-1](pieces[0], hints)
        return nn.tanh(x.astype(jnp.float32))
