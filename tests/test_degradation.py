"""Images degraded like old photographs: the luma is damaged, the colors stay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan import color
from colorgan.data import degradation, pipeline, sources
from colorgan.data.synthetic import scenes

SIZE = 64

_degrade_some = jax.jit(degradation.degrade_some)


@pytest.fixture(scope="module")
def images():
    return color.to_signed(jnp.stack([scenes.create_image(n, SIZE) for n in range(24)]))


@pytest.fixture(scope="module")
def degraded(images):
    return _degrade_some(images, jax.random.key(0), 1.0)


def test_luma_changes_and_colors_stay(images, degraded):
    assert float(jnp.abs(degraded).max()) <= 1 + 1e-5
    assert (np.abs(color.luma(degraded - images)).mean((1, 2, 3)) > 0.02).all()
    before, after = color.rgb_to_chroma(images), color.rgb_to_chroma(degraded)
    # Where the new luma leaves no room for a color, it is paler; its hue is the same.
    across = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
    assert float(jnp.abs(across).max()) < 1e-4
    assert float((jnp.linalg.norm(after, axis=-1) - jnp.linalg.norm(before, axis=-1)).max()) < 1e-4
    assert float((before * after).sum(axis=-1).min()) > -1e-4
    assert float(jnp.mean(jnp.abs(after - before) < 0.01)) > 0.5


def test_the_share_of_degraded_images(images):
    rngs = [jax.random.key(seed) for seed in range(1, 11)]
    changed = [(_degrade_some(images, rng, 0.25) != images).any((1, 2, 3)) for rng in rngs]
    assert 0.15 < float(jnp.mean(jnp.stack(changed))) < 0.35
    assert (_degrade_some(images, rngs[0], 0.0) == images).all()


def test_random_numbers_follow_from_the_key(images, degraded):
    again, other = (_degrade_some(images, jax.random.key(seed), 1.0) for seed in (0, 1))
    assert (again == degraded).all()
    assert (other != degraded).any((1, 2, 3)).all()


@pytest.mark.parametrize("kind", ["_scratches", "_spots", "_border"])
def test_some_images_are_covered_and_lose_their_color_there(kind):
    """As often as documented, and by less than half of their area."""
    cover = jax.jit(jax.vmap(lambda rng: getattr(degradation, kind)(SIZE, rng)))
    shares, tones = cover(jax.random.split(jax.random.key(2), 300))
    assert 0.23 < float((shares.max((1, 2)) > 0).mean()) < 0.43
    assert 0.0005 < float(shares.mean()) < 0.2
    assert float(tones.min()) >= 0
    assert float(tones.max()) <= 1
    assert 0 <= float(shares.min()) <= float(shares.max()) <= 1


def test_borders_are_neutral(degraded):
    rngs = jax.random.split(jax.random.split(jax.random.key(0))[1], len(degraded))
    borders = [degradation._border(SIZE, jax.random.split(rng, 8)[6])[0] for rng in rngs]
    assert any(border.any() for border in borders)
    chroma = np.asarray(color.rgb_to_chroma(degraded))
    for border, values in zip(borders, chroma, strict=True):
        assert np.abs(values[np.asarray(border) == 1]).max(initial=0) < 1e-5


def test_blur_and_jpeg(images):
    """A blurred image is smoother. An image that is compressed again in the same way stays as it is."""
    light = (color.luma(images)[..., 0] + 1) / 2
    rngs = jax.random.split(jax.random.key(4), len(light))
    blur, compress = (jax.jit(jax.vmap(change)) for change in (degradation._blur, degradation._compress))
    blurred, compressed = blur(light, rngs), compress(light, rngs)
    roughness = [np.abs(np.diff(values, axis=1)).mean((1, 2)) for values in (blurred, light)]
    assert (roughness[0] <= roughness[1] + 1e-6).all()
    assert (roughness[0] < 0.95 * roughness[1]).sum() >= 6
    np.testing.assert_allclose(blurred.mean((1, 2)), light.mean((1, 2)), atol=0.01)
    is_changed = np.abs(compressed - light).max((1, 2)) > 1e-3
    assert 6 <= is_changed.sum() <= 18
    again = compress(compressed, rngs)
    assert np.abs(again - compressed).mean() < 0.1 * np.abs(compressed - light).mean()


def test_a_degraded_source_is_always_the_same():
    source = sources.open_source("procedural:3", SIZE)
    degraded = degradation.DegradedSource(pipeline.Images(source, SIZE, None))
    images = [degraded.read(n) for n in range(len(degraded))]
    assert len(images) == 3
    assert degraded.name(1) == source.name(1)
    for n, image in enumerate(images):
        assert image.dtype == np.uint8
        assert image.shape == (SIZE, SIZE, 3)
        assert np.abs(image.astype(int) - source.read(n)).mean() > 2
        np.testing.assert_array_equal(image, degradation.DegradedSource(pipeline.Images(source, SIZE, None)).read(n))
