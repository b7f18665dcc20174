"""BatchNorm and convolutions of several inputs, compared with direct implementations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan.models import convolutions, layers


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
    _, updated = norm.apply(variables, x, True, 0.3, mutable=["batch_stats"])
    np.testing.assert_allclose(updated["batch_stats"]["BatchNorm_0"]["mean"], 0.7 * mean, rtol=1e-4)


def test_batch_norm_has_the_gradient_of_flax():
    x = jax.random.normal(jax.random.key(0), (4, 3, 3, 5)) * 2 + 1
    weights = jax.random.normal(jax.random.key(1), x.shape)
    scale, bias = jnp.arange(1.0, 6.0), jnp.arange(5.0)
    of_flax = nn.BatchNorm(use_running_average=False, momentum=0.99, epsilon=1e-3)

    def by_flax(x, scale, bias):
        variables = {
            "params": {"scale": scale, "bias": bias},
            "batch_stats": {"mean": jnp.zeros(5), "var": jnp.ones(5)},
        }
        return (of_flax.apply(variables, x, mutable=["batch_stats"])[0] * weights).sum()

    def by_us(x, scale, bias):
        return (layers.normalize(x, scale, bias)[0] * weights).sum()

    expected, found = (jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(x, scale, bias) for f in (by_flax, by_us))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("convolve_fn", [convolutions.convolve, convolutions.convolve_down, convolutions.convolve_up])
@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_pieces_are_convolved_as_their_concatenation(convolve_fn, platform):
    rngs = jax.random.split(jax.random.key(0), 5)
    x, skip = (jax.random.normal(rng, (2, 4, 4, channels)) for rng, channels in zip(rngs, (3, 5), strict=False))
    kernel = jax.random.normal(rngs[2], (4, 4, 8, 7))
    mean, factor, shift = jax.random.normal(rngs[3], (3, 3))

    def plain(x, skip, kernel):
        pieces = [(x - mean) * factor + shift, skip]
        return (convolve_fn(jax.nn.relu(jnp.concatenate(pieces, axis=-1)), kernel, "cpu") ** 2).sum()

    def in_pieces(x, skip, kernel):
        normalized = layers.Normalized(x, mean, factor, shift)
        rectified = normalized, layers.Normalized.without_change(skip)
        pieces = tuple(jax.nn.relu(part.value()) for part in rectified)
        return (layers.convolve_pieces(convolve_fn, platform, pieces, rectified, kernel) ** 2).sum()

    expected, found = (jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(x, skip, kernel) for f in (plain, in_pieces))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-2)


def test_the_gradient_of_a_bias_is_summed_in_float32():
    """In bfloat16 the sum of 100,000 ones is 256."""
    x, bias = jnp.ones((100, 1000, 2), jnp.bfloat16), jnp.zeros(2)
    y, backward = jax.vjp(lambda x, bias: layers.add_bias(x, bias, "gpu"), x, bias)
    assert y.dtype == jnp.bfloat16
    x_gradient, bias_gradient = backward(jnp.ones_like(y))
    assert x_gradient.dtype == jnp.bfloat16
    assert bias_gradient.dtype == jnp.float32
    assert bias_gradient.tolist() == [100_000, 100_000]
