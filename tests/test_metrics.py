"""Compared with scikit-image, NumPy and values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as reference
from skimage.color import deltaE_ciede2000

from colorgan import color
from colorgan.evaluation import metrics


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (3, 44, 20, 3)).astype(np.float32)
    fake = np.clip(real + rng.normal(0, 20, real.shape), 0, 255).astype(np.float32)
    return real, fake  # taller than one strip of `ssim`


def _gray(image):
    return np.repeat(np.round(image @ np.array(color.LUMA_WEIGHTS, np.float32))[..., None], 3, axis=-1)


def test_psnr(pair):
    real, fake = pair
    expected = [reference.peak_signal_noise_ratio(r, f, data_range=255) for r, f in zip(real, fake, strict=True)]
    np.testing.assert_allclose(metrics.psnr(real, fake), expected, rtol=1e-5)


def test_psnr_of_equal_images_is_the_maximum(pair):
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
    gray = np.full((1, 4, 4, 3), 77, np.float32)
    assert metrics.colorfulness(gray)[0] == 0
    # Half red, half blue: |R-G| is 255 or 0, |(R+G)/2-B| is 127.5 or 255.
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[:, 0, :, 0], image[:, 1, :, 2] = 255, 255
    expected = np.hypot(127.5, 63.75) + 0.3 * np.hypot(127.5, 191.25)
    np.testing.assert_allclose(metrics.colorfulness(image)[0], expected, rtol=1e-5)


def test_auc_is_the_mean_over_thresholds_of_the_pixels_within():
    rng = np.random.default_rng(1)
    real, fake = rng.uniform(-100, 100, (2, 3, 9, 7, 2)).astype(np.float32)
    fake[0] = real[0] + rng.integers(0, 4, real[0].shape) * (1, 0)  # distances that are whole numbers
    expected = [
        np.mean([np.mean(np.linalg.norm(r - f, axis=-1) <= t) for t in range(151)])
        for r, f in zip(real.astype(np.float64), fake, strict=True)
    ]
    np.testing.assert_allclose(metrics.auc(real, fake), expected, rtol=1e-5)
    np.testing.assert_array_equal(metrics.auc(real, real), [1, 1, 1])
    assert metrics.auc(real[:1], real[:1] + np.float32(200)) == 0


def test_ciede2000():
    rng = np.random.default_rng(4)
    real, fake = (
        np.concatenate([rng.uniform((0, -90, -90), (100, 90, 90), (1, 40, 30, 3)), rng.normal(50, 1, (1, 40, 30, 3))])
        for _ in range(2)
    )
    real[1, ..., 1:] -= 50  # nearly gray, where hues are of all angles
    fake[1, ..., 1:] -= 50
    fake[1, :5] = real[1, :5]
    fake[1, 5:10] = (50, 0, 0)
    expected = deltaE_ciede2000(real, fake)
    pixels = metrics.ciede2000_of_pixels(real.astype(np.float32), fake.astype(np.float32))
    np.testing.assert_allclose(pixels, expected, atol=2e-3)
    for module in (np, jnp):
        images = (module.asarray(lab, module.float32) for lab in (real, fake))
        np.testing.assert_allclose(metrics.ciede2000(*images), expected.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_array_equal(metrics.ciede2000(real, real), [0, 0])


def test_grays_are_in_one_bin_whatever_their_rounding():
    """Lab values of grays differ from 0 by rounding, to both sides."""
    gray = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    ab = color.rgb_to_lab(gray)[..., 1:]
    assert ab.min() < 0 < ab.max()
    tinted = color.rgb_to_lab(gray[:, 1:] + np.array([1, 0, -1], np.float32))[..., 1:]
    for values in (ab, tinted):
        counts = metrics.ab_histogram(values)
        assert counts[0, metrics.NUM_AB_BINS // 2, metrics.NUM_AB_BINS // 2] == values.shape[1] * 16


def test_ab_histogram():
    ab = np.random.default_rng(2).normal(0, 50, (2, 30, 20, 2)).astype(np.float32)
    ab[0, 0] = 0, -200  # values beyond the last bin count there
    assert np.abs(ab).max() > 112.5
    edges = np.arange(-112.5, 113, 5)
    clipped = [np.clip(image.reshape(-1, 2).T, -112.4, 112.4) for image in ab]
    expected = [np.histogram2d(a, b, bins=[edges, edges])[0] for a, b in clipped]
    counts = metrics.ab_histogram(ab)
    assert counts.shape == (2, metrics.NUM_AB_BINS, metrics.NUM_AB_BINS)
    np.testing.assert_array_equal(counts, expected)


def test_histogram_distance():
    assert metrics.histogram_distance([[3, 1], [0, 0]], [[10, 10], [10, 10]]) == pytest.approx(0.5)
    assert metrics.histogram_distance([1, 0], [0, 7]) == 1
    assert metrics.histogram_distance([1, 2], [10, 20]) == pytest.approx(0)


def test_jax_and_numpy_agree(pair):
    real, fake = pair[0], np.round(pair[1])
    images = (real, fake, real[::-1])
    ours, theirs = metrics.compare(*images), jax.device_get(jax.jit(metrics.compare)(*images))
    for name, row, other in zip(ours._fields, ours, theirs, strict=True):
        assert row.values.keys() == other.values.keys() == metrics.METRICS.keys()
        # A pixel at the edge of a bin, or at a threshold of `auc`, may differ by rounding.
        assert np.abs(row.ab_histogram - other.ab_histogram).sum() <= 6
        for metric, value in row.values.items():
            np.testing.assert_allclose(value, other.values[metric], rtol=1e-4, err_msg=f"{name} {metric}")


def test_rows_are_comparisons_with_the_real_image(pair):
    real, fake = pair
    rows = metrics.compare(real, fake, _gray(real))._asdict()
    for name, image in (("prediction", fake), ("gray", _gray(real)), ("truth", real)):
        ab = color.rgb_to_lab(image)[..., 1:]
        expected = {
            "psnr": metrics.psnr(real, image),
            "ssim": metrics.ssim(real, image),
            "auc": metrics.auc(color.rgb_to_lab(real)[..., 1:], ab),
            "ciede2000": metrics.ciede2000(color.rgb_to_lab(real), color.rgb_to_lab(image)),
            "colorfulness": metrics.colorfulness(image),
        }
        np.testing.assert_array_equal(rows[name].ab_histogram, metrics.ab_histogram(ab))
        for metric, value in expected.items():
            np.testing.assert_allclose(rows[name].values[metric], value, atol=1e-5, err_msg=f"{name} {metric}")


def _summary(real, fake):
    rows = metrics.compare(real, fake, _gray(real))
    return metrics.summarize(jax.tree.map(lambda value: value.mean(axis=0), rows))


def test_summary(pair):
    real, fake = pair
    rows = _summary(real, fake)
    assert rows["prediction"]["psnr"] == pytest.approx(metrics.psnr(real, fake).mean(), rel=1e-6)
    true = metrics.colorfulness(real).mean()
    assert rows["prediction"]["delta_colorfulness"] == pytest.approx(abs(metrics.colorfulness(fake).mean() - true))
    assert rows["gray"]["delta_colorfulness"] == pytest.approx(true, rel=1e-6)
    histograms = [metrics.ab_histogram(color.rgb_to_lab(image)[..., 1:]).sum(axis=0) for image in (real, fake)]
    distance = np.abs(histograms[0] - histograms[1]).sum() / 2 / (3 * 44 * 20)
    assert rows["prediction"]["ab_histogram_distance"] == pytest.approx(distance)
    assert rows["truth"]["ab_histogram_distance"] == rows["truth"]["delta_colorfulness"] == 0


def test_score_is_the_mean_of_fidelity_and_color():
    gray = {"auc": 0.8, "ab_histogram_distance": 0.5}
    assert metrics.score({"auc": 0.9, "ab_histogram_distance": 0.1}, gray) == pytest.approx((0.5 + 0.8) / 2)


def test_gray_images_have_score_zero():
    gray = np.repeat(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1)).astype(np.float32), 3, axis=-1)
    for row in _summary(gray, gray + np.array([6, 0, 0], np.float32)).values():
        assert row["score"] == 0


def test_score_is_zero_for_gray_one_for_the_real_image_and_less_for_errors():
    rng = np.random.default_rng(3)
    flat = np.repeat(rng.integers(40, 216, (4, 6, 6, 3)), 4, axis=1).repeat(4, axis=2).astype(np.float32)
    gray = _gray(flat)
    scores = [
        _summary(flat, image)["prediction"]["score"]
        for image in (gray, gray + 0.5 * (flat - gray), flat[:, :, ::-1], flat)
    ]
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert scores[3] == pytest.approx(1, abs=1e-6)
    pale, wrong_places = scores[1:3]
    assert 0 < pale < 1
    assert 0 < wrong_places < 1
