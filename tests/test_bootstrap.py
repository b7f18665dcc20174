"""Intervals against theory, and against the draws that the method stands for."""

import numpy as np
import pytest

from colorgan.evaluation import bootstrap, metrics


def _rows(num_images, seed=0):
    """As of `metrics.compare_rows`: psnr has mean 20 and deviation 3; each image has a colour of its own."""
    rng = np.random.default_rng(seed)
    shape = (num_images, metrics.NUM_AB_BINS, metrics.NUM_AB_BINS)
    rows = {}
    for name, auc in (("prediction", 0.95), ("gray", 0.9), ("truth", 1.0)):
        histogram = np.zeros(shape, np.int32)
        histogram[np.arange(num_images), 22, rng.integers(20, 25, num_images)] = 100
        rows[name] = {
            "psnr": rng.normal(20, 3, num_images).astype(np.float32),
            "ssim": rng.uniform(0, 1, num_images).astype(np.float32),
            "auc": np.full(num_images, auc, np.float32),
            "colorfulness": rng.normal(30, 5, num_images).astype(np.float32),
            "ab_histogram": histogram,
        }
    return rows


def _take(rows, indices):
    return {name: {key: value[indices] for key, value in row.items()} for name, row in rows.items()}


def _summarize(rows, *parts):
    draws = bootstrap.Bootstrap()
    for indices in parts:
        draws.add(indices, _take(rows, indices))
    return draws.summarize()


def test_figures_are_those_of_the_set():
    rows = _rows(50)
    means = {name: {key: value.mean(axis=0) for key, value in row.items()} for name, row in rows.items()}
    expected = metrics.summarize(means)
    found, _ = _summarize(rows, np.arange(50))
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-5)


def test_interval_of_a_mean_is_that_of_theory():
    rows = _rows(400)
    _, intervals = _summarize(rows, np.arange(400))
    low, high = intervals["psnr"]
    values = rows["prediction"]["psnr"]
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.05)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert intervals["auc"] == pytest.approx((0.95, 0.95))


def test_intervals_of_other_figures_are_those_of_draws_with_replacement():
    rows = _rows(60)
    _, intervals = _summarize(rows, np.arange(60))
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(500):
        some = _take(rows, rng.integers(0, 60, 60))
        means = {name: {key: value.mean(axis=0) for key, value in row.items()} for name, row in some.items()}
        drawn.append(metrics.summarize(means)["prediction"])
    for name in ("delta_colorfulness", "ab_histogram_distance", "score"):
        expected = np.percentile([figures[name] for figures in drawn], (2.5, 97.5))
        width = expected[1] - expected[0]
        assert width > 0
        np.testing.assert_allclose(intervals[name], expected, atol=0.15 * width, err_msg=name)


def test_the_same_images_give_the_same_intervals_in_whatever_parts_they_come():
    rows = _rows(20)
    whole, parts = _summarize(rows, np.arange(20)), _summarize(rows, np.arange(12, 20), np.arange(12))
    for name, interval in whole[1].items():
        assert parts[1][name] == pytest.approx(interval, rel=1e-9)
    other = _rows(20)
    draws = bootstrap.Bootstrap()
    draws.add(np.arange(1, 21), other)  # another index, another draw
    assert draws.summarize()[1]["psnr"] != pytest.approx(whole[1]["psnr"], rel=1e-6)


def test_prediction_and_truth_are_compared_on_the_same_draws():
    rows = _rows(20)
    rows["truth"] = rows["prediction"]
    _, intervals = _summarize(rows, np.arange(20))
    assert intervals["delta_colorfulness"] == intervals["ab_histogram_distance"] == (0, 0)


def test_images_count_alike_however_many_pixels_they_have():
    rows = _rows(10)
    expected, _ = _summarize(rows, np.arange(10))
    for row in rows.values():
        row["ab_histogram"] = row["ab_histogram"] * np.arange(1, 11)[:, None, None]
    found, _ = _summarize(rows, np.arange(10))
    assert found == expected


def test_few_images():
    assert _summarize(_rows(1), np.arange(1))[1] == {}
    low, high = _summarize(_rows(2), np.arange(2))[1]["psnr"]
    assert sorted(_rows(2)["prediction"]["psnr"].tolist()) == pytest.approx([low, high])
