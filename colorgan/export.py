"""Writes a trained generator, with its weights, to one file.

StableHLO and ONNX are programs that color without colorgan. safetensors holds the weights, for colorgan: to color with,
and to start other runs from (config.init_from).

The file is loaded again and compared with the run before it gets its name. docs/export.md describes its use.
"""

import argparse
import json
import sys

from colorgan import command_line
from colorgan.errors import UserError, printable
from colorgan.inference import export_model, model_flags
from colorgan.run import devices
from colorgan.run.storage import parse_local_path


def main(arguments: argparse.Namespace) -> None:
    """The last line printed is JSON: the metadata of the file, its path and its size."""
    output = arguments.output
    if output.is_dir():
        raise UserError(f"--output={output} is a folder; name a file, such as {output / 'mine.stablehlo'}")
    if output.exists() and not arguments.overwrite:
        raise UserError(f"--output={output} exists already (--overwrite replaces it)")
    file_format = arguments.format or output.suffix[1:]
    if not arguments.format and file_format not in ("stablehlo", "onnx", "safetensors"):
        raise UserError(f"--output={output} must end in .stablehlo, .onnx or .safetensors")
    for suffix in (".onnx", ".safetensors"):
        if file_format.startswith(suffix[1:]) != (output.suffix == suffix):
            raise UserError(f"--output={output} must end in {suffix} for --format={suffix[1:]}, and only for it")
    what = f"writing {printable(str(output))} and comparing it with the network, which takes up to a minute"
    print(what, file=sys.stderr, flush=True)
    devices.select_platform("")
    loaded = model_flags.load_generator(arguments)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        description = export_model.export_model(loaded, output, file_format)
    except OSError as error:
        raise UserError(f"cannot write --output={output}: {error}") from error
    print(json.dumps(description | {"file": str(output), "num_bytes": output.stat().st_size}))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("export", __doc__, "--output=mine.onnx")
    model_flags.add_arguments(parser)
    output_help = "the file to write, such as model.stablehlo, model.onnx or model.safetensors"
    parser.add_argument("--output", required=True, type=parse_local_path, help=output_help)
    formats = tuple(export_model.FORMATS)
    format_help = (
        "for JAX, for ONNX runtimes, or for colorgan alone, also with large kernels in float16 (default: by the suffix)"
    )
    parser.add_argument("--format", choices=formats, help=format_help)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
