"""The charts of a report, as figures of plotly.js: dictionaries with "data" and "layout"."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colorgan.evaluation.metrics import METRICS
from colorgan.reporting.run_record import RunRecord
from colorgan.run.timing import SIDE_COSTS

Figure = dict[str, Any]
# Of Okabe and Ito 2008, which people with color blindness tell apart.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_GRAY, _TRUTH = "#888888", "#b8860b"
_TITLES = {
    "score": "Score: 0 is the gray image, 1 the real one",
    "psnr": "PSNR in dB: higher is better",
    "auc": "AuC of color errors: higher is better",
    "ab_histogram_distance": "Distance of ab histograms: lower is better",
    "colorfulness": "Colorfulness: best as the real images",
    "ssim": "SSIM: higher is better",
    "ciede2000": "CIEDE2000: lower is better",
}
_PERFECT = {"score": 1.0, "auc": 1.0, "ssim": 1.0, "ab_histogram_distance": 0.0, "ciede2000": 0.0}
_SQUEEZES = ("auc", "ssim")  # the line of the real image would leave no room for the others: a click shows it


def validation(runs: Sequence[RunRecord]) -> list[Figure]:
    """A chart for each metric of the validation images, with the lines of the gray and of the real images."""
    figures = []
    for metric in dict.fromkeys([*_TITLES, *METRICS]):
        traces = []
        for n, run in enumerate(runs):
            traces.append(_curve(run, f"validation/{metric}", _label(runs, run, "prediction"), _color(n), markers=True))
        for run in runs:
            traces.append(_curve(run, f"validation/gray_{metric}", _label(runs, run, "gray image"), _GRAY, dash="dash"))
            traces.append(_truth(run, metric, _label(runs, run, "real image")))
        figures.append(_figure(_TITLES.get(metric, metric), traces, "epoch"))
    return [figure for figure in figures if figure["data"]]


def losses(runs: Sequence[RunRecord]) -> list[Figure]:
    """The terms of the generator's loss, and what the critic makes of real and predicted images."""
    prefix, others = "train/generator/", ("loss", "gradient_norm", "learning_rate")
    figures = []
    for run in runs:
        terms = [name for name in run.metrics if name.startswith(prefix) and name.removeprefix(prefix) not in others]
        traces = [_curve(run, name, name.removeprefix(prefix), _color(n)) for n, name in enumerate(terms)]
        figures.append(_figure(_label(runs, run, "Terms of the loss, before their weights"), traces, "epoch", log=True))
        judged = [
            _curve(run, f"train/critic/probability_{kind}", f"{kind} images", _color(n))
            for n, kind in enumerate(("real", "fake"))
        ]
        title = "Probability of being real, by the critic: near 50% where it cannot tell"
        figures.append(_figure(_label(runs, run, title), judged, "epoch", range=[0, 1]))
    for network in ("generator", "critic"):
        rates = [
            _curve(run, f"train/{network}/learning_rate", _label(runs, run, network), _color(n))
            for n, run in enumerate(runs)
        ]
        figures.append(_figure(f"Learning rate of the {network}", rates, "epoch"))
    return [figure for figure in figures if figure["data"]]


def speed(runs: Sequence[RunRecord]) -> list[Figure]:
    """Images per second, and where the time went."""
    rates = [_curve(run, "perf/images_per_second", run.name, _color(n)) for n, run in enumerate(runs)]
    bars = []
    for n, run in enumerate(runs):
        seconds = dict(sorted(time_spent(run).items(), key=lambda item: item[1]))
        minutes = [value / 60 for value in seconds.values()]
        bar: Figure = {"type": "bar", "name": run.name, "x": minutes, "y": list(seconds), "orientation": "h"}
        bar |= {"text": [f"{value:.1f}" for value in minutes], "hoverinfo": "skip", "marker": {"color": _color(n)}}
        bars.append(bar)
    figures = [_figure("Images per second", rates, "epoch", rangemode="tozero")]
    figures.append(_figure("Minutes, by what they were spent on", bars, "minutes", type="category"))
    return [figure for figure in figures if figure["data"]]


