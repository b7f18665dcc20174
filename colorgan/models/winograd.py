"""Winograd's matrix products for 4x4 convolutions of stride 2 on CPUs.

A 4x4 convolution of stride 2 is a 2x2 convolution over 2x2 blocks of pixels, and Winograd's F(2x2, 2x2) (Lavin and
Gray 2016, arXiv:1509.09308) computes 2x2 of its outputs with 9 products instead of 16. In one dimension, of blocks
d0, d1, d2 and a kernel g0, g1:

    m0 = (d0 - d1) g0    m1 = d1 (g0 + g1)    m2 = (d2 - d1) g1    y0 = m0 + m1    y1 = m1 + m2

All are sums of two terms, so it is as exact as the direct sum. The transposed convolution is the adjoint: the same
three transforms, each transposed, in the other direction. Both have explicit gradients, since automatic gradients of
slices (padding and adding) are slow on XLA:CPU.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Array = jax.Array
Nine = list[Array]  # one matrix for each pair of m0, m1, m2 in rows and in columns

_MIN_WINOGRAD_SIZE = 8  # outputs a side; below, the transform of the kernels costs more than it saves
_MIN_WINOGRAD_CHANNELS = 16  # below, the transforms cost more than the products


def suits_winograd(height: int, width: int, channels: int) -> bool:
    """Whether it is faster for outputs (of a transposed convolution: inputs) of [height, width] and these channels."""
    even = height % 2 == 0 and width % 2 == 0
    return even and min(height, width) >= _MIN_WINOGRAD_SIZE and channels >= _MIN_WINOGRAD_CHANNELS


@jax.custom_vjp
def winograd_down(x: Array, kernel: Array) -> Array:
    """Stride 2 without padding: [B,4K+2,4L+2,C] and [4,4,C,D] to [B,2K,2L,D]."""
    return _winograd_down_forward(x, kernel)[0]


def _winograd_down_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Nine, Array]]:
    tiles = _split_blocks(x)
    products = [d @ _down_matrix(g) for d, g in zip(tiles, _sum_taps(kernel), strict=True)]
    batch, height, width, _ = x.shape
    return _join_outputs(products, (batch, height // 2 - 1, width // 2 - 1)), (tiles, kernel)


def _winograd_down_backward(residuals: tuple[Nine, Array], dy: Array) -> tuple[Array, Array]:
    tiles, kernel = residuals
    outputs = _split_outputs(dy)
    dtiles = [m @ _down_matrix(g).T for m, g in zip(outputs, _sum_taps(kernel), strict=True)]
    dtaps = [(d.T @ m).reshape(2, 2, *kernel.shape[2:]) for d, m in zip(tiles, outputs, strict=True)]
    return _join_blocks(dtiles, dy.shape[:3]), _spread_taps(dtaps)


winograd_down.defvjp(_winograd_down_forward, _winograd_down_backward)


@jax.custom_vjp
def winograd_up(x: Array, kernel: Array) -> Array:
    """Stride 2, transposed, with "same" padding: [B,2K,2L,C] and [4,4,C,D] to [B,4K,4L,D]."""
    return _winograd_up_forward(x, kernel)[0]


def _winograd_up_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Nine, Array]]:
    tiles = _split_outputs(x)
    products = [m @ _up_matrix(g) for m, g in zip(tiles, _sum_taps(kernel[::-1, ::-1]), strict=True)]
    return _join_blocks(products, x.shape[:3])[:, 1:-1, 1:-1], (tiles, kernel)


def _winograd_up_backward(residuals: tuple[Nine, Array], dy: Array) -> tuple[Array, Array]:
    tiles, kernel = residuals
    batch, height, width, out = dy.shape
    blocks = _split_blocks(jnp.pad(dy, ((0, 0), (1, 1), (1, 1), (0, 0))))
    dtiles = [d @ _up_matrix(g).T for d, g in zip(blocks, _sum_taps(kernel[::-1, ::-1]), strict=True)]
    dtaps = [(m.T @ d).reshape(-1, 2, 2, out).transpose(1, 2, 0, 3) for m, d in zip(tiles, blocks, strict=True)]
    return _join_outputs(dtiles, (batch, height // 2, width // 2)), _spread_taps(dtaps)[::-1, ::-1]


winograd_up.defvjp(_winograd_up_forward, _winograd_up_backward)


def _sum_taps(kernel: Array) -> Nine:
    """g0, g0 + g1, g1 in rows and in columns: [4,4,C,D] to 9 x [2,2,C,D], rows and columns of a block first."""
    _, _, channels, out = kernel.shape
    g = kernel.reshape(2, 2, 2, 2, channels, out)  # [block row, row, block column, column, C, D]
    rows = (g[0], g[0] + g[1], g[1])
    return [column for row in rows for column in (row[:, 0], row[:, 0] + row[:, 1], row[:, 1])]


def _spread_taps(sums: Nine) -> Array:
    """The adjoint of `_sum_taps`."""
    _, _, channels, out = sums[0].shape
    g = [[sums[r] + sums[r + 1] + sums[r + 3] + sums[r + 4] for r in (3 * row, 3 * row + 1)] for row in (0, 1)]
    return jnp.stack([jnp.stack(row, axis=1) for row in g]).reshape(4, 4, channels, out)


def _down_matrix(taps: Array) -> Array:
    """[2,2,C,D] to [4C,D]."""
    return taps.reshape(-1, taps.shape[-1])


def _up_matrix(taps: Array) -> Array:
    """[2,2,C,D] to [C,4D]."""
    return taps.transpose(2, 0, 1, 3).reshape(taps.shape[2], -1)


def _split_blocks(x: Array) -> Nine:
    """d0 - d1, d1, d2 - d1 of every tile, in rows and in columns: [B,4K+2,4L+2,C] to 9 x [B*K*L,4C]."""
    batch, height, width, channels = x.shape
    high, wide = height // 4, width // 4  # in tiles
    x = jnp.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))
    # A concatenation, since XLA:CPU would repeat a transpose in each of the nine.
    blocks = jnp.concatenate([x[:, r::2, c::2] for r in (0, 1) for c in (0, 1)], axis=-1)
    blocks = blocks.reshape(batch, high + 1, 2, wide + 1, 2, 4 * channels)

    def block(r: int, c: int) -> Array:
        return blocks[:, r // 2 : r // 2 + high, r % 2, c // 2 : c // 2 + wide, c % 2]

    rows = [[block(0, c) - block(1, c), block(1, c), block(2, c) - block(1, c)] for c in range(3)]
    columns = [(rows[0][r] - rows[1][r], rows[1][r], rows[2][r] - rows[1][r]) for r in range(3)]
    return [column.reshape(batch * high * wide, 4 * channels) for row in columns for column in row]


def _join_blocks(tiles: Nine, shape: Sequence[int]) -> Array:
    """The adjoint of `_split_blocks`: 9 x [B*K*L,4C] and the outputs' (B, 2K, 2L) to [B,4K+2,4L+2,C]."""
    batch, high, wide, channels = shape[0], shape[1] // 2, shape[2] // 2, tiles[0].shape[-1] // 4
    m = [tile.reshape(batch, high, wide, 4 * channels) for tile in tiles]
    rows = [(m[r], m[r + 1] - m[r] - m[r + 2], m[r + 2]) for r in (0, 3, 6)]  # the gradients of d0, d1, d2, in columns
    d = [[rows[0][c], rows[1][c] - rows[0][c] - rows[2][c], rows[2][c]] for c in range(3)]  # d[column][row]

    def place(r: int, c: int) -> Array:  # a tile's third block is the next tile's first
        return jnp.pad(d[c][r], ((0, 0), (r // 2, 1 - r // 2), (c // 2, 1 - c // 2), (0, 0)))

    blocks = (
        (place(0, 0) + place(2, 0) + place(0, 2) + place(2, 2), place(0, 1) + place(2, 1)),
        (place(1, 0) + place(1, 2), place(1, 1)),
    )
    pixel_rows = [
        jnp.stack([block[..., 2 * r * channels : 2 * (r + 1) * channels] for block in row], axis=3)
        for row in blocks
        for r in (0, 1)
    ]  # 4 x [B,K+1,L+1,2,2C]
    x = jnp.stack(pixel_rows, axis=2).reshape(batch, 4 * (high + 1), 4 * (wide + 1), channels)
    return x[:, :-2, :-2]


def _split_outputs(y: Array) -> Nine:
    """The adjoint of `_join_outputs`: y0, y0 + y1, y1 in rows and in columns, [B,2K,2L,D] to 9 x [B*K*L,D]."""
    batch, height, width, out = y.shape
    y = y.reshape(batch, height // 2, 2, width // 2, 2, out)
    rows = (y[:, :, 0], y[:, :, 0] + y[:, :, 1], y[:, :, 1])
    columns = [(row[..., 0, :], row[..., 0, :] + row[..., 1, :], row[..., 1, :]) for row in rows]
    return [column.reshape(-1, out) for row in columns for column in row]


def _join_outputs(products: Nine, shape: Sequence[int]) -> Array:
    """m0 + m1, m1 + m2 in rows and in columns: 9 x [B*K*L,D] to [B,2K,2L,D], `shape` being (B, 2K, 2L)."""
    batch, height, width = shape
    m = [product.reshape(batch, height // 2, width // 2, -1) for product in products]
    rows = [jnp.stack([m[n] + m[n + 1] + m[n + 3] + m[n + 4] for n in (first, first + 1)], axis=3) for first in (0, 3)]
    return jnp.stack(rows, axis=2).reshape(batch, height, width, -1)
