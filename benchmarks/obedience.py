"""Measures whether a network does what a color hint asks for. Prints one line of JSON for each kind of color and size.

Each photograph is colored without a hint and with one. The color that is asked for is the photograph's own there, or
that with its hue turned by 90 or 180 degrees; at the luma of each pixel, as far as RGB has it. Measured are CIEDE2000
at the place, how far the region around it has moved towards that color, and the change elsewhere. The region is what is
connected to the place in the real photograph and has a similar color. The place is random, but in a region of at least
1% and at most half of the photograph, where people would put a hint, and is the same at every size.

python benchmarks/obedience.py --photos=PHOTOS [--model=FILE] [--sizes=256,1024] [--num_photos=100]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from colorgan import color, hint_planes
from colorgan.data.folder import find_images
from colorgan.evaluation import hints as true_hints
from colorgan.evaluation import metrics
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import Hint

TURNS = (0, 90, 180)
_SIMILAR = 15.0  # distance in Lab of pixels of a region from the color at the place
_SMOOTH = 5  # pixels of the median filter before regions are found, so that texture does not divide them
_MIN_REGION, _MAX_REGION = 0.01, 0.5  # share of the photograph
_NUM_PLACES = 30  # of which the first in such a region is taken; a photograph without one is left out
_MIN_CHANGE = 5.0  # CIEDE2000 between the color asked for and the one without a hint; less leaves nothing to obey
_REGION_SIDE = 256  # regions are found at this size


def turn_hue(rgb: np.ndarray, degrees: float) -> np.ndarray:
    """RGB [3] in 0..255 with the hue turned and the luma kept, as far as RGB has such a color."""
    signed = rgb.astype(np.float32)[None] / 127.5 - 1
    blue, red = color.rgb_to_chroma(signed)[0]
    angle = np.deg2rad(degrees)
    turned = np.array([[np.cos(angle) * blue - np.sin(angle) * red, np.sin(angle) * blue + np.cos(angle) * red]])
    result = color.chroma_to_rgb(color.luma(signed), turned.astype(np.float32))[0]
    return np.rint((result + 1) * 127.5)


def find_region(photo: Image.Image, place: np.ndarray) -> np.ndarray:
    """A mask at `_REGION_SIDE`: pixels of similar color that are connected to `place`, fractions [2]."""
    scale = _REGION_SIDE / max(photo.size)
    small = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
    lab = color.rgb_to_lab(np.asarray(small.filter(ImageFilter.MedianFilter(_SMOOTH))).astype(np.float32))
    row, column = np.minimum((place * lab.shape[:2]).astype(int), np.array(lab.shape[:2]) - 1)
    similar = np.linalg.norm(lab - lab[row, column], axis=-1) < _SIMILAR
    labels, _ = ndimage.label(similar)
    return labels == labels[row, column]


def choose_place(photo: Image.Image, index: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A place, fractions [2], and its region; None if there is none."""
    for place in true_hints.random_places([index], _NUM_PLACES)[0]:
        region = find_region(photo, place)
        if _MIN_REGION <= region.mean() <= _MAX_REGION:
            return place, region
    return None


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 of each pixel of RGB images [H,W,3] in 0..255, [H,W]."""
    labs = (color.rgb_to_lab(image.astype(np.float32)) for image in (first, second))
    return metrics.ciede2000_of_pixels(*labs)


def measure(
    colorizer: Colorizer, truth: np.ndarray, without: np.ndarray, place: np.ndarray, region: np.ndarray, turn: int
) -> dict[str, float]:
    """The measures of one hint, in a photograph [H,W,3] and what it is without the hint."""
    height, width = truth.shape[:2]
    half = max(hint_planes.PLACE_SIZE * max(height, width) / 2, 0.5)
    (top, left), (bottom, right) = ((place * (height, width) + sign * half).round().astype(int) for sign in (-1, 1))
    at_place = slice(max(top, 0), max(bottom, top + 1)), slice(max(left, 0), max(right, left + 1))
    asked = turn_hue(truth[at_place].mean(axis=(0, 1)), turn)
    hint = Hint(float(place[1]), float(place[0]), "#{:02x}{:02x}{:02x}".format(*asked.astype(int)))
    colored = colorizer(truth, hints=[hint], border="color")
    gray = color.luma(truth.astype(np.float32) / 127.5 - 1)
    chroma = np.broadcast_to(color.rgb_to_chroma(asked.astype(np.float32) / 127.5 - 1), (*gray.shape[:2], 2))
    wanted = (color.chroma_to_rgb(gray, chroma) + 1) * 127.5
    region = np.asarray(Image.fromarray(region).resize((width, height), Image.Resampling.NEAREST))
    before, after, changed = difference(without, wanted), difference(colored, wanted), difference(colored, without)
    result = {"at_place": float(after[at_place].mean()), "outside": float(changed[~region].mean())}
    if before[region].mean() >= _MIN_CHANGE:
        result["moved"] = float(1 - after[region].mean() / before[region].mean())
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a file of colorgan export (default: the network that ships)")
    parser.add_argument("--sizes", default="128,256,1024", help="of the longer side, in pixels")
    parser.add_argument("--num_photos", type=int, default=100, help="evenly spaced")
    arguments = parser.parse_args()
    colorizer = Colorizer.from_file(arguments.model) if arguments.model else Colorizer.default()
    names = list(find_images(str(arguments.photos)))
    chosen = np.unique(np.linspace(0, len(names) - 1, min(arguments.num_photos, len(names))).astype(int)).tolist()
    photos = [(Image.open(arguments.photos / names[index]).convert("RGB"), index) for index in chosen]
    with_places = [(photo, found) for photo, index in photos if (found := choose_place(photo, index))]
    for size in map(int, arguments.sizes.split(",")):
        results: dict[int, list[dict[str, float]]] = {turn: [] for turn in TURNS}
        for photo, (place, region) in with_places:
            scale = size / max(photo.size)
            resized = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
            truth = np.asarray(resized)
            without = colorizer(truth, border="color")
            for turn in TURNS:
                results[turn].append(measure(colorizer, truth, without, place, region, turn))
        for turn, values in results.items():
            moved = [value["moved"] for value in values if "moved" in value]
            at_place, outside = (np.array([value[name] for value in values]) for name in ("at_place", "outside"))
            row = {
                "size": size,
                "turn": turn,
                "num_photos": len(values),
                "share_within_5": float((at_place <= 5).mean()),
                "at_place_90th_percentile": float(np.percentile(at_place, 90)),
                "num_regions": len(moved),
                "moved_mean": float(np.mean(moved)) if moved else None,
                "moved_half_share": float((np.array(moved) >= 0.5).mean()) if moved else None,
                "outside_mean": float(outside.mean()),
            }
            print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
