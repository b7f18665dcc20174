"""Files and folders of photographs, colored into an output folder."""

import argparse
import json
import os
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, follow_hints, run_command
from PIL import Image

from colorgan.colorize import _parser, main
from colorgan.data import sources
from colorgan.errors import UserError
from colorgan.inference import colorize_files, video
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.find_inputs import describe_files, find_files
from colorgan.inference.model_flags import load_colorizer
from colorgan.media import photo_file, png_tiff


def test_folders_keep_their_structure(photographs):
    found = list(find_files([photographs, photographs / "class_0" / "image_00.jpg"], Path("out")))
    assert len(found) == 13
    assert found[0][1] == Path("out/class_0/image_00.jpg")
    assert found[-1][1] == Path("out/image_00.jpg")


def test_missing_input_is_reported(tmp_path):
    with pytest.raises(UserError, match="there is no file or folder"):
        list(find_files([tmp_path / "nothing"], tmp_path))
    with pytest.raises(UserError, match="holds no images"):
        list(find_files([tmp_path], tmp_path / "out"))


def test_a_misspelt_name_does_not_stop_the_others(orange, tmp_path, capsys):
    Image.new("L", (8, 8), 90).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="1 of 2 files and folders failed"):
        main(_arguments(tmp_path, tmp_path / "misspelt.png", tmp_path / "a.png"))
    output = capsys.readouterr()
    assert output.err.splitlines()[1] == f"failed: there is no file or folder {tmp_path / 'misspelt.png'}"
    assert json.loads(output.out)["num_colored"] == 1


def test_the_output_is_not_the_folder_of_the_photographs(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="is both the input and the output: choose another --output"):
        list(find_files([tmp_path], tmp_path / "sub" / ".."))


def test_the_output_is_refused_once_for_files_too(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path)
    for output, inputs in (("link", ["a.png", "b.png"]), (".", ["a.png"]), ("a.png", ["link/a.png"])):
        with pytest.raises(UserError, match="is both the input and the output: choose another --output"):
            list(find_files([tmp_path / name for name in inputs], tmp_path / output))


@pytest.mark.parametrize(("name", "output"), [("a.png", "c.jpg"), ("b.tif", "new/c.webp"), ("c.jpg", "C.TIFF")])
def test_the_output_of_one_photograph_can_be_a_file(orange, tmp_path, capsys, name, output):
    deep = np.random.default_rng(0).integers(20000, 40000, (24, 36), np.uint16)
    photo_file.write_photo(tmp_path / name, photo_file.Photo(deep))
    for num_there in (0, 1):
        main(_arguments(tmp_path, tmp_path / name, output=tmp_path / output))
        assert json.loads(capsys.readouterr().out)["num_there"] == num_there
    colored = photo_file.read_photo(tmp_path / output)
    assert colored.pixels.shape == (24, 36, 3)
    assert (colored.pixels[..., 0] > colored.pixels[..., 2]).mean() > 0.9


def test_the_output_of_a_video_has_its_suffix(tmp_path):
    for name in ("a.mp4", "b.png"):
        (tmp_path / name).touch()
    for output in ("c.MP4", "c.mkv", "c.webm"):
        assert list(find_files([tmp_path / "a.mp4"], tmp_path / output)) == [(tmp_path / "a.mp4", tmp_path / output)]
    for name, output in (("a.mp4", "c.avi"), ("a.mp4", "c.jpg"), ("b.png", "c.mp4")):
        suffixes = ".mp4, .m4v, .mov, .mkv, .webm" if name == "a.mp4" else ".jpg, .jpeg, .jpe, .jfif, .png, "
        with pytest.raises(UserError, match=f"c{output[1:]} must end in one of {suffixes}"):
            list(find_files([tmp_path / name], tmp_path / output))


