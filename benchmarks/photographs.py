"""Measures the memory and time for coloring photographs, and how much their size changes their colors.

Prints one line of JSON per photograph, or draws photographs before and after. Without --workdir it uses the network
that ships.

python benchmarks/photographs.py                   # peak memory and time, by size and kind of file
python benchmarks/photographs.py --scales=PHOTOS   # colors at 0.5, 1 and 2 times the size
python benchmarks/photographs.py --photos=PHOTOS --sheet=photographs.jpg [--truth] [--columns=4]
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorgan import color
from colorgan.data.folder import find_images
from colorgan.inference.colorizer import Colorizer
from colorgan.media.photo_file import Photo, read_photo, write_photo

# Runs the command, then prints the peak memory and the processor time of its process. The memory of rusage would
# include that of the process that starts this one.
_COLORIZE = """
import re, runpy, time
runpy.run_module("colorgan.colorize", run_name="__main__", alter_sys=True)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], time.process_time())
"""

KINDS = {"gray.jpg": np.uint8, "color.jpg": np.uint8, "color.png": np.uint16, "color.tif": np.uint16}
KINDS |= {"rgba.png": np.uint16, "rgba.tif": np.uint16}
NUM_CHANNELS = {"gray": 1, "color": 3, "rgba": 4}

# Of the sheet, in pixels; the gaps are between columns, between gray and colored, and between rows.
SHEET_WIDTH, COLUMN_GAP, PAIR_GAP, ROW_GAP = 1060, 6, 2, 14


def write_photograph(path: Path, megapixels: float) -> None:
    """Writes a smooth photograph with some grain, 3:2. The name of `path` is a key of `KINDS`."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 9, (height, width), np.uint8)
    planes = []
    for _ in range(NUM_CHANNELS[path.stem]):
        smooth = Image.fromarray(rng.integers(0, 247, (9, 6), np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        planes.append(np.minimum(np.asarray(smooth), 246) + grain)
    pixels = planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
    if KINDS[path.name] == np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    write_photo(path, Photo(pixels))


def measure(workdir: Path | str | None, name: str, megapixels: float) -> dict[str, Any]:
    """Peak memory and time for one photograph in its own process, including the start.

    Args:
      workdir: the run's folder; None for the network that ships.
      name: a key of `KINDS`.
      megapixels: the size of the photograph.
    """
    with tempfile.TemporaryDirectory(prefix="colorgan-photographs-") as folder:
        photograph = Path(folder, name)
        write_photograph(photograph, megapixels)
        start = time.monotonic()
        command = [sys.executable, "-c", _COLORIZE, f"--output={folder}/colored", str(photograph)]
        command += [f"--workdir={workdir}"] if workdir else []
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.monotonic() - start
    if done.returncode:
        raise RuntimeError(done.stderr)
    peak_kibibytes, processor_seconds = map(float, done.stdout.splitlines()[-1].split())
    return {
        "file": name,
        "megapixels": megapixels,
        "peak_megabytes": round(peak_kibibytes * 1024 / 1e6),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor_seconds, 2),
    }


def compare_scales(colorizer: Colorizer, path: Path) -> dict[str, Any]:
    """The mean distance in ab of CIE Lab between the colors of a photograph at another size and at its own."""
    photo = Image.fromarray(read_photo(path).pixels).convert("RGB")
    ab = _ab(colorizer(photo))
    result: dict[str, Any] = {"file": path.name}
    for scale in (0.5, 2):
        resized = photo.resize([round(scale * side) for side in photo.size], Image.Resampling.LANCZOS)
        back = colorizer(resized).resize(photo.size, Image.Resampling.LANCZOS)
        result[f"ab_distance_at_{scale:g}"] = round(float(np.linalg.norm(_ab(back) - ab, axis=-1).mean()), 2)
    return result | {"mean_chroma": round(float(np.linalg.norm(ab, axis=-1).mean()), 2)}


def _ab(image: Image.Image) -> np.ndarray:
    return color.rgb_to_lab(np.asarray(image, np.float32))[..., 1:]


def draw_sheet(colorizer: Colorizer, photos: Path, path: Path, num_columns: int = 4, with_truth: bool = False) -> None:
    """Draws all photographs of a folder by name, each in gray, below that colored, and `with_truth` as it really is."""
    names = list(find_images(str(photos)))
    rows, row_width = [], SHEET_WIDTH - (num_columns - 1) * COLUMN_GAP
    for first in range(0, len(names), num_columns):
        originals = [Image.fromarray(read_photo(photos / name).pixels) for name in names[first : first + num_columns]]
        height = int(row_width / num_columns / statistics.mean(image.width / image.height for image in originals))
        offsets = [n * (height + PAIR_GAP) for n in range(2 + with_truth)]
        rows.append(Image.new("RGB", (SHEET_WIDTH, offsets[-1] + height), "white"))
        left = 0
        for original in originals:
            size = int(height * original.width / original.height), height
            gray = original.convert("L")
            for top, image in zip(offsets, (gray, colorizer(gray), original), strict=False):
                rows[-1].paste(image.resize(size, Image.Resampling.LANCZOS), (left, top))
            left += size[0] + COLUMN_GAP
    tops = list(itertools.accumulate((row.height + ROW_GAP for row in rows), initial=0))
    sheet = Image.new("RGB", (SHEET_WIDTH, tops[-1] - ROW_GAP), "white")
    for top, row in zip(tops, rows, strict=False):
        sheet.paste(row, (0, top))
    sheet.save(path, quality=82)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir")
    parser.add_argument("--megapixels", default="1,24,100")
    parser.add_argument("--files", default=",".join(KINDS), help="; ".join(KINDS))
    parser.add_argument("--scales", type=Path, help="a folder of photographs")
    parser.add_argument("--sheet", type=Path, help="draw --photos, before and after, into this file")
    parser.add_argument("--photos", type=Path, help="a folder of photographs for --sheet")
    parser.add_argument("--columns", type=int, default=4, help="number of photographs in a row of the sheet")
    parser.add_argument("--truth", action="store_true", help="the sheet shows the real colors too")
    arguments = parser.parse_args()
    if bool(arguments.sheet) != bool(arguments.photos):
        parser.error("--sheet and --photos go together")
    if arguments.sheet or arguments.scales:
        colorizer = Colorizer.from_workdir(arguments.workdir) if arguments.workdir else Colorizer.default()
    if arguments.sheet:
        draw_sheet(colorizer, arguments.photos, arguments.sheet, arguments.columns, arguments.truth)
        return
    if arguments.scales:
        for path in sorted(arguments.scales.iterdir()):
            print(json.dumps(compare_scales(colorizer, path)), flush=True)
        return
    for megapixels in arguments.megapixels.split(","):
        for name in arguments.files.split(","):
            print(json.dumps(measure(arguments.workdir, name, float(megapixels))), flush=True)


if __name__ == "__main__":
    main()
