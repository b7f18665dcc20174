"""The layers by which a generator takes hints: nothing without hints, nothing before training, and colors after it."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan import color, hint_planes
from colorgan.errors import UserError
from colorgan.models import hints as hint_layers
from colorgan.models.build import create_networks
from colorgan.models.generator import predict

GENERATORS = [("unet", 32), ("tiny", 96)]


def _generator(encoder="tiny", image_size=32, hints=True, precision="float32", output="chroma"):
    sizes: dict[str, Any] = {"width": 4, "max_width": 16}
    return create_networks(
        image_size,
        **sizes,
        output=output,
        critic="patch",
        precision=precision,
        platform="cpu",
        encoder=encoder,
        hints=hints,
    )[0]


@functools.cache
def _untrained(encoder, image_size):
    """A generator that takes hints, and its variables."""
    generator = _generator(encoder, image_size)
    return generator, jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, image_size, image_size, 1)))


@functools.cache
def _trained(encoder, image_size):
    """The same with random values of all parameters for hints."""
    generator, variables = _untrained(encoder, image_size)
    rng = np.random.default_rng(1)

    def change(path, value):
        is_of_hints = hint_layers.is_of_hints([key.key for key in path])
        return value + rng.normal(0, 0.3, value.shape).astype(np.float32) if is_of_hints else value

    return generator, jax.tree_util.tree_map_with_path(change, variables)


def _gray(side, num=2):
    return jax.random.uniform(jax.random.key(2), (num, side, side, 1), minval=-0.7, maxval=0.7)


def _planes(side, num=2, seed=3, weight=1.0):
    rng = np.random.default_rng(seed)
    places, chroma = rng.uniform(0, side, (num, 5, 2)), rng.uniform(-0.5, 0.5, (num, 5, 2))
    arrays = (places, np.full((num, 5), 3.0), chroma, np.full((num, 5), weight))
    rounded: Any = [array.astype(np.float32) for array in arrays]
    return hint_planes.render(*(*rounded, side))


@functools.cache
def _jitted(generator):
    return jax.jit(functools.partial(predict, generator))


def _predict(generator, variables, gray, hints=None):
    return np.asarray(_jitted(generator)(variables, gray, hints))


@pytest.mark.parametrize(("encoder", "side"), GENERATORS)
def test_untrained_layers_change_nothing(encoder, side):
    generator, variables = _untrained(encoder, side)
    plain = _generator(encoder, side, hints=False)
    without = hint_layers.without_hints(variables)
    num_arrays = [len(jax.tree.leaves(values)) for values in (without, variables)]
    assert num_arrays[0] < num_arrays[1]
    expected = _predict(plain, without, _gray(side))
    np.testing.assert_array_equal(_predict(generator, variables, _gray(side)), expected)
    for hints in (_planes(side), np.zeros((2, side, side, 3), np.float32)):
        np.testing.assert_allclose(_predict(generator, variables, _gray(side), hints), expected, atol=1e-5)


@pytest.mark.parametrize(("encoder", "side"), [*GENERATORS, ("tiny", 160), ("tiny", 224), ("unet", 256)])
def test_shapes_at_other_sizes(encoder, side):
    generator, plain = (_generator(encoder, side, hints) for hints in (True, False))
    gray, planes = np.zeros((1, side, side, 1)), np.zeros((1, side, side, 3))
    variables, expected = (jax.eval_shape(network.init, jax.random.key(0), gray) for network in (generator, plain))
    assert hint_layers.without_hints(variables) == dict(expected)
    assert jax.eval_shape(functools.partial(predict, generator), variables, gray, planes).shape == (1, side, side, 3)


def test_other_parameters_begin_as_without_hints():
    _, variables = _untrained("unet", 32)
    expected = jax.jit(_generator("unet", 32, hints=False).init)(jax.random.key(0), np.zeros((1, 32, 32, 1)))
    jax.tree.map(np.testing.assert_array_equal, hint_layers.without_hints(variables), dict(expected))


@pytest.mark.parametrize(("encoder", "side"), GENERATORS)
def test_trained_layers_change_something_where_there_are_hints_alone(encoder, side):
    generator, variables = _trained(encoder, side)
    gray = _gray(side)
    without = _predict(generator, variables, gray)
    planes = _planes(side)
    np.testing.assert_allclose(_predict(generator, variables, gray, np.zeros_like(planes)), without, atol=1e-5)
    planes[1] = 0
    with_hints = _predict(generator, variables, gray, planes)
    assert np.abs(with_hints - without)[0].max() > 0.05
    np.testing.assert_allclose(with_hints[1], without[1], atol=1e-5)  # the hints of one image are not those of another
    np.testing.assert_allclose(color.luma(with_hints), gray, atol=1e-5)
    hint = planes[0, ..., 2] > 0
    other = planes.copy()
    other[0, hint, :2] *= -1  # another color at the same places
    assert np.abs(_predict(generator, variables, gray, other) - with_hints)[0].max() > 0.01


def test_a_color_is_passed_on_unchanged_to_near_places_and_to_similar_ones():
    class PassOn(hint_layers.HintLayer):
        """What the layer passes on, [B,H,W,6], before its convolution."""

        @nn.compact
        def __call__(self, before, planes):
            return self._pass_on(before, hint_layers.pool(planes, before.shape[1]))

    planes = np.zeros((1, 32, 32, 3), np.float32)
    planes[0, 2:4, 2:4] = (0.3, -0.2, 1)
    features = np.ones((1, 16, 16, 8), np.float32)
    features[:, :, 8:] *= np.where(np.arange(8) % 2, 1, -1)  # the right half looks different
    layer = PassOn(4, platform="cpu")
    variables = jax.jit(layer.init)(jax.random.key(0), features, planes)
    for name in ("query", "key"):
        variables["params"][name]["kernel"] = jnp.eye(8, 32)
    passed = np.asarray(jax.jit(layer.apply)(variables, features, planes))[0]
    for head in (passed[..., :3], passed[..., 3:]):
        share = head[..., 2]
        np.testing.assert_allclose(head[..., :2], share[..., None] * (0.3, -0.2), atol=1e-6)
        assert 0.9 < share[1, 1] < 1
        assert share[1, 1] > share[1, 7] > share[15, 7] >= 0
        assert share[1, 7] > 2 * share[1, 8]


@pytest.mark.parametrize("encoder", ["unet", "tiny"])
def test_bfloat16(encoder):
    generator, variables = _trained(encoder, 32)
    gray, planes = _gray(32), _planes(32)
    low = generator.clone(dtype=jnp.bfloat16)
    exact, rounded = (_predict(network, variables, gray, planes) for network in (generator, low))
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.1
    without = _predict(low, variables, gray)
    np.testing.assert_allclose(_predict(low, variables, gray, np.zeros_like(planes)), without, atol=1e-2)
    assert np.abs(rounded - without).max() > 0.05
    initial = jax.eval_shape(low.init, jax.random.key(0), gray)
    assert {leaf.dtype for leaf in jax.tree.leaves(initial)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("encoder", ["unet", "tiny"])
def test_all_parameters_for_hints_are_trained(encoder):
    generator, variables = _trained(encoder, 32)
    untrained = _untrained(encoder, 32)[1]

    @jax.jit
    @jax.grad
    def gradient_fn(params):
        rgb = generator.apply(variables | {"params": params}, _gray(32), hints=_planes(32))
        return (rgb * jnp.asarray((1.0, -0.5, 0.3))).sum()

    for values, is_trained in ((untrained, False), (variables, True)):
        for path, gradient in jax.tree_util.tree_leaves_with_path(gradient_fn(values["params"])):
            names = [key.key for key in path]
            if hint_layers.is_of_hints(names):
                assert np.isfinite(gradient).all(), names
                begins = "output" in names or "latent_hints" in names  # the others wait for these, which are 0
                assert (np.abs(gradient).max() > 0) == (is_trained or begins), names


def test_hints_need_chroma():
    with pytest.raises(UserError, match=r"^config.model.hints needs config.model.output='chroma'"):
        _generator(output="rgb")


def test_pooled_planes_keep_the_color():
    planes = _planes(32)
    for size in (16, 8, 1):
        pooled = np.asarray(hint_layers.pool(planes, size))
        assert pooled.shape == (2, size, size, 4)
        np.testing.assert_allclose(pooled[..., 2].mean(axis=(1, 2)), planes[..., 2].mean(axis=(1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(pooled[..., 3], pooled[..., 2] > 0)
        assert not pooled[pooled[..., 3] == 0].any()
        colors = (pooled[..., :2] * pooled[..., 2:3]).mean(axis=(1, 2))
        np.testing.assert_allclose(colors, planes[..., :2].mean(axis=(1, 2)), atol=1e-6)
