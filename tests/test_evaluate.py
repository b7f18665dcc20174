"""Metrics of a set do not depend on batches, devices and processes; the command `colorgan evaluate`."""

import functools
import json
import re
import shutil

import jax
import numpy as np
import pytest
from conftest import read_lines, run_command
from etils import epath
from PIL import Image

from colorgan import evaluate, sharding
from colorgan.data import pipeline, sources, transforms
from colorgan.errors import UserError
from colorgan.evaluation import bootstrap, contact_sheet, image_grid, metrics, predictions, report, steps
from colorgan.inference import load_run
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.models.generator import predict
from colorgan.training import state as train_state


@pytest.fixture(scope="module")
def images(photographs, tmp_path_factory):
    """12 photographs and, in the middle, a file that is not one."""
    folder = shutil.copytree(photographs, tmp_path_factory.mktemp("images") / "mixed")
    (folder / "class_0" / "image_05.jpg").write_text("no image")
    return pipeline.Images(sources.open_source(f"folder:{folder}", 32), 32, max_bad_fraction=0.1)


def _evaluate(gan, images, batch_size, num_devices, process_count=1):
    """As if `process_count` processes evaluated, whose slices are joined here."""
    mesh = sharding.create_mesh(jax.devices()[:num_devices])
    variables = train_state.create_state(gan, 3, sharding.replicated(mesh)).generator_ema
    loadings = [pipeline.Loading(process_index=n, process_count=process_count) for n in range(process_count)]
    slices = [pipeline.ordered_batches(images, batch_size, loading) for loading in loadings]
    batches = [
        pipeline.OrderedBatch(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*slices, strict=True)
    ]
    arrays = [(sharding.to_global(mesh, batch.image), sharding.to_global(mesh, batch.mask)) for batch in batches]
    sum_step_fn = steps.create_sum_step(functools.partial(predict, gan.generator), mesh)
    return steps.evaluate(sum_step_fn, variables, arrays)[:2]


@pytest.fixture(scope="module")
def one_by_one(tiny_gan, images):
    return _evaluate(tiny_gan, images, batch_size=1, num_devices=1)


@pytest.mark.parametrize(
    ("batch_size", "num_devices", "process_count"), [(13, 1, 1), (5, 1, 1), (8, 8, 1), (64, 8, 1), (6, 2, 2), (8, 4, 4)]
)
def test_every_image_counts_once_on_every_topology(
    tiny_gan, images, one_by_one, batch_size, num_devices, process_count
):
    rows, num_images = _evaluate(tiny_gan, images, batch_size, num_devices, process_count)
    assert num_images == one_by_one[1] == 12
    for name, row in one_by_one[0].items():
        assert rows[name] == pytest.approx(row, rel=1e-5, abs=1e-6)


def test_another_image_changes_the_metrics(tiny_gan, images, one_by_one):
    """Shows that the comparison above can fail."""
    fewer = pipeline.Images(images.source, 32, max_bad_fraction=0.1)
    fewer.decode = lambda index: images.decode(0 if index == 3 else index)  # type: ignore[method-assign]
    rows, _ = _evaluate(tiny_gan, fewer, 13, 1)
    for name, row in rows["prediction"].items():
        assert row != pytest.approx(one_by_one[0]["prediction"][name], rel=1e-5), name


def test_validation_metrics_have_the_names_of_a_run():
    rows = {
        name: {"psnr": float(n), "colorfulness": 10.0 * n} for n, name in enumerate(("prediction", "gray", "truth"))
    }
    assert steps.validation_metrics(rows, 7) == {
        "validation/psnr": 0,
        "validation/colorfulness": 0,
        "validation/gray_psnr": 1,
        "validation/gray_colorfulness": 10,
        "validation/true_colorfulness": 20,
        "validation/num_images": 7,
    }


