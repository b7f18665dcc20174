"""Files and folders of photographs in, the same coloured out."""

import pytest
from conftest import run_command
from PIL import Image

from colorgan.colorize import find_photographs
from colorgan.errors import UserError


def test_folders_keep_their_structure(photographs):
    found = list(find_photographs([photographs, photographs / "class_0" / "image_00.jpg"]))
    assert len(found) == 13
    assert str(found[0][1]) == "class_0/image_00.jpg"
    assert str(found[-1][1]) == "image_00.jpg"


def test_missing_input_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no file or folder"):
        list(find_photographs([tmp_path / "nothing"]))
    with pytest.raises(UserError, match="holds no images"):
        list(find_photographs([tmp_path]))


def test_a_link_in_the_output_folder_is_not_followed_out_of_it(finished_run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8), "gray").save(tmp_path / "in" / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").symlink_to(tmp_path / "elsewhere.png")
    arguments = (f"--workdir={finished_run}", f"--output={tmp_path / 'out'}", "--overwrite", str(tmp_path / "in"))
    done = run_command("colorgan.colorize", *arguments, check=False)
    assert done.returncode == 1
    assert "a link that leads out of the output folder" in done.stderr
    assert not (tmp_path / "elsewhere.png").exists()
