import json

import pytest

from colorgan.training.early_stopping import EarlyStop

IMAGES = "9 of folder:a"


def _after(early_stop, *values):
    due = []
    for epoch, value in enumerate(values, 1):
        early_stop.add(epoch, {"validation/score": value, "validation/psnr": 9})
        due.append(early_stop.is_due)
    return due


def test_it_is_due_after_so_many_without_a_better_one():
    early_stop = EarlyStop(2, "validation/score", IMAGES, {})
    assert early_stop.best == ""
    assert _after(early_stop, 1, 2, 2, 3, 1, 3) == [False] * 5 + [True]
    assert early_stop.best == "best score 3.000 in epoch 4"
    assert not any(_after(EarlyStop(0, "validation/score", IMAGES, {}), *range(9, 0, -1)))


def test_it_goes_on_from_what_was_saved():
    first = EarlyStop(3, "validation/score", IMAGES, {})
    _after(first, 5, 4)
    saved = json.loads(json.dumps(first.saved))
    assert _after(EarlyStop(3, "validation/score", IMAGES, saved), 4, 4) == [False, True]
    assert first.saved == saved


@pytest.mark.parametrize(("metric", "images"), [("validation/psnr", IMAGES), ("validation/score", "8 of folder:b")])
def test_the_best_of_another_figure_or_of_other_images_says_nothing(metric, images):
    first = EarlyStop(2, "validation/score", IMAGES, {})
    _after(first, 5, 4, 4)
    assert not EarlyStop(2, metric, images, first.saved).is_due
    assert _after(EarlyStop(2, metric, images, first.saved), 4, 4) == [False, False]
