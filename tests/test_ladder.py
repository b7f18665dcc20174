import json
import runpy
import shutil
import sys

import pytest
from conftest import ROOT

from colorgan import config
from colorgan.configs import baseline, default, gpu, pretrained

ladder = runpy.run_path(str(ROOT / "benchmarks" / "ladder.py"))


@pytest.mark.parametrize("setting", ladder["SETTINGS"])
def test_every_row_is_a_valid_config(setting):
    module = {"baseline": baseline, "gpu": gpu, "pretrained": pretrained}[ladder["SETTINGS"][setting].config]
    for row in ladder["rows_of"](setting):
        changed = module.get_config()
        changed.update_from_flattened_dict(ladder["changes_of"](row, setting))
        config.check_config(changed)


def test_first_row_is_the_baseline_and_last_row_the_recipe():
    start, recipe = (config.flatten(c.get_config().to_dict()) for c in (baseline, default))
    *_, last = ladder["ROWS"]
    top = start | ladder["_ladder_changes"](last, is_full=False)
    shaping = [key for key in recipe if key.startswith(("loss.", "optimizer.", "model.")) and "width" not in key]
    assert start | ladder["_ladder_changes"]("baseline", is_full=False) == start
    assert {key: top[key] for key in shaping} == {key: recipe[key] for key in shaping}


def test_tables_have_the_requested_rows(tmp_path, monkeypatch, capsys):
    for row, number, psnr in (("baseline", 0, 20.0), ("baseline", 1, 22.0), ("chroma", 0, 24.0)):
        by_name = {"gray": 1.0, "truth": 2.0, "prediction": psnr}
        metrics = {name: dict.fromkeys(ladder["METRICS"], value) for name, value in by_name.items()}
        path = tmp_path / "reduced" / row / f"seed_{number}" / "evaluation" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(metrics))
    second = tmp_path / "reduced" / "chroma" / "seed_0" / "evaluation_1"
    shutil.copytree(second.with_name("evaluation"), second)
    for rows, expected in (("", ["baseline", "chroma"]), ("baseline", ["baseline"])):
        monkeypatch.setattr(sys, "argv", ["ladder.py", f"--output={tmp_path}", f"--rows={rows}", "--table"])
        ladder["main"]()
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" | ")[0].removeprefix("| ") for line in lines[4 : 4 + len(expected)]] == expected
        second_table = [line.split(" | ")[0].removeprefix("| ") for line in lines[4 + len(expected) :]]
        assert second_table[-1:] == ["chroma"] * ("chroma" in expected)
        assert len(second_table) == 5 * ("chroma" in expected)
        assert lines[4].split(" | ")[1] == "21 (20-22)"


def test_an_unknown_row_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ladder.py", f"--output={tmp_path}", "--rows=baseline,hue", "--table"])
    with pytest.raises(SystemExit):
        ladder["main"]()
    assert "unknown row hue; the rows are baseline, " in capsys.readouterr().err
