"""Depthwise and 3x3 convolutions, each computed in the fastest way for the platform "cpu", "gpu" or "tpu".

The results are the same. On TPUs all are XLA's own convolutions, on GPUs those that are not depthwise. The others are:

* Depthwise on CPUs and GPUs: sums of shifted slices, which XLA fuses. XLA:CPU's own depthwise convolution takes 50 to
  400 times as long. XLA:GPU calls cuDNN for it, which was slower on an H100 (benchmarks/RESULTS.md).
* 3x3 on CPUs, where XLA's own takes far too long for the kernel's gradient: Winograd's F(2x2, 3x3) (Lavin and Gray
  2016, arXiv:1509.09308) computes 2x2 outputs with 16 products instead of 36. In one dimension, of pixels d0 ... d3 and
  a kernel g0, g1, g2:

      m0 = (d0 - d2) g0              m1 = (d1 + d2) (g0 + g1 + g2) / 2
      m3 = (d1 - d3) g2              m2 = (d2 - d1) (g0 - g1 + g2) / 2
      y0 = m0 + m1 + m2              y1 = m1 - m2 - m3

On CPUs, loops over a few images at a time keep what they compute in the cache. Kernels have the layout of Flax, HWIO,
and padding is TensorFlow's "SAME".
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Array = jax.Array
Pads = Sequence[tuple[int, int]]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_BLOCK_BYTES = 2**20  # of input in one step of a loop: its intermediate results, a few times as large, fit in caches
_MIN_WINOGRAD_SIZE = 4  # pixels a side; below, the transform of the kernel costs more than it saves
_MIN_WINOGRAD_CHANNELS = 16  # below, the transforms of images cost more than they save


def depthwise(x: Array, kernel: Array, stride: int, platform: str) -> Array:
    """Convolution of each channel with its own kernel: [B,H,W,C] and [k,k,1,C] to [B,ceil(H/s),ceil(W/s),C]."""
    if platform == "tpu":
        return _native(x, kernel, stride, groups=x.shape[-1])
    return _depthwise(x, kernel, stride, platform)


def convolve(x: Array, kernel: Array, stride: int, platform: str) -> Array:
    """Convolution: [B,H,W,C] and [k,k,C,D] to [B,ceil(H/s),ceil(W/s),D]."""
    return _convolve(x, kernel, stride) if platform == "cpu" else _native(x, kernel, stride)


@jax.custom_vjp
def pointwise(x: Array, kernel: Array) -> Array:
    """1x1 convolution: [...,C] and [C,D] to [...,D].

    JAX's own gradient of the kernel is [D,C], transposed, for which XLA:CPU transposes images.
    """
    return x @ kernel


def _pointwise_backward(kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = kept
    return dy @ kernel.T, _rows(x).T @ _rows(dy)


pointwise.defvjp(lambda x, kernel: (pointwise(x, kernel), (x, kernel)), _pointwise_backward)


def _rows(x: Array) -> Array:
    """[...,C] to [N,C]."""
    return x.reshape(-1, x.shape[-1])


def _native(x: Array, kernel: Array, stride: int, groups: int = 1) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=_DIMENSIONS, feature_group_count=groups
    )


def _pads(x: Array, size: int, stride: int) -> Pads:
    """Of height and width, for a kernel of `size`."""
    return jax.lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), "SAME")


def _pad(x: Array, pads: Pads) -> Array:
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _taps(padded: Array, size: int, stride: int, height: int, width: int) -> list[Array]:
    """The pixels under each entry of the kernel: size^2 x [B,height,width,C]."""
    rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
    return [padded[:, r : r + rows : stride, c : c + columns : stride] for r in range(size) for c in range(size)]


def _padded_taps(x: Array, size: int, stride: int) -> list[Array]:
    """The taps of an image that lacks its padding: size^2 x [B,ceil(H/s),ceil(W/s),C]."""
    height, width = (-(-n // stride) for n in x.shape[1:3])
    return _taps(_pad(x, _pads(x, size, stride)), size, stride, height, width)


def _images_per_block(x: Array) -> int:
    """A divisor of the batch, at least 2 if possible: XLA:CPU is slower for a dimension of size 1."""
    batch = x.shape[0]
    if not isinstance(batch, int):  # a program for batches of any size
        return batch
    least = max(2, _BLOCK_BYTES * batch // max(1, x.size * x.dtype.itemsize))
    return min((n for n in range(1, batch + 1) if batch % n == 0 and n >= least), default=batch)


def _blocks(x: Array, num: int) -> Array:
    return x.reshape(-1, num, *x.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x: Array, kernel: Array, stride: int, platform: str) -> Array:
    size = kernel.shape[0]
    return _sum_products(_padded_taps(x, size, stride), kernel.reshape(size * size, -1), x.dtype)


def _sum_products(factors: Iterable[Array], others: Iterable[Array], dtype: DTypeLike) -> Array:
    """The sum of the products of pairs in `dtype`, added in float32."""
    products = [a.astype(jnp.float32) * b for a, b in zip(factors, others, strict=True)]
    return functools.reduce(jnp.add, products).astype(dtype)


def _depthwise_forward(x: Array, kernel: Array, stride: int, platform: str) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(x, kernel, stride, platform), (x, kernel)


def _depthwise_backward(stride: int, platform: str, kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = kept
    kernel_gradient = _depthwise_kernel_gradient_blocks if platform == "cpu" else _depthwise_kernel_gradient
    return _depthwise_input_gradient(x, kernel, stride, dy), kernel_gradient(x, kernel, stride, dy)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _depthwise_input_gradient(x: Array, kernel: Array, stride: int, dy: Array) -> Array:
    """Rows s * n + r of the gradient are sums over the entries s * m + r of the kernel, and so are columns."""
    batch, height, width, channels = x.shape
    size = kernel.shape[0]
    reach = (size - 1) // stride  # a row of the gradient depends on as many rows of `dy` before
    (top, _), (left, _) = _pads(x, size, stride)
    high, wide = -(-(height + top) // stride), -(-(width + left) // stride)
    after = max(0, high - dy.shape[1]), max(0, wide - dy.shape[2])
    dy = _pad(dy, ((reach, after[0]), (reach, after[1])))

    def phase(r: int, c: int) -> Array:
        taps = [
            dy[:, reach - m : reach - m + high, reach - n : reach - n + wide]
            for m in range(len(range(r, size, stride)))
            for n in range(len(range(c, size, stride)))
        ]
        return _sum_products(taps, kernel[r::stride, c::stride, 0].reshape(-1, channels), dy.dtype)

    rows = [jnp.stack([phase(r, c) for c in range(stride)], axis=3) for r in range(stride)]
    padded = jnp.stack(rows, axis=2).reshape(batch, stride * high, stride * wide, channels)
    return padded[:, top : top + height, left : left + width]


def _depthwise_kernel_gradient(x: Array, kernel: Array, stride: int, dy: Array) -> Array:
    """For GPUs, where XLA sums the stacked products in one fusion; without the stack, in one for every two of them."""
    taps = _padded_taps(x, kernel.shape[0], stride)
    products = jnp.stack([tap.astype(jnp.float32) * dy for tap in taps], axis=3)
    return products.sum((0, 1, 2)).reshape(kernel.shape).astype(kernel.dtype)


def _depthwise_kernel_gradient_blocks(x: Array, kernel: Array, stride: int, dy: Array) -> Array:
    """For CPUs."""
    size = kernel.shape[0]
    _, height, width, channels = dy.shape
    rows = height // math.gcd(height, 4)  # sums of four products are stored a quarter as often

    def add_block(sums: list[Array], x: Array, dy: Array) -> list[Array]:
        taps = _taps(x, size, stride, height, width)
        products = [[tap[:, r : r + rows] * dy[:, r : r + rows] for r in range(0, height, rows)] for tap in taps]
        return [functools.reduce(jnp.add, p, total) for total, p in zip(sums, products, strict=True)]

    num = _images_per_block(x)
    zeros = [jnp.zeros((num, rows, width, channels))] * size**2
    sums = _fold_blocks(add_block, zeros, _blocks(x, num), _blocks(dy, num), _pads(x, size, stride))
    return jnp.stack([total.sum((0, 1, 2)) for total in sums]).reshape(kernel.shape).astype(kernel.dtype)


def _fold_blocks(
    add_block: Callable[[list[Array], Array, Array], list[Array]],
    sums: list[Array],
    x_blocks: Array,
    dy_blocks: Array,
    pads: Pads,
) -> list[Array]:
    """Calls `add_block` with `sums`, padded blocks of x and blocks of dy."""
    last = len(x_blocks) - 1

    def load(n: Array | int) -> tuple[Array, Array]:
        # As state of the loop, a block is copied. XLA:CPU does not vectorize sums of slices of a part of an array.
        n = jnp.minimum(n, last)
        return _pad(x_blocks[n], pads), dy_blocks[n]

    def step(n: Array, state: tuple[tuple[Array, Array], list[Array]]) -> tuple[tuple[Array, Array], list[Array]]:
        block, sums = state
        return load(n + 1), add_block(sums, *block)

    return jax.lax.fori_loop(0, last + 1, step, (load(0), sums))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    return _winograd(x, kernel) if _suits_winograd(x, kernel, stride) else _native(x, kernel, stride)


def _convolve_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride), (x, kernel)


def _convolve_backward(stride: int, kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = kept
    if stride == 1:
        x_gradient = _convolve(dy, kernel[::-1, ::-1].swapaxes(2, 3), 1)
    else:
        (x_gradient,) = jax.vjp(lambda x: _native(x, kernel, stride), x)[1](dy)
    if _suits_winograd(x, kernel, stride):
        return x_gradient, _winograd_kernel_gradient(x, dy).astype(kernel.dtype)
    size, _, channels, out = kernel.shape
    if stride == 1 and out < channels:
        # The mirrored gradient is that of a convolution of `dy` with `x`. So the fewer channels are copied.
        mirrored = _rows(_patches(dy, size, 1)).T @ _rows(x)
        return x_gradient, mirrored.reshape(size, size, out, channels)[::-1, ::-1].swapaxes(2, 3)
    return x_gradient, (_rows(_patches(x, size, stride)).T @ _rows(dy)).reshape(kernel.shape)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _patches(x: Array, size: int, stride: int) -> Array:
    """The pixels under the kernel: [B,H,W,C] to [B,ceil(H/s),ceil(W/s),size*size*C]."""
    return jnp.concatenate(_padded_taps(x, size, stride), axis=-1)


def _suits_winograd(x: Array, kernel: Array, stride: int) -> bool:
    size, _, *channels = kernel.shape
    _, height, width, _ = x.shape
    even = height % 2 == 0 and width % 2 == 0
    large = min(height, width) >= _MIN_WINOGRAD_SIZE and min(channels) >= _MIN_WINOGRAD_CHANNELS
    return size == 3 and stride == 1 and even and large


def _winograd(x: Array, kernel: Array) -> Array:
    """[B,2K,2L,C] and [3,3,C,D] to [B,2K,2L,D]."""
    matrices = _transform_kernel(kernel)
    strips, pads = _strips(x)

    def convolve_block(x: Array) -> Array:
        x = _pad(x, pads)  # in the loop, hence a copy, see `_fold_blocks`
        return _join_outputs([d @ g for d, g in zip(_split_inputs(x), matrices, strict=True)], x.shape)

    y = jax.lax.map(convolve_block, _blocks(strips, _images_per_block(strips)))
    return y.reshape(*x.shape[:3], -1)


def _winograd_kernel_gradient(x: Array, dy: Array) -> Array:
    strips, pads = _strips(x)
    dy_strips = dy.reshape(len(strips), -1, *dy.shape[2:])
    num = _images_per_block(strips)

    def add_block(sums: list[Array], x: Array, dy: Array) -> list[Array]:
        pairs = zip(sums, _split_inputs(x), _split_outputs(dy), strict=True)
        return [total + jnp.matmul(d.T, m, preferred_element_type=jnp.float32) for total, d, m in pairs]

    zeros = [jnp.zeros((x.shape[-1], dy.shape[-1]))] * 16
    return _spread_taps(_fold_blocks(add_block, zeros, _blocks(strips, num), _blocks(dy_strips, num), pads))


def _strips(x: Array) -> tuple[Array, Pads]:
    """Large images cut into strips with a row more on either side: [B,H,W,C] to [B*H/rows,rows+2,W,C].

    Returns:
      The strips, and the padding of height and width that they lack.
    """
    _, height, width, channels = x.shape
    rows = height
    while rows % 4 == 0 and rows * width * channels * x.dtype.itemsize > 2 * _BLOCK_BYTES:
        rows //= 2
    if rows == height:
        return x, ((1, 1), (1, 1))
    padded = _pad(x, ((1, 1), (0, 0)))
    strips = jnp.stack([padded[:, first : first + rows + 2] for first in range(0, height, rows)], axis=1)
    return strips.reshape(-1, rows + 2, width, channels), ((0, 0), (1, 1))


def _pairs(values: Sequence[Array], function: Callable[[Sequence[Array]], Sequence[Array]]) -> list[Array]:
    """Applies `function` to columns and then to rows of the square matrix `values`."""
    size = math.isqrt(len(values))
    columns = [function(values[n::size]) for n in range(size)]
    return [value for row in zip(*columns, strict=True) for value in function(row)]


def _transform_kernel(kernel: Array) -> list[Array]:
    """[3,3,C,D] to 16 x [C,D]."""
    taps = [kernel[r, c] for r in range(3) for c in range(3)]
    return _pairs(taps, lambda g: (g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]))


def _spread_taps(sums: list[Array]) -> Array:
    """The adjoint of `_transform_kernel`."""
    taps = _pairs(sums, lambda m: (m[0] + (m[1] + m[2]) / 2, (m[1] - m[2]) / 2, m[3] + (m[1] + m[2]) / 2))
    return jnp.stack(taps).reshape(3, 3, *sums[0].shape)


def _split_inputs(padded: Array) -> list[Array]:
    """[G,2K+2,2L+2,C] to 16 x [G*K*L,C]."""
    _, height, width, channels = padded.shape
    pixels = [padded[:, r : height - 3 + r : 2, c : width - 3 + c : 2] for r in range(4) for c in range(4)]
    tiles = _pairs(pixels, lambda d: (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]))
    return [tile.reshape(-1, channels) for tile in tiles]


def _join_outputs(products: list[Array], padded_shape: Sequence[int]) -> Array:
    """16 x [G*K*L,D] to [G,2K,2L,D], the shape of the padded inputs being [G,2K+2,2L+2,C]."""
    batch, height, width, _ = padded_shape
    m = [product.reshape(batch, height // 2 - 1, width // 2 - 1, -1) for product in products]
    y = _pairs(m, lambda m: (m[0] + m[1] + m[2], m[1] - m[2] - m[3]))
    rows = [jnp.stack(y[:2], axis=3), jnp.stack(y[2:], axis=3)]
    return jnp.stack(rows, axis=2).reshape(batch, height - 2, width - 2, -1)


def _split_outputs(y: Array) -> list[Array]:
    """The adjoint of `_join_outputs`: [G,2K,2L,D] to 16 x [G*K*L,D]."""
    outputs = [y[:, r::2, c::2] for r in (0, 1) for c in (0, 1)]
    products = _pairs(outputs, lambda y: (y[0], y[0] + y[1], y[0] - y[1], -y[1]))
    return [product.reshape(-1, y.shape[-1]) for product in products]
