"""The report of one or several runs: an HTML file that needs no other file and no network."""

import html
import importlib.resources
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from colorgan.errors import reason
from colorgan.reporting import charts
from colorgan.reporting.run_record import RunRecord
from colorgan.run import dashboard
from colorgan.run import workdir as workdir_lib
from colorgan.run.storage import write_whole

log = logging.getLogger(__name__)

# Metrics of the summary: name, title, whether higher is better. `dashboard.describe` says what each is.
_METRICS = (
    ("score", "score", True),
    ("psnr", "PSNR (dB)", True),
    ("ssim", "SSIM", True),
    ("auc", "AuC", True),
    ("ciede2000", "CIEDE2000", False),
    ("ab_histogram_distance", "ab histogram distance", False),
    ("delta_colorfulness", "difference of colorfulness", False),
)
_FLAT = 0.01  # change of the score that counts as none: what differs between seeds (benchmarks/LADDER.md)
_WAITS = 0.2  # share of the time spent waiting for data that is worth a hint
_NUM_WEAKEST = 3  # folders that the summary names

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 0 16px 48px; color: #222; }
h1 { font-size: 26px; overflow-wrap: anywhere; } h2 { font-size: 20px; margin-top: 40px; }
table { border-collapse: collapse; } th, td { padding: 4px 8px 4px 0; text-align: right; }
th:first-child, td:first-child { text-align: left; min-width: 6em; } tr { border-bottom: 1px solid #ddd; }
.scroll { overflow-x: auto; } .better { color: #00703c; } .worse { color: #b00020; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 12px; }
.images { display: flex; flex-wrap: wrap; gap: 0 32px; } .images > div { max-width: 100%; }
img { height: auto; max-width: max(100%, 620px); }
.samples p { position: sticky; top: 0; background: white; margin: 0; }
@media (max-width: 500px) { table { font-size: 13px; } th, td { padding-right: 5px; } }
.images > div { overflow-x: auto; } input[type=range] { width: min(100%, 480px); }
li, pre { overflow-wrap: anywhere; } pre { white-space: pre-wrap; font-size: 13px; }
"""
_SCRIPT = """
const figures = JSON.parse(document.getElementById("figures").textContent);
figures.forEach((figure, n) => Plotly.newPlot("figure" + n, figure.data, figure.layout,
  {responsive: true, displayModeBar: false}));
document.querySelectorAll(".samples").forEach(samples => {
  const grids = JSON.parse(samples.querySelector("script").textContent);
  const [slider, image, label] = ["input", "img", "output"].map(name => samples.querySelector(name));
  const show = () => {
    image.src = grids[slider.value][1];
    label.textContent = `epoch ${grids[slider.value][0]} (${+slider.value + 1} of ${grids.length})`;
    slider.setAttribute("aria-valuetext", label.textContent);
  };
  slider.addEventListener("input", show);
  show();
});
"""


def write_report(workdir: epath.Path) -> None:
    """Writes a run's report into its folder. What prevents it is a warning: a run never ends because of its report."""
    path = workdir / workdir_lib.REPORT_FILE
    try:
        write_whole(path, render([RunRecord.read(workdir)]).encode())
    except Exception as error:  # of any type: a fault here would end a training of days
        log.warning("cannot write %s: %s", path, reason(error))


def render(runs: Sequence[RunRecord]) -> str:
    """The HTML of a report."""
    figures: list[charts.Figure] = []

    def draw(new: Sequence[charts.Figure]) -> str:
        first = len(figures)
        figures.extend(new)
        return (
            '<div class="charts">' + "".join(f'<div id="figure{first + n}"></div>' for n in range(len(new))) + "</div>"
        )

    title = " and ".join(run.name for run in runs)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [_summary(run, with_name=len(runs) > 1) for run in runs]
    parts += ["<h2>Validation</h2><p>Of the moving average of the network.</p>", draw(charts.validation(runs))]
    for run in runs:
        parts += [_images(run, _heading(runs, run))]
    for run in runs:
        if maps := charts.histograms(run):
            parts += [f"<h2>{_heading(runs, run)}Colors of the last validation</h2>", draw(maps)]
        parts.append(_folders(run, _heading(runs, run)))
    parts += ["<h2>Training</h2>", draw(charts.losses(runs)), "<h2>Speed</h2>", draw(charts.speed(runs))]
    for run in runs:
        parts += [_list(f"{_heading(runs, run)}Warnings", run.warnings)]
        parts += [_list(f"{_heading(runs, run)}Changed when the run was resumed", run.changes)]
        config = html.escape(json.dumps(run.config, indent=2))
        parts += [f"<h2>{_heading(runs, run)}Config</h2><details><summary>show</summary><pre>{config}</pre></details>"]
    plotly = (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)} - colorgan</title><style>{_STYLE}</style></head><body>",
            *parts,
            _json_script(figures, 'id="figures"'),
            f"<script>{plotly}</script><script>{_SCRIPT}</script></body></html>",
        ]
    )


def _heading(runs: Sequence[RunRecord], run: RunRecord) -> str:
    return f"{html.escape(run.name)}: " if len(runs) > 1 else ""


def _json_script(values: Any, attributes: str = "") -> str:
    """Data for scripts; a name in it cannot end the element."""
    text = json.dumps(values, allow_nan=False).replace("</", "<\\/")
    return f'<script type="application/json" {attributes}>{text}</script>'