def test_the_output_of_one_file_has_a_suffix_that_can_be_written(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for output in ("c.pdf", "c.doc"):
        with pytest.raises(UserError, match=f"{output}: .{output[2:]} is no format that can be written"):
            list(find_files([tmp_path / "a.png"], tmp_path / output))
    (tmp_path / "c.pdf").mkdir()
    for output in ("c.pdf", "scans.2020", "v1.5"):  # folders
        assert list(find_files([tmp_path / "a.png"], tmp_path / output))[0][1] == tmp_path / output / "a.png"


def test_hidden_and_system_folders_are_left_out(tmp_path):
    names = ["a.png", "#1/b.png", ".hidden/seen.png"]
    names += [f"{folder}/no.png" for folder in (".ipynb_checkpoints", "x/.thumbnails", "@eaDir/a.png", "#recycle")]
    names += [f"{folder}/no.png" for folder in ("$RECYCLE.BIN", "lost+found", "System Volume Information", "__MACOSX")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / ".hidden" / "x.cr2").touch()
    assert [str(target) for _, target in find_files([tmp_path], Path("out"))] == ["out/a.png", "out/#1/b.png"]
    assert describe_files([tmp_path], []) == []
    source = sources.open_source(f"folder:{tmp_path}", 32)
    assert [source.name(index) for index in range(len(source))] == ["a.png", "#1/b.png"]
    assert len(list(find_files([tmp_path / ".hidden"], Path("out")))) == 1  # named, so wanted


def test_loops_of_links_end(orange, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    Image.new("L", (8, 8), 90).save(tmp_path / "sub" / "a.png")
    (tmp_path / "sub" / "up").symlink_to("..")
    for name in ("self", "self.png", "gone.png"):
        (tmp_path / name).symlink_to(name if name != "gone.png" else "nowhere")
    with pytest.raises(UserError, match="2 of 3 files failed"):
        main(_arguments(tmp_path, tmp_path))
    output = capsys.readouterr()
    assert json.loads(output.out)["num_colored"] == 1
    assert "self.png: [Errno 40] Too many levels of symbolic links" in output.err
    assert "left out" not in output.err


def test_names_of_any_bytes_are_printed_safely(orange, tmp_path, capsys):
    for name in ("line\nbreak.png", "escape\x1b[31m.png", os.fsdecode(b"latin_\xe9.png")):
        (tmp_path / name).write_bytes(b"no photograph")
        Image.new("L", (8, 8), 90).save(tmp_path / f"good_{name}")
    with pytest.raises(UserError, match="3 of 6 files failed"):
        main(_arguments(tmp_path, tmp_path))
    output = capsys.readouterr()
    assert json.loads(output.out)["num_colored"] == 3
    lines = [line.partition(f"{tmp_path}/")[2].partition(":")[0] for line in output.err.splitlines()]
    assert lines == ["out", "escape\\x1b[31m.png", "latin_\\udce9.png", "line\\nbreak.png"]
    assert output.err.splitlines()[0].endswith("out/good_line\\nbreak.png")


def test_a_folder_without_permission_is_named_and_the_rest_colored(finished_run, tmp_path):
    for name, mode in (("closed/a.png", 0), ("listed/b.png", 0o644), ("open/c.png", 0o755)):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (8, 8), 90).save(tmp_path / name)
        (tmp_path / name).parent.chmod(mode)
    arguments = (f"--workdir={finished_run}", f"--output={tmp_path / 'out'}", str(tmp_path))
    done = run_command("colorgan.colorize", *arguments, check=False, obeys_permissions=True)
    for name in ("closed", "listed"):
        (tmp_path / name).chmod(0o755)
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["num_colored"] == 1
    assert done.stderr.splitlines() == [
        f"colored, into {tmp_path / 'out'}: 1, the last one {tmp_path / 'out' / 'open' / 'c.png'}",
        f"failed: {tmp_path / 'closed'}: Permission denied",
        f"failed: {tmp_path / 'listed'}: Permission denied",
        "colorgan: 2 of 3 files and folders failed",
    ]


def test_a_link_out_of_the_output_folder_is_not_followed(finished_run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8), "gray").save(tmp_path / "in" / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").symlink_to(tmp_path / "elsewhere.png")
    arguments = (f"--workdir={finished_run}", f"--output={tmp_path / 'out'}", "--overwrite", str(tmp_path / "in"))
    done = run_command("colorgan.colorize", *arguments, check=False)
    assert done.returncode == 1
    assert "a link that leads out of the output folder" in done.stderr
    assert not (tmp_path / "elsewhere.png").exists()


def _arguments(tmp_path, *inputs, **changes):
    given = {"workdir": "runs/none", "model": None, "checkpoint": None, "output": tmp_path / "out", "inputs": inputs}
    given |= {
        "overwrite": False,
        "skip_color": False,
        "strength": 1.0,
        "saturation": 1.0,
        "smoothing": 0.9,
        "border": "auto",
        "levels": "keep",
        "hints": None,
    }
    return argparse.Namespace(**given | changes)


def test_a_model_has_no_checkpoints(tmp_path):
    arguments = _arguments(tmp_path, workdir=None, model=tmp_path / "mine.stablehlo", checkpoint="best")
    with pytest.raises(UserError, match="^--checkpoint applies to --workdir only"):
        load_colorizer(arguments)


@pytest.fixture
def orange(monkeypatch):
    """Commands get a network that predicts orange everywhere."""

    def predict(gray):
        return np.clip(gray + np.array((0.3, 0.0, -0.3), np.float32), -1, 1)

    monkeypatch.setattr(Colorizer, "from_workdir", classmethod(lambda cls, *_: cls(predict, 32)))


@pytest.fixture
def following(monkeypatch):
    """Commands get a network that colors where there are hints."""
    colorizer = Colorizer(follow_hints, 32, takes_hints=True)
    monkeypatch.setattr(Colorizer, "from_workdir", classmethod(lambda cls, *_: colorizer))


def _write_hint(path, **changes):
    """One hint, brown in the top left quarter."""
    entry = {"x": 0.25, "y": 0.25, "color": "#a06050", "size": 0.1} | changes
    path.write_text(json.dumps({"version": 1, "hints": [entry]}))
    return path


def _is_brown(path):
    """Whether a photograph has the color of the hint, and no color elsewhere."""
    pixels = np.asarray(Image.open(path)).astype(int)
    red_less_blue = pixels[..., 0] - pixels[..., 2]
    assert abs(red_less_blue[-8:]).max() < 3
    return bool(red_less_blue[8, 8] > 30)


def test_hints_of_one_photograph(following, tmp_path, capsys):
    Image.new("L", (32, 32), 120).save(tmp_path / "a.png")
    given = _write_hint(tmp_path / "elsewhere.json")
    flags = [f"--hints={given}", "--workdir=runs/none", f"--output={tmp_path / 'out'}", str(tmp_path / "a.png")]
    main(_parser().parse_args(flags))
    assert _is_brown(tmp_path / "out" / "a.png")
    _write_hint(tmp_path / "a.hints.json", x=7)  # of which nothing is read
    main(_arguments(tmp_path, tmp_path / "a.png", hints=given, overwrite=True))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["num_colored"] == 1
    assert _is_brown(tmp_path / "out" / "a.png")
    given.write_text('{"version": 1, "hints": []}')  # without hints, not those of a.hints.json
    main(_arguments(tmp_path, tmp_path / "a.png", hints=given, overwrite=True))
    assert not _is_brown(tmp_path / "out" / "a.png")


def test_hints_beside_photographs(following, tmp_path, capsys):
    """A file that is not valid, or a place outside, fails its photograph alone."""
    for name in ("a", "b", "c", "d"):
        Image.new("L", (32, 32), 120).save(tmp_path / f"{name}.png")
    _write_hint(tmp_path / "a.hints.json")
    _write_hint(tmp_path / "c.hints.json", color="reddish")
    _write_hint(tmp_path / "d.hints.json", x=32, y=0, unit="pixel")
    with pytest.raises(UserError, match="^2 of 4 files failed$"):
        main(_arguments(tmp_path, tmp_path))
    output = capsys.readouterr()
    assert output.err.splitlines() == [  # files of hints are not said to be left out
        f"colored, into {tmp_path / 'out'}: 2, the last one {tmp_path / 'out' / 'b.png'}",
        f"failed: {tmp_path / 'c.png'}: {tmp_path / 'c.hints.json'}: hint 1: color is a color such as "
        "\"#8a2b2b\", not 'reddish'",
        f"failed: {tmp_path / 'd.png'}: (32, 0) is outside of the photograph, which has 32 x 32 pixels",
    ]
    assert json.loads(output.out)["num_failed"] == 2
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.png", "b.png"]
    assert _is_brown(tmp_path / "out" / "a.png")
    assert not _is_brown(tmp_path / "out" / "b.png")
    main(_arguments(tmp_path, tmp_path / "a.png", output=None))
    assert _is_brown(tmp_path / "a-colorized.png")


def test_hints_for_several_or_in_a_file_that_is_not_valid_are_refused_before_anything_is_colored(following, tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (32, 32), 120).save(tmp_path / name)
    given = _write_hint(tmp_path / "h.json")
    for inputs in ([tmp_path], [tmp_path / "a.png", tmp_path / "b.png"]):
        with pytest.raises(UserError, match=r"^--hints is for one photograph; of several, each has its own in NAME"):
            main(_arguments(tmp_path, *inputs, hints=given))
    _write_hint(given, size=2)
    with pytest.raises(UserError, match=f"^{given}: hint 1: size is a fraction of the longer side"):
        main(_arguments(tmp_path, tmp_path / "a.png", hints=given))
    with pytest.raises(UserError, match=f"^cannot read {tmp_path / 'gone.json'}: No such file"):
        main(_arguments(tmp_path, tmp_path / "a.png", hints=tmp_path / "gone.json"))
    assert not (tmp_path / "out").exists()


def test_a_video_takes_no_hints(following, tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"video")
    with pytest.raises(UserError, match="1 of 1 files failed"):
        main(_arguments(tmp_path, tmp_path / "a.mp4", hints=_write_hint(tmp_path / "h.json")))
    assert "a.mp4: a video takes no hints, which are for one photograph" in capsys.readouterr().err


def test_a_network_without_hints(orange, tmp_path, capsys, caplog):
    """It colors as without the file beside a photograph, and says so; hints that are asked for fail."""
    Image.new("L", (32, 32), 120).save(tmp_path / "a.png")
    hints_file = _write_hint(tmp_path / "a.hints.json")
    main(_arguments(tmp_path, tmp_path))
    assert json.loads(capsys.readouterr().out)["num_colored"] == 1
    assert caplog.messages == [f"{hints_file} is not used: this network takes no hints"]
    with pytest.raises(UserError, match="1 of 1 files failed"):
        main(_arguments(tmp_path, tmp_path / "a.png", hints=hints_file, overwrite=True))
    assert "a.png: this network takes no hints: it was trained without config.model.hints" in capsys.readouterr().err


def test_depth_alpha_and_orientation_are_kept_and_a_bad_file_does_not_stop_others(orange, tmp_path, capsys):
    deep = np.random.default_rng(0).integers(20000, 40000, (24, 36), np.uint16)
    photo_file.write_photo(tmp_path / "a.tif", photo_file.Photo(deep))
    (tmp_path / "b.jpg").write_bytes(b"no photograph")
    photo_file.write_photo(tmp_path / "c.png", photo_file.Photo(np.dstack([deep, deep[::-1] * 2])))
    rotated = Image.new("L", (36, 24), 90)
    rotated.getexif()[0x0112] = 6  # a quarter turn
    rotated.save(tmp_path / "d.jpg", exif=rotated.getexif())
    with pytest.raises(UserError, match="1 of 4 files failed"):
        main(_arguments(tmp_path, tmp_path))
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1])["num_colored"] == 3
    assert output.err.splitlines()[-1] == f"failed: {tmp_path / 'b.jpg'}: not an image of a known format"
    for name in ("a.tif", "c.png"):
        colored = photo_file.read_photo(tmp_path / "out" / name)
        assert (colored.pixels.dtype, colored.pixels.shape) == (np.uint16, (24, 36, 3))
        np.testing.assert_allclose(colored.pixels @ (0.299, 0.587, 0.114), deep, atol=0.51)
        assert (colored.pixels[..., 0] > colored.pixels[..., 2] + 5000).all()
    np.testing.assert_array_equal(colored.alpha, deep[::-1] * 2)
    with Image.open(tmp_path / "out" / "d.jpg") as image:
        assert image.size == (24, 36)
        assert 0x0112 not in image.getexif()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_deep_photograph_with_alpha_is_in_memory_once(orange, tmp_path, monkeypatch, suffix):
    deep = np.random.default_rng(0).integers(0, 65536, (24, 36, 4), np.uint16)
    arrays = []

    def decode(*arguments, original=png_tiff.decode):
        arrays.append(original(*arguments))
        return arrays[0]

    path = tmp_path / f"x{suffix}"
    photo_file.write_photo(path, photo_file.Photo(deep))
    monkeypatch.setattr(png_tiff, "decode", decode)
    for name in ("write_png", "write_tiff"):
        monkeypatch.setattr(png_tiff, name, lambda file, samples, like: arrays.append(samples))
    main(_arguments(tmp_path, path))
    decoded, written = arrays
    assert written.shape == (24, 36, 4)
    assert np.shares_memory(decoded, written)


