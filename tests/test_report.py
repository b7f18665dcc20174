"""The report of a run: what it says, that it needs nothing else, and that it never ends a run."""

import json
import logging
import math
import re

import numpy as np
import pytest
from conftest import ROOT, run_command
from etils import epath
from PIL import Image

from colorgan.evaluation.steps import Evaluation
from colorgan.reporting import charts, report_page, validation_record
from colorgan.reporting.run_record import MAX_GRIDS, MAX_POINTS, RunRecord


def _record(name="mine", scores=(0.1, 0.3, 0.4, 0.5), **changes):
    """A run of four epochs of ten steps, with 16 images a step at 160 images/s, a quarter of the time waiting."""
    lines = [
        {
            "step": 10 * (n + 1),
            "train/epoch": float(n + 1),
            "train/generator/l1": 0.1 / (n + 1),
            "perf/images_per_second": 160.0,
            "perf/data_wait_fraction": 0.25,
            "perf/validation_seconds": 2.0,
            "validation/score": score,
            "validation/gray_score": 0.0,
            "validation/psnr": 24.0 + n,
            "validation/gray_psnr": 25.5,
            "validation/colorfulness": 20.0,
            "validation/true_colorfulness": 30.0,
        }
        for n, score in enumerate(scores)
    ]
    config = {"num_epochs": 4, "batch_size": 16}
    empty = {"validation": {}, "images": {}, "best_and_worst": "", "warnings": [], "changes": []}
    return RunRecord(name, config, lines, **(empty | changes))


def _figures(page):
    """The traces of the charts of a report, by title."""
    ((figures),) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    return {figure["layout"]["title"]["text"]: figure["data"] for figure in json.loads(figures)}


def test_the_summary_compares_with_the_gray_image():
    page = report_page.render([_record()])
    rows = re.findall(r"<tr><td>(.*?)<br>.*?</td><td>(.*?)</td><td>(.*?)</td><td>.*?>(yes|no)<", page)
    assert rows == [("score", "0.500", "0.000", "yes"), ("PSNR (dB)", "27.000", "25.500", "yes")]
    worse = report_page.render([_record(scores=(-0.1,))])
    assert re.findall(r">(yes|no)<", worse) == ["no", "no"]
    assert "4 of 4 epochs are done." in page
    # 640 images in 4 s of steps and waiting, and 8 s of validation
    assert "at 53.3 images per second with validation and checkpoints" in page
    assert "The prediction is better than the gray image in score, PSNR (dB)." in page
    assert "worse than the gray image in score, PSNR (dB)." in report_page.render([_record(scores=(-0.1,))])
    assert "8% of the time it waited for data." in page
    assert "no validation yet" in report_page.render([_record(scores=())])


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ((0.1, 0.3, 0.4, 0.5), "was still rising from epoch 3 to 4 (+0.100)"),
        ((0.1, 0.5, 0.5, 0.505), "hardly changed from epoch 3 to 4 (+0.005)"),
        ((0.1, 0.5, 0.4, 0.3), "fell from epoch 3 to 4 (-0.100); its best value is 0.500, in epoch 2."),
    ],
)
def test_the_summary_says_whether_the_score_converged(scores, sentence):
    assert sentence in report_page.render([_record(scores=scores)])


def test_charts_have_the_lines_of_the_gray_and_the_real_image():
    figures = _figures(report_page.render([_record()]))
    lines = {trace["name"]: trace["y"] for trace in figures["PSNR in dB: higher is better"]}
    assert lines == {"prediction": [24, 25, 26, 27], "gray image": [25.5] * 4}
    lines = {trace["name"]: trace["y"] for trace in figures["Colorfulness: best as the real images"]}
    assert lines == {"prediction": [20] * 4, "real image": [30] * 4}
    (bars,) = figures["Minutes, by what they were spent on"]
    minutes = dict(zip(bars["y"], bars["x"], strict=True))
    assert minutes["waiting for data"] == pytest.approx(40 * 16 / 160 * 0.25 / 60)
    assert minutes["training steps"] == pytest.approx(40 * 16 / 160 * 0.75 / 60)
    assert minutes["validation"] == pytest.approx(8 / 60)


