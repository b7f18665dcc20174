"""A TensorFlow Datasets builder with six PNG images, in the folder layout that TFDS requires."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

NUM_IMAGES = 6


def encoded_image(index: int) -> bytes:
    return encode(np.full((20 + index, 30, 3), 10 * index, np.uint8))


def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "label": tfds.features.ClassLabel(num_classes=2),
            "image": tfds.features.Image(shape=(None, None, 3)),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator:
        for index in range(NUM_IMAGES):
            yield index, {"label": index % 2, "image": io.BytesIO(encoded_image(index))}