def histograms(run: RunRecord) -> list[Figure]:
    """Two maps of colors: how often each ab color of CIE Lab is in predictions, and in the real images."""
    counts = run.validation.get("histograms", {})
    figures = []
    for kind, title in (("prediction", "Colors of the predictions"), ("truth", "Colors of the real images")):
        if kind in counts:
            rows = counts[kind]
            total = sum(map(sum, rows)) or 1.0
            # log10 of the share; a is the first axis of the counts, drawn to the right.
            share = [[_log10(rows[a][b] / total) for a in range(len(rows))] for b in range(len(rows))]
            centers = [5 * (n - len(rows) // 2) for n in range(len(rows))]
            trace = {"type": "heatmap", "z": share, "x": centers, "y": centers, "zmin": -6, "zmax": 0}
            trace |= {"colorscale": "Viridis", "colorbar": {"title": {"text": "log10 of the share"}}}
            trace["hoverinfo"] = "skip"
            figure = _figure(title, [trace], "a: green to red")
            square = {"range": [-112, 112], "constrain": "domain"}
            figure["layout"]["xaxis"] |= square
            figure["layout"]["yaxis"] |= square | {"title": {"text": "b: blue to yellow"}, "scaleanchor": "x"}
            figures.append(figure)
    return figures


def time_spent(run: RunRecord) -> dict[str, float]:
    """Seconds of a run by kind, from its metrics: training steps, waiting for data, and the rest of its work."""
    batch_size = run.config.get("batch_size", 0)
    computing = waiting = 0.0
    step = 0.0
    for line in run.lines:
        if rate := line.get("perf/images_per_second"):
            seconds = (line["step"] - step) * batch_size / rate
            waiting += seconds * line.get("perf/data_wait_fraction", 0.0)
            computing += seconds * (1 - line.get("perf/data_wait_fraction", 0.0))
        step = line["step"]
    spent = {"training steps": computing, "waiting for data": waiting}
    return spent | {kind: sum(line.get(f"perf/{kind}_seconds", 0.0) for line in run.lines) for kind in SIDE_COSTS}


def _log10(share: float) -> float | None:
    return round(float(np.log10(share)), 2) if share > 0 else None


def _label(runs: Sequence[RunRecord], run: RunRecord, text: str) -> str:
    return text if len(runs) == 1 else f"{run.name}: {text}"


def _color(n: int) -> str:
    return _COLORS[n % len(_COLORS)]


def _curve(run: RunRecord, metric: str, name: str, color: str, markers: bool = False, dash: str = "solid") -> Figure:
    epochs, values = run.curve(metric)
    mode = "lines+markers" if markers else "lines"
    line = {"color": color, "dash": dash}
    rounded = [round(epoch, 2) for epoch in epochs]
    return {"type": "scatter", "mode": mode, "name": name, "x": rounded, "y": values, "line": line,
            "hovertemplate": "%{y:.4g}"}  # fmt: skip


def _truth(run: RunRecord, metric: str, name: str) -> Figure:
    """The line of the real images, if it is finite."""
    epochs, values = run.curve(f"validation/{metric}")
    if metric == "colorfulness":
        epochs, values = run.curve("validation/true_colorfulness")
    else:
        values = [_PERFECT[metric]] * len(values) if metric in _PERFECT else []
    visible: Any = "legendonly" if metric in _SQUEEZES else True
    line = {"color": _TRUTH, "dash": "dot"}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": epochs,
        "y": values,
        "line": line,
        "visible": visible,
    }


def _figure(title: str, traces: Sequence[Mapping[str, Any]], x_title: str, log: bool = False, **y_axis: Any) -> Figure:
    """Without the traces that have no values."""
    layout = {
        "title": {"text": title, "font": {"size": 14}},
        "margin": {"l": 56, "r": 12, "t": 40, "b": 80},
        "height": 340,
        "legend": {"orientation": "h", "y": -0.28},
        "dragmode": False,  # a finger on a chart scrolls the page
        "hovermode": "x unified" if x_title == "epoch" else "closest",
        "xaxis": {"title": {"text": x_title, "standoff": 4}, "automargin": True},
        "yaxis": {"automargin": True, **({"type": "log", "dtick": "D2"} if log else {}), **y_axis},
    }
    return {"data": [trace for trace in traces if trace.get("y")], "layout": layout}
