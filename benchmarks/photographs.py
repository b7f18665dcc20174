"""Peak memory and time of `colorgan.colorize` by the size of the photograph: a new process for each.

    python benchmarks/photographs.py --workdir=runs/mine

prints one line of JSON for each size in megapixels and each kind of file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorgan.photos.photo_file import Photo, write_photo

KINDS = {"gray.jpg": np.uint8, "color.jpg": np.uint8, "color.png": np.uint16, "color.tif": np.uint16}


def write_photograph(path: Path, megapixels: float) -> None:
    """A smooth photograph with some grain, 3:2, of the kind that the name says."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 9, (height, width), np.uint8)
    planes = []
    for _ in range(1 if path.name.startswith("gray") else 3):
        smooth = Image.fromarray(rng.integers(0, 247, (9, 6), np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        planes.append(np.minimum(np.asarray(smooth), 246) + grain)
    pixels = np.stack(planes, axis=-1).squeeze(-1) if len(planes) == 1 else np.stack(planes, axis=-1)
    if KINDS[path.name] == np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    write_photo(path, Photo(pixels, None))


def measure(model: list[str], name: str, megapixels: float) -> dict[str, Any]:
    """Of one photograph, start included; `model` is --workdir=RUN or --model=FILE."""
    with tempfile.TemporaryDirectory(prefix="colorgan-photographs-") as folder:
        photograph = Path(folder, name)
        write_photograph(photograph, megapixels)
        start = time.monotonic()
        command = [sys.executable, "-m", "colorgan.colorize", *model, f"--output={folder}/colored", str(photograph)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return {
            "file": name,
            "megapixels": megapixels,
            "exit_code": process.returncode,
            "peak_megabytes": round(usage.ru_maxrss * 1024 / 1e6),
            "seconds": round(time.monotonic() - start, 2),
            "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--megapixels", default="1,24,100")
    parser.add_argument("--files", default=",".join(KINDS), help="; ".join(KINDS))
    arguments = parser.parse_args()
    for megapixels in arguments.megapixels.split(","):
        for name in arguments.files.split(","):
            print(json.dumps(measure([f"--workdir={arguments.workdir}"], name, float(megapixels))), flush=True)


if __name__ == "__main__":
    main()