def test_no_photograph_is_written_over_another(orange, tmp_path, capsys):
    for folder, level in (("photos", 50), ("photos/sub", 200)):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8), level).save(tmp_path / folder / "x.png")
    before = (tmp_path / "photos" / "sub" / "x.png").read_bytes()
    inputs = (tmp_path / "photos" / "x.png", tmp_path / "photos" / "sub" / "x.png")
    with pytest.raises(UserError, match="2 of 2 files failed"):
        main(_arguments(tmp_path, *inputs, output=tmp_path / "photos" / "sub", overwrite=True))
    assert capsys.readouterr().err.count(f"is used by {inputs[1]}: choose another --output") == 2
    assert (tmp_path / "photos" / "sub" / "x.png").read_bytes() == before
    for _ in range(2):  # the second time the first one is there already
        with pytest.raises(UserError, match="1 of 2 files failed"):
            main(_arguments(tmp_path, *inputs))
        output = capsys.readouterr().err
        assert f"{inputs[1]}: {tmp_path / 'out' / 'x.png'} is used by {inputs[0]}" in output
    main(_arguments(tmp_path, tmp_path / "photos", inputs[0], tmp_path / "photos" / "sub" / ".." / "x.png"))
    assert json.loads(capsys.readouterr().out)["num_colored"] == 1  # sub/x.png; x.png exists


