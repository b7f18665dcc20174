"""The distance of images in the features of a pretrained encoder."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from colorgan.models.build import Variables
    from colorgan.models.encoders.encoder import Encoder


_EPSILON = 1e-4  # added to squared lengths: features near 0 would have gradients of any size


def feature_loss(encoder: "Encoder", variables: "Variables", real: jax.Array, fake: jax.Array) -> jax.Array:
    """The mean squared distance of normalized features of the real and the generated images [B,S,S,3]: 0 to 4.

    As in LPIPS (Zhang et al. 2018, arXiv:1801.03924) each feature is scaled to length 1 over its channels, without
    LPIPS' weights of channels. The features of all strides of the encoder have the same weight.

    Args:
      encoder: takes color images.
      variables: its weights, which stay the same.
      real: in [-1,1].
      fake: like `real`.
    """

    def features(image: jax.Array) -> list[jax.Array]:
        outputs: Any = encoder.apply(variables, image)
        return [_normalize(feature.astype(jnp.float32)) for feature in outputs]

    distances = [((a - b) ** 2).sum(axis=-1).mean() for a, b in zip(features(real), features(fake), strict=True)]
    return sum(distances, jnp.zeros(())) / len(distances)


def _normalize(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt((x**2).sum(axis=-1, keepdims=True) + _EPSILON)