@pytest.mark.parametrize(("score", "warning"), [(0.0, "folder:scans holds gray images"), (1.0, "")])
def test_a_set_without_color_is_reported(caplog, score, warning):
    steps.warn_about_gray({"truth": {"score": score}}, "folder:scans")
    assert caplog.text.count("\n") == bool(warning)
    assert warning in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "the run was written by a newer version of colorgan .format 99, this one"),
        (
            {"model": {"width": 4, "max_width": 8, "output": "rgb", "critic": "dense", "temperature": 3}},
            "config.json is of another version of colorgan: .*temperature",
        ),
        ({"model": {"width": 4, "max_width": 8, "critic": "none"}}, "config.model.critic is 'none' but must be one of"),
    ],
)
def test_a_run_that_this_version_cannot_load_is_reported(tiny_config, tmp_path, changes, message):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict() | changes))
    with pytest.raises(UserError, match=message):
        load_run.load_run(epath.Path(tmp_path), "best")


def test_inference_ignores_keys_that_it_does_not_need(tiny_config, tmp_path):
    config = {key: tiny_config.to_dict()[key] for key in ("image_size", "model", "precision", "best_metric")}
    (tmp_path / "config.json").write_text(json.dumps(config | {"temperature": 0.4}))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_run.load_run(epath.Path(tmp_path), "best")


@pytest.fixture(scope="module")
def run(tiny_gan, tiny_config):
    variables = train_state.create_state(tiny_gan, 3, sharding.replicated(sharding.create_mesh())).generator_ema
    return LoadedGenerator(tiny_config.to_dict(), 6, "best", tiny_gan.generator, variables)


def _square_fn(run):
    return predictions.create_square_fn(
        functools.partial(predict, run.generator), run.variables, 32, 8, sharding.create_mesh()
    )


def test_images_one_by_one_give_the_metrics_of_the_set(run, images, one_by_one):
    draws, indices = bootstrap.Bootstrap(), []
    for some in _square_fn(run)(images.source):
        assert len(some.truths) == len(some.predictions) == len(some.indices)
        for index, truth in zip(some.indices, some.truths, strict=True):
            np.testing.assert_array_equal(truth, images[int(index)].image)
        draws.add(some.indices, some.rows)
        indices += some.indices.tolist()
    names = [images.source.name(n) for n in range(13)]
    assert [names[n] for n in range(13) if n not in indices] == ["class_0/image_05.jpg"]
    rows, _ = draws.summarize()
    for name, row in one_by_one[0].items():
        assert rows[name] == pytest.approx(row, rel=1e-5, abs=1e-6)


def test_whole_images_are_colored_like_colorize_and_compared_at_their_own_size(run, images, caplog):
    some = list(predictions.create_full_size_fn(Colorizer.from_loaded(run))(images.source))
    assert len(some) == 12
    assert "bad record left out: class_0/image_05.jpg (not an image of a known format)" in caplog.text
    colorizer = Colorizer.from_loaded(run)
    for example in some[:3]:
        photo = transforms.decode_image(images.source.read(int(example.indices[0])))
        np.testing.assert_array_equal(example.truths[0], photo)
        np.testing.assert_array_equal(example.predictions[0], colorizer(np.asarray(photo)))
        true, colored = (image[None].astype(np.float32) for image in (example.truths[0], example.predictions[0]))
        assert example.rows.prediction.values["psnr"] == metrics.psnr(true, colored)
        gray = example.rows.gray.values["psnr"]
        assert gray == pytest.approx(
            metrics.psnr(true, predictions.to_gray(example.truths[0])[None].astype(np.float32))
        )


@pytest.mark.parametrize(
    ("shape", "reason"), [((10, 40, 3), "less than 11 pixels"), ((8000, 7000, 3), "more than 50 megapixels")]
)
def test_images_that_cannot_be_compared_whole_are_bad(run, monkeypatch, caplog, shape, reason):
    source = sources.open_source("procedural:1", 32)
    monkeypatch.setattr(source, "read", lambda index: np.broadcast_to(np.uint8(0), shape))
    assert list(predictions.create_full_size_fn(Colorizer.from_loaded(run))(source)) == []
    assert "bad record left out: " in caplog.text
    assert reason in caplog.text


