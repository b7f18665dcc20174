"""Places and their colors as planes, on the host and on a device."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from colorgan import hint_planes


def _random(num, side, seed=0):
    """Places, sizes, chroma and weights of 2 images; some places reach over the edge or are outside."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-0.2 * side, 1.2 * side, (2, num, 2))
    sizes, weights = rng.uniform(0, 9, (2, num)), rng.integers(0, 2, (2, num))
    return [array.astype(np.float32) for array in (places, sizes, rng.uniform(-1, 1, (2, num, 2)), weights)]


def _one(place, size=1.0, chroma=(0.25, -0.5), side=8):
    """The planes [S,S,3] of one hint."""
    arrays: Any = (np.asarray(value, np.float32)[None, None] for value in (place, size, chroma, 1.0))
    return hint_planes.render(*(*arrays, side))[0]


def test_numpy_and_jax_agree():
    places, sizes, chroma, weights = _random(40, 24)
    image = np.random.default_rng(1).uniform(-1, 1, (2, 24, 24, 2)).astype(np.float32)
    planes = hint_planes.render(places, sizes, chroma, weights, 24)
    means = hint_planes.means(image, places, sizes)
    assert (type(planes), planes.dtype, planes.shape) == (np.ndarray, np.float32, (2, 24, 24, 3))
    assert (type(means), means.shape) == (np.ndarray, (2, 40, 2))
    on_device: Any = [jnp.asarray(array) for array in (places, sizes, chroma, weights)]
    rendered = hint_planes.render(*(*on_device, 24))
    assert (type(rendered), rendered.dtype) == (type(on_device[0]), jnp.float32)
    np.testing.assert_allclose(rendered, planes, atol=1e-6)
    np.testing.assert_allclose(hint_planes.means(jnp.asarray(image), *on_device[:2]), means, atol=1e-6)


def test_planes_are_the_mean_color_of_the_hints_that_cover_a_pixel():
    """Computed again in loops."""
    side = 12
    places, sizes, chroma, weights = _random(30, side)
    planes = hint_planes.render(places, sizes, chroma, weights, side)
    assert 0 < planes[..., 2].mean() < 1
    for image in range(2):
        for row, column in np.ndindex(side, side):
            away = np.array((row + 0.5, column + 0.5)) - places[image]
            reach = np.maximum(sizes[image], 1)[:, None] / 2
            covering = ((away > -reach) & (away <= reach)).all(axis=-1) & (weights[image] > 0)
            expected = (*chroma[image][covering].mean(axis=0), 1) if covering.any() else (0, 0, 0)
            np.testing.assert_allclose(planes[image, row, column], expected, atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 0.3, 1.0])
def test_a_place_of_one_pixel_covers_the_one_with_its_center(size):
    for row in np.arange(0, 8, 0.25):
        place = (row, 7.75 - row)
        planes = _one(place, size)
        np.testing.assert_array_equal(np.argwhere(planes[..., 2]), [np.floor(place)])  # from the edge 0 on
        np.testing.assert_array_equal(planes[tuple(np.argwhere(planes[..., 2])[0])], (0.25, -0.5, 1))


@pytest.mark.parametrize(("size", "rows"), [(2, (3, 5)), (3, (2, 5)), (4, (2, 6)), (20, (0, 8))])
def test_a_place_is_a_square_of_its_size(size, rows):
    """Centered between two pixels, or on one."""
    center = 4.0 if size % 2 == 0 else 3.5
    mask = np.zeros((8, 8))
    mask[slice(*rows), slice(*rows)] = 1
    np.testing.assert_array_equal(_one((center, center), size)[..., 2], mask)


def test_a_place_at_the_edge_is_cut_and_one_outside_colors_nothing():
    assert _one((0.5, 7.5), 3)[..., 2].sum() == 4
    for place in ((-2, 4), (4, 10), (-9, -9), (8.01, 4), (4, -0.01)):
        assert not _one(place, 1).any()


def test_overlapping_hints_are_a_weighted_mean_and_weight_0_is_no_hint():
    places = np.full((1, 3, 2), 4, np.float32)
    sizes = np.array([[2, 4, 8]], np.float32)
    chroma = np.array([[[0.4, 0], [0, 0.8], [1, 1]]], np.float32)
    weights = np.array([[3, 1, 0]], np.float32)
    planes = hint_planes.render(places, sizes, chroma, weights, 8)[0]
    np.testing.assert_allclose(planes[4, 4], (0.3, 0.2, 1), atol=1e-6)
    np.testing.assert_allclose(planes[2, 2], (0, 0.8, 1), atol=1e-6)
    assert not planes[0, 0].any()
    assert not hint_planes.render(places, sizes, chroma, 0 * weights, 8).any()
    assert hint_planes.render(places[:, :0], sizes[:, :0], chroma[:, :0], weights[:, :0], 8).shape == (1, 8, 8, 3)


def test_means_are_of_the_same_pixels():
    image = np.random.default_rng(2).uniform(-1, 1, (1, 8, 8, 2)).astype(np.float32)
    places, sizes = np.array([[[4, 4], [0.5, 7.5], [-9, 3]]], np.float32), np.array([[4, 3, 3]], np.float32)
    means = hint_planes.means(image, places, sizes)[0]
    np.testing.assert_allclose(means[0], image[0, 2:6, 2:6].mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(means[1], image[0, :2, 6:].mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_array_equal(means[2], 0)  # outside


def test_thousands_of_hints():
    places, sizes, chroma, weights = _random(3000, 64)
    modules: tuple[Any, ...] = (np, jnp)
    for xp in modules:
        arrays: Any = [xp.asarray(array) for array in (places, sizes, chroma, weights)]
        planes = hint_planes.render(*(*arrays, 64))
        assert np.isfinite(planes).all()
        assert planes[..., 2].mean() > 0.9
        assert np.abs(planes[..., :2]).max() <= 1
