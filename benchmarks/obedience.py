"""Measures whether a network does what a color hint asks for. Prints one line of JSON for each kind of color and size.

Each photograph is colored without a hint and with one hint at a random place, the same at every size. The color that
is asked for is the photograph's own there, or that with its hue turned by 90 or 180 degrees; at the luma of each pixel,
as far as RGB has it. Measured are CIEDE2000 at the place, how far the region around it has moved towards that color,
and the change elsewhere. The region is what is connected to the place in the real photograph and has a similar color.

python benchmarks/obedience.py --photos=PHOTOS [--model=FILE] [--sizes=256,1024] [--num_photos=100]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from colorgan import color, hint_planes
from colorgan.data.folder import find_images
from colorgan.evaluation import hints as true_hints
from colorgan.evaluation import metrics
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import Hint

TURNS = (0, 90, 180)
_SIMILAR = 12.0  # distance in Lab of pixels of a region from the color at the place
_MIN_REGION = 0.002  # share of the photograph; smaller regions are left out of that measure
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
    """A mask [H,W] at the photograph's size: pixels of similar color that are connected to `place`, fractions [2]."""
    scale = _REGION_SIDE / max(photo.size)
    small = np.asarray(photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))))
    lab = color.rgb_to_lab(small.astype(np.float32))
    row, column = np.minimum((place * small.shape[:2]).astype(int), np.array(small.shape[:2]) - 1)
    reach = max(1, round(hint_planes.PLACE_SIZE * _REGION_SIDE / 2))
    around = lab[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    similar = np.linalg.norm(lab - np.median(around, axis=(0, 1)), axis=-1) < _SIMILAR
    labels, _ = ndimage.label(similar)
    found = labels[row, column]
    region = (labels == found) & similar if found else np.zeros_like(similar)
    return np.asarray(Image.fromarray(region).resize(photo.size, Image.Resampling.NEAREST))


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 of each pixel of RGB images [H,W,3] in 0..255, [H,W]."""
    labs = (color.rgb_to_lab(image.astype(np.float32)) for image in (first, second))
    return metrics.ciede2000_of_pixels(*labs)


def measure(colorizer: Colorizer, photo: Image.Image, without: np.ndarray, place: np.ndarray, turn: int) -> dict:
    """The measures of one hint."""
    truth = np.asarray(photo)
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
    region = find_region(photo, place)
    before, after, changed = difference(without, wanted), difference(colored, wanted), difference(colored, without)
    result = {"at_place": after[at_place].mean(), "outside": changed[~region].mean() if not region.all() else 0.0}
    if region.mean() >= _MIN_REGION and before[region].mean() >= _MIN_CHANGE:
        result["moved"] = 1 - after[region].mean() / before[region].mean()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a file of colorgan export (default: the network that ships)")
    parser.add_argument("--sizes", default="128,256,1024", help="of the longer side, in pixels")
    parser.add_argument("--num_photos", type=int, default=100, help="evenly spaced")
    arguments = parser.parse_args()
    colorizer = Colorizer.from_file(arguments.model) if arguments.model else Colorizer.default()
    names = find_images(str(arguments.photos))
    chosen = np.unique(np.linspace(0, len(names) - 1, min(arguments.num_photos, len(names))).astype(int)).tolist()
    places = true_hints.random_places(chosen, 1)[:, 0]
    rows = []
    for size in map(int, arguments.sizes.split(",")):
        results: dict[int, list[dict]] = {turn: [] for turn in TURNS}
        for index, place in zip(chosen, places, strict=True):
            photo = Image.open(arguments.photos / names[index]).convert("RGB")
            scale = size / max(photo.size)
            photo = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
            without = colorizer(np.asarray(photo), border="color")
            for turn in TURNS:
                results[turn].append(measure(colorizer, photo, without, place, turn))
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
            rows.append(row)
            print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
