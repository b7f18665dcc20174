import json
import runpy
import sys

import pytest
from conftest import ROOT

from colorgan import config
from colorgan.configs import default, seed

ladder = runpy.run_path(str(ROOT / "benchmarks" / "ladder.py"))


@pytest.mark.parametrize("setting", ladder["SETTINGS"])
def test_every_row_is_a_config_that_can_be_trained(setting):
    for row in (*ladder["ROWS"], *ladder["BRANCHES"]):
        changed = seed.get_config()
        changed.update_from_flattened_dict(ladder["SETTINGS"][setting] | ladder["changes_of"](row, setting))
        config.check_config(changed)


def test_the_ladder_leads_from_the_seed_to_the_recipe():
    original, recipe = (config.flatten(c.get_config().to_dict()) for c in (seed, default))
    *_, last = ladder["ROWS"]
    top = original | ladder["changes_of"](last, "reduced")
    shaping = [key for key in recipe if key.startswith(("loss.", "optimizer.", "model.")) and "width" not in key]
    assert original | ladder["changes_of"]("seed", "reduced") == original
    assert {key: top[key] for key in shaping} == {key: recipe[key] for key in shaping}


def test_tables_are_of_the_rows_asked_for(tmp_path, monkeypatch, capsys):
    for row, number, psnr in (("seed", 0, 20.0), ("seed", 1, 22.0), ("chroma", 0, 24.0)):
        by_name = {"gray": 1.0, "truth": 2.0, "prediction": psnr}
        figures = {name: dict.fromkeys(ladder["FIGURES"], value) for name, value in by_name.items()}
        path = tmp_path / "reduced" / row / f"seed_{number}" / "evaluation" / "figures.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(figures))
    for rows, expected in (("", ["seed", "chroma"]), ("seed", ["seed"])):
        monkeypatch.setattr(sys, "argv", ["ladder.py", f"--output={tmp_path}", f"--rows={rows}", "--table"])
        ladder["main"]()
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" | ")[0].removeprefix("| ") for line in lines[4:]] == expected
        assert lines[4].split(" | ")[1] == "21 (20-22)"


def test_a_row_that_does_not_exist_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ladder.py", f"--output={tmp_path}", "--rows=seed,hue", "--table"])
    with pytest.raises(SystemExit):
        ladder["main"]()
    assert "there is no row hue; the rows are seed, " in capsys.readouterr().err
