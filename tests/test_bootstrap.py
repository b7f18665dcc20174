"""Intervals compared with theory, and with actual draws with replacement."""

import jax
import numpy as np
import pytest

from colorgan.evaluation import bootstrap, metrics


def _rows(num_images, seed=0):
    """Like `metrics.compare`: psnr has mean 20 and standard deviation 3, and each image has its own color."""
    rng = np.random.default_rng(seed)
    shape = (num_images, metrics.NUM_AB_BINS, metrics.NUM_AB_BINS)
    rows = []
    for auc in (0.95, 0.9, 1.0):
        histogram = np.zeros(shape, np.int32)
        histogram[np.arange(num_images), 22, rng.integers(20, 25, num_images)] = 100
        values = {name: np.ones(num_images, np.float32) for name in metrics.METRICS} | {
            "psnr": rng.normal(20, 3, num_images).astype(np.float32),
            "ssim": rng.uniform(0, 1, num_images).astype(np.float32),
            "auc": np.full(num_images, auc, np.float32),
            "colorfulness": rng.normal(30, 5, num_images).astype(np.float32),
        }
        rows.append(metrics.Row(values, histogram))
    return metrics.Comparison(*rows)


def _take(rows, indices):
    return jax.tree.map(lambda values: values[indices], rows)


def _means(rows):
    return jax.tree.map(lambda values: values.mean(axis=0), rows)


def _summarize(rows, *parts):
    draws = bootstrap.Bootstrap()
    for indices in parts:
        draws.add(indices, _take(rows, indices))
    return draws.summarize()


def test_metrics_are_those_of_the_set():
    rows = _rows(50)
    expected = metrics.summarize(_means(rows))
    found, _ = _summarize(rows, np.arange(50))
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-5)


def test_interval_of_a_mean_agrees_with_theory():
    rows = _rows(400)
    _, intervals = _summarize(rows, np.arange(400))
    low, high = intervals["psnr"]
    values = rows.prediction.values["psnr"]
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.05)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert intervals["auc"] == pytest.approx((0.95, 0.95))


def test_intervals_of_other_metrics_agree_with_draws_with_replacement():
    rows = _rows(60)
    _, intervals = _summarize(rows, np.arange(60))
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(500):
        some = _take(rows, rng.integers(0, 60, 60))
        drawn.append(metrics.summarize(_means(some))["prediction"])
    for name in ("delta_colorfulness", "ab_histogram_distance", "score"):
        expected = np.percentile([summary[name] for summary in drawn], (2.5, 97.5))
        width = expected[1] - expected[0]
        assert width > 0
        np.testing.assert_allclose(intervals[name], expected, atol=0.15 * width, err_msg=name)


def test_the_same_images_give_the_same_intervals_in_any_parts():
    rows = _rows(20)
    whole, parts = _summarize(rows, np.arange(20)), _summarize(rows, np.arange(12, 20), np.arange(12))
    for name, interval in whole[1].items():
        assert parts[1][name] == pytest.approx(interval, rel=1e-9)
    other = _rows(20)
    draws = bootstrap.Bootstrap()
    draws.add(np.arange(1, 21), other)  # another index, another draw
    assert draws.summarize()[1]["psnr"] != pytest.approx(whole[1]["psnr"], rel=1e-6)


def test_prediction_and_real_image_are_compared_on_the_same_draws():
    rows = _rows(20)
    rows = rows._replace(truth=rows.prediction)
    _, intervals = _summarize(rows, np.arange(20))
    assert intervals["delta_colorfulness"] == intervals["ab_histogram_distance"] == (0, 0)


def test_images_have_the_same_weight_at_any_size():
    rows = _rows(10)
    expected, _ = _summarize(rows, np.arange(10))
    larger = [row._replace(ab_histogram=row.ab_histogram * np.arange(1, 11)[:, None, None]) for row in rows]
    found, _ = _summarize(metrics.Comparison(*larger), np.arange(10))
    assert found == expected


def test_few_images():
    assert _summarize(_rows(1), np.arange(1))[1] == {}
    low, high = _summarize(_rows(2), np.arange(2))[1]["psnr"]
    assert sorted(_rows(2).prediction.values["psnr"].tolist()) == pytest.approx([low, high])
