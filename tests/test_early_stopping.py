import json

import pytest

from colorgan.training.early_stopping import EarlyStopping

IMAGES = "9 of folder:a"


def _after(early_stopping, *values):
    due = []
    for epoch, value in enumerate(values, 1):
        early_stopping.add(epoch, {"validation/score": value, "validation/psnr": 9})
        due.append(early_stopping.is_due)
    return due


def test_it_is_due_after_a_number_of_validations_without_improvement():
    early_stopping = EarlyStopping(2, "validation/score", IMAGES, {})
    assert early_stopping.best == ""
    assert _after(early_stopping, 1, 2, 2, 3, 1, 3) == [False] * 5 + [True]
    assert early_stopping.best == "best score 3.000 in epoch 4"
    assert not any(_after(EarlyStopping(0, "validation/score", IMAGES, {}), *range(9, 0, -1)))


def test_it_continues_from_a_checkpoint():
    first = EarlyStopping(3, "validation/score", IMAGES, {})
    _after(first, 5, 4)
    saved = json.loads(json.dumps(first.saved))
    assert _after(EarlyStopping(3, "validation/score", IMAGES, saved), 4, 4) == [False, True]
    assert first.saved == saved


def test_the_best_of_another_version_of_the_metrics_is_not_compared():
    first = EarlyStopping(3, "validation/score", IMAGES, {})
    _after(first, 5, 4, 4)
    saved = {key: value for key, value in first.saved.items() if key != "metrics_version"}  # as in version 1
    second = EarlyStopping(3, "validation/score", IMAGES, saved)
    assert second.best == ""
    assert _after(second, 2) == [False]
    assert second.best == "best score 2.000 in epoch 1"
    _after(first, 4)
    assert EarlyStopping(3, "validation/score", IMAGES, saved | {"num_since_best": 3}).is_due


@pytest.mark.parametrize(("metric", "images"), [("validation/psnr", IMAGES), ("validation/score", "8 of folder:b")])
def test_the_best_of_another_metric_or_of_other_images_is_ignored(metric, images):
    first = EarlyStopping(2, "validation/score", IMAGES, {})
    _after(first, 5, 4, 4)
    assert not EarlyStopping(2, metric, images, first.saved).is_due
    assert _after(EarlyStopping(2, metric, images, first.saved), 4, 4) == [False, False]
