"""Measures how well a trained generator colors a set of images.

Prints a table and one JSON object, and draws the best, median and worst images.
"""

import argparse
import json
import sys

from colorgan import command_line
from colorgan.data import check, degradation, pipeline
from colorgan.errors import UserError, printable
from colorgan.evaluation import contact_sheet, lpips, report
from colorgan.evaluation.metrics import METRICS, VERSION
from colorgan.inference import evaluation_images, model_flags, prediction_sets
from colorgan.run import devices
from colorgan.run.storage import bucket_errors, folder_errors, parse_local_path, parse_path, write_image, write_whole
from colorgan.run.workdir import CONTACT_SHEET_FILE, EVALUATION_FOLDER


def main(arguments: argparse.Namespace) -> None:
    """Writes metrics.json and contact_sheet.png; the last line printed is JSON."""
    image_set = evaluation_images.find(arguments.data, arguments.workdir)
    if arguments.degrade and arguments.size != "model":
        raise UserError("--degrade is for squares at the generator's size, not for --size=own")
    output = arguments.output or (arguments.workdir or parse_path(".")) / EVALUATION_FOLDER
    with folder_errors(arguments.save_images, "--save_images"):
        save = report.create_saver(arguments.save_images) if arguments.save_images else lambda some: None
    devices.select_platform("")
    image_metrics = METRICS | ({"lpips": lpips.create_metric(arguments.lpips)} if arguments.lpips else {})
    loaded = model_flags.load_generator(arguments)
    source = image_set.open(loaded.image_size)
    check.warn_about_gray(source)
    if arguments.degrade:
        source = degradation.DegradedSource(pipeline.Images(source, loaded.image_size, max_bad_fraction=None))
    with folder_errors(output, "--output"), bucket_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    predict_set = prediction_sets.create(loaded, arguments.size, image_metrics)
    hints: dict[int, dict[str, float]] = {}
    try:
        with folder_errors(arguments.save_images, "--save_images"):
            result = report.evaluate_set(source, predict_set, save)
        for number in arguments.num_hints:
            predict_with_hints = prediction_sets.create(loaded, arguments.size, image_metrics, number)
            hints[number] = (report.evaluate_set(source, predict_with_hints) if number else result).rows["prediction"]
    except UserError as error:
        raise UserError(f"{image_set.name}: {error}") from error
    print(result.table(), file=sys.stderr)
    if hints:
        print(report.table_of_hints(hints), file=sys.stderr)
    values = {
        **result.rows,
        "confidence_95": result.intervals,
        "folders": {name: {"num_images": folder.num_images} | folder.rows for name, folder in result.folders.items()},
        **({"hints": hints} if hints else {}),
        "metrics_version": VERSION,
        "num_images": result.num_images,
        "num_bad": result.num_bad,
        "step": loaded.step,
        "checkpoint": loaded.checkpoint,
        "data": image_set.name,
        "size": arguments.size,
        "degraded": arguments.degrade,
        "image_size": loaded.image_size,
    }
    print(json.dumps(values), flush=True)  # before the files: a full disk does not lose the metrics
    data = printable(image_set.name) + (", degraded" if arguments.degrade else "")
    heading = f"by AuC, from best to worst: step {loaded.step}, size {arguments.size}, {data}"
    sheet = contact_sheet.draw(source, result.ranked, predict_set, heading)
    with folder_errors(output, "--output"):
        write_whole(output / "metrics.json", (json.dumps(values, indent=2) + "\n").encode())
        write_image(output / CONTACT_SHEET_FILE, sheet)
    print(f"metrics.json and contact_sheet.png are in {output}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("evaluate", __doc__, "--data=folder:PHOTOS")
    model_flags.add_arguments(parser)
    parser.add_argument("--data", required=True, help=evaluation_images.HELP)
    size_help = "model: the central square at the generator's size (default); own: whole images, like colorize"
    parser.add_argument("--size", default="model", choices=("model", "own"), help=size_help)
    degrade_help = "degrades each image like an old photograph, always in the same way; only with --size=model"
    parser.add_argument("--degrade", action="store_true", help=degrade_help)
    hints_help = "also with so many color hints for each image, its colors at random places: 0,1,10 (default: none)"
    parser.add_argument("--num_hints", type=command_line.counts, default=(), metavar="N,N", help=hints_help)
    parser.add_argument("--lpips", choices=lpips.NETWORKS, help="LPIPS too, by this network; needs the extra lpips")
    output_help = "folder of the results (default: evaluation/ in the run's folder or, without one, in the current one)"
    parser.add_argument("--output", type=parse_path, help=output_help)
    images_help = "a new folder for all predictions and real images, as PNG"
    parser.add_argument("--save_images", type=parse_local_path, help=images_help)
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
