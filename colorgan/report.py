"""Draws the report of a run, or of several side by side: an HTML file with curves, images and settings.

Training writes it into the folder of the run after each checkpoint. Several runs are written to --output.
"""

import argparse
import json
import sys

from colorgan import command_line
from colorgan.errors import UserError
from colorgan.reporting import report_page
from colorgan.reporting.run_record import MAX_BYTES, RunRecord
from colorgan.run.storage import folder_errors, parse_path, write_whole
from colorgan.run.workdir import REPORT_FILE


def main(arguments: argparse.Namespace) -> None:
    """The last line printed is JSON."""
    output = arguments.output
    if output is None:
        if len(arguments.workdir) > 1:
            raise UserError("several runs need --output=FILE.html")
        output = arguments.workdir[0] / REPORT_FILE
    with folder_errors(output.parent):
        runs = [RunRecord.read(workdir, MAX_BYTES // len(arguments.workdir)) for workdir in arguments.workdir]
        write_whole(output, report_page.render(runs).encode())
    print(f"open {output} in a browser", file=sys.stderr)
    print(json.dumps({"output": str(output), "runs": [run.name for run in runs]}))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("report", __doc__, "--workdir=runs/mine")
    parser.add_argument("--workdir", type=parse_path, nargs="+", required=True, help="folders of runs", metavar="RUN")
    parser.add_argument("--output", type=parse_path, help=f"the file (default: {REPORT_FILE} in the run's folder)")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
