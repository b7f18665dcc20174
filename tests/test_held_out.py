"""The validation split: which images are held out, and that a run keeps them."""

import json
import logging
import pickle
import random
import shutil

import jax
import numpy as np
import pytest
from conftest import TINY, read_lines, run_command, tiny_flags
from etils import epath
from jax.sharding import Mesh

from colorgan import config as config_lib
from colorgan import evaluate, sharding
from colorgan.configs import default
from colorgan.data import held_out, sources
from colorgan.errors import UserError
from colorgan.inference import evaluation_images
from colorgan.run import workdir as workdir_lib
from colorgan.training import build
from colorgan.training.loop import train


class Named:
    """A source of images that have only a name."""

    def __init__(self, names):
        self.names = list(names)

    def __len__(self):
        return len(self.names)

    def read(self, index):
        return self.names[index].encode()

    def name(self, index):
        return self.names[index]


NAMES = [f"album_{n % 7}/photo_{n:05d}.jpg" for n in range(3000)]


def _held_out(names):
    source = Named(names)
    return {source.name(index) for index in held_out.choose(source)}


def _lines(split):
    return [split.name(index) for index in range(len(split))]


def test_every_image_is_in_one_part_and_in_order():
    source = Named(NAMES)
    train_part, validation = held_out.split(source, held_out.choose(source))
    assert sorted(_lines(train_part) + _lines(validation)) == sorted(NAMES)
    assert _lines(train_part) == sorted(_lines(train_part), key=NAMES.index)
    assert [validation.read(n) for n in (0, 5)] == [validation.name(n).encode() for n in (0, 5)]
    unpickled = pickle.loads(pickle.dumps(train_part))  # as it is sent to data workers
    assert _lines(unpickled) == _lines(train_part)


def test_the_name_alone_decides():
    shuffled = random.Random(0).sample(NAMES, len(NAMES))
    assert _held_out(shuffled) == _held_out(NAMES)
    # A change of the hash would move images of all runs whose validation.json is lost.
    assert sorted(_held_out(NAMES))[:2] == ["album_0/photo_00112.jpg", "album_0/photo_00126.jpg"]


def test_it_is_about_five_percent_and_at_least_one_image():
    assert 120 < len(_held_out(NAMES)) < 180
    assert len(_held_out(NAMES[:4])) == len(_held_out(NAMES[:1])) == 1


def test_added_images_move_no_other_image(monkeypatch):
    before = NAMES[:1000]
    assert _held_out(NAMES) & set(before) == _held_out(before)
    monkeypatch.setattr(held_out, "MAX_IMAGES", 30)
    assert len(_held_out(before)) == len(_held_out(NAMES)) == 30
    assert _held_out(NAMES) & set(before) < _held_out(before)  # above the maximum: none becomes a validation image


def test_records_of_the_same_name_are_split_too():
    """Such as records of shards that have no names."""
    assert 40 <= len(held_out.choose(Named(["image.jpg"] * 1000))) <= 60


def test_names_of_any_bytes():
    assert len(_held_out([*NAMES[:100], "latin_\udce9.png", "line\nbreak", "\ud800", ""])) > 1


def _find_again(names, before=NAMES[:300]):
    source = Named(before)
    chosen = {int(index): source.name(index) for index in held_out.choose(source)}
    return chosen, held_out.find_again(Named(names), chosen)


def test_held_out_images_are_found_again_after_one_was_replaced(caplog):
    """Where names alone would choose another one."""
    newcomer = next(name for name in (f"album_0/new_{n}.jpg" for n in range(99)) if name in _held_out([*NAMES, name]))
    first = _find_again(NAMES[:300])[0]
    removed = next(n for n in range(300) if n not in first)
    names = sorted([newcomer, *NAMES[:removed], *NAMES[removed + 1 : 300]])
    chosen, found = _find_again(names)
    assert [*chosen] != found.tolist()
    assert {names[index] for index in found} == set(chosen.values()) != _held_out(names)
    assert not caplog.text


