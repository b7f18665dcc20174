"""Chroma is averaged over time where nothing moves, and not where something does."""

import numpy as np
import pytest

from colorgan.media.temporal_smoothing import ChromaSmoother, is_cut

STEP = 1 / 127.5  # of 255, in chroma as the network gives it


def _noise(seed, std=4 * STEP, shape=(20, 30, 2)):
    return np.random.default_rng(seed).normal(0, std, shape).astype(np.float32)


def _scene(seed=0):
    return np.random.default_rng(seed).uniform(-0.8, 0.8, (20, 30)).astype(np.float32)


def test_flicker_of_a_still_scene_is_reduced_as_by_a_moving_average():
    smoother = ChromaSmoother(0.9)
    for n in range(200):
        smooth = smoother(_scene(), 0.2 + _noise(n))
    before, after = smoother.flicker
    assert before == pytest.approx(4 * np.sqrt(np.pi), rel=0.02)  # the mean length of differences of normal pairs
    assert after == pytest.approx(before * 0.1 / np.sqrt(1.9), rel=0.1)  # a thirteenth
    assert abs(smooth - 0.2).mean() < 0.3 * abs(_noise(0)).mean()
    assert smooth.dtype == np.float32


def test_without_smoothing_chroma_is_as_predicted():
    smoother = ChromaSmoother(0.0)
    for n in range(5):
        np.testing.assert_array_equal(smoother(_scene(), _noise(n)), _noise(n))
    assert smoother.flicker[0] == smoother.flicker[1] > 0


def test_colors_do_not_persist_across_a_cut():
    smoother = ChromaSmoother(0.9)
    second = np.where(np.arange(30) < 3, _scene(), _scene(1))  # three columns look the same
    for gray, level in ((_scene(), 0.3), (_scene(), 0.3), (second, -0.3)):
        chroma = np.full((20, 30, 2), level, np.float32)
        smooth = smoother(gray, chroma)
    np.testing.assert_array_equal(smooth, chroma)
    assert smoother.num_cuts == 1
    assert smoother.flicker == (0, 0)  # what changes over a cut is no flicker


@pytest.mark.parametrize("columns_a_frame", [0.25, 1, 3])
def test_colors_follow_moving_objects(columns_a_frame):
    """A bright red disc on dark blue, which moves by a quarter of a pixel per frame at the slowest."""
    smoother = ChromaSmoother(0.9)
    y, x = np.mgrid[:40, :60]
    for n in range(12):
        inside = np.clip(9 - np.hypot(y - 20, x - 15 - n * columns_a_frame), 0, 1).astype(np.float32)
        chroma = inside[..., None] * np.array((-0.2, 0.4), np.float32) + (1 - inside[..., None]) * np.array(
            (0.3, -0.1), np.float32
        )
        smooth = smoother(inside - 0.5, chroma)
    assert smoother.num_cuts == 0
    assert abs(smooth - chroma).mean() < 0.1 * STEP
    assert abs(smooth - chroma).max() < 8 * STEP


def test_slow_changes_are_followed():
    """Six steps of 255 a frame, less than `_TOLERANCE`: an average that looked at the last frame only lags by 15."""
    smoother = ChromaSmoother(0.9)
    for level in np.arange(-0.5, 0.5, 0.05, dtype=np.float32):
        chroma = np.full((20, 30, 2), level)
        smooth = smoother(np.full((20, 30), level), chroma)
    assert np.max(abs(smooth - chroma)) < 6 * STEP


def test_flicker_counts_only_what_does_not_move():
    smoother = ChromaSmoother(0.0)
    moves = np.broadcast_to(np.arange(30) >= 15, (20, 30)).astype(np.float32)
    for n in range(6):
        smoother(_scene() + 0.1 * n * moves, n * 0.1 * np.dstack([moves, moves]))
    assert smoother.flicker == (0, 0)


def test_a_change_of_brightness_within_a_scene_is_no_cut():
    assert not is_cut(_scene(), _scene() + 0.1)
    assert not is_cut(_scene(), np.roll(_scene(), 1, axis=0) * 0.1 + _scene() * 0.9)
    assert is_cut(_scene(), _scene(1))
