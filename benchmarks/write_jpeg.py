"""Writes a copy of a folder of images as JPEG, to measure the data path on the most common format.

python benchmarks/write_jpeg.py --source=SCENES/train --output=jpeg
"""

import argparse
import functools
import json
import multiprocessing
import os
import time
from pathlib import Path

from PIL import Image

from colorgan.data.folder import find_images

QUALITY = 90


def write(name: str, source: Path, output: Path) -> None:
    """Writes one image, in RGB and at its own size."""
    path = (output / name).with_suffix(".jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source / name) as image:
        image.convert("RGB").save(path, quality=QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="a folder of images")
    parser.add_argument("--output", type=Path, required=True, help="the new folder")
    arguments = parser.parse_args()
    names = list(find_images(str(arguments.source)))
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 16)) as pool:
        pool.map(functools.partial(write, source=arguments.source, output=arguments.output), names)
    print(json.dumps({"num_images": len(names), "quality": QUALITY, "write_seconds": time.monotonic() - start}))


if __name__ == "__main__":
    main()