def test_an_output_folder_among_the_photographs_is_not_colored_again(orange, tmp_path):
    Image.new("L", (8, 8), 90).save(tmp_path / "x.png")
    for _ in range(2):
        main(_arguments(tmp_path, tmp_path, overwrite=True))
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.png"))] == ["out/x.png", "x.png"]


def test_without_an_output_folder_results_are_beside_the_originals(orange, tmp_path, capsys):
    Image.new("L", (8, 8), 90).save(tmp_path / "a.png")
    for name in ("sub/b.jpg", "only-colorized.png", "-colorized.png"):  # the last two have no original
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 90).save(tmp_path / name)
    for num_colored, num_there in ((4, 0), (0, 4)):  # the second time, the results are not colored
        main(_arguments(tmp_path, tmp_path, tmp_path / "a.png", output=None))
        result = json.loads(capsys.readouterr().out)
        assert (result["num_colored"], result["num_there"], result["output"]) == (num_colored, num_there, None)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*-colorized*")}
    assert found == {
        "a-colorized.png",
        "sub/b-colorized.jpg",
        "only-colorized.png",
        "only-colorized-colorized.png",
        "-colorized.png",
        "-colorized-colorized.png",
    }
    main(_arguments(tmp_path, *sorted(tmp_path.glob("*.png")), output=None))  # as a shell expands *.png
    output = capsys.readouterr()
    assert json.loads(output.out)["num_there"] == 3
    assert "left out, as results that have their original beside them: 3" in output.err
    main(_arguments(tmp_path, tmp_path))
    assert json.loads(capsys.readouterr().out)["num_colored"] == 4


