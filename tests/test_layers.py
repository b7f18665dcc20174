"""Both lowerings of each convolution compute the same numbers, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan.models import layers


@pytest.mark.parametrize("convolve_fn", [layers.convolve, layers.convolve_down, layers.convolve_up])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 2, 2, 5), (2, 4, 6, 1)])
def test_lowerings_agree(convolve_fn, shape):
    x_rng, kernel_rng, weight_rng = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(x_rng, shape)
    kernel = jax.random.normal(kernel_rng, (4, 4, shape[-1], 7))
    weights = jax.random.normal(weight_rng, jax.eval_shape(lambda: convolve_fn(x, kernel, "native")).shape)

    def outputs(lowering):
        def weighted_sum(x, kernel):
            return (convolve_fn(x, kernel, lowering) * weights).sum()

        return convolve_fn(x, kernel, lowering), *jax.grad(weighted_sum, argnums=(0, 1))(x, kernel)

    for native, matmul in zip(outputs("native"), outputs("matmul"), strict=True):
        assert native.shape == matmul.shape
        np.testing.assert_allclose(native, matmul, rtol=1e-5, atol=1e-4)


def test_one_by_one_input_is_doubled():
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    for lowering in ("native", "matmul"):
        up = layers.convolve_up(jnp.ones((1, 1, 1, 1)), kernel, lowering)
        np.testing.assert_allclose(up[0, :, :, 0], [[10, 9], [6, 5]])


def test_batch_norm_has_the_constants_of_keras():
    x = jax.random.normal(jax.random.key(0), (64, 3)) * 2 + 5
    norm = layers.BatchNorm()
    variables = norm.init(jax.random.key(1), x, True)
    (y, _), updated = norm.apply(variables, x, True, mutable=["batch_stats"])
    mean, variance = x.mean(axis=0), x.var(axis=0)
    np.testing.assert_allclose(y, (x - mean) / jnp.sqrt(variance + 1e-3), atol=1e-4)
    averages = updated["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(averages["mean"], 0.01 * mean, rtol=1e-4)
    np.testing.assert_allclose(averages["var"], 0.99 + 0.01 * variance, rtol=1e-4)
