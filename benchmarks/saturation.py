"""Measures images with paler and stronger colors than predicted: the trade between accuracy and colorfulness.

    colorgan evaluate --data=folder:PHOTOS --save_images=images
    python benchmarks/saturation.py --images=images

Prints one line of JSON for each saturation, as `colorgan colorize --saturation` applies it. The differences from
`colorgan evaluate` for saturation 1 come from the images, which have 8 bits.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from colorgan import color
from colorgan.evaluation import bootstrap, metrics

NAMES = ("psnr", "ssim", "auc", "colorfulness", "delta_colorfulness", "ab_histogram_distance", "score")
_BATCH_SIZE = 32


def compare(truths: np.ndarray, predictions: np.ndarray, saturation: float) -> metrics.Comparison:
    """`metrics.compare` of images whose chroma is multiplied by `saturation`.

    Args:
      truths: uint8 [B,S,S,3].
      predictions: uint8 [B,S,S,3].
      saturation: 0 or more.
    """
    real, fake = (images.astype(np.float32) / 127.5 - 1 for images in (truths, predictions))
    luma = color.luma(real)
    colored = color.chroma_to_rgb(luma, np.float32(saturation) * color.rgb_to_chroma(fake))
    colored, gray = (np.rint((rgb + 1) * 127.5) for rgb in (colored, np.repeat(luma, 3, axis=-1)))
    return metrics.compare(truths.astype(np.float32), np.clip(colored, 0, 255), gray)


def read(folder: Path, names: list[str]) -> np.ndarray:
    """The images of a folder, uint8 [B,S,S,3]."""
    return np.stack([np.asarray(Image.open(folder / name)) for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="the folder of colorgan evaluate --save_images")
    parser.add_argument("--saturations", default="0.8,0.9,1,1.1,1.2,1.3")
    arguments = parser.parse_args()
    names = sorted(path.name for path in (arguments.images / "truths").iterdir())
    for saturation in map(float, arguments.saturations.split(",")):
        sums = bootstrap.Bootstrap(num_replicates=0)
        for first in range(0, len(names), _BATCH_SIZE):
            folders = (arguments.images / kind for kind in ("truths", "predictions"))
            truths, predictions = (read(folder, names[first:][:_BATCH_SIZE]) for folder in folders)
            sums.add(first + np.arange(len(truths)), compare(truths, predictions, saturation))
        prediction = sums.summarize()[0]["prediction"]
        print(json.dumps({"saturation": saturation} | {name: round(prediction[name], 4) for name in NAMES}), flush=True)


if __name__ == "__main__":
    main()
