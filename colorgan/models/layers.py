"""The three 4x4 convolutions of the networks, each in two lowerings that compute the same numbers.

`lowering="native"` is XLA's own convolution, right for GPU and TPU. On XLA:CPU the weight gradients of padded and
transposed convolutions run at 1-6 GFLOP/s where a matrix product reaches 100-200, so `lowering="matmul"` writes the
same sums as shifted slices and one matrix product. Both share one kernel layout, HWIO [4,4,in,out], as Flax has it.
"""

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
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

Array = jax.Array
ConvolveFn = Callable[[Array, Array, str], Array]  # input, kernel and lowering to output


def lowering_for(platform: str) -> str:
    """The faster lowering on `platform` ("cpu", "gpu" or "tpu")."""
    return "matmul" if platform == "cpu" else "native"


def convolve(x: Array, kernel: Array, lowering: str) -> Array:
    """4x4 convolution of stride 1, padded "same": [B,H,W,C] and [4,4,C,D] to [B,H,W,D]."""
    if lowering == "native":
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_DIMENSIONS)
    return _convolve_valid(jnp.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0))), kernel)


def convolve_down(x: Array, kernel: Array, lowering: str) -> Array:
    """4x4 convolution of stride 2, padded "same": [B,2H,2W,C] and [4,4,C,D] to [B,H,W,D]."""
    if lowering == "native":
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS)
    # A 2x2 convolution over the padded input whose 2x2 blocks are moved into channels.
    batch, height, width, channels = x.shape
    rows, columns, out = height // 2 + 1, width // 2 + 1, kernel.shape[-1]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x.reshape(batch, rows, 2, columns, 2, channels).swapaxes(2, 3).reshape(batch, rows, columns, -1)
    kernel = kernel.reshape(2, 2, 2, 2, channels, out).swapaxes(1, 2).reshape(2, 2, 4 * channels, out)
    return _convolve_valid(x, kernel)


def convolve_up(x: Array, kernel: Array, lowering: str) -> Array:
    """4x4 transposed convolution of stride 2, padded "same": [B,H,W,C] and [4,4,C,D] to [B,2H,2W,D]."""
    if lowering == "native":
        return _convolve_up_native(x, kernel)
    # A 2x2 convolution to the four phases of every output 2x2 block; odd phases lie one input pixel later.
    batch, height, width, channels = x.shape
    out = kernel.shape[-1]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = kernel.reshape(2, 2, 2, 2, channels, out).transpose(0, 2, 4, 1, 3, 5)  # [2,2,C,row,column,D]
    phases = _convolve_valid(x, kernel.reshape(2, 2, channels, 4 * out))
    phases = phases.reshape(batch, height + 1, width + 1, 2, 2, out)
    blocks = jnp.stack(
        [jnp.stack([phases[:, r : r + height, c : c + width, r, c] for c in (0, 1)], axis=3) for r in (0, 1)],
        axis=2,
    )  # [B,H,2,W,2,D]
    return blocks.reshape(batch, 2 * height, 2 * width, out)


@jax.custom_vjp
def _convolve_up_native(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS)


def _convolve_up_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    # It is the transpose of `convolve_down` with the kernel mirrored and its channels swapped. As such its weight
    # gradient mirrors a kernel; as JAX derives it, XLA:TPU writes the whole image's gradient mirrored.
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    x_gradient, transposed = jax.vjp(lambda kernel: convolve_down(gradient, kernel, "native"), mirrored)
    (kernel_gradient,) = transposed(x)
    return x_gradient, kernel_gradient[::-1, ::-1].swapaxes(2, 3)


_convolve_up_native.defvjp(lambda x, kernel: (_convolve_up_native(x, kernel), (x, kernel)), _convolve_up_backward)


def _convolve_valid(x: Array, kernel: Array) -> Array:
    """Stride 1, no padding, as one matrix product: [B,H,W,C] and [k,k,C,D] to [B,H-k+1,W-k+1,D]."""
    size = kernel.shape[0]
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    patches = jnp.concatenate([x[:, r : r + height, c : c + width] for r in range(size) for c in range(size)], axis=-1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


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
    """One of the three convolutions above, with its kernel and bias. Computes in `dtype`, keeps float32.

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


class BatchNorm(nn.Module):
    """Batch normalisation with Keras' constants (epsilon 1e-3, momentum 0.99), as the seed has it.

    In training the statistics are those of the global batch, over all devices; else the running averages. Its
    variables have the names that flax's own would give them.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, training: bool) -> tuple[Array, Normalized]:
        """`x` [...,C] normalised, and what that was made of, which has no gradient."""
        return _BatchNorm(self.dtype, name="BatchNorm_0")(x, training)


class _BatchNorm(nn.Module):
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, training: bool) -> tuple[Array, Normalized]:
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
                average.value = MOMENTUM * average.value + (1 - MOMENTUM) * value
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
