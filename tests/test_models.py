"""The networks are those of the baseline, and deterministic in inference."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan import color
from colorgan.errors import UserError
from colorgan.models import build as models
from colorgan.models.build import num_values

BASELINE: dict[str, Any] = {"output": "rgb", "critic": "dense"}


def _tiny(precision="float32", platform="cpu", **kinds):
    return models.create_networks(32, 4, 16, **(BASELINE | kinds), precision=precision, platform=platform)


def _shapes(image_size, width=64, max_width=512):
    generator, critic = models.create_networks(
        image_size, width, max_width, **BASELINE, precision="float32", platform="cpu"
    )
    gray, color = jnp.zeros((2, image_size, image_size, 1)), jnp.zeros((2, image_size, image_size, 3))
    rng = jax.random.key(0)
    return generator, jax.eval_shape(generator.init, rng, gray), jax.eval_shape(critic.init, rng, gray, color), gray


def test_baseline_has_the_same_number_of_values_as_the_original():
    """But for the biases before BatchNorm, which cancels them."""
    _, generator, critic, _ = _shapes(128)
    assert num_values(generator) == 48_660_291 - (128 + 256 + 3 * 512) - (4 * 512 + 256 + 128)
    assert num_values(critic) == 8_265_497 - (128 + 256 + 256) - 100


@pytest.mark.parametrize("image_size", [32, 64, 128, 256, 512])
def test_latent_is_one_vector_at_every_size(image_size):
    generator, variables, _, gray = _shapes(image_size)
    latent, skips = jax.eval_shape(lambda v, x: generator.apply(v, x, method="encode"), variables, gray)
    assert latent.shape == (2, 1, 512)
    assert [skip.shape[1] for skip, _ in skips] == [image_size >> n for n in range(1, len(skips) + 1)]
    assert skips[-1][0].shape[1] == 2
    rgb = jax.eval_shape(generator.apply, variables, gray)
    assert rgb.shape == (2, image_size, image_size, 3)
    assert rgb.dtype == jnp.float32


def test_widths_follow_from_the_config():
    _, generator, _, _ = _shapes(64, width=8, max_width=20)
    kernels = [generator["params"][f"encoder_{n}"]["kernel"].shape for n in range(5)]
    assert [kernel[-1] for kernel in kernels] == [8, 16, 20, 20, 20]


@pytest.fixture(scope="module")
def tiny():
    generator, critic = _tiny()
    gray = jax.random.uniform(jax.random.key(1), (4, 32, 32, 1), minval=-1, maxval=1)
    return generator, critic, jax.jit(generator.init)(jax.random.key(0), gray), gray


def _predict(network, variables, *images):
    return jax.jit(network.apply)(variables, *images)


def test_a_prediction_depends_only_on_its_image(tiny):
    generator, _, variables, gray = tiny
    together = _predict(generator, variables, gray)
    alone = _predict(generator, variables, gray[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)
    np.testing.assert_array_equal(together, _predict(generator, variables, gray))


def test_training_uses_dropout_and_normalizes_by_the_batch(tiny):
    generator, _, variables, gray = tiny

    @jax.jit
    def train(seed, images):
        return generator.apply(
            variables, images, training=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(seed)}
        )

    rgb, updated = train(0, gray)
    assert not np.allclose(rgb, train(1, gray)[0], atol=1e-4)
    assert not np.allclose(rgb[:2], train(0, gray[:2])[0], atol=1e-4)
    before, after = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(updated["batch_stats"])
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_platforms_share_parameters_and_results(tiny):
    generator, critic, variables, gray = tiny
    native_generator, native_critic = _tiny(platform="gpu")
    rgb = _predict(generator, variables, gray)
    np.testing.assert_allclose(_predict(native_generator, variables, gray), rgb, atol=1e-5)
    critic_variables = jax.jit(critic.init)(jax.random.key(2), gray, rgb)
    logits = _predict(critic, critic_variables, gray, rgb)
    assert logits.shape == (4,)
    np.testing.assert_allclose(_predict(native_critic, critic_variables, gray, rgb), logits, atol=1e-5)


def test_platforms_learn_the_same(tiny):
    """Forward and backward in training: dropout, normalization by the batch, concatenations."""
    _, _, variables, gray = tiny
    weights = jax.random.normal(jax.random.key(3), (4, 32, 32, 3))

    def learn(platform):
        generator, _ = _tiny(platform=platform)

        def weighted_sum(params):
            rgb, updated = generator.apply(
                {**variables, "params": params},
                gray,
                training=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(4)},
            )
            return (rgb * weights).sum(), (rgb, updated)

        return jax.jit(jax.grad(weighted_sum, has_aux=True))(variables["params"])

    (native, native_aux), (winograd, winograd_aux) = learn("gpu"), learn("cpu")
    for expected, actual in zip(jax.tree.leaves(native_aux), jax.tree.leaves(winograd_aux), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(native))
    for (path, expected), actual in zip(jax.tree.leaves_with_path(native), jax.tree.leaves(winograd), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-3 * largest, err_msg=jax.tree_util.keystr(path))


def test_dropout_is_in_three_layers_and_kernels_are_small(tiny):
    generator, _, variables, gray = tiny

    def train(rng):
        return generator.apply(variables, gray, training=True, mutable=["batch_stats"], rngs={"dropout": rng})

    assert str(jax.make_jaxpr(train)(jax.random.key(0))).count("random_bits") == 3
    kernels = [x for path, x in jax.tree_util.tree_leaves_with_path(variables["params"]) if "kernel" in str(path)]
    assert np.concatenate([np.ravel(x) for x in kernels]).std() == pytest.approx(0.02, rel=0.05)


def test_bfloat16_computes_in_low_precision_with_float32_parameters(tiny):
    generator, _, variables, gray = tiny
    low, _ = _tiny("bfloat16")
    parameters = jax.tree.leaves(jax.eval_shape(low.init, jax.random.key(0), gray))
    assert {x.dtype for x in parameters} == {jnp.dtype("float32")}
    latent, _ = jax.eval_shape(lambda: low.apply(variables, gray, method="encode"))
    assert latent.dtype == jnp.bfloat16
    np.testing.assert_allclose(_predict(low, variables, gray), _predict(generator, variables, gray), atol=0.02)


def test_chroma_output_keeps_the_luma(tiny):
    _, _, _, gray = tiny
    generator, _ = _tiny(output="chroma")
    variables = jax.jit(generator.init)(jax.random.key(0), gray)
    # Strong colors, beyond the range of RGB.
    params = jax.tree.map(lambda x: 100 * x, variables["params"]["to_color"])
    rgb = _predict(generator, variables | {"params": variables["params"] | {"to_color": params}}, gray)
    assert rgb.shape == (4, 32, 32, 3)
    assert float(jnp.abs(rgb).max()) <= 1
    assert float(rgb.std(axis=-1).mean()) > 0.1
    np.testing.assert_allclose(color.luma(rgb), gray, atol=1e-5)


def test_a_logit_of_the_patch_critic_depends_on_its_patch(tiny):
    _, _, _, gray = tiny
    _, critic = models.create_networks(64, 4, 16, **BASELINE | {"critic": "patch"}, precision="float32", platform="cpu")
    gray, rgb = jnp.zeros((1, 64, 64, 1)), jnp.zeros((1, 64, 64, 3))
    variables = jax.jit(critic.init)(jax.random.key(2), gray, rgb)
    logits = _predict(critic, variables, gray, rgb)
    assert logits.shape == (1, 8, 8)
    changed = _predict(critic, variables, gray, rgb.at[:, :2, :2].set(1.0)) != logits
    assert changed[0, 0, 0]
    assert not changed[0, -1, -1]


def test_spectral_norm_bounds_every_layer(tiny):
    _, _, _, gray = tiny
    _, critic = _tiny(critic="patch")
    rgb = color.gray_to_rgb(gray)
    variables = jax.jit(critic.init)(jax.random.key(2), gray, rgb)

    @jax.jit
    def train(variables):
        logits, updated = critic.apply(variables, gray, rgb, training=True, mutable=["batch_stats"])
        return logits, variables | updated

    for _ in range(30):
        logits, variables = train(variables)
    sigmas = {path: x for path, x in jax.tree.leaves_with_path(variables["batch_stats"]) if "sigma" in str(path)}
    kernels = [x for _, x in jax.tree.leaves_with_path(variables["params"]) if x.ndim == 4]
    assert len(sigmas) == len(kernels) == 5
    expected = [np.linalg.norm(np.reshape(x, (-1, x.shape[-1])), 2) for x in kernels]
    np.testing.assert_allclose(sorted(sigmas.values()), sorted(expected), rtol=0.02)
    scaled = variables | {"params": jax.tree.map(lambda x: 7 * x if x.ndim == 4 else x, variables["params"])}
    np.testing.assert_allclose(train(scaled)[0], train(variables)[0], rtol=1e-3)
    np.testing.assert_allclose(_predict(critic, variables, gray, rgb), logits, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(("key", "known"), [("output", "rgb, chroma"), ("critic", "dense, patch")])
def test_a_network_that_does_not_exist_is_reported(key, known):
    with pytest.raises(UserError, match=f"config.model.{key} is 'none' but must be one of {known}"):
        _tiny(**{key: "none"})
