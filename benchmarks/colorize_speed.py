"""Measures how many photographs a second `colorgan colorize` colors after its start. The last line is JSON.

    python benchmarks/colorize_speed.py --megapixels=1,12

The photographs are synthetic JPEG files in a temporary folder; the network is the one that ships. "network" is the
prediction of the colors alone, one photograph at a time as in the command; the rest is reading, scaling and writing.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import photographs

from colorgan.inference import colorize_files, find_inputs
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.paint import shrink
from colorgan.media.photo_file import read_photo
from colorgan.run import devices


def rate(run: Callable[[], Any], count: int, repeats: int) -> float:
    """Returns `count` divided by the seconds of `run()`: the median over repeats, after one that is not measured."""
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds[1:])


def measure(colorizer: Colorizer, megapixels: float, count: int, repeats: int) -> dict[str, float]:
    """Measures photographs of one size."""
    with tempfile.TemporaryDirectory(prefix="colorgan-colorize-speed-") as folder:
        place, output = Path(folder, "photographs"), Path(folder, "colored")
        place.mkdir()
        first = place / "color.jpg"
        photographs.write_photograph(first, megapixels)
        for n in range(1, count):
            shutil.copy(first, place / f"{n:03d}.jpg")
        files = list(find_inputs.find_files([place], output))
        settings, result = colorize_files.Settings(overwrite=True), colorize_files.Result()
        whole = rate(lambda: colorize_files.colorize_files(files, output, colorizer, settings, result), count, repeats)
        if result.failures:
            raise RuntimeError(result.failures[0])
        small = shrink(read_photo(first).pixels, colorizer.image_size)
        network = rate(lambda: colorizer.predict_chroma(small[None]), 1, 10 * repeats)
    return {"photographs_per_second": whole, "network_photographs_per_second": network}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", default="", help="cpu or gpu; default: the best that is present")
    parser.add_argument("--megapixels", default="1,12")
    parser.add_argument("--count", type=int, default=16, help="photographs of each size")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    devices.select_platform(arguments.platform)
    colorizer = Colorizer.default()
    sizes = arguments.megapixels.split(",")
    rates = {size: measure(colorizer, float(size), arguments.count, arguments.repeats) for size in sizes}
    print(json.dumps({"megapixels": rates, "device": jax.devices()[0].device_kind, "jax": jax.__version__}))


if __name__ == "__main__":
    main()