def test_what_cannot_be_written_is_named(orange, tmp_path, capsys, monkeypatch):
    Image.new("L", (8, 8), 90).save(tmp_path / "a.png")
    for inputs in ([tmp_path], [tmp_path / "a.png", tmp_path / "a.png"]):
        with pytest.raises(UserError, match=r"--output=.*b\.png is a file, for one photograph: for more name a folder"):
            main(_arguments(tmp_path, *inputs, output=tmp_path / "b.png"))

    def write_photo(path, photo):
        raise PermissionError(13, "Permission denied", str(path.with_name(".scratch")))

    monkeypatch.setattr(photo_file, "write_photo", write_photo)
    with pytest.raises(UserError, match="1 of 1 files failed"):
        main(_arguments(tmp_path, tmp_path / "a.png", output=None))
    assert f"a.png: Permission denied: {tmp_path}; choose another --output" in capsys.readouterr().err


def test_existing_files_are_kept_and_left_out_files_reported(orange, tmp_path, capsys):
    Image.new("L", (8, 8), 90).save(tmp_path / "x.png")
    for name in ("a.cr2", "b.cr2", "notes"):
        (tmp_path / name).write_bytes(b"")
    main(_arguments(tmp_path, tmp_path))
    output = capsys.readouterr()
    assert output.err.partition("suffixes: ")[2].splitlines()[0] == "2 .cr2, 1 no suffix"
    (tmp_path / "out" / "x.png").write_bytes(b"another")
    main(_arguments(tmp_path, tmp_path))
    result = json.loads(capsys.readouterr().out)
    assert (result["num_colored"], result["num_there"], result["num_failed"]) == (0, 1, 0)
    assert (tmp_path / "out" / "x.png").read_bytes() == b"another"
    with pytest.raises(UserError, match="1 of 1 files failed"):
        main(_arguments(tmp_path, tmp_path / "a.cr2"))
    assert "neither a photograph nor a video that can be read: save it as JPEG or MP4" in capsys.readouterr().err


