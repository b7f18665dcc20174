"""Draws a photograph in gray, colored without hints and with them, and as it is, side by side; hints are dots.

python benchmarks/hints_picture.py --photo=226060.jpg --hints=226060.hints.json --output=docs/hints.jpg
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import read_hints

WIDTH, GAP, RADIUS = 262, 4, 4  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photo", "hints", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    photo, hints = Image.open(arguments.photo).convert("RGB"), read_hints(arguments.hints)
    gray, colorizer = np.asarray(photo.convert("L")), Colorizer.default()
    images = [gray, colorizer(gray), colorizer(gray, hints=hints), np.asarray(photo)]
    height = round(WIDTH * photo.height / photo.width)
    sheet = Image.new("RGB", (len(images) * (WIDTH + GAP) - GAP, height), "white")
    for n, image in enumerate(images):
        sheet.paste(
            Image.fromarray(image).convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS),
            (n * (WIDTH + GAP), 0),
        )
    draw = ImageDraw.Draw(sheet)
    for hint in hints:
        x, y = hint.as_fraction(*photo.size)
        center = 2 * (WIDTH + GAP) + x * WIDTH, y * height
        draw.circle(center, RADIUS, fill=hint.color, outline="white")
    sheet.save(arguments.output, quality=90)


if __name__ == "__main__":
    main()
