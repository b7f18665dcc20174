"""Hints for training: how many, where, of which colors, and that they follow from the seed and the step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, create_step_fn, run_steps

from colorgan import color, hint_planes, sharding
from colorgan.configs import default
from colorgan.data.synthetic import scenes
from colorgan.training import build, simulated_hints
from colorgan.training import state as train_state


@pytest.fixture
def simulate(monkeypatch):
    """A function that simulates a batch with hints, and returns the arguments of `hint_planes.render` too."""

    def run(real, seed=0, **constants):
        for name, value in {"_SHARE_WITHOUT": 0.0, **constants}.items():
            monkeypatch.setattr(simulated_hints, name, value)
        recorded, original = [], hint_planes.render

        def render(*inputs):
            recorded.append(inputs)
            return original(*inputs)

        @jax.jit
        def simulate_fn(real, rng):
            with monkeypatch.context() as patch:
                patch.setattr(hint_planes, "render", render)
                return simulated_hints.simulate(real, rng), recorded[-1][:4]

        result, arguments = jax.device_get(simulate_fn(jnp.asarray(real), jax.random.key(seed)))
        return result, *arguments

    return run


def _smooth(num, side, seed=0):
    """Images of smooth random colors, [N,S,S,3] in [-1,1]."""
    small = np.random.default_rng(seed).uniform(-0.6, 0.6, (num, 3, 3, 3)).astype(np.float32)
    return np.asarray(jax.image.resize(small, (num, side, side, 3), "bilinear"))


def test_a_third_of_the_batches_has_no_hints():
    keys = jax.random.split(jax.random.key(0), 900)
    real = jnp.asarray(_smooth(2, 8))
    masks = jax.jit(jax.vmap(lambda key: simulated_hints.simulate(real, key).planes[..., 2].any(axis=(1, 2))))(keys)
    np.testing.assert_array_equal(masks[:, 0], masks[:, 1])
    assert masks.mean() == pytest.approx(2 / 3, abs=0.06)


def test_small_numbers_are_as_frequent_as_large_ones(simulate):
    result, places, sizes, _, weights = simulate(_smooth(900, 8))
    num_hints = weights.sum(axis=1)
    np.testing.assert_array_equal(weights, np.arange(256) < num_hints[:, None])
    some = num_hints[num_hints > 0]
    assert (some.min(), some.max()) == (1, pytest.approx(250, abs=6))
    assert [(some < limit).mean() for limit in (4, 16, 64)] == pytest.approx([0.25, 0.5, 0.75], abs=0.07)
    assert (places.min() >= 0) & (places.max() <= 8)
    assert sizes.max() == pytest.approx(8 * 9 / 128, rel=0.01)
    has_planes = result.planes.any(axis=(1, 2, 3))
    np.testing.assert_array_equal(has_planes, num_hints > 0)


def test_chroma_is_the_mean_of_the_image_where_it_is(simulate):
    real = _smooth(24, 32)
    result, places, sizes, chroma, weights = simulate(real, _NOISE=0.0, _SHARE_RECOLORED=0.0)
    np.testing.assert_array_equal(result.images, real)
    expected = hint_planes.means(color.rgb_to_chroma(real), places, sizes)
    np.testing.assert_allclose(chroma, expected, atol=1e-5)
    np.testing.assert_allclose(result.planes, hint_planes.render(places, sizes, chroma, weights, 32), atol=1e-5)
    away = np.abs(result.planes[..., :2] - color.rgb_to_chroma(real))[result.planes[..., 2] > 0]
    assert away.max() < 0.15  # within a place the image changes little


def test_noise_is_small(simulate):
    real = _smooth(24, 32)
    _, places, sizes, chroma, _ = simulate(real, _SHARE_RECOLORED=0.0)
    noise = np.linalg.norm(chroma - hint_planes.means(color.rgb_to_chroma(real), places, sizes), axis=-1)
    assert noise.max() <= 0.0201
    assert noise.mean() == pytest.approx(0.02 * 2 / 3, rel=0.05)  # uniform in a disk


def test_half_of_the_images_with_hints_have_another_color_and_all_their_luma(simulate):
    real = _smooth(300, 16)
    result, *_ = simulate(real, _SHARE_WITHOUT=1.0)
    np.testing.assert_array_equal(result.images, real)
    assert not result.planes.any()
    result, places, sizes, chroma, _ = simulate(real, _NOISE=0.0, _SHARE_WITHOUT=0.0)
    np.testing.assert_allclose(color.luma(result.images), color.luma(real), atol=1e-5)
    assert np.abs(result.images).max() <= 1 + 1e-5
    is_changed = np.abs(result.images - real).max(axis=(1, 2, 3)) > 1e-3
    assert is_changed.mean() == pytest.approx(0.5, abs=0.1)
    expected = hint_planes.means(color.rgb_to_chroma(result.images), places, sizes)
    np.testing.assert_allclose(chroma, expected, atol=1e-5)  # the color that the image has now
    np.testing.assert_array_equal(result.images[~is_changed], real[~is_changed])


def test_the_first_hint_is_in_the_region_with_another_color(simulate):
    """Of images with two colors, one changes, in some distance."""
    real = np.empty((200, 32, 32, 3), np.float32)
    real[:, :, :16], real[:, :, 16:] = (-0.5, -0.4, 0.1), (0.5, 0.3, -0.1)
    result, places, _, chroma, _ = simulate(real, _NOISE=0.0, _SHARE_RECOLORED=1.0, _SHARE_WITHOUT=0.0)
    change = np.abs(result.images - real).max(axis=-1)
    num_checked = 0
    for n in range(200):
        row, column = np.minimum(places[n, 0].astype(int), 31)
        if abs(column - 15.5) < 4:
            continue
        half = slice(16) if column < 16 else slice(16, 32)
        other = slice(16, 32) if column < 16 else slice(16)
        assert change[n, row, column] > 0.05
        assert change[n, :, half].max() == pytest.approx(change[n, row, column], abs=1e-2)
        assert change[n, :, other].max() < 1e-3
        now = color.rgb_to_chroma(result.images[n, row, column])
        np.testing.assert_allclose(chroma[n, 0], now, atol=1e-2)
        num_checked += 1
    assert num_checked > 100


def test_hints_follow_from_the_key(simulate):
    real = _smooth(6, 16)
    first, again, other = (simulate(real, seed, _SHARE_WITHOUT=0.0)[0] for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.abs(first.planes - other.planes).max() > 0


KEYS = {"model.hints": True, "model.encoder": "tiny", "model.encoder_rate": 0.0, "optimizer.weight_decay": 0.1}
KEYS |= {"data.degrade": 0.0} | {
    f"loss.{name}_weight": 0.0 for name in ("adversarial", "palette", "histogram")
}  # compiled in half the time


@pytest.fixture(scope="module")
def stepping():
    """The mesh, a function for a new state, and the step, with hints and an encoder that stays as it is."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | KEYS)
    gan = build.create_gan(config, "cpu")
    mesh = sharding.create_mesh(jax.devices()[:1])
    shardings = train_state.state_shardings(gan, mesh)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_hints, "_SHARE_WITHOUT", 0.0)  # hints in every step
        yield mesh, lambda: train_state.create_state(gan, config.seed, shardings), create_step_fn(config, gan, mesh)