def test_histograms_have_a_to_the_right_and_b_upward():
    counts = np.zeros((45, 45))
    counts[22 + 4, 22 - 6] = 7  # a 20, b -30
    run = _record(validation={"histograms": {"prediction": counts.tolist(), "truth": counts.tolist()}})
    trace = charts.histograms(run)[0]["data"][0]
    ((row, column),) = [(r, c) for r, line in enumerate(trace["z"]) for c, value in enumerate(line) if value == 0.0]
    assert (trace["x"][column], trace["y"][row]) == (20, -30)


def test_folders_are_listed_with_the_weakest_first():
    folders = {
        f"class_{n}": {"num_images": 5, "prediction": {"psnr": 20.0, "auc": auc}, "gray": {"psnr": 19.0, "auc": 0.9}}
        for n, auc in enumerate((0.95, 0.85, 0.91))
    }
    page = report_page.render([_record(validation={"num_images": 15, "folders": folders})])
    assert (
        "in 2 of 3 folders; the difference is lowest in class_1 (-0.050), class_2 (+0.010), class_0 (+0.050)." in page
    )
    assert re.findall(r"<td>(class_\d)</td>", page) == ["class_1", "class_2", "class_0"]


def test_runs_are_side_by_side():
    page = report_page.render([_record("one"), _record("two", scores=(0.2, 0.3))])
    names = [trace["name"] for trace in _figures(page)["Score: 0 is the gray image, 1 the real one"]]
    assert names[:2] == ["one: prediction", "two: prediction"]
    assert re.findall("<h2>(one|two)</h2>", page) == ["one", "two"]


def test_names_cannot_change_the_page():
    name = '</script><script>alert(1)</script><img src=x onerror="alert(1)">'
    folders = {name: {"num_images": 1, "prediction": {"psnr": 1.0, "auc": 1.0}, "gray": {"psnr": 1.0, "auc": 1.0}}}
    run = _record(name, validation={"folders": folders | {"b": folders[name]}}, warnings=[name], changes=[name])
    page = report_page.render([run, run])
    assert name not in page
    assert "<script>alert" not in page.replace("<\\/script><script>alert", "")
    assert _figures(page)


def test_the_report_needs_no_network_and_no_other_file():
    page = report_page.render([_record()])
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.S)  # plotly.js names maps
    assert re.findall(r"(?:src|href)=\"(?!data:)", outside) == []


def test_a_curve_is_thinned_and_keeps_its_ends():
    run = _record(scores=[n / 5000 for n in range(5000)])
    epochs, values = run.curve("validation/score")
    assert len(epochs) == MAX_POINTS
    assert (epochs[0], epochs[-1], values[-1]) == (1, 5000, 4999 / 5000)
    run.lines[-1]["validation/score"] = math.nan
    assert run.curve("validation/score")[0][-1] < 5000
    report_page.render([run])