def _heic() -> bytes:
    return (ROOT / "tests" / "tiny_photos" / "leica.heic").read_bytes()


def test_photographs_with_wrong_or_other_suffixes_are_colored(orange, tmp_path, capsys):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    gray = Image.new("L", (8, 6), 90)
    for name in ("IMG_1.jpg", "a.heic", "b.JFIF", "c.jpe", "scan"):
        gray.save(folder / name, "JPEG")
    for name in ("IMG_1.HEIC", "d.HEIC", "e.jpg"):
        (folder / name).write_bytes(_heic())
    gray.save(folder / "f.gif")
    gray.save(folder / "g.TIFF", "PNG")
    results = [
        "IMG_1.HEIC.jpg",
        "IMG_1.jpg",
        "a.jpg",
        "b.JFIF",
        "c.jpe",
        "d.jpg",
        "e.jpg",
        "f.png",
        "g.TIFF",
        "scan.jpg",
    ]
    main(_arguments(tmp_path, folder, folder / "scan"))
    said = capsys.readouterr()
    assert "results in another format: 1 .gif as .png, 3 .heic as .jpg, 1 no suffix as .jpg\n" in said.err
    assert json.loads(said.out)["num_colored"] == len(results)
    assert sorted(path.name for path in output.iterdir()) == results
    formats = {".png": "PNG", ".TIFF": "TIFF"}
    for path in output.iterdir():
        with Image.open(path) as image:
            assert image.format == formats.get(path.suffix, "JPEG")
            assert np.ptp(np.asarray(image)[2, 2].astype(int)) > 40
    for num_colored, num_there in ((10, 0), (0, 10)):  # the second time, the results are not colored
        main(_arguments(tmp_path, folder, folder / "scan", output=None))
        counts = json.loads(capsys.readouterr().out)
        assert (counts["num_colored"], counts["num_there"]) == (num_colored, num_there)
    beside = {path.name for path in folder.glob("*-colorized*")}
    assert beside == {Path(name).stem + "-colorized" + Path(name).suffix for name in results}


