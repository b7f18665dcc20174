import jax.numpy as jnp
import numpy as np

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
