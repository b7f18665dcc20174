"""Against scikit-image, and against values worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as reference

from colorgan import metrics


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (3, 24, 20, 3)).astype(np.float32)
    fake = np.clip(real + rng.normal(0, 20, real.shape), 0, 255).astype(np.float32)
    return real, fake


def test_psnr(pair):
    real, fake = pair
    expected = [reference.peak_signal_noise_ratio(r, f, data_range=255) for r, f in zip(real, fake, strict=True)]
    np.testing.assert_allclose(metrics.psnr(real, fake), expected, rtol=1e-5)


def test_psnr_of_equal_images_is_the_cap(pair):
    np.testing.assert_array_equal(metrics.psnr(pair[0], pair[0]), [60, 60, 60])


def test_ssim(pair):
    real, fake = pair
    expected = [
        reference.structural_similarity(
            r, f, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for r, f in zip(real, fake, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(real, fake), expected, atol=1e-4)


def test_colorfulness():
    gray = jnp.full((1, 4, 4, 3), 77.0)
    assert float(metrics.colorfulness(gray)[0]) == 0
    # Half red, half blue: |R-G| is 255 or 0, |(R+G)/2-B| is 127.5 or 255.
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[:, 0, :, 0], image[:, 1, :, 2] = 255, 255
    expected = np.hypot(127.5, 63.75) + 0.3 * np.hypot(127.5, 191.25)
    np.testing.assert_allclose(metrics.colorfulness(image)[0], expected, rtol=1e-5)
