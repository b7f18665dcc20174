"""All platforms' convolutions are the same, forward and backward, at every size in the networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan.models.convolutions import convolve, convolve_down, convolve_up

# The first of each kind is large enough for Winograd's products, the others are not.
CASES = [
    (convolve, (2, 16, 24, 16), 8),
    (convolve, (2, 4, 4, 16), 8),
    (convolve_down, (2, 32, 16, 16), 8),
    (convolve_down, (2, 16, 16, 1), 8),
    (convolve_down, (2, 2, 2, 16), 8),
    (convolve_up, (2, 16, 8, 8), 16),
    (convolve_up, (2, 16, 16, 8), 3),
    (convolve_up, (2, 1, 1, 16), 16),
]


@pytest.mark.parametrize(("convolve_fn", "shape", "out"), CASES)
def test_platforms_agree_forward_and_backward(convolve_fn, shape, out):
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (4, 4, shape[-1], out))

    def outputs(platform):
        y, backward = jax.vjp(lambda x, kernel: convolve_fn(x, kernel, platform), x, kernel)
        return y, *backward(jax.random.normal(jax.random.key(2), y.shape))

    on_tpu, on_gpu, on_cpu = (jax.jit(outputs, static_argnums=0)(platform) for platform in ("tpu", "gpu", "cpu"))
    for expected, *others in zip(on_tpu, on_gpu, on_cpu, strict=True):
        for actual in others:
            np.testing.assert_allclose(actual, expected, atol=2e-6 * float(jnp.abs(expected).max()))


def _num_products(convolve_fn, shape, out):
    x, kernel = jnp.zeros(shape), jnp.zeros((4, 4, shape[-1], out))
    compiled = jax.jit(lambda x, kernel: convolve_fn(x, kernel, "cpu")).lower(x, kernel).compile()
    return dict(compiled.cost_analysis() or {})["flops"] / 2


@pytest.mark.parametrize(("convolve_fn", "size"), [(convolve, 16), (convolve_down, 32), (convolve_up, 16)])
def test_winograd_uses_nine_products_instead_of_sixteen(convolve_fn, size):
    x = (2, size, size, 64)
    outputs_of_a_kernel = 2 * 16 * 16 * 64 * 64 * 16
    assert 9 / 16 < _num_products(convolve_fn, x, 64) / outputs_of_a_kernel < 0.65


def test_one_by_one_input_is_doubled():
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    for platform in ("cpu", "gpu", "tpu"):
        up = convolve_up(jnp.ones((1, 1, 1, 1)), kernel, platform)
        np.testing.assert_allclose(up[0, :, :, 0], [[10, 9], [6, 5]])