def test_a_run_that_stops_between_two_steps_continues_the_same(stepping):
    """And the hints of a step are those of its number."""
    mesh, create_fn, step_fn = stepping
    images = np.stack([scenes.create_image(n, 36) for n in range(8)])
    whole, history = run_steps(mesh, create_fn(), step_fn, images, 2)
    half, first = run_steps(mesh, create_fn(), step_fn, images, 1)
    saved = jax.device_get(half)
    placed = jax.tree.map(lambda value, like: jax.device_put(value, like.sharding), saved, create_fn())
    resumed, second = run_steps(mesh, placed, step_fn, images, 1)
    assert first + second == history
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert all(np.isfinite(value) for step in history for value in step.values())
    later = create_fn().replace(step=jax.device_put(jnp.int32(1), half.step.sharding))
    _, elsewhere = run_steps(mesh, later, step_fn, images, 1)
    assert elsewhere[0]["train/generator/l1"] != history[0]["train/generator/l1"]


def test_an_encoder_with_the_rate_0_stays_as_it_is_and_layers_for_hints_do_not(stepping):
    mesh, create_fn, step_fn = stepping
    images = np.stack([scenes.create_image(n, 36) for n in range(8)])
    before = jax.device_get(create_fn())
    after, _ = run_steps(mesh, create_fn(), step_fn, images, 4)  # some of which have hints
    encoder = before.generator.params["encoder"]
    jax.tree.map(np.testing.assert_array_equal, after.generator.params["encoder"], encoder)
    average = after.generator_ema["params"]["encoder"]  # which is rounded
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-8), average, encoder)
    moments = [
        np.abs(leaf).max()
        for path, leaf in jax.tree_util.tree_leaves_with_path(after.generator.opt_state)
        if "encoder" in jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    ]
    assert moments
    assert max(moments) == 0  # no gradient
    for path, leaf in jax.tree_util.tree_leaves_with_path(after.generator.params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "decoder_0/HintLayer_0/_ZeroConvolution_0" in name or "latent_hints" in name or name == "latent/kernel":
            assert np.abs(leaf - _at(before.generator.params, path)).max() > 1e-5, name


def _at(tree, path):
    for key in path:
        tree = tree[key.key]
    return tree


def test_a_frozen_encoder_has_no_backward_pass():
    """Half of the products with its kernels, those of their gradients, are not in the program."""
    mesh = sharding.create_mesh(jax.devices()[:1])
    numbers = []
    for rate in (0.0, 0.5):
        config = default.get_config()
        config.update_from_flattened_dict(TINY | KEYS | {"model.hints": False, "model.encoder_rate": rate})
        gan = build.create_gan(config, "tpu")
        step_fn = build.create_train_step(config, gan, mesh)
        images = jax.ShapeDtypeStruct((8, 36, 36, 3), np.uint8)
        state = train_state.abstract_state(gan, sharding.replicated(mesh))
        text = step_fn.lower(state, images, build.create_hyperparameters(config, 10)).as_text()
        numbers.append(text.count("stablehlo.convolution"))
    assert numbers[1] - numbers[0] >= 8, numbers