def test_held_out_images_that_have_lost_their_names_keep_their_places(caplog):
    """In a damaged shard, or in a folder with a new name."""
    chosen, found = _find_again([f"PHOTOS/{name}" for name in NAMES[:300]])
    assert [*chosen] == found.tolist()
    assert "validation images that have other names or cannot be read" in caplog.text
    assert f"since the run started: {len(chosen)} of {len(chosen)};" in caplog.text
    _, found = _find_again(NAMES[:100])
    assert found.tolist() == [index for index in chosen if index < 100]


def _config(**changes):
    config = default.get_config()
    config.update_from_flattened_dict({"data.validation": "", **changes})
    return config


def test_the_images_of_a_config():
    sets = build.open_images(_config(**{"data.train": "procedural:400", "batch_size": 8}))
    assert len(sets.train) + len(sets.validation) == 400
    assert sets.held_out is not None
    assert sets.held_out.keys() == set(sets.validation.source._indices)  # type: ignore[attr-defined]
    assert (sets.train.size, sets.validation.size) == (68, 64)
    # Of damaged images in the whole set, more than its share may be held out.
    assert (sets.train.max_bad, sets.validation.max_bad) == (3, 4)
    with pytest.raises(
        UserError, match=r"more than the training images in procedural:16: 15 \(1 more for validation\)"
    ):
        build.open_images(_config(**{"data.train": "procedural:16"}))


def test_processes_that_hold_out_other_images_do_not_start(monkeypatch):
    monkeypatch.setattr(build.sharding, "same_everywhere", lambda value: value < 2001)
    assert len(build.open_images(default.get_config()).validation) == 128
    with pytest.raises(UserError, match="not all processes see the same images in procedural:1000"):
        build.open_images(_config(**{"data.train": "procedural:1000"}))


def test_a_run_keeps_its_validation_images(photographs, tmp_path, monkeypatch, capsys):
    """When photographs were replaced since, and the names alone would choose others."""
    folder, workdir = shutil.copytree(photographs, tmp_path / "photographs"), tmp_path / "run"
    flags = [flag for flag in tiny_flags(data__train=f"folder:{folder}", num_epochs=1) if "validation" not in flag]
    arguments = ["--config=default", f"--workdir={workdir}", *flags]
    first = run_command("colorgan.main", *arguments)
    assert f"held out for validation: 2 of 12 images of folder:{folder}\n" in first.stdout
    assert "few training images (10)" in first.stdout
    assert f"colorgan evaluate --workdir={workdir} --data=validation\n" in first.stdout
    saved = json.loads((workdir / "validation.json").read_text())
    assert saved == {"2": "class_0/image_04.tiff", "9": "class_1/image_07.webp"}
    assert json.loads((workdir / "config.json").read_text())["data"]["validation"] == ""

    newcomer = next(name for name in (f"class_0/{n}.jpg" for n in range(99)) if held_out._hash(name) < 2**58)
    (folder / "class_0" / "image_10.jpg").rename(folder / newcomer)
    second = run_command("colorgan.main", *arguments, "--config.num_epochs=2")
    assert "resuming from step 2" in second.stdout
    assert json.loads((workdir / "validation.json").read_text()) == saved
    assert [line["validation/num_images"] for line in read_lines(workdir) if "validation/psnr" in line] == [2, 2]
    source = sources.open_source(f"folder:{folder}", 32)
    assert newcomer in {source.name(index) for index in held_out.choose(source)}
    monkeypatch.setattr(sharding, "create_mesh", lambda: Mesh(np.array(jax.devices()[:1]), (sharding.DATA_AXIS,)))
    flags = [f"--workdir={workdir}", "--data=validation", "--checkpoint=latest", f"--output={tmp_path}/evaluation"]
    evaluate.main(evaluate._parser().parse_args(flags))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["num_images"], result["data"]) == (2, f"the validation split of folder:{folder}")
    assert result["prediction"]["psnr"] == pytest.approx(read_lines(workdir)[-1]["validation/psnr"], rel=1e-4)