def _summary(run: RunRecord, with_name: bool) -> str:
    """The metrics beside those of the gray image, and what the run says about itself in sentences."""
    rows = []
    better, worse = list[str](), list[str]()
    for name, title, higher_is_better in _METRICS:
        value, gray = run.last(f"validation/{name}"), run.last(f"validation/gray_{name}")
        if value is None or gray is None:
            continue
        is_better = value > gray if higher_is_better else value < gray
        (better if is_better else worse).append(title)
        verdict = '<span class="better">yes</span>' if is_better else '<span class="worse">no</span>'
        title = f"{title}<br><small>{dashboard.describe(f'validation/{name}')}</small>"
        rows.append(f"<tr><td>{title}</td><td>{value:.3f}</td><td>{gray:.3f}</td><td>{verdict}</td></tr>")
    head = "<tr><th>last validation</th><th>prediction</th><th>gray image</th><th>better?</th></tr>"
    table = f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'
    if not rows:
        table = "<p>There was no validation yet.</p>"
    sentences = [_progress(run), _verdict(run, better, worse), _convergence(run), _weakest(run), _speed(run), run.setup]
    points = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences if sentence)
    heading = f"<h2>{html.escape(run.name)}</h2>" if with_name else ""
    return f"{heading}<ul>{points}</ul>{table}"


def _progress(run: RunRecord) -> str:
    epoch, images = run.last("train/epoch"), run.validation.get("num_images")
    num_epochs = run.config["num_epochs"]
    done = f"{min(epoch or 0, num_epochs):.3g} of {num_epochs} epochs are done"
    return f"{done}; the validation set has {images} images." if images else f"{done}."


def _verdict(run: RunRecord, better: Sequence[str], worse: Sequence[str]) -> str:
    """Whether the colors are nearer to the real ones than gray is."""
    if not better and not worse:
        return ""
    compared = (("better", better), ("worse", worse))
    said = [f"{kind} than the gray image in {', '.join(names)}" for kind, names in compared if names]
    sentence = f"The prediction is {' and '.join(said)}."
    if "num_better" in run.validation:
        share = run.validation["num_better"] / max(run.validation["num_images"], 1)
        sentence += f" {share:.0%} of the validation images have a better AuC than their gray images."
    return sentence


def _convergence(run: RunRecord) -> str:
    """How the score changed in the last quarter of the epochs."""
    epochs, scores = run.curve("validation/score")
    if len(scores) < 2:
        return ""
    start = next(n for n, epoch in enumerate(epochs) if epoch >= 0.75 * epochs[-1])
    start = min(start, len(scores) - 2)
    change = scores[-1] - scores[start]
    best = max(range(len(scores)), key=scores.__getitem__)
    verdict = "hardly changed" if abs(change) < _FLAT else "was still rising" if change > 0 else "fell"
    return (
        f"The score {verdict} from epoch {epochs[start]:.0f} to {epochs[-1]:.0f} ({change:+.3f}); "
        f"its best value is {scores[best]:.3f}, in epoch {epochs[best]:.0f}."
    )


def _weakest(run: RunRecord) -> str:
    """The folders where the prediction gains least on the gray image."""
    folders = run.validation.get("folders", {})
    if len(folders) < 2:
        return ""
    weakest = sorted(folders, key=lambda name: _gain(folders[name]))[:_NUM_WEAKEST]
    listed = ", ".join(f"{name or '(top folder)'} ({_gain(folders[name]):+.3f})" for name in weakest)
    num_better = sum(_gain(folder) > 0 for folder in folders.values())
    return (
        f"Its AuC is better than that of the gray image in {num_better} of {len(folders)} folders; "
        f"the difference is lowest in {listed}."
    )


def _gain(folder: Mapping[str, Any]) -> float:
    return float(folder["prediction"]["auc"] - folder["gray"]["auc"])


def _speed(run: RunRecord) -> str:
    spent = charts.time_spent(run)
    total = sum(spent.values())
    if not total:
        return ""
    num_images = run.last("step") * run.config["batch_size"]
    share = spent["waiting for data"] / total
    hint = "; more data.num_workers, shards or data.cache=device may help" if share > _WAITS else ""
    return (
        f"It took {total / 60:.3g} minutes after compiling, at {num_images / total:.3g} images per second with "
        f"validation and checkpoints; {share:.0%} of the time it waited for data{hint}."
    )


def _images(run: RunRecord, heading: str) -> str:
    parts = []
    if run.images:
        slider = (
            f'<input type="range" min="0" max="{len(run.images) - 1}" value="{len(run.images) - 1}" aria-label="epoch">'
        )
        parts.append(
            f'<div class="samples"><h2>{heading}Samples</h2><p>{slider} <output></output></p><img alt="sample grid">'
            + _json_script(list(run.images.items()))
            + "</div>"
        )
    if run.best_and_worst:
        about = (
            "The best images first, then the worst, by AuC minus that of the gray image; with their ranks. They are "
            "chosen by rank, never by eye."
        )
        image = f'<img alt="best and worst validation images" src="{run.best_and_worst}">'
        parts.append(f"<div><h2>{heading}Best and worst validation images</h2><p>{about}</p>{image}</div>")
    return f'<div class="images">{"".join(parts)}</div>'


def _folders(run: RunRecord, heading: str) -> str:
    folders = run.validation.get("folders", {})
    if len(folders) < 2:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(name) or '(top folder)'}</td><td>{folder['num_images']}</td>"
        f"<td>{folder['prediction']['psnr']:.1f} ({folder['gray']['psnr']:.1f})</td>"
        f"<td>{folder['prediction']['auc']:.3f} ({folder['gray']['auc']:.3f})</td><td>{_gain(folder):+.3f}</td></tr>"
        for name, folder in sorted(folders.items(), key=lambda item: _gain(item[1]))
    )
    head = "<tr><th>folder</th><th>images</th><th>PSNR (gray)</th><th>AuC (gray)</th><th>difference</th></tr>"
    return f'<h2>{heading}Metrics by folder</h2><div class="scroll"><table>{head}{rows}</table></div>'


def _list(heading: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"<h2>{heading}</h2><ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
