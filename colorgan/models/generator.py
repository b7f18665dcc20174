"""What all generators share: from a gray image, and maybe color hints, to a latent vector to a color image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from colorgan import color
from colorgan.models.layers import MOMENTUM, Momentum

OUTPUT_CHANNELS = {"rgb": 3, "chroma": 2}


class Generator(nn.Module):
    """Base class: a module of (gray [B,S,S,1], training, momentum, hints) that returns RGB [B,S,S,3].

    Attributes:
      image_size: side S of the square input in pixels.
      width: channels of the finest layer.
      max_width: the maximum number of channels of a layer.
      output: "rgb", three channels as in the baseline, with a brightness of their own; or "chroma", two channels that
        color the input and keep its luma (as in Lab, Zhang et al. 2016, arXiv:1603.08511, but within the range of RGB).
      dtype: the type of computation; parameters and output are float32.
      platform: how convolutions are computed: the fastest way for "cpu", "gpu" or "tpu".
      takes_hints: whether it has the parameters of `models.hints`, only with the output "chroma".
    """

    image_size: int
    width: int
    max_width: int
    output: str = "rgb"
    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"
    takes_hints: bool = False

    def __call__(
        self,
        gray: jax.Array,
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> jax.Array:
        """Predicts RGB [B,S,S,3] in [-1,1], float32, from gray [B,S,S,1] in [-1,1].

        Training normalizes by the batch (pass `mutable=["batch_stats"]`) and may use dropout (pass a "dropout" rng);
        otherwise the output for an image depends only on that image. `momentum` is that of the running averages of the
        batch statistics. `hints` are planes [B,S,S,3], see `hint_planes`; none are the same as planes of 0.
        """
        if self.takes_hints and self.is_initializing():
            hints = jnp.zeros((*gray.shape[:3], 3))
        latent, skips = self.encode(gray, training, momentum, hints)
        decoded = self.decode(latent, skips, training, momentum, hints)
        return decoded if self.output == "rgb" else color.chroma_to_rgb(gray, decoded)

    def encode(
        self,
        gray: jax.Array,
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> tuple[jax.Array, list[Any]]:
        """Encodes gray [B,S,S,1] in [-1,1] to latent vectors [B,1,N] and what the decoder gets besides.

        Hints are part of the latent vectors alone.
        """
        raise NotImplementedError

    def decode(
        self,
        latent: jax.Array,
        skips: list[Any],
        training: bool = False,
        momentum: Momentum = MOMENTUM,
        hints: jax.Array | None = None,
    ) -> jax.Array:
        """The outputs of `encode` to RGB [B,S,S,3] or chroma [B,S,S,2], depending on `output`, in (-1,1), float32."""
        raise NotImplementedError


def predict(generator: Generator, variables: Any, gray: jax.Array, hints: jax.Array | None = None) -> jax.Array:
    """The generator in inference: gray [B,S,S,1] in [-1,1] and hints, or none, to RGB [B,S,S,3] in [-1,1], float32."""
    rgb: Any = generator.apply(variables, gray, hints=hints)
    return rgb