def _results(photographs, number):
    """Results of `colorgan colorize`, of results, and so on, beside photographs."""
    endings = ["-colorized" * n for n in range(1, number + 1)]
    return [shutil.copy(path, path.with_stem(path.stem + ending)) for path in photographs for ending in endings]


@pytest.mark.parametrize(("num_photographs", "left_out"), [(24, 1), (6, 0)], ids=["colored since", "earlier version"])
def test_a_run_resumes_in_a_folder_with_results(finished_run, photographs, tmp_path, num_photographs, left_out):
    """Of a run that an earlier version started with 24 images, the batch has more than there are photographs."""
    workdir, folder = shutil.copytree(finished_run, tmp_path / "run"), tmp_path / "photographs"
    folder.mkdir()
    image = next(photographs.rglob("image_*.png"))
    copies = [shutil.copy(image, folder / f"{n}.png") for n in range(num_photographs)]
    assert len(_results(copies, 3)) == 3 * num_photographs
    config = _config(**TINY | {"data.train": f"folder:{folder}"})
    train(config, epath.Path(workdir))
    text = (workdir / "log.txt").read_text()
    assert "the run is complete, steps done: 6 of 6" in text
    assert text.count(f"left out of folder:{folder}, as results that have their original beside them: 72") == left_out
    shutil.copy(image, folder / "more.png")
    if left_out:
        with pytest.raises(UserError, match="number of training images: 24 -> 25;"):
            train(config, epath.Path(workdir))


@pytest.mark.parametrize("with_results", [False, True])
def test_results_that_a_run_holds_out_are_found_again(photographs, tmp_path, caplog, with_results):
    folder, workdir = shutil.copytree(photographs, tmp_path / "photographs"), tmp_path / "run"
    workdir.mkdir()
    config = _config(**TINY | {"data.train": f"folder:{folder}", "data.validation": ""})
    _results(folder.rglob("image_*"), 1)
    before = build.open_images(config, with_results=with_results)
    assert before.held_out is not None
    assert any("-colorized" in name for name in before.held_out.values()) == with_results
    workdir_lib.write_description(epath.Path(workdir), config_lib.to_plain(config), {}, before.held_out)
    found = evaluation_images.find("validation", epath.Path(workdir)).open(32)
    sets = build.open_images(config, before.held_out, with_results=True)
    assert _lines(found) == _lines(sets.validation.source) == [*before.held_out.values()]
    assert len(sets.train) + len(sets.validation) == 24
    assert not caplog.messages  # no image has to be found by its place
    assert sets.open_without_results is not None
    if not with_results:
        sets = sets.open_without_results()
        assert (len(sets.train), sets.held_out) == (len(before.train), before.held_out)


def test_a_run_with_validation_images_of_its_own_keeps_them(finished_run, tmp_path):
    """Also where its command now stands for a split: that of an earlier version, with `data.train` alone."""
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    config = _config(**{key: value for key, value in TINY.items() if key != "data.validation"})
    with pytest.raises(UserError, match=r"which cannot be resumed with model.width: 4 -> 8;"):
        train(_config(**TINY | {"data.validation": "", "model.width": 8}), epath.Path(workdir))
    train(config, epath.Path(workdir))  # it is complete
    assert config.data.validation == "procedural:12"
    assert not (workdir / "validation.json").exists()


def test_evaluation_on_the_validation_images_of_a_run(finished_run):
    image_set = evaluation_images.find("validation", epath.Path(finished_run))
    assert (image_set.name, len(image_set.open(32))) == ("procedural:12", 12)
    assert evaluation_images.find("procedural:3", None).name == "procedural:3"
    with pytest.raises(UserError, match="--data=validation .* needs --workdir"):
        evaluation_images.find("validation", None)


def test_a_damaged_file_of_held_out_images_is_made_again(tmp_path, caplog):
    workdir = epath.Path(tmp_path)
    for text in (None, "", "[]", '{"a": "b"}'):
        if text is not None:
            (tmp_path / "validation.json").write_text(text)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "colorgan"):
            assert workdir_lib.read_held_out(workdir) is None
        assert "validation images are chosen again" in caplog.text
