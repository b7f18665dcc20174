"""How color hints enter a generator: as an addition that is 0 without hints, and before it is trained."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.typing import DTypeLike

from colorgan.models.spatial_convolutions import convolve
from colorgan.models.upsampling import upsample_bilinear

_MAX_GRID = 32  # side of the largest features in which colors are passed on
_MAX_KEYS = 16  # side of the grid from which they are passed on
# Distances, as shares of the image, over which a color is passed on; initial values, one for each head.
_DISTANCES = (0.1, 0.4)
_SIMILARITY = 10.0  # initial factor of the similarity, -1 to 1, of two places
_NO_HINT = 4.0  # initial: a place that is less similar, by exp(-4), gets most of its color from no hint
_KEY_SIZE = 32  # of the features by which places are similar


class HintLayer(nn.Module):
    """An addition to features of a decoder, from hints and from the features of the layer before.

    Each place looks for hints in similar places nearby and gets their mean color, and the share of its attention that
    they have; the rest goes to "no hint" (attention as in UniColor, arXiv:2209.11223, and iColoriT, arXiv:2207.06831,
    but with the hints' colors as values, so that a color is passed on unchanged). A convolution of these and of the
    hints themselves is the addition. It has no biases, and its kernel is 0 at first.

    Attributes:
      features: the number of channels of the addition.
      dtype: the type of computation.
      platform: how convolutions are computed: the fastest way for "cpu", "gpu" or "tpu".
    """

    features: int
    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"

    @nn.compact
    def __call__(self, before: jax.Array, planes: jax.Array) -> jax.Array:
        """The addition [B,2H,2W,features].

        Args:
          before: features [B,H,W,C] of the layer before.
          planes: see `hint_planes`, [B,S,S,3], S a multiple of 2H.
        """
        pieces = [pool(planes, 2 * before.shape[1])]
        if 2 <= before.shape[1] <= _MAX_GRID:
            passed_on = self._pass_on(before, pool(planes, before.shape[1]))
            pieces.append(upsample_bilinear(passed_on, self.platform))
        x = jnp.concatenate(pieces, axis=-1).astype(self.dtype)
        return _ZeroConvolution(self.features, self.dtype, self.platform)(x)

    def _pass_on(self, features: jax.Array, hints: jax.Array) -> jax.Array:
        """Colors [B,H,W,2] and share of attention [B,H,W,1] for each head; 0 without hints.

        Args:
          features: [B,H,W,C].
          hints: of `pool`, [B,H,W,4].
        """
        batch, height, width, _ = features.shape
        is_hinted = hints[..., 3:]
        block = -(-height // _MAX_KEYS)
        block = block if height % block == 0 else 1
        queries, keys = (_unit(nn.Dense(_KEY_SIZE, dtype=self.dtype, name=name)(features)) for name in ("query", "key"))
        # The hints of a block become one, with the mean of their colors and of the features where they are.
        num_hinted = jnp.maximum(_block_means(is_hinted, block), 1e-6)
        keys = _block_means(is_hinted * keys, block) / num_hinted
        values = _block_means(is_hinted * jnp.concatenate([hints[..., :2], is_hinted], axis=-1), block) / num_hinted
        queries, keys, values = (x.reshape(batch, -1, x.shape[-1]) for x in (queries, keys, values))
        similarity = jnp.einsum("bqc,bkc->bqk", queries, keys.astype(self.dtype), preferred_element_type=jnp.float32)
        squared_distance = _squared_distances(height, height // block)  # [Q,K]
        results = []
        for n, distance in enumerate(_DISTANCES):
            # Logarithms, so that Adam changes them by a share of their value.
            log_factor = self.param(f"similarity_{n}", nn.initializers.constant(math.log(_SIMILARITY)), ())
            log_distance = self.param(f"distance_{n}", nn.initializers.constant(math.log(distance)), ())
            no_hint = self.param(f"no_hint_{n}", nn.initializers.zeros, ())
            # At most the factor, which is small, so that no maximum needs to be subtracted.
            logits = jnp.exp(log_factor) * (similarity - 1) - squared_distance * jnp.exp(-2 * log_distance)
            sums = jnp.einsum("bqk,bkc->bqc", jnp.exp(logits), values)  # 0 for blocks without a hint
            results.append(sums / (sums[..., 2:] + jnp.exp(no_hint - _NO_HINT)))
        return jnp.concatenate(results, axis=-1).reshape(batch, height, width, -1)


class HintStatistics(nn.Module):
    """An addition to the latent vector: from the mean color of all hints and how many pixels they cover.

    It has no bias, and its kernel is 0 at first. Compare the "global hints" of Zhang et al. 2017 (arXiv:1705.02999).
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, planes: jax.Array) -> jax.Array:
        """Planes [B,S,S,3] to [B,features]."""
        sums = planes.sum(axis=(1, 2))
        share = jnp.sqrt(planes[..., 2:].mean(axis=(1, 2)))  # of the side that a square of all hinted pixels has
        mean = sums / jnp.maximum(sums[:, 2:], 1.0)
        statistics = jnp.concatenate([mean, share], axis=-1).astype(self.dtype)
        return nn.Dense(self.features, use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.zeros)(statistics)


class _ZeroConvolution(nn.Module):
    """A 3x3 convolution [B,H,W,C] to [B,H,W,features], whose kernel is 0 at first."""

    features: int
    dtype: DTypeLike
    platform: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = _ZeroKernel((3, 3, x.shape[-1], self.features), name="output")()
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), 1, self.platform)


class _ZeroKernel(nn.Module):
    """A kernel of `shape`, 0 at first."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> jax.Array:
        return self.param("kernel", nn.initializers.zeros, self.shape)


def is_of_hints(path: Sequence[str]) -> bool:
    """Whether a parameter, by its path, is one of these layers'."""
    return any("hint" in name.lower() for name in path)


def without_hints(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A generator's variables without those of these layers."""
    flat = traverse_util.flatten_dict(dict(variables))
    kept: dict[str, Any] = traverse_util.unflatten_dict({path: x for path, x in flat.items() if not is_of_hints(path)})
    return kept


def pool(planes: jax.Array, size: int) -> jax.Array:
    """Planes [B,S,S,3] at a smaller size: mean color of the hinted pixels, their share, and 1 if there is one.

    [B,size,size,4], 0 where there is no hint.
    """
    sums = _block_means(planes, planes.shape[1] // size)
    share = sums[..., 2:]
    is_hinted = share > 0
    mean = jnp.where(is_hinted, sums[..., :2] / jnp.where(is_hinted, share, 1.0), 0.0)
    return jnp.concatenate([mean, share, is_hinted.astype(sums.dtype)], axis=-1)


def _block_means(x: jax.Array, block: int) -> jax.Array:
    """[B,H,W,C] to [B,H/block,W/block,C]."""
    batch, height, width, features = x.shape
    return x.reshape(batch, height // block, block, width // block, block, features).mean(axis=(2, 4))


def _squared_distances(size: int, num_keys: int) -> jax.Array:
    """Between the centers of two grids over a square of side 1, [size**2,num_keys**2]."""
    rows = (jnp.arange(size) + 0.5) / size
    of_keys = (jnp.arange(num_keys) + 0.5) / num_keys
    squares = jnp.square(rows[:, None] - of_keys)
    both = squares[:, None, :, None] + squares[None, :, None, :]
    return both.reshape(size**2, num_keys**2)


def _unit(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.square(x).sum(axis=-1, keepdims=True) + 1e-6)
