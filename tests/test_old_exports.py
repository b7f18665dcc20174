"""Exported files of earlier versions load and color as they did: see tests/old_runs/README.md."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from colorgan.errors import UserError
from colorgan.inference import load_exported
from colorgan.inference.colorizer import Colorizer

OLD_RUNS = Path(__file__).parent / "old_runs"
STABLEHLO, ONNX = OLD_RUNS / "2026-11-23.stablehlo", OLD_RUNS / "2026-11-23.onnx"
HAS_ONNX = importlib.util.find_spec("onnxruntime") is not None
NEEDS_ONNX = pytest.mark.skipif(not HAS_ONNX, reason="pip install onnxruntime")
FILES = pytest.mark.parametrize("path", [STABLEHLO, pytest.param(ONNX, marks=NEEDS_ONNX)], ids=lambda path: path.suffix)

# Mean RGB of the four quadrants, rows first, computed by commit 23308ca, which wrote the files, with jax 0.10.2 and
# onnxruntime 1.32: of `predict` for `GRAY`, in [-1,1], and of `Colorizer` for `PHOTO`, in 0..255.
PREDICTED = [
    [[0.3361, 0.3487, 0.3636], [-0.0704, -0.0630, -0.0425]],
    [[0.3216, 0.3262, 0.3365], [-0.0849, -0.0849, -0.0699]],
]
COLORED = [
    [[139.31, 141.02, 143.65], [120.87, 121.86, 124.63]],
    [[167.29, 169.79, 171.94], [148.87, 150.74, 152.41]],
]


def _photo():
    """Smooth waves, uint8 [40,60]."""
    y, x = np.mgrid[:40, :60]
    return np.uint8(128 + 60 * np.sin(x / 7) + 50 * np.cos(y / 5))


PHOTO = _photo()
GRAY = (PHOTO[None, :32, :32, None] / 127.5 - 1).astype(np.float32)


def _quadrants(rgb):
    """RGB [H,W,3] to the means of its quadrants [2,2,3]."""
    height, width, _ = rgb.shape
    return rgb.reshape(2, height // 2, 2, width // 2, 3).mean(axis=(1, 3))


def _load(path):
    try:
        return load_exported.load(path)
    except UserError as error:
        # One day a newer JAX will not read the StableHLO file. The message is tested in test_old_runs.py.
        if path is STABLEHLO and f"JAX {jax.__version__} cannot read" in str(error):
            pytest.skip(str(error))
        raise


@FILES
def test_predictions_and_colors_are_those_of_the_version_that_wrote_the_file(path):
    model = _load(path)
    assert model.image_size == 32
    assert "format_version" not in model.description
    assert (model.description["step"], model.description["colorgan"]) == (6, "0.1.0")
    rgb = model.predict(GRAY)
    assert (rgb.shape, rgb.dtype) == ((1, 32, 32, 3), np.float32)
    assert np.abs(rgb - GRAY).max() > 0.2  # there is some color to compare
    np.testing.assert_allclose(_quadrants(rgb[0]), PREDICTED, atol=1e-3)
    np.testing.assert_allclose(_quadrants(Colorizer.from_file(path)(PHOTO)), COLORED, atol=0.1)


@FILES
def test_networks_of_then_take_no_hints(path):
    model = _load(path)
    assert not model.takes_hints
    with pytest.raises(UserError, match="this network takes no hints"):
        model.predict(GRAY, np.zeros((1, 32, 32, 3), np.float32))


@NEEDS_ONNX
def test_both_formats_predict_the_same():
    noise = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32)
    gray = np.concatenate([GRAY, noise])
    stablehlo, onnx = (_load(path).predict(gray) for path in (STABLEHLO, ONNX))
    np.testing.assert_allclose(onnx, stablehlo, atol=1e-3)
