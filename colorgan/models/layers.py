"""The layers that both networks are made of."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

KERNEL_INIT = nn.initializers.normal(0.02)
LEAK = 0.2  # slope of LeakyReLU below zero, as in the seed
MOMENTUM, EPSILON = 0.99, 1e-3  # of BatchNorm in Keras

Array = jax.Array
Momentum = Array | float
ConvolveFn = Callable[[Array, Array, str], Array]  # input, kernel and lowering to output


class Normalized(NamedTuple):
    """(x - mean) * factor + shift: `x` [...,C] in what the network computes in, the others [C] in float32."""

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
        return ((self.x - self.mean) * self.factor + self.shift).astype(self.x.dtype)


class Convolution(nn.Module):
    """One of the three of `convolutions`, with its kernel and bias. Computes in `dtype`, keeps float32.

    Attributes:
      normalized: whether BatchNorm follows, which takes away what the bias adds: its gradient is zero, save for
        rounding, and is not computed.
    """

    features: int
    convolve_fn: ConvolveFn
    dtype: Any = jnp.float32
    lowering: str = "native"
    normalized: bool = False

    @nn.compact
    def __call__(self, *pieces: Array, rectified: tuple[Normalized, ...] | None = None) -> Array:
        """`pieces` [B,H,W,C1], [B,H,W,C2] ... stand for their concatenation along the channels.

        Each of `rectified` is what ReLU makes the piece of: with them, `pieces` serve for gradients alone.
        """
        num_channels = sum(piece.shape[-1] for piece in pieces)
        kernel = self.param("kernel", KERNEL_INIT, (4, 4, num_channels, self.features)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        if self.normalized:
            bias = jax.lax.stop_gradient(bias)
        pieces = tuple(piece.astype(self.dtype) for piece in pieces)
        if self.lowering == "native":
            return convolve_pieces(self.convolve_fn, pieces, rectified, kernel) + bias
        return self.convolve_fn(jnp.concatenate(pieces, axis=-1), kernel, self.lowering) + bias


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def convolve_pieces(
    convolve_fn: ConvolveFn, pieces: tuple[Array, ...], rectified: tuple[Normalized, ...] | None, kernel: Array
) -> Array:
    """`convolve_fn` of the concatenated `pieces`, with as few passes over memory as XLA:TPU can be brought to.

    On the way into a convolution it can concatenate, and normalise what is concatenated, but not concatenate what is
    normalised: hence `rectified`. Left to itself it writes the gradient of the whole concatenation, and reads it
    again for every use of a part: hence a gradient for each piece from its part of the kernel.
    """
    return convolve_fn(_concatenate(pieces, rectified), kernel, "native")


def _concatenate(pieces: tuple[Array, ...], rectified: tuple[Normalized, ...] | None) -> Array:
    if rectified is None:
        return jnp.concatenate(pieces, axis=-1)
    whole = Normalized(*(jnp.concatenate(parts, axis=-1) for parts in zip(*rectified, strict=True)))
    return nn.relu(whole.value())


def _convolve_pieces_forward(
    convolve_fn: ConvolveFn, pieces: tuple[Array, ...], rectified: tuple[Normalized, ...] | None, kernel: Array
) -> tuple[Array, Any]:
    return convolve_pieces(convolve_fn, pieces, rectified, kernel), (pieces, rectified, kernel)


def _convolve_pieces_backward(convolve_fn: ConvolveFn, kept: Any, gradient: Array) -> tuple[Any, None, Array]:
    pieces, rectified, kernel = kept
    x = _concatenate(pieces, rectified)
    (kernel_gradient,) = jax.vjp(lambda kernel: convolve_fn(x, kernel, "native"), kernel)[1](gradient)
    # In the layout of the parameters: else XLA copies them, both moments and the moving average to the gradient's.
    kernel_gradient = with_layout_constraint(kernel_gradient, Layout(major_to_minor=(0, 1, 2, 3)))
    piece_gradients = []
    first = 0
    for piece in pieces:
        part = kernel[:, :, first : first + piece.shape[-1]]
        first += piece.shape[-1]
        piece_gradients += jax.vjp(lambda piece, part=part: convolve_fn(piece, part, "native"), piece)[1](gradient)
    return tuple(piece_gradients), None, kernel_gradient


convolve_pieces.defvjp(_convolve_pieces_forward, _convolve_pieces_backward)


def young_decay(decay: float, num_updates: Array) -> Array:
    """The decay, or momentum, of a moving average that was updated so often.

    A young one forgets faster, or it would for hundreds of steps be made of its initial value. The ramp
    (1 + n) / (10 + n) is that of TensorFlow's ExponentialMovingAverage with `num_updates`.
    """
    return jnp.minimum(decay, (1.0 + num_updates) / (10.0 + num_updates))


class BatchNorm(nn.Module):
    """Batch normalisation with Keras' constants (epsilon 1e-3, momentum 0.99), as the seed has it.

    In training the statistics are those of the global batch, over all devices; else the running averages. Its
    variables have the names that flax's own would give them.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, training: bool, momentum: Momentum = MOMENTUM) -> tuple[Array, Normalized]:
        """`x` [...,C] normalised, and what that was made of, which has no gradient.

        `momentum` is that of the running averages in this step, see `young_decay`.
        """
        return _BatchNorm(self.dtype, name="BatchNorm_0")(x, training, momentum)


class _BatchNorm(nn.Module):
    dtype: Any

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
    """Batch normalisation of the last axis (Ioffe and Szegedy 2015, arXiv:1502.03167) with its gradient written out.

    The gradient as derived by JAX takes three sums over `x` instead of two, and adds those that are also the gradients
    of `scale` and `bias` twice over the devices. Statistics are float32 sums over `x` in its own type.

    Returns:
      What `x` [...,C] becomes, and mean and variance [C], which have no gradient.
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
    centred = gradient - (bias_gradient + normalized * scale_gradient) / count
    return (scale * inverse * centred).astype(x.dtype), scale_gradient, bias_gradient


normalize.defvjp(_normalize_forward, _normalize_backward)


def _normalized(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Normalized:
    return Normalized(x, mean, scale * jax.lax.rsqrt(variance + EPSILON), bias)