@pytest.mark.parametrize("suffix", [".gif", ".jpg"])
def test_an_animated_gif_becomes_a_video(orange, tmp_path, capsys, suffix):
    av = pytest.importorskip("av")
    frames = [Image.fromarray(np.roll(np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1)), 9 * n, 1)) for n in range(4)]
    durations = [100, 50, 200, 100]
    frames[0].save(tmp_path / f"a{suffix}", "GIF", save_all=True, append_images=frames[1:], duration=durations)
    for _ in range(2):  # the second time, the result is not colored
        main(_arguments(tmp_path, tmp_path, output=None))
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counts["num_colored"], counts["num_there"]) == (0, 1)
    with av.open(tmp_path / "a-colorized.mp4") as video:
        decoded = list(video.decode(video=0))
    assert [round(frame.time, 2) for frame in decoded] == [0, 0.1, 0.15, 0.35]
    red, _, blue = np.moveaxis(decoded[2].to_ndarray(format="rgb24").astype(int), -1, 0)
    assert (red - blue).mean() > 40


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_in_a_folder_does_not_stop_the_others(orange, tmp_path, capsys):
    os.mkfifo(tmp_path / "a.jpg")
    Image.new("L", (8, 8), 90).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="1 of 2 files failed"):
        main(_arguments(tmp_path, tmp_path))
    assert "a.jpg: not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("skip", [False, True])
def test_photographs_with_color_are_counted_and_left_if_asked(orange, tmp_path, capsys, skip):
    gray = np.tile(np.linspace(30, 220, 64), (48, 1))[..., None]
    images = {
        "gray": np.repeat(gray, 3, -1),
        "sepia": gray * (1.07, 0.95, 0.74),
        "color": gray[:, ::-1] * (0.2, 0.5, 1),
    }
    images["color"][:24] = (230, 60, 30)
    (tmp_path / "in").mkdir()
    for name, pixels in images.items():
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(tmp_path / "in" / f"{name}.png")
    main(_arguments(tmp_path, tmp_path / "in", skip_color=skip))
    said = capsys.readouterr()
    counts = json.loads(said.out)
    assert (counts["num_colored"], counts["num_had_color"]) == (2 if skip else 3, 1)
    assert (tmp_path / "out" / "color.png").exists() != skip
    what = "left" if skip else "colored anew (--skip-color leaves them)"
    last = tmp_path / "in" / "color.png"
    assert f"photographs that had color already, {what}: 1, the last one {last}\n" in said.err


def test_the_result_is_reported_after_ctrl_c(orange, tmp_path, capsys, monkeypatch):
    def write_photo(path, photo):
        if path.name == "b.png":
            raise KeyboardInterrupt
        path.write_bytes(b"written")

    monkeypatch.setattr(photo_file, "write_photo", write_photo)
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (8, 8), 90).save(tmp_path / name)
    with pytest.raises(KeyboardInterrupt):
        main(_arguments(tmp_path, tmp_path))
    result = json.loads(capsys.readouterr().out)
    assert (result["num_colored"], result["num_there"], result["num_failed"]) == (1, 0, 0)


def test_strength_and_saturation_come_from_the_command_line(orange, tmp_path, capsys):
    Image.new("L", (40, 40), 120).save(tmp_path / "x.png")
    for name, changes in (("gray", {"strength": 0.0}), ("pale", {"saturation": 0.5}), ("full", {})):
        main(_arguments(tmp_path, tmp_path / "x.png", output=tmp_path / name, **changes))
    gray, pale, full = (np.ptp(np.asarray(Image.open(tmp_path / name / "x.png"))) for name in ("gray", "pale", "full"))
    assert gray == 0
    assert pale == pytest.approx(full / 2, abs=1)
    done = run_command("colorgan.colorize", "--workdir=x", "--output=y", "--strength=1.5", "z", check=False)
    assert "1.5 is not from 0 to 1" in done.stderr


def test_videos_are_colored_and_reported(orange, tmp_path, capsys, monkeypatch):
    def colorize_video(source, target, colorizer, progress_fn, **how):
        progress_fn(1.0)
        target.write_bytes(source.read_bytes() + json.dumps(how).encode())
        return video.VideoReport(7, 1, 2.5, 0.5)

    monkeypatch.setattr(video, "colorize_video", colorize_video)
    (tmp_path / "clip.MP4").write_bytes(b"video ")
    main(_arguments(tmp_path, tmp_path, smoothing=0.4, strength=0.5))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["videos"] == {
        "clip.MP4": {"num_frames": 7, "num_cuts": 1, "flicker_before": 2.5, "flicker_after": 0.5}
    }
    assert (tmp_path / "out" / "clip.MP4").read_bytes() == (
        b'video {"strength": 0.5, "saturation": 1.0, "smoothing": 0.4}'
    )


