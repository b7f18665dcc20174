"""Layers of both networks."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.typing import DTypeLike

KERNEL_INIT = nn.initializers.normal(0.02)
LEAK = 0.2  # slope of LeakyReLU below zero, as in the baseline
MOMENTUM, EPSILON = 0.99, 1e-3  # of BatchNorm in Keras

Array = jax.Array
Momentum = Array | float
ConvolveFn = Callable[[Array, Array, str], Array]  # input, kernel and platform to output


class Normalized(NamedTuple):
    """(x - mean) * factor + shift: `x` [...,C] in the type of computation, the others [C] in float32."""

    x: Array
    mean: Array
    factor: Array
    shift: Array

    @classmethod
    def without_change(cls, x: Array) -> "Normalized":
        """`x` itself."""
        zeros = jnp.zeros(x.shape[-1])
        return cls(x, zeros, zeros + 1, zeros)

    def value(self) -> Array:
        """The normalized array [...,C]."""
        return ((self.x - self.mean) * self.factor + self.shift).astype(self.x.dtype)


class Convolution(nn.Module):
    """A convolution of `convolutions` with its kernel and bias, which are float32. Computes in `dtype`.

    Attributes:
      features: the number of output channels.
      convolve_fn: the convolution.
      dtype: the type of computation.
      platform: how it is computed: the fastest way for "cpu", "gpu" or "tpu".
      use_bias: not before BatchNorm, which cancels it.
    """

    features: int
    convolve_fn: ConvolveFn
    dtype: DTypeLike = jnp.float32
    platform: str = "tpu"
    use_bias: bool = True

    @nn.compact
    def __call__(self, *pieces: Array, rectified: tuple[Normalized, ...] | None = None) -> Array:
        """Convolves the concatenation of `pieces` [B,H,W,C1], [B,H,W,C2] ... along the channels.

        Each of `rectified` is the input of the ReLU that computed the piece; if given, `pieces` are only used for
        gradients.
        """
        num_channels = sum(piece.shape[-1] for piece in pieces)
        kernel = self.param("kernel", KERNEL_INIT, (4, 4, num_channels, self.features)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        pieces = tuple(piece.astype(self.dtype) for piece in pieces)
        if self.platform != "cpu":
            y = convolve_pieces(self.convolve_fn, self.platform, pieces, rectified, kernel)
        else:
            y = self.convolve_fn(jnp.concatenate(pieces, axis=-1), kernel, self.platform)
        return y if bias is None else add_bias(y, bias, self.platform)


def add_bias(x: Array, bias: Array, platform: str) -> Array:
    """`x` [...,C] + `bias` [C], which is float32, in the type of `x`.

    The bias' gradient is a float32 sum, which is different from JAX's own if `x` is bfloat16: such a sum stops growing
    at about 256 times its addends. XLA:TPU sums in float32 by itself, XLA:GPU does not for Hopper.
    """
    return _add_bias(x, bias) if platform == "gpu" else x + bias.astype(x.dtype)


@jax.custom_vjp
def _add_bias(x: Array, bias: Array) -> Array:
    return x + bias.astype(x.dtype)


_add_bias.defvjp(lambda x, bias: (_add_bias(x, bias), None), lambda _, dy: (dy, _sum_of_pixels(dy)))


def _sum_of_pixels(dy: Array) -> Array:
    return dy.sum(range(dy.ndim - 1), dtype=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def convolve_pieces(
    convolve_fn: ConvolveFn,
    platform: str,
    pieces: tuple[Array, ...],
    rectified: tuple[Normalized, ...] | None,
    kernel: Array,
) -> Array:
    """`convolve_fn` of the concatenated `pieces`, with as few passes over memory as possible.

    XLA:TPU fuses a concatenation into a convolution, and a normalization of the concatenation, but not a concatenation
    of normalized arrays: hence `rectified`. By default it writes the gradient of the whole concatenation and reads it
    again for each use of a part: hence each piece's gradient is computed from its part of the kernel. For GPUs one call
    of cuDNN computes the whole, of which each use reads its part.
    """
    return convolve_fn(_concatenate(pieces, rectified), kernel, platform)


def _concatenate(pieces: tuple[Array, ...], rectified: tuple[Normalized, ...] | None) -> Array:
    if rectified is None:
        return jnp.concatenate(pieces, axis=-1)
    whole = Normalized(*(jnp.concatenate(parts, axis=-1) for parts in zip(*rectified, strict=True)))
    return nn.relu(whole.value())


def _convolve_pieces_forward(
    convolve_fn: ConvolveFn,
    platform: str,
    pieces: tuple[Array, ...],
    rectified: tuple[Normalized, ...] | None,
    kernel: Array,
) -> tuple[Array, Any]:
    return convolve_pieces(convolve_fn, platform, pieces, rectified, kernel), (pieces, rectified, kernel)


def _convolve_pieces_backward(
    convolve_fn: ConvolveFn, platform: str, kept: Any, gradient: Array
) -> tuple[Any, None, Array]:
    pieces, rectified, kernel = kept
    x = _concatenate(pieces, rectified)
    (kernel_gradient,) = jax.vjp(lambda kernel: convolve_fn(x, kernel, platform), kernel)[1](gradient)
    if platform == "tpu":
        # In the layout of the parameters, otherwise XLA copies them, both moments and the average to the gradient's
        # layout. For GPUs `train_step` does it, after the sum over the devices, for all kernels.
        kernel_gradient = with_layout_constraint(kernel_gradient, Layout(major_to_minor=(0, 1, 2, 3)))
    ends = list(itertools.accumulate(piece.shape[-1] for piece in pieces))
    if platform == "gpu":
        (whole,) = jax.vjp(lambda x: convolve_fn(x, kernel, platform), x)[1](gradient)
        return tuple(jnp.split(whole, ends[:-1], axis=-1)), None, kernel_gradient
    piece_gradients = []
    for piece, part in zip(pieces, jnp.split(kernel, ends[:-1], axis=2), strict=True):
        piece_gradients += jax.vjp(lambda piece, part=part: convolve_fn(piece, part, platform), piece)[1](gradient)
    return tuple(piece_gradients), None, kernel_gradient


convolve_pieces.defvjp(_convolve_pieces_forward, _convolve_pieces_backward)


def decay_warmup(decay: float | Array, num_updates: Array) -> Array:
    """The decay (or momentum) of a moving average after `num_updates` updates: lower at first.

    Without the warm-up, the average would consist mostly of its initial value for hundreds of steps. The ramp
    (1 + n) / (10 + n) is that of TensorFlow's ExponentialMovingAverage with `num_updates`.
    """
    return jnp.minimum(decay, (1.0 + num_updates) / (10.0 + num_updates))


class BatchNorm(nn.Module):
    """Batch normalization with Keras' constants (epsilon 1e-3, momentum 0.99), as in the baseline.

    In training it uses the statistics of the global batch over all devices, otherwise the running averages, as always
    if it is `frozen`. Its variables have the same names as those of flax.linen.BatchNorm.
    """

    dtype: DTypeLike = jnp.float32
    frozen: bool = False

    @nn.compact
    def __call__(self, x: Array, training: bool, momentum: Momentum = MOMENTUM) -> tuple[Array, Normalized]:
        """`x` [...,C] normalized, and the inputs of the normalization, which have no gradient.

        `momentum` is that of the running averages in this step, see `decay_warmup`.
        """
        return _BatchNorm(self.dtype, name="BatchNorm_0")(x, training and not self.frozen, momentum)


class _BatchNorm(nn.Module):
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, training: bool, momentum: Momentum) -> tuple[Array, Normalized]:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        average_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        average_variance = self.variable("batch_stats", "var", jnp.ones, shape)
        x = x.astype(self.dtype)
        if not training:
            normalized = _normalized(x, average_mean.value, average_variance.value, scale, bias)
            return normalized.value(), normalized
        y, mean, variance = normalize(x, scale, bias)
        if not self.is_initializing():
            for average, value in ((average_mean, mean), (average_variance, variance)):
                average.value = momentum * average.value + (1 - momentum) * value
        return y, _normalized(x, mean, variance, scale, bias)


@jax.custom_vjp
def normalize(x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Batch normalization of the last axis (Ioffe and Szegedy 2015, arXiv:1502.03167) with an explicit gradient.

    JAX's own gradient takes three sums over `x` instead of two, and sums those that are also the gradients of `scale`
    and `bias` over the devices twice. Statistics are float32 sums over `x` in its own type.

    Returns:
      The normalized `x` [...,C], and mean and variance [C], which have no gradient.
    """
    return _normalize_forward(x, scale, bias)[0]


def _normalize_forward(x: Array, scale: Array, bias: Array) -> tuple[Any, Any]:
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(jnp.float32)
    mean = wide.mean(axes)
    variance = jnp.maximum((wide * wide).mean(axes) - mean * mean, 0.0)  # one pass over x for both
    return (_normalized(x, mean, variance, scale, bias).value(), mean, variance), (x, mean, variance, scale)


def _normalize_backward(kept: Any, gradients: Any) -> tuple[Array, Array, Array]:
    x, mean, variance, scale = kept
    axes = tuple(range(x.ndim - 1))
    inverse = jax.lax.rsqrt(variance + EPSILON)
    gradient = gradients[0].astype(jnp.float32)
    normalized = (x.astype(jnp.float32) - mean) * inverse
    bias_gradient, scale_gradient = gradient.sum(axes), (gradient * normalized).sum(axes)
    count = x.size // x.shape[-1]
    centered = gradient - (bias_gradient + normalized * scale_gradient) / count
    return (scale * inverse * centered).astype(x.dtype), scale_gradient, bias_gradient


normalize.defvjp(_normalize_forward, _normalize_backward)


def _normalized(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Normalized:
    return Normalized(x, mean, scale * jax.lax.rsqrt(variance + EPSILON), bias)
