import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import color as reference

from colorgan import color


def test_scaling_is_exactly_undone():
    values = jnp.arange(256, dtype=jnp.uint8)
    signed = color.to_signed(values)
    assert float(signed.min()) == -1
    assert float(signed.max()) == 1
    np.testing.assert_array_equal(color.to_pixels(signed), values)


def test_pixels_stay_in_range():
    np.testing.assert_array_equal(color.to_pixels(jnp.array([-1.5, 0.0, 1.5])), [0, 128, 255])


def test_luma_of_primaries_and_of_gray():
    np.testing.assert_allclose(color.luma(jnp.eye(3))[:, 0], [0.299, 0.587, 0.114], rtol=1e-6)
    gray = color.gray_to_rgb(jnp.linspace(-1, 1, 7)[:, None])
    np.testing.assert_allclose(color.luma(gray)[:, 0], jnp.linspace(-1, 1, 7), atol=1e-6)


def _random_chroma(size=4096):
    rng = np.random.default_rng(0)
    gray = rng.uniform(-1, 1, (size, 1)).astype(np.float32)
    return gray, rng.uniform(-1, 1, (size, 2)).astype(np.float32)


def test_chroma_keeps_the_luma_and_the_range():
    gray, chroma = _random_chroma()
    rgb = np.asarray(color.chroma_to_rgb(gray, chroma))
    np.testing.assert_allclose(rgb @ np.array(color.LUMA_WEIGHTS, np.float32), gray[:, 0], atol=1e-5)
    assert np.abs(rgb).max() <= 1 + 1e-6


def _jfif(gray, chroma):
    """Table of JFIF 1.02, of luma 0..255 and chroma about 128, here both signed."""
    cb, cr = chroma[:, 0], chroma[:, 1]
    offsets = np.stack([1.402 * cr, -0.344136 * cb - 0.714136 * cr, 1.772 * cb], axis=-1)
    return gray + offsets


def test_chroma_is_that_of_jfif_within_the_range_of_rgb_and_paler_beyond():
    gray, chroma = _random_chroma()
    expected, rgb = _jfif(gray, chroma), np.asarray(color.chroma_to_rgb(gray, chroma))
    has_room = np.abs(expected).max(axis=-1) <= 0.999
    assert 0.1 < has_room.mean() < 0.9
    np.testing.assert_allclose(rgb[has_room], expected[has_room], atol=1e-4)
    # Elsewhere the same hue, with less chroma, up to the limit of the range.
    away, wanted = (rgb - gray)[~has_room], (expected - gray)[~has_room]
    share = (away * wanted).sum(axis=-1, keepdims=True) / (wanted**2).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(away, share * wanted, atol=1e-3)
    assert share.max() <= 1.001
    np.testing.assert_allclose(np.abs(rgb[~has_room]).max(axis=-1), 1, atol=2e-3)


def test_no_chroma_is_gray():
    gray = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(color.chroma_to_rgb(gray, np.zeros((9, 2), np.float32)), np.repeat(gray, 3, axis=-1))


def test_gradients_of_chroma_are_finite_everywhere():
    corners = jnp.array([(g, b, r) for g in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0) for r in (-1.0, 0.0, 1.0)])
    gradients = jax.jit(jax.grad(lambda x: (color.chroma_to_rgb(x[:, :1], x[:, 1:]) ** 2).sum()))(corners)
    assert bool(jnp.isfinite(gradients).all())


@pytest.mark.parametrize("convert", [color.rgb_to_lab, jax.jit(color.rgb_to_lab)], ids=["numpy", "jax"])
def test_lab(convert):
    corners = np.stack(np.meshgrid(*[[0, 255]] * 3), axis=-1).reshape(-1, 3)  # black, white, primaries and secondaries
    dark = np.arange(0, 24).repeat(3).reshape(-1, 3)  # where both curves are linear
    colors = np.concatenate([np.random.default_rng(0).integers(0, 256, (2000, 3)), corners, dark])
    expected = reference.rgb2lab(colors / 255.0)
    np.testing.assert_allclose(convert(colors.astype(np.float32)), expected, atol=1e-3)
