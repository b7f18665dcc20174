"""Averages the weights of networks that were fine-tuned from the same one, into one file.

Such an average is often better than each of them (Wortsman et al. 2022, arXiv:2203.05482).

python benchmarks/average_weights.py --output=average.safetensors [--license=TEXT] FIRST.safetensors SECOND.safetensors
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from colorgan.inference.export_formats import LARGE
from colorgan.run import weights_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--license", help="for the description of the file")
    parser.add_argument("files", nargs="+", type=Path, help="of colorgan export --format=safetensors or -half")
    arguments = parser.parse_args()
    variables, descriptions = zip(*map(weights_file.read, arguments.files), strict=True)

    def average(*values: np.ndarray) -> np.ndarray:
        mean = np.mean(values, axis=0, dtype=np.float64)
        return np.asarray(mean, np.float16 if mean.size >= LARGE else np.float32)

    description = dict(descriptions[0])
    description.pop("difference", None)  # of that file
    if arguments.license:
        description["license"] = arguments.license
    weights_file.write(arguments.output, jax.tree.map(average, *variables), description)


if __name__ == "__main__":
    main()
