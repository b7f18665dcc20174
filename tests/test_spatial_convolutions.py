"""Both lowerings compute the same convolution, forward and backward, and enlarging is that of other frameworks."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan.models.spatial_convolutions import convolve, depthwise, upsample_bilinear

# Even and odd sizes, several blocks of images, and inputs smaller than the kernel.
DEPTHWISE = [
    (shape, size, stride) for size in (3, 5, 7) for stride in (1, 2) for shape in ((4, 8, 8, 16), (1, 3, 5, 2))
]
DEPTHWISE += [((2, 1, 2, 3), 7, 1), ((2, 2, 1, 3), 5, 2), ((8, 32, 32, 96), 3, 2)]
CONVOLVE = [
    ((4, 8, 12, 16), 24, 1),  # Winograd's products
    ((4, 32, 32, 40), 16, 1),  # in several blocks
    ((2, 128, 16, 288), 16, 1),  # in several strips
    ((3, 4, 6, 16), 16, 1),
    ((2, 7, 8, 16), 16, 1),
    ((2, 8, 8, 16), 2, 1),
    ((2, 8, 8, 1), 16, 2),
    ((2, 7, 5, 3), 4, 2),
    ((2, 1, 1, 3), 4, 2),
]


def _outputs(convolve_fn, x, kernel, stride, lowering):
    @jax.jit
    def outputs(x, kernel):
        y, backward = jax.vjp(lambda x, kernel: convolve_fn(x, kernel, stride, lowering), x, kernel)
        return y, *backward(jax.random.normal(jax.random.key(2), y.shape, y.dtype))

    return outputs(x, kernel)


def _check(convolve_fn, shape, kernel_shape, stride, dtype=jnp.float32, tolerance=1e-5):
    x = jax.random.normal(jax.random.key(0), shape, dtype)
    kernel = jax.random.normal(jax.random.key(1), kernel_shape, dtype)
    # In float32 in any case: the native gradients in bfloat16 are no better reference.
    native = _outputs(convolve_fn, x.astype(jnp.float32), kernel.astype(jnp.float32), stride, "native")
    for expected, actual in zip(native, _outputs(convolve_fn, x, kernel, stride, "cpu"), strict=True):
        assert actual.dtype == dtype
        limit = tolerance * float(jnp.abs(expected).max())
        np.testing.assert_allclose(actual.astype(jnp.float32), expected, atol=limit)


@pytest.mark.parametrize(("shape", "size", "stride"), DEPTHWISE)
def test_depthwise_lowerings_agree(shape, size, stride):
    _check(depthwise, shape, (size, size, 1, shape[-1]), stride)


@pytest.mark.parametrize(("shape", "out", "stride"), CONVOLVE)
def test_lowerings_agree(shape, out, stride):
    _check(convolve, shape, (3, 3, shape[-1], out), stride)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 1, 5, 2)])
def test_upsampling_interpolates_between_pixel_centers(shape):
    x, dy = (
        jax.random.normal(jax.random.key(0), shape),
        jax.random.normal(jax.random.key(1), (shape[0], 2 * shape[1], 2 * shape[2], shape[3])),
    )
    expected, transposed = jax.vjp(lambda x: jax.image.resize(x, dy.shape, "bilinear"), x)
    y, backward = jax.vjp(upsample_bilinear, x)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(backward(dy)[0], transposed(dy)[0], atol=1e-5)


@pytest.mark.parametrize("convolve_fn", [convolve, depthwise])
def test_an_exported_program_takes_any_batch(convolve_fn):
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 1 if convolve_fn is depthwise else 16, 16))
    x = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("batch"), 8, 8, 16), jnp.float32)
    program = jax.export.export(jax.jit(lambda x: convolve_fn(x, kernel, 1, "winograd")))(x)
    for batch in (1, 5):
        images = jax.random.normal(jax.random.key(1), (batch, 8, 8, 16))
        expected = convolve_fn(images, kernel, 1, "native")
        np.testing.assert_allclose(jax.jit(program.call)(images), expected, rtol=1e-4, atol=1e-4)
