"""The three 4x4 convolutions of the networks, each computed in the fastest way for the platform "cpu", "gpu" or "tpu".

GPU and TPU have XLA's own convolution. XLA:CPU computes the weight gradients of padded and of transposed convolutions
at 1-6 GFLOP/s, where a matrix product reaches 200 a core, so there the same sums are matrix products, see `winograd`.
The numbers are the same. All have the kernel layout of Flax, HWIO [4,4,in,out].
"""

import functools

import jax
import jax.numpy as jnp

from colorgan.models.winograd import suits_winograd, winograd_down, winograd_up

Array = jax.Array

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def convolve(x: Array, kernel: Array, platform: str) -> Array:
    """4x4 convolution of stride 1, with "same" padding: [B,H,W,C] and [4,4,C,D] to [B,H,W,D]."""
    if platform != "cpu":
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_DIMENSIONS)
    # Outputs of even and odd rows and columns are convolutions of stride 2 of the image shifted by a pixel.
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    moved = jnp.stack([x[:, r : r + height + 2, c : c + width + 2] for r in (0, 1) for c in (0, 1)])
    y = _convolve_down_valid(moved.reshape(4 * batch, height + 2, width + 2, channels), kernel)
    y = y.reshape(2, 2, batch, height // 2, width // 2, -1)
    return y.transpose(2, 3, 0, 4, 1, 5).reshape(batch, height, width, -1)


def convolve_down(x: Array, kernel: Array, platform: str) -> Array:
    """4x4 convolution of stride 2, with "same" padding: [B,2H,2W,C] and [4,4,C,D] to [B,H,W,D]."""
    if platform != "cpu":
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS)
    return _convolve_down_valid(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel)


def convolve_up(x: Array, kernel: Array, platform: str) -> Array:
    """4x4 transposed convolution of stride 2, with "same" padding: [B,H,W,C] and [4,4,C,D] to [B,2H,2W,D]."""
    if platform != "cpu":
        return _convolve_up_native(x, kernel, platform)
    _, height, width, _ = x.shape
    if suits_winograd(height, width, kernel.shape[-1]):
        return winograd_up(x, kernel)
    # Every pixel times all 16 taps, summed in the output pixels.
    channels, out = kernel.shape[2:]
    taps = kernel[::-1, ::-1].reshape(16, channels, out).swapaxes(0, 1).reshape(channels, 16 * out)
    return _add_patches(x @ taps)[:, 1:-1, 1:-1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_up_native(x: Array, kernel: Array, platform: str) -> Array:
    if platform != "gpu":
        return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS)
    # The same as the gradient of a convolution, for which XLA:GPU calls cuDNN's backward convolution. The other form is
    # to it a convolution of an image with zeros in between, with four times the products.
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    return jax.lax.conv_transpose(x, mirrored, (2, 2), "SAME", dimension_numbers=_DIMENSIONS, transpose_kernel=True)


def _convolve_up_backward(platform: str, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    # This is the transpose of `convolve_down` with the kernel mirrored and its channels swapped, so the weight gradient
    # mirrors a kernel. With JAX's own gradient, XLA:TPU writes the mirrored gradient of the whole image.
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    x_gradient, transposed = jax.vjp(lambda kernel: convolve_down(gradient, kernel, platform), mirrored)
    (kernel_gradient,) = transposed(x)
    return x_gradient, kernel_gradient[::-1, ::-1].swapaxes(2, 3)


_convolve_up_native.defvjp(
    lambda x, kernel, platform: (_convolve_up_native(x, kernel, platform), (x, kernel)), _convolve_up_backward
)


def _convolve_down_valid(x: Array, kernel: Array) -> Array:
    """Stride 2 without padding: [B,2H+2,2W+2,C] and [4,4,C,D] to [B,H,W,D]."""
    batch, height, width, channels = x.shape
    height, width, out = height // 2 - 1, width // 2 - 1, kernel.shape[-1]
    if suits_winograd(height, width, channels):
        return winograd_down(x, kernel)
    return _patches(x) @ kernel.reshape(16 * channels, out)


@jax.custom_vjp
def _patches(x: Array) -> Array:
    """The 4x4 pixels below the outputs of a convolution of stride 2: [B,2H+2,2W+2,C] to [B,H,W,16C]."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return jnp.concatenate([x[:, r : r + height : 2, c : c + width : 2] for r in range(4) for c in range(4)], axis=-1)


@jax.custom_vjp
def _add_patches(patches: Array) -> Array:
    """The adjoint of `_patches`: [B,H,W,16C] to [B,2H+2,2W+2,C]."""
    batch, height, width, channels = patches.shape
    channels //= 16
    taps = patches.reshape(batch, height, width, 4, 4, channels)
    taps = jnp.pad(taps, ((0, 0), (1, 1), (1, 1), (0, 0), (0, 0), (0, 0)))

    def phase(r: int, c: int) -> Array:  # rows 2n + r and columns 2m + c
        def tap(a: int, b: int) -> Array:
            return taps[:, 1 - a : height + 2 - a, 1 - b : width + 2 - b, 2 * a + r, 2 * b + c]

        return tap(0, 0) + tap(0, 1) + tap(1, 0) + tap(1, 1)

    blocks = jnp.stack([jnp.stack([phase(r, c) for c in (0, 1)], axis=3) for r in (0, 1)], axis=2)
    return blocks.reshape(batch, 2 * height + 2, 2 * width + 2, channels)


# Each is the gradient of the other; automatic gradients of slices are far slower.
_patches.defvjp(lambda x: (_patches(x), None), lambda _, d: (_add_patches(d),))
_add_patches.defvjp(lambda patches: (_add_patches(patches), None), lambda _, d: (_patches(d),))