def test_contact_sheet_shows_the_best_the_median_and_the_worst(run, images, monkeypatch):
    drawn = []
    monkeypatch.setattr(image_grid, "draw_grid", lambda *arguments: drawn.append(arguments))
    ranked = [n for n in range(13)[::-1] if images.source.name(n) != "class_0/image_05.jpg"]
    contact_sheet.draw(
        images.source, ranked * 2, predictions.create_full_size_fn(Colorizer.from_loaded(run)), "heading"
    )
    ((gray, fake, real, captions, heading),) = drawn
    assert heading == "heading"
    shown = [(0, "best"), (10, "median"), (20, "worst")]
    assert [caption[0] for caption in captions] == [
        f"{name}: {first + n + 1} of 24" for first, name in shown for n in range(4)
    ]
    for row, rank in enumerate(first + n for first, _ in shown for n in range(4)):
        index = (ranked * 2)[rank]
        photo = np.asarray(transforms.decode_image(images.source.read(index)))
        np.testing.assert_array_equal(real[row], photo)
        np.testing.assert_array_equal(gray[row], predictions.to_gray(photo))
        assert captions[row][2] == images.source.name(index)
        psnr = metrics.psnr(photo[None].astype(np.float32), fake[row][None].astype(np.float32))[0]
        assert f"PSNR {psnr:.1f}" in captions[row][1]


@pytest.mark.parametrize("num_images", [1, 2, 4, 5, 11, 12])
def test_contact_sheet_of_a_small_set_shows_all(num_images):
    groups = contact_sheet.chosen_ranks(num_images)
    assert list(groups) == list(range(num_images))
    assert groups[0] == "best"


def test_contact_sheet_reduces_large_images():
    assert contact_sheet._thumbnail(np.zeros((600, 300, 3), np.uint8)).shape == (256, 128, 3)


def test_images_are_not_saved_among_others(tmp_path):
    (tmp_path / "000001.png").touch()
    with pytest.raises(UserError, match="--save_images=.* exists and is not an empty folder"):
        report.create_saver(tmp_path)


def _size(path):
    with Image.open(path) as image:
        return image.size


def test_evaluate(finished_run, photographs, tmp_path):
    folder = shutil.copytree(photographs, tmp_path / "photographs")
    (folder / "class_1" / "last.jpg").write_text("no image")
    arguments = (f"--workdir={finished_run}", "--checkpoint=latest", f"--data=folder:{folder}", "--size=own")
    done = run_command("colorgan.evaluate", *arguments, f"--output={tmp_path}/new/out", f"--save_images={tmp_path}/all")
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["num_images"], result["num_bad"], result["step"]) == (12, 1, 6)
    assert "bad record left out: class_1/last.jpg" in done.stderr
    assert "images/s" not in done.stderr  # no progress bar in a pipe
    assert (result["checkpoint"], result["size"], result["image_size"]) == ("latest", "own", 32)
    assert result["data"] == f"folder:{folder}"
    for name, (low, high) in result["confidence_95"].items():
        assert low < high, name
    for line in ("psnr", "ab_histogram_distance"):
        assert re.search(rf"^{line} +-?\d+\.\d+ +-?\d+\.\d+ to -?\d+\.\d+ +\d", done.stderr, re.MULTILINE)
    assert result["metrics_version"] == metrics.VERSION
    assert {name: values["num_images"] for name, values in result["folders"].items()} == {"class_0": 6, "class_1": 6}
    for row in ("prediction", "gray", "truth"):
        for metric in metrics.METRICS:  # means over images
            mean = sum(values[row][metric] for values in result["folders"].values()) / 2
            assert result[row][metric] == pytest.approx(mean, rel=1e-6), (row, metric)
    psnr = result["folders"]["class_1"]["prediction"]["psnr"]
    assert re.search(rf"^class_1 +6 +{psnr:.3f} ", done.stderr, re.MULTILINE)
    assert json.loads((tmp_path / "new" / "out" / "metrics.json").read_text()) == result
    assert _size(tmp_path / "new" / "out" / "contact_sheet.png")[1] > 12 * 160
    names = [f"{n:06d}.png" for n in range(12)]
    for folder in ("predictions", "truths"):
        assert sorted(path.name for path in (tmp_path / "all" / folder).iterdir()) == names
    sizes = [(40 + 3 * n, 50) for n in (*range(0, 12, 2), *range(1, 12, 2))]  # by subfolder
    assert [_size(tmp_path / "all" / "predictions" / name) for name in names] == sizes


