"""Evaluation with hints: at which places, and of which colors."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY
from PIL import Image

from colorgan import color, evaluate, hint_planes, sharding
from colorgan.configs import default
from colorgan.errors import UserError
from colorgan.evaluation import hints
from colorgan.inference import load_run, prediction_sets
from colorgan.inference.hints import from_truth
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.training import build
from colorgan.training import state as train_state


def test_places_follow_from_the_position_in_the_set_and_more_are_the_same_and_others():
    few, more = hints.random_places([5, 6], 2), hints.random_places([6, 7], 10)
    np.testing.assert_array_equal(few[1], more[0, :2])
    assert few.shape == (2, 2, 2)
    assert np.abs(few[0] - few[1]).min() > 0
    assert (more.min() >= 0) & (more.max() < 1)


def test_hints_are_the_mean_chroma_of_the_image():
    real = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 32, 32, 3)).astype(np.float32)
    places = np.array([[[0.25, 0.5]], [[0.75, 0.125]]], np.float32)
    planes = np.asarray(hints.true_planes(jnp.asarray(real), jnp.asarray(places)))
    side = 32 * hint_planes.PLACE_SIZE  # 0.875 pixels: one pixel is covered
    assert side < 1
    for n, (row, column) in enumerate([(8, 16), (24, 4)]):
        expected = np.zeros((32, 32, 3), np.float32)
        expected[row, column] = [*color.rgb_to_chroma(real[n, row, column]), 1]
        np.testing.assert_allclose(planes[n], expected, atol=1e-6)


def test_hints_of_a_photograph_have_its_colors_at_any_size():
    pixels = np.zeros((512, 1024, 3), np.uint8)
    pixels[:, :512], pixels[:, 512:] = (200, 30, 40), (20, 60, 180)
    places = np.array([[0.5, 0.1], [0.999, 0.999], [0.0, 0.0]])
    found = from_truth(pixels, places)
    assert [hint.color for hint in found] == ["#c81e28", "#143cb4", "#c81e28"]
    assert [(hint.y, hint.x) for hint in found] == [tuple(place) for place in places.tolist()]
    assert [hint.color for hint in from_truth(pixels[::64, ::64], places)] == ["#c81e28", "#143cb4", "#c81e28"]


@pytest.fixture(scope="module")
def run():
    """A generator that takes hints."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {"model.hints": True, "model.output": "chroma"})
    gan = build.create_gan(config, "cpu")
    variables = train_state.create_state(gan, 3, sharding.replicated(sharding.create_mesh())).generator_ema
    return LoadedGenerator(config.to_dict(), 6, "best", gan.generator, variables)


def _follow(generator, variables, gray, planes=None):
    """Colors the whole image with the mean color of its hints."""
    if planes is None:
        return jnp.repeat(gray, 3, axis=-1)
    sums = planes.sum(axis=(1, 2), keepdims=True)
    return color.chroma_to_rgb(gray, jnp.broadcast_to(sums[..., :2] / sums[..., 2:], (*gray.shape[:3], 2)))


@pytest.fixture
def folder(tmp_path):
    """Photographs of one color each."""
    (tmp_path / "photographs").mkdir()
    for n, rgb in enumerate([(180, 60, 60), (60, 150, 70), (60, 80, 190)]):
        Image.new("RGB", (40, 48), rgb).save(tmp_path / "photographs" / f"{n}.png")
    return tmp_path / "photographs"


@pytest.mark.parametrize("size", ["model", "own"])
def test_the_command_prints_the_metrics_for_each_number(run, folder, tmp_path, monkeypatch, capsys, size):
    monkeypatch.setattr(load_run, "load_run", lambda *_: run)
    monkeypatch.setattr(prediction_sets, "predict", _follow)
    monkeypatch.setattr(
        LoadedGenerator, "create_predict_fn", lambda self: lambda *inputs: np.asarray(_follow(None, None, *inputs))
    )
    flags = [f"--workdir={tmp_path}", f"--data=folder:{folder}", f"--size={size}", "--num_hints=0,1,10"]
    evaluate.main(evaluate._parser().parse_args(flags))
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    curve = result["hints"]
    assert list(curve) == ["0", "1", "10"]
    assert curve["0"] == result["prediction"]
    assert curve["0"]["psnr"] < 25
    assert curve["1"]["psnr"] > 45
    assert curve["10"]["psnr"] > 45
    assert curve["10"]["ciede2000"] < 1 < curve["0"]["ciede2000"]
    table = output.err.partition("     hints")[2]
    assert f"{curve['10']['psnr']:12.3f}{curve['10']['auc']:12.3f}{curve['10']['ciede2000']:12.3f}" in table


def test_a_network_without_hints_and_wrong_numbers_are_refused(run, folder, tmp_path, monkeypatch, capsys):
    plain = LoadedGenerator(run.config, 6, "best", run.generator.clone(takes_hints=False), run.variables)
    monkeypatch.setattr(load_run, "load_run", lambda *_: plain)
    flags = [f"--workdir={tmp_path}", f"--data=folder:{folder}"]
    with pytest.raises(UserError, match="this network takes no hints"):
        evaluate.main(evaluate._parser().parse_args([*flags, "--num_hints=0,1"]))
    with pytest.raises(SystemExit):
        evaluate._parser().parse_args([*flags, "--num_hints=0,-1"])
    assert "'0,-1' is not a list of numbers such as 0,1,10" in capsys.readouterr().err
