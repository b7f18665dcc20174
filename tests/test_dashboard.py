"""What TensorBoard shows of a run."""

import contextlib
import re

import pytest
from conftest import read_lines
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_SCALAR
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata

from colorgan import config as config_lib
from colorgan.configs import default
from colorgan.evaluation.metrics import METRICS
from colorgan.run import dashboard
from colorgan.run.metric_writer import MetricWriter
from colorgan.training.losses import ADVERSARIAL, FEATURE, LOSSES


def _write(workdir, first_step, metrics, hyperparameters=None):
    """One step after `first_step`, of a run that is then complete."""
    workdir.mkdir(exist_ok=True)
    with contextlib.closing(MetricWriter(workdir, first_step, 9, enabled=True)) as writer:
        writer.start_session(hyperparameters or {})
        writer.progress(first_step + 1, "")
        writer.write(first_step + 1, metrics)
        writer.end_session()
    return _board(workdir)


def _board(workdir):
    return EventAccumulator(str(workdir / "tensorboard")).Reload()


def test_every_metric_of_a_run_has_a_description(finished_run):
    names = {name for line in read_lines(finished_run) for name in line} - {"step"}
    names |= {f"train/generator/{name}" for name in (*LOSSES, ADVERSARIAL, FEATURE)}
    names |= {f"validation/{prefix}{name}" for name in METRICS for prefix in ("", "gray_")}
    assert len(names) > 40
    for name in names:
        assert re.fullmatch(r"[A-Z].+\.", dashboard.describe(name)), name
    assert dashboard.DESCRIPTIONS.keys() <= names  # none of a metric that is no longer logged
    assert "50%" in dashboard.describe("train/critic/probability_real")


def test_a_new_metric_without_a_description_is_logged(tmp_path):
    assert _write(tmp_path, 0, {"validation/new": 3.0}).Scalars("validation/new")[0].value == 3


def test_descriptions_reach_both_loaders_of_tensorboard(tmp_path):
    name = "train/generator/l1"
    board = _write(tmp_path, 0, {name: 0.5})
    assert board.SummaryMetadata(name).summary_description == dashboard.DESCRIPTIONS[name]
    # The fast loader drops the metadata of a number that has no data class.
    assert board.SummaryMetadata(name).data_class == DATA_CLASS_SCALAR
    assert board.SummaryMetadata(name).plugin_data.plugin_name == "scalars"


def test_constants_are_in_the_last_group_and_counts_of_problems_appear_with_a_problem(tmp_path):
    zeros = {"data/bad_records": 0, "train/skipped_steps": 0}
    metrics = {"validation/psnr": 20.0, "validation/gray_psnr": 19.0, "validation/true_colorfulness": 9.0}
    board = _write(tmp_path, 0, metrics | zeros)
    constants = ["validation_reference/gray_psnr", "validation_reference/true_colorfulness"]
    assert sorted(board.Tags()["scalars"]) == ["validation/psnr", *constants]
    assert read_lines(tmp_path) == [{"step": 1, **metrics, **zeros}]
    board = _write(tmp_path, 1, {"data/bad_records": 2})
    assert [(event.step, event.value) for event in board.Scalars("data/bad_records")] == [(2, 2)]


def test_charts_have_all_that_is_compared(finished_run):
    (event,) = _board(finished_run).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == ["Validation", "Training", "Speed"]
    tags = [dashboard.tag(name) for line in read_lines(finished_run) for name in line]
    charts: dict[str, set[str]] = {}
    for chart in (chart for category in layout.category for chart in category.chart):
        for pattern in chart.multiline.tag:
            matches = {tag for tag in tags if re.match(pattern, tag)}  # as TensorBoard does
            assert matches, pattern
            charts.setdefault(chart.title.partition(":")[0], set()).update(matches)
    assert charts["PSNR in dB"] == {"validation/psnr", "validation_reference/gray_psnr"}
    assert charts["Colorfulness"] == {"validation/colorfulness", "validation_reference/true_colorfulness"}
    assert charts["Critic's probability that an image is real"] == {
        *("train/critic/probability_real", "train/critic/probability_fake")
    }
    losses = {f"train/generator/{name}" for name in ("adversarial", "l1", "palette", "histogram")}
    assert charts["Losses of the generator, without weights"] == losses


def test_charts_find_the_constants_of_runs_of_earlier_versions():
    patterns = [pattern for charts in dashboard.CHARTS.values() for tags in charts.values() for pattern in tags]
    for name in ("validation/gray_psnr", "validation/true_colorfulness"):
        for tag in (name, dashboard.tag(name)):
            assert [bool(re.match(pattern, tag)) for pattern in patterns].count(True) == 1


def test_hyperparameters_can_be_compared_and_stay_when_a_run_resumes(tmp_path):
    config = config_lib.to_plain(default.get_config())
    values = config_lib.hyperparameters(config)
    assert values["optimizer.generator_learning_rate"] == 1e-3
    assert (values["loss.l1_weight"], values["data.train"], values["seed"]) == (100.0, "procedural:2000", 0)
    assert "num_epochs" not in values  # a run may resume with another, and TensorBoard keeps the first
    _write(tmp_path, 0, {"validation/score": 0.1}, values)
    board = _write(tmp_path, 1, {"validation/score": 0.2}, values)
    start, end, experiment = (
        board.SummaryMetadata(tag).plugin_data.content
        for tag in (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG, metadata.EXPERIMENT_TAG)
    )
    saved = metadata.parse_session_start_info_plugin_data(start).hparams
    assert {name: value.string_value for name, value in saved.items()}["model.encoder"] == "unet"
    assert saved["model.freeze_encoder_norm"].HasField("bool_value")
    assert saved["batch_size"].number_value == 16
    assert metadata.parse_session_end_info_plugin_data(end).status == api_pb2.STATUS_SUCCESS
    infos = metadata.parse_experiment_plugin_data(experiment)
    assert {info.name for info in infos.hparam_infos} == values.keys()
    assert {info.name for info in infos.hparam_infos if info.differs} == set(dashboard.FIRST_HYPERPARAMETERS)
    assert [info.name.tag for info in infos.metric_infos] == list(dashboard.COMPARED_METRICS)
    assert all(info.description for info in infos.metric_infos)
    assert [event.step for event in board.Scalars("validation/score")] == [1, 2]


@pytest.mark.parametrize("name", dashboard.COMPARED_METRICS)
def test_compared_metrics_are_of_a_run(finished_run, name):
    assert name in read_lines(finished_run)[-1]
