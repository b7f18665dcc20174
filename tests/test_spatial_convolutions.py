"""All platforms compute the same convolution, forward and backward, and enlarging is that of other frameworks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan.models.spatial_convolutions import convolve, depthwise, pointwise
from colorgan.models.upsampling import upsample_bilinear

DEPTHWISE = [  # shape, size of the kernel, stride
    ((4, 8, 8, 16), 3, 1),
    ((2, 9, 6, 5), 5, 1),
    ((8, 32, 32, 96), 3, 2),  # in several blocks of images
    ((4, 8, 8, 16), 5, 2),
    ((3, 7, 4, 2), 7, 2),
    ((1, 3, 5, 2), 7, 1),  # smaller than the kernel, as are the next
    ((2, 2, 1, 3), 5, 2),
]
CONVOLVE = [  # shape, channels of the output, stride
    ((4, 4, 12, 16), 24, 1),  # Winograd's products
    ((4, 32, 32, 80), 16, 1),  # in several blocks of images
    ((1, 128, 8, 576), 16, 1),  # in several strips of an image
    ((2, 7, 8, 16), 16, 1),  # without
    ((2, 8, 8, 16), 2, 1),
    ((2, 8, 8, 1), 16, 2),
    ((2, 7, 4, 3), 4, 2),
    ((2, 1, 1, 3), 4, 2),
]


def _outputs(function, *inputs):
    @jax.jit
    def outputs(*inputs):
        y, backward = jax.vjp(function, *inputs)
        return y, *backward(jax.random.normal(jax.random.key(2), y.shape, y.dtype))

    return outputs(*inputs)


def _inputs(shape, kernel_shape, dtype=jnp.float32):
    return [jax.random.normal(jax.random.key(n), s, dtype) for n, s in enumerate((shape, kernel_shape))]


def _check(expected, actual, tolerance=1e-5):
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_allclose(np.float32(b), a, atol=tolerance * np.abs(a).max())


def _check_platforms(convolve_fn, stride, inputs):
    expected = _outputs(lambda x, kernel: convolve_fn(x, kernel, stride, "tpu"), *inputs)
    for platform in ("cpu", "gpu"):
        _check(expected, _outputs(lambda x, kernel, p=platform: convolve_fn(x, kernel, stride, p), *inputs))


@pytest.mark.parametrize(("shape", "size", "stride"), DEPTHWISE)
def test_depthwise_platforms_agree(shape, size, stride):
    _check_platforms(depthwise, stride, _inputs(shape, (size, size, 1, shape[-1])))


@pytest.mark.parametrize(("shape", "out", "stride"), CONVOLVE)
def test_platforms_agree(shape, out, stride):
    _check_platforms(convolve, stride, _inputs(shape, (3, 3, shape[-1], out)))


def test_pointwise_is_a_convolution():
    inputs = _inputs((2, 4, 6, 8), (8, 16))
    _check(_outputs(lambda x, kernel: convolve(x, kernel[None, None], 1, "tpu"), *inputs), _outputs(pointwise, *inputs))


@pytest.mark.parametrize("shape", [(2, 4, 6, 8), (1, 1, 2, 3)])
def test_upsample_bilinear(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    double = (shape[0], 2 * shape[1], 2 * shape[2], shape[3])
    expected = _outputs(lambda x: jax.image.resize(x, double, "linear"), x)
    for platform in ("cpu", "gpu", "tpu"):
        _check(expected, _outputs(functools.partial(upsample_bilinear, platform=platform), x))


@pytest.mark.parametrize(
    ("convolve_fn", "stride", "kernel_shape"), [(depthwise, 2, (5, 5, 1, 48)), (convolve, 1, (3, 3, 48, 48))]
)
def test_bfloat16(convolve_fn, stride, kernel_shape):
    inputs = _inputs((2, 8, 8, 48), kernel_shape, jnp.bfloat16)
    actual = [
        _outputs(lambda x, kernel, p=platform: upsample_bilinear(convolve_fn(x, kernel, stride, p), p), *inputs)
        for platform in ("cpu", "gpu")
    ]
    assert all(output.dtype == jnp.bfloat16 for outputs in actual for output in outputs)
    # Float32, the gradient of the output being rounded as above.
    wide = [value.astype(jnp.float32) for value in inputs]
    y, backward = jax.vjp(lambda x, k: upsample_bilinear(convolve_fn(x, k, stride, "tpu"), "tpu"), *wide)
    gradient = jax.random.normal(jax.random.key(2), y.shape, jnp.bfloat16).astype(jnp.float32)
    for outputs in actual:
        _check((y, *backward(gradient)), outputs, 0.03)


def test_export_for_batches_of_any_size():
    x, kernel = _inputs((2, 128, 8, 576), (3, 3, 576, 16))
    kernels = _inputs((5, 5, 1, 16), (16, 2))

    @jax.jit
    def network(x):
        y = depthwise(convolve(x, kernel, 1, "cpu"), kernels[0], 2, "cpu")
        return upsample_bilinear(pointwise(y, kernels[1]), "cpu")

    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(network)(jax.ShapeDtypeStruct((batch, *x.shape[1:]), jnp.float32))
    _check([network(x)], [exported.call(x)])


def test_gradients_export():
    def loss(kernels, x):
        return convolve(depthwise(x, kernels[0], 2, "cpu"), kernels[1], 1, "cpu").sum()

    kernels, x = [jnp.ones((5, 5, 1, 16)), jnp.ones((3, 3, 16, 16))], jnp.ones((2, 16, 16, 16))
    gradients = jax.jit(jax.grad(loss))
    _check(gradients(kernels, x), jax.export.export(gradients)(kernels, x).call(kernels, x))