@pytest.mark.parametrize("size", ["model", "own"])
def test_a_set_of_bad_files_only_is_reported(run, tmp_path, monkeypatch, caplog, size):
    (tmp_path / "notes.jpg").write_text("no image")
    monkeypatch.setattr(load_run, "load_run", lambda *_: run)
    flags = [f"--workdir={tmp_path / 'run'}", f"--data=folder:{tmp_path}", f"--size={size}"]
    with pytest.raises(UserError, match=f"folder:{tmp_path}: no image can be read"):
        evaluate.main(evaluate._parser().parse_args(flags))
    assert "bad record left out: notes.jpg (not an image of a known format)" in caplog.text


@pytest.mark.parametrize("more", [["--size=own"], ["--degrade"]])
def test_gray_photographs_are_reported(run, photographs, tmp_path, monkeypatch, caplog, more):
    monkeypatch.setattr(load_run, "load_run", lambda *_: run)
    folder = shutil.copytree(photographs, tmp_path / "photographs")
    for n in range(5):
        Image.new("L", (40, 50), 90).save(folder / "class_0" / f"gray_{n}.png")
    evaluate.main(evaluate._parser().parse_args([f"--workdir={tmp_path}", f"--data=folder:{folder}", *more]))
    assert caplog.messages == [
        "29% of the evaluation images (5 of 17 that were looked at) are gray or of one tint, and metrics of color mean "
        "nothing there: leave them out; such as class_0/gray_0.png, class_0/gray_1.png, class_0/gray_2.png"
    ]


def test_degraded_images(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(load_run, "load_run", lambda *_: run)
    flags = [f"--workdir={tmp_path}", "--data=procedural:12"]
    results = []
    for more in ([], ["--degrade"], ["--degrade"]):
        evaluate.main(evaluate._parser().parse_args([*flags, *more]))
        results.append(json.loads(capsys.readouterr().out))
    assert [result["degraded"] for result in results] == [False, True, True]
    assert results[1] == results[2]  # always in the same way
    assert results[1]["truth"]["colorfulness"] < results[0]["truth"]["colorfulness"]
    with pytest.raises(UserError, match="--degrade is for squares"):
        evaluate.main(evaluate._parser().parse_args([*flags, "--degrade", "--size=own"]))


def test_evaluate_gives_the_metrics_of_training(finished_run):
    done = run_command("colorgan.evaluate", f"--workdir={finished_run}", "--data=procedural:12")
    result = json.loads(done.stdout.splitlines()[-1])
    validated = [line for line in read_lines(finished_run) if "validation/score" in line]
    best = max(validated, key=lambda line: line["validation/score"])
    assert (result["checkpoint"], result["step"]) == ("best", best["step"])
    trained = {name: value for name, value in best.items() if name.startswith("validation/")}
    evaluated = {f"validation/{name}": value for name, value in result["prediction"].items()}
    evaluated |= {f"validation/gray_{name}": value for name, value in result["gray"].items()}
    evaluated |= {"validation/true_colorfulness": result["truth"]["colorfulness"], "validation/num_images": 12}
    assert evaluated == pytest.approx(trained, rel=1e-5, abs=1e-6)
    assert json.loads((finished_run / "evaluation" / "metrics.json").read_text()) == result
    shutil.rmtree(finished_run / "evaluation")  # other tests look at the folder