def test_the_best_and_the_worst_images_by_rank():
    aucs = np.array([0.5, np.nan, 0.9, 0.7, 0.8, 0.6], np.float32)
    gray = np.array([0.52, 0.5, 0.5, 0.5, 0.5, 0.5], np.float32)
    values = {kind: {"auc": auc, "psnr": 10 * auc} for kind, auc in (("prediction", aucs), ("gray", gray))}
    evaluation = Evaluation({}, 5, values, {"prediction": np.ones((45, 45)), "truth": np.ones((45, 45))})
    ranks = {2: "1 of 5", 4: "2 of 5", 3: "3 of 5", 5: "4 of 5", 0: "5 of 5"}
    for number, expected in ((4, [2, 4, 5, 0]), (9, [2, 4, 3, 5, 0])):
        shown = validation_record.best_and_worst(evaluation, number)
        assert list(shown) == expected
        assert shown == {index: ranks[index] for index in expected}
    names = ["a/0", "a/1", "b/2", "b/3", "a/4", "a/5"]
    record = validation_record.describe(evaluation, names.__getitem__, 7)
    assert {name: folder["num_images"] for name, folder in record["folders"].items()} == {"a": 3, "b": 2}
    assert record["folders"]["b"]["prediction"]["auc"] == pytest.approx(0.8)
    assert record["num_better"] == 4
    (caption,) = validation_record.captions(evaluation, {2: "1 of 5"}, names.__getitem__)
    assert caption == ("AuC 0.500, 5.0 dB", "AuC 0.900, 9.0 dB", "1 of 5: b/2")


def test_every_run_has_a_report(finished_run):
    workdir = epath.Path(finished_run)
    page = (workdir / "report.html").read_text()
    run = RunRecord.read(workdir)
    assert run.images
    assert run.best_and_worst.startswith("data:image/jpeg;base64,")
    score = _figures(page)["Score: 0 is the gray image, 1 the real one"]
    assert score[0]["y"][-1] == run.last("validation/score")
    values = [folder["prediction"]["psnr"] * folder["num_images"] for folder in run.validation["folders"].values()]
    assert sum(values) / run.validation["num_images"] == pytest.approx(run.last("validation/psnr"), rel=1e-4)


def test_the_command_draws_old_and_several_runs(finished_run, tmp_path):
    old = next(path for path in sorted((ROOT / "tests" / "old_runs").iterdir()) if (path / "config.json").exists())
    output = tmp_path / "both.html"
    done = run_command("colorgan.report", "--workdir", str(finished_run), str(old), f"--output={output}")
    assert json.loads(done.stdout.splitlines()[-1])["runs"] == [epath.Path(finished_run).name, old.name]
    assert old.name in output.read_text()
    done = run_command("colorgan.report", "--workdir", str(finished_run), str(old), check=False)
    assert (done.returncode, "several runs need --output=FILE.html" in done.stderr) == (1, True)


def test_a_report_of_a_long_run_is_below_15_megabytes(finished_run, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((epath.Path(finished_run) / name).read_bytes())
    (tmp_path / "samples").mkdir()
    grid = Image.fromarray(rng.integers(0, 256, (160, 528, 3), np.uint8)).resize((528, 1900))  # harder than photographs
    for epoch in range(1, 151):
        (tmp_path / "samples" / f"epoch_{epoch:04d}.png").symlink_to(tmp_path / "grid.png")
    grid.save(tmp_path / "grid.png")
    report_page.write_report(epath.Path(tmp_path))
    assert (tmp_path / "report.html").stat().st_size < 15e6
    images = RunRecord.read(epath.Path(tmp_path)).images
    assert 5 < len(images) < MAX_GRIDS
    assert (min(images), max(images)) == (1, 150)


@pytest.mark.parametrize("damage", ["no run", "metrics", "disk", "a fault of the report"])
def test_a_report_that_cannot_be_written_is_a_warning(finished_run, tmp_path, monkeypatch, caplog, damage):
    if damage != "no run":
        (tmp_path / "config.json").write_bytes((epath.Path(finished_run) / "config.json").read_bytes())
    if damage == "metrics":
        (tmp_path / "metrics.jsonl").write_text("no JSON\n")
    if damage == "disk":
        monkeypatch.setattr(report_page, "write_whole", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    if damage == "a fault of the report":
        monkeypatch.setattr(report_page, "render", lambda runs: runs[0].no_such_attribute)
    with caplog.at_level(logging.WARNING):
        report_page.write_report(epath.Path(tmp_path))
    (message,) = caplog.messages
    assert message.startswith(f"cannot write {tmp_path}/report.html: ")