def test_a_sheet_shows_photographs_before_and_after(orange, tmp_path):
    for n in range(5):
        Image.new("L", (90, 60), 50 * n).save(tmp_path / f"{n}.png")
    draw_sheet = runpy.run_path(str(ROOT / "benchmarks" / "photographs.py"))["draw_sheet"]
    draw_sheet(Colorizer.from_workdir("runs/none"), tmp_path, tmp_path / "sheet.png")
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (1060, 2 * (2 * 173 + 2) + 14)  # both rows have the same height, though one is not full
    below = 173 + 2
    assert sheet.getpixel((500, 100)) == (50, 50, 50)
    assert np.ptp(np.array(sheet.getpixel((500, 100 + below)))) > 20
    assert sheet.getpixel((100, 100 + 2 * below + 14 - 2)) == (200, 200, 200)
    assert sheet.getpixel((500, 500)) == (255, 255, 255)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_a_hundred_megapixels_take_less_than_two_gigabytes(finished_run):
    measure = runpy.run_path(str(ROOT / "benchmarks" / "photographs.py"))["measure"]
    metrics = measure(finished_run, "gray.jpg", 100)
    assert 300 < metrics["peak_megabytes"] < 2000


def test_photographs_are_colored_at_the_same_time(orange, tmp_path, monkeypatch):
    """Two are read before the first one is written. A large one is read alone, after its size is known."""
    monkeypatch.setattr(colorize_files, "num_cores", lambda: 2)
    monkeypatch.setattr(colorize_files, "_MAX_SHARED_PIXELS", 400)
    barrier, read = threading.Barrier(2, timeout=20), photo_file.read_photo
    limits = list[tuple[int, ...]]()

    def read_together(path, *limit):
        if not limits:
            barrier.wait()
        limits.append(limit)
        return read(path, *limit)

    for n, size in enumerate((16, 16, 24, 16)):
        Image.new("L", (size, size), 50 + n).save(tmp_path / f"{n}.png")
    monkeypatch.setattr(photo_file, "read_photo", read_together)
    main(_arguments(tmp_path, tmp_path))
    assert sorted(limits) == [(), *[(400,)] * 4]
    for n, size in enumerate((16, 16, 24, 16)):
        with Image.open(tmp_path / "out" / f"{n}.png") as colored:
            assert colored.size == (size, size)
            assert np.asarray(colored)[0, 0] @ (0.299, 0.587, 0.114) == pytest.approx(50 + n, abs=1)


def test_an_accelerator_gets_photographs_in_batches(tmp_path, monkeypatch):
    colorizer = Colorizer(lambda gray: np.repeat(gray, 3, -1), 32)
    monkeypatch.setattr(Colorizer, "from_workdir", classmethod(lambda *_: colorizer))
    Image.new("L", (16, 16), 50).save(tmp_path / "a.png")
    for platform, size in (("cpu", 1), ("gpu", colorize_files.MAX_THREADS)):
        monkeypatch.setattr("jax.default_backend", lambda platform=platform: platform)
        main(_arguments(tmp_path, tmp_path))
        assert colorizer._predict_fn.max_size == size


def test_an_interruption_counts_what_is_done(orange, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(colorize_files, "num_cores", lambda: 1)
    read = photo_file.read_photo

    def interrupt(path, *limit):
        if path.name == "2.png":
            raise KeyboardInterrupt
        return read(path, *limit)

    for n in range(6):
        Image.new("L", (8, 8), 50).save(tmp_path / f"{n}.png")
    monkeypatch.setattr(photo_file, "read_photo", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main(_arguments(tmp_path, tmp_path))
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts["num_colored"] == len(list((tmp_path / "out").iterdir()))
    assert 2 <= counts["num_colored"] < 6
